"""Where files lie inside a store, the same for both backends. Pure."""

import hashlib
import re
import unicodedata
from urllib.parse import quote
from uuid import UUID

from telemetry.domain.streams import LAP_DELTA

_UNSAFE = re.compile(rb"[^A-Za-z0-9_@.-]|^\.")
_LONGEST_SEGMENT = 120
_RAW = ".bin"
_PARQUET = ".parquet"
_TRACK = ".track.geojson"


def path_segment(text: str) -> str:
    """`text` as one segment of a path: never empty, never `.` or `..`, and different for different texts.

    A tenant comes out of a token's claim and may hold anything, for example ``auth0|5f7c``. Unsafe bytes become
    ``~`` and two hex digits (percent signs would be encoded a second time in URLs and events).
    """
    raw = text.encode("utf-8", "surrogatepass")
    segment = _UNSAFE.sub(lambda found: b"~%02x" % found.group()[0], raw).decode("ascii")
    if segment and len(segment) <= _LONGEST_SEGMENT:
        return segment
    return "~~" + hashlib.sha256(raw).hexdigest()


def upload_path(tenant_id: str, artifact_id: str) -> str:
    """`uploads/{tenant_id}/{artifact_id}.bin`."""
    return f"uploads/{path_segment(tenant_id)}/{path_segment(artifact_id)}{_RAW}"


def artifact_of(path: str) -> UUID | None:
    """The artifact that an upload's path names; None where it names none."""
    try:
        return UUID(path.rpartition("/")[2].removesuffix(_RAW))
    except ValueError:
        return None


def session_prefix(tenant_id: str, session_id: str) -> str:
    """What every canonical file of a session begins with."""
    return f"datasets/{path_segment(tenant_id)}/{path_segment(session_id)}/"


def dataset_path(
    *, tenant_id: str, session_id: str, run_id: str, artifact_id: str, attempt: int, unique: str, stream: str
) -> str:
    """`datasets/{tenant_id}/{session_id}/{run_id}/{artifact_id}/{attempt}-{unique}/{stream}.parquet`."""
    return (
        session_prefix(tenant_id, session_id)
        + f"{path_segment(run_id)}/{path_segment(artifact_id)}/{attempt}-{path_segment(unique)}/"
        + f"{path_segment(stream)}{_PARQUET}"
    )


def track_path(dataset_path: str) -> str:
    """Where the track for a map lies that was made of a `gnss_pvt` file: beside it."""
    return dataset_path.removesuffix(_PARQUET) + _TRACK


def dataset_of(path: str) -> str:
    """The path of the dataset that a canonical object belongs to: its own, or for a track that of its file."""
    return path.removesuffix(_TRACK) + _PARQUET if path.endswith(_TRACK) else path


def run_of_lap_delta(path: str) -> UUID | None:
    """The run that a lap delta's path names; None for any other path."""
    match path.rsplit("/", 4):
        case [_, run_id, _, _, name] if name == f"{LAP_DELTA}{_PARQUET}":
            try:
                return UUID(run_id)
            except ValueError:
                return None
    return None


def attachment(file_name: str) -> str:
    """A `Content-Disposition` that saves as `file_name` (RFC 6266), with a plain name for old clients beside it."""
    plain = unicodedata.normalize("NFKD", file_name).encode("ascii", "ignore").decode("ascii")
    plain = re.sub(r"[^\w .()@+-]", "_", plain, flags=re.ASCII) or "download"
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(file_name.encode('utf-8', 'replace'), safe='')}"

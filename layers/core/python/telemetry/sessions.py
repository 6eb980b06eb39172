"""The use cases of looking at sessions: list, detail, datasets, laps, track; and devices. What changes them stands in
`session_changes`.

Every query names the owner, so that another owner's id answers like an unknown one, and runs behind the wall of
row-level security: a query that forgot to would see no other owner's rows either.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from telemetry.database.connection import Row, Runner
from telemetry.database.queries import load
from telemetry.domain.laps import MOST_LAPS
from telemetry.domain.owner import Owner
from telemetry.domain.states import ArtifactStatus, JobStatus, JobType, SessionStatus
from telemetry.domain.streams import GNSS_PVT
from telemetry.errors import Code, TelemetryError, user_message
from telemetry.services import Services
from telemetry.storage.paths import track_path
from telemetry.storage.protocol import ObjectMissing, SignedRequest

_QUERIES = load("sessions")
_READ_BYTES = 1 << 20
MOST_REPORT_BYTES = 3_000_000
"""Of a session's quality reports together, as Lambda counts them, so that they fit into an answer beside all laps."""
_BY_CHANNEL = ("channels", "badCells")


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page ended: its last session. The next page holds what is older."""

    created_at: datetime
    session_id: UUID


NEWEST = Position(datetime(9999, 12, 31, tzinfo=UTC), UUID(int=2**128 - 1))
"""Before every session there can be."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which sessions to list; None leaves a part out. Times: sessions that overlap [`from_time`, `to_time`)."""

    status: SessionStatus | None = None
    from_time: datetime | None = None
    to_time: datetime | None = None
    device_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a session failed: the code, and what the person may read."""

    code: Code
    message: str


@dataclass(frozen=True, slots=True)
class Session:
    """A session as a list shows it: `summary` is empty until it is ready, `failure` there when it failed."""

    session_id: UUID
    name: str
    status: SessionStatus
    start_time_utc: datetime
    end_time_utc: datetime
    device_id: UUID | None
    summary: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    failure: Failure | None


@dataclass(frozen=True, slots=True)
class Page:
    """A page of sessions, and the position to go on from; None after the last."""

    sessions: list[Session]
    end: Position | None


@dataclass(frozen=True, slots=True)
class Progress:
    """The step at work, or waiting for its next attempt."""

    job: JobType
    status: JobStatus
    attempt: int
    max_attempts: int
    next_retry_at: datetime | None


@dataclass(frozen=True, slots=True)
class SessionFile:
    """An uploaded file of a session."""

    upload_id: UUID
    file_name: str
    byte_size: int
    sha256: str
    status: ArtifactStatus
    format: str | None
    compression: str | None
    received_at: datetime | None
    discarded_at: datetime | None


@dataclass(frozen=True, slots=True)
class Dataset:
    """A canonical file of a session."""

    dataset_id: UUID
    upload_id: UUID
    stream: str
    schema_version: int
    row_count: int
    byte_size: int
    sha256: str
    start_time_utc: datetime
    end_time_utc: datetime
    quality: dict[str, Any]


@dataclass(frozen=True, slots=True)
class DownloadableDataset(Dataset):
    """A canonical file, and the request that fetches it."""

    download: SignedRequest


@dataclass(frozen=True, slots=True)
class Lap:
    """A lap of a session. `kind` is OUT, TIMED or IN, `source` FILE or DETECTED."""

    lap_number: int
    kind: str
    start_time_utc: datetime
    end_time_utc: datetime
    duration_ms: float
    duration_uncertainty_ms: float | None
    distance_m: float | None
    max_speed_mps: float | None
    source: str
    sectors_ms: list[float | None]


@dataclass(frozen=True, slots=True)
class TrackLine:
    """An unbroken stretch of a simplified track: longitude and latitude in degrees, time (ISO 8601, UTC) and speed of
    each point. Across the antimeridian it is cut there, and each is a list for each part."""

    upload_id: UUID
    coordinates: list[list[float]] | list[list[list[float]]]
    times: list[str] | list[list[str]]
    speeds_mps: list[float | None] | list[list[float | None]]


@dataclass(frozen=True, slots=True)
class Device:
    """A recording device of an owner."""

    device_id: UUID
    manufacturer: str | None
    model: str | None
    serial_number: str | None
    name: str | None
    first_seen_at: datetime
    last_seen_at: datetime


@dataclass(frozen=True, slots=True)
class SessionDetail(Session):
    """All there is to see of a session: `progress` while something is at work on it, `gate`
    where the owner gave one, `gate_failure` when the laps could not be found again at it and are the ones from
    before."""

    run_id: UUID | None
    gate: dict[str, Any] | None
    gate_failure: Failure | None
    progress: Progress | None
    files: list[SessionFile]
    datasets: list[Dataset]
    laps: list[Lap]


def list_sessions(
    services: Services, owner: Owner, *, matching: Filter | None = None, after: Position = NEWEST, limit: int = 25
) -> Page:
    """A page of at most `limit` sessions, newest first. Pages are stable while sessions are added."""
    chosen = matching or Filter()
    rows = services.database.of_owner(owner.user_id).run(
        _QUERIES["list_sessions"],
        owner_user_id=owner.user_id,
        after_created_at=after.created_at,
        after_id=after.session_id,
        status=chosen.status and str(chosen.status),
        from_time=chosen.from_time,
        to_time=chosen.to_time,
        device_id=chosen.device_id,
        # One more than asked for tells whether there is a next page.
        page_size=limit + 1,
    )
    sessions = [Session(**_facts(row)) for row in rows[:limit]]
    last = sessions[-1] if len(rows) > limit else None
    return Page(sessions, Position(last.created_at, last.session_id) if last else None)


def get_session(services: Services, owner: Owner, session_id: UUID) -> SessionDetail:
    """The session with its files, datasets and laps in brief.

    Raises
    ------
    TelemetryError : NOT_FOUND.
    """
    with services.database.of_owner(owner.user_id).transaction() as transaction:
        row = session_row(transaction, owner, session_id)
        files = _of_session(transaction, owner, "files_of_session", session_id)
        datasets = _of_session(transaction, owner, "datasets_of_session", session_id)
        laps = _of_session(transaction, owner, "laps_of_session", session_id, most=MOST_LAPS)
    status = SessionStatus(row["status"])
    ready = status is SessionStatus.READY
    return SessionDetail(
        **_facts(row),
        run_id=row["run_id"],
        gate=row["gate"],
        gate_failure=_gate_failure(row) if ready else None,
        progress=_progress(row) if status is SessionStatus.PROCESSING or _detecting_again(row) else None,
        files=[
            SessionFile(upload_id=file.pop("id"), file_name=file.pop("original_file_name"), **file) for file in files
        ],
        datasets=[Dataset(**facts) for facts in _datasets_facts(datasets if ready else [])],
        laps=[Lap(**lap) for lap in laps if ready],
    )


def get_datasets(services: Services, owner: Owner, session_id: UUID) -> list[DownloadableDataset]:
    """The canonical files, each with a signed request to fetch it; none until the session is ready.

    Raises
    ------
    TelemetryError : NOT_FOUND.
    """
    datasets = _shown(services, owner, "datasets_of_session", session_id)
    seconds = services.settings.download_url_seconds
    return [
        DownloadableDataset(
            **facts,
            download=services.canonical.sign_get(
                row["storage_path"], file_name=f"{session_id}-{row['stream']}.parquet", seconds=seconds
            ),
        )
        for row, facts in zip(datasets, _datasets_facts(datasets), strict=True)
    ]


def get_laps(services: Services, owner: Owner, session_id: UUID) -> list[Lap]:
    """The laps in order, `MOST_LAPS` at most; none until the session is ready.

    Raises
    ------
    TelemetryError : NOT_FOUND.
    """
    return [Lap(**row) for row in _shown(services, owner, "laps_of_session", session_id, most=MOST_LAPS)]


def get_track(services: Services, owner: Owner, session_id: UUID) -> list[TrackLine]:
    """The session's track for a map, simplified, file by file in order of time; none until the session is ready.

    Raises
    ------
    TelemetryError : NOT_FOUND.
    """
    datasets = _shown(services, owner, "datasets_of_session", session_id)
    return [
        line
        for row in datasets
        if row["stream"] == GNSS_PVT
        for line in _track_lines(services, row["artifact_id"], row["storage_path"])
    ]


def list_devices(services: Services, owner: Owner) -> list[Device]:
    """The owner's devices, the one used last first."""
    rows = services.database.of_owner(owner.user_id).run(_QUERIES["list_devices"], owner_user_id=owner.user_id)
    return [Device(device_id=row.pop("id"), **row) for row in rows]


def _track_lines(services: Services, upload_id: UUID, dataset_path: str) -> list[TrackLine]:
    try:
        with services.canonical.open(track_path(dataset_path)) as stream:
            collection = json.loads(b"".join(iter(lambda: stream.read(_READ_BYTES), b"")))
    except ObjectMissing:  # processed before there were tracks
        return []
    return [
        TrackLine(
            upload_id=upload_id,
            coordinates=feature["geometry"]["coordinates"],
            times=feature["properties"]["coordinateProperties"]["times"],
            speeds_mps=feature["properties"]["coordinateProperties"]["speedsMps"],
        )
        for feature in collection["features"]
    ]


def session_row(runner: Runner, owner: Owner, session_id: UUID) -> Row:
    """The session with its newest run and that run's job.

    Raises
    ------
    TelemetryError : NOT_FOUND.
    """
    rows = runner.run(_QUERIES["session"], id=session_id, owner_user_id=owner.user_id)
    if not rows:
        raise TelemetryError(Code.NOT_FOUND)
    return rows[0]


def _of_session(runner: Runner, owner: Owner, query: str, session_id: UUID, **limits: int) -> list[Row]:
    return runner.run(_QUERIES[query], session_id=session_id, owner_user_id=owner.user_id, **limits)


def _shown(services: Services, owner: Owner, query: str, session_id: UUID, **limits: int) -> list[Row]:
    """The rows of a session that there is."""
    with services.database.of_owner(owner.user_id).transaction() as transaction:
        session_row(transaction, owner, session_id)
        return _of_session(transaction, owner, query, session_id, **limits)


def _facts(row: Row) -> dict[str, Any]:
    names = ("name", "start_time_utc", "end_time_utc", "device_id", "summary", "created_at", "updated_at")
    status = SessionStatus(row["status"])
    failed = status is SessionStatus.FAILED
    return {
        "session_id": row["id"],
        "status": status,
        **{name: row[name] for name in names},
        "failure": _failure(row["error_code"], row["error_detail"]) if failed else None,
    }


def _datasets_facts(rows: list[Row]) -> list[dict[str, Any]]:
    """Once the reports are too long together, each further one leaves its lists by channel out, and says so."""
    left, found = MOST_REPORT_BYTES, []
    for row in rows:
        facts = {name: value for name, value in row.items() if name not in ("id", "artifact_id", "storage_path")}
        # A text in JSON, once as a part of the answer's body, once more as Lambda passes that on.
        left -= len(json.dumps(json.dumps(facts["quality"])))
        if left < 0:
            names = [name for name in _BY_CHANNEL if name in facts["quality"]]
            kept = {name: value for name, value in facts["quality"].items() if name not in names}
            facts["quality"] = {**kept, "leftOut": names}
        found.append({"dataset_id": row["id"], "upload_id": row["artifact_id"], **facts})
    return found


def _failure(error_code: str, detail: str | None = None) -> Failure:
    # A code of another version that this one does not know is an internal matter.
    known = error_code in Code.__members__
    code = Code(error_code) if known else Code.INTERNAL_ERROR
    return Failure(code, user_message(code, detail if known else None))


def _gate_failure(row: Row) -> Failure | None:
    """The latest search for laps at the owner's line, when it failed for good; its detail is the operator's."""
    return _failure(row["search_error_code"]) if row["search_status"] == JobStatus.FAILED else None


def _detecting_again(row: Row) -> bool:
    """A session stays ready while its laps are found again at another line."""
    return bool(row["status"] == SessionStatus.READY and row["job_type"] == JobType.DETECT_LAPS)


def _progress(row: Row) -> Progress | None:
    if row["job_type"] is None:
        return None
    return Progress(
        job=JobType(row["job_type"]),
        status=JobStatus(row["job_status"]),
        attempt=row["attempt_count"],
        max_attempts=row["max_attempts"],
        next_retry_at=row["next_retry_at"],
    )

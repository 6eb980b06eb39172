"""One canonical file into the store: its path, its bytes, and the dataset row that tells of it. Writes objects.

The path is one that no other attempt ever writes; the row is for the step's completion to insert.
"""

from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from telemetry.errors import Code, TelemetryError
from telemetry.pipeline.failpoints import failpoint
from telemetry.pipeline.step import Work
from telemetry.recording import CanonicalFile
from telemetry.services import Services

CONTENT_TYPE = "application/vnd.apache.parquet"


def dataset_path(services: Services, work: Work, artifact_id: UUID, stream: str) -> str:
    """A new path for a stream of an artifact, of this attempt alone."""
    return services.canonical.dataset_path(
        tenant_id=work.tenant_id,
        session_id=str(work.session_id),
        run_id=str(work.job.run_id),
        artifact_id=str(artifact_id),
        attempt=work.job.attempt_count,
        unique=uuid4().hex,
        stream=stream,
    )


def write(services: Services, work: Work, artifact_id: UUID, path: str, file: CanonicalFile) -> dict[str, Any]:
    """Puts a Parquet file at `path`, and gives its dataset row.

    Raises
    ------
    TelemetryError : STORAGE_UNAVAILABLE.
    """
    failpoint("before_parquet_put", work.job.job_type)
    put(services, path, file.path, file.sha256, CONTENT_TYPE)
    failpoint("after_parquet_put", work.job.job_type)
    return {
        "artifact_id": artifact_id,
        "stream": file.stream,
        "storage_path": path,
        "schema_version": int(file.schema_version),
        "row_count": file.row_count,
        "byte_size": file.byte_size,
        "sha256": file.sha256,
        "start_time_utc": file.start_time,
        "end_time_utc": file.end_time,
        "quality": file.quality,
    }


def put(services: Services, path: str, file: Path, sha256: str, content_type: str) -> None:
    """Puts a file of our own making at `path`.

    Raises
    ------
    TelemetryError : STORAGE_UNAVAILABLE, also where the bytes arrive changed: the owner's are as announced.
    """
    try:
        services.canonical.put_file(path, file, sha256=sha256, content_type=content_type)
    except TelemetryError as error:
        if error.code is Code.CHECKSUM_MISMATCH:
            raise TelemetryError(Code.STORAGE_UNAVAILABLE, "the canonical file arrived changed") from error
        raise

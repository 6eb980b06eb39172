"""The use cases of sessions: list, look, rename, cancel, retry, delete; their datasets, laps and devices.

Every query names the owner, so that another owner's id answers like an unknown one, and runs behind the wall of
row-level security: a query that forgot to would see no other owner's rows either.
"""

import json
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from telemetry import queue
from telemetry.database.connection import Row, Runner
from telemetry.database.queries import load
from telemetry.domain.names import clean_name
from telemetry.domain.owner import Owner
from telemetry.domain.states import ArtifactStatus, JobStatus, JobType, SessionStatus
from telemetry.errors import Code, TelemetryError, user_message
from telemetry.services import Services
from telemetry.storage.paths import track_path
from telemetry.storage.protocol import FileStore, SignedRequest
from telemetry.uploads import start_run

logger = logging.getLogger(__name__)

_QUERIES = load("sessions")
_DATASETS = load("datasets")
_GNSS_PVT = "gnss_pvt"
_READ_BYTES = 1 << 20


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
class Session:
    """A session as a list shows it. `summary` is empty until it is ready."""

    session_id: UUID
    name: str
    status: SessionStatus
    start_time_utc: datetime
    end_time_utc: datetime
    device_id: UUID | None
    summary: dict[str, Any]
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Page:
    """A page of sessions, and the position to go on from; None after the last."""

    sessions: list[Session]
    end: Position | None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a session failed: the code, and what the person may read."""

    code: Code
    message: str


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
    each point."""

    upload_id: UUID
    coordinates: list[list[float]]
    times: list[str]
    speeds_mps: list[float | None]


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
    """All there is to see of a session: `failure` when it failed, `progress` while something is at work on it, `gate`
    where the owner gave one."""

    run_id: UUID | None
    gate: dict[str, Any] | None
    failure: Failure | None
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
        row = _row(transaction, owner, session_id)
        files = _of_session(transaction, owner, "files_of_session", session_id)
        datasets = _of_session(transaction, owner, "datasets_of_session", session_id)
        laps = _of_session(transaction, owner, "laps_of_session", session_id)
    status = SessionStatus(row["status"])
    ready = status is SessionStatus.READY
    return SessionDetail(
        **_facts(row),
        run_id=row["run_id"],
        gate=row["gate"],
        failure=_failure(row) if status is SessionStatus.FAILED else None,
        progress=_progress(row) if status is SessionStatus.PROCESSING or _detecting_again(row) else None,
        files=[
            SessionFile(upload_id=file.pop("id"), file_name=file.pop("original_file_name"), **file) for file in files
        ],
        datasets=[Dataset(**_dataset_facts(found)) for found in datasets if ready],
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
            **_dataset_facts(row),
            download=services.canonical.sign_get(
                row["storage_path"], file_name=f"{session_id}-{row['stream']}.parquet", seconds=seconds
            ),
        )
        for row in datasets
    ]


def get_laps(services: Services, owner: Owner, session_id: UUID) -> list[Lap]:
    """The laps in order; none until the session is ready.

    Raises
    ------
    TelemetryError : NOT_FOUND.
    """
    return [Lap(**row) for row in _shown(services, owner, "laps_of_session", session_id)]


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
        if row["stream"] == _GNSS_PVT
        for line in _track_lines(services, row["artifact_id"], row["storage_path"])
    ]


def list_devices(services: Services, owner: Owner) -> list[Device]:
    """The owner's devices, the one used last first."""
    rows = services.database.of_owner(owner.user_id).run(_QUERIES["list_devices"], owner_user_id=owner.user_id)
    return [Device(device_id=row.pop("id"), **row) for row in rows]


def rename_session(services: Services, owner: Owner, session_id: UUID, name: str) -> SessionDetail:
    """Gives the session another name.

    Raises
    ------
    TelemetryError : NOT_FOUND; REQUEST_INVALID for a name of which nothing is left.
    """
    cleaned = clean_name(name)
    if not cleaned:
        raise TelemetryError(Code.REQUEST_INVALID, "name: must hold a visible character")
    database = services.database.of_owner(owner.user_id)
    if not database.run(_QUERIES["rename_session"], id=session_id, owner_user_id=owner.user_id, name=cleaned):
        raise TelemetryError(Code.NOT_FOUND)
    return get_session(services, owner, session_id)


def cancel_session(services: Services, owner: Owner, session_id: UUID) -> SessionDetail:
    """Stops the processing. A worker that is at it learns so at its next write. Doing it again is no error.

    Raises
    ------
    TelemetryError : NOT_FOUND; SESSION_STATE_CONFLICT when it has ended otherwise.
    """
    database = services.database.of_owner(owner.user_id)
    with database.transaction() as transaction:
        row = _row(transaction, owner, session_id)
    if row["status"] == SessionStatus.PROCESSING:
        with database.transaction() as transaction:
            queue.cancel_run(transaction, row["run_id"])
            # Nothing changed means that the run ended before its jobs could be held: then they stay as they were.
            if transaction.run(_QUERIES["cancel_run"], id=row["run_id"]) and transaction.run(
                _QUERIES["cancel_session"], id=session_id, owner_user_id=owner.user_id
            ):
                transaction.run(_DATASETS["delete_datasets_of_run"], run_id=row["run_id"])
                status = SessionStatus.CANCELLED
            else:
                raise TelemetryError(Code.SESSION_STATE_CONFLICT, "its processing has ended meanwhile")
    else:
        status = SessionStatus(row["status"])
    if status is not SessionStatus.CANCELLED:
        raise TelemetryError(Code.SESSION_STATE_CONFLICT, f"it is {status.lower()}")
    return get_session(services, owner, session_id)


def retry_session(services: Services, owner: Owner, session_id: UUID) -> SessionDetail:
    """Processes a failed session once more, in a new run over the raw files that are still kept.

    Raises
    ------
    TelemetryError : NOT_FOUND; SESSION_STATE_CONFLICT when it has not failed; RAW_DISCARDED.
    """
    with services.database.of_owner(owner.user_id).transaction() as transaction:
        if not transaction.run(_QUERIES["reopen_session"], id=session_id, owner_user_id=owner.user_id):
            status = _row(transaction, owner, session_id)["status"]
            raise TelemetryError(Code.SESSION_STATE_CONFLICT, f"it is {status.lower()}")
        artifacts = transaction.run(_QUERIES["lock_artifacts"], session_id=session_id, owner_user_id=owner.user_id)
        if any(artifact["discarded_at"] is not None for artifact in artifacts):
            raise TelemetryError(Code.RAW_DISCARDED)
        transaction.run(_QUERIES["readmit_artifacts"], session_id=session_id)
        start_run(transaction, session_id, [artifact["id"] for artifact in artifacts])
    services.nudges.send()
    return get_session(services, owner, session_id)


def delete_session(services: Services, owner: Owner, session_id: UUID) -> None:
    """Deletes the session for good: its rows in one transaction, then its raw and canonical files.

    A worker that is at it finds its job gone. Files that cannot be deleted now belong to no row any more and are
    swept later.

    Raises
    ------
    TelemetryError : NOT_FOUND.
    """
    mine: dict[str, Any] = {"session_id": session_id, "owner_user_id": owner.user_id}
    with services.database.of_owner(owner.user_id).transaction() as transaction:
        # In the order of locks that everyone keeps (job, run, session, artifact), so that a worker completing a job
        # of this session is waited for rather than met halfway.
        for run in transaction.run(_QUERIES["runs_to_delete"], **mine):
            queue.cancel_run(transaction, run["id"])
        transaction.run(_QUERIES["lock_runs"], **mine)
        paths = transaction.run(_QUERIES["paths_of_session"], **mine)
        if not transaction.run(_QUERIES["delete_session"], id=session_id, owner_user_id=owner.user_id):
            raise TelemetryError(Code.NOT_FOUND)
    stores: dict[str, FileStore] = {"raw": services.raw, "canonical": services.canonical}
    doomed = [(stores[row["store"]], row["path"]) for row in paths]
    doomed += [(services.canonical, track_path(row["path"])) for row in paths if row["stream"] == _GNSS_PVT]
    for store, path in doomed:
        try:
            store.delete(path)
        except TelemetryError as error:
            logger.warning("file left for the sweep", extra={"session_id": str(session_id), "code": str(error.code)})


def _track_lines(services: Services, upload_id: UUID, dataset_path: str) -> list[TrackLine]:
    try:
        with services.canonical.open(track_path(dataset_path)) as stream:
            collection = json.loads(b"".join(iter(lambda: stream.read(_READ_BYTES), b"")))
    except TelemetryError as error:
        if error.code is Code.RAW_DISCARDED:  # processed before there were tracks
            return []
        raise
    return [
        TrackLine(
            upload_id=upload_id,
            coordinates=feature["geometry"]["coordinates"],
            times=feature["properties"]["coordinateProperties"]["times"],
            speeds_mps=feature["properties"]["coordinateProperties"]["speedsMps"],
        )
        for feature in collection["features"]
    ]


def _row(runner: Runner, owner: Owner, session_id: UUID) -> Row:
    rows = runner.run(_QUERIES["session"], id=session_id, owner_user_id=owner.user_id)
    if not rows:
        raise TelemetryError(Code.NOT_FOUND)
    return rows[0]


def _of_session(runner: Runner, owner: Owner, query: str, session_id: UUID) -> list[Row]:
    return runner.run(_QUERIES[query], session_id=session_id, owner_user_id=owner.user_id)


def _shown(services: Services, owner: Owner, query: str, session_id: UUID) -> list[Row]:
    """The rows of a session that there is."""
    with services.database.of_owner(owner.user_id).transaction() as transaction:
        _row(transaction, owner, session_id)
        return _of_session(transaction, owner, query, session_id)


def _facts(row: Row) -> dict[str, Any]:
    names = ("name", "start_time_utc", "end_time_utc", "device_id", "summary", "created_at", "updated_at")
    return {
        "session_id": row["id"],
        "status": SessionStatus(row["status"]),
        **{name: row[name] for name in names},
    }


def _dataset_facts(row: Row) -> dict[str, Any]:
    facts = {name: value for name, value in row.items() if name not in ("id", "artifact_id", "storage_path")}
    return {"dataset_id": row["id"], "upload_id": row["artifact_id"], **facts}


def _failure(row: Row) -> Failure:
    # A code of another version that this one does not know is an internal matter.
    known = row["error_code"] in Code.__members__
    code = Code(row["error_code"]) if known else Code.INTERNAL_ERROR
    return Failure(code, user_message(code, row["error_detail"] if known else None))


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

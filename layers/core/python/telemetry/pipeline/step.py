"""What a step is, what it works on, and how it tells that it gets on. Touches the database to load and to renew.

A step does its reading and writing of files first, outside any transaction, and returns the writes that its
completion makes; `pipeline.execute` makes them in the one transaction that completes the job.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Protocol, TypeAlias
from uuid import UUID

from telemetry import queue
from telemetry.database.connection import Database, Row, Transaction
from telemetry.database.queries import load
from telemetry.database.storable import storable_text
from telemetry.domain.states import ArtifactStatus, RunStatus
from telemetry.errors import Code, TelemetryError
from telemetry.services import Services
from telemetry.storage.protocol import ObjectMissing

_QUERIES = load("pipeline")

Completion: TypeAlias = Callable[[Transaction], None]
"""A step's own writes, run inside the transaction that completes its job: run, session, artifact, in this order."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """An uploaded file as its row says."""

    id: UUID
    original_file_name: str
    byte_size: int
    sha256: str
    status: ArtifactStatus
    storage_path: str
    object_etag: str | None
    format: str | None
    compression: str | None
    uploaded_at: datetime
    discarded_at: datetime | None


@dataclass(frozen=True, slots=True)
class Work:
    """A claimed job with all that its step needs to know."""

    job: queue.Job
    run_status: RunStatus
    session_id: UUID
    tenant_id: str
    owner_user_id: str
    artifacts: tuple[Artifact, ...]


class Step(Protocol):
    """One step of the chain: what it does to files now, and the writes it leaves for the completion."""

    def __call__(self, services: Services, work: Work, heartbeat: "Heartbeat") -> Completion: ...


class ArtifactError(TelemetryError):
    """A failure that one artifact of the run caused."""

    def __init__(self, artifact_id: UUID, code: Code, detail: str) -> None:
        super().__init__(code, detail)
        self.artifact_id = artifact_id


class OutOfTime(Exception):
    """The worker's life ends before the step does."""


@contextmanager
def concerning(work: Work, artifact: Artifact) -> Iterator[None]:
    """Failures inside concern `artifact`; where the run has several, the detail names the file.

    An object that is missing inside is its raw one: RAW_DISCARDED.
    """
    try:
        try:
            yield
        except ObjectMissing:
            raise TelemetryError(Code.RAW_DISCARDED) from None
    except TelemetryError as error:
        named = storable_text(artifact.original_file_name)[:100]
        detail = f"{named}: {error.detail}" if len(work.artifacts) > 1 else error.detail
        raise ArtifactError(artifact.id, error.code, detail) from error


class Heartbeat:
    """Renews the lease while a step gets on, and stops the step when time runs out.

    A step calls it after each piece of work, so a step that hangs renews nothing and is rescued.

    Parameters
    ----------
    lease_s : how long a claim holds; it is renewed when a third of it has passed.
    remaining_ms : time left in this worker's life, already less what ending takes.
    """

    def __init__(
        self,
        database: Database,
        job: queue.Job,
        *,
        lease_s: float,
        remaining_ms: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._job = job
        self._interval_s = lease_s / 3
        self._remaining_ms = remaining_ms
        self._clock = clock
        self._renewed_at = clock()

    def __call__(self, *_: object) -> None:
        """Something got done.

        Raises
        ------
        LeaseLost : the job is no longer this worker's.
        OutOfTime : no time is left to finish in.
        """
        if self._remaining_ms() <= 0:
            raise OutOfTime
        now = self._clock()
        if now - self._renewed_at >= self._interval_s:
            queue.heartbeat(self._database, self._job)
            self._renewed_at = now


def load_work(database: Database, job: queue.Job) -> Work:
    """Reads what the job is about, and sets its run RUNNING at the first claim.

    Raises
    ------
    LeaseLost : the run is gone (its session was deleted), or was ended meanwhile.
    TelemetryError : INTERNAL_ERROR when the payload names an artifact that is not of this session.
    """
    wanted = [str(artifact_id) for artifact_id in job.payload.get("artifactIds", [])]
    rows = database.run(_QUERIES["work_of_job"], run_id=job.run_id, artifact_ids=wanted)
    if not rows:
        raise queue.LeaseLost(f"job {job.id}: its run is gone")
    first = rows[0]
    if first["run_status"] in (RunStatus.FAILED, RunStatus.CANCELLED):
        raise queue.LeaseLost(f"job {job.id}: its run has ended")
    if first["run_status"] == RunStatus.QUEUED:
        database.run(_QUERIES["start_run"], run_id=job.run_id)
    artifacts = tuple(_artifact(row) for row in rows if row["id"] is not None)
    if not wanted or len(artifacts) != len(set(wanted)):
        raise TelemetryError(Code.INTERNAL_ERROR, "the job names artifacts that its session does not have")
    return Work(
        job=job,
        run_status=RunStatus(first["run_status"]),
        session_id=first["session_id"],
        tenant_id=first["tenant_id"],
        owner_user_id=first["owner_user_id"],
        artifacts=artifacts,
    )


def _artifact(row: Row) -> Artifact:
    columns = {column.name: row[column.name] for column in fields(Artifact)}
    return Artifact(**{**columns, "status": ArtifactStatus(row["status"])})


def changed(rows: list[Row]) -> Row:
    """The one row that a guarded statement changed.

    Raises
    ------
    LeaseLost : none; somebody else moved it on, so nothing of this transaction may count.
    """
    if not rows:
        raise queue.LeaseLost("a guarded write changed no row")
    return rows[0]

"""Jobs for the tests of the queue: made, claimed, looked at, and aged."""

from typing import Any
from uuid import UUID

from telemetry import queue
from telemetry.database.connection import Database
from telemetry.database.queries import Query
from telemetry.domain.states import JobType
from telemetry.errors import Code, TelemetryError
from telemetry.queue import Job

ERROR = TelemetryError(Code.STORAGE_UNAVAILABLE, "GET answered 503")


def query(sql: str) -> Query:
    return Query("test", "A test's own.", sql)


def new_run(database: Database) -> UUID:
    """A session and its run, with nothing queued."""
    run_id: UUID = database.run(
        query(
            "WITH session AS (INSERT INTO telemetry_sessions (tenant_id, owner_user_id, name) "
            "VALUES ('anna', 'anna', 'a') RETURNING id) "
            "INSERT INTO telemetry_processing_runs (session_id, pipeline_version) SELECT id, '1' FROM session "
            "RETURNING id"
        )
    )[0]["id"]
    return run_id


def new_job(database: Database, **payload: Any) -> UUID:
    """A job that is due, in a run of its own."""
    run_id = new_run(database)
    with database.transaction() as transaction:
        return queue.enqueue(transaction, run_id, JobType.PARSE_RAW, payload)


def claim_of(worker: str) -> queue.Claim:
    """A claim of its own."""
    return queue.Claims(worker).next()


def claimed(database: Database, worker: str = "worker") -> Job:
    job = queue.claim(database, worker)
    assert job is not None
    return job


def row_of(database: Database, job_id: UUID) -> dict[str, Any]:
    return database.run(query("SELECT * FROM telemetry_jobs WHERE id = :id"), id=job_id)[0]


def age(database: Database, job: Job, seconds: float) -> None:
    """Moves the job's latest sign of life into the past."""
    database.run(
        query("UPDATE telemetry_jobs SET locked_at = now() - make_interval(secs => :seconds) WHERE id = :id"),
        id=job.id,
        seconds=seconds,
    )


def put_off(database: Database, job_id: UUID) -> None:
    """As after a failed attempt, until `make_due`."""
    database.run(query("UPDATE telemetry_jobs SET next_retry_at = now() + interval '1 hour' WHERE id = :id"), id=job_id)


def make_due(database: Database) -> None:
    database.run(query("UPDATE telemetry_jobs SET next_retry_at = now() - interval '1 s' WHERE next_retry_at > now()"))


def complete_and_claim(
    database: Database,
    job: Job,
    successor: JobType | None = None,
    worker: str | None = "worker",
    wanted: queue.Claim | None = None,
) -> Job | None:
    """In a transaction of its own; claims for `worker`, or as `wanted` has it."""
    with database.transaction() as transaction:
        return queue.complete_and_claim(
            transaction, job, successor=successor, wanted=wanted or (None if worker is None else claim_of(worker))
        )

"""The verbs over telemetry_jobs: claim, heartbeat, complete and claim the next, retry, fail, cancel, rescue.

A job belongs to the worker that claimed it until its lease passes. Every later write carries the fence (id, status,
locked_by, attempt_count) and raises `LeaseLost` when it changes nothing. Rows of runs, sessions and artifacts are
not touched here; their use cases follow in the same transaction, in the lock order job, run, session, artifact.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from telemetry.database.connection import Row, Runner, Transaction
from telemetry.database.queries import load
from telemetry.domain.states import JobStatus, JobType
from telemetry.errors import Code, TelemetryError

FULL_LOOK_S = 5.0
"""For at most so long a worker's completions look for jobs only behind the one that it took last."""

_NEAR = 32
"""More jobs than other workers take between a look at the queue and the claim that follows."""


class LeaseLost(Exception):
    """The job is no longer this worker's: rescued, cancelled or deleted meanwhile. Roll back, discard, go on."""


@dataclass(frozen=True, slots=True)
class Job:
    """A claimed job. `locked_by` and `attempt_count` are its fence; `payload` names what to work on; `created_at` is
    its place in the order of claims."""

    id: UUID
    run_id: UUID
    job_type: JobType
    payload: dict[str, Any]
    attempt_count: int
    max_attempts: int
    locked_by: str
    created_at: datetime

    @property
    def is_last_attempt(self) -> bool:
        """True when a failure of this attempt is final."""
        return self.attempt_count >= self.max_attempts


@dataclass(frozen=True, slots=True)
class RescuedJob:
    """A job taken from a silent worker: `QUEUED` again until `next_retry_at`, or `FAILED` with WORKER_LOST."""

    id: UUID
    run_id: UUID
    job_type: JobType
    payload: dict[str, Any]
    status: JobStatus
    attempt_count: int
    next_retry_at: datetime | None


@dataclass(frozen=True, slots=True)
class Depth:
    """The queue at one moment: jobs due now, waiting for a retry, running; seconds that the oldest due one waits."""

    due: int
    waiting: int
    running: int
    oldest_due_s: float


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim for a completion to make. `locked_by` is of this claim alone, so that it can be asked for when its answer
    was lost; jobs created before `since` are not looked at, None looks at all."""

    locked_by: str
    since: datetime | None = None


class Claims:
    """The claims of one worker, one after the other: `take` for one by itself, `next` for one that a completion makes.

    While somebody's transaction stays open, PostgreSQL keeps the index entries of all jobs claimed meanwhile, and a
    claim that begins at the oldest walks over every one of them. So a worker's completions go on from the job that it
    took last, and begin at the oldest again every `FULL_LOOK_S`. What came due behind it in between (a retry, a commit
    that took long) is taken then, as if it had been committed that much later. A claim by itself is always for the
    oldest due job, so nothing due is ever said to be nothing.

    Parameters
    ----------
    worker : who works here, for people who read the table; a fresh id per claim is added, as a dead worker's name
        may come back.
    """

    def __init__(self, worker: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._worker = worker
        self._clock = clock
        self._since: datetime | None = None
        self._looked_at = clock()

    def next(self) -> Claim:
        """A claim for `complete_and_claim`, of an id of its own, from the job taken last on, or of all."""
        now = self._clock()
        if now - self._looked_at >= FULL_LOOK_S:
            self._since, self._looked_at = None, now
        return Claim(_locked_by(self._worker), self._since)

    def took(self, job: Job) -> None:
        """The next completion goes on from here."""
        self._since = job.created_at

    def take(self, runner: Runner) -> Job | None:
        """`claim`, from which the completions that follow go on."""
        self._looked_at = self._clock()
        job = claim(runner, self._worker)
        if job is not None:
            self.took(job)
        return job


def claim(runner: Runner, worker: str) -> Job | None:
    """Takes the oldest due job, or gives None when there is none.

    Raises
    ------
    TelemetryError : DATABASE_UNAVAILABLE; where only the answer was lost, the job is given all the same.
    """
    made = Claim(_locked_by(worker))
    try:
        rows = runner.run(load("jobs")["claim"], locked_by=made.locked_by)
    except TelemetryError:
        # Perhaps the claim was made, and only its answer lost.
        if (job := claimed(runner, made)) is None:
            raise
        return job
    return Job(**_typed(rows[0])) if rows else None


def retry_is_near(runner: Runner, since: datetime | None = None) -> bool:
    """True when a claim made now may take a job that was tried before.

    Parameters
    ----------
    since : as of `Claim`.
    """
    near: bool = runner.run(load("jobs")["retry_is_near"], since=since, near=_NEAR)[0]["retry"]
    return near


def claimed(runner: Runner, made: Claim) -> Job | None:
    """The job that a claim took whose answer was lost; None when it took none, or has lost it since."""
    rows = runner.run(load("jobs")["claimed"], locked_by=made.locked_by)
    return Job(**_typed(rows[0])) if rows else None


def heartbeat(runner: Runner, job: Job) -> None:
    """Renews the lease. Call it when the work has moved on, never from a mere timer.

    Raises
    ------
    LeaseLost : the job is no longer ours.
    """
    _fenced(runner, "heartbeat", job)


def complete_and_claim(
    runner: Runner, job: Job, *, successor: JobType | None = None, wanted: Claim | None = None
) -> Job | None:
    """Ends the job as SUCCEEDED, enqueues its successor, and takes the next due job: one statement, one fence.

    The next job is the worker's only once the transaction has committed; rolled back, it is due as before. A worker
    that dies after the commit leaves it to be rescued, as after a plain `claim`. In the order of locks this is the
    job's place, the first: the claim waits for no row.

    Parameters
    ----------
    successor : type of the job that follows in the same run, with the same payload. It is not claimed here, even
        when nothing else is due.
    wanted : the claim to be made, of the oldest job that is due and not older than its `since`; None to take no
        further job.

    Raises
    ------
    LeaseLost : the job is no longer ours; nothing is enqueued or claimed.
    UniqueViolation : the run has a live job of the successor's type already.
    """
    row = _fenced(
        runner,
        "complete_and_claim",
        job,
        successor=successor,
        next_locked_by=None if wanted is None else wanted.locked_by,
        since=None if wanted is None else wanted.since,
    )
    return None if row["id"] is None else Job(**_typed(row))


def completed(runner: Runner, job: Job) -> bool:
    """True when this attempt did complete its job, though the answer to the COMMIT was lost.

    A COMMIT that is still on its way is waited for, as long as a statement may take.
    """
    rows = runner.run(load("jobs")["state"], id=job.id)
    return bool(rows) and rows[0] == {"status": JobStatus.SUCCEEDED, "attempt_count": job.attempt_count}


def enqueue(transaction: Transaction, run_id: UUID, job_type: JobType, payload: dict[str, Any]) -> UUID:
    """Adds a job and gives its id.

    Raises
    ------
    UniqueViolation : the run has a live job of this type already.
    """
    rows = transaction.run(load("jobs")["enqueue"], run_id=run_id, job_type=job_type, payload=payload)
    job_id: UUID = rows[0]["id"]
    return job_id


def retry_later(transaction: Transaction, job: Job, error: TelemetryError) -> datetime:
    """Gives the job back with backoff, and says when it is due again.

    Raises
    ------
    LeaseLost : the job is no longer ours.
    ValueError : this was the last attempt; `fail` is the verb then.
    """
    if job.is_last_attempt:
        raise ValueError(f"attempt {job.attempt_count} was the last of {job.max_attempts}")
    due_at: datetime = _fenced(transaction, "retry_later", job, **_error(error))["next_retry_at"]
    return due_at


def fail(transaction: Transaction, job: Job, error: TelemetryError) -> None:
    """Ends the job as FAILED, whatever attempts are left.

    Raises
    ------
    LeaseLost : the job is no longer ours.
    """
    _fenced(transaction, "fail", job, **_error(error))


def cancel_jobs(transaction: Transaction, run_id: UUID) -> int:
    """Cancels every live job of the run and gives how many there were.

    A job that completes at the same time may enqueue its successor while we wait for its row, and the statement
    that waited does not see the successor: so until none is seen alive.
    """
    cancelled = 0
    while True:
        cancelled += len(transaction.run(load("jobs")["cancel_live"], run_id=run_id))
        if not is_live(transaction, run_id):
            return cancelled


def is_live(runner: Runner, run_id: UUID) -> bool:
    """True while a job of the run is queued or running."""
    live: int = runner.run(load("jobs")["count_live"], run_id=run_id)[0]["live"]
    return live > 0


def rescue(runner: Runner, lease_s: float, limit: int = 100) -> list[RescuedJob]:
    """Takes at most `limit` jobs whose lease has passed from their workers, those silent for longest first.

    Give it a transaction, so that run and session of a job that came out FAILED fail together with it. Several
    rescuers at once share the work; none waits for another.

    Parameters
    ----------
    lease_s : seconds that a claim holds without a heartbeat.
    """
    error = TelemetryError(Code.WORKER_LOST, f"no sign of life for {lease_s:g} s")
    rows = runner.run(load("jobs")["rescue"], lease_s=float(lease_s), batch=limit, **_error(error))
    return [RescuedJob(**_typed(row) | {"status": JobStatus(row["status"])}) for row in rows]


def depth(runner: Runner) -> Depth:
    """The queue's figures for metrics and alarms."""
    return Depth(**runner.run(load("jobs")["depth"])[0])


def _locked_by(worker: str) -> str:
    return f"{worker}/{uuid4()}"


def _fenced(runner: Runner, name: str, job: Job, **parameters: Any) -> Row:
    rows = runner.run(
        load("jobs")[name], id=job.id, locked_by=job.locked_by, attempt_count=job.attempt_count, **parameters
    )
    if not rows:
        raise LeaseLost(f"{job.job_type} {job.id}, attempt {job.attempt_count}")
    return rows[0]


def _error(error: TelemetryError) -> dict[str, str]:
    return {"error_code": error.code, "error_message": error.detail or error.entry.title}


def _typed(row: Row) -> Row:
    return row | {"job_type": JobType(row["job_type"])}

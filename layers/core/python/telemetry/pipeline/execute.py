"""One attempt at one claimed job: its step, then the one transaction that completes it, or the one that fails it."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from telemetry import queue
from telemetry.domain.states import RunStatus
from telemetry.errors import Code, TelemetryError
from telemetry.pipeline.failpoints import failpoint
from telemetry.pipeline.failure import record_failure, unexpected
from telemetry.pipeline.outcome import Outcome
from telemetry.pipeline.step import Heartbeat, OutOfTime, load_work
from telemetry.pipeline.steps import STEPS, following
from telemetry.services import Services

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Executed:
    """How an attempt ended, and the job that its completion claimed: this worker's to execute now."""

    outcome: Outcome
    next_job: queue.Job | None = None


def _none() -> None:
    """Claims no further job."""


def execute(
    services: Services,
    job: queue.Job,
    *,
    remaining_ms: Callable[[], int],
    whole_life: bool,
    next_claim: Callable[[], queue.Claim | None] = _none,
) -> Executed:
    """Runs the job's step and records how it ended. No store is called while a transaction is open.

    Parameters
    ----------
    remaining_ms : time left for the step.
    whole_life : True when the attempt began with a worker's life before it. If that is not enough, no later attempt
        has more: the job fails with PROCESSING_TIMEOUT instead of being tried again.
    next_claim : asked once the step has succeeded: the claim that the completing transaction makes; None when no
        further job is to be begun.

    Raises
    ------
    TelemetryError : DATABASE_UNAVAILABLE when not even the failure could be written; the lease lapses.
    """
    failpoint("after_claim", job.job_type)
    try:
        try:
            next_job = _attempt(services, job, remaining_ms, next_claim)
        except queue.LeaseLost:
            raise
        except OutOfTime:
            timeout = TelemetryError(Code.PROCESSING_TIMEOUT, f"{job.job_type} needs more than the worker's time")
            outcome = record_failure(services.database, job, timeout, try_again=not whole_life)
        except TelemetryError as error:
            outcome = record_failure(services.database, job, error)
        except Exception as error:
            outcome = record_failure(services.database, job, unexpected(error))
        else:
            failpoint("after_commit", job.job_type)
            return Executed(Outcome.SUCCEEDED, next_job)
    except queue.LeaseLost:
        logger.warning("job lost", extra=_identity(job))
        return Executed(Outcome.LOST)
    return Executed(outcome)


def _attempt(
    services: Services, job: queue.Job, remaining_ms: Callable[[], int], next_claim: Callable[[], queue.Claim | None]
) -> queue.Job | None:
    heartbeat = Heartbeat(services.database, job, lease_s=services.settings.lease_s, remaining_ms=remaining_ms)
    work = load_work(services.database, job)
    complete = STEPS[job.job_type](services, work, heartbeat)
    # Work on a run that has succeeded, as finding laps at another line, is the last link of no chain.
    chained = work.run_status is not RunStatus.SUCCEEDED
    successor = following(job.job_type, services.settings) if chained else None
    wanted = next_claim()
    try:
        with services.database.transaction() as transaction:
            # Row locks in the order job, run, session, artifact, as everywhere.
            next_job = queue.complete_and_claim(transaction, job, successor=successor, wanted=wanted)
            complete(transaction)
            failpoint("in_completing_transaction", job.job_type)
    except TelemetryError:
        # Perhaps only the answer to the COMMIT was lost: then the job is done, and the next one is ours.
        if not queue.completed(services.database, job):
            raise
        return None if wanted is None else queue.claimed(services.database, wanted)
    return next_job


def _identity(job: queue.Job) -> dict[str, object]:
    return {
        "job_id": str(job.id),
        "run_id": str(job.run_id),
        "job_type": str(job.job_type),
        "attempt": job.attempt_count,
    }

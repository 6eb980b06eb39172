"""One attempt at one claimed job: its step, then the one transaction that completes it, or the one that fails it."""

import logging
from collections.abc import Callable

from telemetry import queue
from telemetry.errors import Code, TelemetryError
from telemetry.pipeline.failpoints import failpoint
from telemetry.pipeline.failure import record_failure, unexpected
from telemetry.pipeline.outcome import Outcome
from telemetry.pipeline.step import OutOfTime, Progress, load_work
from telemetry.pipeline.steps import STEPS, following
from telemetry.services import Services

logger = logging.getLogger(__name__)


def execute(services: Services, job: queue.Job, *, remaining_ms: Callable[[], int], whole_life: bool) -> Outcome:
    """Runs the job's step and records how it ended. No store is called while a transaction is open.

    Parameters
    ----------
    remaining_ms : time left for the step.
    whole_life : True when the attempt began with a worker's life before it. If that is not enough, no later attempt
        has more: the job fails with PROCESSING_TIMEOUT instead of being tried again.

    Raises
    ------
    TelemetryError : DATABASE_UNAVAILABLE when not even the failure could be written; the lease lapses.
    """
    failpoint("after_claim", job.job_type)
    try:
        try:
            _attempt(services, job, remaining_ms)
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
            return Outcome.SUCCEEDED
    except queue.LeaseLost:
        logger.warning("job lost", extra=_identity(job))
        return Outcome.LOST
    return outcome


def _attempt(services: Services, job: queue.Job, remaining_ms: Callable[[], int]) -> None:
    progress = Progress(services.database, job, lease_s=services.settings.lease_s, remaining_ms=remaining_ms)
    work = load_work(services.database, job)
    complete = STEPS[job.job_type](services, work, progress)
    successor = following(job.job_type, services.settings)
    with services.database.transaction() as transaction:
        # Row locks in the order job, run, session, artifact, as everywhere.
        queue.complete(transaction, job)
        if successor is not None:
            queue.enqueue(transaction, job.run_id, successor, job.payload)
        complete(transaction)
        failpoint("in_completing_transaction", job.job_type)


def _identity(job: queue.Job) -> dict[str, object]:
    return {
        "job_id": str(job.id),
        "run_id": str(job.run_id),
        "job_type": str(job.job_type),
        "attempt": job.attempt_count,
    }

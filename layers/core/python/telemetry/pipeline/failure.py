"""What a failed attempt leaves in the database: a retry, or a failed run, session and artifact. One place for all.

The write of a failure must succeed whatever the failure's text holds.
"""

import logging
import traceback
from pathlib import Path
from uuid import UUID

from telemetry import queue
from telemetry.database.connection import Database, Transaction
from telemetry.database.queries import load
from telemetry.errors import Code, TelemetryError
from telemetry.pipeline.outcome import Outcome
from telemetry.pipeline.step import ArtifactError

logger = logging.getLogger(__name__)
_QUERIES = load("pipeline")
_DATASETS = load("datasets")

LONGEST_DETAIL = 2000

# Permanent codes that say nothing against the bytes: the artifact stays usable for a retry.
_NOT_THE_INPUT = frozenset({Code.RAW_DISCARDED, Code.PROCESSING_TIMEOUT, Code.WORKER_LOST, Code.SETTINGS_INVALID})


def unexpected(error: Exception) -> TelemetryError:
    """INTERNAL_ERROR for an exception that nobody foresaw, naming its type and place.

    The exception's own text is left out here and in the log: it may quote a coordinate or a signed address.
    """
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "nowhere"
    logger.error(
        "unexpected error",
        extra={
            "error": type(error).__name__,
            "frames": [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames],
        },
    )
    return TelemetryError(Code.INTERNAL_ERROR, f"{type(error).__name__} at {place}")


def record_failure(
    database: Database, job: queue.Job, error: TelemetryError, *, try_again: bool | None = None
) -> Outcome:
    """Writes the failure of an attempt, fenced, in one transaction.

    A retryable error goes back to the queue with backoff until the attempts are used up; then, like a permanent
    one, it fails the job, its run and its session, and bad input also its artifact.

    Parameters
    ----------
    try_again : whether another attempt may help; by default what the catalogue says of the error.

    Raises
    ------
    LeaseLost : the job is no longer this worker's; nothing was written.
    TelemetryError : DATABASE_UNAVAILABLE; the lease lapses and the job is rescued.
    """
    again = error.retryable if try_again is None else try_again
    kept = TelemetryError(error.code, error.detail[:LONGEST_DETAIL])
    with database.transaction() as transaction:
        if again and not job.is_last_attempt:
            queue.retry_later(transaction, job, kept)
            return Outcome.RETRIED
        queue.fail(transaction, job, kept)
        fail_run(transaction, job.run_id, error.code, _for_the_owner(kept))
        if isinstance(error, ArtifactError) and not error.retryable and error.code not in _NOT_THE_INPUT:
            transaction.run(_QUERIES["reject_artifact"], artifact_id=error.artifact_id)
    return Outcome.FAILED


def fail_run(transaction: Transaction, run_id: UUID, code: Code, detail: str | None) -> None:
    """Ends a run and its session as FAILED. A run that succeeded already is left alone, and so is its session."""
    for row in transaction.run(_QUERIES["fail_run"], run_id=run_id, error_code=str(code), error_detail=detail or None):
        transaction.run(_DATASETS["delete_datasets_of_run"], run_id=run_id)
        transaction.run(_QUERIES["fail_session"], session_id=row["session_id"])


def _for_the_owner(error: TelemetryError) -> str | None:
    # Types and places of our code are the operator's, and stay in the job.
    return None if error.code is Code.INTERNAL_ERROR else error.detail

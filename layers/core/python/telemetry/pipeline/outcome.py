"""How an attempt at a job ended."""

from enum import StrEnum


class Outcome(StrEnum):
    """Named as in the worker's metrics."""

    SUCCEEDED = "succeeded"
    RETRIED = "retried"
    FAILED = "failed"
    LOST = "lost"
    """Another worker, a rescue, a cancel or a delete took the job; nothing of the attempt counts."""

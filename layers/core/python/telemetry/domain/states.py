"""States of artifacts, runs, sessions and jobs, and the transitions that exist. Standard library only."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class ArtifactStatus(StrEnum):
    """`UPLOADED`: row exists and bytes are expected; `received_at` says that they came."""

    UPLOADED = "UPLOADED"
    VALIDATED = "VALIDATED"
    CLASSIFIED = "CLASSIFIED"
    PARSED = "PARSED"
    DISCARDED = "DISCARDED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"


class RunStatus(StrEnum):
    """A retry is a new run."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class SessionStatus(StrEnum):
    """`FAILED` returns to `PROCESSING` by a retry while the raw file is kept."""

    PROCESSING = "PROCESSING"
    READY = "READY"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class JobStatus(StrEnum):
    """`RUNNING` returns to `QUEUED` for a retry with backoff."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class JobType(StrEnum):
    """The steps of one run, in their order."""

    ARTIFACT_VALIDATE = "artifact_validate"
    ARTIFACT_CLASSIFY = "artifact_classify"
    PARSE_RAW = "parse_raw"
    DETECT_LAPS = "detect_laps"
    DISCARD_RAW = "discard_raw"

    def successor(self) -> "JobType | None":
        """The step that a success of this one enqueues, or None after the last."""
        order = list(JobType)
        following = order.index(self) + 1
        return order[following] if following < len(order) else None


# Triggers in the database enforce them; a test compares the two, transition by transition.
ARTIFACT_TRANSITIONS: Mapping[ArtifactStatus, frozenset[ArtifactStatus]] = MappingProxyType(
    {
        ArtifactStatus.UPLOADED: frozenset({ArtifactStatus.VALIDATED, ArtifactStatus.REJECTED, ArtifactStatus.EXPIRED}),
        ArtifactStatus.VALIDATED: frozenset({ArtifactStatus.CLASSIFIED, ArtifactStatus.REJECTED}),
        ArtifactStatus.CLASSIFIED: frozenset({ArtifactStatus.PARSED, ArtifactStatus.REJECTED}),
        ArtifactStatus.PARSED: frozenset({ArtifactStatus.DISCARDED}),
        ArtifactStatus.DISCARDED: frozenset(),
        # A retry of the session while the raw bytes are kept takes a refused artifact back.
        ArtifactStatus.REJECTED: frozenset({ArtifactStatus.UPLOADED}),
        ArtifactStatus.EXPIRED: frozenset(),
    }
)

RUN_TRANSITIONS: Mapping[RunStatus, frozenset[RunStatus]] = MappingProxyType(
    {
        RunStatus.QUEUED: frozenset({RunStatus.RUNNING, RunStatus.FAILED, RunStatus.CANCELLED}),
        RunStatus.RUNNING: frozenset({RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED}),
        RunStatus.SUCCEEDED: frozenset(),
        RunStatus.FAILED: frozenset(),
        RunStatus.CANCELLED: frozenset(),
    }
)

SESSION_TRANSITIONS: Mapping[SessionStatus, frozenset[SessionStatus]] = MappingProxyType(
    {
        SessionStatus.PROCESSING: frozenset({SessionStatus.READY, SessionStatus.FAILED, SessionStatus.CANCELLED}),
        SessionStatus.READY: frozenset(),
        SessionStatus.FAILED: frozenset({SessionStatus.PROCESSING}),
        SessionStatus.CANCELLED: frozenset(),
    }
)

JOB_TRANSITIONS: Mapping[JobStatus, frozenset[JobStatus]] = MappingProxyType(
    {
        JobStatus.QUEUED: frozenset({JobStatus.RUNNING, JobStatus.CANCELLED}),
        JobStatus.RUNNING: frozenset({JobStatus.SUCCEEDED, JobStatus.QUEUED, JobStatus.FAILED, JobStatus.CANCELLED}),
        JobStatus.SUCCEEDED: frozenset(),
        JobStatus.FAILED: frozenset(),
        JobStatus.CANCELLED: frozenset(),
    }
)

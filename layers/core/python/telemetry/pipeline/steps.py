"""The steps by job type, and which follows which. Adding one is a module, and its place here and in `JobType`."""

from collections.abc import Mapping
from types import MappingProxyType

from telemetry.domain.states import JobType
from telemetry.pipeline import artifact_classify, artifact_validate, detect_laps, discard_raw, parse_raw
from telemetry.pipeline.step import Step
from telemetry.settings import Settings

STEPS: Mapping[JobType, Step] = MappingProxyType(
    {
        JobType.ARTIFACT_VALIDATE: artifact_validate.perform,
        JobType.ARTIFACT_CLASSIFY: artifact_classify.perform,
        JobType.PARSE_RAW: parse_raw.perform,
        JobType.DETECT_LAPS: detect_laps.perform,
        JobType.DISCARD_RAW: discard_raw.perform,
    }
)


def following(job_type: JobType, settings: Settings) -> JobType | None:
    """The job that a success of `job_type` enqueues; raw bytes that are kept for days are the janitor's to discard."""
    successor = job_type.successor()
    if successor is JobType.DISCARD_RAW and settings.raw_retention_days > 0:
        return None
    return successor

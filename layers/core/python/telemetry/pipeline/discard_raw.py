"""Step 5: the raw bytes go, once the canonical files are durably recorded. Deletes objects.

`storage_path` stays in the row: the janitor knows by it that an object revived through a still valid upload address
belongs to a discarded artifact.
"""

from telemetry.database.connection import Transaction
from telemetry.database.queries import load
from telemetry.domain.states import RunStatus
from telemetry.errors import Code, TelemetryError
from telemetry.pipeline.failpoints import failpoint
from telemetry.pipeline.step import Completion, Heartbeat, Work, changed
from telemetry.services import Services

_QUERIES = load("pipeline")


def perform(services: Services, work: Work, heartbeat: Heartbeat) -> Completion:
    """Deletes the raw object of each artifact; deleting again what is gone is no error."""
    if work.run_status is not RunStatus.SUCCEEDED:
        raise TelemetryError(Code.INTERNAL_ERROR, "raw bytes are kept until their run succeeded")
    for artifact in work.artifacts:
        services.raw.delete(artifact.storage_path)
        failpoint("after_raw_delete", work.job.job_type)
        heartbeat()

    def complete(transaction: Transaction) -> None:
        for artifact in work.artifacts:
            changed(transaction.run(_QUERIES["discard_artifact"], artifact_id=artifact.id))

    return complete

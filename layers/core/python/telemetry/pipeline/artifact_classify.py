"""Step 2: which format the recording is in, from its first 64 KiB, read by one range request."""

from telemetry import recording
from telemetry.database.connection import Transaction
from telemetry.database.queries import load
from telemetry.formats.reader import Origin
from telemetry.formats.recognition import HEAD_BYTES
from telemetry.pipeline.step import Artifact, Completion, Heartbeat, Work, changed, concerning
from telemetry.services import Services

_QUERIES = load("pipeline")


def origin_of(artifact: Artifact) -> Origin:
    """What is known of the recording from outside its bytes."""
    return Origin(file_name=artifact.original_file_name, uploaded_at=artifact.uploaded_at)


def perform(services: Services, work: Work, heartbeat: Heartbeat) -> Completion:
    """Recognises each artifact's format and compression.

    Raises
    ------
    TelemetryError : FORMAT_UNRECOGNISED, ARCHIVE_UNSUPPORTED and the like.
    """
    found = []
    for artifact in work.artifacts:
        with concerning(work, artifact):
            head = services.raw.read_range(artifact.storage_path, 0, HEAD_BYTES)
            found.append((artifact, recording.classify(head, origin_of(artifact))))
        heartbeat()

    def complete(transaction: Transaction) -> None:
        for artifact, classification in found:
            changed(
                transaction.run(
                    _QUERIES["classify_artifact"],
                    artifact_id=artifact.id,
                    format=classification.format,
                    compression=classification.compression,
                )
            )

    return complete

"""Step 1: the bytes that arrived are the bytes announced. Asks the store; reads bytes only if it vouches for none."""

import hashlib

from telemetry.database.connection import Transaction
from telemetry.database.queries import load
from telemetry.errors import Code, TelemetryError
from telemetry.pipeline.step import Artifact, Completion, Heartbeat, Work, changed, concerning
from telemetry.services import Services
from telemetry.storage.protocol import FileStore, StoredObject

_QUERIES = load("pipeline")
_READ_BYTES = 1 << 20


def perform(services: Services, work: Work, heartbeat: Heartbeat) -> Completion:
    """Compares size and SHA-256 of each artifact with its row.

    Raises
    ------
    TelemetryError : FILE_EMPTY, SIZE_MISMATCH, CHECKSUM_MISMATCH, and RAW_DISCARDED where nothing is stored: the
        bytes were there when the upload was finalised, so waiting brings none.
    """
    found = []
    for artifact in work.artifacts:
        with concerning(work, artifact):
            found.append((artifact, _verify(services.raw, artifact, heartbeat)))
        heartbeat()

    def complete(transaction: Transaction) -> None:
        for artifact, stored in found:
            changed(
                transaction.run(
                    _QUERIES["validate_artifact"],
                    artifact_id=artifact.id,
                    object_etag=stored.etag,
                    object_version=stored.version,
                )
            )

    return complete


def _verify(raw: FileStore, artifact: Artifact, heartbeat: Heartbeat) -> StoredObject:
    stored = raw.head(artifact.storage_path)
    if stored is None:
        raise TelemetryError(Code.RAW_DISCARDED)
    if stored.byte_size == 0:
        raise TelemetryError(Code.FILE_EMPTY)
    if stored.byte_size != artifact.byte_size:
        raise TelemetryError(Code.SIZE_MISMATCH, f"{stored.byte_size} bytes received, {artifact.byte_size} announced")
    sha256 = stored.sha256 or _hash(raw, stored, heartbeat)
    if sha256.lower() != artifact.sha256.lower():
        raise TelemetryError(Code.CHECKSUM_MISMATCH, "SHA-256 differs from the one announced")
    return stored


def _hash(raw: FileStore, stored: StoredObject, heartbeat: Heartbeat) -> str:
    digest = hashlib.sha256()
    with raw.open(stored.path, etag=stored.etag) as stream:
        while block := stream.read(_READ_BYTES):
            digest.update(block)
            heartbeat()
    return digest.hexdigest()

"""Large files in parts: sign them, tell which have arrived, put them together when the upload is finalised.

An upload may be sent in one PUT or in parts; whichever is complete first counts, as the store never replaces an object.
The parts' checksums are signed and kept by the store; the checksum of the whole is verified by the pipeline.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from telemetry.database.connection import Row
from telemetry.database.queries import load
from telemetry.domain.owner import Owner
from telemetry.domain.states import ArtifactStatus
from telemetry.errors import Code, TelemetryError
from telemetry.services import Services
from telemetry.storage.protocol import FileStore, SignedRequest, StoredPart

logger = logging.getLogger(__name__)

_QUERIES = load("uploads")
PART_BYTES = 16 * 1024 * 1024
"""Size of every part but the last. S3 takes 5 MiB to 5 GiB, and 10 000 parts (Amazon S3 User Guide, "Multipart upload
limits")."""


@dataclass(frozen=True, slots=True)
class WantedPart:
    """A part to be sent; numbers count from 1. `sha256` is lower-case hex."""

    part_number: int
    sha256: str


@dataclass(frozen=True, slots=True)
class SignedPart:
    """A part, and the request that sends its bytes."""

    part_number: int
    byte_size: int
    upload: SignedRequest


@dataclass(frozen=True, slots=True)
class SignedParts:
    """How the file is to be cut, and the parts asked for."""

    part_size: int
    part_count: int
    parts: list[SignedPart]


@dataclass(frozen=True, slots=True)
class ReceivedParts:
    """How the file is to be cut, and the parts that have arrived."""

    part_size: int
    part_count: int
    received: Sequence[StoredPart]


def part_count(byte_size: int) -> int:
    """How many parts a file has."""
    return -(-byte_size // PART_BYTES)


def part_bytes(byte_size: int, part_number: int) -> int:
    """How many bytes a part has."""
    return min(PART_BYTES, byte_size - (part_number - 1) * PART_BYTES)


def sign_parts(services: Services, owner: Owner, upload_id: UUID, wanted: Sequence[WantedPart]) -> SignedParts:
    """Signs a PUT for each part, for exactly its bytes. A part that is sent again replaces the one before.

    Raises
    ------
    TelemetryError : NOT_FOUND, UPLOAD_EXPIRED, UPLOAD_ALREADY_FINALISED, UPLOAD_ALREADY_RECEIVED; REQUEST_INVALID for
        a part that the file does not have.
    """
    row = _expected(services, owner, upload_id)
    count = part_count(row["byte_size"])
    for part in wanted:
        if not 1 <= part.part_number <= count:
            raise TelemetryError(Code.REQUEST_INVALID, f"parts: the file has {count}")
    multipart_id = row["multipart_id"] or _begin(services, owner, row)
    signed = [
        SignedPart(
            part_number=part.part_number,
            byte_size=(size := part_bytes(row["byte_size"], part.part_number)),
            upload=services.raw.sign_part(
                row["storage_path"],
                multipart_id,
                part.part_number,
                byte_size=size,
                sha256=part.sha256,
                seconds=services.settings.upload_url_seconds,
            ),
        )
        for part in wanted
    ]
    return SignedParts(PART_BYTES, count, signed)


def received_parts(services: Services, owner: Owner, upload_id: UUID) -> ReceivedParts:
    """The parts that have arrived, so that a sender that was interrupted goes on with the others.

    Raises
    ------
    TelemetryError : as of `sign_parts`.
    """
    row = _expected(services, owner, upload_id)
    found = services.raw.list_parts(row["storage_path"], row["multipart_id"]) if row["multipart_id"] else []
    return ReceivedParts(PART_BYTES, part_count(row["byte_size"]), found)


def complete(raw: FileStore, row: Row) -> None:
    """Puts the parts of an upload together. That somebody else has done so already is no error.

    Raises
    ------
    TelemetryError : UPLOAD_NOT_RECEIVED naming parts that are missing, SIZE_MISMATCH.
    """
    path, multipart_id, byte_size = row["storage_path"], row["multipart_id"], row["byte_size"]
    found = {part.part_number: part for part in raw.list_parts(path, multipart_id)}
    missing = [number for number in range(1, part_count(byte_size) + 1) if number not in found]
    if missing:
        if raw.head(path) is not None:
            return
        told = ", ".join(map(str, missing[:10])) + (" and more" if len(missing) > 10 else "")
        raise TelemetryError(Code.UPLOAD_NOT_RECEIVED, f"missing of {part_count(byte_size)} parts: {told}")
    for number, part in found.items():
        if part.byte_size != part_bytes(byte_size, number):
            raise TelemetryError(Code.SIZE_MISMATCH, f"part {number} has {part.byte_size} bytes")
    raw.complete_parts(path, multipart_id, [found[number] for number in sorted(found)])


def abort(raw: FileStore, row: Row) -> None:
    """Drops the parts of an upload that nobody will complete."""
    if row["multipart_id"] is not None and row["storage_path"] is not None:
        raw.abort_parts(row["storage_path"], row["multipart_id"])


def _expected(services: Services, owner: Owner, upload_id: UUID) -> Row:
    """The upload, when its bytes are expected."""
    database = services.database.of_owner(owner.user_id)
    rows = database.run(_QUERIES["upload"], id=upload_id, owner_user_id=owner.user_id)
    if not rows:
        raise TelemetryError(Code.NOT_FOUND)
    row = rows[0]
    if row["session_id"] is not None:
        raise TelemetryError(Code.UPLOAD_ALREADY_FINALISED)
    if row["status"] != ArtifactStatus.UPLOADED or row["overdue"]:
        raise TelemetryError(Code.UPLOAD_EXPIRED)
    if row["received_at"] is not None:
        raise TelemetryError(Code.UPLOAD_ALREADY_RECEIVED)
    return row


def _begin(services: Services, owner: Owner, row: Row) -> str:
    """Begins the upload in parts, once: of two that begin at once, both go on with the first one's."""
    begun = services.raw.begin_parts(row["storage_path"], content_type=row["content_type"])
    rows = services.database.of_owner(owner.user_id).run(
        _QUERIES["begin_parts"], id=row["id"], owner_user_id=owner.user_id, multipart_id=begun
    )
    kept: str | None = rows[0]["multipart_id"] if rows else None
    if kept != begun:
        services.raw.abort_parts(row["storage_path"], begun)
    if kept is None:
        raise TelemetryError(Code.UPLOAD_EXPIRED)
    return kept

"""The use cases of an upload: announce, look, abandon, finalise, and the receipt of its bytes.

Every query names the owner and runs behind the wall of row-level security, except those of a receipt: an event of the
store knows no owner.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from telemetry import PIPELINE_VERSION, parts, queue
from telemetry.database.connection import Row, Runner, Transaction, UniqueViolation
from telemetry.database.queries import load
from telemetry.domain.names import clean_file_name, clean_name, session_name
from telemetry.domain.owner import Owner
from telemetry.domain.states import ArtifactStatus, JobType
from telemetry.errors import OUTAGES, Code, TelemetryError
from telemetry.services import Services
from telemetry.storage.paths import artifact_of
from telemetry.storage.protocol import SignedRequest, StoredObject

logger = logging.getLogger(__name__)

_UPLOADS = load("uploads")
_SESSIONS = load("sessions")
_SAME_BYTES = "telemetry_artifacts_same_bytes_once_per_session"


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a client says of a file before it sends it. `sha256` is lower-case hex."""

    file_name: str
    content_type: str
    byte_size: int
    sha256: str
    finalise_on_receipt: bool = False
    session_name: str | None = None


@dataclass(frozen=True, slots=True)
class CreatedUpload:
    """An announced upload, the request that sends its bytes, and the session that the same bytes made before."""

    upload_id: UUID
    status: ArtifactStatus
    expires_at: datetime
    upload: SignedRequest
    duplicate_of: UUID | None


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload as it stands. `upload` is there while bytes are expected."""

    upload_id: UUID
    status: ArtifactStatus
    file_name: str
    content_type: str
    byte_size: int
    sha256: str
    uploaded_at: datetime
    received_at: datetime | None
    expires_at: datetime
    session_id: UUID | None
    upload: SignedRequest | None


@dataclass(frozen=True, slots=True)
class Finalised:
    """The session that an upload belongs to, and its newest run."""

    session_id: UUID
    run_id: UUID


def create_upload(services: Services, owner: Owner, announcement: Announcement) -> CreatedUpload:
    """Makes the artifact's row and signs the PUT for exactly the announced bytes.

    Raises
    ------
    TelemetryError : FILE_EMPTY, FILE_TOO_LARGE, TOO_MANY_UPLOADS.
    """
    settings = services.settings
    if announcement.byte_size == 0:
        raise TelemetryError(Code.FILE_EMPTY)
    if announcement.byte_size > settings.upload_max_bytes:
        raise TelemetryError(Code.FILE_TOO_LARGE, f"{settings.upload_max_bytes} bytes are accepted")
    upload_id = uuid4()
    path = services.raw.upload_path(owner.tenant_id, str(upload_id))
    signed = _sign(services, path, announcement.byte_size, announcement.content_type, announcement.sha256)
    with services.database.of_owner(owner.user_id).transaction() as transaction:
        # One announcement of an owner at a time, so that those that race do not all count what was there before.
        transaction.run(_UPLOADS["announce_in_turn"], owner_user_id=owner.user_id)
        most = settings.upload_open_max
        if transaction.run(_UPLOADS["too_many_open_uploads"], owner_user_id=owner.user_id, most=most):
            raise TelemetryError(Code.TOO_MANY_UPLOADS, f"{most} may be open at once")
        row = transaction.run(
            _UPLOADS["create_upload"],
            id=upload_id,
            tenant_id=owner.tenant_id,
            owner_user_id=owner.user_id,
            original_file_name=clean_file_name(announcement.file_name),
            content_type=announcement.content_type,
            byte_size=announcement.byte_size,
            sha256=announcement.sha256,
            storage_path=path,
            finalise_on_receipt=announcement.finalise_on_receipt,
            session_name=clean_name(announcement.session_name or "") or None,
            expiry_hours=settings.upload_expiry_hours,
        )[0]
    return CreatedUpload(
        upload_id=upload_id,
        status=ArtifactStatus(row["status"]),
        expires_at=row["expires_at"],
        upload=signed,
        duplicate_of=row["duplicate_of"],
    )


def get_upload(services: Services, owner: Owner, upload_id: UUID) -> Upload:
    """The upload as it stands, with a fresh address for its bytes while they are expected.

    Raises
    ------
    TelemetryError : NOT_FOUND, also for another owner's; UPLOAD_EXPIRED for one that was given up.
    """
    database = services.database.of_owner(owner.user_id)
    row = _owned(database.run(_UPLOADS["upload"], id=upload_id, owner_user_id=owner.user_id))
    if row["given_up"]:
        raise TelemetryError(Code.UPLOAD_EXPIRED)
    status = ArtifactStatus(row["status"])
    expected = status is ArtifactStatus.UPLOADED and row["received_at"] is None and not row["overdue"]
    return Upload(
        upload_id=row["id"],
        status=status,
        file_name=row["original_file_name"],
        content_type=row["content_type"],
        byte_size=row["byte_size"],
        sha256=row["sha256"],
        uploaded_at=row["uploaded_at"],
        received_at=row["received_at"],
        expires_at=row["expires_at"],
        session_id=row["session_id"],
        upload=_sign(services, row["storage_path"], row["byte_size"], row["content_type"], row["sha256"])
        if expected
        else None,
    )


def abandon_upload(services: Services, owner: Owner, upload_id: UUID) -> None:
    """Gives an upload up and deletes what arrived of it. Doing it again is no error.

    Raises
    ------
    TelemetryError : NOT_FOUND; UPLOAD_ALREADY_FINALISED once a session has it.
    """
    database = services.database.of_owner(owner.user_id)
    abandoned = database.run(_UPLOADS["abandon_upload"], id=upload_id, owner_user_id=owner.user_id)
    if not abandoned:
        row = _owned(database.run(_UPLOADS["upload"], id=upload_id, owner_user_id=owner.user_id))
        if row["session_id"] is not None:
            raise TelemetryError(Code.UPLOAD_ALREADY_FINALISED)
        abandoned = [row]
    parts.abort(services.raw, abandoned[0])
    if abandoned[0]["storage_path"] is not None:
        services.raw.delete(abandoned[0]["storage_path"])


def finalise(
    services: Services,
    owner: Owner,
    upload_id: UUID,
    *,
    artifact_ids: Sequence[UUID] = (),
    name: str | None = None,
) -> Finalised:
    """Makes one session of an upload, or of several, and enqueues its first job.

    An upload that has a session already gives that session, so that a repeated or racing call changes nothing.

    Parameters
    ----------
    artifact_ids : further uploads of the same owner for the same session.
    name : the session's name; by default the upload's session name, else its file name.

    Raises
    ------
    TelemetryError : NOT_FOUND, UPLOAD_NOT_RECEIVED, UPLOAD_EXPIRED, SIZE_MISMATCH, CHECKSUM_MISMATCH,
        DUPLICATE_ARTIFACT for the same bytes twice, UPLOAD_ALREADY_FINALISED when only some have a session.
    """
    database = services.database.of_owner(owner.user_id)
    ids = list(dict.fromkeys((upload_id, *artifact_ids)))
    with database.transaction() as transaction:
        rows = transaction.run(_UPLOADS["uploads_to_finalise"], ids=ids, owner_user_id=owner.user_id)
        uploads = {row["id"]: row for row in rows}
        if len(uploads) != len(ids):
            raise TelemetryError(Code.NOT_FOUND)
        finalised = _session_of_all(transaction, rows)
    if finalised is not None:
        return finalised
    for row in rows:
        if row["status"] != ArtifactStatus.UPLOADED or row["overdue"]:
            raise TelemetryError(Code.UPLOAD_EXPIRED)
    # No call to the store inside the transaction.
    stored = {row["id"]: _received(services, row) for row in rows}

    first = uploads[upload_id]
    with database.transaction() as transaction:
        locked = transaction.run(_UPLOADS["lock_uploads"], ids=ids, owner_user_id=owner.user_id)
        session_id = _unattached(locked, ids)
        if session_id is None:
            session_id = uuid4()
            transaction.run(
                _SESSIONS["create_session"],
                id=session_id,
                tenant_id=first["tenant_id"],
                owner_user_id=owner.user_id,
                name=clean_name(name or first["session_name"] or "") or session_name(first["original_file_name"]),
            )
            run_id = start_run(transaction, session_id, ids)
            _attach(transaction, session_id, ids, stored)
        else:
            run_id = _latest_run(transaction, session_id)
    services.nudges.send()
    return Finalised(session_id, run_id)


def start_run(transaction: Transaction, session_id: UUID, artifact_ids: Sequence[UUID]) -> UUID:
    """A new run of a session and its first job; gives the run's id. Nudge after the commit."""
    run_id = uuid4()
    transaction.run(_SESSIONS["create_run"], id=run_id, session_id=session_id, pipeline_version=PIPELINE_VERSION)
    payload = {"artifactIds": [str(artifact_id) for artifact_id in artifact_ids]}
    queue.enqueue(transaction, run_id, JobType.ARTIFACT_VALIDATE, payload)
    return run_id


def record_receipt(services: Services, path: str) -> Finalised | None:
    """Notes that an upload's bytes arrived, and finalises it where that was asked for.

    Events come late, twice and for objects of nobody; those change nothing and are logged. Bytes that arrive for an
    upload that was given up or whose raw file was discarded are deleted again. Size, ETag, version and checksum are
    asked of the store: an old event's own may be of bytes that are gone.

    Parameters
    ----------
    path : of the object, as the store names it.

    Raises
    ------
    TelemetryError : STORAGE_UNAVAILABLE, DATABASE_UNAVAILABLE: the event may be delivered again.
    """
    upload_id = artifact_of(path)
    rows = services.database.run(_UPLOADS["upload_of_object"], id=upload_id, storage_path=path) if upload_id else []
    if not rows:
        logger.warning("event for an object of no upload")
        return None
    row = rows[0]
    if row["discarded_at"] is not None or row["status"] == ArtifactStatus.EXPIRED:
        services.raw.delete(path)
        logger.warning("bytes of a discarded upload deleted again", extra={"upload_id": str(upload_id)})
        return None
    if row["status"] == ArtifactStatus.UPLOADED and row["received_at"] is None:
        stored = services.raw.head(path)
        if stored is None or stored.byte_size != row["byte_size"] or stored.sha256 not in (None, row["sha256"]):
            logger.warning("event for bytes that are not the announced ones", extra={"upload_id": str(upload_id)})
            return None
        services.database.run(
            _UPLOADS["record_receipt"], id=upload_id, object_etag=stored.etag, object_version=stored.version
        )
    if not row["finalise_on_receipt"] or row["session_id"] is not None:
        return None
    try:
        return finalise(services, Owner(row["owner_user_id"], row["tenant_id"]), row["id"])
    except TelemetryError as error:
        if error.code in OUTAGES:
            raise
        logger.warning("not finalised on receipt", extra={"upload_id": str(upload_id), "code": str(error.code)})
        return None


def _sign(services: Services, path: str, byte_size: int, content_type: str, sha256: str) -> SignedRequest:
    return services.raw.sign_put(
        path,
        byte_size=byte_size,
        content_type=content_type,
        sha256=sha256,
        seconds=services.settings.upload_url_seconds,
    )


def _owned(rows: list[Row]) -> Row:
    if not rows:
        raise TelemetryError(Code.NOT_FOUND)
    return rows[0]


def _session_of_all(runner: Runner, rows: list[Row]) -> Finalised | None:
    """The one session that all these uploads have, or None when none of them has any."""
    session_id = _common_session(rows)
    return None if session_id is None else Finalised(session_id, _latest_run(runner, session_id))


def _common_session(rows: list[Row]) -> UUID | None:
    sessions = {row["session_id"] for row in rows}
    if len(sessions) > 1:
        raise TelemetryError(Code.UPLOAD_ALREADY_FINALISED, "some of these uploads have another session")
    found: UUID | None = sessions.pop()
    return found


def _unattached(locked: list[Row], ids: list[UUID]) -> UUID | None:
    """None when all may be attached; the session when a racing call was first."""
    if len(locked) != len(ids):  # deleted meanwhile
        raise TelemetryError(Code.NOT_FOUND)
    session_id = _common_session(locked)
    if session_id is None and any(row["status"] != ArtifactStatus.UPLOADED for row in locked):
        raise TelemetryError(Code.UPLOAD_EXPIRED)
    return session_id


def _attach(transaction: Transaction, session_id: UUID, ids: list[UUID], stored: dict[UUID, StoredObject]) -> None:
    for upload_id in ids:
        try:
            transaction.run(
                _UPLOADS["attach_upload"],
                id=upload_id,
                session_id=session_id,
                object_etag=stored[upload_id].etag,
                object_version=stored[upload_id].version,
            )
        except UniqueViolation as violation:
            if violation.constraint != _SAME_BYTES:
                raise
            raise TelemetryError(Code.DUPLICATE_ARTIFACT) from violation


def _latest_run(runner: Runner, session_id: UUID) -> UUID:
    run_id: UUID = _owned(runner.run(_SESSIONS["latest_run"], session_id=session_id))["id"]
    return run_id


def _received(services: Services, row: Row) -> StoredObject:
    stored = services.raw.head(row["storage_path"])
    if stored is None and row["multipart_id"] is not None:
        parts.complete(services.raw, row)
        stored = services.raw.head(row["storage_path"])
    if stored is None:
        raise TelemetryError(Code.UPLOAD_NOT_RECEIVED)
    # Nobody puts parts together any more: that is done, or one PUT was faster.
    try:
        parts.abort(services.raw, row)
    except TelemetryError as error:
        logger.warning("parts left to the store", extra={"upload_id": str(row["id"]), "code": str(error.code)})
    if stored.byte_size != row["byte_size"]:
        raise TelemetryError(
            Code.SIZE_MISMATCH, f"{stored.byte_size} bytes received, {row['byte_size']} bytes announced"
        )
    if stored.sha256 is not None and stored.sha256 != row["sha256"]:
        raise TelemetryError(Code.CHECKSUM_MISMATCH)
    return stored

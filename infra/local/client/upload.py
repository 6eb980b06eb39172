"""Sends one file: checksum, announcement, the bytes straight to the store, finalise. What breaks off goes on later."""

import hashlib
import mimetypes
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import BoundedSemaphore, Lock
from typing import Protocol
from uuid import UUID

import httpx

from infra.local.client import parts
from infra.local.client.errors import BrokenOff, ClientError, ServiceError
from infra.local.client.remembered import Remembered
from infra.local.client.requests import ATTEMPTS, LONGEST_PAUSE_S, Requests, backoff, retry_after
from infra.local.client.steps import Phase, Progress, Step
from telemetry.api import models
from telemetry.errors import Code

BLOCK = 1 << 20
PARTS_FROM = 64 << 20
"""Larger files are sent in parts, so that a break costs one part at most."""
_TYPES = {
    ".csv": "text/csv",
    ".gpx": "application/gpx+xml",
    ".tcx": "application/vnd.garmin.tcx+xml",
    ".kml": "application/vnd.google-earth.kml+xml",
    ".fit": "application/vnd.ant.fit",
    ".gz": "application/gzip",
    ".zip": "application/zip",
}
_JOINED = "joined"
_STORE_CODE = re.compile(r"<Code>([A-Za-z]{1,80})</Code>")
_OTHER_BYTES = ("BadDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch", "IncompleteBody")
_AGAIN = (403, 408, 409, 429)  # 403: the address has expired; 409: another PUT is at it


@dataclass(frozen=True, slots=True)
class Delivered:
    """An upload whose bytes the store has.

    Attributes
    ----------
    session_id : None where the service is still to make one by itself.
    duplicate : that nothing was sent, as `session_id` was made of the same bytes before.
    resumed : that an upload that had been begun was gone on with.
    url : the address that the bytes went to, if they went now. Signed: not to be shown.
    """

    upload_id: UUID
    session_id: UUID | None
    duplicate: bool = False
    resumed: bool = False
    url: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Sent(Delivered):
    """An upload that is finalised."""

    session_id: UUID


@dataclass(frozen=True, slots=True)
class Brought(Delivered):
    """An upload whose bytes the store has, to be joined with others in one session; `content` tells its bytes."""

    content: "Fingerprint" = field(kw_only=True)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What tells a file's content."""

    byte_size: int
    modified_ns: int
    sha256: str


class Api(parts.Api, Protocol):
    """The calls that an upload needs."""

    def create_upload(self, request: models.UploadRequest) -> models.CreatedUpload: ...
    def upload(self, upload_id: UUID) -> models.Upload: ...
    def abandon_upload(self, upload_id: UUID) -> None: ...
    def finalise(
        self, upload_id: UUID, *, artifact_ids: Sequence[UUID] = (), name: str | None = None
    ) -> models.Finalised: ...
    def session(self, session_id: UUID) -> models.SessionDetail: ...


@dataclass(frozen=True, slots=True)
class Uploader:
    """Sends files by way of `api` and `requests`; `remembered` holds what was begun."""

    api: Api
    requests: Requests
    remembered: Remembered
    _turns: dict[str, Lock] = field(default_factory=dict)
    _room: BoundedSemaphore = field(default_factory=lambda: BoundedSemaphore(parts.AT_ONCE))

    def send(
        self, file: Path, progress: Progress, *, name: str | None, finalise_on_receipt: bool, again: bool
    ) -> Delivered:
        """See `Client.send` and `Client.deliver`."""
        content = fingerprint(file, progress, lambda: self.requests.pause(0))
        # The same bytes twice at once would share one upload; one after the other, the second is told a duplicate.
        with self._turns.setdefault(content.sha256, Lock()):
            return self._send(file, content, progress, name=name, finalise_on_receipt=finalise_on_receipt, again=again)

    def _send(
        self,
        file: Path,
        content: Fingerprint,
        progress: Progress,
        *,
        name: str | None,
        finalise_on_receipt: bool,
        again: bool,
    ) -> Delivered:
        # Name and finalising are settled when an upload is announced, where the service does the rest by itself.
        variant = f"on receipt: {name or ''}" if finalise_on_receipt else ""
        key = (content.sha256, content.byte_size, variant)
        sent = self._bring(
            file, content, progress, key, name=name, finalise_on_receipt=finalise_on_receipt, again=again
        )
        # The store tells the service of a whole file at once, of parts never.
        if sent.session_id is None and (content.byte_size > PARTS_FROM or not finalise_on_receipt):
            progress(Step(Phase.FINALISE))
            sent = replace(sent, session_id=self.api.finalise(sent.upload_id, name=name).session_id)
        self.remembered.forget(*key)
        return sent

    def bring(self, file: Path, progress: Progress, *, again: bool) -> Brought:
        """See `Client.bring`."""
        content = fingerprint(file, progress, lambda: self.requests.pause(0))
        with self._turns.setdefault(content.sha256, Lock()):
            key = (content.sha256, content.byte_size, _JOINED)
            sent = self._bring(file, content, progress, key, name=None, finalise_on_receipt=False, again=again)
        return Brought(sent.upload_id, sent.session_id, sent.duplicate, sent.resumed, sent.url, content=content)

    def join(self, brought: Sequence[Brought], name: str | None) -> UUID:
        """See `Client.join`."""
        first, *others = (sent.upload_id for sent in brought)
        try:
            session_id = self.api.finalise(first, artifact_ids=others, name=name).session_id
        except ServiceError as error:
            if error.code == Code.UPLOAD_ALREADY_FINALISED:
                # Sent anew, they can be joined with the others.
                self._forget_joined(sent for sent in brought if sent.session_id is not None)
            raise
        self._forget_joined(brought)
        return session_id

    def _forget_joined(self, brought: Iterable[Brought]) -> None:
        for sent in brought:
            self.remembered.forget(sent.content.sha256, sent.content.byte_size, _JOINED)

    def _bring(
        self,
        file: Path,
        content: Fingerprint,
        progress: Progress,
        key: tuple[str, int, str],
        *,
        name: str | None,
        finalise_on_receipt: bool,
        again: bool,
    ) -> Delivered:
        """Announces the file, or goes on with the upload that was begun, and sends its bytes. The upload that is given
        back has a session when it was finalised before, or when its bytes made one."""
        upload_id, signed, sent = self._begun(key)
        if sent is not None:
            return sent
        resumed = upload_id is not None
        if upload_id is None:
            created = self.api.create_upload(
                models.UploadRequest(
                    file_name=file.name,
                    content_type=content_type(file),
                    byte_size=content.byte_size,
                    sha256=content.sha256,
                    finalise_on_receipt=finalise_on_receipt,
                    session_name=name,
                )
            )
            upload_id, signed = created.upload_id, created.upload
            if created.duplicate_of is not None and not again and self._worth_keeping(created.duplicate_of):
                self.api.abandon_upload(upload_id)
                return Delivered(upload_id, created.duplicate_of, duplicate=True)
            self.remembered.keep(upload_id, *key)
        url: str | None = None
        if signed is not None and content.byte_size > PARTS_FROM:
            parts.send_parts(
                self.api,
                self.requests,
                upload_id,
                file,
                byte_size=content.byte_size,
                sha256=content.sha256,
                progress=progress,
                room=self._room,
            )
        elif signed is not None:
            url = self._put(upload_id, signed, file, content, progress)
        return Delivered(upload_id, None, resumed=resumed, url=url)

    def _begun(self, key: tuple[str, int, str]) -> tuple[UUID | None, models.SignedRequest | None, Delivered | None]:
        """The upload that was begun for these bytes and where to go on with it, or what it has become."""
        upload_id = self.remembered.recall(*key)
        if upload_id is None:
            return None, None, None
        try:
            state = self.api.upload(upload_id)
        except ServiceError as error:
            if error.code not in (Code.NOT_FOUND, Code.UPLOAD_EXPIRED):
                raise
            state = None
        if state is not None and state.session_id is not None:
            return upload_id, None, Delivered(upload_id, state.session_id, resumed=True)
        if state is None or state.status != "uploaded" or (state.upload is None and state.received_at is None):
            self.remembered.forget(*key)
            return None, None, None
        return upload_id, state.upload, None

    def _worth_keeping(self, session_id: UUID) -> bool:
        """A session that failed or was cancelled is no reason not to send its bytes again."""
        try:
            return self.api.session(session_id).status in ("ready", "processing")
        except ServiceError as error:
            if error.code != Code.NOT_FOUND:
                raise
            return False

    def _put(
        self, upload_id: UUID, signed: models.SignedRequest, file: Path, content: Fingerprint, progress: Progress
    ) -> str:
        """PUTs the bytes until the store has them; gives the address that took them."""
        for attempt in range(1, ATTEMPTS + 1):
            pause = backoff(attempt)
            try:
                answer = self.requests.store.request(
                    signed.method,
                    signed.url,
                    headers=signed.headers,
                    content=blocks(file, content, progress, lambda: self.requests.pause(0)),
                )
            except httpx.TransportError as error:
                # Also when the store refuses before it has read all.
                problem: ClientError = BrokenOff(
                    f"The upload broke off ({type(error).__name__}).", remedy="Upload the same file again: it goes on."
                )
            else:
                # 412: the bytes are there already; the address allows no others.
                if answer.is_success or answer.status_code == 412:
                    return signed.url
                problem = _refusal(answer)
                pause = max(pause, retry_after(answer))
                if answer.status_code < 500 and answer.status_code not in _AGAIN:
                    raise problem
            if attempt == ATTEMPTS or pause > LONGEST_PAUSE_S:
                raise problem
            self.requests.pause(pause)
            state = self.api.upload(upload_id)
            if state.received_at is not None or state.session_id is not None:
                return signed.url
            if state.upload is None:
                raise ClientError("The upload has expired.", remedy="Upload the file again.", code=Code.UPLOAD_EXPIRED)
            signed = state.upload
        raise AssertionError("every attempt ends above")


def fingerprint(file: Path, progress: Progress, check: Callable[[], None]) -> Fingerprint:
    """Reads the whole file once, in blocks; `check` may raise to stop. Raises ClientError when it cannot be read."""
    digest = hashlib.sha256()
    try:
        with file.open("rb") as opened:
            status = file.stat()
            done = 0
            while block := opened.read(BLOCK):
                check()
                digest.update(block)
                done += len(block)
                progress(Step(Phase.CHECKSUM, done, max(status.st_size, done)))
    except OSError as error:
        raise ClientError(f"{file.name} cannot be read: {error.strerror}.", remedy="Check the path.") from None
    return Fingerprint(done, status.st_mtime_ns, digest.hexdigest())


def blocks(file: Path, expected: Fingerprint, progress: Progress, check: Callable[[], None]) -> Iterator[bytes]:
    """The file's bytes; raises ClientError when it is not the file any more that the checksum was made of."""
    changed = ClientError(
        f"{file.name} changed while it was being sent.", remedy="Upload it again when it is complete."
    )
    try:
        with file.open("rb") as opened:
            sent = 0
            while block := opened.read(BLOCK):
                check()
                if sent + len(block) > expected.byte_size or file.stat().st_mtime_ns != expected.modified_ns:
                    raise changed
                yield block
                sent += len(block)
                progress(Step(Phase.UPLOAD, sent, expected.byte_size))
    except OSError as error:
        raise ClientError(f"{file.name} cannot be read: {error.strerror}.", remedy="Check the path.") from None
    if sent != expected.byte_size:
        raise changed


def content_type(file: Path) -> str:
    """By the name's ending. Only a label: the service recognises a format by its content."""
    return _TYPES.get(file.suffix.lower()) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"


def _refusal(answer: httpx.Response) -> ClientError:
    """Of the store's answer only its code: the rest quotes the signed address."""
    found = _STORE_CODE.search(answer.text)
    word = found.group(1) if found else answer.reason_phrase
    if word in _OTHER_BYTES:
        return ClientError(
            "The bytes that arrived are not the ones announced.",
            remedy="Upload the file again when nothing writes to it any more.",
            code=Code.CHECKSUM_MISMATCH,
        )
    return ClientError(f"The file store refused the upload: {answer.status_code} {word}.", remedy="Try again later.")

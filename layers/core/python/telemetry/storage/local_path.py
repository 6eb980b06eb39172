"""A directory instead of object storage, for development: the same promises, kept by this module.

The signed addresses point at the local server, which hands each request to `accept_put` or `serve_get`. Those refuse
what S3 refuses, with S3's status and error code, so that a client meets the same behaviour on both backends.
"""

import base64
import binascii
import contextlib
import hashlib
import hmac
import json
import os
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import parse_qs, quote, unquote, urlencode

from telemetry.errors import Code, TelemetryError
from telemetry.settings import LocalStorageSettings
from telemetry.storage import local_parts, paths
from telemetry.storage.protocol import ObjectMissing, SignedRequest, StoredObject, StoredPart

STORES = ("raw", "canonical")
_INCOMING = ".incoming"
_BLOCK = 1 << 20


class StorageRefusal(Exception):
    """What the local server answers instead of taking or giving bytes.

    Attributes
    ----------
    status : HTTP status.
    code : the error code that S3 uses for the same refusal, for example ``BadDigest``.
    """

    def __init__(self, status: int, code: str) -> None:
        super().__init__(f"{status} {code}")
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True)
class StoredFile:
    """What `serve_get` gives: the file to send, and the headers to send with it."""

    file: Path
    headers: dict[str, str]


class LocalPath:
    """One store below the configured root. Paths are relative to it, so that the root may move."""

    def __init__(self, settings: LocalStorageSettings, store: str) -> None:
        self._settings = settings
        self._store = store
        self._root = settings.root / store

    def upload_path(self, tenant_id: str, artifact_id: str) -> str:
        """See `FileStore`."""
        return paths.upload_path(tenant_id, artifact_id)

    def dataset_path(self, **parts: Any) -> str:
        """See `FileStore`."""
        return paths.dataset_path(**parts)

    def sign_put(self, path: str, *, byte_size: int, content_type: str, sha256: str, seconds: int) -> SignedRequest:
        """See `FileStore`."""
        headers = {
            "content-length": str(byte_size),
            "content-type": content_type,
            "if-none-match": "*",
            "x-amz-checksum-sha256": base64.b64encode(bytes.fromhex(sha256)).decode("ascii"),
        }
        return self._sign("PUT", path, headers, {}, seconds)

    def sign_get(self, path: str, *, file_name: str, seconds: int) -> SignedRequest:
        """See `FileStore`."""
        disposition = paths.attachment(file_name)
        return self._sign("GET", path, {}, {"response-content-disposition": disposition}, seconds)

    def begin_parts(self, path: str, *, content_type: str) -> str:
        """See `FileStore`. The content type is not kept."""
        with _storage_errors("POST"):
            return local_parts.begin(self._root)

    def sign_part(
        self, path: str, multipart_id: str, part_number: int, *, byte_size: int, sha256: str, seconds: int
    ) -> SignedRequest:
        """See `FileStore`. Unlike S3, a part that has arrived is not replaced."""
        return self.sign_put(
            local_parts.part_path(multipart_id, part_number),
            byte_size=byte_size,
            content_type="application/octet-stream",
            sha256=sha256,
            seconds=seconds,
        )

    def list_parts(self, path: str, multipart_id: str) -> Sequence[StoredPart]:
        """See `FileStore`."""
        with _storage_errors("LIST"):
            return local_parts.stored(self._root, multipart_id)

    def complete_parts(self, path: str, multipart_id: str, parts: Sequence[StoredPart]) -> None:
        """See `FileStore`."""
        with _storage_errors("PUT"):
            incoming = _Incoming(self._settings.root)
            try:
                for block in local_parts.blocks(self._root, multipart_id, parts):
                    incoming.write(block)
                incoming.publish(self._file(path))
            except FileNotFoundError:
                return  # ended meanwhile
            except FileExistsError:
                pass  # one PUT was faster, or another call: the parts are of no use any more
            finally:
                incoming.discard()
        self.abort_parts(path, multipart_id)

    def abort_parts(self, path: str, multipart_id: str) -> None:
        """See `FileStore`."""
        local_parts.drop(self._root, multipart_id)

    def drop_unfinished(self, before: datetime) -> int:
        """See `FileStore`."""
        dropped = 0
        for file in (self._settings.root / _INCOMING).glob("*"):
            with contextlib.suppress(FileNotFoundError):  # it has arrived
                if file.stat().st_mtime < before.timestamp():
                    file.unlink()
                    dropped += 1
        with _storage_errors("DELETE"):
            return dropped + local_parts.drop_idle(self._root, before)

    def head(self, path: str) -> StoredObject | None:
        """See `FileStore`. `sha256` is None: a file system vouches for nothing."""
        with _storage_errors("HEAD"):
            try:
                return _describe(path, self._file(path).stat())
            except FileNotFoundError:
                return None

    def open(self, path: str, *, etag: str | None = None) -> "FileStream":
        """See `FileStore`."""
        with _storage_errors("GET"):
            try:
                file = self._file(path).open("rb")
            except FileNotFoundError:
                raise ObjectMissing from None
            found = _describe(path, os.fstat(file.fileno()))
        if etag is not None and etag != found.etag:
            file.close()
            raise TelemetryError(Code.CHECKSUM_MISMATCH, "the stored bytes were replaced")
        return FileStream(file, found.byte_size)

    def read_range(self, path: str, start: int, length: int) -> bytes:
        """See `FileStore`."""
        with _storage_errors("GET"):
            try:
                with self._file(path).open("rb") as file:
                    file.seek(start)
                    return file.read(length)
            except FileNotFoundError:
                raise ObjectMissing from None

    def put_file(self, path: str, file: Path, *, sha256: str, content_type: str) -> None:
        """See `FileStore`. The content type is not kept."""
        destination = self._file(path)
        with _storage_errors("PUT"), file.open("rb") as source:
            incoming = _Incoming(self._settings.root)
            try:
                while block := source.read(_BLOCK):
                    incoming.write(block)
                if incoming.sha256 != sha256:
                    raise TelemetryError(Code.CHECKSUM_MISMATCH, "the bytes are not those announced")
                incoming.publish(destination)
            except FileExistsError:
                if _file_sha256(destination) != sha256:
                    raise TelemetryError(Code.CHECKSUM_MISMATCH, "another file is stored at this path") from None
            finally:
                incoming.discard()

    def delete(self, path: str) -> None:
        """See `FileStore`. Directories that this empties go too."""
        file = self._file(path)
        with _storage_errors("DELETE"):
            file.unlink(missing_ok=True)
        for parent in file.parents:
            if parent == self._root:
                break
            with contextlib.suppress(OSError):  # not empty, or gone already
                parent.rmdir()

    def list(self, prefix: str, *, after: str = "") -> Iterator[StoredObject]:
        """See `FileStore`."""
        start = self._root / prefix.rpartition("/")[0]
        with _storage_errors("LIST"):
            # As one text each: compared part by part, `a/b` would sort before `a-b`.
            found = sorted(file.relative_to(self._root).as_posix() for file in start.rglob("*") if file.is_file())
        for path in found:
            if path.startswith(prefix) and path > after:
                with contextlib.suppress(FileNotFoundError):
                    yield _describe(path, (self._root / path).stat())

    def _file(self, path: str) -> Path:
        return self._root / _checked(path)

    def _sign(
        self, method: str, path: str, headers: dict[str, str], query: dict[str, str], seconds: int
    ) -> SignedRequest:
        expires = int(time.time()) + seconds
        query = {**query, "expires": str(expires)}
        target = f"{self._store}/{_checked(path)}"
        query["signature"] = _signature(self._settings.secret, method, target, headers, query)
        url = f"{self._settings.url}/{quote(target, safe='/~')}?{urlencode(query, quote_via=quote)}"
        return SignedRequest(method, url, headers, datetime.fromtimestamp(expires, UTC))


class FileStream:
    """An open file's bytes; tells an early end from the end."""

    def __init__(self, file: BinaryIO, byte_size: int) -> None:
        self._file = file
        self._left = byte_size

    def read(self, size: int, /) -> bytes:
        """See `ByteStream`."""
        with _storage_errors("GET"):
            block = self._file.read(min(size, self._left) if size >= 0 else self._left)
        self._left -= len(block)
        if not block and size and self._left:
            raise TelemetryError(Code.STORAGE_UNAVAILABLE, f"GET ended {self._left} bytes early")
        return block

    def __enter__(self) -> "FileStream":
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()


def accept_put(
    settings: LocalStorageSettings,
    target: str,
    query: str,
    headers: Mapping[str, str],
    chunks: Iterable[bytes],
    *,
    now: float | None = None,
) -> StoredObject:
    """Takes the body of a signed PUT, as S3 would: exactly the signed bytes, once, in time; else nothing is kept.

    Parameters
    ----------
    target : the URL's path below the settings' `url`, still percent-encoded: ``raw/uploads/…/….bin``.
    query : the URL's query string, as sent.
    headers : the request's headers; names in any case.
    chunks : the body.
    now : seconds since 1970; the clock by default.

    Raises
    ------
    StorageRefusal : 403 where the signature or the time is wrong, 400 where the bytes are, 412 where an object is.
    TelemetryError : STORAGE_UNAVAILABLE.
    """
    given = {name.lower(): value for name, value in headers.items()}
    signed = {
        name: given.get(name, "")
        for name in ("content-length", "content-type", "if-none-match", "x-amz-checksum-sha256")
    }
    path = _verify(settings, "PUT", target, query, headers=signed, now=now)
    # Both were signed by us, so they can be read.
    byte_size, sha256 = int(signed["content-length"]), _sha256_hex(signed["x-amz-checksum-sha256"])
    destination = settings.root / path
    with _storage_errors("PUT"):
        if destination.exists():
            raise StorageRefusal(412, "PreconditionFailed")
        if local_parts.ended(destination):
            raise StorageRefusal(404, "NoSuchUpload")
        incoming = _Incoming(settings.root)
        try:
            for chunk in chunks:
                incoming.write(chunk)
                if incoming.byte_size > byte_size:
                    raise StorageRefusal(400, "BadDigest")
            if incoming.byte_size < byte_size:
                raise StorageRefusal(400, "IncompleteBody")
            if incoming.sha256 != sha256:
                raise StorageRefusal(400, "BadDigest")
            incoming.publish(destination)
        except FileExistsError:
            raise StorageRefusal(412, "PreconditionFailed") from None
        finally:
            incoming.discard()
        return _describe(path.partition("/")[2], destination.stat())


def serve_get(settings: LocalStorageSettings, target: str, query: str, *, now: float | None = None) -> StoredFile:
    """The file that a signed GET names; parameters and refusals as those of `accept_put`, 404 where there is none."""
    path = _verify(settings, "GET", target, query, headers={}, now=now)
    file = settings.root / path
    try:
        found = _describe(path, file.stat())
    except FileNotFoundError:
        raise StorageRefusal(404, "NoSuchKey") from None
    headers = {"content-type": "application/octet-stream", "etag": f'"{found.etag}"'}
    disposition = parse_qs(query).get("response-content-disposition")
    if disposition:
        headers["content-disposition"] = disposition[0]
    return StoredFile(file, headers)


class _Incoming:
    """A file on its way: written and synced beside the stores, then linked to its place in one step, or dropped."""

    def __init__(self, root: Path) -> None:
        directory = root / _INCOMING
        directory.mkdir(parents=True, exist_ok=True)
        self._path = directory / uuid.uuid4().hex
        self._file = self._path.open("xb")
        self._digest = hashlib.sha256()
        self.byte_size = 0

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def write(self, block: bytes) -> None:
        self._file.write(block)
        self._digest.update(block)
        self.byte_size += len(block)

    def publish(self, destination: Path) -> None:
        """Raises FileExistsError when something is there: a link, unlike a rename, never replaces."""
        self._file.flush()
        os.fsync(self._file.fileno())
        while True:
            destination.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(self._path, destination)
                break
            except FileNotFoundError:
                continue  # `delete` took the emptied directory in between
        directory = os.open(destination.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def discard(self) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)


def _verify(
    settings: LocalStorageSettings,
    method: str,
    target: str,
    query: str,
    *,
    headers: Mapping[str, str],
    now: float | None,
) -> str:
    """The path below the root that a signed request may touch."""
    parameters = {name: values[0] for name, values in parse_qs(query, keep_blank_values=True).items()}
    signature = parameters.pop("signature", "")
    plain = unquote(target)
    # The signature is judged first, so that nothing else of an unsigned request is believed.
    expected = _signature(settings.secret, method, plain, headers, parameters)
    if not hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace")):
        raise StorageRefusal(403, "SignatureDoesNotMatch")
    if int(parameters["expires"]) <= (time.time() if now is None else now):
        raise StorageRefusal(403, "AccessDenied")
    if plain.partition("/")[0] not in STORES:
        raise StorageRefusal(404, "NoSuchBucket")
    return _checked(plain)


def _signature(secret: str, method: str, target: str, headers: Mapping[str, str], query: Mapping[str, str]) -> str:
    signed = json.dumps([method, target, sorted(headers.items()), sorted(query.items())])
    return hmac.new(secret.encode(), signed.encode(), hashlib.sha256).hexdigest()


def _checked(path: str) -> str:
    """`path`, when it stays inside its store."""
    segments = path.split("/")
    if "\0" in path or "\\" in path or any(segment in ("", ".", "..") for segment in segments):
        raise TelemetryError(Code.STORAGE_UNAVAILABLE, "the path leaves its store")
    return path


def _describe(path: str, stat: os.stat_result) -> StoredObject:
    return StoredObject(
        path=path,
        byte_size=stat.st_size,
        # Files are never changed in place, so these tell one file from the next at the same path.
        etag=f"{stat.st_ino:x}-{stat.st_mtime_ns:x}-{stat.st_size:x}",
        version=None,
        sha256=None,
        modified_at=datetime.fromtimestamp(stat.st_mtime, UTC),
    )


def _sha256_hex(value: str) -> str:
    with contextlib.suppress(binascii.Error):
        return base64.b64decode(value, validate=True).hex()
    raise StorageRefusal(400, "InvalidRequest")


def _file_sha256(file: Path) -> str:
    with file.open("rb") as stored:
        return hashlib.file_digest(stored, "sha256").hexdigest()


@contextlib.contextmanager
def _storage_errors(operation: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TelemetryError(Code.STORAGE_UNAVAILABLE, f"{operation} {type(error).__name__}") from error

"""What the service needs of a file store. Two stores exist at run time: one for raw, one for canonical files.

Every method raises `TelemetryError(STORAGE_UNAVAILABLE)` when the store cannot be reached or answers 5xx.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol


class ObjectMissing(Exception):
    """Nothing lies at the path. What that means is the caller's to say: a store knows no retention and no runs."""


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request that the client itself sends to the store. `headers` are signed: send each as given."""

    method: str
    url: str
    headers: dict[str, str]
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What the store says of an object. `sha256` (hex) is None where the store does not vouch for it."""

    path: str
    byte_size: int
    etag: str | None
    version: str | None
    sha256: str | None
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class StoredPart:
    """A part that has arrived. `sha256` in hex."""

    part_number: int
    byte_size: int
    sha256: str
    etag: str


class ByteStream(Protocol):
    """An object's bytes, read once; used as a context manager so that the connection is given back."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes, empty at the end; raises STORAGE_UNAVAILABLE when it ends early."""
        ...

    def __enter__(self) -> "ByteStream": ...

    def __exit__(self, *exception: object) -> None: ...


class FileStore(Protocol):
    """Paths are what the database keeps in `storage_path`."""

    def upload_path(self, tenant_id: str, artifact_id: str) -> str:
        """Where an artifact's raw bytes go: `uploads/{tenant_id}/{artifact_id}.bin`, or a local path."""
        ...

    def dataset_path(
        self,
        *,
        tenant_id: str,
        session_id: str,
        run_id: str,
        artifact_id: str,
        attempt: int,
        unique: str,
        stream: str,
    ) -> str:
        """Where a canonical file goes: a path that no other attempt ever writes."""
        ...

    def sign_put(self, path: str, *, byte_size: int, content_type: str, sha256: str, seconds: int) -> SignedRequest:
        """A PUT that the store accepts once, for exactly these bytes (`sha256` in hex)."""
        ...

    def sign_get(self, path: str, *, file_name: str, seconds: int) -> SignedRequest:
        """A GET that saves as `file_name`."""
        ...

    def begin_parts(self, path: str, *, content_type: str) -> str:
        """Begins an upload in parts of the object at `path`; gives the id that the other verbs want."""
        ...

    def sign_part(
        self, path: str, multipart_id: str, part_number: int, *, byte_size: int, sha256: str, seconds: int
    ) -> SignedRequest:
        """A PUT of one part, for exactly these bytes (`sha256` in hex)."""
        ...

    def list_parts(self, path: str, multipart_id: str) -> Sequence[StoredPart]:
        """The parts that have arrived, in order; none when the upload was completed or aborted."""
        ...

    def complete_parts(self, path: str, multipart_id: str, parts: Sequence[StoredPart]) -> None:
        """Makes the object of its parts, unless one is there already; an upload that was ended meanwhile is no
        error: `head` tells what came of it."""
        ...

    def abort_parts(self, path: str, multipart_id: str) -> None:
        """Drops the parts; an upload that was ended is no error."""
        ...

    def drop_unfinished(self, before: datetime) -> int:
        """Drops what writes left behind that began before a moment and were broken off, and gives how many there
        were; a store that sees to it by itself gives 0."""
        ...

    def head(self, path: str) -> StoredObject | None:
        """The object's facts without its bytes, or None where there is none."""
        ...

    def open(self, path: str, *, etag: str | None = None) -> ByteStream:
        """The object's bytes, to be read block by block.

        Raises
        ------
        ObjectMissing : there is none.
        TelemetryError : CHECKSUM_MISMATCH for other bytes than those of `etag`.
        """
        ...

    def read_range(self, path: str, start: int, length: int) -> bytes:
        """Up to `length` bytes from `start`, in one request; empty when the object ends before.

        Raises
        ------
        ObjectMissing : there is none.
        """
        ...

    def put_file(self, path: str, file: Path, *, sha256: str, content_type: str) -> None:
        """Writes a new object and never replaces one. If one is there already with the same SHA-256 (an answer
        that was lost), that is success; with another: `CHECKSUM_MISMATCH`."""
        ...

    def delete(self, path: str) -> None:
        """Removes the object; none there is no error."""
        ...

    def list(self, prefix: str, *, after: str = "") -> Iterator[StoredObject]:
        """Every object below `prefix` (relative to the store) whose path sorts behind `after`, in order of paths."""
        ...

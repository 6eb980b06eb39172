"""Uploads in parts over a directory: each part a file of its own until they are put together."""

import contextlib
import hashlib
import re
import shutil
import uuid
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from telemetry.storage.protocol import StoredPart

PARTS = ".parts"
_BLOCK = 1 << 20


def begin(store: Path) -> str:
    """A new upload in parts; gives its id."""
    multipart_id = uuid.uuid4().hex
    (store / PARTS / multipart_id).mkdir(parents=True)
    return multipart_id


def part_path(multipart_id: str, part_number: int) -> str:
    """Where a part lies in the store."""
    return f"{PARTS}/{multipart_id}/{part_number}"


def ended(file: Path) -> bool:
    """True for a part, by its place, whose upload was ended."""
    return file.parent.parent.name == PARTS and not file.parent.is_dir()


def stored(store: Path, multipart_id: str) -> list[StoredPart]:
    """The parts that have arrived, in order; none when the upload was ended."""
    folder = _folder(store, multipart_id)
    if not folder.is_dir():
        return []
    numbers = sorted(int(file.name) for file in folder.iterdir())
    return [_describe(folder / str(number), number) for number in numbers]


def blocks(store: Path, multipart_id: str, parts: Sequence[StoredPart]) -> Iterator[bytes]:
    """The bytes of all parts in order."""
    for part in parts:
        with (_folder(store, multipart_id) / str(part.part_number)).open("rb") as file:
            while block := file.read(_BLOCK):
                yield block


def drop(store: Path, multipart_id: str) -> None:
    """Ends the upload and removes its parts; none there is no error."""
    shutil.rmtree(_folder(store, multipart_id), ignore_errors=True)


def drop_idle(store: Path, before: datetime) -> int:
    """Ends the uploads to which no part came since a moment; gives how many."""
    dropped = 0
    for folder in (store / PARTS).glob("*"):
        with contextlib.suppress(FileNotFoundError):  # ended meanwhile
            if folder.stat().st_mtime < before.timestamp():
                shutil.rmtree(folder, ignore_errors=True)
                dropped += 1
    return dropped


def _folder(store: Path, multipart_id: str) -> Path:
    if not re.fullmatch(r"[0-9a-f]{32}", multipart_id):
        raise ValueError("no id of an upload in parts")
    return store / PARTS / multipart_id


def _describe(file: Path, part_number: int) -> StoredPart:
    with file.open("rb") as opened:
        sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
    return StoredPart(part_number, file.stat().st_size, sha256, etag=sha256)

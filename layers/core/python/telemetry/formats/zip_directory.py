"""The directory of a zip, walked in bounded memory: which entries there are, and where.

Each record is bounded before it is read, and nothing is read that was not bounded: a second opinion about where the
directory stands (`zipfile` has its own) could be led elsewhere by bytes that only look like a record.
Format: PKWARE APPNOTE 6.3, sections 4.3.12 to 4.3.16, 4.5.3 and 4.6.9.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from telemetry.errors import Code, TelemetryError

ENCRYPTED = 0x1
UTF8_NAME = 0x800

MAX_DIRECTORY_BYTES = 1 << 20

_END = struct.Struct("<4s4H2LH")
_END_SIGNATURE = b"PK\x05\x06"
_MAX_COMMENT_BYTES = 0xFFFF
_LOCATOR_64 = struct.Struct("<4sLQL")
_LOCATOR_64_SIGNATURE = b"PK\x06\x07"
_END_64 = struct.Struct("<4sQ2H2L4Q")
_END_64_SIGNATURE = b"PK\x06\x06"
_ENTRY = struct.Struct("<4s6H3L5H2L")
_ENTRY_SIGNATURE = b"PK\x01\x02"
_ZIP64_EXTRA = 0x0001
_NAME_EXTRA = 0x7075
_IN_ZIP64_EXTRA = 0xFFFF_FFFF


class DirectoryDamaged(Exception):
    """There is no directory, or none that can be read; the text says which."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What the directory says of an entry; nothing of it is checked against the entry itself.

    Attributes
    ----------
    flags : general purpose bits, for example `ENCRYPTED`.
    method : of compression; 0 is stored, 8 is deflate.
    compressed_size : bytes.
    header_offset : byte of the file where the entry's local header should stand; may lie outside.
    """

    name: str
    flags: int
    method: int
    compressed_size: int
    header_offset: int


def read_directory(file: IO[bytes], most_entries: int) -> list[Entry]:
    """The entries of the zip in `file`, in the directory's order.

    Bytes in front of the zip, and a comment behind it, do not matter.

    Raises
    ------
    DirectoryDamaged : the file is cut off before its end, or the directory is not one.
    TelemetryError : ARCHIVE_TOO_LARGE when it holds more than `most_entries`, or `MAX_DIRECTORY_BYTES`.
    """
    end, size, offset = _bounds(file)
    if size > MAX_DIRECTORY_BYTES:
        raise TelemetryError(Code.ARCHIVE_TOO_LARGE, "too many entries in the zip")
    start = end - size
    if start < 0:
        raise DirectoryDamaged("its directory cannot be read")
    file.seek(start)
    entries: list[Entry] = []
    # Offsets count from the zip's own beginning, `start - offset`.
    for entry in _entries(file.read(size), start - offset):
        if len(entries) == most_entries:
            raise TelemetryError(Code.ARCHIVE_TOO_LARGE, f"more than {most_entries} entries")
        entries.append(entry)
    return entries


def _bounds(file: IO[bytes]) -> tuple[int, int, int]:
    """Where the directory ends, its size, and where in the zip it claims to begin."""
    file_size = file.seek(0, os.SEEK_END)
    tail_start = max(0, file_size - _END.size - _MAX_COMMENT_BYTES)
    file.seek(tail_start)
    tail = file.read()
    at = len(tail) - _END.size
    # The last record without a comment is the rule; the signature may also occur inside it by chance.
    if not (at >= 0 and tail.startswith(_END_SIGNATURE, at) and tail.endswith(b"\x00\x00")):
        at = tail.rfind(_END_SIGNATURE)
    if at < 0 or len(tail) - at < _END.size:
        raise DirectoryDamaged("it ends before its directory")
    size, offset = _END.unpack_from(tail, at)[5:7]
    end = tail_start + at
    if (zip64 := _zip64_end(file, end)) is not None:
        end, size, offset = zip64
    elif size == _IN_ZIP64_EXTRA:
        raise DirectoryDamaged("its directory cannot be read")
    return end, size, offset


def _zip64_end(file: IO[bytes], end: int) -> tuple[int, int, int] | None:
    """Position of the zip64 record in front of the end record at `end`, and the directory's size and offset in it."""
    start = end - _LOCATOR_64.size - _END_64.size
    if start < 0:
        return None
    file.seek(start)
    record = file.read(_END_64.size + _LOCATOR_64.size)
    if not (record.startswith(_END_64_SIGNATURE) and record.startswith(_LOCATOR_64_SIGNATURE, _END_64.size)):
        return None
    size, offset = _END_64.unpack_from(record)[8:10]
    return start, size, offset


def _entries(directory: bytes, zip_start: int) -> Iterator[Entry]:
    at = 0
    while at < len(directory):
        if not directory.startswith(_ENTRY_SIGNATURE, at) or at + _ENTRY.size > len(directory):
            raise DirectoryDamaged("its directory cannot be read")
        fields = _ENTRY.unpack_from(directory, at)
        flags, method = fields[3:5]
        compressed_size, size, name_size, extra_size, comment_size = fields[8:13]
        name_at = at + _ENTRY.size
        extra_at = name_at + name_size
        comment_at = extra_at + extra_size
        extras = dict(_extras(directory[extra_at:comment_at]))
        compressed_size, offset = _zip64_values(size, compressed_size, fields[-1], extras)
        yield Entry(
            _name(directory[name_at:extra_at], flags, extras), flags, method, compressed_size, zip_start + offset
        )
        at = comment_at + comment_size


def _extras(extra: bytes) -> Iterator[tuple[int, bytes]]:
    """Extra fields by their ids; padding behind them is passed over."""
    at = 0
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<HH", extra, at)
        yield kind, extra[at + 4 : at + 4 + size]
        at += 4 + size


def _zip64_values(size: int, compressed_size: int, offset: int, extras: dict[int, bytes]) -> tuple[int, int]:
    """Compressed size and offset: those too large for their fields stand in the zip64 extra field, in this order."""
    large = extras.get(_ZIP64_EXTRA)
    if large is None:
        return compressed_size, offset
    values = iter(struct.unpack_from(f"<{len(large) // 8}Q", large))
    try:
        if size == _IN_ZIP64_EXTRA:
            next(values)
        if compressed_size == _IN_ZIP64_EXTRA:
            compressed_size = next(values)
        if offset == _IN_ZIP64_EXTRA:
            offset = next(values)
    except StopIteration:
        raise DirectoryDamaged("its directory cannot be read") from None
    return compressed_size, offset


def _name(name: bytes, flags: int, extras: dict[int, bytes]) -> str:
    """A name as far as a NUL, in the encoding that the entry tells; what is no such text is replaced."""
    encoding = "utf-8" if flags & UTF8_NAME else "cp437"
    unicode = extras.get(_NAME_EXTRA, b"")
    # The field holds for the very name that its checksum was made of (4.6.9).
    if unicode[:1] == b"\x01" and unicode[1:5] == struct.pack("<L", zlib.crc32(name)) and len(unicode) > 5:
        name, encoding = unicode[5:], "utf-8"
    return name.decode(encoding, "replace").split("\x00")[0]

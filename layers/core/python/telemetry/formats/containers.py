"""Recordings inside `.gz` and single-recording `.zip` (also `.kmz`) files, recognised by content and streamed.

Limits are counted on what comes out, never believed from a header. A gzip file is read as it streams in; a zip's
directory stands at its end, so its compressed bytes are kept in a temporary file first.
Formats: RFC 1952 (gzip), PKWARE APPNOTE 6.3 (zip).
"""

import io
import os
import re
import struct
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from telemetry.errors import Code, TelemetryError
from telemetry.formats.office_documents import MEDIA_TYPE, office_document
from telemetry.formats.reader import ByteSource
from telemetry.formats.zip_directory import ENCRYPTED, DirectoryDamaged, Entry, read_directory

READ_BYTES = 65_536
GZIP = "gzip"
ZIP = "zip"

_GZIP_MAGIC = b"\x1f\x8b\x08"
_ZIP_MAGIC = b"PK\x03\x04"
_ZIP_EMPTY_MAGIC = b"PK\x05\x06"
_METHOD_STORED = 0
_METHOD_DEFLATED = 8
_NAMED = 5
_MOST_MEDIA_TYPE_BYTES = 100


@dataclass(frozen=True, slots=True)
class ContainerLimits:
    """What an archive may hold.

    Attributes
    ----------
    output_bytes : uncompressed bytes.
    ratio : uncompressed to compressed, once `RATIO_FREE_BYTES` came out.
    entries : of a zip.
    archive_bytes : compressed size of a zip, which is kept in a temporary file.
    """

    output_bytes: int = 20 << 30
    ratio: int = 250
    entries: int = 1000
    archive_bytes: int = 2 << 30


RATIO_FREE_BYTES = 16 << 20


class Recording:
    """A recording's own bytes, out of whatever contained them. Read once, front to back.

    Attributes
    ----------
    head : its first bytes, which `read` gives again.
    compression : ``gzip``, ``zip`` or None.
    name : the recording's own name where the archive tells it.
    damage : what was wrong with the archive although bytes came out; whole once `read` gave nothing more.
    """

    def __init__(
        self,
        source: ByteSource,
        head: bytes,
        *,
        compression: str | None = None,
        name: str = "",
        damage: Callable[[], str] = str,
        close: Callable[[], None] | None = None,
    ) -> None:
        self.head = head
        self.compression = compression
        self.name = name
        self._source = source
        self._front = io.BytesIO(head)
        self._damage = damage
        self._close = close

    @property
    def damage(self) -> str:
        return self._damage()

    def read(self, size: int, /) -> bytes:
        return self._front.read(size) or self._source.read(size)

    def close(self) -> None:
        """Gives the temporary file back."""
        if self._close is not None:
            self._close()


def compression_of(head: bytes) -> str | None:
    """``gzip``, ``zip`` or None, from a file's first bytes."""
    if head.startswith(_GZIP_MAGIC):
        return GZIP
    return ZIP if head.startswith((_ZIP_MAGIC, _ZIP_EMPTY_MAGIC)) else None


def peek(head: bytes, size: int) -> tuple[str | None, bytes]:
    """Compression and the first uncompressed bytes, as far as `head` holds them.

    Of a zip, the first entry that may be a recording counts; empty bytes mean that `head` does not reach it.
    """
    compression = compression_of(head)
    if compression == GZIP:
        return GZIP, _Inflated(io.BytesIO(head), ContainerLimits(), gzip=True).read(size)
    if compression == ZIP:
        return ZIP, _peek_zip(head, size)
    return None, head[:size]


def open_recording(source: ByteSource, directory: Path, limits: ContainerLimits, head_bytes: int) -> Recording:
    """The recording in `source`, whatever contains it.

    Parameters
    ----------
    directory : where a zip's compressed bytes are kept meanwhile.
    head_bytes : how much `Recording.head` holds, if there is as much.

    Raises
    ------
    TelemetryError : FILE_EMPTY, FILE_CORRUPT, ARCHIVE_UNSUPPORTED, ARCHIVE_TOO_LARGE (the last also from `read`).
    """
    head = read_fully(source, max(head_bytes, READ_BYTES))
    if not head:
        raise TelemetryError(Code.FILE_EMPTY, "0 bytes")
    compression = compression_of(head)
    if compression is None:
        return Recording(source, head)
    whole = Recording(source, head)
    if compression == GZIP:
        inflated = _Inflated(whole, limits, gzip=True)
        inner = read_fully(inflated, head_bytes)
        if not inner and inflated.damage:
            raise TelemetryError(Code.FILE_CORRUPT, f"gzip: {inflated.damage}")
        return _checked(Recording(inflated, inner, compression=GZIP, damage=lambda: inflated.damage))
    spooled = _spool(whole, directory, limits)
    try:
        name, entry = _single_recording(spooled, limits)
        inner = read_fully(entry, head_bytes)
        if not inner and entry.damage:
            raise TelemetryError(Code.FILE_CORRUPT, f"zip: {entry.damage}")
        return _checked(
            Recording(entry, inner, compression=ZIP, name=name, damage=lambda: entry.damage, close=spooled.close)
        )
    except BaseException:
        spooled.close()
        raise


def read_fully(source: ByteSource, size: int) -> bytes:
    """`size` bytes, fewer only at the end."""
    pieces: list[bytes] = []
    while size > 0 and (piece := source.read(size)):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def clean_name(name: str) -> str:
    """An entry's name for people: no path, no control characters, at most 80 characters."""
    last = re.split(r"[/\\]", name.rstrip("/\\"))[-1]
    return "".join(c for c in last if c.isprintable())[:80]


def _checked(recording: Recording) -> Recording:
    if compression_of(recording.head) is not None or recording.head[257:262] == b"ustar":
        recording.close()
        raise TelemetryError(Code.ARCHIVE_UNSUPPORTED, "an archive within an archive")
    return recording


class _Inflated:
    """Decompressed bytes of a gzip stream (all its members) or of one raw deflate stream, limits counted."""

    def __init__(self, source: ByteSource, limits: ContainerLimits, *, gzip: bool) -> None:
        self.damage = ""
        self._source = source
        self._limits = limits
        self._gzip = gzip
        self._inflate = zlib.decompressobj(31 if gzip else -15)
        self._pending = b""
        self._in = 0
        self._out = 0
        self._ended = False

    def read(self, size: int, /) -> bytes:
        while not self._ended:
            if not self._pending:
                self._pending = self._source.read(READ_BYTES)
                self._in += len(self._pending)
                if not self._pending and self._inflate.eof:
                    self._ended = True
                    break
                if not self._pending:
                    self._ended = True
                    self.damage = f"it ends in the middle, at byte {self._in}"
                    return self._counted(self._inflate.flush())
            try:
                out = self._inflate.decompress(self._pending, size)
            except zlib.error:
                self._ended = True
                self.damage = f"damaged before byte {self._in}"
                break
            self._pending = self._inflate.unconsumed_tail
            if self._inflate.eof:
                self._next_member()
            if out:
                return self._counted(out)
        return b""

    def _counted(self, out: bytes) -> bytes:
        self._out += len(out)
        limits = self._limits
        if self._out > limits.output_bytes:
            raise TelemetryError(Code.ARCHIVE_TOO_LARGE, f"more than {limits.output_bytes} bytes when unpacked")
        if self._out > RATIO_FREE_BYTES and self._out > limits.ratio * max(1, self._in):
            raise TelemetryError(Code.ARCHIVE_TOO_LARGE, f"it unpacks to more than {limits.ratio} times its size")
        return out

    def _next_member(self) -> None:
        """After one gzip member: another one, zero padding, or bytes that do not belong to it."""
        rest = self._inflate.unused_data
        if not self._gzip:
            self._ended = True
            return
        while True:
            rest = rest.lstrip(b"\x00")
            if len(rest) >= len(_GZIP_MAGIC):
                break
            more = self._source.read(READ_BYTES)
            self._in += len(more)
            if not more:
                break
            rest += more
        if rest.startswith(_GZIP_MAGIC):
            self._inflate = zlib.decompressobj(31)
            self._pending = rest
            return
        self._ended = True
        if rest:
            self.damage = "bytes after the end of the gzip data were ignored"


class _Section:
    """A stretch of a file as a source; to the file's end where `size` is None."""

    def __init__(self, file: IO[bytes], start: int, size: int | None) -> None:
        self._file = file
        self._at = start
        self._left = size

    def read(self, size: int, /) -> bytes:
        wanted = size if self._left is None else min(size, self._left)
        self._file.seek(self._at)
        piece = self._file.read(wanted)
        self._at += len(piece)
        if self._left is not None:
            self._left -= len(piece)
        return piece


class _Stored:
    """An entry without compression, its bytes counted as `_Inflated` counts them."""

    def __init__(self, section: _Section, limits: ContainerLimits) -> None:
        self.damage = ""
        self._section = section
        self._left = limits.output_bytes
        self._limit = limits.output_bytes

    def read(self, size: int, /) -> bytes:
        piece = self._section.read(size)
        self._left -= len(piece)
        if self._left < 0:
            raise TelemetryError(Code.ARCHIVE_TOO_LARGE, f"more than {self._limit} bytes when unpacked")
        return piece


def _spool(source: ByteSource, directory: Path, limits: ContainerLimits) -> IO[bytes]:
    file = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115 - it lives as long as the recording is read
    try:
        size = 0
        while piece := source.read(READ_BYTES):
            size += len(piece)
            if size > limits.archive_bytes:
                raise TelemetryError(
                    Code.ARCHIVE_TOO_LARGE, f"a zip may have at most {limits.archive_bytes} bytes; use gzip instead"
                )
            file.write(piece)
    except BaseException:
        file.close()
        raise
    return file


def _single_recording(file: IO[bytes], limits: ContainerLimits) -> tuple[str, "_Inflated | _Stored"]:
    try:
        entries = read_directory(file, limits.entries)
    except DirectoryDamaged as error:
        return _first_entry(file, limits, error)
    _refuse_office_document([entry.name for entry in entries], _media_type(file, entries, limits))
    candidates = [entry for entry in entries if _may_be_recording(entry)]
    # A .kmz brings pictures along, an export its readme: a recording is what its name says.
    named = [entry for entry in candidates if entry.name.lower().endswith(_RECORDING_ENDINGS)]
    candidates = named or candidates
    if not candidates:
        raise TelemetryError(Code.ARCHIVE_UNSUPPORTED, "no recording in the zip")
    entry = candidates[0]
    if len(candidates) > 1:
        what = "recordings" if named else "files, none named as a recording"
        names = ", ".join(clean_name(entry.name) for entry in candidates[:_NAMED])
        more = f" and {len(candidates) - _NAMED} more" if len(candidates) > _NAMED else ""
        raise TelemetryError(Code.ARCHIVE_UNSUPPORTED, f"{len(candidates)} {what}: {names}{more}")
    if entry.flags & ENCRYPTED:
        raise TelemetryError(Code.ARCHIVE_UNSUPPORTED, f"{clean_name(entry.name)} is encrypted")
    return clean_name(entry.name), _entry(file, entry.header_offset, entry.method, entry.compressed_size, limits)


_RECORDING_ENDINGS = (
    ".csv", ".txt", ".tsv", ".log", ".gpx", ".tcx", ".kml", ".fit", ".nmea", ".nma", ".vbo", ".igc", ".ubx",
    ".xrk", ".xrz",     ".gz", ".zip", ".kmz",
)  # fmt: skip


def _may_be_recording(entry: Entry) -> bool:
    path = entry.name.replace("\\", "/")
    hidden = path.startswith("__MACOSX/") or path.rsplit("/", 1)[-1].startswith(".")
    # Two bytes are an empty deflate stream.
    return not path.endswith("/") and not hidden and entry.compressed_size > 2


def _media_type(file: IO[bytes], entries: list[Entry], limits: ContainerLimits) -> bytes:
    """What an OpenDocument says of itself in its first entry."""
    if not entries or entries[0].name != MEDIA_TYPE or entries[0].compressed_size > _MOST_MEDIA_TYPE_BYTES:
        return b""
    first = entries[0]
    source = _entry(file, first.header_offset, first.method, first.compressed_size, limits)
    return read_fully(source, _MOST_MEDIA_TYPE_BYTES)


def _refuse_office_document(names: list[str], media_type: bytes = b"") -> None:
    """Before its parts are taken for recordings."""
    if title := office_document(names, media_type):
        raise TelemetryError(Code.FORMAT_UNRECOGNISED, f"it looks like {title}")


def _first_entry(
    file: IO[bytes], limits: ContainerLimits, error: DirectoryDamaged
) -> tuple[str, "_Inflated | _Stored"]:
    """A zip cut off before its directory, or with a damaged one: what its first entry still holds."""
    file.seek(0)
    header = file.read(30)
    if len(header) < 30 or not header.startswith(_ZIP_MAGIC):
        raise TelemetryError(Code.FILE_CORRUPT, "zip: its directory cannot be read") from error
    flags, method = struct.unpack("<HH", header[6:10])
    if flags & ENCRYPTED:
        raise TelemetryError(Code.ARCHIVE_UNSUPPORTED, "the zip is encrypted")
    stored_size = struct.unpack("<L", header[18:22])[0]
    name = file.read(struct.unpack("<H", header[26:28])[0]).decode("utf-8", "replace")
    _refuse_office_document([name])
    inflated = _entry(file, 0, method, stored_size or None, limits)
    inflated.damage = str(error)
    return clean_name(name), inflated


def _entry(
    file: IO[bytes], offset: int, method: int, size: int | None, limits: ContainerLimits
) -> "_Inflated | _Stored":
    """The bytes of the entry whose local header (APPNOTE 4.3.7) stands at `offset`."""
    if not 0 <= offset <= file.seek(0, os.SEEK_END):
        raise TelemetryError(Code.FILE_CORRUPT, "zip: its directory points outside of the file")
    file.seek(offset)
    header = file.read(30)
    if len(header) < 30 or not header.startswith(_ZIP_MAGIC):
        raise TelemetryError(Code.FILE_CORRUPT, f"zip: no entry at byte {offset}")
    name_size, extra_size = struct.unpack("<HH", header[26:30])
    section = _Section(file, offset + 30 + name_size + extra_size, size)
    if method == _METHOD_DEFLATED:
        return _Inflated(section, limits, gzip=False)
    if method == _METHOD_STORED:
        return _Stored(section, limits)
    raise TelemetryError(Code.ARCHIVE_UNSUPPORTED, f"zip: compression method {method} is not read, only deflate")


def _peek_zip(head: bytes, size: int) -> bytes:
    """The first bytes of the first non-empty entry, as far as its size is known in front."""
    at = 0
    while head[at : at + 4] == _ZIP_MAGIC and len(head) >= at + 30:
        flags, method = struct.unpack("<HH", head[at + 6 : at + 10])
        stored = struct.unpack("<L", head[at + 18 : at + 22])[0]
        name_size, extra_size = struct.unpack("<HH", head[at + 26 : at + 30])
        name = head[at + 30 : at + 30 + name_size].decode("utf-8", "replace")
        start = at + 30 + name_size + extra_size
        streamed = bool(flags & 0x8) and not stored
        if (stored or streamed) and name.lower().endswith(_RECORDING_ENDINGS) and not flags & ENCRYPTED:
            body = head[start:] if streamed else head[start : start + stored]
            if method == _METHOD_DEFLATED:
                return _Inflated(io.BytesIO(body), ContainerLimits(), gzip=False).read(size)
            return body[:size] if method == _METHOD_STORED else b""
        if streamed:
            return b""
        at = start + stored
    return b""

"""Which format a recording is in, by its first bytes; never by its file name's extension alone.

Readers are imported when first asked. Adding a format is one module with a `READER`, and its name here.
"""

import importlib
import zlib
from functools import cache

from telemetry.errors import Code, TelemetryError
from telemetry.formats.reader import Origin, Reader, Recognition

HEAD_BYTES = 65_536
"""How many first bytes (uncompressed) a reader sees to recognise its format."""

READER_MODULES = {
    "gpx": b"<",
    "tcx": b"<",
    "kml": b"<",
    "fit": b".FIT",
    "ubx": b"\xb5\x62",
    "vbo": b"[",
    "nmea": b"$",
    "igc": b"",
    "csv": b"",
}
"""Modules of `telemetry.formats`, named like their readers, and bytes that every recording of the format has in its
head, in UTF-16 too: where they are missing, the reader need not be imported, which costs 10 ms. Of equal claims the
first wins, so the most particular formats stand first."""


def readers() -> tuple[Reader, ...]:
    """Every reader, in the order of `READER_MODULES`."""
    return tuple(_reader(name) for name in READER_MODULES)


@cache
def _reader(name: str) -> Reader:
    reader: Reader = importlib.import_module(f"telemetry.formats.{name}").READER
    return reader


def possible_readers(head: bytes) -> tuple[Reader, ...]:
    """The readers whose format `head` may be in, in the order of `READER_MODULES`."""
    return tuple(_reader(name) for name, needed in READER_MODULES.items() if needed in head)


def reader_named(name: str) -> Reader | None:
    """The reader of a format, or None."""
    return _reader(name) if name in READER_MODULES else None


def recognise(head: bytes, origin: Origin) -> Recognition:
    """The format with the highest confidence.

    Parameters
    ----------
    head : the recording's first bytes, uncompressed, up to `HEAD_BYTES`.

    Raises
    ------
    TelemetryError : FILE_EMPTY; FORMAT_UNRECOGNISED saying what it looks like and which formats are read.
    """
    if not head.strip(b"\x00 \t\r\n"):
        if len(head) < HEAD_BYTES:
            raise TelemetryError(Code.FILE_EMPTY, f"{len(head)} bytes, none of them data" if head else "0 bytes")
        raise TelemetryError(Code.FORMAT_UNRECOGNISED, _detail("nothing but zeros and blanks at its beginning"))
    claims = [claim for reader in possible_readers(head) if (claim := reader.recognise(head, origin)) is not None]
    if not claims:
        raise TelemetryError(Code.FORMAT_UNRECOGNISED, _detail(looks_like(head)))
    return max(claims, key=lambda claim: claim.confidence)


def _detail(appearance: str) -> str:
    titles = ", ".join(reader.title for reader in readers())
    return f"it looks like {appearance}; read are {titles}, each also as .gz or in a .zip"


_XRK = "an AiM XRK recording, which Race Studio exports as CSV"

_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"%PDF-", "a PDF document"),
    (0, b"\xff\xd8\xff", "a JPEG image"),
    (0, b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (0, b"GIF8", "a GIF image"),
    (0, b"RIFF", "a RIFF container (audio, video or image)"),
    (4, b"ftyp", "an MP4 or QuickTime video"),
    (0, b"SQLite format 3\x00", "an SQLite database"),
    (0, b"PAR1", "a Parquet file"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (0, b"Rar!\x1a\x07", "a RAR archive"),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (0, b"\xfd7zXZ\x00", "an XZ archive"),
    (0, b"BZh", "a bzip2 archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Microsoft Office document"),
    (0, b"\x7fELF", "a program"),
    (0, b"MZ", "a program"),
    (0, b"<xrk", _XRK),
    (0, b"<hCNF", _XRK),
)


def looks_like(head: bytes) -> str:
    """What the bytes seem to be, for people; names no content beyond an XML element's name."""
    for offset, signature, title in _SIGNATURES:
        if head[offset : offset + len(signature)] == signature:
            return title
    if head[:1] == b"\x78" and _deflated(head).startswith(b"<hCNF"):
        return _XRK.replace("XRK", "XRZ")
    sample = head[:4096]
    if sample.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "UTF-16 text, but no table of a recording"
    if b"\x00" in sample or sum(byte < 9 or 13 < byte < 32 for byte in sample) > len(sample) // 20:
        return "binary data"
    text = sample.decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    lowered = text.lower()
    if lowered.startswith(("<!doctype html", "<html")):
        return "a web page (HTML); perhaps a sign-in page was saved instead of the recording"
    if text.startswith("<"):
        return "XML" + _root_element(text)
    if text.startswith(("{", "[")) and (":" in text or "]" in text):
        return "JSON"
    lines = [line for line in text.splitlines()[:20] if line.strip()]
    for separator, name in ((",", "commas"), (";", "semicolons"), ("\t", "tabs")):
        if len(lines) > 1 and sum(separator in line for line in lines) > len(lines) // 2:
            if not any(character.isalpha() for character in lines[0].replace("T", "").replace("Z", "")):
                return f"a table separated by {name} without a first row that names its columns"
            return f"a table separated by {name}, but no column of it could be told to be time or position"
    return "plain text"


def _deflated(head: bytes) -> bytes:
    """What a zlib stream begins with; nothing where it is none."""
    try:
        return zlib.decompressobj().decompress(head[:4096], 64)
    except zlib.error:
        return b""


def _root_element(text: str) -> str:
    for piece in text.split("<")[1:]:
        name = piece.split(">")[0].split("/")[0].split()
        if name and (name[0][0].isalpha() or name[0][0] == "_"):
            cleaned = "".join(c for c in name[0] if c.isalnum() or c in "_:-.")[:40]
            return f" with the root element `{cleaned}`"
    return ""

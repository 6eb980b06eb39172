"""Recordings for the page's tests, made where they are needed: laps on a circuit, and files larger than their rows."""

import gzip
import zlib
from pathlib import Path

from fixtures.generator import Recipe, write

SAMPLES = Path(__file__).resolve().parents[2] / "fixtures" / "telemetry"
_EMPTY_BLOCK = b"\x00\x00\x00\xff\xff"  # stored, of no bytes (RFC 1951, section 3.2.4)


def laps(path: Path, *, minutes: float = 9, seed: int = 1) -> Path:
    """Laps of three kilometres at 10 Hz, as CSV. Another seed gives other bytes."""
    write(Recipe(rows=round(minutes * 600), seed=seed), path)
    return path


def padded(path: Path, recording: Path, byte_count: int) -> Path:
    """The recording as a gzip file of about `byte_count` bytes: large to send, quick to read."""
    content = recording.read_bytes()
    deflated = zlib.compressobj(wbits=-15)
    body = deflated.compress(content) + deflated.flush(zlib.Z_FULL_FLUSH)
    ending = zlib.compressobj(wbits=-15).flush()
    padding = _EMPTY_BLOCK * ((byte_count - len(body)) // len(_EMPTY_BLOCK))
    footer = zlib.crc32(content).to_bytes(4, "little") + len(content).to_bytes(4, "little")
    path.write_bytes(b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + body + padding + ending + footer)
    assert gzip.decompress(path.read_bytes()[:0] or path.read_bytes()) == content
    return path

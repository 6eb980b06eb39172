"""Frames of u-blox's UBX protocol out of a byte stream, whatever else the stream carries.

Source: "u-blox M8 Receiver Description / Protocol Specification", UBX Frame Structure and UBX Checksum: `B5 62`, class,
id, length (little endian), payload, and two bytes of an 8-bit Fletcher sum over class to payload.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate

from telemetry.formats.reader import ByteSource

SYNC = b"\xb5\x62"
READ_BYTES = 256 * 1024
OVERHEAD = 8
NAV_PVT = (0x01, 0x07)
_HEADER = struct.Struct("<2sBBH")
PVT_LENGTHS = (84, 92)
MAX_FUTILE_BYTES = 1 << 20
"""Bytes summed for nothing in one block; from then on only NAV-PVT is summed, so that noise costs bounded time."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One message.

    Attributes
    ----------
    kind : class and id.
    offset : of its first byte in the stream.
    """

    kind: tuple[int, int]
    payload: bytes
    offset: int


def checksum(content: bytes) -> bytes:
    """8-bit Fletcher sum (RFC 1145) of class, id, length and payload."""
    return bytes((sum(content) & 0xFF, sum(accumulate(content)) & 0xFF))


@dataclass(slots=True)
class FrameStream:
    """Frames of a source in order; what lies between them is in `between` until it is taken.

    Attributes
    ----------
    damaged : offsets of what began as a frame and had a wrong checksum or was cut off; the first ones.
    damaged_count : how many there were.
    """

    source: ByteSource
    damaged: list[int] = field(default_factory=list)
    damaged_count: int = 0
    _between: list[bytes] = field(default_factory=list)

    def take_between(self) -> bytes:
        """The bytes outside of frames since the last call."""
        between, self._between = b"".join(self._between), []
        return between

    def frames(self) -> Iterator[list[Frame]]:
        """Frames of each block read (also none). After damage the search goes on behind the two sync bytes."""
        buffer, start = b"", 0
        while chunk := self.source.read(READ_BYTES):
            buffer += chunk
            found, used = self._scan(buffer, start, final=False)
            buffer, start = buffer[used:], start + used
            yield found
        found, _ = self._scan(buffer, start, final=True)
        yield found

    def _scan(self, buffer: bytes, start: int, *, final: bool) -> tuple[list[Frame], int]:
        """Whole frames of `buffer`, and how many of its bytes are done with."""
        found: list[Frame] = []
        at = futile = 0
        while True:
            sync = buffer.find(SYNC, at)
            if sync < 0:
                # The last byte may be the first half of the sync bytes.
                end = len(buffer) if final or not buffer.endswith(SYNC[:1]) else len(buffer) - 1
                self._outside(buffer[at:end])
                return found, end
            self._outside(buffer[at:sync])
            if len(buffer) - sync < OVERHEAD or (
                len(buffer) - sync < OVERHEAD + int.from_bytes(buffer[sync + 4 : sync + 6], "little")
            ):
                if not final:
                    return found, sync
                self._damage(start + sync)
                at = sync + len(SYNC)
                continue
            _, message_class, message_id, length = _HEADER.unpack_from(buffer, sync)
            end = sync + OVERHEAD + length
            kind = (message_class, message_id)
            sound = length in PVT_LENGTHS if kind == NAV_PVT else futile < MAX_FUTILE_BYTES
            whole = sound and checksum(buffer[sync + 2 : end - 2]) == buffer[end - 2 : end]
            if not whole:
                futile += length
            if whole:
                found.append(Frame(kind, buffer[sync + 6 : end - 2] if kind == NAV_PVT else b"", start + sync))
                at = end
            else:
                self._damage(start + sync)
                at = sync + len(SYNC)

    def _outside(self, part: bytes) -> None:
        if part:
            self._between.append(part)

    def _damage(self, offset: int) -> None:
        self.damaged_count += 1
        if len(self.damaged) < 5:
            self.damaged.append(offset)

"""A text table's bytes as blocks of whole lines in UTF-8, in bounded memory.

Pure: a byte stream in, blocks out. Knows encodings, line ends, NUL padding and overlong lines; knows no cells.
"""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from telemetry.formats.reader import ByteSource

HEAD_BYTES = 256 * 1024
"""The preamble, the header and the first rows are looked for in so many bytes."""
BLOCK_BYTES = 3 << 20
"""Cells of so much text are still in the processor's cache when they are converted."""
PIECE_BYTES = 256 * 1024
"""So much is read at a time: it is still in the processor's cache when it is looked at and copied."""
MAX_LINE_BYTES = 1 << 20
"""A longer line is no row of a recording; it is passed over and counted."""


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines.

    Attributes
    ----------
    data : UTF-8, perhaps with NUL in it; lines end with ``\\n`` or ``\\r\\n``. Only the first `size` bytes belong to
        the block, anything may follow. Valid until the second next block is asked for.
    overlong_before : lines that were passed over just before these.
    """

    data: bytes | bytearray
    size: int
    overlong_before: int = 0

    def whole(self) -> bytes:
        """The block's own bytes."""
        if isinstance(self.data, bytes) and self.size == len(self.data):
            return self.data
        return bytes(memoryview(self.data)[: self.size])

    def without_nul(self) -> "Block":
        """A copy that holds the block's own lines only, without NUL, which some loggers pad their files with."""
        data = self.whole().replace(b"\0", b"")
        return Block(data, len(data), self.overlong_before)


def read_head(source: ByteSource) -> bytes:
    """The first `HEAD_BYTES` bytes, or fewer where the file is shorter."""
    parts: list[bytes] = []
    missing = HEAD_BYTES
    while missing > 0 and (part := source.read(missing)):
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def detect_encoding(head: bytes) -> str:
    """Python's name of the head's encoding: by its byte order mark, its NUL bytes, then by whether it is UTF-8."""
    if head.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    sample = head[:4096]
    # ASCII text in UTF-16 has every second byte NUL; NUL padding of fields never reaches that share.
    pairs = max(len(sample) // 2, 1)
    if len(sample) >= 4 and sample[1::2].count(0) > 0.7 * pairs and sample[::2].count(0) < 0.1 * pairs:
        return "utf-16-le"
    if len(sample) >= 4 and sample[::2].count(0) > 0.7 * pairs and sample[1::2].count(0) < 0.1 * pairs:
        return "utf-16-be"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def decode_head(head: bytes, encoding: str) -> str:
    """The head as text, without NUL and with ``\\n`` as the only line end."""
    text = codecs.getincrementaldecoder(encoding)("replace").decode(head).replace("\0", "")
    if "\n" not in text:
        return text.replace("\r", "\n")
    # As `LineBlocks` has it: `\r\r\n` is one line end, a lone `\r` noise.
    return re.sub(r"\r+\n", "\n", text).replace("\r", " ")


class LineBlocks:
    """Iterates over a file's blocks, beginning after the first `skip_lines` lines.

    Parameters
    ----------
    share : how much of the usual size a block has, for readers whose lines become many times as large.
    """

    def __init__(
        self, source: ByteSource, head: bytes, encoding: str, *, skip_lines: int = 0, share: float = 1.0
    ) -> None:
        self._source = source
        self._head = head
        self._encoding = encoding
        self._skip_lines = skip_lines
        self._block_bytes = int(BLOCK_BYTES * share)
        self._old_mac = b"\r" in head and b"\n" not in head
        self.ends_with_line_end = True
        """Known once exhausted: False where the last line was not ended."""

    def __iter__(self) -> Iterator[Block]:
        rest = b""
        overlong = 0
        passing_over = False
        skip = self._skip_lines
        joint, other = _Joint(), _Joint()
        # No piece is empty but the one that marks the end.
        for piece in chain(self._decoded(), (b"",)):
            begin = piece.find(b"\n") + 1 if passing_over else 0
            if passing_over and piece:
                if not begin:
                    continue
                passing_over = False
            joint.append(piece[begin:] if begin else piece)
            if piece and joint.size < self._block_bytes:
                continue
            block: bytes | bytearray = joint.memory
            cut = joint.memory.rfind(b"\n", 0, joint.size) + 1
            rest = bytes(joint.memory[cut : joint.size])
            if skip and cut:
                block, skip = _after_lines(bytes(block[:cut]), skip)
                cut = len(block)
            if cut:
                yield Block(block, cut, overlong)
                overlong = 0
            if len(rest) > MAX_LINE_BYTES and len(rest := rest.replace(b"\0", b"")) > MAX_LINE_BYTES:
                rest, passing_over = b"", True
                overlong += 1
            joint, other = other, joint
            joint.size = 0
            joint.append(rest)
        rest = rest.replace(b"\0", b"")
        self.ends_with_line_end = not rest
        if (rest and not skip) or overlong:
            last = b"" if skip else rest
            yield Block(last, len(last), overlong)

    def _decoded(self) -> Iterator[bytes]:
        """UTF-8 pieces without lone carriage returns."""
        decoder = None
        if self._encoding not in ("utf-8", "utf-8-sig"):
            decoder = codecs.getincrementaldecoder(self._encoding)("replace")
        held = b""
        for piece in self._raw():
            data = piece
            if decoder is not None:
                data = decoder.decode(piece).encode("utf-8", "replace")
            if b"\r" in data or held:
                # NUL must not part a pair.
                data = (held + data).replace(b"\0", b"")
                # The line feed of a pair may be in the next piece.
                held = b"\r" if data.endswith(b"\r") and not self._old_mac else b""
                data = self._plain_line_ends(data[: len(data) - len(held)])
            if data:
                yield data
        tail = (decoder.decode(b"", final=True).encode("utf-8", "replace") if decoder else b"") + (
            b"\n" if held else b""
        )
        if tail:
            yield tail

    def _plain_line_ends(self, data: bytes) -> bytes:
        if self._old_mac:
            return data.replace(b"\r", b"\n")
        pairs = data.count(b"\r\n")
        if data.count(b"\r") == pairs:
            return data
        # `\r\r\n` is one line end, written twice over by a text mode; a lone `\r` elsewhere is noise in a cell.
        while b"\r\r\n" in data:
            data = data.replace(b"\r\r\n", b"\r\n")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b" ")

    def _raw(self) -> Iterator[bytes]:
        head = self._head
        if self._encoding == "utf-8-sig":
            head = head[len(codecs.BOM_UTF8) :]
        if head:
            yield head
        while piece := self._source.read(min(PIECE_BYTES, BLOCK_BYTES)):
            yield piece


class _Joint:
    """Pieces in a row, in memory that is used again: fresh memory for every block costs more than the copy."""

    def __init__(self) -> None:
        self.memory = bytearray()
        self.size = 0

    def append(self, data: bytes) -> None:
        """Puts `data` behind what is there."""
        end = self.size + len(data)
        if len(self.memory) < end:
            # Not extended in place, as somebody may still look at it.
            larger = bytearray(max(end, BLOCK_BYTES + 2 * PIECE_BYTES) if self.memory else end)
            larger[: self.size] = self.memory[: self.size]
            self.memory = larger
        self.memory[self.size : end] = data
        self.size = end


def _after_lines(data: bytes, count: int) -> tuple[bytes, int]:
    """What follows the first `count` lines, and how many of these are still to come."""
    position = 0
    for passed in range(count):
        position = data.find(b"\n", position) + 1
        if not position:
            return b"", count - passed
    return data[position:], 0

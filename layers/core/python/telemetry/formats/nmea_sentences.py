"""NMEA 0183 lines: a byte stream in, checked sentences of the kinds that are read out, block by block.

Source: NMEA 0183 sentence structure and checksum (exclusive or of all characters between `$` and `*`), as also
printed in "u-blox M8 Receiver Description", NMEA Protocol. Lines may carry a prefix (a logger's time stamp, a TAG
block), binary noise or another sentence. Everything is vectorised with Arrow compute: no line reaches Python alone,
but those longer than any sentence may be.
"""

import codecs
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product

import pyarrow as pa
import pyarrow.compute as pc

from telemetry.formats.reader import ByteSource, Findings

READ_BYTES = 512 * 1024
SAMPLE_BYTES = 512
MAX_TAIL_BYTES = 4096
"""Longest unfinished line kept from block to block: no sentence comes near it, so a "line" of 5 GB is only noise."""

RMC, GGA, GLL, GNS, GSA, VTG, GST, ZDA, TRK = range(9)
KINDS = ("RMC", "GGA", "GLL", "GNS", "GSA", "VTG", "GST", "ZDA", "GNT")
_KIND_SET = pa.array([kind.encode() for kind in KINDS], pa.binary())
_MAGELLAN = b"$PMGNTRK,"
"""Magellan's own track sentence; its characters 3 to 5 read `GNT`. Every other `$P…` is some maker's and not read."""

# Printable ASCII stays; line ends stay; all else becomes `?`, so that text functions may be used and damage shows.
_PRINTABLE = bytes(c if 32 <= c < 127 or c in b"\n\r" else ord("?") for c in range(256))
_WIDTH = 128
_HEX = "0123456789ABCDEFabcdef"
_PAIRS = ["".join(pair) for pair in product(_HEX, repeat=2)]
_PAIR_SET = pa.array([pair.encode() for pair in _PAIRS], pa.binary())
# Exclusive or of a whole `$…*HH` whose checksum HH is right.
_WHOLE_LINE = pa.array(
    [int(pair, 16) ^ ord(pair[0]) ^ ord(pair[1]) ^ ord("$") ^ ord("*") for pair in _PAIRS], pa.uint64()
)


@dataclass(frozen=True, slots=True)
class Sentences:
    """Checked sentences in file order.

    Attributes
    ----------
    bodies : what stands between the address field (`$GPRMC,`) and `*`.
    kinds : index into `KINDS`.
    talkers : the two letters that say who speaks.
    lines : line numbers, from 1.
    """

    bodies: pa.StringArray
    kinds: pa.Int32Array
    talkers: pa.BinaryArray
    lines: pa.Int64Array

    def __len__(self) -> int:
        return len(self.bodies)

    def filter(self, mask: pa.BooleanArray) -> "Sentences":
        """Those where `mask` is true."""
        return Sentences(
            self.bodies.filter(mask), self.kinds.filter(mask), self.talkers.filter(mask), self.lines.filter(mask)
        )

    def take(self, indices: pa.Array) -> "Sentences":
        """Those at `indices`, in that order."""
        return Sentences(
            self.bodies.take(indices), self.kinds.take(indices), self.talkers.take(indices), self.lines.take(indices)
        )

    def after(self, earlier: "Sentences") -> "Sentences":
        """These, with `earlier` in front."""
        if not len(earlier):
            return self
        return Sentences(
            pa.concat_arrays([earlier.bodies, self.bodies]),
            pa.concat_arrays([earlier.kinds, self.kinds]),
            pa.concat_arrays([earlier.talkers, self.talkers]),
            pa.concat_arrays([earlier.lines, self.lines]),
        )


NONE = Sentences(
    pa.array([], pa.string()), pa.array([], pa.int32()), pa.array([], pa.binary()), pa.array([], pa.int64())
)


def utf16_encoding(head: bytes) -> str | None:
    """`utf-16-le` or `utf-16-be` when `head` is ASCII text in UTF-16, with or without a byte order mark."""
    sample = head[:SAMPLE_BYTES]
    marked = sample[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    text = sample[2:] if marked else sample
    half = len(text) // 2
    if half >= 8:
        if text[1::2].count(0) > 0.9 * half and not text[::2].count(0):
            return "utf-16-le"
        if text[::2].count(0) > 0.9 * half and not text[1::2].count(0):
            return "utf-16-be"
    return None


def _text_blocks(source: ByteSource) -> Iterator[bytes]:
    """Bytes in blocks that end at a line's end, printable ASCII, `\\n` the only line end."""
    decoder: codecs.IncrementalDecoder | None = None
    tail, first, lone_returns = b"", True, False
    while chunk := source.read(READ_BYTES):
        if first:
            # A source may give little at first; the encoding shows in some hundred bytes.
            while len(chunk) < SAMPLE_BYTES and (more := source.read(READ_BYTES)):
                chunk += more
            encoding = utf16_encoding(chunk)
            decoder = codecs.getincrementaldecoder(encoding)("replace") if encoding else None
            lone_returns = b"\n" not in chunk and b"\r" in chunk
            first = False
        if decoder:
            chunk = decoder.decode(chunk).encode("ascii", "replace")
        if lone_returns:
            chunk = chunk.replace(b"\r", b"\n")
        block = tail + chunk.translate(_PRINTABLE, b"" if lone_returns else b"\r")
        end = block.rfind(b"\n") + 1
        if len(block) - end > MAX_TAIL_BYTES:
            # No line end for longer than any sentence is: cut before the last sentence that began.
            end = max(end, block.rfind(b"$"))
            if len(block) - end > MAX_TAIL_BYTES:
                end = len(block)
        tail = block[end:]
        if end:
            yield block[:end]
    if tail:
        yield tail


@dataclass(slots=True)
class SentenceStream:
    """Reads a source's checked sentences; afterwards tells what it met.

    Attributes
    ----------
    checksummed : True once a line's checksum was right; from then on lines without one are noise.
    unread : sentence types that are not read here, and how often they came.
    """

    source: ByteSource
    findings: Findings
    checksummed: bool = False
    unread: Counter[str] = field(default_factory=Counter)
    _line: int = 1

    @property
    def lines_read(self) -> int:
        """Lines so far."""
        return self._line

    def blocks(self) -> Iterator[Sentences]:
        """Checked sentences, block by block; rejected lines are counted in `findings`."""
        for block in _text_blocks(self.source):
            lines, numbers = self._lines(block)
            kinds, lines, numbers = self._known(lines, numbers)
            if len(lines):
                yield self._checked(lines, kinds, numbers)

    def _lines(self, block: bytes) -> tuple[pa.StringArray, pa.Int64Array]:
        """Lines that begin with `$`: a sentence inside a line starts a line of its own, with that line's number."""
        first, ends, dollars = self._line, block.count(b"\n"), block.count(b"$")
        self._line += ends
        if not dollars:
            return NONE.bodies, NONE.lines
        lines = pc.split_pattern(pa.array([block.decode("ascii")], pa.string()), "\n").flatten()
        if pc.sum(pc.starts_with(lines, "$")).as_py() == dollars:
            return lines, pa.arange(first, first + len(lines))
        # A tab marks the line breaks that are ours; the file's own tabs have become `?`.
        block = block.replace(b"$", b"\n\t$").replace(b"\n\n\t$", b"\n$")
        if block.startswith(b"\n\t$"):
            block = block[2:]
        lines = pc.split_pattern(pa.array([block.decode("ascii")], pa.string()), "\n").flatten()
        inner = pc.starts_with(lines, "\t")
        numbers = pc.add(pc.cumulative_sum(pc.invert(inner).cast(pa.int64())), first - 1)
        return pc.ascii_ltrim(lines, characters="\t"), numbers

    def _known(
        self, lines: pa.StringArray, numbers: pa.Int64Array
    ) -> tuple[pa.Int32Array, pa.StringArray, pa.Int64Array]:
        """The lines whose sentence type is read, with their kinds."""
        raw = lines.cast(pa.binary())
        types = pc.binary_slice(raw, 3, 6)
        kinds = pc.index_in(types, value_set=_KIND_SET)
        standard = pc.and_(pc.equal(pc.binary_slice(raw, 6, 7), b","), pc.not_equal(pc.binary_slice(raw, 1, 2), b"P"))
        magellan = pc.equal(kinds, TRK)
        if pc.any(magellan).as_py():
            standard = pc.if_else(magellan, pc.starts_with(raw, _MAGELLAN), standard)
        addressed = pc.and_(pc.starts_with(raw, b"$"), standard)
        keep = pc.and_(addressed, pc.is_valid(kinds))
        others = types.filter(pc.and_(addressed, pc.is_null(kinds)))
        if len(others):
            for count in pc.value_counts(others).to_pylist()[:64]:
                self.unread[count["values"].decode("ascii", "replace")] += count["counts"]
        return kinds.filter(keep), lines.filter(keep), numbers.filter(keep)

    def _checked(self, lines: pa.StringArray, kinds: pa.Int32Array, numbers: pa.Int64Array) -> Sentences:
        lines = pc.ascii_rtrim_whitespace(lines)
        starred = pc.equal(pc.binary_slice(lines.cast(pa.binary()), -3, -2), b"*")
        if not pc.all(starred).as_py():
            # Something after the checksum (a logger's own stamp, a torn line): cut there.
            cut = pc.struct_field(pc.extract_regex(lines, r"^(?P<cut>[^*!]*\*[0-9A-Fa-f]{2})"), "cut")
            starred = pc.or_(starred, pc.is_valid(cut))
            bare = pc.binary_join_element_wise(pc.replace_substring_regex(lines, r"[*!].*", ""), pa.scalar("*00"), "")
            lines = pc.if_else(pc.is_valid(cut), cut, pc.if_else(starred, lines, bare))
        right = pc.and_(checksums_right(lines), starred)
        keep = right
        if not pc.all(right).as_py():
            keep = self._judge(starred, right, numbers)
        elif len(right):
            self.checksummed = True
        kinds, numbers = kinds.filter(keep), numbers.filter(keep)
        raw = lines.filter(keep).cast(pa.binary())
        bodies = pc.binary_slice(raw, 7, -3)
        if len(kinds) and pc.any(pc.equal(kinds, TRK)).as_py():
            bodies = pc.if_else(pc.equal(kinds, TRK), pc.binary_slice(raw, len(_MAGELLAN), -3), bodies)
        return Sentences(bodies.cast(pa.string()), kinds, pc.binary_slice(raw, 1, 3), numbers)

    def _judge(self, starred: pa.BooleanArray, right: pa.BooleanArray, numbers: pa.Int64Array) -> pa.BooleanArray:
        """Which lines to keep: right ones, and those without a checksum until the first right one."""
        seen = pc.index(right, True).as_py()
        if self.checksummed:
            early = pa.repeat(pa.scalar(False), len(right))
        elif seen < 0:
            early = pa.repeat(pa.scalar(True), len(right))
        else:
            early = pc.less(pa.arange(0, len(right)), seen)
            self.checksummed = True
        unsummed = pc.invert(starred)
        for reason, mask in (
            ("bad_checksum", pc.and_(starred, pc.invert(right))),
            ("no_checksum", pc.and_(unsummed, pc.invert(early))),
        ):
            found = numbers.filter(mask)
            if len(found):
                self.findings.rows_read += len(found)
                self.findings.reject_all(reason, found)
        return pc.or_(right, pc.and_(unsummed, early))


def checksums_right(lines: pa.StringArray) -> pa.BooleanArray:
    """For each line that ends in `*HH`: whether its checksum is right.

    Lines are padded with NUL, which changes no exclusive or, to rows of 64-bit words; the words of a row are folded
    into one, the word into one byte. Lines that no sentence would fill are folded one by one.
    """
    count = len(lines)
    if not count:
        return pa.array([], pa.bool_())
    long = pc.greater(pc.binary_length(lines), _WIDTH)
    if pc.any(long).as_py():
        short = checksums_right(pc.if_else(long, "", lines))
        each = [_right(text) for text in lines.filter(long).to_pylist()]
        return pc.replace_with_mask(short, long, pa.array(each, pa.bool_()))
    words_a_row = (pc.max(pc.binary_length(lines)).as_py() + 7) // 8 or 1
    padded = pc.ascii_rpad(lines, words_a_row * 8, "\0")
    words = pa.Array.from_buffers(
        pa.uint64(), count * words_a_row, [None, padded.buffers()[2]], offset=padded.offset * words_a_row
    )
    rows = pa.FixedSizeListArray.from_arrays(words, words_a_row)
    folded = pc.list_element(rows, 0)
    for word in range(1, words_a_row):
        folded = pc.bit_wise_xor(folded, pc.list_element(rows, word))
    for shift in (32, 16, 8):
        folded = pc.bit_wise_xor(folded, pc.shift_right(folded, pa.scalar(shift, pa.uint64())))
    folded = pc.bit_wise_and(folded, pa.scalar(255, pa.uint64()))
    digits = pc.binary_slice(lines.cast(pa.binary()), -2, _WIDTH)
    expected = _WHOLE_LINE.take(pc.index_in(digits, value_set=_PAIR_SET))
    return pc.fill_null(pc.equal(folded, expected), False)


def _right(line: str) -> bool:
    body, _, digits = line[1:].rpartition("*")
    folded = 0
    for byte in body.encode("ascii", "replace"):
        folded ^= byte
    try:
        return int(digits, 16) == folded
    except ValueError:
        return False

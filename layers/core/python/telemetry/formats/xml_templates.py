"""Shapes of track points: learned from one point that expat took, then compared with thousands at once.

A point's bytes fall apart at its marks, the characters `<` and `"`. A template says what stands between which marks:
values, and constant bytes around them. A point matches when every constant byte is equal and every value is plainly
what its leaf wants; nothing else is accepted here. pyarrow's kernels do the comparing, Python only counts blocks.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple
from xml.parsers import expat

import pyarrow as pa
import pyarrow.compute as pc

from telemetry.formats.iso8601 import parse_iso8601
from telemetry.formats.xml_channels import Vocabulary
from telemetry.formats.xml_numbers import NUMBER
from telemetry.formats.xml_points import Leaf
from telemetry.formats.xml_stream import MAX_TEXT_CHARACTERS, Name, declarations, resolve

# White space in a value other than blanks would be normalised, which the names of namespaces do not stand.
_ATTRIBUTE = re.compile(rb"""\s([^\s=<>"'/]+)="([^"&<>\t\r\n]*)\"""")
_NUMBER = re.compile(NUMBER)
_PLAIN = re.compile(rb"""(?:(?!\]\]>)[^<"])*""")
MAX_MARKS = 256
"""A point with more is no recorder's; its template would cost more than it saves."""
_SPACE = b" \t\r\n"


@dataclass(frozen=True, slots=True)
class Slot:
    """A value of a template: it begins `offset` bytes behind a mark and ends at the next one.

    `kind` is `number`, `time`, `fix`, `text` for an extension's text that has no channel, or `ignored` for what is
    read by nobody. The last two are only looked at as far as XML demands.
    """

    leaf: Leaf
    kind: str
    mark: int
    offset: int


@dataclass(frozen=True, slots=True)
class Match:
    """The points that matched.

    Attributes
    ----------
    points : their positions among those that were compared.
    columns : values by leaf, none of them null.
    zoneless : true when all of their times lack a zone, false when none does.
    plain : true when they differ from the template in their values alone, not even in white space between points.
    """

    points: pa.Int64Array
    columns: dict[Leaf, pa.Array]
    zoneless: bool
    plain: bool


class _Refused(Exception):
    """The point's shape is for expat alone."""


class _Event(NamedTuple):
    """A tag: whether it opens an element, the element's name as written, and where the tag begins."""

    opens: bool
    written: str
    place: int


class Template:
    """One shape.

    Attributes
    ----------
    marks : how many marks a point of this shape has.
    breaks : how many line breaks it has, with the white space behind it.
    scope : the namespace scope it was learned in; elsewhere its prefixes may mean something else.
    texts : extension leaves whose text is not kept.
    """

    def __init__(self, point: bytes, gap: bytes, slots: list[Slot], marks: list[int], setting: "Setting") -> None:
        self.marks = len(marks)
        self.scope = setting.scope
        self._vocabulary = setting.vocabulary
        self.breaks = point.count(b"\n") + gap.count(b"\n")
        self.slots = slots
        self.texts = [slot.leaf for slot in slots if slot.kind == "text"]
        self.width = 2 * len(slots) + 2
        self._selected = [False] * self.marks
        self._selected[0] = self._selected[-1] = True
        self._added = [0]
        self._constants: list[bytes] = []
        begin = 0
        for slot in slots:
            self._selected[slot.mark] = self._selected[slot.mark + 1] = True
            self._added += [slot.offset, 0]
            self._constants += [point[begin : marks[slot.mark] + slot.offset], b""]
            begin = marks[slot.mark + 1]
        self._added.append(len(point) - marks[-1])
        self._constants += [point[begin:], gap]
        self._capacity = 0

    def match(self, data: pa.Buffer, marks: pa.Int32Array, firsts: pa.Int64Array, ends: pa.Int64Array) -> Match:
        """Compares points with this shape.

        Parameters
        ----------
        data : the block.
        marks : places of all its marks.
        firsts : for each point that has as many marks as this shape, which mark is its first.
        ends : for each of them, the byte where the next point (of whatever shape) or the end of the block is.
        """
        points = pa.arange(0, len(firsts))
        while len(firsts):
            self._reserve(len(firsts))
            spread = pa.RunEndEncodedArray.from_arrays(self._run_ends.slice(0, len(firsts)), firsts)
            index = pc.add(pc.run_end_decode(spread), self._mark_index.slice(0, len(firsts) * self.marks))
            compared = self._compare(data, marks.take(index), ends)
            if isinstance(compared, Match):
                return Match(points, compared.columns, compared.zoneless, compared.plain)
            firsts, ends, points = firsts.filter(compared), ends.filter(compared), points.filter(compared)
        return Match(points, {}, False, True)

    def match_all(self, data: pa.Buffer, marks: pa.Int32Array, end: int) -> Match | None:
        """The same for a block that holds points of this shape and nothing else; None where it is not so."""
        count, rest = divmod(len(marks), self.marks)
        if rest or not count:
            return None
        self._reserve(count)
        nexts = marks.take(self._first_marks.slice(1, count - 1)).cast(pa.int64())
        compared = self._compare(data, marks, pa.concat_arrays([nexts, pa.array([end], pa.int64())]))
        return compared if isinstance(compared, Match) else None

    def _compare(self, data: pa.Buffer, marks: pa.Int32Array, ends: pa.Int64Array) -> "Match | pa.BooleanArray":
        """Compares points by their own marks alone; answers which of them can be kept, when not all can."""
        count = len(ends)
        chosen = marks.filter(self._selection.slice(0, count * self.marks))
        offsets = pc.add(chosen, self._addend.slice(0, count * self.width))
        offsets = pa.concat_arrays([offsets, ends.slice(count - 1).cast(pa.int32())])
        lengths = pc.subtract(offsets.slice(1), offsets.slice(0, count * self.width))
        extremes = pc.min_max(lengths).as_py()
        if extremes["min"] < 0:
            # Otherwise the pieces would not lie one behind the other, as Arrow's strings must.
            return self._without(pc.less(lengths, 0), count)
        pieces = _Pieces(data, offsets)
        equal = pc.equal(pieces.array(pa.binary()), self._expected.slice(0, count * self.width))
        same = pc.or_(equal, self._is_value.slice(0, count * self.width))
        plain = bool(pc.all(same).as_py())
        if not plain:
            strange = self._strange(pc.invert(same), offsets, ends, data)
            if pc.any(strange).as_py():
                return pc.invert(strange)
        if extremes["max"] > MAX_TEXT_CHARACTERS:
            return self._without(pc.greater(lengths, MAX_TEXT_CHARACTERS), count)
        return self._values(pieces, count, plain)

    def _strange(
        self, different: pa.BooleanArray, offsets: pa.Int32Array, ends: pa.Int64Array, data: pa.Buffer
    ) -> pa.BooleanArray:
        """Which points differ from the shape in more than the white space behind them."""
        index = pc.indices_nonzero(different).cast(pa.int64())
        points = pc.divide(index, self.width)
        behind = pc.equal(pc.subtract(index, pc.multiply(points, self.width)), self.width - 1)
        strange = points.filter(pc.invert(behind))
        more = []
        for point, begin, end in zip(
            points.filter(behind).to_pylist(),
            offsets.take(index.filter(behind)).to_pylist(),
            ends.take(points.filter(behind)).to_pylist(),
            strict=True,
        ):
            if data[begin:end].to_pybytes().strip(_SPACE):
                more.append(point)
        return self._among(pa.concat_arrays([strange, pa.array(more, pa.int64())]), len(ends))

    def _values(self, pieces: "_Pieces", count: int, plain: bool) -> "Match | pa.BooleanArray":
        """Reads the values; answers which points can be kept, when not all can."""
        strings = pieces.array(pa.string(), self._masks["number"])
        try:
            numbers = pc.cast(strings, pa.float64())
        except pa.ArrowInvalid:
            looks = pc.match_substring_regex(strings, pattern=f"^{NUMBER}$")
            return self._without(pc.invert(pc.fill_null(looks, True)), count)
        if "markup" in self._masks:
            sound = _sound(pieces.array(pa.string(), self._masks["markup"]))
            if pc.all(sound).as_py() is False:
                return self._without(pc.invert(pc.fill_null(sound, True)), count)
        columns: dict[Leaf, pa.Array] = {}
        zoneless = 0
        for position, slot in enumerate(self.slots):
            places = self._places[position].slice(0, count)
            if slot.kind == "number":
                values = self._vocabulary.fit_numbers(slot.leaf, numbers.take(places))
            elif slot.kind == "time":
                parsed = parse_iso8601(pieces.array(pa.string(), self._masks["time"]))
                values, zoneless = parsed.times.take(places), parsed.zoneless
            elif slot.kind == "fix":
                fixes = pieces.array(pa.string(), self._masks["fix"]).take(places)
                values = self._vocabulary.read_column(slot.leaf, fixes)
            elif slot.kind == "text":
                values = _wordy(pieces.array(pa.string(), self._masks["markup"]).take(places))
            else:
                continue
            if values.null_count:
                return pc.is_valid(values)
            if slot.kind != "text":
                columns[slot.leaf] = values
        if 0 < zoneless < count:
            return pa.repeat(pa.scalar(False), count)
        return Match(self._everyone.slice(0, count), columns, zoneless > 0, plain)

    def _without(self, failed: pa.BooleanArray, count: int) -> pa.BooleanArray:
        """Which points have no failed piece."""
        points = pc.divide(pc.indices_nonzero(failed).cast(pa.int64()), self.width)
        return pc.invert(self._among(points, count))

    def _among(self, points: pa.Int64Array, count: int) -> pa.BooleanArray:
        return pc.is_in(self._everyone.slice(0, count), value_set=points)

    def _reserve(self, count: int) -> None:
        """Makes the repeated patterns long enough for `count` points."""
        if count <= self._capacity:
            return
        self._capacity = capacity = max(64, 1 << (count - 1).bit_length())
        self._selection = pa.array(self._selected * capacity, pa.bool_())
        self._addend = pa.array(self._added * capacity, pa.int32())
        self._expected = pa.array(self._constants * capacity, pa.binary())
        self._mark_index = pa.array(list(range(self.marks)) * capacity, pa.int64())
        self._everyone = pa.array(range(capacity), pa.int64())
        self._first_marks = pa.array(range(0, self.marks * capacity, self.marks), pa.int64())
        self._run_ends = pa.array(range(self.marks, self.marks * (capacity + 1), self.marks), pa.int32())
        value = [False] * self.width
        masks: dict[str, list[bool]] = {}
        self._places = []
        for position, slot in enumerate(self.slots):
            piece = 2 * position + 1
            value[piece] = True
            kind = "markup" if slot.kind in ("text", "ignored") else slot.kind
            masks.setdefault(kind, [False] * self.width)[piece] = True
            self._places.append(pa.array(range(piece, self.width * capacity, self.width), pa.int64()))
        self._is_value = pa.array(value * capacity, pa.bool_())
        self._masks = {kind: pa.array(mask * capacity, pa.bool_()).buffers()[1] for kind, mask in masks.items()}


@dataclass(frozen=True, slots=True)
class _Pieces:
    """Pieces of a block, each from one offset to the next."""

    data: pa.Buffer
    offsets: pa.Int32Array

    def array(self, kind: pa.DataType, validity: pa.Buffer | None = None) -> pa.Array:
        buffers = [validity, self.offsets.buffers()[1], self.data]
        return pa.Array.from_buffers(kind, len(self.offsets) - 1, buffers)


def _sound(strings: pa.StringArray) -> pa.BooleanArray:
    """Which texts are plain: nothing in them that XML or an encoding would have a say in."""
    return pc.and_(pc.ascii_is_printable(strings), pc.invert(pc.match_substring_regex(strings, pattern=r"&|\]\]>")))


def _wordy(strings: pa.StringArray) -> pa.BooleanArray:
    """True for texts that are surely no number; null for others, also for empty ones."""
    doubtful = pc.match_substring_regex(strings, pattern=r"^\s*(?:$|[-+.0-9])")
    return pc.if_else(doubtful, pa.scalar(None, pa.bool_()), pa.scalar(True))


@dataclass(frozen=True, slots=True)
class Setting:
    """Where points stand, and what their elements mean there.

    Attributes
    ----------
    point_tag : how the document writes the points' tag.
    point_attributes : leaves that a point has as attributes of its own element.
    leaf : the leaf at the end of a path of elements below the point.
    scope : the namespaces by prefix.
    """

    point_tag: str
    point_attributes: Mapping[str, Leaf]
    leaf: Callable[[Sequence[Name]], Leaf]
    scope: Mapping[str, str]
    vocabulary: Vocabulary


def learn(point: bytes, gap: bytes, setting: Setting) -> Template | None:
    """The template of a point, from its opening to its closing tag; None when its shape is for expat alone."""
    if not point.isascii() or b"&" in point or gap.strip(_SPACE):
        return None
    try:
        return _learn(point, gap, setting)
    except (_Refused, expat.ExpatError):
        return None


def _learn(point: bytes, gap: bytes, setting: Setting) -> Template:
    marks = [found.start() for found in re.finditer(rb'[<"]', point)]
    if len(marks) > MAX_MARKS:
        raise _Refused
    slots: list[Slot] = []
    taken: set[Leaf] = set()
    path: list[Name] = []
    scopes = [setting.scope]
    events = _events(point)
    if events[0] != _Event(True, setting.point_tag, 0):
        raise _Refused
    for event, behind in pairwise([*events, _Event(True, "", 0)]):
        if not event.opens:
            path.pop()
            scopes.pop()
            continue
        tag = point[event.place : point.index(b">", event.place) + 1]
        attributes = _attributes(tag)
        declared = declarations({attribute[1].decode(): attribute[2].decode() for attribute in attributes})
        scopes.append({**scopes[-1], **declared} if declared else scopes[-1])
        path.append(resolve(event.written, scopes[-1]))
        uri, local = path[-1]
        mark = marks.index(event.place)
        for attribute in attributes:
            key = attribute[1].decode()
            if len(path) == 1:
                leaf = setting.point_attributes.get(key)
            else:
                leaf = None if ":" in key or key == "xmlns" else Leaf(uri, f"{local}.{key}")
            if leaf is not None:
                quote = marks.index(event.place + attribute.start(2) - 1)
                slots.append(Slot(leaf, _kind(leaf, taken, attribute[2], setting.vocabulary), quote, 1))
        text = point[event.place + len(tag) : behind.place]
        if len(path) > 1 and not behind.opens and text.strip(_SPACE):
            if not _PLAIN.fullmatch(text):
                raise _Refused
            mark += tag.count(b'"')
            leaf = setting.leaf(path[1:])
            kind = _kind(leaf, taken, text, setting.vocabulary)
            slots.append(Slot(leaf, kind, mark, event.place + len(tag) - marks[mark]))
    if not any(slot.kind == "number" for slot in slots) or not point.startswith(b"</", marks[-1]):
        raise _Refused
    slots.sort(key=lambda slot: slot.mark)
    if any(later.mark < earlier.mark + 2 for earlier, later in pairwise(slots)):
        raise _Refused  # an attribute and its element's text share a mark
    return Template(point, gap, slots, marks, setting)


def _attributes(tag: bytes) -> list[re.Match[bytes]]:
    attributes = list(_ATTRIBUTE.finditer(tag))
    if b"'" in tag or tag.count(b'"') != 2 * len(attributes):
        raise _Refused
    return attributes


def _kind(leaf: Leaf, taken: set[Leaf], text: bytes, vocabulary: Vocabulary) -> str:
    """The kind of a leaf's slot; the leaf counts as taken from then on."""
    channel = vocabulary.channel(leaf)
    again = leaf in taken
    taken.add(leaf)
    if again or vocabulary.is_for_people(leaf):
        return "ignored"  # of several leaves of one kind the first counts
    if channel == "timestamp":
        return "time"
    if channel == "fix_type":
        return "fix"
    return "text" if channel is None and not _NUMBER.fullmatch(text.strip().decode()) else "number"


def _events(point: bytes) -> list[_Event]:
    """Opening and closing tags of a point, as expat sees them."""
    events: list[_Event] = []
    parser = expat.ParserCreate("utf-8")

    def refuse(*_: object) -> None:
        raise _Refused

    parser.StartElementHandler = lambda name, _: events.append(_Event(True, name, parser.CurrentByteIndex))
    parser.EndElementHandler = lambda name: events.append(_Event(False, name, parser.CurrentByteIndex))
    parser.StartCdataSectionHandler = refuse
    parser.CommentHandler = refuse
    parser.ProcessingInstructionHandler = refuse
    try:
        parser.Parse(point, True)
    finally:
        # The two know the parser, which knows them: it would stay until the garbage collector comes by.
        parser.StartElementHandler = parser.EndElementHandler = None
    return events

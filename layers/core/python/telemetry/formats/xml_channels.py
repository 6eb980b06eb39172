"""What the values of track points mean, for formats in XML: leaves to channels, texts to typed columns and batches.

A format brings its `Vocabulary`; everything else is the same for all of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from telemetry.formats.iso8601 import parse_iso8601
from telemetry.formats.reader import Findings
from telemetry.formats.xml_numbers import parse_number
from telemetry.formats.xml_points import Leaf, Row
from telemetry.streams.channels import CHANNELS, Flag, channel_field

MAX_EXTENSION_CHANNELS = 64
MAX_NAMED_TEXTS = 8
MAX_TEXTS = 1000

_FIXES = pa.array(["none", "2d", "3d", "dgps", "pps"])
_DOUBLE_MAX = 1.7976931348623157e308
_LARGEST = {pa.float32(): 3.4028234663852886e38, pa.int16(): 32_767.0}
_NO_NUMBER = pa.scalar(None, pa.float64())


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What a format calls its channels.

    Attributes
    ----------
    format : for people, for example ``GPX``.
    native : canonical channel by the name of a native leaf.
    extension : canonical channel by the local name of an extension's leaf, in lower case.
    units : unit by the local name, in lower case, of leaves outside the canonical channels.
    texts : native leaves for people, whatever they hold.
    preferred : of extensions for one channel those win whose namespace begins so.
    """

    format: str
    native: Mapping[str, str]
    extension: Mapping[str, str]
    units: Mapping[str, str]
    texts: frozenset[str] = frozenset()
    preferred: str = ""

    def channel(self, leaf: Leaf) -> str | None:
        """The canonical channel that a leaf belongs to, if any."""
        return self.native.get(leaf.name) if leaf.native else self.extension.get(leaf.name.lower())

    def is_for_people(self, leaf: Leaf) -> bool:
        """Whether a leaf is never read."""
        return leaf.native and leaf.name in self.texts

    def rank(self, leaf: Leaf) -> tuple[int, Leaf]:
        """Which of several leaves of one channel wins: the format's own, then the preferred, then any."""
        if leaf.native:
            return 0, leaf
        return (1 if self.preferred and leaf.uri.startswith(self.preferred) else 2), leaf

    def read_column(self, leaf: Leaf, strings: pa.StringArray) -> pa.Array:
        """Typed values of one leaf; null where the text is null, unreadable or out of the channel's type.

        A time gives timestamps, a kind of fix strings, all others doubles.
        """
        channel = self.channel(leaf)
        if channel == "timestamp":
            return parse_iso8601(strings).times
        if channel == "fix_type":
            fixes = pc.ascii_lower(strings)
            return pc.if_else(pc.is_in(fixes, value_set=_FIXES), fixes, pa.scalar(None, pa.string()))
        return self.fit_numbers(leaf, parse_number(strings))

    def fit_numbers(self, leaf: Leaf, numbers: pa.DoubleArray) -> pa.DoubleArray:
        """The same doubles, null where they are not finite or the leaf's channel has no room for them."""
        if numbers.null_count == len(numbers):
            return numbers
        channel = self.channel(leaf)
        target = CHANNELS[channel].type if channel else pa.float64()
        largest = _LARGEST.get(target, _DOUBLE_MAX)
        extremes = pc.min_max(numbers).as_py()
        fits = -largest <= extremes["min"] and extremes["max"] <= largest
        if not fits or target == pa.int16() or pc.any(pc.is_nan(numbers)).as_py():
            sound = pc.less_equal(pc.abs(numbers), largest)
            if target == pa.int16():
                sound = pc.and_(sound, pc.equal(pc.floor(numbers), numbers))
            numbers = pc.if_else(sound, numbers, _NO_NUMBER)
        return numbers


@dataclass(frozen=True, slots=True)
class PointColumns:
    """Typed points of one block.

    Attributes
    ----------
    source_row : int64, number of the point in the file, from 1.
    starts : boolean, true where a segment begins.
    columns : values by leaf, each as long as `source_row`; a leaf that is absent has no value.
    """

    source_row: pa.Int64Array
    starts: pa.BooleanArray
    columns: dict[Leaf, pa.Array]


@dataclass(frozen=True, slots=True)
class PointCells:
    """The same before it is known which leaves are kept: values with the indices of the points that have them."""

    source_row: pa.Int64Array
    starts: pa.BooleanArray
    cells: dict[Leaf, tuple[list[int], pa.Array]]

    def firsts(self) -> dict[Leaf, int]:
        """The first source row of each leaf that has a value."""
        return {
            leaf: self.source_row[indices[pc.index(pc.is_valid(values), True).as_py()]].as_py()
            for leaf, (indices, values) in self.cells.items()
        }


class ChannelTable:
    """The channels of one document: which leaf goes where, the same from its first batch to its last.

    Attributes
    ----------
    vocabulary : the format's.
    timed : points with a readable time so far.
    zoneless : times without a zone so far, read as UTC.
    """

    def __init__(self, findings: Findings, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.timed = 0
        self.zoneless = 0
        self._findings = findings
        self._canonical = {"timestamp", "latitude_deg", "longitude_deg"}
        self._extensions: dict[Leaf, pa.Field] = {}
        self._overruled: dict[Leaf, pa.Field] = {}
        self._used_names = set(CHANNELS)
        self._texts: set[str] = set()
        self._refused = False

    def read_rows(self, rows: list[Row], starts: list[bool], source_rows: list[int]) -> PointCells:
        """Types the texts of strictly read points, and counts the cells that cannot be read."""
        places: dict[Leaf, list[int]] = {}
        for index, row in enumerate(rows):
            for leaf in row:
                places.setdefault(leaf, []).append(index)
        cells = {}
        unreadable: dict[str, list[int]] = {}
        for leaf, indices in places.items():
            if self.vocabulary.is_for_people(leaf):
                continue
            values = self._read(leaf, pa.array([rows[index][leaf] for index in indices], pa.string()))
            channel = self.vocabulary.channel(leaf)
            if values.null_count and channel is None:
                self.note_text(leaf)
            elif values.null_count and channel is not None:
                bad = pc.indices_nonzero(pc.is_null(values)).to_pylist()
                unreadable.setdefault(channel, []).extend(source_rows[indices[index]] for index in bad)
            if values.null_count < len(values):
                cells[leaf] = (indices, values)
        for name, bad_rows in unreadable.items():
            for source_row in sorted(bad_rows):
                self._findings.bad_cell(name, source_row)
        return PointCells(pa.array(source_rows, pa.int64()), pa.array(starts, pa.bool_()), cells)

    def register(self, firsts: Mapping[Leaf, int]) -> None:
        """Gives channels to leaves that appear for the first time, in the order of their first points."""
        for leaf in sorted(firsts, key=lambda leaf: (firsts[leaf], leaf)):
            channel = self.vocabulary.channel(leaf)
            if channel:
                self._canonical.add(channel)
            elif leaf in self._extensions:
                continue
            elif len(self._extensions) < MAX_EXTENSION_CHANNELS:
                unit = self.vocabulary.units.get(leaf.name.lower(), "")
                source = f"{leaf.uri} {leaf.name}".strip()
                self._extensions[leaf] = channel_field(self._free_name(leaf.name), unit, source)
            else:
                self._refused = True

    def spread(self, points: PointCells) -> PointColumns:
        """The cells of registered leaves as whole columns."""
        count = len(points.source_row)
        columns = {}
        for leaf, (indices, values) in points.cells.items():
            if len(indices) == count:
                columns[leaf] = values
            elif self.keeps(leaf):
                place: list[int | None] = [None] * count
                for position, index in enumerate(indices):
                    place[index] = position
                columns[leaf] = values.take(pa.array(place, pa.int64()))
        return PointColumns(points.source_row, points.starts, columns)

    def keeps(self, leaf: Leaf) -> bool:
        """Whether the leaf has a channel."""
        return self.vocabulary.channel(leaf) is not None or leaf in self._extensions

    def batch(self, points: PointColumns) -> pa.RecordBatch:
        """One batch as `Reader.read` promises it. Columns that once appeared stay, null where absent."""
        count = len(points.source_row)
        sources: dict[str, list[Leaf]] = {}
        for leaf in sorted(points.columns, key=self.vocabulary.rank):
            if name := self.vocabulary.channel(leaf):
                sources.setdefault(name, []).append(leaf)
        fields, arrays = [], []
        for name, channel in CHANNELS.items():
            if name in self._canonical:
                values = [points.columns[leaf] for leaf in sources.get(name, ())]
                fields.append(channel.field.with_nullable(True))
                arrays.append(_canonical_column(name, values, count))
        start = pa.scalar(int(Flag.SEGMENT_START), pa.uint32())
        flags = pc.if_else(points.starts, start, pa.scalar(0, pa.uint32()))
        fields += [CHANNELS["source_row"].field, CHANNELS["flags"].field]
        arrays += [points.source_row, flags]
        for leaf, field in self._extensions.items():
            fields.append(field)
            arrays.append(points.columns.get(leaf, pa.nulls(count, field.type)))
        for name, leaves in sources.items():
            kept = points.columns[leaves[0]]
            for leaf in leaves[1:]:
                different = _where_different(kept, points.columns[leaf])
                if different is not None:
                    fields.append(self._overruled_field(leaf, name))
                    arrays.append(different)
                kept = pc.coalesce(kept, points.columns[leaf])
        batch = pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))
        self.timed += count - batch.column("timestamp").null_count
        return batch

    def note_text(self, leaf: Leaf) -> None:
        """Remembers an extension whose text is no number, and so is kept in no channel."""
        if len(self._texts) < MAX_TEXTS:
            self._texts.add(leaf.name)

    def remarks(self) -> list[str]:
        """Sentences for the quality report."""
        remarks = []
        if self.zoneless:
            remarks.append(
                f"{self.zoneless} times without a zone were read as UTC, as {self.vocabulary.format} defines them"
            )
        if self._texts:
            names = sorted(self._texts)
            more = " and others" if len(names) > MAX_NAMED_TEXTS else ""
            listed = ", ".join(name[:40] for name in names[:MAX_NAMED_TEXTS])
            remarks.append(f"text that is no number is not kept: {listed}{more}")
        if self._refused:
            remarks.append(f"only the first {MAX_EXTENSION_CHANNELS} extension channels are kept")
        return remarks

    def _read(self, leaf: Leaf, strings: pa.StringArray) -> pa.Array:
        if self.vocabulary.channel(leaf) != "timestamp":
            return self.vocabulary.read_column(leaf, strings)
        parsed = parse_iso8601(strings)
        self.zoneless += parsed.zoneless
        return parsed.times

    def _overruled_field(self, leaf: Leaf, channel: str) -> pa.Field:
        """A channel of its own for a leaf whose canonical channel another leaf has filled with other values."""
        if leaf not in self._overruled:
            source = f"{leaf.uri} {leaf.name}".strip()
            self._overruled[leaf] = channel_field(self._free_name(leaf.name), CHANNELS[channel].unit, source)
        return self._overruled[leaf]

    def _free_name(self, name: str) -> str:
        free, number = name, 1
        while free in self._used_names:
            number += 1
            free = f"{name}_{number}"
        self._used_names.add(free)
        return free


def _where_different(kept: pa.Array, other: pa.Array) -> pa.Array | None:
    """The other values where both are there and differ, or None where they never do. Numbers only."""
    if not pa.types.is_floating(kept.type) or not pa.types.is_floating(other.type):
        return None
    different = pc.fill_null(pc.not_equal(kept, other), False)
    return pc.if_else(different, other, None) if pc.any(different).as_py() else None


def _canonical_column(name: str, values: list[pa.Array], count: int) -> pa.Array:
    target = CHANNELS[name].type
    if not values and name == "fix_type":
        values = [pa.nulls(count, pa.string())]
    if not values:
        return pa.nulls(count, target)
    merged = pc.coalesce(*values) if len(values) > 1 else values[0]
    if name == "fix_type":
        indices = pc.index_in(merged, value_set=_FIXES).cast(pa.int8())
        return pa.DictionaryArray.from_arrays(indices, _FIXES)
    return merged if merged.type == target else pc.cast(merged, target)

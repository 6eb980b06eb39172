"""Blocks of a document to batches: points of known shape all at once, every other byte through expat, in order.

The parser sees the wrapper and each point that fits no template; points that fit one are passed over, which is sound
only right inside a segment, with everything before understood. That state is asked for before each run of points.
"""

import re
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from telemetry.errors import TelemetryError
from telemetry.formats.reader import Findings
from telemetry.formats.xml_channels import ChannelTable, PointColumns
from telemetry.formats.xml_points import Leaf, PointCollector, Row
from telemetry.formats.xml_templates import Match, Setting, Template, learn

MAX_TEMPLATES = 16
LEARNED_PER_BLOCK = 4
WORTH_LEARNING = 4
"""Points of one count of marks in a block that make it worth learning their shape."""
FIRST_STEP_BYTES = 4096

_SPACE = b" \t\r\n"
_TAG = pa.scalar(ord("<"), pa.uint8())
_QUOTE = pa.scalar(ord('"'), pa.uint8())


@dataclass(slots=True)
class _Group:
    """Points of one block that match one template: their positions in the block, and what matched."""

    template: Template
    points: pa.Int64Array
    match: Match


@dataclass(slots=True)
class _Gathered:
    """What one block has given so far."""

    rows: list[Row] = field(default_factory=list)
    starts: list[bool] = field(default_factory=list)
    source_rows: list[int] = field(default_factory=list)
    groups: list[_Group] = field(default_factory=list)
    accepted: list[tuple[int, int, int]] = field(default_factory=list)
    """First and last-but-one position of passed-over points, and the source row of the first."""
    begins: list[int] = field(default_factory=list)
    """Source rows of passed-over points that begin a segment."""


class PointBlocks:
    """Reads a document block by block.

    Parameters
    ----------
    fast : false leaves everything to expat, for comparison.

    Attributes
    ----------
    damage : the error that ended the document, once met; batches up to there are whole.
    """

    def __init__(self, collector: PointCollector, table: ChannelTable, findings: Findings, fast: bool) -> None:
        self.damage: TelemetryError | None = None
        self._collector = collector
        self._stream = collector.stream
        self._table = table
        self._findings = findings
        self._fast = fast
        self._point_end = re.compile(rb"</(?:[^\s<>/:]+:)?" + collector.point_name.encode() + rb"\s*>")
        self._tail = b""
        self._templates: list[Template] = []

    def feed(self, block: bytes) -> list[pa.RecordBatch]:
        """Takes the next block, and gives the batch of the points that are whole by now, if any."""
        gathered = _Gathered()
        if self.damage is not None:
            return []
        try:
            self._read(self._tail + block if self._tail else block, gathered)
        except TelemetryError as error:
            self.damage = error
        return self._batch(gathered)

    def close(self) -> list[pa.RecordBatch]:
        """Ends the document."""
        gathered = _Gathered()
        if self.damage is not None:
            return []
        try:
            self._stream.feed(self._tail)
            self._stream.close()
        except TelemetryError as error:
            self.damage = error
        return self._batch(gathered)

    def remarks(self) -> list[str]:
        """Sentences for the quality report."""
        remarks = self._table.remarks()
        if self._stream.mistaken_encoding and self.damage is None:
            # Of a damaged document, how far it was decoded depends on the blocks.
            remarks.append("bytes that are not in the encoding the document declares were read as Latin-1")
        return remarks

    def _read(self, data: bytes, gathered: _Gathered) -> None:
        self._tail = b""
        if not self._fast:
            self._stream.feed(data)
            return
        begin = 0 if self._ready() else self._approach(data)
        self._drain(gathered)
        opening = b"<" + self._collector.point_tag.encode()
        cut = data.rfind(opening, begin) if begin < len(data) else -1
        if cut < 0:
            self._stream.feed(data[begin:])
            return
        first = data.find(opening, begin, cut)
        if first >= 0:
            self._feed(data, begin, first, gathered)
            self._read_points(data, first, cut, opening, gathered)
        elif cut == begin:
            # A point longer than a block: expat takes it as it comes.
            self._stream.feed(data[begin:])
            return
        else:
            first = cut
            self._feed(data, begin, first, gathered)
        self._tail = data[cut:]

    def _ready(self) -> bool:
        return self._stream.ascii_markup and self._collector.in_segment

    def _approach(self, data: bytes) -> int:
        """Feeds the parser until it has settled in a segment; answers how far that was."""
        position, step = 0, 0
        while position < len(data):
            end = self._point_end.search(data, position + step)
            stop = end.end() if end else len(data)
            self._stream.feed(data[position:stop])
            position = stop
            if self._ready():
                break
            # Ever longer steps: a comment of many points must not be looked through again for each of them.
            step = max(2 * step, FIRST_STEP_BYTES)
        return position

    def _feed(self, data: bytes, begin: int, end: int, gathered: _Gathered) -> None:
        """What stands between points: white space is passed over, everything else is parsed."""
        if data[begin:end].strip(_SPACE) or not self._ready():
            self._stream.feed(data[begin:end])
        else:
            self._stream.skip(data, begin, end)
        self._drain(gathered)

    def _drain(self, gathered: _Gathered) -> None:
        """Numbers the points that the parser has finished."""
        rows, starts = self._collector.take()
        if rows:
            first = self._findings.rows_read + 1
            self._findings.rows_read += len(rows)
            gathered.rows += rows
            gathered.starts += starts
            gathered.source_rows += range(first, first + len(rows))

    def _read_points(self, data: bytes, begin: int, end: int, opening: bytes, gathered: _Gathered) -> None:
        """Reads `data[begin:end]`, which holds points and begins with one."""
        buffer = pa.py_buffer(data)
        marks = _marks(buffer, begin, end)
        if self._templates and self._ready():
            template = self._templates[0]
            if template.scope is self._stream.scope and (match := template.match_all(buffer, marks, end)):
                gathered.groups.append(_Group(template, match.points, match))
                count = len(match.points)
                self._pass_over(0, count, gathered)
                self._stream.skip(data, begin, end, template.breaks * count if match.plain else None)
                return
        pieces = pa.Array.from_buffers(
            pa.binary(),
            len(marks),
            [None, pa.concat_arrays([marks, pa.array([end], pa.int32())]).buffers()[1], buffer],
        )
        firsts = pc.indices_nonzero(pc.starts_with(pieces, pattern=opening)).cast(pa.int64())
        counts = pc.subtract(pa.concat_arrays([firsts.slice(1), pa.array([len(marks)], pa.int64())]), firsts)
        starts = marks.take(firsts).cast(pa.int64())
        ends = pa.concat_arrays([starts.slice(1), pa.array([end], pa.int64())])
        points = _Points(data, buffer, marks, firsts, counts, ends)
        strange = self._group(points, starts, gathered)
        self._walk(data, [*starts.to_pylist(), end], strange, gathered)

    def _group(self, points: "_Points", starts: pa.Int64Array, gathered: _Gathered) -> list[int]:
        """Finds the points that match templates; answers those that match none."""
        left = pa.arange(0, len(points.firsts))
        for template in self._templates:
            if template.scope is self._stream.scope:
                left = self._match(template, points, left, gathered)
        refused: set[int] = set()
        for _ in range(LEARNED_PER_BLOCK):
            if len(left) < WORTH_LEARNING or len(self._templates) >= MAX_TEMPLATES:
                break
            counts = points.counts.take(left)
            frequent = [
                (-entry["counts"], entry["values"])
                for entry in pc.value_counts(counts).to_pylist()
                if entry["counts"] >= WORTH_LEARNING and entry["values"] not in refused
            ]
            if not frequent:
                break
            marks = min(frequent)[1]
            chosen = left[pc.index(counts, marks).as_py()].as_py()
            refused.add(marks)
            learned = self._learn(points.data[starts[chosen].as_py() : points.ends[chosen].as_py()])
            if learned is not None and learned.marks == marks:
                self._templates.append(learned)
                left = self._match(learned, points, left, gathered)
        if gathered.groups:
            best = max(gathered.groups, key=lambda group: len(group.points)).template
            self._templates.sort(key=lambda template: template is not best)
        return [int(point) for point in left.to_pylist()]

    def _learn(self, point_and_gap: bytes) -> Template | None:
        end = point_and_gap.rfind(b">") + 1
        collector, stream = self._collector, self._stream
        setting = Setting(
            collector.point_tag, collector.point_attributes, collector.leaf, stream.scope, self._table.vocabulary
        )
        return learn(point_and_gap[:end], point_and_gap[end:], setting)

    def _match(self, template: Template, points: "_Points", left: pa.Int64Array, gathered: _Gathered) -> pa.Int64Array:
        """Compares the points that are left with a template; answers those still left."""
        candidates = left.filter(pc.equal(points.counts.take(left), template.marks))
        if not len(candidates):
            return left
        firsts, ends = points.firsts.take(candidates), points.ends.take(candidates)
        match = template.match(points.buffer, points.marks, firsts, ends)
        if not len(match.points):
            return left
        matched = candidates.take(match.points)
        gathered.groups.append(_Group(template, matched, match))
        return left.filter(pc.invert(pc.is_in(left, value_set=matched)))

    def _walk(self, data: bytes, starts: list[int], strange: list[int], gathered: _Gathered) -> None:
        """Goes through the points in order: strange ones to the parser, runs of others passed over."""
        count = len(starts) - 1
        position, index = 0, 0
        while position < count:
            while index < len(strange) and strange[index] < position:
                index += 1
            if self._ready() and (index == len(strange) or strange[index] > position):
                stop = strange[index] if index < len(strange) else count
                self._pass_over(position, stop, gathered)
                self._stream.skip(data, starts[position], starts[stop])
                position = stop
                continue
            stop = position + 1
            while index + 1 < len(strange) and strange[index + 1] == stop:
                index += 1
                stop += 1
            step = 1
            while True:
                self._stream.feed(data[starts[position] : starts[stop]])
                position = stop
                if position == count or self._ready():
                    break
                # Ever longer steps, as in `_approach`.
                stop = min(count, position + step)
                step *= 2
            self._drain(gathered)

    def _pass_over(self, first: int, stop: int, gathered: _Gathered) -> None:
        """Numbers the points from position `first` up to `stop`; skipping their bytes is the caller's."""
        source_row = self._findings.rows_read + 1
        self._findings.rows_read += stop - first
        if self._collector.take_start():
            gathered.begins.append(source_row)
        gathered.accepted.append((first, stop, source_row))

    def _batch(self, gathered: _Gathered) -> list[pa.RecordBatch]:
        """One batch of everything gathered, in the order of the document."""
        self._drain(gathered)
        table = self._table
        cells = table.read_rows(gathered.rows, gathered.starts, gathered.source_rows) if gathered.rows else None
        parts = [part for group in gathered.groups if (part := self._columns(group, gathered)) is not None]
        appearances = [] if cells is None else [cells.firsts()]
        appearances += [dict.fromkeys(part.columns, part.source_row[0].as_py()) for part in parts]
        firsts: dict[Leaf, int] = {}
        for appearance in appearances:
            for leaf, row in appearance.items():
                firsts[leaf] = min(row, firsts.get(leaf, row))
        table.register(firsts)
        if cells is not None:
            parts.append(table.spread(cells))
        if not parts:
            return []
        return [table.batch(parts[0] if len(parts) == 1 else _merged(parts, table))]

    def _columns(self, group: _Group, gathered: _Gathered) -> PointColumns | None:
        """The points of a group that were passed over; None when the parser took them all."""
        source_row = _source_rows(gathered.accepted, group.points)
        columns = group.match.columns
        if source_row.null_count:
            taken = pc.is_valid(source_row)
            source_row = source_row.filter(taken)
            columns = {leaf: values.filter(taken) for leaf, values in columns.items()}
        if not len(source_row):
            return None
        for leaf in group.template.texts:
            self._table.note_text(leaf)
        if group.match.zoneless:
            self._table.zoneless += len(source_row)
        starts = pc.is_in(source_row, value_set=pa.array(gathered.begins, pa.int64()))
        return PointColumns(source_row, starts, columns)


@dataclass(frozen=True, slots=True)
class _Points:
    """The points of one block: for each its first mark, how many marks it has, and where the next one begins."""

    data: bytes
    buffer: pa.Buffer
    marks: pa.Int32Array
    firsts: pa.Int64Array
    counts: pa.Int64Array
    ends: pa.Int64Array


def _marks(buffer: pa.Buffer, begin: int, end: int) -> pa.Int32Array:
    """Places of all `<` and `"` in `buffer[begin:end]`."""
    characters = pa.Array.from_buffers(pa.uint8(), end - begin, [None, buffer.slice(begin, end - begin)])
    is_mark = pc.or_(pc.equal(characters, _TAG), pc.equal(characters, _QUOTE))
    return pc.add(pc.indices_nonzero(is_mark).cast(pa.int32()), pa.scalar(begin, pa.int32()))


def _source_rows(accepted: list[tuple[int, int, int]], points: pa.Int64Array) -> pa.Int64Array:
    """Source rows of points by their positions; null where they were not passed over."""
    if len(accepted) == 1 and accepted[0][:2] == (0, len(points)):
        return pc.add(points, accepted[0][2])
    parts = []
    position = 0
    for first, stop, source_row in accepted:
        parts.append(pa.nulls(first - position, pa.int64()))
        parts.append(pa.arange(source_row, source_row + stop - first))
        position = stop
    reach = pc.max(points).as_py() + 1
    parts.append(pa.nulls(max(reach - position, 0), pa.int64()))
    return pa.concat_arrays(parts).take(points)


def _merged(parts: list[PointColumns], table: ChannelTable) -> PointColumns:
    """Parts of one block as one, in the order of their source rows."""
    source_row = pa.concat_arrays([part.source_row for part in parts])
    order = pc.sort_indices(source_row)
    leaves = {leaf: values.type for part in parts for leaf, values in part.columns.items() if table.keeps(leaf)}
    columns = {}
    for leaf, kind in leaves.items():
        chunks = [part.columns.get(leaf, pa.nulls(len(part.source_row), kind)) for part in parts]
        columns[leaf] = pa.concat_arrays(chunks).take(order)
    starts = pa.concat_arrays([part.starts for part in parts]).take(order)
    return PointColumns(source_row.take(order), starts, columns)

"""From a reader's batches to the canonical streams: one judgement of times and positions for every format alike.

Vectorised (Arrow compute), bounded memory, state carried from batch to batch. Nothing here is fatal: a row that
cannot be used is counted with its reason and first source rows.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from telemetry.domain.streams import GNSS_PVT, VEHICLE
from telemetry.streams.channels import (
    CHANNELS,
    GNSS_PVT_SCHEMA,
    TIMESTAMP,
    Flag,
    channel_field,
)
from telemetry.streams.judgement import Judgement
from telemetry.streams.values import as_type, extremes, nulls, zeros
from telemetry.streams.whole_seconds import WholeSecondSpreader

EARLIEST = datetime(1981, 1, 1, tzinfo=UTC)
LATEST = datetime(2099, 1, 1, tzinfo=UTC)
"""Times outside [EARLIEST, LATEST) are a clock that was never set (1970, 1980-01-06) or a damaged stamp. Fixed
bounds rather than today's date, so that the same bytes give the same content on every day."""

COALESCED_ROWS = 32_768
COALESCED_BYTES = 8 << 20
HELD_ROWS = 131_072
MAX_CHANNELS = 1024
NEAR_ZERO_DEG = 1.0
MOST_BELIEVED_ZEROS = 10
"""More fixes at 0°, 0°, and none elsewhere, are a logger that never had one."""
_NOWHERE_NEAR = (90.0, 180.0)

_CORE = ("timestamp", "latitude_deg", "longitude_deg", "source_row", "flags")
# Marks fixes at 0°, 0° between the two steps that judge them; no source channel can be called so.
_REFUSED = "\x00refused"
_ADDED = {b"added": b""}
"""Metadata of a core column that the reader did not give. Rows of a batch without latitudes are no fixes (samples of a
sensor): their channels are kept, and they are neither counted nor rejected."""


def _microseconds(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000


Streams = dict[str, pa.RecordBatch]


class Normaliser:
    """Takes a reader's batches in file order and gives the streams' batches.

    `push` and `finish` yield one mapping of stream name to batch per step. `gnss_pvt` batches have exactly
    `GNSS_PVT_SCHEMA`; the other streams have `timestamp`, `source_row` and those channels that hold a value.
    """

    def __init__(self) -> None:
        self.judgement = Judgement()
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_rows = self._waiting_bytes = 0
        self._held: list[pa.RecordBatch] = []
        self._held_rows = 0
        self._last_place: tuple[float, float] | None = None
        self._latest = -(1 << 62)
        self._previous = -(1 << 62)
        self._next_row = 1
        self._segment = 0
        self._kept_segment = 0
        self._channels: dict[str, pa.DataType] = {}
        self._has_left_out = False
        self._spreader = WholeSecondSpreader()

    def push(self, batch: pa.RecordBatch) -> Iterator[Streams]:
        """Takes one batch; small ones are gathered first, since every step has a fixed cost."""
        if batch.num_rows == 0:
            return
        if self._waiting and self._waiting[0].schema != batch.schema:
            yield from self._gathered()
        self._waiting.append(batch)
        self._waiting_rows += batch.num_rows
        self._waiting_bytes += batch.nbytes
        if self._waiting_rows >= COALESCED_ROWS or self._waiting_bytes >= COALESCED_BYTES:
            yield from self._gathered()

    def finish(self) -> Iterator[Streams]:
        """Gives what was still held back."""
        yield from self._gathered()
        yield from self._release(None)
        for batch in self._spreader.finish():
            yield self._judge(batch)
        self.judgement.interpolated_times = self._spreader.interpolated
        if self._spreader.note:
            self.judgement.inferred.append(self._spreader.note)

    def _gathered(self) -> Iterator[Streams]:
        waiting, self._waiting = self._waiting, []
        self._waiting_rows = self._waiting_bytes = 0
        if not waiting:
            return
        batch = waiting[0] if len(waiting) == 1 else pa.concat_batches(waiting)
        yield from self._place(self._named(batch))

    def _named(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Adds the core columns that are missing and makes names unique."""
        rows = batch.num_rows
        arrays: dict[str, pa.Array] = {}
        fields: dict[str, pa.Field] = {}
        for index, column in enumerate(batch.schema):
            name, copies = column.name, 1
            while name in arrays:
                copies += 1
                name = f"{column.name} ({copies})"
            arrays[name], fields[name] = batch.column(index), column.with_name(name)
        if "source_row" not in arrays:
            arrays["source_row"] = pa.arange(self._next_row, self._next_row + rows)
        self._next_row += rows
        for name, kind in (
            ("timestamp", TIMESTAMP),
            ("latitude_deg", pa.float64()),
            ("longitude_deg", pa.float64()),
            ("source_row", pa.int64()),
        ):
            given = arrays.get(name)
            if given is None:
                arrays[name] = nulls(rows, kind)
            elif given.type != kind:
                arrays[name] = given.cast(kind, safe=False)
            fields[name] = pa.field(name, kind, metadata=_ADDED if given is None else None)
        if not fields["latitude_deg"].metadata:
            self.judgement.rows += rows
        return pa.RecordBatch.from_arrays(list(arrays.values()), schema=pa.schema([fields[name] for name in arrays]))

    def _place(self, batch: pa.RecordBatch) -> Iterator[Streams]:
        """Judges fixes at exactly 0°, 0°, which many loggers write while they have no fix.

        Such a fix is kept when the other fix nearest in the file lies within `NEAR_ZERO_DEG` of 0°, 0°, or when the
        file has no other fix at all, and only a few of these. While none is known, rows wait (bounded).
        """
        zero = _zero_mask(batch)
        if zero is None and not self._held:
            self._last_place = _edge_place(batch, None, last=True) or self._last_place
            yield from self._spread(batch)
        elif self._last_place is None:
            self._held.append(batch)
            self._held_rows += batch.num_rows
            following = _edge_place(batch, zero, last=False)
            if following is not None or self._held_rows > HELD_ROWS:
                yield from self._release(following)
        else:
            yield from self._decided(batch, zero, None)

    def _release(self, following: tuple[float, float] | None) -> Iterator[Streams]:
        held, self._held, self._held_rows = self._held, [], 0
        masks = [_zero_mask(batch) for batch in held]
        if following is None and sum(pc.sum(zero).as_py() for zero in masks if zero is not None) > MOST_BELIEVED_ZEROS:
            following = _NOWHERE_NEAR
        for batch, zero in zip(held, masks, strict=True):
            yield from self._decided(batch, zero, following)

    def _decided(
        self, batch: pa.RecordBatch, zero: pa.Array | None, following: tuple[float, float] | None
    ) -> Iterator[Streams]:
        if zero is not None:
            near: list[pa.Array] = []
            for index, name in enumerate(("latitude_deg", "longitude_deg")):
                other = pc.fill_null_forward(pc.if_else(zero, None, batch.column(name)))
                known = self._last_place or following
                # A fix at 0°, 0° without any other fix in the file is believed.
                near.append(pc.less(pc.abs(pc.fill_null(other, known[index] if known else 0.0)), NEAR_ZERO_DEG))
            refused = pc.and_(zero, pc.invert(pc.and_(near[0], near[1])))
            self._last_place = _edge_place(batch, zero, last=True) or self._last_place
            self.judgement.zero_positions += pc.sum(pc.and_(zero, pc.invert(refused))).as_py()
            batch = batch.append_column(_REFUSED, refused)
        yield from self._spread(batch)

    def _spread(self, batch: pa.RecordBatch) -> Iterator[Streams]:
        for ready in self._spreader.push(batch):
            yield self._judge(ready)

    def _judge(self, batch: pa.RecordBatch) -> Streams:
        """Counts and drops what cannot be used, and parts the channels into their streams."""
        fixes = not batch.schema.field("latitude_deg").metadata
        timed = self._times(batch, counted=fixes)
        usable = batch if timed is None else batch.filter(timed)
        streams: Streams = {}
        if fixes:
            track = self._track(batch, usable, timed)
            if track is not None:
                streams[GNSS_PVT] = track
        others: dict[str, list[str]] = {}
        for name in usable.schema.names:
            if name in _CORE or name == _REFUSED:
                continue
            channel = CHANNELS.get(name)
            stream = channel.stream if channel else VEHICLE
            if stream != GNSS_PVT:
                others.setdefault(stream, []).append(name)
        for stream, names in others.items():
            part = self._channel_stream(usable, names)
            if part is not None:
                streams[stream] = part
        return streams

    def _track(self, batch: pa.RecordBatch, usable: pa.RecordBatch, timed: pa.Array | None) -> pa.RecordBatch | None:
        """The rows with time and position, or None where there are none. `usable` are those of `batch` with a time."""
        judgement = self.judgement
        judgement.timed += usable.num_rows
        placed = self._positions(batch, timed)
        segments = self._segments(batch)
        if timed is not None:
            placed = None if placed is None else placed.filter(timed)
            segments = None if segments is None else segments.filter(timed)
        gnss = usable if placed is None else usable.filter(placed)
        if not gnss.num_rows:
            return None
        if segments is not None:
            gnss = self._with_segment_starts(gnss, segments if placed is None else segments.filter(placed))
        judgement.kept += gnss.num_rows
        return self._gnss(gnss)

    def _times(self, batch: pa.RecordBatch, *, counted: bool) -> pa.Array | None:
        """Mask of the rows with a plausible time, or None when all have one; the others are rejected if `counted`."""
        micros, rows = batch.column("timestamp").view(pa.int64()), batch.column("source_row")
        earliest, latest = _microseconds(EARLIEST), _microseconds(LATEST)
        span = extremes(micros)
        if span.least is not None and earliest <= span.least <= span.greatest < latest:
            if not micros.null_count:
                return None
            plausible = pc.is_valid(micros)
        else:
            plausible = pc.fill_null(pc.and_(pc.greater_equal(micros, earliest), pc.less(micros, latest)), False)
        if counted:
            missing = pc.is_null(micros)
            self.judgement.reject("no_time", missing, rows)
            self.judgement.reject("implausible_time", pc.and_not(pc.invert(plausible), missing), rows)
        return plausible

    def _positions(self, batch: pa.RecordBatch, timed: pa.Array | None) -> pa.Array | None:
        """Mask of the rows with a usable position, or None when all have one. Rejects those of the `timed` rows alone,
        as each row is rejected for one reason."""
        judgement, rows = self.judgement, batch.column("source_row")
        latitude, longitude = batch.column("latitude_deg"), batch.column("longitude_deg")
        refused = batch.column(_REFUSED) if _REFUSED in batch.schema.names else None
        if refused is None and _within(latitude, 90.0) and _within(longitude, 180.0):
            judgement.placed += batch.num_rows
            return None
        missing = pc.or_(pc.is_null(latitude), pc.is_null(longitude))
        finite = pc.and_(pc.is_finite(latitude), pc.is_finite(longitude))
        inside = pc.and_(pc.less_equal(pc.abs(latitude), 90.0), pc.less_equal(pc.abs(longitude), 180.0))
        usable = pc.fill_null(pc.and_(finite, inside), False)
        reasons = {
            "no_position": missing,
            "position_not_finite": pc.fill_null(pc.invert(finite), False),
            "position_out_of_range": pc.fill_null(pc.and_(finite, pc.invert(inside)), False),
            **({} if refused is None else {"zero_position": refused}),
        }
        for reason, mask in reasons.items():
            judgement.reject(reason, mask if timed is None else pc.and_(mask, timed), rows)
        if refused is not None:
            usable = pc.and_(usable, pc.invert(refused))
        judgement.placed += pc.sum(usable).as_py() or 0
        return usable

    def _gnss(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        rows = batch.column("source_row")
        given = set(batch.schema.names)
        columns: list[pa.Array] = []
        for column in GNSS_PVT_SCHEMA:
            if column.name == "flags":
                columns.append(self._flags(batch))
            elif column.name not in given:
                columns.append(nulls(batch.num_rows, column.type))
            elif column.name in _CORE:
                columns.append(batch.column(column.name))
            else:
                columns.append(as_type(batch.column(column.name), column.type, column.name, rows, self.judgement))
        return pa.RecordBatch.from_arrays(columns, schema=GNSS_PVT_SCHEMA)

    def _segments(self, batch: pa.RecordBatch) -> pa.Array | None:
        """The number of each row's segment, or None where no segment starts and none is pending."""
        if "flags" not in batch.schema.names:
            flags = None
        else:
            flags = pc.fill_null(batch.column("flags").cast(pa.uint32()), pa.scalar(0, pa.uint32()))
        if flags is None or not pc.max(flags).as_py():
            if self._segment == self._kept_segment:
                return None
            return pa.repeat(pa.scalar(self._segment), batch.num_rows)
        starts = Flag.SEGMENT_START.of(flags)
        numbers = pc.add(pc.cumulative_sum(starts.cast(pa.int64())), self._segment)
        self._segment = numbers[-1].as_py()
        return numbers

    def _with_segment_starts(self, gnss: pa.RecordBatch, segments: pa.Array) -> pa.RecordBatch:
        """Where a segment's first rows were rejected, its first row that was kept starts it."""
        before = pa.concat_arrays([pa.array([self._kept_segment]), segments.slice(0, len(segments) - 1)])
        self._kept_segment = segments[-1].as_py()
        bits = Flag.SEGMENT_START.where(pc.not_equal(segments, before))
        index = gnss.schema.get_field_index("flags")
        if index < 0:
            return gnss.append_column("flags", bits)
        flags = pc.fill_null(gnss.column(index).cast(pa.uint32()), pa.scalar(0, pa.uint32()))
        return gnss.set_column(index, "flags", pc.bit_wise_or(flags, bits))

    def _flags(self, batch: pa.RecordBatch) -> pa.Array:
        """The reader's flags, and `OUT_OF_ORDER` where a row is earlier than one before it in the file."""
        judgement = self.judgement
        if "flags" in batch.schema.names:
            flags = pc.fill_null(batch.column("flags").cast(pa.uint32()), pa.scalar(0, pa.uint32()))
        else:
            flags = zeros(batch.num_rows, pa.uint32())
        micros = batch.column("timestamp").view(pa.int64())
        steps = pc.subtract(micros.slice(1), micros.slice(0, len(micros) - 1))
        first, smallest = micros[0].as_py(), pc.min(steps).as_py()
        backward = first < self._previous
        if first < self._latest or (smallest is not None and smallest < 0):
            judgement.backward_times += (pc.sum(pc.less(steps, 0)).as_py() or 0) + backward
            greatest = pc.max_element_wise(pc.cumulative_max(micros), self._latest)
            late = pc.less(micros, greatest)
            judgement.out_of_order += pc.sum(late).as_py()
            bits = Flag.OUT_OF_ORDER.where(late)
            flags = pc.bit_wise_or(flags, bits)
            self._latest = greatest[-1].as_py()
        else:
            self._latest = micros[-1].as_py()
        self._previous = micros[-1].as_py()
        return flags

    def _channel_stream(self, batch: pa.RecordBatch, names: list[str]) -> pa.RecordBatch | None:
        """The rows and channels that hold a value, or None."""
        rows, judgement = batch.column("source_row"), self.judgement
        columns: dict[str, pa.Array] = {}
        fields: dict[str, pa.Field] = {}
        filled: pa.Array | None = None
        complete = False
        for name in names:
            array = batch.column(name)
            if array.null_count == batch.num_rows:
                continue
            channel = CHANNELS.get(name)
            if channel is not None:
                kind, out = channel.type, channel.field
            else:
                further, out = self._channel_type(name, array.type), batch.schema.field(name)
                if further is None:
                    continue
                kind = further
                out = (out if out.metadata else channel_field(name)).with_type(kind)
            array = as_type(array, kind, name, rows, judgement)
            if array.null_count == batch.num_rows:
                continue
            columns[name], fields[name] = array, out
            complete = complete or not array.null_count
            if not complete:
                valid = pc.is_valid(array)
                filled = valid if filled is None else pc.or_(filled, valid)
        if not columns:
            return None
        core = {"timestamp": batch.column("timestamp"), "source_row": rows}
        schema = pa.schema([CHANNELS[name].field for name in core] + list(fields.values()))
        part = pa.RecordBatch.from_arrays([*core.values(), *columns.values()], schema=schema)
        return part if complete else part.filter(filled)

    def _channel_type(self, name: str, given: pa.DataType) -> pa.DataType | None:
        """Numbers are 64-bit floats, anything else text; the first batch that has the channel decides. None for a
        channel beyond `MAX_CHANNELS`."""
        if name not in self._channels:
            if len(self._channels) == MAX_CHANNELS:
                self._leave_out(name)
                return None
            numeric = (
                pa.types.is_floating(given)
                or pa.types.is_integer(given)
                or pa.types.is_boolean(given)
                or pa.types.is_decimal(given)
            )
            self._channels[name] = pa.float64() if numeric else pa.string()
        return self._channels[name]

    def _leave_out(self, name: str) -> None:
        if not self._has_left_out:
            self._has_left_out = True
            self.judgement.inferred.append(
                f"more than {MAX_CHANNELS} further channels: {name!r} and those after it were left out"
            )


def _within(values: pa.Array, limit: float) -> bool:
    """True when every value is there, finite and within ±`limit`."""
    if values.null_count:
        return False
    span = extremes(values)
    return span.finite and span.least is not None and bool(-limit <= span.least and span.greatest <= limit)


def _zero_mask(batch: pa.RecordBatch) -> pa.Array | None:
    """Mask of the fixes at exactly 0°, 0°, or None when there is none."""
    latitude, longitude = batch.column("latitude_deg"), batch.column("longitude_deg")
    for values in (latitude, longitude):
        span = extremes(values)
        if span.least is None or not span.least <= 0.0 <= span.greatest:
            return None
    zero = pc.fill_null(pc.and_(pc.equal(latitude, 0.0), pc.equal(longitude, 0.0)), False)
    return zero if pc.any(zero).as_py() else None


def _edge_place(batch: pa.RecordBatch, zero: pa.Array | None, *, last: bool) -> tuple[float, float] | None:
    """The batch's first or last position that is not exactly 0°, 0°."""
    latitude, longitude = batch.column("latitude_deg"), batch.column("longitude_deg")
    edge = batch.num_rows - 1 if last else 0
    if zero is None and latitude[edge].is_valid and longitude[edge].is_valid:
        return latitude[edge].as_py(), longitude[edge].as_py()
    valid = pc.and_(pc.is_valid(latitude), pc.is_valid(longitude))
    if zero is not None:
        valid = pc.and_(valid, pc.invert(zero))
    if not valid[edge].as_py():
        edge = (
            pc.max(pc.if_else(valid, pa.arange(0, batch.num_rows), None)).as_py() if last else valid.index(True).as_py()
        )
        if edge is None or edge < 0:
            return None
    return latitude[edge].as_py(), longitude[edge].as_py()

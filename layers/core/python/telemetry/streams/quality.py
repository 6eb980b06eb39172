"""The quality report of a stream, computed while its rows pass in time order, in bounded memory.

Distance is the sum of the steps between neighbouring fixes (`streams.distance`).
"""

import math
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from telemetry.streams.channels import UNIT, Flag
from telemetry.streams.distance import step_lengths_m
from telemetry.streams.values import Extremes, extremes

SPIKE_SPEED_MPS = 150.0
"""A fix is a spike when the way in and the way out both need more than this, and together are more than twice the
straight way past it. An aircraft flies straight on, so its speed makes no spike."""

GAP_PERIODS = 3
LISTED_GAPS = 100
LONGEST_COUNTED_STEP_S = 60.0
"""Steps that take longer (and longer than `GAP_PERIODS` periods) do not count as distance: nobody knows the way."""

_SECOND = 1_000_000
_EXACT_INTERVALS = 4096


class Intervals:
    """A histogram of the intervals between neighbouring times, in microseconds.

    Exact while few different intervals occur; from then on intervals share a bucket 0.4 % wide.
    """

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self._rough = False

    def add(self, intervals: pa.Array, *, all_equal: bool = False) -> None:
        """Takes intervals > 0; `all_equal` saves counting them."""
        if not len(intervals):
            return
        if all_equal and not self._rough and len(self._counts) < _EXACT_INTERVALS:
            self._counts[intervals[0].as_py()] += len(intervals)
            return
        counted = pc.value_counts(_bucket(intervals) if self._rough else intervals)
        if not self._rough and len(counted) + len(self._counts) > _EXACT_INTERVALS:
            self._rough = True
            exact = self._counts
            self._counts = Counter()
            for value, bucket in zip(exact, _bucket(pa.array(list(exact), pa.int64())).to_pylist(), strict=True):
                self._counts[bucket] += exact[value]
            counted = pc.value_counts(_bucket(intervals))
        for value, count in zip(counted.field(0).to_pylist(), counted.field(1).to_pylist(), strict=True):
            self._counts[value] += count

    def period_us(self) -> float | None:
        """The usual interval: the mean of those within 10 % of the median."""
        if not self._counts:
            return None
        half, seen, median = self._counts.total() / 2, 0, 0
        for interval in sorted(self._counts):
            seen += self._counts[interval]
            median = interval
            if seen >= half:
                break
        near = {i: n for i, n in self._counts.items() if abs(i - median) <= 0.1 * median}
        return sum(i * n for i, n in near.items()) / sum(near.values())

    def deviation_us(self, period: float) -> float:
        """Root mean square difference from `period` of the intervals that are no gap."""
        steady = {i: n for i, n in self._counts.items() if i <= GAP_PERIODS * period}
        return math.sqrt(sum(n * (i - period) ** 2 for i, n in steady.items()) / max(1, sum(steady.values())))

    def longer_than(self, limit: float) -> int:
        """How many intervals are longer."""
        return sum(n for i, n in self._counts.items() if i > limit)


def _bucket(intervals: pa.Array) -> pa.Array:
    """The middle of each interval's bucket: its 32-bit float cut to 8 bits of mantissa."""
    bits = intervals.cast(pa.float32(), safe=False).view(pa.int32())
    middle = pc.bit_wise_or(pc.bit_wise_and(bits, ~0x7FFF), 0x4000)
    return middle.cast(pa.int32()).view(pa.float32()).cast(pa.int64(), safe=False)


class _Span(NamedTuple):
    """The shortest and the longest of some steps in time."""

    least: int
    greatest: int

    @classmethod
    def of(cls, steps: pa.Array) -> "_Span | None":
        """None where there is no step."""
        found = pc.min_max(steps).as_py()
        return cls(found["min"], found["max"]) if len(steps) else None


class Timing:
    """Time range, rate, jitter, gaps and doubled times of one stream."""

    def __init__(self) -> None:
        self.rows = 0
        self.first = 0
        self.last = 0
        self.duplicates = 0
        self._intervals = Intervals()
        self._longest: list[tuple[int, int]] = []

    def add(self, micros: pa.Array, steps: pa.Array, span: _Span | None) -> None:
        """Takes the next rows' times, the steps that lead to them (one less for the very first row) and their span."""
        if not self.rows:
            self.first = micros[0].as_py()
        self.last = micros[-1].as_py()
        self.rows += len(micros)
        if span is None:
            return
        positive = steps
        if span.least <= 0:
            positive = steps.filter(pc.greater(steps, 0))
            self.duplicates += len(steps) - len(positive)
        self._intervals.add(positive, all_equal=span.least == span.greatest)
        self._remember_longest(micros, steps, span.greatest)

    def _remember_longest(self, micros: pa.Array, steps: pa.Array, greatest: int) -> None:
        threshold = self._longest[-1][0] if len(self._longest) == LISTED_GAPS else 0
        if greatest <= threshold:
            return
        lengths, ends = steps, micros.slice(len(micros) - len(steps))
        longer = pc.greater(lengths, threshold)
        lengths, ends = lengths.filter(longer), ends.filter(longer)
        if len(lengths) > LISTED_GAPS:
            cut = lengths.take(pc.array_sort_indices(lengths, order="descending").slice(LISTED_GAPS - 1, 1))[0]
            longer = pc.greater_equal(lengths, cut)
            # Of equal ones the first are kept; many equal ones are the usual period and no gap.
            above = pc.greater(lengths, cut)
            at = pc.equal(lengths, cut)
            room = LISTED_GAPS - pc.sum(above).as_py()
            longer = pc.or_(above, pc.and_(at, pc.less_equal(pc.cumulative_sum(at.cast(pa.int64())), room)))
            lengths, ends = lengths.filter(longer), ends.filter(longer)
        found = [(length, end - length) for length, end in zip(lengths.to_pylist(), ends.to_pylist(), strict=True)]
        self._longest = sorted([*self._longest, *found], key=lambda gap: (-gap[0], gap[1]))[:LISTED_GAPS]

    def period_us(self) -> float | None:
        """The usual interval, or None when no two times differ."""
        return self._intervals.period_us()

    def report(self) -> dict[str, Any]:
        """Rate, jitter and gaps, ready for JSON."""
        period = self.period_us()
        if period is None:
            return {"nominalRateHz": None, "jitterMs": None, "gaps": {"count": 0, "listed": []}}
        limit = GAP_PERIODS * period
        listed = sorted((start, length) for length, start in self._longest if length > limit)
        all_listed = len(self._longest) < LISTED_GAPS or self._longest[-1][0] <= limit
        return {
            "nominalRateHz": _rounded(_SECOND / period, 4),
            "jitterMs": _rounded(self._intervals.deviation_us(period) / 1000, 3),
            "gaps": {
                "count": len(listed) if all_listed else self._intervals.longer_than(limit),
                "listed": [{"start": iso_time(start), "lengthS": length / _SECOND} for start, length in listed],
            },
        }


class TrackQuality:
    """Looks at `gnss_pvt` rows in time order: sets their order-dependent flags and gathers the report."""

    skips_slow = True
    """False looks for spikes row by row, also where no step is as fast as one."""

    def __init__(self) -> None:
        self.timing = Timing()
        self.spikes = 0
        self.segments = 0
        self.distance_m = 0.0
        self.max_speed_mps: float | None = None
        self.crosses_antimeridian = False
        self.has_altitude = False
        self._fix_types: Counter[str | None] = Counter()
        self._south = self._west = math.inf
        self._north = self._east = -math.inf
        self._west_of_east = math.inf
        self._east_of_west = -math.inf
        self._long_step_m: dict[int, float] = {}
        self._carried: pa.RecordBatch | None = None
        self._carried_spike = False

    def observe(self, rows: pa.RecordBatch, following: pa.RecordBatch | None) -> pa.RecordBatch:
        """Takes the next rows in time order and the row after them, if any; gives them with their flags."""
        names = ("timestamp", "latitude_deg", "longitude_deg")
        parts = [part for part in (self._carried, rows, following) if part is not None]
        micros, latitude, longitude = (
            pa.concat_arrays([part.column(name) for part in parts]) if len(parts) > 1 else rows.column(name)
            for name in names
        )
        micros = micros.view(pa.int64())
        lead, count = (1 if self._carried is not None else 0), rows.num_rows
        steps = pc.subtract(micros.slice(1), micros.slice(0, len(micros) - 1))
        places = extremes(latitude), extremes(longitude)
        metres = step_lengths_m(latitude, longitude, places)
        self._notice_antimeridian(longitude, places[1])
        # Step i leads to row i + 1 - lead.
        into = steps.slice(0, lead + count - 1)
        span = _Span.of(into)
        self.timing.add(micros.slice(lead, count), into, span)
        spike = self._spikes(latitude, longitude, steps, metres, lead=lead, count=count)
        flags = self._flags(rows.column("flags"), into, span, spike, lead)
        self._measure(rows)
        # The row after `rows` is one of the next rows, so the box may hold it already.
        self._add_box(places, longitude)
        self._add_distance(flags, into, span, metres.slice(0, lead + count - 1), spike)
        self._carried = rows.slice(count - 1, 1)
        index = rows.schema.get_field_index("flags")
        return rows.set_column(index, rows.schema.field(index), flags) if flags is not rows.column("flags") else rows

    def _notice_antimeridian(self, longitude: pa.Array, span: Extremes) -> None:
        if span.greatest - span.least > 180:
            turn = pc.abs(pc.subtract(longitude.slice(1), longitude.slice(0, len(longitude) - 1)))
            self.crosses_antimeridian = self.crosses_antimeridian or bool(pc.max(turn).as_py() > 180)

    def _spikes(
        self, latitude: pa.Array, longitude: pa.Array, steps: pa.Array, metres: pa.Array, *, lead: int, count: int
    ) -> pa.Array | None:
        """Mask over the rows, or None when there is none."""
        if len(steps) < 2:
            return None
        furthest, shortest = extremes(metres), pc.min(steps).as_py()
        if self.skips_slow and furthest.finite and furthest.greatest <= shortest * (SPIKE_SPEED_MPS / _SECOND):
            return None
        # metres per microsecond; a step without time cannot be judged.
        fast = pc.greater(metres, pc.multiply(steps.cast(pa.float64()), SPIKE_SPEED_MPS / _SECOND))
        if not pc.any(fast).as_py():
            return None
        fast = pc.and_(fast, pc.greater(steps, 0))
        inner = len(latitude) - 2
        both = pc.and_(fast.slice(0, inner), fast.slice(1, inner))
        if not pc.any(both).as_py():
            return None
        # Only for the few candidates: the straight way from the fix before to the fix after.
        at = pc.indices_nonzero(both).cast(pa.int64())
        ends = pa.concat_arrays([at, pc.add(at, 2)])
        order = pc.array_sort_indices(pa.concat_arrays([pc.multiply(at, 2), pc.add(pc.multiply(at, 2), 1)]))
        ends = ends.take(order)
        direct = step_lengths_m(latitude.take(ends), longitude.take(ends))
        direct = direct.take(pc.multiply(pa.arange(0, len(at)), 2))
        way = pc.add(metres.take(at), metres.take(pc.add(at, 1)))
        found = at.filter(pc.less(pc.multiply(direct, 2.0), way))
        # Row of candidate i is i + 1 - lead; the row before the first belongs to the window before.
        rows = pc.subtract(pc.add(found, 1), lead)
        rows = rows.filter(pc.and_(pc.greater_equal(rows, 0), pc.less(rows, count)))
        if not len(rows):
            return None
        return pc.is_in(pa.arange(0, count), value_set=rows)

    def _flags(
        self, flags: pa.Array, into: pa.Array, span: _Span | None, spike: pa.Array | None, lead: int
    ) -> pa.Array:
        bits: list[pa.Array] = []
        if span is not None and span.least <= 0:
            doubled = pc.less_equal(into, 0)
            if not lead:
                doubled = pa.concat_arrays([pa.array([False]), doubled])
            bits.append(Flag.DUPLICATE_TIME.where(doubled))
        if spike is not None:
            bits.append(Flag.POSITION_SPIKE.where(spike))
            self.spikes += pc.sum(spike).as_py()
        own = Flag.DUPLICATE_TIME | Flag.POSITION_SPIKE
        if pc.max(flags).as_py():
            # A first pass in another order may have set them.
            flags = pc.bit_wise_and(flags, pa.scalar(0xFFFFFFFF & ~own, pa.uint32()))
        for bit in bits:
            flags = pc.bit_wise_or(flags, bit)
        return flags

    def _measure(self, rows: pa.RecordBatch) -> None:
        speed = extremes(rows.column("speed_mps")).greatest
        if speed is not None:
            self.max_speed_mps = max(speed, self.max_speed_mps or 0.0)
        self.has_altitude = self.has_altitude or rows.column("altitude_m").null_count < rows.num_rows
        kinds = rows.column("fix_type")
        if kinds.null_count < rows.num_rows:
            for kind in pc.value_counts(kinds).to_pylist():
                self._fix_types[kind["values"]] += kind["counts"]
        else:
            self._fix_types[None] += rows.num_rows

    def _add_box(self, places: tuple[Extremes, Extremes], longitude: pa.Array) -> None:
        (south, north, _), (west, east, _) = places
        self._south, self._north = min(self._south, south), max(self._north, north)
        self._west, self._east = min(self._west, west), max(self._east, east)
        if west >= 0:
            self._west_of_east = min(self._west_of_east, west)
        elif east < 0:
            self._east_of_west = max(self._east_of_west, east)
        else:
            self._west_of_east = min(
                self._west_of_east, pc.min(longitude.filter(pc.greater_equal(longitude, 0.0))).as_py()
            )
            self._east_of_west = max(self._east_of_west, pc.max(longitude.filter(pc.less(longitude, 0.0))).as_py())

    def _add_distance(
        self, flags: pa.Array, into: pa.Array, span: _Span | None, metres: pa.Array, spike: pa.Array | None
    ) -> None:
        if self._carried_spike or pc.max(flags).as_py():
            starts = Flag.SEGMENT_START.of(flags)
            self.segments += pc.sum(starts).as_py()
            spikes = spike if spike is not None else pa.repeat(pa.scalar(False), len(flags))
            after_spike = pa.concat_arrays([pa.array([self._carried_spike]), spikes.slice(0, len(flags) - 1)])
            skipped = pc.or_(starts, pc.or_(spikes, after_spike))
            # The very first row of a file has no step that leads to it.
            kept = pc.invert(skipped.slice(len(flags) - len(into)))
            into, metres = into.filter(kept), metres.filter(kept)
        self._carried_spike = bool(spike[-1].as_py()) if spike is not None else False
        if span is None or not len(into):
            return
        limit = int(LONGEST_COUNTED_STEP_S * _SECOND)
        if span.greatest > limit:
            long = pc.greater(into, limit)
            for step, length in zip(into.filter(long).to_pylist(), metres.filter(long).to_pylist(), strict=True):
                # One bucket per tenth of an octave: bounded, and close enough to compare with three periods.
                bucket = round(math.log2(step) * 10)
                self._long_step_m[bucket] = self._long_step_m.get(bucket, 0.0) + length
            metres = metres.filter(pc.invert(long))
        self.distance_m += pc.sum(metres).as_py() or 0.0

    def bounding_box(self) -> list[float]:
        """[minLat, minLon, maxLat, maxLon], by number: a track across the antimeridian spans -180 to 180."""
        return [self._south, self._west, self._north, self._east]

    def geographic_box(self) -> list[float]:
        """[west, south, east, north] after RFC 7946, section 5.2: west > east across the antimeridian."""
        if self.crosses_antimeridian and math.isfinite(self._west_of_east) and math.isfinite(self._east_of_west):
            return [self._west_of_east, self._south, self._east_of_west, self._north]
        return [self._west, self._south, self._east, self._north]

    def total_distance_m(self) -> float:
        """Length of the way: no jumps into a new segment, to or from a spike, or over a long gap."""
        period = self.timing.period_us() or 0.0
        longest = math.log2(max(1.0, GAP_PERIODS * period)) * 10
        return self.distance_m + sum(self._long_step_m[b] for b in sorted(self._long_step_m) if b <= longest)

    def report(self) -> dict[str, Any]:
        """The parts of the quality report that depend on the ordered track, ready for JSON."""
        rows = max(1, self.timing.rows)
        return {
            **self.timing.report(),
            "duplicateTimes": self.timing.duplicates,
            "positionSpikes": self.spikes,
            "segments": max(1, self.segments),
            "fixTypes": {
                kind or "unknown": _rounded(count / rows, 6)
                for kind, count in sorted(self._fix_types.items(), key=lambda item: item[0] or "")
            },
            "boundingBox": self.bounding_box(),
            "crossesAntimeridian": self.crosses_antimeridian,
            "distanceM": _rounded(self.total_distance_m(), 2, digits_after_point=True),
            "maxSpeedMps": self.max_speed_mps,
            "hasAltitude": self.has_altitude,
        }


class ChannelQuality:
    """Looks at the rows of any other stream in time order."""

    def __init__(self) -> None:
        self.timing = Timing()
        self._values: Counter[str] = Counter()
        self._units: dict[str, str] = {}
        self._carried: pa.Array | None = None

    def observe(self, rows: pa.RecordBatch, following: pa.RecordBatch | None) -> pa.RecordBatch:
        """Takes the next rows in time order; gives them as they are."""
        del following
        micros = rows.column("timestamp").view(pa.int64())
        times = micros if self._carried is None else pa.concat_arrays([self._carried, micros])
        steps = pc.subtract(times.slice(1), times.slice(0, len(times) - 1))
        self.timing.add(micros, steps, _Span.of(steps))
        self._carried = micros.slice(len(micros) - 1)
        for field, column in zip(rows.schema, rows.columns, strict=True):
            if field.name not in ("timestamp", "source_row"):
                self._values[field.name] += rows.num_rows - column.null_count
                self._units[field.name] = (field.metadata or {}).get(UNIT, b"").decode()
        return rows

    def report(self) -> dict[str, Any]:
        """Rate, gaps and how many values each channel has, ready for JSON."""
        return {
            **self.timing.report(),
            "duplicateTimes": self.timing.duplicates,
            "channels": {name: {"values": self._values[name], "unit": unit} for name, unit in self._units.items()},
        }


def iso_time(micros: int) -> str:
    """Microseconds since 1970 as `2024-05-01T10:00:00.1Z`: as many digits as are needed."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
    text = moment.replace(tzinfo=None).isoformat(timespec="microseconds")
    return text.rstrip("0").rstrip(".") + "Z"


def _rounded(value: float, digits: int, *, digits_after_point: bool = False) -> float:
    return round(value, digits) if digits_after_point else float(f"{value:.{digits}g}")

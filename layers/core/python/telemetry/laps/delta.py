"""Where a lap wins and loses: its time at each share of its distance, less that of the best lap. Pure; Arrow out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from telemetry.laps.lap import Lap, LapKind
from telemetry.laps.motion import Motion, interpolate
from telemetry.streams.channels import TIMESTAMP, UNIT

_POINTS = 1000
_FEWER_POINTS = 200
_MANY_LAPS = 300
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

LAP_DELTA_SCHEMA = pa.schema(
    [
        pa.field("timestamp", TIMESTAMP, False),
        pa.field("lap_number", pa.int32(), False),
        pa.field("distance_m", pa.float64(), False, {UNIT: b"m"}),
        pa.field("elapsed_ms", pa.float64(), False, {UNIT: b"ms"}),
        pa.field("delta_ms", pa.float64(), False, {UNIT: b"ms"}),
    ]
)
"""Version 1 of the stream `lap_delta`: rows by lap, then by distance. `distance_m` counts along the best lap, which
every comparable lap is scaled to, so that line and line lie at 0 and at its length; `delta_ms` is positive where a lap
is behind the best one and ends as the difference of their durations."""


@dataclass(frozen=True)
class Reference:
    """The best lap's course: seconds since its start at equal shares of its length."""

    length_m: float
    share: pa.Array
    elapsed_s: pa.Array


def reference(motion: Motion, lap: Lap) -> Reference | None:
    """The course of a lap on its own track; None for a lap without way."""
    times, points = _courses(motion, [lap], _POINTS)
    length = _length(motion, lap)
    if length <= 0:
        return None
    return Reference(length, _shares(points), pc.subtract(times, _seconds(motion, lap.start_time)))


def lap_deltas(motion: Motion, laps: Sequence[Lap], best: Reference) -> pa.RecordBatch:
    """The timed ones of these laps against the best, rows of `LAP_DELTA_SCHEMA`."""
    timed = [lap for lap in laps if lap.kind is LapKind.TIMED and _length(motion, lap) > 0]
    times, points = _courses(motion, timed, _POINTS if len(timed) <= _MANY_LAPS else _FEWER_POINTS)
    rows = pa.array(range(len(timed) * (points + 1)), pa.int64())
    lap_index = pc.divide(rows, points + 1)
    share = pc.divide(pc.subtract(rows, pc.multiply(lap_index, points + 1)).cast(pa.float64()), float(points))
    starts = pa.array([_seconds(motion, lap.start_time) for lap in timed], pa.float64())
    elapsed = pc.subtract(times, starts.take(lap_index))
    expected = interpolate(best.share, best.elapsed_s, share)
    stamps = pc.add(pc.round(pc.multiply(times, 1e6)).cast(pa.int64()), motion.start_us).cast(TIMESTAMP)
    return pa.record_batch(
        [
            stamps,
            pa.array([lap.lap_number for lap in timed], pa.int32()).take(lap_index),
            pc.multiply(share, best.length_m),
            pc.multiply(elapsed, 1000.0),
            pc.multiply(pc.subtract(elapsed, expected), 1000.0),
        ],
        schema=LAP_DELTA_SCHEMA,
    )


def _courses(motion: Motion, laps: Sequence[Lap], points: int) -> tuple[pa.Array, int]:
    """When each lap is at each of `points` + 1 equal shares of its own length, laps one after the other."""
    ends = [_seconds(motion, moment) for lap in laps for moment in (lap.start_time, lap.end_time)]
    along = interpolate(motion.time_s, motion.distance_m, pa.array(ends, pa.float64()))
    even = pa.array(range(0, len(ends), 2), pa.int64())
    begin = along.take(even)
    length = pc.subtract(along.take(pc.add(even, 1)), begin)
    rows = pa.array(range(len(laps) * (points + 1)), pa.int64())
    index = pc.divide(rows, points + 1)
    share = pc.divide(pc.subtract(rows, pc.multiply(index, points + 1)).cast(pa.float64()), float(points))
    wanted = pc.add(begin.take(index), pc.multiply(share, length.take(index)))
    times = _when(motion, wanted)
    # The ends are known better than distance tells: standing there, one distance has many times.
    moments = pa.array(ends, pa.float64())
    first, last = moments.take(even).take(index), moments.take(pc.add(even, 1)).take(index)
    times = pc.max_element_wise(pc.min_element_wise(times, last), first)
    times = pc.if_else(pc.equal(share, 0.0), first, pc.if_else(pc.equal(share, 1.0), last, times))
    return times, points


def _when(motion: Motion, distance_m: pa.Array) -> pa.Array:
    """When the track had come a distance: linear between fixes, after any standing."""
    reached = pc.search_sorted(motion.distance_m, distance_m, side="right").cast(pa.int64())
    after = pc.min_element_wise(pc.max_element_wise(reached, 1), len(motion) - 1)
    before = pc.subtract(after, 1)
    begin = motion.distance_m.take(before)
    step = pc.subtract(motion.distance_m.take(after), begin)
    moves = pc.greater(step, 0.0)
    share = pc.if_else(moves, pc.divide(pc.subtract(distance_m, begin), pc.if_else(moves, step, 1.0)), 0.0)
    from_s = motion.time_s.take(before)
    return pc.add(from_s, pc.multiply(share, pc.subtract(motion.time_s.take(after), from_s)))


def _length(motion: Motion, lap: Lap) -> float:
    ends = pa.array([_seconds(motion, lap.start_time), _seconds(motion, lap.end_time)])
    begin, end = interpolate(motion.time_s, motion.distance_m, ends).to_pylist()
    length: float = end - begin
    return length


def _shares(points: int) -> pa.Array:
    return pa.array([k / points for k in range(points + 1)])


def _seconds(motion: Motion, moment: datetime) -> float:
    return ((moment - _EPOCH) // timedelta(microseconds=1) - motion.start_us) / 1e6

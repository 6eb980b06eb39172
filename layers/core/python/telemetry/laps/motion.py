"""A track as arrays to find laps in: fixes with rising times, and its coarse course. Pure; Arrow in and out."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from telemetry.streams.channels import Flag

COLUMNS = ("timestamp", "latitude_deg", "longitude_deg", "speed_mps", "horizontal_accuracy_m", "flags")
"""Columns of `gnss_pvt` that lap detection needs."""

COARSE_S = 0.5
LEAST_GAP_S = 1.5
"""Shorter than that no time without a fix is a drop-out."""
MOVING_MPS = 1.0
"""Slower than this over two seconds is standing: noise and drift of a parked receiver stay below it."""

_EQUATOR_M = 6378137.0
_E2 = 0.00669437999014
_LEAST_SPEEDS = 0.9
_LONGEST_STEP_S = 5.0
_LEAST_FIXES = 3
_SURELY_MOVING_MPS = 3.0
_ENOUGH_TO_COMPARE = 8
_SLOW_MPS = 8.0
_ACCURACY = "horizontal_accuracy_m"
_HELD_PERIODS = 1.5


@dataclass(frozen=True, slots=True)
class Frame:
    """A local plane through a point, one axis along a course.

    Degrees become metres by the WGS 84 radii of curvature at the point (NIMA TR8350.2): linear, and good to
    millimetres over the hundred metres around it where crossings are measured.
    """

    latitude_deg: float
    longitude_deg: float
    course_rad: float

    @property
    def north_m_per_deg(self) -> float:
        """Metres north a degree of latitude."""
        w2 = 1 - _E2 * math.sin(math.radians(self.latitude_deg)) ** 2
        return math.radians(_EQUATOR_M * (1 - _E2) / w2**1.5)

    @property
    def east_m_per_deg(self) -> float:
        """Metres east a degree of longitude."""
        w2 = 1 - _E2 * math.sin(math.radians(self.latitude_deg)) ** 2
        return math.radians(_EQUATOR_M / math.sqrt(w2) * math.cos(math.radians(self.latitude_deg)))

    def along_across(self, latitude_deg: pa.Array, longitude_deg: pa.Array) -> tuple[pa.Array, pa.Array]:
        """Metres along the course past the point, and metres to the right of it."""
        sin, cos = math.sin(self.course_rad), math.cos(self.course_rad)
        north = pc.subtract(latitude_deg, self.latitude_deg)
        east = pc.subtract(longitude_deg, self.longitude_deg)
        if pc.max(pc.abs(east)).as_py() > 180:  # the short way across the antimeridian
            east = pc.subtract(east, pc.multiply(pc.round(pc.divide(east, 360.0)), 360.0))
        n, e = self.north_m_per_deg, self.east_m_per_deg
        along = pc.add(pc.multiply(north, n * cos), pc.multiply(east, e * sin))
        return along, pc.subtract(pc.multiply(east, e * cos), pc.multiply(north, n * sin))

    def place(self, along_m: float, across_m: float) -> tuple[float, float]:
        """Latitude and longitude of a point of the plane, in degrees."""
        sin, cos = math.sin(self.course_rad), math.cos(self.course_rad)
        north, east = along_m * cos - across_m * sin, along_m * sin + across_m * cos
        longitude = self.longitude_deg + east / self.east_m_per_deg
        return self.latitude_deg + north / self.north_m_per_deg, (longitude + 180) % 360 - 180

    def turned(self) -> "Frame":
        """The same place, looked at the other way."""
        return Frame(self.latitude_deg, self.longitude_deg, self.course_rad + math.pi)


@dataclass(frozen=True)
class Motion:
    """Fixes in order of time, spikes and repeated times left out.

    Attributes
    ----------
    start_us : microseconds UTC of the first fix.
    time_s : seconds since then, strictly rising.
    speed_mps : None where the recording has none that agrees with its positions.
    accuracy_m : horizontal accuracy as the receiver states it; None where it does not.
    """

    start_us: int
    time_s: pa.DoubleArray
    latitude_deg: pa.DoubleArray
    longitude_deg: pa.DoubleArray
    speed_mps: pa.DoubleArray | None
    accuracy_m: pa.DoubleArray | None

    def __len__(self) -> int:
        return len(self.time_s)

    @property
    def end_s(self) -> float:
        """Time of the last fix."""
        last: float = self.time_s[-1].as_py()
        return last

    @cached_property
    def period_s(self) -> float:
        """The usual time between fixes."""
        return median(difference(self.time_s)) or 1.0

    @property
    def gap_s(self) -> float:
        """From how long on a time without a fix is a drop-out."""
        return max(LEAST_GAP_S, 3.5 * self.period_s)

    @cached_property
    def distance_m(self) -> pa.DoubleArray:
        """Metres along the track at each fix: the integral of the speed where there is one, else by coarse steps, to
        which the noise of single fixes adds little."""
        if self.speed_mps is None:
            return interpolate(self.coarse.time_s, self.coarse.distance_m, self.time_s)
        last = len(self) - 1
        mean = pc.multiply(pc.add(self.speed_mps.slice(1), self.speed_mps.slice(0, last)), 0.5)
        steps = pc.multiply(mean, difference(self.time_s))
        return pc.cumulative_sum(pa.concat_arrays([zero(), pc.max_element_wise(steps, 0.0)]))

    def place_at(self, moment_s: float) -> tuple[float, float]:
        """Metres east and north of the first fix, at the fix of that time or the next."""
        row = min(pc.search_sorted(self.time_s, moment_s).as_py(), len(self) - 1)
        origin = Frame(self.latitude_deg[0].as_py(), self.longitude_deg[0].as_py(), 0.0)
        north, east = origin.along_across(self.latitude_deg.slice(row, 1), self.longitude_deg.slice(row, 1))
        return east[0].as_py(), north[0].as_py()

    @cached_property
    def coarse(self) -> "Coarse":
        """The first fix of every half second."""
        return coarse_course(self)


def motion_of(batches: Iterable[pa.RecordBatch]) -> Motion | None:
    """The track of batches of `COLUMNS`, ordered by time; None without three fixes that a track needs."""
    pieces = [_without_spikes(batch.select(list(COLUMNS))) for batch in batches]
    table = pa.Table.from_batches(pieces) if pieces else None
    del pieces
    if table is None or table.num_rows < _LEAST_FIXES:
        return None
    time_us = _whole(table["timestamp"])
    useless = pc.or_(pc.less_equal(difference(time_us), 0), _held(table, time_us))
    if pc.any(useless).as_py():
        kept = pa.concat_arrays([pa.array([True]), pc.invert(useless)])
        table, time_us = table.filter(kept), time_us.filter(kept)
    if table.num_rows < _LEAST_FIXES:
        return None
    start_us = time_us[0].as_py()
    time_s = pc.divide(pc.subtract(time_us, start_us).cast(pa.float64()), 1e6)
    del time_us
    columns: dict[str, pa.Array | None] = {}
    for name, taken in (
        ("latitude_deg", _whole),
        ("longitude_deg", _whole),
        ("speed_mps", _filled),
        (_ACCURACY, _filled),
    ):
        columns[name] = taken(table[name])
        table = table.drop_columns([name])
    motion = Motion(start_us, time_s, *columns.values())
    if motion.speed_mps is None:
        return motion
    places_only = replace(motion, speed_mps=None)
    return motion if _agrees(motion.speed_mps, places_only.coarse) else places_only


def _without_spikes(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The rows that are no spikes, their times as numbers."""
    flags = batch.column("flags")
    if pc.max(flags).as_py():
        spike = Flag.POSITION_SPIKE.of(flags)
        batch = batch.filter(pc.invert(spike))
    times = batch.column("timestamp").cast(pa.int64())
    return batch.set_column(0, "timestamp", times).drop_columns(["flags"])


@dataclass(frozen=True)
class Coarse:
    """A fix every half second: enough to see where a track goes, and little.

    Attributes
    ----------
    row : of the motion.
    x_m, y_m : east and north of the first fix.
    speed_mps, course_rad : over the second before and the second after.
    moving : False while it stands.
    distance_m : along the track since its start; standing adds nothing.
    """

    row: pa.Array
    time_s: pa.DoubleArray
    x_m: pa.DoubleArray
    y_m: pa.DoubleArray
    speed_mps: pa.DoubleArray
    course_rad: pa.DoubleArray
    moving: pa.BooleanArray
    distance_m: pa.DoubleArray

    def distance_at(self, moments_s: list[float]) -> list[float]:
        """Distance along the track at some moments."""
        values: list[float] = interpolate(self.time_s, self.distance_m, pa.array(moments_s, pa.float64())).to_pylist()
        return values


def coarse_course(motion: Motion) -> Coarse:
    """The track's coarse course."""
    bucket = pc.floor(pc.divide(motion.time_s, COARSE_S))
    changes = pc.indices_nonzero(pc.not_equal(difference(bucket), 0.0))
    row = pa.concat_arrays([pa.array([0], pa.uint64()), pc.add(changes, pa.scalar(1, pa.uint64()))])
    time_s = motion.time_s.take(row)
    origin = Frame(motion.latitude_deg[0].as_py(), motion.longitude_deg[0].as_py(), 0.0)
    y_m, x_m = origin.along_across(motion.latitude_deg.take(row), motion.longitude_deg.take(row))
    reach = 1.0 + 1e-6
    before, after = around(time_s, time_s, reach, motion.gap_s)
    dx, dy = span(x_m, before, after), span(y_m, before, after)
    dt = pc.max_element_wise(span(time_s, before, after), 1e-3)
    speed = pc.divide(pc.sqrt(pc.add(pc.multiply(dx, dx), pc.multiply(dy, dy))), dt)
    moving = pc.and_(pc.greater(speed, MOVING_MPS), pc.less(dt, _LONGEST_STEP_S * 4))
    if motion.speed_mps is not None:
        # The receiver's own speed tells drift from motion.
        moving = pc.and_(moving, pc.greater(motion.speed_mps.take(row), MOVING_MPS / 2))
    sx, sy = difference(x_m), difference(y_m)
    step = pc.sqrt(pc.add(pc.multiply(sx, sx), pc.multiply(sy, sy)))
    last = max(len(row) - 1, 0)
    # The noise of single fixes lengthens short steps; over two seconds it matters less, and a slow one cuts no bends.
    slow = pc.less(speed.slice(1), _SLOW_MPS)
    step = pc.if_else(slow, pc.multiply(speed.slice(1), difference(time_s)), step)
    step = pc.if_else(pc.or_(moving.slice(0, last), moving.slice(1)), step, 0.0)
    return Coarse(
        row, time_s, x_m, y_m, speed, pc.atan2(dx, dy), moving, pc.cumulative_sum(pa.concat_arrays([zero(), step]))
    )


def zero() -> pa.Array:
    """One 0."""
    return pa.array([0.0])


def difference(values: pa.Array) -> pa.Array:
    """Each value less the one before, one fewer than values."""
    return pc.subtract(values.slice(1), values.slice(0, max(len(values) - 1, 0)))


def median(values: pa.Array) -> float | None:
    """The median, exact; None of nothing."""
    found: float | None = pc.quantile(values, 0.5)[0].as_py()
    return found


def around(times: pa.Array, moments: pa.Array, reach_s: float, gap_s: float) -> tuple[pa.Array, pa.Array]:
    """Rows of the fixes just outside `reach_s` before and after each moment, as far as there are any; instead of one
    beyond a gap of `gap_s` the fix on this side of it, if that leaves two fixes to compare."""
    # Fixes exactly at the reach count as reached: one period further would blur the course.
    before = pc.subtract(pc.search_sorted(times, pc.subtract(moments, reach_s), side="right").cast(pa.int64()), 1)
    before = pc.max_element_wise(before, 0)
    after = pc.search_sorted(times, pc.add(moments, reach_s)).cast(pa.int64())
    after = pc.min_element_wise(after, len(times) - 1)
    far_before = pc.greater(pc.subtract(moments, times.take(before)), reach_s + gap_s)
    far_after = pc.greater(pc.subtract(times.take(after), moments), reach_s + gap_s)
    if not pc.any(pc.or_(far_before, far_after)).as_py():
        return before, after
    next_row, previous = pc.add(before, 1), pc.subtract(after, 1)
    far_before = pc.and_(far_before, pc.less_equal(times.take(next_row), moments))
    far_after = pc.and_(far_after, pc.greater_equal(times.take(previous), moments))
    begin = pc.if_else(far_before, next_row, before)
    end = pc.if_else(far_after, previous, after)
    two = pc.less(begin, end)
    return pc.if_else(two, begin, before), pc.if_else(two, end, after)


def span(values: pa.Array, begin: pa.Array, end: pa.Array) -> pa.Array:
    """The difference of values between pairs of rows."""
    return pc.subtract(values.take(end), values.take(begin))


def interpolate(times: pa.Array, values: pa.Array, moments: pa.Array) -> pa.Array:
    """Values at moments, linear between fixes and constant beyond the ends."""
    after = pc.min_element_wise(
        pc.max_element_wise(pc.search_sorted(times, moments).cast(pa.int64()), 1), len(times) - 1
    )
    before = pc.subtract(after, 1)
    begin = times.take(before)
    share = pc.divide(pc.subtract(moments, begin), pc.subtract(times.take(after), begin))
    share = pc.max_element_wise(pc.min_element_wise(share, 1.0), 0.0)
    low = values.take(before)
    return pc.add(low, pc.multiply(share, pc.subtract(values.take(after), low)))


def _held(table: pa.Table, time_us: pa.Array) -> pa.Array:
    """Rows, from the second on, that only repeat the position before: logged faster than the receiver measured, or
    while it had lost its fix, they tell of no place at their time.

    While the speed says that the vehicle moves, every repeat is such a row. Where it stands, or says no speed, only
    those are that the receiver's own period explains: standing is no drop-out.
    """
    same = pc.and_(*(pc.equal(difference(_whole(table[name])), 0.0) for name in ("latitude_deg", "longitude_deg")))
    if not pc.any(same).as_py():
        return same
    changes = pc.if_else(same, pa.scalar(None, pa.int64()), time_us.slice(1))
    since = pc.subtract(time_us.slice(1), pc.fill_null(pc.fill_null_forward(changes), time_us[0]))
    fresh_us = median(difference(changes.drop_null())) or 0.0
    held = pc.less(since, _HELD_PERIODS * fresh_us)
    if table["speed_mps"].null_count < len(table):
        moving = pc.greater(_whole(table["speed_mps"]).slice(1), MOVING_MPS)
        held = pc.or_(held, pc.fill_null(moving, False))
    return pc.and_(same, held)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    whole = column.combine_chunks()
    return pa.concat_arrays(whole.chunks) if isinstance(whole, pa.ChunkedArray) else whole


def _filled(column: pa.ChunkedArray) -> pa.Array | None:
    """A channel as it is where few values lack, those taken from their neighbours; None where it is hardly there."""
    if column.null_count > (1 - _LEAST_SPEEDS) * len(column):
        return None
    values = _whole(column).cast(pa.float64())
    return pc.fill_null_backward(pc.fill_null_forward(values)) if values.null_count else values


def _agrees(speed_mps: pa.Array, coarse: Coarse) -> bool:
    """Whether a speed channel is this track's speed: another unit or a stuck channel is none."""
    fast = pc.greater(coarse.speed_mps, _SURELY_MOVING_MPS)
    seen = coarse.speed_mps.filter(fast)
    if len(seen) < _ENOUGH_TO_COMPARE:
        return True
    share = (median(speed_mps.take(coarse.row).filter(fast)) or 0.0) / (median(seen) or 1.0)
    return 0.8 < share < 1.25

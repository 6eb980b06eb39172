"""Which passages of a line count: on the line, in the direction of travel, once a lap. Pure."""

import itertools
import math
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from telemetry.laps.motion import MOVING_MPS, Frame, Motion, around, difference, span

MOST_OBLIQUE_RAD = math.radians(75)
LEAST_LAP_M = 150.0
LEAST_LAP_S = 8.0
LEAST_AWAY_M = 30.0
"""How far from the line a lap leads at least."""
_MOTOR_MPS = 12.0
_PIT_LANE_M = 8.0
SLACK_M = 4.0
"""How far beyond the ends of a line a passage still counts: what a receiver may be off."""
_LEAST_SHARE = 0.3
"""Of the usual lap, below which a passage is the bounce of another."""


@dataclass(frozen=True, slots=True)
class Line:
    """A start/finish or sector line.

    Attributes
    ----------
    frame : its middle, and the course at a right angle to it.
    half_width_m : from the middle to either end.
    """

    frame: Frame
    half_width_m: float

    @classmethod
    def between(cls, latitude_1: float, longitude_1: float, latitude_2: float, longitude_2: float) -> "Line":
        """The line between two points, in degrees. Which way it is passed shows on the track only."""
        turn = (longitude_2 - longitude_1 + 180) % 360 - 180
        middle = Frame((latitude_1 + latitude_2) / 2, (longitude_1 + turn / 2 + 180) % 360 - 180, 0.0)
        north = (latitude_2 - latitude_1) * middle.north_m_per_deg
        east = turn * middle.east_m_per_deg
        course = math.atan2(east, north) - math.pi / 2
        return cls(Frame(middle.latitude_deg, middle.longitude_deg, course), math.hypot(north, east) / 2)

    def widened(self) -> "Line":
        """The same line, twice as long."""
        return Line(self.frame, 2 * self.half_width_m)

    def turned(self) -> "Line":
        """The same line, looked at from the other side."""
        return Line(self.frame.turned(), self.half_width_m)

    def ends(self) -> tuple[float, float, float, float]:
        """Latitude and longitude of the left end, then of the right end."""
        return (*self.frame.place(0.0, -self.half_width_m), *self.frame.place(0.0, self.half_width_m))


@dataclass(frozen=True, slots=True)
class Crossing:
    """A passage that may count: about when, how fast, the course against the line's, the distance so far."""

    time_s: float
    speed_mps: float
    course_rad: float
    across_m: float
    distance_m: float


def find_crossings(motion: Motion, line: Line) -> list[Crossing]:
    """Every passage of the line from behind, while moving, in order of time; bounces not yet taken out."""
    along, across = line.frame.along_across(motion.latitude_deg, motion.longitude_deg)
    last = len(motion) - 1
    behind = pc.less(along, 0.0)
    rows = pc.indices_nonzero(pc.and_(behind.slice(0, last), pc.invert(behind.slice(1)))).cast(pa.int64())
    if len(rows):
        g0, g1 = along.take(rows), along.take(pc.add(rows, 1))
        share = pc.divide(g0, pc.subtract(g0, g1))
        at = pc.add(across.take(rows), pc.multiply(share, span(across, rows, pc.add(rows, 1))))
        near = pc.less_equal(pc.abs(at), line.half_width_m + SLACK_M)
        rows, share, at = rows.filter(near), share.filter(near), at.filter(near)
    found = []
    if len(rows):
        times = pc.add(motion.time_s.take(rows), pc.multiply(share, span(motion.time_s, rows, pc.add(rows, 1))))
        found = _moving_over(motion, times, at, (along, across))
    # A recording that begins on the line has no fix behind it.
    reach = _first_step_m(motion)
    if not behind[0].as_py() and along[0].as_py() < reach and abs(across[0].as_py()) <= line.half_width_m + SLACK_M:
        first = _moving_over(motion, motion.time_s.slice(0, 1), across.slice(0, 1), (along, across))
        found = [*(one for one in first if not found or found[0].time_s > 1.0), *found]
    return found


def _first_step_m(motion: Motion) -> float:
    coarse = motion.coarse
    ahead = min(2, len(coarse.time_s) - 1)
    dt = coarse.time_s[ahead].as_py()
    dx = coarse.x_m[ahead].as_py() - coarse.x_m[0].as_py()
    dy = coarse.y_m[ahead].as_py() - coarse.y_m[0].as_py()
    return math.hypot(dx, dy) / dt * motion.period_s * 0.5 if dt else 0.0


def _moving_over(
    motion: Motion, times: pa.Array, at: pa.Array, along_across: tuple[pa.Array, pa.Array]
) -> list[Crossing]:
    before, after = around(motion.time_s, times, 1.0, motion.gap_s)
    dt = pc.max_element_wise(span(motion.time_s, before, after), 1e-3)
    dg, dl = (span(places, before, after) for places in along_across)
    speed = pc.divide(pc.sqrt(pc.add(pc.multiply(dg, dg), pc.multiply(dl, dl))), dt)
    kept = pc.and_(pc.greater(speed, MOVING_MPS), pc.greater(dg, 0.0))
    times = times.filter(kept)
    moments = times.to_pylist()
    return [
        Crossing(*values)
        for values in zip(
            moments,
            speed.filter(kept).to_pylist(),
            pc.atan2(dl, dg).filter(kept).to_pylist(),
            at.filter(kept).to_pylist(),
            motion.coarse.distance_at(moments),
            strict=True,
        )
    ]


def directed_crossings(motion: Motion, line: Line) -> tuple[Line, list[Crossing]]:
    """The line looked at in the direction in which most laps pass it, and those passages."""
    there, back = lap_crossings(motion, line), lap_crossings(motion, line.turned())
    return (line.turned(), back) if len(back) > len(there) else (line, there)


def lap_crossings(motion: Motion, line: Line) -> list[Crossing]:
    """The crossings that begin or end laps, in order of time."""
    return _not_in_pit_lane(_coming_back(motion, line, _once_a_lap(find_crossings(motion, line))))


def _coming_back(motion: Motion, line: Line, found: list[Crossing]) -> list[Crossing]:
    """Those before which the track was somewhere else: drift around the line is no lap."""
    coarse = motion.coarse
    if len(found) < 2:
        return found
    along, across = line.frame.along_across(motion.latitude_deg.take(coarse.row), motion.longitude_deg.take(coarse.row))
    away = pc.add(pc.multiply(along, along), pc.multiply(across, across))
    rows = pc.search_sorted(coarse.time_s, pa.array([one.time_s for one in found])).to_pylist()
    kept, since = found[:1], rows[0]
    for one, row in zip(found[1:], rows[1:], strict=True):
        farthest = pc.max(away.slice(since, row - since)).as_py()
        if farthest is not None and farthest >= LEAST_AWAY_M**2:
            kept.append(one)
            since = row
        elif len(kept) == 1:
            # Before the first lap the last passage counts, as after standing on the line.
            kept[0], since = one, row
    return kept


def _not_in_pit_lane(found: list[Crossing]) -> list[Crossing]:
    """Without those of vehicles that pass the line far slower than usual and beside the track."""
    if len(found) < 3:
        return found
    usual_mps = sorted(one.speed_mps for one in found)[len(found) // 2]
    usual_m = sorted(one.across_m for one in found)[len(found) // 2]
    if usual_mps < _MOTOR_MPS:
        return found
    return [one for one in found if one.speed_mps > 0.6 * usual_mps or abs(one.across_m - usual_m) < _PIT_LANE_M]


def _once_a_lap(found: list[Crossing]) -> list[Crossing]:
    """Those of one course, and of each bounce the fastest."""
    found = _same_course([one for one in found if abs(one.course_rad) < MOST_OBLIQUE_RAD])
    kept = _debounced(found, LEAST_LAP_M)
    gaps = sorted(b.distance_m - a.distance_m for a, b in itertools.pairwise(kept))
    if not gaps:
        return kept
    return _debounced(found, max(LEAST_LAP_M, _LEAST_SHARE * gaps[len(gaps) // 2]))


def _same_course(found: list[Crossing]) -> list[Crossing]:
    """Those that pass in about the course that most take; of two equal crowds the one that meets the line squarest."""
    if not found:
        return []
    bins: dict[int, list[Crossing]] = {}
    for one in found:
        bins.setdefault(math.floor(one.course_rad / math.radians(15) + 0.5), []).append(one)

    def crowd(key: int) -> tuple[int, int]:
        return sum(len(bins.get(key + step, ())) for step in (-1, 0, 1)), -abs(key)

    middle = max(bins, key=crowd) * math.radians(15)
    return [one for one in found if abs(one.course_rad - middle) < math.radians(40)]


def _debounced(found: list[Crossing], least_m: float) -> list[Crossing]:
    kept: list[Crossing] = []
    for one in found:
        if kept and (one.distance_m - kept[-1].distance_m < least_m or one.time_s - kept[-1].time_s < LEAST_LAP_S):
            # The same passage again: noise at the line, or a push back over it. The one at speed is the lap's.
            if one.speed_mps > 1.5 * kept[-1].speed_mps:
                kept[-1] = one
        else:
            kept.append(one)
    return kept


def usual_gaps_m(crossings: list[Crossing]) -> list[float]:
    """Distances from each crossing to the next."""
    return difference(pa.array([one.distance_m for one in crossings], pa.float64())).to_pylist() if crossings else []

"""Passages of the line that fell into a drop-out, told from how other laps went the same way. Pure."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from telemetry.laps.crossings import Crossing, Line, find_crossings
from telemetry.laps.motion import Frame, Motion, difference

_MOST_GAPS = 2000
"""More are not bridged: each takes about a millisecond."""
_LONGEST_SHARE = 0.8
"""Of a lap: the longest gap in which one passage, and not two, can be told."""
_LAPS_AROUND = 16
_FASTEST_MPS = 100.0
_EDGE_HALF_WIDTH_M = 25.0
_EDGE_S = 1.0
_SAME_LENGTH = 0.15
_FEW = 4
_UNEVEN = 0.02
"""Standard deviation of the share where too few other laps show it."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch of time without a fix, seconds from the first fix."""

    start_s: float
    end_s: float

    @property
    def length_s(self) -> float:
        """How long."""
        return self.end_s - self.start_s

    def overlaps(self, begin_s: float, end_s: float) -> bool:
        """Whether it has time in common with another stretch."""
        return self.start_s < end_s and begin_s < self.end_s


@dataclass(frozen=True, slots=True)
class Bridged:
    """A passage inside a gap, and the standard deviation of its time."""

    time_s: float
    sigma_s: float
    gap: Gap


def gaps_of(motion: Motion) -> list[Gap]:
    """Drop-outs long enough to hide what happens at a line."""
    steps = difference(motion.time_s)
    rows = pc.indices_nonzero(pc.greater(steps, motion.gap_s))
    begin = motion.time_s.take(rows).to_pylist()
    end = motion.time_s.take(pc.add(rows, pa.scalar(1, pa.uint64()))).to_pylist()
    return [Gap(a, b) for a, b in zip(begin, end, strict=True)]


def bridge(
    motion: Motion, line: Line, crossings: Sequence[Crossing], usual_s: float, gaps: Sequence[Gap]
) -> list[Bridged]:
    """The passages of the line inside the gaps.

    A gap holds one where other laps pass the line between the place where it begins and the place where it ends, and
    where it lasts about as long as they take. The passage then divides the gap as it divides theirs; how much their
    shares differ is how well that is known.

    Parameters
    ----------
    crossings : of the line, in order of time.
    usual_s : how long a lap takes.
    """
    near = [gap for gap in gaps if gap.length_s < usual_s * _LONGEST_SHARE]
    bridged = (
        _bridged(gap, _same_way(motion, crossings, usual_s, gap, gaps))
        for gap in _around_the_line(motion, line, near)[:_MOST_GAPS]
    )
    return [one for one in bridged if one is not None]


@dataclass(frozen=True, slots=True)
class _Pass:
    """How another lap went the way of a gap: the share of its time before the line, and all its seconds."""

    share: float
    length_s: float


def _around_the_line(motion: Motion, line: Line, gaps: list[Gap]) -> list[Gap]:
    """Those in which a vehicle can have been at the line."""
    ends = pa.array([moment for gap in gaps for moment in (gap.start_s, gap.end_s)], pa.float64())
    if not len(ends):
        return []
    rows = pc.search_sorted(motion.time_s, ends)
    along, across = line.frame.along_across(motion.latitude_deg.take(rows), motion.longitude_deg.take(rows))
    away = pc.sqrt(pc.add(pc.multiply(along, along), pc.multiply(across, across))).to_pylist()
    ways = map(sum, zip(away[::2], away[1::2], strict=True))
    return [gap for gap, way in zip(gaps, ways, strict=True) if way < gap.length_s * _FASTEST_MPS]


def _same_way(
    motion: Motion, crossings: Sequence[Crossing], usual_s: float, gap: Gap, gaps: Sequence[Gap]
) -> list[_Pass]:
    """How the laps around went the way of a gap, as far as they have no gap of their own there."""
    coarse = motion.coarse
    reach_s = _LAPS_AROUND * usual_s
    bounds = pa.array([gap.start_s - reach_s, gap.end_s + reach_s])
    begin, end = pc.search_sorted(coarse.time_s, bounds).to_pylist()
    if end - begin < _FEW:
        return []
    rows = coarse.row.slice(begin, end - begin)
    times = motion.time_s.take(rows)
    begin_s = times[0].as_py()
    latitude, longitude = motion.latitude_deg.take(rows), motion.longitude_deg.take(rows)
    around = Motion(motion.start_us, pc.subtract(times, begin_s), latitude, longitude, None, None)
    row = pc.search_sorted(motion.time_s, gap.start_s).as_py()
    before, behind = (
        [one.time_s + begin_s for one in find_crossings(around, edge)]
        for edge in (_edge(motion, row, -_EDGE_S), _edge(motion, row + 1, _EDGE_S))
    )
    longest = _LONGEST_SHARE * usual_s
    found = []
    for one in crossings:
        first = max((t for t in before if one.time_s - longest < t < one.time_s), default=None)
        last = min((t for t in behind if one.time_s < t < one.time_s + longest), default=None)
        if first is not None and last is not None and not any(hole.overlaps(first, last) for hole in gaps):
            found.append(_Pass((one.time_s - first) / (last - first), last - first))
    return found


def _edge(motion: Motion, row: int, reach_s: float) -> Line:
    """The line across the track at a fix, its course from the fixes on the side of `reach_s` alone."""
    moment = motion.time_s[row].as_py() + reach_s
    other = min(pc.search_sorted(motion.time_s, moment).as_py(), len(motion) - 1)
    other = max(other, min(row + 1, len(motion) - 1)) if reach_s > 0 else min(other, max(row - 1, 0))
    here = Frame(motion.latitude_deg[row].as_py(), motion.longitude_deg[row].as_py(), 0.0)
    north, east = here.along_across(motion.latitude_deg.slice(other, 1), motion.longitude_deg.slice(other, 1))
    sign = math.copysign(1.0, reach_s)
    course = math.atan2(sign * east[0].as_py(), sign * north[0].as_py())
    return Line(Frame(here.latitude_deg, here.longitude_deg, course), _EDGE_HALF_WIDTH_M)


def _bridged(gap: Gap, passes: Sequence[_Pass]) -> Bridged | None:
    if not passes:
        return None
    usual_s = statistics.median(one.length_s for one in passes)
    alike = [one for one in passes if abs(one.length_s / usual_s - 1) < _SAME_LENGTH]
    if not alike or not 0.6 < gap.length_s / usual_s < 1.6:
        return None
    share = statistics.fmean(one.share for one in alike)
    few = len(alike) < _FEW
    uneven = _UNEVEN if few else statistics.stdev(one.share for one in alike) * math.sqrt(1 + 1 / len(alike))
    lengths_s = 0.0 if few else statistics.stdev(one.length_s for one in alike)
    # Nobody knows where in the gap a lap lost more time than laps do.
    lost_s = max(abs(gap.length_s - usual_s) - 2 * lengths_s, 0.0)
    sigma_s = math.hypot(uneven * gap.length_s, 0.5 * lost_s / math.sqrt(3))
    return Bridged(gap.start_s + share * gap.length_s, sigma_s, gap)

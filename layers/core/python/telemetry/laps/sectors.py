"""Sector times: where each lap passes the lines that divide it, all laps at one place of the track. Pure.

A line may be passed more than once in a lap: at a hairpin, or where it reaches over to another part of the track. Which
passage is meant shows in all laps together: it is the one that most laps have at the same share of their way. Each lap
gives its own passage there, or none.
"""

import bisect
import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from telemetry.laps.crossings import MOST_OBLIQUE_RAD, Crossing, Line, directed_crossings, find_crossings
from telemetry.laps.motion import Motion
from telemetry.laps.passage import measure_passages

_SAME_PLACE = 0.02
"""Of a lap's way, within which passages of several laps are at one place."""
_STILL_THERE = 0.15
"""Of a lap's way, how far from that place a lap's passage may be where nothing else can be meant."""
_FEW = 0.1
"""Share of laps that may pass elsewhere too without making the line an ambiguous one."""
_NEARLY_ALL = 0.9
"""Share of laps that pass a line of the right length."""


@dataclass(frozen=True, slots=True)
class Span:
    """A timed lap: its ends in seconds from the first fix."""

    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A passage within a lap: shares of the usual lap's way from its start and to its end. `usual` are those that the
    search for laps would take: of each bounce one, at speed, in the common course."""

    lap: int
    near_s: float
    share: float
    share_left: float
    usual: bool


@dataclass(frozen=True, slots=True)
class _Place:
    """Where most laps pass a line: shares as of a candidate, how far from there a lap's passage may be, and whether
    laps pass the line elsewhere too."""

    share: float
    share_left: float
    tolerance: float
    ambiguous: bool

    def away(self, one: _Candidate) -> float:
        """How far a passage is, by the way from the start or to the end: a detour lies before it or after it."""
        return min(abs(one.share - self.share), abs(one.share_left - self.share_left))


def sector_times(
    motion: Motion, laps: Sequence[Span], lines: Sequence[Line], *, may_widen: bool = False
) -> list[tuple[float | None, ...]]:
    """Seconds of each sector of each lap, in the order of driving; None where the lap missed a line next to it.

    A line that fewer than half of the laps pass at one place divides nothing: it is left out.

    Parameters
    ----------
    laps : in order of time, not overlapping.
    lines : in any order.
    may_widen : a line that not nearly all laps pass is taken twice as long where so more laps pass it at one place.
    """
    if not laps:
        return []
    found = (_marks_of(motion, laps, line, may_widen=may_widen) for line in lines)
    offered = [marks for marks in found if 2 * _count(marks) >= len(laps)]
    offered.sort(key=lambda marks: _usual_share(laps, marks))
    return [_between(lap, [marks[index] for marks in offered]) if offered else () for index, lap in enumerate(laps)]


def _between(lap: Span, marks: Sequence[float | None]) -> tuple[float | None, ...]:
    ends = itertools.pairwise([lap.start_s, *marks, lap.end_s])
    return tuple(None if a is None or b is None or b <= a else b - a for a, b in ends)


def _count(marks: Sequence[float | None]) -> int:
    return sum(mark is not None for mark in marks)


def _usual_share(laps: Sequence[Span], marks: Sequence[float | None]) -> float:
    shares = sorted(
        (mark - lap.start_s) / (lap.end_s - lap.start_s)
        for lap, mark in zip(laps, marks, strict=True)
        if mark is not None
    )
    return shares[len(shares) // 2]


def _marks_of(motion: Motion, laps: Sequence[Span], line: Line, *, may_widen: bool) -> list[float | None]:
    marks = _marks(motion, laps, line)
    if may_widen and _count(marks) < _NEARLY_ALL * len(laps):
        wider = _marks(motion, laps, line.widened())
        return wider if _count(wider) > _count(marks) else marks
    return marks


def _marks(motion: Motion, laps: Sequence[Span], line: Line) -> list[float | None]:
    """When each lap passes a line."""
    line, usual = directed_crossings(motion, line)
    times = {one.time_s for one in usual}
    there = _candidates(motion, laps, find_crossings(motion, line), times)
    back = _candidates(motion, laps, find_crossings(motion, line.turned()), set())
    most_there, most_back = _most_at_one_place(there), _most_at_one_place(back)
    if _rank(most_back) > _rank(most_there):
        line, there, most_there = line.turned(), back, most_back
    if not most_there:
        return [None] * len(laps)
    place = _place(there, most_there, len(laps))
    chosen: dict[int, _Candidate] = {}
    for one in there:
        # Where nothing else can be meant, only what the search for laps would take.
        if place.away(one) <= place.tolerance and (place.ambiguous or one.usual or not times):
            held = chosen.get(one.lap)
            if held is None or (not one.usual, place.away(one)) < (not held.usual, place.away(held)):
                chosen[one.lap] = one
    nears = sorted({one.near_s for one in chosen.values()})
    if times.issuperset(nears):
        nears = sorted(times)
    measured = dict(zip(nears, measure_passages(motion, line.frame, pa.array(nears)).time_s.to_pylist(), strict=True))
    marks: list[float | None] = [None] * len(laps)
    for index, one in chosen.items():
        if laps[index].start_s < measured[one.near_s] < laps[index].end_s:
            marks[index] = measured[one.near_s]
    return marks


def _candidates(
    motion: Motion, laps: Sequence[Span], crossings: Sequence[Crossing], usual: set[float]
) -> list[_Candidate]:
    """The passages within laps, by share of the way."""
    starts = [lap.start_s for lap in laps]
    begin = motion.coarse.distance_at(starts)
    end = motion.coarse.distance_at([lap.end_s for lap in laps])
    lengths = sorted(b - a for a, b in zip(begin, end, strict=True))
    unit = max(lengths[len(lengths) // 2], 1.0)
    found = []
    for one in crossings:
        lap = bisect.bisect_left(starts, one.time_s) - 1
        if lap >= 0 and one.time_s < laps[lap].end_s and abs(one.course_rad) < MOST_OBLIQUE_RAD:
            share, left = (one.distance_m - begin[lap]) / unit, (end[lap] - one.distance_m) / unit
            found.append(_Candidate(lap, one.time_s, share, left, one.time_s in usual))
    return sorted(found, key=lambda one: one.share)


def _most_at_one_place(candidates: Sequence[_Candidate]) -> Sequence[_Candidate]:
    """Of neighbours by share those of the most laps; of as many laps, those with the most that are usual."""
    laps: Counter[int] = Counter()
    usual = begin = 0
    most, found = (0, 0), slice(0)
    for end, one in enumerate(candidates, 1):
        laps[one.lap] += 1
        usual += one.usual
        while one.share - candidates[begin].share > _SAME_PLACE:
            gone = candidates[begin]
            laps[gone.lap] -= 1
            if not laps[gone.lap]:
                del laps[gone.lap]
            usual -= gone.usual
            begin += 1
        if (len(laps), usual) > most:
            most, found = (len(laps), usual), slice(begin, end)
    return candidates[found]


def _rank(found: Sequence[_Candidate]) -> tuple[int, int]:
    return len({one.lap for one in found}), sum(one.usual for one in found)


def _place(candidates: Sequence[_Candidate], most: Sequence[_Candidate], lap_count: int) -> _Place:
    share = most[len(most) // 2].share
    share_left = sorted(one.share_left for one in most)[len(most) // 2]
    inside = {one.lap for one in most}
    low, high = most[0].share, most[-1].share
    nearest: dict[int, float] = {}
    for one in candidates:
        if one.lap in inside and not low <= one.share <= high:
            away = abs(one.share - share)
            nearest[one.lap] = min(away, nearest.get(one.lap, away))
    if len(nearest) <= _FEW * lap_count:
        return _Place(share, share_left, _STILL_THERE, ambiguous=False)
    others = sorted(nearest.values())
    tolerance = min(max(others[len(others) // 2] / 2, _SAME_PLACE / 2), _STILL_THERE)
    return _Place(share, share_left, tolerance, ambiguous=True)

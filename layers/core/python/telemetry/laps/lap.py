"""What a lap is, which laps can be compared, and the best of them. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

COVERAGE = 1.75
"""Coverage factor of stated uncertainties (Guide to the expression of uncertainty in measurement, section 6)."""

ALIKE = 1.15
"""How much longer the longest of comparable laps may be than the shortest. On real recordings, laps cut by a watch at
each kilometre differ by up to 1.08 where they are measured on the track, laps of one circuit by up to 1.13."""


class LapKind(StrEnum):
    """`OUT` and `IN` are the partial laps before the first and after the last crossing of the line, or before the
    first and after the last of a file's laps that are alike."""

    OUT = "OUT"
    TIMED = "TIMED"
    IN = "IN"


class LapSource(StrEnum):
    """Who says so: the recording itself, or the detection from its track."""

    FILE = "FILE"
    DETECTED = "DETECTED"


@dataclass(frozen=True, slots=True)
class GivenLap:
    """A lap as a recording names it: its own number, aware times, start inclusive."""

    number: int
    start_time: datetime
    end_time: datetime


@dataclass(frozen=True, slots=True)
class Lap:
    """One lap.

    Attributes
    ----------
    lap_number : 1, 2, … in order of time over the whole session, partial laps included.
    duration_ms : fractional.
    duration_uncertainty_ms : expanded uncertainty, `COVERAGE` standard deviations: more than nine of ten true durations
        lie within it. None where the track says nothing about it.
    distance_m : along the track; None where no fix lies in the lap.
    max_speed_mps : None where the recording has no speed.
    sectors_ms : of a timed lap, where sector lines are given that most laps pass: from line to line, in the order of
        driving; None where a line was missed.
    """

    lap_number: int
    kind: LapKind
    start_time: datetime
    end_time: datetime
    duration_ms: float
    duration_uncertainty_ms: float | None
    distance_m: float | None
    max_speed_mps: float | None
    source: LapSource
    sectors_ms: tuple[float | None, ...] = ()


def comparable_laps(laps: Sequence[Lap]) -> list[Lap]:
    """The timed laps whose durations say who was faster: over about the same way.

    Laps found on the track go from line to line of one circuit: all of them. What a file calls a lap may be anything,
    a kilometre, a press of a button, the change from swimming to cycling: of such the largest group whose lengths are
    within `ALIKE` of one another (of two as large the faster), provided that it is at least half of the timed laps
    and more than one. A single lap is its own best.
    """
    timed = [lap for lap in laps if lap.kind is LapKind.TIMED]
    if len(timed) < 2 or all(lap.source is LapSource.DETECTED for lap in timed):
        return timed
    group = _largest_alike(timed)
    if len(group) < 2 or 2 * len(group) < len(timed):
        return []
    return [lap for lap in timed if lap in group]


def _largest_alike(laps: Iterable[Lap]) -> set[Lap]:
    known = [(lap.distance_m, lap) for lap in laps if lap.distance_m and lap.duration_ms > 0]
    known.sort(key=lambda one: (one[0], one[1].start_time))
    most, largest, begin = (0, 0.0), slice(0), 0
    way = time = 0.0
    for end, (length, lap) in enumerate(known, 1):
        way, time = way + length, time + lap.duration_ms
        while length > ALIKE * known[begin][0]:
            way, time = way - known[begin][0], time - known[begin][1].duration_ms
            begin += 1
        if (size_and_speed := (end - begin, way / time)) > most:
            most, largest = size_and_speed, slice(begin, end)
    return {lap for _, lap in known[largest]}


def best_lap(laps: Sequence[Lap]) -> Lap | None:
    """The fastest of the comparable laps; None where the lengths of laps vary freely, as in intervals or a triathlon:
    there the shortest would win."""
    return min(comparable_laps(laps), key=lambda lap: lap.duration_ms, default=None)


def theoretical_best_ms(laps: Sequence[Lap]) -> float | None:
    """The best sectors of all timed laps together; None without sectors, or where one was never driven whole.

    Never above the best lap: where that one missed a line, its sectors are unknown though they were the best.
    """
    counts = {len(lap.sectors_ms) for lap in laps if lap.kind is LapKind.TIMED and lap.sectors_ms}
    if len(counts) != 1:
        return None
    total = 0.0
    for index in range(counts.pop()):
        times = [lap.sectors_ms[index] for lap in laps if lap.kind is LapKind.TIMED and lap.sectors_ms]
        driven = [time for time in times if time is not None]
        if not driven:
            return None
        total += min(driven)
    best = best_lap(laps)
    return total if best is None else min(total, best.duration_ms)

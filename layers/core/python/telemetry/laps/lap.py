"""What a lap is. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

COVERAGE = 1.75
"""Coverage factor of stated uncertainties (Guide to the expression of uncertainty in measurement, section 6)."""


class LapKind(StrEnum):
    """`OUT` and `IN` are the partial laps before the first and after the last crossing of the line."""

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
    sectors_ms : of a timed lap, where sector lines are given: from line to line, in the order of driving; None where
        a line was missed.
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


def best_lap(laps: Sequence[Lap]) -> Lap | None:
    """The fastest timed lap."""
    return min((lap for lap in laps if lap.kind is LapKind.TIMED), key=lambda lap: lap.duration_ms, default=None)


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

"""What a lap is. Pure."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


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
    duration_uncertainty_ms : one standard deviation; None where the track says nothing about it.
    distance_m : along the track; None where no fix lies in the lap.
    max_speed_mps : None where the recording has no speed.
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


def best_lap_ms(laps: tuple[Lap, ...]) -> float | None:
    """Duration of the fastest timed lap."""
    return min((lap.duration_ms for lap in laps if lap.kind is LapKind.TIMED), default=None)

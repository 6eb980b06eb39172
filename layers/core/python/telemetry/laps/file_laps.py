"""Laps that the recording itself brings, measured on its track. Pure."""

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from telemetry.laps.lap import COVERAGE, GivenLap, Lap, LapKind, LapSource
from telemetry.laps.track import Stretch, measure

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def laps_of_file(given: Sequence[GivenLap], batches: Iterable[pa.RecordBatch]) -> tuple[Lap, ...]:
    """The file's laps by start time, with distance and top speed from the track.

    A logger that counts from 0 calls the way to the line lap 0: it is OUT, and so is every lap below 1. All others
    are TIMED: what a file calls a lap is believed.

    Each end is known to within the spacing of the fixes around it, evenly distributed; the standard deviation of
    the difference of two such ends is spacing / √6; stated are `COVERAGE` of them.

    Parameters
    ----------
    batches : of `telemetry.laps.track.COLUMNS`, ordered by time.
    """
    ordered = sorted(
        (lap for lap in given if lap.end_time > lap.start_time), key=lambda lap: (lap.start_time, lap.end_time)
    )
    stretches = [Stretch(_microseconds(lap.start_time), _microseconds(lap.end_time)) for lap in ordered]
    laps = []
    for number, (lap, stretch, found) in enumerate(
        zip(ordered, stretches, measure(batches, stretches), strict=True), 1
    ):
        laps.append(
            Lap(
                lap_number=number,
                kind=LapKind.OUT if lap.number < 1 else LapKind.TIMED,
                start_time=lap.start_time,
                end_time=lap.end_time,
                duration_ms=(stretch.end_us - stretch.start_us) / 1000,
                duration_uncertainty_ms=None
                if found.spacing_s is None
                else COVERAGE * found.spacing_s * 1000 / math.sqrt(6),
                distance_m=found.distance_m,
                max_speed_mps=found.max_speed_mps,
                source=LapSource.FILE,
            )
        )
    return tuple(laps)


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)

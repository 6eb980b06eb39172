"""Laps that the recording itself brings, measured on its track. Pure."""

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from telemetry.laps.lap import COVERAGE, GivenLap, Lap, LapKind, LapSource
from telemetry.laps.motion import Motion
from telemetry.laps.track import Stretch, measure

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def laps_of_file(
    given: Sequence[GivenLap], batches: Iterable[pa.RecordBatch], motion: Motion | None = None
) -> tuple[Lap, ...]:
    """The file's laps by start time, with distance and top speed from the track.

    A logger that counts from 0 calls the way to the line lap 0: it is OUT, and so is every lap below 1. All others
    are TIMED: what a file calls a lap is believed.

    Each end is known to within the spacing of the fixes around it, evenly distributed; the standard deviation of
    the difference of two such ends is spacing / √6; stated are `COVERAGE` of them.

    Parameters
    ----------
    batches : of `telemetry.laps.track.COLUMNS`, ordered by time.
    motion : of the same track: rows that only repeat a fix make no end better known.
    """
    ordered = sorted(
        (lap for lap in given if lap.end_time > lap.start_time), key=lambda lap: (lap.start_time, lap.end_time)
    )
    stretches = [Stretch(_microseconds(lap.start_time), _microseconds(lap.end_time)) for lap in ordered]
    measures = measure(batches, stretches)
    fixes_s = _between_fixes_s(motion, stretches)
    laps = []
    for number, (lap, stretch, found, between_s) in enumerate(
        zip(ordered, stretches, measures, fixes_s, strict=True), 1
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
                else COVERAGE * max(found.spacing_s, between_s) * 1000 / math.sqrt(6),
                distance_m=found.distance_m,
                max_speed_mps=found.max_speed_mps,
                source=LapSource.FILE,
            )
        )
    return tuple(laps)


def _between_fixes_s(motion: Motion | None, stretches: Sequence[Stretch]) -> list[float]:
    """Seconds between the fixes around the ends of each stretch, the longer of the two."""
    if motion is None or not stretches:
        return [0.0] * len(stretches)
    moments = pa.array([moment for one in stretches for moment in (one.start_us, one.end_us)], pa.int64())
    seconds = pc.divide(pc.subtract(moments, motion.start_us).cast(pa.float64()), 1e6)
    after = pc.search_sorted(motion.time_s, seconds).cast(pa.int64())
    after = pc.min_element_wise(pc.max_element_wise(after, 1), len(motion) - 1)
    steps = pc.subtract(motion.time_s.take(after), motion.time_s.take(pc.subtract(after, 1))).to_pylist()
    return [max(pair) for pair in zip(steps[::2], steps[1::2], strict=True)]


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)

"""Laps that the recording itself brings, measured on its track. Pure."""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from telemetry.laps.lap import COVERAGE, GivenLap, Lap, LapKind, LapSource, comparable_laps
from telemetry.laps.motion import Motion
from telemetry.laps.track import Stretch, measure

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LEAST_SHORT = 0.02
"""Of a lap's length, which a remnant is short of the others by at least: less is the receiver's error."""


def laps_of_file(
    given: Sequence[GivenLap], batches: Iterable[pa.RecordBatch], motion: Motion | None = None
) -> tuple[Lap, ...]:
    """The file's laps by start time, with distance and top speed from the track.

    A logger that counts from 0 calls the way to the line lap 0: it is OUT, and so is every lap below 1. All others
    are TIMED: what a file calls a lap is believed, but for the remnants at both ends (`with_partial_ends`).

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
    return with_partial_ends(laps)


def with_partial_ends(laps: Sequence[Lap]) -> tuple[Lap, ...]:
    """A file's laps by start time, those at its ends that are parts of a lap OUT and IN.

    A device that cuts laps by itself calls what is left when it is stopped a lap too. Where most laps are comparable,
    the first and the last are partial if far shorter than those (below all of them and not one of them); the last also
    if it is short of the shortest other by more than those differ among themselves. What devices say of why a lap ended
    is no help: of real files some say `Manual` of every lap, some `distance` of a remnant, some nothing.
    """
    whole = comparable_laps(laps)
    if len(whole) < 2 or 2 * len(whole) <= sum(lap.kind is LapKind.TIMED for lap in laps):
        return tuple(laps)
    kinds = {0: LapKind.OUT, len(laps) - 1: LapKind.IN}
    return tuple(
        dataclasses.replace(lap, kind=kinds[place]) if place in kinds and _is_partial(lap, whole, kinds[place]) else lap
        for place, lap in enumerate(laps)
    )


def _is_partial(lap: Lap, whole: Sequence[Lap], kind: LapKind) -> bool:
    others = [other.distance_m for other in whole if other is not lap and other.distance_m is not None]
    if lap.kind is not LapKind.TIMED or lap.distance_m is None or lap.distance_m >= min(others):
        return False
    if lap not in whole:
        return True
    short_by = max(max(others) - min(others), _LEAST_SHORT * min(others))
    return kind is LapKind.IN and len(others) > 1 and lap.distance_m < min(others) - short_by


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

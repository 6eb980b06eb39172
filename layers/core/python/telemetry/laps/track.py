"""Distance and speed along a track between given moments, in one pass over its batches and in bounded memory. Pure."""

import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from telemetry.streams.channels import Flag
from telemetry.streams.distance import step_lengths_m

COLUMNS = ("timestamp", "latitude_deg", "longitude_deg", "speed_mps", "flags")
"""Columns of `gnss_pvt` that a track needs."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a track, its ends in microseconds UTC."""

    start_us: int
    end_us: int


@dataclass(frozen=True, slots=True)
class Measure:
    """What a stretch has: metres (None where the track does not reach both ends' moments, to within the time between
    two fixes), metres per second, and the seconds between fixes around its ends, which bound how well the ends are
    known."""

    distance_m: float | None
    max_speed_mps: float | None
    spacing_s: float | None


@dataclass(frozen=True, slots=True)
class _End:
    """The first or the last fix of a track: when, how far along, and the seconds to its neighbour."""

    time_us: int
    distance_m: float
    spacing_s: float


def measure(batches: Iterable[pa.RecordBatch], stretches: Sequence[Stretch]) -> list[Measure]:
    """Measures each stretch.

    Parameters
    ----------
    batches : of `COLUMNS`, ordered by time over all batches.
    """
    moments = sorted({moment for stretch in stretches for moment in (stretch.start_us, stretch.end_us)})
    along: dict[int, float] = {}
    spacing: dict[int, float] = {}
    fastest: list[float | None] = [None] * len(stretches)
    by_start = sorted(range(len(stretches)), key=lambda index: stretches[index].start_us)
    starts = [stretches[index].start_us for index in by_start]
    running: list[int] = []
    seen = 0
    previous: pa.RecordBatch | None = None
    total = 0.0
    begin: _End | None = None
    end: _End | None = None
    for batch in batches:
        if batch.num_rows == 0:
            continue
        # The last fix of the batch before comes first, so that the step between batches is measured too.
        joined = _joined(previous, batch)
        times = joined.column("timestamp").cast(pa.int64())
        first_us, last_us = times[0].as_py(), times[-1].as_py()
        distances = _along(joined, total)
        for moment in moments[bisect.bisect_left(moments, first_us) : bisect.bisect_right(moments, last_us)]:
            if moment not in along:
                along[moment], spacing[moment] = _at(times, distances, moment)
        end = _End(last_us, distances[-1].as_py(), _at(times, distances, last_us)[1])
        if begin is None or begin.spacing_s == 0:
            begin = _End(first_us, distances[0].as_py(), _at(times, distances, first_us)[1])
        begun = bisect.bisect_right(starts, last_us)
        # Ended stretches are dropped, so that many laps do not cost a look at each for every batch.
        running = [index for index in (*running, *by_start[seen:begun]) if stretches[index].end_us >= first_us]
        seen = begun
        for index in running:
            fastest[index] = _faster(fastest[index], times, joined.column("speed_mps"), stretches[index])
        total = distances[-1].as_py()
        previous = joined.slice(joined.num_rows - 1)
    # A device stops its last lap a fraction of a second after its last fix.
    for nearest in (one for one in (begin, end) if one is not None):
        for moment in moments:
            if moment not in along and abs(moment - nearest.time_us) <= nearest.spacing_s * 1e6:
                along[moment], spacing[moment] = nearest.distance_m, nearest.spacing_s
    return [
        Measure(
            distance_m=along[stretch.end_us] - along[stretch.start_us]
            if stretch.start_us in along and stretch.end_us in along
            else None,
            max_speed_mps=fastest[index],
            spacing_s=max(
                (spacing[moment] for moment in (stretch.start_us, stretch.end_us) if moment in spacing),
                default=None,
            ),
        )
        for index, stretch in enumerate(stretches)
    ]


def _joined(previous: pa.RecordBatch | None, batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch if previous is None else pa.concat_batches([previous, batch])


def _along(batch: pa.RecordBatch, total: float) -> pa.Array:
    """Distance from the track's first fix to each fix of the batch: no step to or from a spike, none into a new
    segment."""
    steps = step_lengths_m(batch.column("latitude_deg"), batch.column("longitude_deg"))
    flags = batch.column("flags")
    if pc.max(flags).as_py():
        spike, start = Flag.POSITION_SPIKE.of(flags), Flag.SEGMENT_START.of(flags)
        skipped = pc.or_(pc.or_(spike, start).slice(1), spike.slice(0, len(steps)))
        steps = pc.if_else(skipped, 0.0, steps)
    return pc.cumulative_sum(pa.concat_arrays([pa.array([total]), steps]))


def _at(times: pa.Array, distances: pa.Array, moment: int) -> tuple[float, float]:
    """Distance at a moment, linear between the fixes around it, and the seconds between those."""
    after = int(pc.search_sorted(times, pa.scalar(moment, pa.int64())).as_py())
    before = max(after - 1, 0) if times[after].as_py() != moment else after
    begin_us, end_us = times[before].as_py(), times[after].as_py()
    begin_m, end_m = distances[before].as_py(), distances[after].as_py()
    share = (moment - begin_us) / (end_us - begin_us) if end_us > begin_us else 0.0
    neighbour = times[min(after + 1, len(times) - 1)].as_py() if before == after else end_us
    if neighbour == begin_us and before > 0:
        begin_us = times[before - 1].as_py()
    return begin_m + share * (end_m - begin_m), (neighbour - begin_us) / 1e6


def _faster(known: float | None, times: pa.Array, speeds: pa.Array, stretch: Stretch) -> float | None:
    begin = pc.search_sorted(times, pa.scalar(stretch.start_us, pa.int64())).as_py()
    end = pc.search_sorted(times, pa.scalar(stretch.end_us, pa.int64()), side="right").as_py()
    found = pc.max(speeds.slice(begin, end - begin)).as_py()
    return found if known is None else known if found is None else max(known, found)

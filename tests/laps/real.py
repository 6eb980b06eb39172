"""Laps that real recordings bring, beside what the track shows at the same places; for the tests' table."""

import gzip
import io
import itertools
import math
import zipfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from telemetry import recording
from telemetry.formats.fit_messages import FitStream
from telemetry.formats.fit_profile import LAP
from telemetry.formats.reader import Origin
from telemetry.laps.circuit import line_at
from telemetry.laps.crossings import LEAST_LAP_S, Line, find_crossings
from telemetry.laps.detection import detect
from telemetry.laps.found import metadata_of
from telemetry.laps.lap import COVERAGE, GivenLap
from telemetry.laps.motion import COLUMNS, MOVING_MPS, Frame, Motion, interpolate, motion_of
from telemetry.laps.passage import measure_passages
from tests import real_recordings

FILES = real_recordings.FOLDER / "files"
CERTAIN = 3.0 / COVERAGE
"""Of many laps each lies within three standard deviations, not within `COVERAGE` of them."""
_NO_PLACE = 0x7FFFFFFF


@dataclass(frozen=True)
class Real:
    """A recording read: what it says of itself, and its track; None with fewer than three fixes."""

    metadata: dict[str, Any]
    motion: Motion | None
    path: Path

    @property
    def batches(self) -> list[pa.RecordBatch]:
        """The track as `find_laps` takes it."""
        with pq.ParquetFile(self.path) as parquet:
            return list(parquet.iter_batches(columns=list(COLUMNS)))


def read(name: str, directory: Path) -> Real:
    """Reads one of the real recordings."""
    target = directory / name.replace("/", "_")
    target.mkdir(exist_ok=True)
    with (FILES / name).open("rb") as source:
        recording.canonicalise(source, Origin(Path(name).name), directory=target)
    path = target / "gnss_pvt.parquet"
    with pq.ParquetFile(path) as parquet:
        metadata = metadata_of(parquet.metadata.metadata, recording.METADATA_KEY)
        motion = motion_of(parquet.iter_batches(columns=list(COLUMNS)))
    return Real(metadata, motion, path)


@dataclass(frozen=True)
class End:
    """An end of a file's lap beside the nearest passage of the line through it.

    Attributes
    ----------
    apart_s : passage less the file's time; None where the line is not passed.
    limit_s : how far the two may be apart.
    why_not : why nobody can pass there; empty where the line must be passed.
    """

    apart_s: float | None
    limit_s: float
    why_not: str


@dataclass(frozen=True)
class Compared:
    """A lap of a file beside the passages at its ends.

    Attributes
    ----------
    timed_s, timed_limit_s : the lap that detection finds at one line through both ends, and how far it may be from the
        file's; None where there is no such lap, for the reason `why_not`.
    """

    file_s: float
    ends: tuple[End, End]
    timed_s: float | None
    timed_limit_s: float
    why_not: str


def seconds(motion: Motion, moment: datetime) -> float:
    """Seconds from the track's first fix."""
    return moment.timestamp() - motion.start_us / 1e6


def compare(motion: Motion, lap: GivenLap) -> Compared:
    """Compares a lap with the track, at lines across it where the track was at the lap's ends."""
    begin_s, end_s = seconds(motion, lap.start_time), seconds(motion, lap.end_time)
    lines = line_where(motion, begin_s), line_where(motion, end_s)
    doubts_m = [_accuracy_m(motion, moment) for moment in (begin_s, end_s)]
    away = lines[0].frame.along_across(*(pa.array([value]) for value in lines[1].frame.place(0.0, 0.0)))
    near = math.hypot(*(one[0].as_py() for one in away)) < lines[0].half_width_m + max(doubts_m)
    on_one_line = near and math.cos(lines[1].frame.course_rad - lines[0].frame.course_rad) > 0.7
    ends = compare_end(motion, begin_s, lines[0]), compare_end(motion, end_s, lines[1])
    timed_s, limit_s = None, ends[0].limit_s + ends[1].limit_s
    why_not = next((end.why_not for end in ends if end.why_not), "")
    if not why_not and not (on_one_line and end_s - begin_s > LEAST_LAP_S):
        why_not = "from one place to another"
    if not why_not:
        # Through the end that the receiver is surer of.
        line = lines[doubts_m[0] > doubts_m[1]]
        laps = detect(motion, line).laps
        passages = sorted({seconds(motion, one) for timed in laps for one in (timed.start_time, timed.end_time)})
        first, last = (min(passages, key=lambda t: abs(t - moment)) for moment in (begin_s, end_s))
        stated = max(one.duration_uncertainty_ms or 0.0 for one in laps) / 1000
        limit_s = sum(step_s(motion, moment) for moment in (begin_s, end_s)) + CERTAIN * stated
        timed_s = last - first
        if max(doubts_m) > line.half_width_m and abs(timed_s - (end_s - begin_s)) > limit_s:
            timed_s, why_not = None, "the receiver is farther off than the line is long"
    return Compared(end_s - begin_s, ends, timed_s, limit_s, why_not)


def compare_end(motion: Motion, given_s: float, line: Line) -> End:
    """The passage of a line nearest to the time that a file gives.

    The limit follows from the rate and the receiver alone. A program stamps an end on one of the fixes around it, or
    between them by a rule of its own: the longest step between those fixes. And the track may be off there: three
    standard deviations of the place, at the speed of passing.
    """
    step = step_s(motion, given_s)
    crossings = find_crossings(motion, line)
    if not crossings:
        return End(None, step, _why_not(motion, given_s))
    passages = measure_passages(motion, line.frame, pa.array([one.time_s for one in crossings]))
    times = passages.time_s.to_pylist()
    nearest = min(range(len(times)), key=lambda index: abs(times[index] - given_s))
    off_m = math.hypot(passages.sigma_m[nearest].as_py(), _accuracy_m(motion, given_s))
    return End(
        times[nearest] - given_s,
        step + 3 * off_m / max(passages.speed_mps[nearest].as_py(), MOVING_MPS),
        _why_not(motion, given_s),
    )


def step_s(motion: Motion, moment_s: float) -> float:
    """The longest time between two neighbours of the fixes around a moment."""
    row = pc.search_sorted(motion.time_s, moment_s).as_py()
    near = motion.time_s.slice(max(row - 2, 0), 4).to_pylist()
    return max((b - a for a, b in itertools.pairwise(near)), default=motion.period_s)


def _why_not(motion: Motion, moment_s: float) -> str:
    step = step_s(motion, moment_s)
    if not step < moment_s < motion.end_s - step:
        return "at an end of the recording"
    if step >= motion.gap_s:
        return "in a pause of the recording"
    row = pc.search_sorted(motion.coarse.time_s, moment_s).as_py()
    slowest = pc.min(motion.coarse.speed_mps.slice(max(row - 3, 0), 6)).as_py()
    return "too slow to pass a line" if slowest < 1.5 * MOVING_MPS else ""


def _accuracy_m(motion: Motion, moment_s: float) -> float:
    """What the receiver states around a moment, along one axis; 0 where it states nothing."""
    if motion.accuracy_m is None:
        return 0.0
    row = pc.search_sorted(motion.time_s, moment_s).as_py()
    worst: float = pc.max(motion.accuracy_m.slice(max(row - 2, 0), 4)).as_py()
    return worst / math.sqrt(2)


def line_where(motion: Motion, moment_s: float) -> Line:
    """A line across the track where it was at a moment."""
    times = motion.coarse.time_s.to_pylist()
    line = line_at(motion, min(range(len(times)), key=lambda row: abs(times[row] - moment_s)))
    moment = pa.array([moment_s])
    latitude, longitude = (
        interpolate(motion.time_s, values, moment)[0].as_py() for values in (motion.latitude_deg, motion.longitude_deg)
    )
    return Line(Frame(latitude, longitude, line.frame.course_rad), line.half_width_m)


def own_places(name: str) -> list[tuple[float, float] | None]:
    """The places where the laps of a FIT file end by its lap messages, in degrees."""
    data = (FILES / name).read_bytes()
    if name.endswith(".gz"):
        data = gzip.decompress(data)
    elif name.endswith(".zip"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            data = archive.read(archive.namelist()[0])
    places: list[tuple[float, float] | None] = []
    for run in FitStream(io.BytesIO(data)).runs():
        if run.definition.number != LAP:
            continue
        column = {field.number: field.column for field in run.definition.fields if field.developer is None}
        for row in run.rows:
            ends = [row[column[number]] if number in column else None for number in (5, 6)]
            degrees = [end * 180 / 2**31 for end in ends if isinstance(end, int) and end != _NO_PLACE]
            places.append((degrees[0], degrees[1]) if len(degrees) == 2 else None)
    return places


def compare_place(motion: Motion, given_s: float, place: tuple[float, float]) -> End:
    """The passage of a line through a place of the file's own, across the track as it goes at the time given."""
    course_rad = line_where(motion, given_s).frame.course_rad
    return compare_end(motion, given_s, Line(Frame(*place, course_rad), 25.0))

"""Laps of real recordings that bring laps or lines of their own, beside what the track alone says: a table.

The recordings lie beside the project, where they are there at all.
"""

import sys
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from telemetry import recording
from telemetry.errors import TelemetryError
from telemetry.formats.reader import Origin
from telemetry.laps.circuit import line_at
from telemetry.laps.crossings import Line, lap_crossings
from telemetry.laps.detection import detect
from telemetry.laps.found import find_laps, given_laps, lines_of_file, metadata_of
from telemetry.laps.lap import GivenLap, LapKind, LapSource
from telemetry.laps.motion import COLUMNS, Motion, motion_of

FILES = Path(__file__).resolve().parents[3] / "shared/realdata/files"
pytestmark = pytest.mark.skipif(
    not FILES.is_dir(), reason=f"no real recordings in {FILES.parent.name} beside the project"
)


@dataclass(frozen=True)
class Real:
    metadata: dict[str, Any]
    motion: Motion
    path: Path


@pytest.fixture(scope="module")
def directory() -> Any:
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


def read(name: str, directory: Path) -> Real:
    target = directory / name.replace("/", "_")
    target.mkdir(exist_ok=True)
    with (FILES / name).open("rb") as source:
        recording.canonicalise(source, Origin(Path(name).name), directory=target)
    path = target / "gnss_pvt.parquet"
    with pq.ParquetFile(path) as parquet:
        metadata = metadata_of(parquet.metadata.metadata, recording.METADATA_KEY)
        motion = motion_of(parquet.iter_batches(columns=list(COLUMNS)))
    if motion is None:
        pytest.skip(f"{name}: fewer than three fixes")
    return Real(metadata, motion, path)


def seconds(motion: Motion, moment: datetime) -> float:
    return moment.timestamp() - motion.start_us / 1e6


def line_where(motion: Motion, moment_s: float) -> Line:
    """A line across the track where it was at a moment."""
    times = motion.coarse.time_s.to_pylist()
    return line_at(motion, min(range(len(times)), key=lambda row: abs(times[row] - moment_s)))


def say(text: str) -> None:
    sys.stdout.write(text + "\n")


CASES = {
    # File, its laps that were driven from line to line, the most that two ends may differ from the file's.
    "csv/trackaddict-cli__STC_log.csv": (2, 3),
    "csv/racechrono-lap-analyzer__session_20251231_111318_tianma_lap9_v3.csv": (9,),
}


@pytest.mark.parametrize("name", CASES)
def test_laps_at_the_files_own_line_agree_to_the_rates_limit(name: str, directory: Path) -> None:
    if not (FILES / name).exists():
        pytest.skip(f"{name} is not among the real recordings")
    real = read(name, directory)
    given = {lap.number: lap for lap in given_laps(real.metadata)}
    period = real.motion.period_s
    say(f"\n{name}, {1 / period:.1f} Hz")
    say(f"  {'lap':>4}{'file s':>10}{'track s':>10}{'apart s':>9}{'stated s':>10}")
    for number in CASES[name]:
        lap: GivenLap = given[number]
        begin, end = seconds(real.motion, lap.start_time), seconds(real.motion, lap.end_time)
        line = line_where(real.motion, begin)
        found = detect(real.motion, line)
        near = [one.time_s for one in lap_crossings(real.motion, line)]
        # A file that holds one lap only begins and ends on the line: its ends are all there is.
        starts = min((abs(t - begin) for t in near), default=begin)
        match = [
            one
            for one in found.laps
            if one.kind is LapKind.TIMED and abs(seconds(real.motion, one.start_time) - begin) < 3 * max(period, 0.5)
        ]
        if not match:
            say(f"  {number:>4}{end - begin:>10.3f}{'one pass':>10}{starts:>9.3f}")
            assert starts <= 2 * max(period, 0.5) or begin < 1
            continue
        apart = match[0].duration_ms / 1000 - (end - begin)
        stated = (match[0].duration_uncertainty_ms or 0) / 1000
        say(f"  {number:>4}{end - begin:>10.3f}{match[0].duration_ms / 1000:>10.3f}{apart:>9.3f}{stated:>10.3f}")
        # The file's ends are fixes: each up to a period off; a phone's places, seconds old, add theirs.
        assert abs(apart) <= 2 * period + 2 * stated


def test_the_line_of_a_vbo_gives_the_laps_that_the_track_shows(directory: Path) -> None:
    name = "vbo/dovesdataviewer__vbox-modena.vbo"
    if not (FILES / name).exists():
        pytest.skip(f"{name} is not among the real recordings")
    real = read(name, directory)
    lines = lines_of_file(real.metadata)
    assert lines is not None
    with pq.ParquetFile(real.path) as parquet:
        at_line = find_laps(
            real.metadata, lambda: parquet.iter_batches(columns=list(COLUMNS)), parquet.metadata.num_rows
        )
    by_file = [lap for lap in at_line.laps if lap.kind is LapKind.TIMED]
    by_track = [lap for lap in detect(real.motion).laps if lap.kind is LapKind.TIMED]
    say(f"\n{name}, {1 / real.motion.period_s:.1f} Hz: s at the file's line, s at a line found")
    assert len(by_file) >= 20
    assert abs(len(by_file) - len(by_track)) <= 1
    for a in by_file:
        b = min(by_track, key=lambda lap: abs(lap.start_time - a.start_time))
        say(f"  {a.lap_number:>4}{a.duration_ms / 1000:>10.3f}{b.duration_ms / 1000:>10.3f}")
        # Another place of the circuit divides the session otherwise: a lap differs by what the driver varies.
        assert a.duration_ms == pytest.approx(b.duration_ms, rel=0.03)
        assert a.source is LapSource.DETECTED
    total_a = (by_file[-1].end_time - by_file[0].start_time).total_seconds() / len(by_file)
    total_b = (by_track[-1].end_time - by_track[0].start_time).total_seconds() / len(by_track)
    assert total_a == pytest.approx(total_b, rel=0.003)


WATCHES = sorted(path.relative_to(FILES).as_posix() for kind in ("tcx/*.tcx", "fit/*.fit") for path in FILES.glob(kind))


@pytest.mark.parametrize("name", WATCHES)
def test_laps_of_watches_are_taken_as_they_are(name: str, directory: Path) -> None:
    try:
        real = read(name, directory)
    except TelemetryError as error:
        pytest.skip(f"{name}: {error.code}")
    given = sorted(
        (lap for lap in given_laps(real.metadata) if lap.end_time > lap.start_time), key=lambda lap: lap.start_time
    )
    with pq.ParquetFile(real.path) as parquet:
        found = find_laps(real.metadata, lambda: parquet.iter_batches(columns=list(COLUMNS)), parquet.metadata.num_rows)
    if given:
        assert [(lap.start_time, lap.end_time) for lap in found.laps] == [(g.start_time, g.end_time) for g in given]
        assert {lap.source for lap in found.laps} == {LapSource.FILE}

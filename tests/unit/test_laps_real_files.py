"""Laps of real recordings that bring laps or lines of their own, beside what the track alone shows: a table."""

import itertools
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from telemetry.laps.detection import detect
from telemetry.laps.found import find_laps, given_laps, lines_of_file
from telemetry.laps.lap import Lap, LapKind, LapSource, best_lap
from tests import real_recordings
from tests.laps.real import (
    CERTAIN,
    FILES,
    Compared,
    End,
    Real,
    compare,
    compare_place,
    own_places,
    read,
    seconds,
    step_s,
)

pytestmark = real_recordings.needed
WITHOUT_POSITIONS = {
    "fit/fitdecode__Settings2.fit",
    "fit/fitdecode__compressed-speed-distance.fit",
    "fit/fitdecode__garmin-fr935-cr.fit",
    "fit/goldencheetah__GarminSwimExample.fit",
    "tcx/goldencheetah__argmac_Garmin_FR910XT_2015_01_31_10_17_02.tcx",
}
NAMES = sorted(
    name
    for pattern in (
        "csv/trackaddict*.csv",
        "csv/racechrono*.csv",
        "csv/*aim.csv",
        "container/*.fit.gz",
        "container/goldencheetah__*.zip",
        "fit/*.fit",
        "tcx/*.tcx",
    )
    for path in real_recordings.find(f"files/{pattern}")
    if (name := path.relative_to(FILES).as_posix()) not in WITHOUT_POSITIONS
)
ON_A_LINE = {
    # Programs that time laps at a line: how many of the file's laps have both ends where a line can be passed.
    "csv/trackaddict-cli__STC_log.csv": 3,
    "csv/racechrono-lap-analyzer__session_20251231_111318_tianma_lap9_v3.csv": 1,
}
MODENA = "vbo/dovesdataviewer__vbox-modena.vbo"


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    name: str
    rate_hz: float
    laps: list[Compared]
    places: list[End]

    @property
    def ends(self) -> list[End]:
        """The ends that somebody can have passed."""
        return [end for lap in self.laps for end in lap.ends if not end.why_not]

    @property
    def timed(self) -> list[tuple[float, float]]:
        """How far the laps of one line are apart from the file's, and may be."""
        return [(abs(lap.timed_s - lap.file_s), lap.timed_limit_s) for lap in self.laps if lap.timed_s is not None]


def say(text: str) -> None:
    sys.stdout.write(text + "\n")


@pytest.fixture(scope="module")
def rows(directory: Path) -> dict[str, Row]:
    table = {}
    say("\nLaps of files beside passages of lines through their ends; s")
    say(
        f"  {'file':<50}{'Hz':>6}{'ends':>6}{'apart':>8}{'limit':>8}{'laps':>6}{'apart':>8}{'limit':>8}"
        f"{'own place':>11}  not compared"
    )
    for name in NAMES:
        row = _row(name, read(name, directory))
        if row is None:
            say(f"  {_short(name):<50}{'':>61}  brings no laps for its fixes")
            continue
        table[name] = row
        say(_told(row))
    return table


def _row(name: str, real: Real) -> Row | None:
    given = [lap for lap in given_laps(real.metadata) if lap.end_time > lap.start_time]
    motion = real.motion
    if motion is None or not given:
        return None
    places = own_places(name) if name.endswith((".fit", ".gz", ".zip")) else []
    compared = [
        compare_place(motion, seconds(motion, lap.end_time), place)
        for lap, place in zip(given_laps(real.metadata), places, strict=False)
        if place is not None
    ]
    laps = [compare(motion, lap) for lap in given]
    return Row(name, 1 / motion.period_s, laps, [end for end in compared if not end.why_not])


def _short(name: str) -> str:
    return name if len(name) < 50 else f"{name[:30]}…{name[-18:]}"


def _told(row: Row) -> str:
    apart, limit = max(((abs(end.apart_s or 0), end.limit_s) for end in row.ends), default=(0.0, 0.0))
    lap, lap_limit = max(row.timed, default=(0.0, 0.0))
    places = [abs(end.apart_s) for end in row.places if end.apart_s is not None]
    why_not = Counter(lap.why_not for lap in row.laps if lap.why_not)
    return (
        f"  {_short(row.name):<50}{row.rate_hz:>6.2f}{len(row.ends):>6}{apart:>8.2f}{limit:>8.2f}{len(row.timed):>6}"
        f"{lap:>8.3f}{lap_limit:>8.3f}{statistics.median(places) if places else 0:>11.2f}  "
        + ", ".join(f"{count} {why}" for why, count in why_not.items())
    )


def test_a_line_through_each_end_of_a_files_lap_is_passed_when_the_file_says(rows: dict[str, Row]) -> None:
    ends = [(row.name, end) for row in rows.values() for end in row.ends]
    assert len(ends) >= 40
    for name, end in ends:
        assert end.apart_s is not None, name
        assert abs(end.apart_s) <= end.limit_s, (name, end)


def test_laps_timed_at_a_line_are_detected_as_long_as_the_file_says(rows: dict[str, Row]) -> None:
    for name, count in ON_A_LINE.items():
        assert len(rows[name].timed) == count
    for row in rows.values():
        for apart, limit in row.timed:
            assert apart <= limit, row.name


def test_places_that_lap_messages_give_are_passed_when_laps_end(rows: dict[str, Row]) -> None:
    # A device notes the place of its last fix of a whole second: up to one step before, and the limit of its own.
    seen = [(row, [end for end in row.places if end.apart_s is not None]) for row in rows.values()]
    seen = [(row, ends) for row, ends in seen if len(ends) >= 3]
    assert len(seen) >= 3
    for row, ends in seen:
        apart = statistics.median(abs(end.apart_s or 0.0) for end in ends)
        assert apart <= statistics.median(end.limit_s for end in ends) + 1 / row.rate_hz, row.name


@pytest.mark.parametrize("name", NAMES or ["none"])
def test_laps_that_a_file_brings_are_taken_as_they_are(name: str, directory: Path) -> None:
    real = read(name, directory)
    given = sorted(
        (lap for lap in given_laps(real.metadata) if lap.end_time > lap.start_time),
        key=lambda lap: (lap.start_time, lap.end_time),
    )
    batches = real.batches
    found = find_laps(real.metadata, lambda: batches, sum(batch.num_rows for batch in batches))
    sources = {lap.source for lap in found.laps}
    if given:
        assert [(lap.start_time, lap.end_time) for lap in found.laps] == [(g.start_time, g.end_time) for g in given]
        assert sources == {LapSource.FILE}
    else:
        assert sources <= {LapSource.DETECTED}


def test_an_excerpt_that_ends_before_its_first_beacon_has_no_laps(directory: Path) -> None:
    name = "csv/dovesdataviewer__racestudio3-aim.csv"
    if name not in NAMES:
        pytest.skip(f"{name} is not among the real recordings")
    real = read(name, directory)
    assert real.motion is not None
    # The first beacon stands at 62.774 s.
    assert real.motion.end_s < 62
    assert given_laps(real.metadata) == []
    assert detect(real.motion).laps == ()


def test_places_repeated_between_fixes_are_no_fixes(directory: Path) -> None:
    name = "csv/trackaddict-cli__STC_log.csv"
    if name not in NAMES:
        pytest.skip(f"{name} is not among the real recordings")
    motion = read(name, directory).motion
    assert motion is not None
    # A phone's receiver measures once a second; the file has a row every 50 ms, and while the car moves each but the
    # rows of `GPS_Update` repeats the place of up to a second ago.
    assert motion.speed_mps is not None
    fixes = list(zip(motion.time_s.to_pylist(), motion.speed_mps.to_pylist(), strict=True))
    steps = [b - a for (a, _), (b, speed) in itertools.pairwise(fixes) if 160 < b < 490 and speed > 1]
    assert len(steps) > 250
    assert statistics.median(steps) == pytest.approx(1.0, abs=0.02)
    # Now and then the receiver measured twice.
    assert sum(step < 0.8 for step in steps) <= len(steps) / 50


def test_the_line_of_a_vbo_gives_the_laps_that_its_fixes_show(directory: Path) -> None:
    if not (FILES / MODENA).exists():
        pytest.skip(f"{MODENA} is not among the real recordings")
    real = read(MODENA, directory)
    lines = lines_of_file(real.metadata)
    motion = real.motion
    assert lines is not None
    assert motion is not None
    batches = real.batches
    at_line = find_laps(real.metadata, lambda: batches, sum(batch.num_rows for batch in batches))
    by_file = [lap for lap in at_line.laps if lap.kind is LapKind.TIMED]
    by_track = [lap for lap in detect(motion).laps if lap.kind is LapKind.TIMED]
    passes = _passes_of_the_gate()
    say(
        f"\n{MODENA}, {1 / motion.period_s:.1f} Hz: at the file's line, between the two fixes there, at a line found; s"
    )
    assert len(by_file) >= 20
    assert {lap.source for lap in by_file} == {LapSource.DETECTED}
    assert abs(len(by_file) - len(by_track)) <= 1
    for a in by_file:
        b = min(by_track, key=lambda lap: abs(lap.start_time - a.start_time))
        start_s = a.start_time.timestamp() % 86_400
        index = min(range(len(passes) - 1), key=lambda k: abs(passes[k] - start_s))
        chord_s = passes[index + 1] - passes[index]
        say(f"  {a.lap_number:>4}{a.duration_ms / 1000:>10.3f}{chord_s:>10.3f}{b.duration_ms / 1000:>10.3f}")
        # The same two fixes lie around the line, whoever looks for them.
        limit_s = CERTAIN * (a.duration_uncertainty_ms or 0.0) / 1000
        assert abs(passes[index] - start_s) <= motion.period_s
        assert abs(a.duration_ms / 1000 - chord_s) <= limit_s + 0.01
        # Another place of the circuit divides the session otherwise: a lap differs by what the driver varies.
        assert abs(b.duration_ms - a.duration_ms) <= _spread_ms(by_file)
    total_a = (by_file[-1].end_time - by_file[0].start_time).total_seconds() / len(by_file)
    total_b = (by_track[-1].end_time - by_track[0].start_time).total_seconds() / len(by_track)
    assert abs(total_a - total_b) * len(by_file) <= _spread_ms(by_file) / 1000
    step = step_s(motion, seconds(motion, by_file[0].start_time))
    assert step == pytest.approx(0.1, abs=0.02)


def test_the_sectors_of_a_vbo_divide_all_laps_at_one_place(directory: Path) -> None:
    # Its line 1 is passed up to three times at a hairpin, its line 2 in one lap of twenty.
    if not (FILES / MODENA).exists():
        pytest.skip(f"{MODENA} is not among the real recordings")
    laps = _found(read(MODENA, directory))
    timed = [lap for lap in laps if lap.kind is LapKind.TIMED]
    assert {len(lap.sectors_ms) for lap in timed} == {2}
    driven = [lap.sectors_ms for lap in timed if None not in lap.sectors_ms]
    assert len(driven) >= 0.85 * len(timed)
    for index in range(2):
        times = [sectors[index] or 0.0 for sectors in driven]
        say(f"{MODENA}, sector {index + 1}: {min(times) / 1000:.3f} to {max(times) / 1000:.3f} s in {len(times)} laps")
        assert max(times) - min(times) <= _spread_ms(timed)


def test_no_remnant_is_the_best_lap_of_a_file(directory: Path) -> None:
    say("\nThe best lap of each file that brings laps, s")
    named = 0
    for name in NAMES:
        laps = _found(read(name, directory))
        timed = [lap for lap in laps if lap.kind is LapKind.TIMED]
        if not timed or timed[0].source is not LapSource.FILE:
            continue
        best = best_lap(laps)
        seconds_each = statistics.median(lap.duration_ms for lap in timed) / 1000
        told = "none" if best is None else f"{best.duration_ms / 1000:.3f} (lap {best.lap_number})"
        say(f"  {_short(name):<50}{len(laps):>4} laps, in the middle {seconds_each:>9.3f}, best {told}")
        if best is None or len(timed) == 1:
            continue
        named += 1
        alike = [lap for lap in timed if lap.distance_m and 1 / 1.15 <= lap.distance_m / (best.distance_m or 1) <= 1.15]
        assert 2 * len(alike) >= len(timed)
        assert best.duration_ms == min(lap.duration_ms for lap in alike)
    assert named >= 3


def _found(real: Real) -> tuple[Lap, ...]:
    batches = real.batches
    return find_laps(real.metadata, lambda: batches, sum(batch.num_rows for batch in batches)).laps


def _spread_ms(laps: list[Lap]) -> float:
    return max(lap.duration_ms for lap in laps) - min(lap.duration_ms for lap in laps)


def _passes_of_the_gate() -> list[float]:
    """Seconds of the day at which the chord between two fixes meets the gate, from the file's own text: minutes of arc,
    longitude positive west, times HHMMSS.ss."""
    text = (FILES / MODENA).read_bytes().decode("latin-1")
    start = next(line for line in text.splitlines() if line.startswith("Start")).split()[1:5]
    x1, y1, x2, y2 = map(float, start)
    fixes = []
    for line in text.split("[data]")[1].splitlines():
        cells = line.split()
        if len(cells) > 4:
            clock = float(cells[1])
            day_s = clock // 10_000 * 3600 + clock // 100 % 100 * 60 + clock % 100
            fixes.append((day_s, float(cells[3]), float(cells[2])))

    def side(x: float, y: float) -> float:
        return (x2 - x1) * (y - y1) - (y2 - y1) * (x - x1)

    passes: list[float] = []
    for (t0, xa, ya), (t1, xb, yb) in itertools.pairwise(fixes):
        a, b = side(xa, ya), side(xb, yb)
        if a * b >= 0:
            continue
        share = a / (a - b)
        x, y = xa + share * (xb - xa), ya + share * (yb - ya)
        along = ((x - x1) * (x2 - x1) + (y - y1) * (y2 - y1)) / ((x2 - x1) ** 2 + (y2 - y1) ** 2)
        if -0.5 <= along <= 1.5 and (not passes or t0 - passes[-1] > 10):
            passes.append(t0 + share * (t1 - t0))
    return passes

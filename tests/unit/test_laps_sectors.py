"""Sector times of laps that pass a line more than once, elsewhere, or not at all."""

import pytest

from telemetry.laps.crossings import Line
from telemetry.laps.detection import detect
from telemetry.laps.found import find_laps, gate_of
from telemetry.laps.lap import Lap, LapKind
from telemetry.laps.motion import motion_of
from tests.laps.paths import Drive, Path, line_across, oval

SPEED_MPS = 20.0
START = line_across(0.0, 100.0, 180.0)
AT_THE_BEND = line_across(290.0, 12.0, 90.0, 25.0)
"""From the start/finish line 390 m, and 474 m where the track comes back to it."""


def circuit(reach_m: float) -> Path:
    """A circuit of 1,708 m with two hairpins after another: to `reach_m` east, 30 m back, and on."""
    return Path.through(
        [
            (0.0, 150.0),
            (0.0, 0.0),
            (reach_m, 0.0),
            (reach_m, 12.0),
            (reach_m - 30, 12.0),
            (reach_m - 30, 24.0),
            (600.0, 24.0),
            (600.0, 200.0),
            (0.0, 200.0),
            (0.0, 150.0),
        ]
    )


OVER_AND_BACK, SHORT_OF_IT = circuit(300.0), circuit(280.0)


def driven(*paths: Path, lines: tuple[Line, ...] = (AT_THE_BEND,), widen: bool = False) -> list[Lap]:
    drive = Drive(10)
    for path in (*paths, paths[0]):
        drive.along(path, 0.0, path.length_m, SPEED_MPS)
    found = detect(motion_of([drive.recorded(white_m=0.2)]), START, lines, may_widen_sectors=widen)
    return [lap for lap in found.laps if lap.kind is LapKind.TIMED]


def test_all_laps_give_the_passage_that_most_have() -> None:
    laps = driven(*(OVER_AND_BACK, SHORT_OF_IT, OVER_AND_BACK, OVER_AND_BACK, SHORT_OF_IT))
    assert len(laps) == 5
    for lap in laps:
        assert lap.sectors_ms == pytest.approx((474 / 20 * 1000, lap.duration_ms - 474 / 20 * 1000), abs=60)


def test_where_all_laps_have_both_passages_the_first_counts() -> None:
    laps = driven(*[OVER_AND_BACK] * 4)
    assert [lap.sectors_ms[0] for lap in laps] == [pytest.approx(390 / 20 * 1000, abs=60)] * 4


def test_a_lap_that_passes_elsewhere_only_has_no_time_there() -> None:
    # Only the way back to the line is within its ends; one lap passes it 84 m further on.
    before = line_across(290.0, 0.0, 90.0, 2.0)
    paths = (OVER_AND_BACK, OVER_AND_BACK, SHORT_OF_IT, OVER_AND_BACK)
    laps = driven(*paths, lines=(before,))
    assert [lap.sectors_ms == (None, None) for lap in laps] == [False, False, True, False]


@pytest.mark.parametrize(("passed", "offered"), [(4, True), (2, True), (1, False), (0, False)])
def test_a_line_that_most_laps_miss_divides_nothing(passed: int, *, offered: bool) -> None:
    before = line_across(290.0, 0.0, 90.0, 2.0)
    last = line_across(600.0, 100.0, 0.0)
    paths = [OVER_AND_BACK] * passed + [SHORT_OF_IT] * (4 - passed)
    laps = driven(*paths, lines=(last, before))
    assert {len(lap.sectors_ms) for lap in laps} == {3 if offered else 2}
    for number, lap in enumerate(laps):
        assert lap.sectors_ms[-1] is not None
        if offered:
            assert (lap.sectors_ms[0] is not None) == (number < passed)


def test_a_line_beside_the_track_is_taken_longer_only_where_it_may_and_more_laps_pass_it() -> None:
    beside = line_across(600.0 + 18.0, 100.0, 0.0)
    assert {lap.sectors_ms for lap in driven(*[OVER_AND_BACK] * 3, lines=(beside,))} == {()}
    laps = driven(*[OVER_AND_BACK] * 3, lines=(beside,), widen=True)
    assert {len(lap.sectors_ms) for lap in laps} == {2}
    # Twice as long, this one would reach the hairpins' other passages: it stays as it is.
    before = line_across(290.0, -8.0, 90.0, 10.0)
    (narrow, wide) = (driven(*[OVER_AND_BACK] * 3, lines=(before,), widen=widen) for widen in (False, True))
    assert [lap.sectors_ms for lap in narrow] == [lap.sectors_ms for lap in wide]


def test_sector_lines_of_a_file_are_longer_where_its_start_line_has_to_be() -> None:
    path = oval(1200)
    track = Drive(10).along(path, 700, 1200 * 5 + 900, 30.0).recorded(white_m=0.3)
    x, y = path.at(600)
    start, start_aside = line_across(150.0, 0.0, 90.0), line_across(150.0, -20.0, 90.0)
    sector_aside = line_across(x + 10.0, y + 17.3, 300.0)
    for first, sectors in ((start, 0), (start_aside, 2)):
        gates = [gate_of(line) for line in (first, sector_aside)]
        found = find_laps({"gates": gates}, lambda: [track], track.num_rows)
        assert found.line is not None
        assert (found.line.half_width_m > 20) == (first is start_aside)
        timed = [lap for lap in found.laps if lap.kind is LapKind.TIMED]
        assert len(timed) >= 4
        assert {len(lap.sectors_ms) for lap in timed} == {sectors}


def test_a_slow_lap_keeps_its_sectors() -> None:
    drive = Drive(10)
    for speed in (20.0, 5.0, 20.0, 20.0):
        drive.along(OVER_AND_BACK, 0.0, OVER_AND_BACK.length_m, speed)
    drive.along(OVER_AND_BACK, 0.0, 200.0, 20.0)
    line = line_across(600.0, 100.0, 0.0)
    found = detect(motion_of([drive.recorded(white_m=0.2)]), START, (line,))
    timed = [lap for lap in found.laps if lap.kind is LapKind.TIMED]
    assert len(timed) == 4
    assert all(ms is not None for lap in timed for ms in lap.sectors_ms)

"""Which passages of a line end a lap, which line counts, and what becomes of a lap that went elsewhere."""

import math

import pyarrow as pa
import pytest

from telemetry.laps.crossings import LEAST_LAP_S, Line
from telemetry.laps.detection import Detection, detect
from telemetry.laps.found import TrackLaps, find_laps, gate_of
from telemetry.laps.lap import Lap, LapKind
from telemetry.laps.motion import Frame, motion_of
from tests.laps.paths import HOME, Drive, Path, line_across, oval

OUT, TIMED, IN = LapKind.OUT, LapKind.TIMED, LapKind.IN
LENGTH_M, SPEED_MPS = 1200.0, 30.0
LAP_MS = LENGTH_M / SPEED_MPS * 1000
PATH = oval(LENGTH_M)
LINE = line_across(150.0, 0.0, 90.0)
"""Across the first straight, which goes from (0, 0) to (360, 0)."""


def laps_of(drive: Drive, line: Line | None = LINE) -> Detection:
    return detect(motion_of([drive.recorded(white_m=0.1)]), line)


def kinds(found: Detection) -> list[LapKind]:
    return [lap.kind for lap in found.laps]


def timed_ms(laps: tuple[Lap, ...]) -> list[float]:
    return [lap.duration_ms for lap in laps if lap.kind is TIMED]


def steady(laps: float = 4.5, begin_m: float = 700.0) -> Drive:
    return Drive(10).along(PATH, begin_m, begin_m + laps * LENGTH_M, SPEED_MPS)


@pytest.mark.parametrize("latitude", [-17.0, 0.0, 65.0])
@pytest.mark.parametrize("shift_m", [-8.0, 0.0, 8.0])
def test_a_line_between_two_points_may_lie_across_the_antimeridian(latitude: float, shift_m: float) -> None:
    across = Line(Frame(latitude, 180.0, 0.0), 12.0)
    latitude_middle, longitude_middle = across.frame.place(0.0, shift_m)
    ends = Line(Frame(latitude_middle, longitude_middle, 0.0), 12.0).ends()
    assert ends[1] > 179 and ends[3] < -179
    for line in (Line.between(*ends), Line.between(*ends[2:], *ends[:2])):
        assert line.half_width_m == pytest.approx(12.0, rel=1e-6)
        assert abs(math.sin(line.frame.course_rad)) == pytest.approx(0.0, abs=1e-6)
        along, across_m = line.frame.along_across(pa.array([latitude_middle]), pa.array([longitude_middle]))
        assert (along[0].as_py(), across_m[0].as_py()) == (pytest.approx(0, abs=1e-3), pytest.approx(0, abs=1e-3))


def test_laps_at_a_line_between_two_points_across_the_antimeridian() -> None:
    latitude, longitude = HOME.place(0.0, 150.0)
    # So that the line's middle lies on the antimeridian, and the line along the parallel.
    there = Frame(-17.0, 180.0, math.pi / 2)
    track = steady().recorded(white_m=0.1)
    here = Frame(latitude, longitude, 0.0)
    north, east = here.along_across(track.column("latitude_deg"), track.column("longitude_deg"))
    places = [there.place(n, e) for n, e in zip(north.to_pylist(), east.to_pylist(), strict=True)]
    moved = track.set_column(1, "latitude_deg", pa.array([place[0] for place in places]))
    moved = moved.set_column(2, "longitude_deg", pa.array([place[1] for place in places]))
    ends = Line(Frame(-17.0, 180.0, 0.0), 12.0).ends()
    assert ends[1] > 0 > ends[3]
    found = detect(motion_of([moved]), Line.between(*ends))
    assert kinds(found) == [OUT, TIMED, TIMED, TIMED, IN]
    assert timed_ms(found.laps) == pytest.approx([LAP_MS] * 3, abs=20)


def test_a_recording_that_begins_on_the_line_begins_with_a_lap() -> None:
    found = laps_of(steady(laps=2.5, begin_m=150.5))
    assert kinds(found) == [TIMED, TIMED, IN]
    assert timed_ms(found.laps) == pytest.approx([LAP_MS] * 2, abs=40)
    assert kinds(laps_of(steady(laps=2.5, begin_m=160.0))) == [OUT, TIMED, IN], "ten metres behind it"


@pytest.mark.parametrize(("beside_m", "laps"), [(0.0, 3), (4.0, 3), (7.5, 3), (-7.5, 3), (10.5, 0), (-10.5, 0)])
def test_a_line_is_passed_a_little_beyond_its_ends(beside_m: float, laps: int) -> None:
    found = laps_of(steady(), line_across(150.0, beside_m, 90.0, half_width_m=5.0))
    assert len(timed_ms(found.laps)) == laps


@pytest.mark.parametrize(("course_deg", "laps"), [(90.0, 3), (20.0, 3), (160.0, 3), (10.0, 0), (170.0, 0)])
def test_a_line_that_is_passed_almost_along_it_is_none(course_deg: float, laps: int) -> None:
    found = laps_of(steady(), line_across(150.0, 0.0, course_deg))
    assert len(timed_ms(found.laps)) == laps


def test_no_lap_is_shorter_than_eight_seconds() -> None:
    path = oval(390.0)
    found = laps_of(Drive(25).along(path, 200.0, 200.0 + 390.0 * 9, 60.0), line_across(60.0, 0.0, 90.0))
    assert len(timed_ms(found.laps)) >= 3
    assert min(timed_ms(found.laps)) >= LEAST_LAP_S * 1000


def test_of_a_line_passed_slowly_and_again_at_speed_the_passage_at_speed_counts() -> None:
    drive = steady(laps=2.5, begin_m=700.0 - 600.0)
    drive.along(PATH, 100.0 + 600.0, LENGTH_M + 120.0, SPEED_MPS).along(PATH, 120.0, 156.0, 3.0).stand(4)
    drive.along(PATH, 156.0, 120.0, 3.0).stand(4)
    at_speed_s = drive.time_s + 30.0 / SPEED_MPS
    drive.along(PATH, 120.0, 3 * LENGTH_M, SPEED_MPS)
    found = laps_of(drive)
    ends = [(lap.end_time - found.laps[0].start_time).total_seconds() for lap in found.laps]
    assert min(abs(end - at_speed_s) for end in ends) < 0.3
    assert kinds(found) == [OUT, *[TIMED] * 5, IN]


def test_a_way_that_left_the_circuit_is_no_timed_lap() -> None:
    detour = Path.through([(0.0, 0.0), (0.0, -700.0), (360.0, -700.0), (360.0, 0.0)])
    drive = Drive(10).along(PATH, 700.0, 5 * LENGTH_M, SPEED_MPS).along(detour, 0.0, detour.length_m, SPEED_MPS)
    found = laps_of(drive.along(PATH, 360.0, 4.5 * LENGTH_M, SPEED_MPS), None)
    assert len(timed_ms(found.laps)) >= 6
    assert timed_ms(found.laps) == pytest.approx([LAP_MS] * len(timed_ms(found.laps)), abs=100)
    assert kinds(found)[1:-1].count(OUT) == 1


def test_a_drop_out_that_took_far_longer_than_the_way_hides_no_passage() -> None:
    """The chord over it misses the line, which lies in a bend; the vehicle may have been anywhere."""
    length, speed = 1500.0, 25.0
    path = oval(length)
    line = line_across(*path.at(600.0), 0.0)
    drive = Drive(10).along(path, 1000, 3 * length + 475, speed)
    begin = drive.time_s
    drive.along(path, 475, 725, 10.0)
    end = drive.time_s
    drive.along(path, 725, 3 * length + 200, speed)
    whole = laps_of(drive, line)
    assert TIMED in kinds(whole) and kinds(whole).count(IN) == 1
    holed = laps_of(drive.without((begin, end)), line)
    assert kinds(holed).count(IN) == 2
    assert len(timed_ms(holed.laps)) == len(timed_ms(whole.laps)) - 2


def test_a_slow_lap_with_a_short_drop_out_stays_one() -> None:
    length, speed = 3000.0, 25.0
    path = oval(length)
    drive = Drive(10).along(path, 2000, 3 * length + 1000, speed).along(path, 1000, 1500, 10.0)
    begin = drive.time_s
    drive.along(path, 1500, 4 * length + 300, speed)
    found = laps_of(drive.without((begin + 10, begin + 30)), line_across(450.0, 0.0, 90.0))
    assert kinds(found) == [OUT, *[TIMED] * (len(found.laps) - 2), IN]
    assert sorted(timed_ms(found.laps))[-2:] == pytest.approx([120_000, 150_000], abs=300)


def found_at(drive: Drive, line: Line) -> TrackLaps:
    track = drive.recorded(white_m=0.1)
    return find_laps({"gates": [{"name": "start/finish", **gate_of(line)}]}, lambda: [track], track.num_rows)


def test_a_files_line_that_few_laps_pass_gives_way_to_a_circuit_with_many() -> None:
    lane = Path.through([(100.0, 0.0), (110.0, -40.0), (290.0, -40.0), (300.0, 0.0)])
    drive = steady(laps=3.0)
    for _ in range(2):
        drive.along(PATH, 700.0, LENGTH_M + 100.0, SPEED_MPS).along(lane, 0.0, lane.length_m, SPEED_MPS)
        drive.along(PATH, 300.0, 700.0, SPEED_MPS)
    drive.along(PATH, 700.0, 700.0 + 4 * LENGTH_M, SPEED_MPS)
    in_the_lane = line_across(200.0, -40.0, 90.0, 10.0)
    assert len(timed_ms(laps_of(drive, in_the_lane).laps)) == 1
    found = found_at(drive, in_the_lane)
    assert len(timed_ms(found.laps)) >= 6


def test_a_files_line_counts_where_few_laps_were_driven() -> None:
    drive = steady(laps=3.4)
    found = found_at(drive, LINE)
    assert found.line is not None
    assert gate_of(found.line) == pytest.approx(gate_of(LINE), abs=1e-9)
    assert len(timed_ms(found.laps)) == 2

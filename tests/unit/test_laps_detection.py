"""Laps on drawn tracks: every kind of circuit and sport, and everything that must not be taken for a lap."""

import itertools
import math
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry.laps.crossings import Line
from telemetry.laps.detection import Detection, detect
from telemetry.laps.dropouts import gaps_of
from telemetry.laps.lap import Lap, LapKind, LapSource
from telemetry.laps.motion import Frame, motion_of
from telemetry.streams.channels import Flag
from tests.laps.paths import HOME, Drive, Path, curve, eight, line_across, oval
from tests.laps.truth import batch

OUT, TIMED, IN = LapKind.OUT, LapKind.TIMED, LapKind.IN


def laps_of(track: pa.RecordBatch, line: Line | None = None, sectors: tuple[Line, ...] = ()) -> Detection:
    return detect(motion_of([track]), line, sectors)


def timed(detection: Detection) -> list[Lap]:
    return [lap for lap in detection.laps if lap.kind is TIMED]


def durations(detection: Detection) -> list[float]:
    return [lap.duration_ms for lap in timed(detection)]


@pytest.mark.parametrize(
    ("length_m", "speed_mps", "rate_hz", "white_m", "laps"),
    [
        (600, 24.0, 10, 0.3, 12),  # karting, 25 s
        (20_832, 43.0, 10, 0.3, 3),  # Nordschleife, 8 min
        (400, 4.0, 1, 1.0, 10),  # running
        (400, 5.5, 5, 0.5, 8),
        (2_000, 11.0, 1, 1.0, 5),  # cycling
        (1_500, 40.0, 25, 0.3, 6),
        (3_000, 50.0, 1, 0.3, 5),
    ],
)
@pytest.mark.parametrize("speed", [True, False])
def test_every_sport_and_rate(
    length_m: float, speed_mps: float, rate_hz: int, white_m: float, laps: int, *, speed: bool
) -> None:
    path = oval(length_m)
    drive = Drive(rate_hz).along(path, 0.55 * length_m, (laps + 1.85) * length_m, speed_mps)
    track = drive.recorded(white_m=white_m, slow_m=0.5, speed=speed)
    for line in (None, line_across(0.1 * length_m, 0.0, 90.0)):
        found = laps_of(track, line)
        kinds = [lap.kind for lap in found.laps]
        assert kinds[0] is OUT
        assert kinds[-1] is IN
        # A line that is found may lie where one lap more is whole.
        assert set(kinds[1:-1]) == {TIMED}
        assert len(timed(found)) in ((laps, laps + 1) if line is None else (laps,))
        for lap in timed(found):
            assert lap.duration_uncertainty_ms is not None
            error = abs(lap.duration_ms - length_m / speed_mps * 1000)
            assert error <= 2 * lap.duration_uncertainty_ms
            assert lap.duration_uncertainty_ms <= 4000 * (1.0 + white_m) / speed_mps
            assert lap.distance_m == pytest.approx(length_m, rel=0.03)
            assert lap.source is LapSource.DETECTED
    numbers = [lap.lap_number for lap in found.laps]
    assert numbers == list(range(1, len(numbers) + 1))
    assert all(a.end_time == b.start_time for a, b in itertools.pairwise(found.laps))


NOISY = Drive(10).along(oval(1200), 700, 1200 * 7 + 900, 30.0).recorded(white_m=0.3, slow_m=0.5)
LINE = line_across(150.0, 0.0, 90.0)


def moved(
    track: pa.RecordBatch, angle: float, latitude_deg: float, longitude_deg: float
) -> tuple[pa.RecordBatch, Line]:
    """The same drive, turned, at another place of the Earth, and the line with it."""
    north, east = HOME.along_across(track.column("latitude_deg"), track.column("longitude_deg"))
    target = Frame(latitude_deg, longitude_deg, -angle)
    places = [target.place(n, e) for n, e in zip(north.to_pylist(), east.to_pylist(), strict=True)]
    times = track.column("timestamp").cast(pa.int64()).to_pylist()
    speeds = track.column("speed_mps").to_pylist()
    n, e = HOME.along_across(pa.array([LINE.frame.latitude_deg]), pa.array([LINE.frame.longitude_deg]))
    latitude, longitude = target.place(n[0].as_py(), e[0].as_py())
    line = Line(Frame(latitude, longitude, LINE.frame.course_rad - angle), LINE.half_width_m)
    return batch(times, [p[0] for p in places], [p[1] for p in places], speeds), line


def reversed_in_time(track: pa.RecordBatch) -> pa.RecordBatch:
    times = track.column("timestamp").cast(pa.int64()).to_pylist()
    columns = [track.column(name).to_pylist()[::-1] for name in ("latitude_deg", "longitude_deg", "speed_mps")]
    return batch([times[0] + times[-1] - t for t in reversed(times)], *columns)


EXPECTED = durations(laps_of(NOISY, LINE))


@settings(max_examples=12, deadline=None)
@given(
    angle=st.floats(-math.pi, math.pi),
    latitude=st.floats(-75, 75),
    longitude=st.one_of(st.floats(-180, 180), st.floats(179.99, 180), st.floats(-180, -179.99)),
)
def test_rotation_and_translation_change_no_lap_time(angle: float, latitude: float, longitude: float) -> None:
    track, line = moved(NOISY, angle, latitude, longitude)
    # The plane of the Earth is bent, and its scale east to west changes by ppm over the circuit.
    assert durations(laps_of(track, line)) == pytest.approx(EXPECTED, abs=0.2)
    found = timed(laps_of(track))
    assert len(found) >= len(EXPECTED)
    for lap in found:
        assert lap.duration_ms == pytest.approx(40_000, abs=150)


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(1, 10_000), speed=st.booleans())
def test_reversal_changes_no_lap_time(seed: int, *, speed: bool) -> None:
    track = Drive(10).along(oval(1200), 700, 1200 * 5 + 900, 30.0).recorded(white_m=0.3, slow_m=0.5, seed=seed)
    back = reversed_in_time(track)
    if not speed:
        track, back = without_speed(track), without_speed(back)
    expected = durations(laps_of(track, LINE))
    assert len(expected) == 4
    assert durations(laps_of(back, LINE)) == pytest.approx(expected[::-1], abs=0.1)
    # Found without a line, it may lie elsewhere, where one lap more or less is whole.
    for found in (durations(laps_of(back)), durations(laps_of(track))):
        assert found == pytest.approx([40_000] * len(found), abs=150)
        assert len(found) in (4, 5)


def without_speed(track: pa.RecordBatch) -> pa.RecordBatch:
    return track.set_column(3, "speed_mps", pa.nulls(track.num_rows, pa.float32()))


def test_a_line_may_be_given_from_either_side() -> None:
    turned = Line(LINE.frame.turned(), LINE.half_width_m)
    assert durations(laps_of(NOISY, turned)) == pytest.approx(EXPECTED, abs=1e-6)


@pytest.mark.parametrize("line", [None, line_across(0, 0, 45.0, 30.0), line_across(0, 0, 135.0, 30.0)])
def test_figure_of_eight(line: Line | None) -> None:
    path = eight(300)
    track = Drive(10).along(path, 0.3 * path.length_m, 6.4 * path.length_m, 25.0).recorded(white_m=0.3)
    found = durations(laps_of(track, line))
    assert len(found) in (5, 6)
    assert found == pytest.approx([path.length_m / 25 * 1000] * len(found), abs=20)


@pytest.mark.parametrize("lost_s", [0.4, 1.2, 3.0, 6.0, 12.0])
def test_drop_outs_at_the_line_widen_the_uncertainty_and_lose_no_lap(lost_s: float) -> None:
    length, speed = 2400.0, 40.0
    line = line_across(360.0, 0.0, 90.0)
    crossing = [(360 + length * k) / speed - 1200 / speed for k in range(1, 7)]
    drive = Drive(10).along(oval(length), 1200, length * 6 + 1200, speed)
    middle = crossing[2] + 0.1
    track = drive.without((middle - lost_s / 2, middle + lost_s / 2)).recorded(white_m=0.3)
    found = timed(laps_of(track, line))
    assert [round(lap.duration_ms / 1000) for lap in found] == [60] * 5
    for lap in found:
        assert lap.duration_uncertainty_ms is not None
        assert abs(lap.duration_ms - 60_000) <= 1.5 * lap.duration_uncertainty_ms + 1
    if lost_s >= 1:
        assert found[1].duration_uncertainty_ms > 1.3 * found[4].duration_uncertainty_ms  # type: ignore[operator]


def test_a_drop_out_where_the_chord_misses_the_line_loses_no_lap() -> None:
    # The line lies in a bend; ten seconds are missing, and the chord between passes far inside of it.
    length, speed = 1500.0, 25.0
    path = oval(length)
    x, y = path.at(600.0)
    line = line_across(x, y, 0.0)
    drive = Drive(10).along(path, 1000, length * 6 + 1200, speed)
    passes = (600 + 3 * length - 1000) / speed
    whole = timed(laps_of(drive.recorded(white_m=0.3), line))
    holed = timed(laps_of(drive.without((passes - 5, passes + 5)).recorded(white_m=0.3), line))
    assert len(holed) == len(whole) == 5
    for lap in holed:
        assert abs(lap.duration_ms - length / speed * 1000) <= max(lap.duration_uncertainty_ms or 0, 20)


def test_a_pause_of_the_logger_makes_an_in_and_an_out_lap() -> None:
    drive = Drive(10).along(oval(1200), 700, 1200 * 8 + 900, 30.0).without((150.0, 230.0))
    found = laps_of(drive.recorded(white_m=0.3), LINE)
    assert [lap.kind for lap in found.laps].count(IN) == 2
    assert durations(found) == pytest.approx([40_000] * len(timed(found)), abs=30)


def test_the_pit_lane_ends_a_lap_and_begins_one() -> None:
    length, speed = 1200.0, 30.0
    path = oval(length)
    lane = Path.through([(10.0, 0.0), (40.0, -20.0), (320.0, -20.0), (350.0, 0.0)])
    drive = Drive(10).along(path, 500, 4 * length + 10, speed)
    drive.along(lane, 0, 120, 12.0).stand(90).along(lane, 120, lane.length_m, 12.0)
    drive.along(path, 350, 4 * length + 500, speed)
    track = drive.recorded(white_m=0.3, slow_m=0.5)
    for line in (None, line_across(150.0, 0.0, 90.0)):
        found = laps_of(track, line)
        assert durations(found) == pytest.approx([40_000] * len(timed(found)), abs=100)
        assert len(timed(found)) in (5, 6)
        assert [lap.kind for lap in found.laps].count(IN) == 2
        assert [lap.kind for lap in found.laps].count(OUT) == 2


@pytest.mark.parametrize("rate_hz", [1, 10])
@pytest.mark.parametrize("speed", [True, False])
def test_drift_while_parked_makes_no_lap(rate_hz: int, *, speed: bool) -> None:
    path = oval(1200)
    parked = Drive(rate_hz).along(path, 0, 150, 20.0).stand(1800)
    track = parked.recorded(white_m=0.5, slow_m=4.0, slow_s=60, speed=speed)
    assert timed(laps_of(track)) == []
    assert timed(laps_of(track, LINE)) == []
    # Parked on the very line before, between and after laps.
    drive = Drive(rate_hz).along(path, 100, 151, 10.0).stand(600).along(path, 151, 1200 * 3 + 149, 30.0).stand(600)
    drive.along(path, 1200 * 3 + 149, 1200 * 6 + 300, 30.0)
    found = laps_of(drive.recorded(white_m=0.3, slow_m=2.0, slow_s=60, speed=speed), LINE)
    whole = [lap for lap in timed(found) if lap.duration_ms < 60_000]
    assert 5 <= len(timed(found)) <= 6
    assert len(whole) >= 4
    assert all(lap.duration_ms > 38_000 for lap in timed(found))


def test_a_day_of_laps() -> None:
    path = oval(4000)
    drive = Drive(1)
    for stint in range(24):
        drive.along(path, 1000 * (stint == 0), 4000 * 36 + 900, 45.0).stand(900)
        drive.along(path, 900, 4000, 45.0)
    track = drive.recorded(white_m=0.5, slow_m=0.5)
    assert drive.time_s > 86_000
    for line in (None, line_across(600.0, 0.0, 90.0)):
        found = laps_of(track, line)
        lap_s = 4000 / 45
        whole = [lap for lap in timed(found) if lap.duration_ms < 1.5 * lap_s * 1000]
        assert 24 * 35 <= len(whole) <= 24 * 37
        assert durations(Detection(None, tuple(whole))) == pytest.approx([lap_s * 1000] * len(whole), abs=250)
        assert len(found.laps) <= 24 * 39


def block(size_m: float) -> Path:
    return Path.through([(0, 0), (size_m, 0), (size_m, size_m), (0, size_m), (0, 0), (0.01, 0)])


TRIPS: dict[str, Drive] = {
    "point to point": Drive(1).along(curve(lambda u: (20_000 * u, 800 * math.sin(9 * u))), 0, 20_000, 22.0),
    "there and back": Drive(1)
    .along(Path.through([(0, 0), (4000, 300)]), 0, 4000, 14.0)
    .along(Path.through([(4000, 306), (0, 6)]), 0, 4000, 14.0),
    "once round the block": Drive(1)
    .along(Path.through([(-6000, 0), (0, 0)]), 0, 6000, 14.0)
    .along(block(200), 0, 800, 10.0)
    .along(Path.through([(0, 0), (6000, 0)]), 0, 6000, 14.0),
    "one way round": Drive(1).along(oval(3000), 0, 2990, 12.0),
}


@pytest.mark.parametrize("name", TRIPS)
def test_trips_have_no_laps_and_that_is_no_error(name: str) -> None:
    found = laps_of(TRIPS[name].recorded(white_m=1.0, slow_m=1.5))
    assert (found.line, found.laps) == (None, ())


def test_nothing_and_next_to_nothing() -> None:
    assert detect(None).laps == ()
    assert motion_of([]) is None
    few = Drive(1).along(oval(1000), 0, 30, 10.0).recorded()
    assert motion_of([few.slice(0, 2)]) is None
    assert laps_of(few).laps == ()
    assert laps_of(few, LINE).laps == ()


def test_spikes_doubled_times_and_held_positions_are_left_out() -> None:
    clean = laps_of(NOISY, LINE)
    columns: dict[str, list[Any]] = {name: NOISY.column(name).to_pylist() for name in NOISY.schema.names}
    spiked = {name: list(values) for name, values in columns.items()}
    for row in range(50, NOISY.num_rows, 97):
        spiked["latitude_deg"][row] += 0.01
        spiked["flags"][row] = int(Flag.POSITION_SPIKE)
    doubled = {name: [value for value in values for _ in range(2)] for name, values in columns.items()}
    for rows in (spiked, doubled):
        found = laps_of(
            pa.record_batch(
                [pa.array(v, f.type) for v, f in zip(rows.values(), NOISY.schema, strict=True)], schema=NOISY.schema
            ),
            LINE,
        )
        assert durations(found) == pytest.approx(durations(clean), abs=5)
    # Logged at 50 Hz by a receiver of 10 Hz.
    held = {name: [value for value in values for _ in range(5)] for name, values in columns.items()}
    times = NOISY.column("timestamp").cast(pa.int64()).to_pylist()
    held["timestamp"] = [t + 20_000 * k for t in times for k in range(5)]
    found = laps_of(batch(held["timestamp"], held["latitude_deg"], held["longitude_deg"], held["speed_mps"]), LINE)
    assert durations(found) == pytest.approx(durations(clean), abs=0.01)


@pytest.mark.parametrize("rate_hz", [1, 10])
@pytest.mark.parametrize("speed", [True, False])
def test_places_repeated_until_the_next_fix_are_no_fixes(rate_hz: int, *, speed: bool) -> None:
    drive = Drive(rate_hz).along(oval(1200), 700, 1200 * 7 + 900, 30.0)
    track = drive.recorded(white_m=0.3, speed=speed)
    # A phone app's row every 50 ms beside the fix of up to a second ago, in the middle of seconds too.
    late_us = 270_000
    period_us = 1_000_000 // rate_hz
    times = [t + late_us for t in track.column("timestamp").cast(pa.int64()).to_pylist()]
    repeats = range(0, period_us, 50_000)
    columns = [track.column(name).to_pylist() for name in ("latitude_deg", "longitude_deg", "speed_mps")]
    held = batch([t + k for t in times for k in repeats], *([v for v in c for _ in repeats] for c in columns))
    motion = motion_of([held if speed else without_speed(held)])
    assert motion is not None
    assert len(motion) <= track.num_rows + 2
    assert durations(laps_of(held, LINE)) == pytest.approx(durations(laps_of(batch(times, *columns), LINE)), abs=0.01)


def test_a_fix_that_is_lost_while_moving_is_a_drop_out_and_standing_is_none() -> None:
    track = Drive(1).along(oval(1200), 700, 1500, 30.0).stand(20).along(oval(1200), 1500, 3000, 30.0).recorded()
    motion = motion_of([track])
    assert motion is not None
    assert motion.period_s == 1.0
    assert gaps_of(motion) == []
    columns = [track.column(name).to_pylist() for name in ("latitude_deg", "longitude_deg", "speed_mps")]
    for column in columns:
        column[61:69] = [column[60]] * 8
    lost = motion_of([batch(track.column("timestamp").cast(pa.int64()).to_pylist(), *columns)])
    assert lost is not None
    assert [(gap.start_s, gap.end_s) for gap in gaps_of(lost)] == [(60.0, 69.0)]


def test_a_passage_in_a_drop_out_lies_where_other_laps_have_it() -> None:
    # Half the speed before the line, on all laps: the middle of the gap's way is not the middle of its time.
    path = oval(1200)
    drive = Drive(10)
    for number in range(6):
        start = 1200 * number
        drive.along(path, start, start + 150, 15.0).along(path, start + 150, start + 1200, 30.0)
    lap_s = 10 + 35.0
    passes = [lap_s * number + 10 for number in range(6)]
    holed = drive.without((passes[3] - 4, passes[3] + 4)).recorded(white_m=0.3)
    found = timed(laps_of(holed, LINE))
    assert len(found) == 5
    # Half of the eight seconds lie before the line, but a third of the way: evenly divided it would be 1.3 s off.
    for lap in found:
        assert lap.duration_ms == pytest.approx(lap_s * 1000, abs=60)


def test_a_speed_that_is_none_is_not_believed() -> None:
    true = [1200 / 30 * 1000] * len(EXPECTED)
    for factor in (0.0, 3.6):
        speeds = pa.array([30.0 * factor] * NOISY.num_rows, pa.float32())
        found = laps_of(NOISY.set_column(3, "speed_mps", speeds), LINE)
        assert durations(found) == pytest.approx(true, abs=80)
    late = pa.array([30 + 8 * math.sin(k / 7) for k in range(NOISY.num_rows)], pa.float32())
    assert durations(laps_of(NOISY.set_column(3, "speed_mps", late), LINE)) == pytest.approx(true, abs=80)


def test_sectors_in_the_order_of_driving() -> None:
    sectors = (line_across(*oval(1200).at(900), 270.0), line_across(*oval(1200).at(600), 300.0, 30.0))
    found = timed(laps_of(NOISY, LINE, sectors))
    for lap in found:
        assert len(lap.sectors_ms) == 3
        assert sum(ms or 0 for ms in lap.sectors_ms) == pytest.approx(lap.duration_ms)
        assert lap.sectors_ms == pytest.approx((15_000, 10_000, 15_000), abs=800)


def test_stated_accuracy_bounds_the_uncertainty() -> None:
    drive = Drive(10).along(oval(1200), 700, 1200 * 6 + 900, 30.0)
    loose = timed(laps_of(drive.recorded(white_m=0.3, slow_m=1.5), LINE))
    tight = timed(laps_of(drive.recorded(white_m=0.3, slow_m=1.5, accuracy_m=0.02), LINE))
    assert max(lap.duration_uncertainty_ms or 0 for lap in tight) < min(
        lap.duration_uncertainty_ms or 0 for lap in loose
    )

"""Laps that a file brings, measured on tracks whose truth is known."""

import itertools
import math
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from telemetry.laps.file_laps import laps_of_file
from telemetry.laps.lap import COVERAGE, GivenLap, LapKind, LapSource, best_lap
from telemetry.laps.motion import motion_of
from telemetry.laps.track import Stretch, measure
from telemetry.streams.channels import TIMESTAMP, Flag
from telemetry.streams.distance import step_lengths_m

START = datetime(2025, 6, 1, 9, 0, tzinfo=UTC)
START_US = int(START.timestamp()) * 1_000_000


def track(
    seconds: list[float],
    east_m: list[float],
    speeds: list[float | None] | None = None,
    flags: dict[int, int] | None = None,
) -> pa.RecordBatch:
    """Fixes along the equator, where a degree of longitude is 111 319.49 m."""
    count = len(seconds)
    return pa.record_batch(
        {
            "timestamp": pa.array([START_US + round(second * 1e6) for second in seconds], pa.int64()).cast(TIMESTAMP),
            "latitude_deg": pa.array([0.0] * count),
            "longitude_deg": pa.array([east / (6378137.0 * math.pi / 180) for east in east_m]),
            "speed_mps": pa.array(speeds or [None] * count, pa.float32()),
            "flags": pa.array([(flags or {}).get(row, 0) for row in range(count)], pa.uint32()),
        }
    )


def lap(number: int, start_s: float, end_s: float) -> GivenLap:
    return GivenLap(number, START + timedelta(seconds=start_s), START + timedelta(seconds=end_s))


def split(batch: pa.RecordBatch, size: int) -> list[pa.RecordBatch]:
    return [batch.slice(begin, size) for begin in range(0, batch.num_rows, size)]


TEN_SECONDS = track(
    [second / 10 for second in range(101)],
    [second * 2.0 for second in range(101)],
    [20 + second % 10 for second in range(101)],
)


@pytest.mark.parametrize("size", [1, 2, 7, 50, 101])
def test_distance_speed_and_duration_do_not_depend_on_the_batches(size: int) -> None:
    first, second = laps_of_file([lap(1, 0, 4.55), lap(2, 4.55, 10)], split(TEN_SECONDS, size))
    assert first.distance_m == pytest.approx(91.0)
    assert second.distance_m == pytest.approx(109.0)
    assert (first.duration_ms, second.duration_ms) == (4550.0, 5450.0)
    assert first.max_speed_mps == 29.0
    assert first.duration_uncertainty_ms == pytest.approx(COVERAGE * 100 / math.sqrt(6), rel=1e-6)
    assert (first.lap_number, second.lap_number) == (1, 2)
    assert {first.source, second.source} == {LapSource.FILE}


def test_top_speed_is_the_laps_own() -> None:
    speeds: list[float | None] = [1.0, 5.0, None, 2.0, 9.0]
    found = laps_of_file([lap(1, 0, 2), lap(2, 2, 3)], [track([0, 1, 2, 3, 4], [0, 1, 2, 3, 4], speeds)])
    assert [one.max_speed_mps for one in found] == [5.0, 2.0]


def test_a_way_to_the_line_that_a_file_calls_lap_zero_is_out() -> None:
    found = laps_of_file([lap(1, 3, 6.1), lap(0, 0, 3), lap(2, 6.1, 9)], [TEN_SECONDS])
    assert [one.kind for one in found] == [LapKind.OUT, LapKind.TIMED, LapKind.TIMED]
    assert [one.lap_number for one in found] == [1, 2, 3]
    best = best_lap(found)
    assert best is not None
    assert best.duration_ms == 2900.0
    assert best_lap(found[:1]) is None


def test_a_lap_off_the_track_has_no_distance_and_one_without_length_is_none() -> None:
    found = laps_of_file([lap(1, 8, 12), lap(2, 20, 30), lap(3, 5, 5), lap(4, 6, 5)], [TEN_SECONDS])
    assert [one.distance_m for one in found] == [None, None]
    assert found[1].max_speed_mps is None
    assert found[1].duration_uncertainty_ms is None


def test_a_lap_that_ends_before_the_next_fix_would_come_is_measured_to_the_last_one() -> None:
    track_of_seconds = track([0, 1, 2, 3, 5], [0, 10, 20, 30, 50])
    for size in (1, 2, 5):
        batches = split(track_of_seconds, size)
        ends = (6.9, 7.1, 4.0)
        found = [laps_of_file([lap(1, 2, end)], batches)[0].distance_m for end in ends]
        assert found == [pytest.approx(30.0), None, pytest.approx(20.0)]
        starts = (-0.9, -1.1)
        found = [laps_of_file([lap(1, start, 3)], batches)[0].distance_m for start in starts]
        assert found == [pytest.approx(30.0), None]


def by_length(*lengths_m: float) -> list[GivenLap]:
    """Laps one after the other on a track of 1 m a second."""
    ends = list(itertools.accumulate(lengths_m, initial=0.0))
    return [lap(number, *pair) for number, pair in enumerate(itertools.pairwise(ends), 1)]


WALK = track([float(second) for second in range(0, 12_001, 5)], [float(second) for second in range(0, 12_001, 5)])
OUT, TIMED, IN = LapKind.OUT, LapKind.TIMED, LapKind.IN


@pytest.mark.parametrize(
    ("lengths_m", "first", "last"),
    [
        ((1000, 1010, 990, 1005, 160), TIMED, IN),  # what is left after the last kilometre
        ((300, 1000, 1010, 990), OUT, TIMED),  # the way to the line
        ((300, 1000, 1010, 990, 160), OUT, IN),
        ((1000, 1010, 990, 1005, 920), TIMED, IN),  # nearly a kilometre, but short of all others
        ((920, 1000, 1010, 990, 1005), TIMED, TIMED),  # a receiver that began late
        ((1000, 1010, 990, 1005, 980), TIMED, TIMED),
        ((1000, 1060, 990, 1005, 930), TIMED, TIMED),  # no shorter than they differ among themselves
        ((1000, 1000, 1000, 985), TIMED, TIMED),  # the receiver's error
        ((3000, 1000, 1010, 990, 2500), TIMED, TIMED),  # a long way is no part of a lap
        ((1000, 300), TIMED, TIMED),  # two that differ: nobody knows which is whole
        ((400, 3000, 1100, 1900), TIMED, TIMED),
        ((300, 1000, 2000, 1100), TIMED, TIMED),  # two of four may be alike by chance
        ((1000, 200, 1000, 200, 1000), TIMED, TIMED),
        ((1000,), TIMED, TIMED),
    ],
)
def test_remnants_at_both_ends_are_out_and_in(lengths_m: tuple[float, ...], first: LapKind, last: LapKind) -> None:
    found = laps_of_file(by_length(*lengths_m), [WALK])
    assert (found[0].kind, found[-1].kind) == (first, last)
    assert {one.kind for one in found[1:-1]} <= {TIMED}
    if IN in (first, last):
        best = best_lap(found)
        assert best is not None
        assert best.duration_ms == 990_000


def test_a_last_lap_of_unknown_length_stays_as_it_is_and_is_never_the_best() -> None:
    found = laps_of_file([*by_length(1000, 1010, 990), lap(4, 11_990, 12_100)], [WALK])
    assert (found[3].kind, found[3].distance_m) == (TIMED, None)
    assert best_lap(found) is found[2]


def test_rows_that_repeat_a_fix_make_no_end_better_known() -> None:
    # A row every 100 ms, a fix every second.
    held = track([k / 10 for k in range(201)], [20.0 * (k // 10) for k in range(201)], [20.0] * 201)
    held = held.append_column("horizontal_accuracy_m", pa.nulls(201, pa.float32()))
    (found,) = laps_of_file([lap(1, 4.55, 15.55)], [held], motion_of([held]))
    assert found.duration_uncertainty_ms == pytest.approx(COVERAGE * 1000 / math.sqrt(6))


def test_jumps_count_for_nothing() -> None:
    spike = track([0, 1, 2, 3], [0, 10, 9000, 30], flags={2: int(Flag.POSITION_SPIKE)})
    assert measure([spike], [Stretch(START_US, START_US + 3_000_000)])[0].distance_m == pytest.approx(10.0)
    segment = track([0, 1, 2, 3], [0, 10, 9000, 9010], flags={2: int(Flag.SEGMENT_START)})
    assert measure([segment], [Stretch(START_US, START_US + 3_000_000)])[0].distance_m == pytest.approx(20.0)


def test_doubled_times_and_empty_batches_are_no_trouble() -> None:
    batch = track([0, 1, 1, 1, 2], [0, 5, 5, 6, 10])
    found = laps_of_file([lap(1, 0, 1), lap(2, 1, 2)], [batch.slice(0, 0), *split(batch, 2)])
    assert sum(one.distance_m or 0 for one in found) == pytest.approx(10.0)
    assert laps_of_file([], [batch]) == ()
    assert laps_of_file([lap(1, 0, 1)], [])[0].distance_m is None


@pytest.mark.parametrize(
    ("latitude", "longitude", "metres"),
    [
        # A degree along the meridian at 45.5° and along the parallel at 60°, from the WGS 84 ellipsoid's series
        # (NIMA TR8350.2, table of lengths of degrees).
        ([45.0, 46.0], [7.0, 7.0], 111_141.5),
        ([60.0, 60.0], [24.0, 24.001], 55.800),
        ([0.0, 0.0], [179.999, -179.999], 222.639),
    ],
)
def test_steps_are_those_of_the_ellipsoid(latitude: list[float], longitude: list[float], metres: float) -> None:
    assert step_lengths_m(pa.array(latitude), pa.array(longitude)).to_pylist() == [pytest.approx(metres, rel=2e-5)]


def test_fewer_than_two_positions_make_no_step() -> None:
    assert len(step_lengths_m(pa.array([1.0]), pa.array([1.0]))) == 0
    assert len(step_lengths_m(pa.array([], pa.float64()), pa.array([], pa.float64()))) == 0

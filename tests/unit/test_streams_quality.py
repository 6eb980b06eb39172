"""The quality report against plain loops over the same rows."""

import math
import random
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import pyarrow as pa
import pytest

from telemetry.streams.channels import GNSS_PVT_SCHEMA, TIMESTAMP, Flag
from telemetry.streams.quality import LISTED_GAPS, ChannelQuality, Intervals, TrackQuality, iso_time

START = 1_714_557_600_000_000


def rows(
    times: Sequence[float],
    positions: Sequence[tuple[float, float]],
    flags: Sequence[int] | None = None,
    **columns: pa.Array,
) -> pa.RecordBatch:
    count = len(times)
    given = {
        "timestamp": pa.array([START + round(t * 1e6) for t in times], pa.int64()).view(TIMESTAMP),
        "latitude_deg": pa.array([p[0] for p in positions], pa.float64()),
        "longitude_deg": pa.array([p[1] for p in positions], pa.float64()),
        "source_row": pa.array(range(1, count + 1), pa.int64()),
        "flags": pa.array(flags or [0] * count, pa.uint32()),
        **columns,
    }
    return pa.RecordBatch.from_arrays(
        [given[f.name] if f.name in given else pa.nulls(count, f.type) for f in GNSS_PVT_SCHEMA], schema=GNSS_PVT_SCHEMA
    )


def observed(batch: pa.RecordBatch, cut: int = 1 << 20) -> tuple[TrackQuality, list[int]]:
    quality, flags = TrackQuality(), []
    for at in range(0, batch.num_rows, cut):
        following = batch.slice(at + cut, 1)
        out = quality.observe(batch.slice(at, cut), following if following.num_rows else None)
        flags += out.column("flags").to_pylist()
    return quality, flags


def vincenty(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Geodesic on WGS 84 (Vincenty 1975, inverse)."""
    f, major = 1 / 298.257223563, 6378137.0
    minor = major * (1 - f)
    u1, u2 = (math.atan((1 - f) * math.tan(math.radians(p[0]))) for p in (a, b))
    turn = math.radians(b[1] - a[1])
    lam = turn
    for _ in range(100):
        sin_s = math.hypot(
            math.cos(u2) * math.sin(lam), math.cos(u1) * math.sin(u2) - math.sin(u1) * math.cos(u2) * math.cos(lam)
        )
        if not sin_s:
            return 0.0
        cos_s = math.sin(u1) * math.sin(u2) + math.cos(u1) * math.cos(u2) * math.cos(lam)
        s = math.atan2(sin_s, cos_s)
        sin_a = math.cos(u1) * math.cos(u2) * math.sin(lam) / sin_s
        cos2_a = 1 - sin_a**2
        cos_2m = cos_s - 2 * math.sin(u1) * math.sin(u2) / cos2_a if cos2_a else 0.0
        c = f / 16 * cos2_a * (4 + f * (4 - 3 * cos2_a))
        lam = turn + (1 - c) * f * sin_a * (s + c * sin_s * (cos_2m + c * cos_s * (2 * cos_2m**2 - 1)))
    k = cos2_a * (major**2 - minor**2) / minor**2
    big_a = 1 + k / 16384 * (4096 + k * (-768 + k * (320 - 175 * k)))
    big_b = k / 1024 * (256 + k * (-128 + k * (74 - 47 * k)))
    d = big_b * sin_s * (cos_2m + big_b / 4 * (cos_s * (2 * cos_2m**2 - 1)))
    return minor * big_a * (s - d)


def circle(count: int, hz: float = 10.0) -> tuple[list[float], list[tuple[float, float]]]:
    return (
        [i / hz for i in range(count)],
        [(52 + 0.002 * math.sin(i / 100), -1 + 0.003 * math.cos(i / 100)) for i in range(count)],
    )


@pytest.mark.parametrize("cut", [1, 2, 7, 1 << 20])
def test_report_of_a_steady_track(cut: int) -> None:
    times, positions = circle(300)
    quality, flags = observed(rows(times, positions, speed_mps=pa.array([20.0, 35.5] * 150, pa.float32())), cut)
    report = quality.report()
    assert report["nominalRateHz"] == 10.0
    assert report["jitterMs"] == 0.0
    assert report["gaps"] == {"count": 0, "listed": []}
    assert report["maxSpeedMps"] == 35.5
    expected = sum(vincenty(a, b) for a, b in pairwise(positions))
    assert report["distanceM"] == pytest.approx(expected, abs=0.01)
    assert report["boundingBox"] == [
        min(p[0] for p in positions), min(p[1] for p in positions),
        max(p[0] for p in positions), max(p[1] for p in positions),
    ]  # fmt: skip
    assert report["fixTypes"] == {"unknown": 1.0}
    assert flags == [0] * 300


@pytest.mark.parametrize("latitude", [0.0, 45.0, -80.0, 89.9])
def test_step_length_agrees_with_the_geodesic(latitude: float) -> None:
    for bearing in range(0, 360, 30):
        a = (latitude, 179.9999)
        b = (
            latitude + 0.001 * math.cos(math.radians(bearing)),
            179.9999 + 0.001 * math.sin(math.radians(bearing)) / math.cos(math.radians(latitude)),
        )
        wrapped = (b[0], b[1] - 360 if b[1] > 180 else b[1])
        quality, _ = observed(rows([0, 30], [a, wrapped]))
        assert quality.total_distance_m() == pytest.approx(vincenty(a, b), rel=5e-6)


def test_rate_and_jitter_of_uneven_times() -> None:
    rng = random.Random(1)
    times, now = [], 0.0
    for _ in range(20_000):
        times.append(now)
        now += 0.04 + rng.gauss(0, 0.002)
    quality, _ = observed(rows(times, [(52.0, -1.0)] * len(times)), 3000)
    assert quality.report()["nominalRateHz"] == pytest.approx(25.0, rel=0.003)
    assert quality.report()["jitterMs"] == pytest.approx(2.0, rel=0.05)


def test_rate_of_stamps_cut_to_milliseconds() -> None:
    times = [math.floor(i * 1000 / 3) / 1000 for i in range(400)]
    quality, _ = observed(rows(times, [(52.0, -1.0)] * 400))
    assert quality.report()["nominalRateHz"] == 3.0


@pytest.mark.parametrize("cut", [1, 3, 1 << 20])
def test_gaps_say_where_and_how_long(cut: int) -> None:
    times = [0.0, 0.1, 0.2, 0.5, 0.6, 0.7, 5.7, 5.8, 5.9, 6.3]
    quality, _ = observed(rows(times, [(52.0, -1.0)] * len(times)), cut)
    assert quality.report()["gaps"] == {
        "count": 2,
        "listed": [
            {"start": "2024-05-01T10:00:00.7Z", "lengthS": 5.0},
            {"start": "2024-05-01T10:00:05.9Z", "lengthS": 0.4},
        ],
    }


def test_many_gaps_are_counted_and_the_longest_listed() -> None:
    times, now = [], 0.0
    for i in range(3000):
        times.append(now)
        now += 1.0 if i % 10 else 10 + i / 1000
    quality, _ = observed(rows(times, [(52.0, -1.0)] * len(times)), 400)
    gaps = quality.report()["gaps"]
    assert gaps["count"] == 300
    assert len(gaps["listed"]) == LISTED_GAPS
    assert min(g["lengthS"] for g in gaps["listed"]) == pytest.approx(12.0)
    starts = [g["start"] for g in gaps["listed"]]
    assert starts == sorted(starts)


@pytest.mark.parametrize("cut", [1, 2, 1 << 20])
def test_doubled_times(cut: int) -> None:
    quality, flags = observed(rows([0, 1, 1, 1, 2], [(52.0, -1.0)] * 5), cut)
    double = int(Flag.DUPLICATE_TIME)
    assert flags == [0, 0, double, double, 0]
    assert quality.report()["duplicateTimes"] == 2
    assert quality.report()["nominalRateHz"] == 1.0


@pytest.mark.parametrize("cut", [1, 2, 5, 1 << 20])
def test_a_jump_out_and_back_is_a_spike_and_no_distance(cut: int) -> None:
    times, positions = circle(60)
    clean, _ = observed(rows(times, positions))
    for at in (20, 41):
        positions[at] = (positions[at][0] + 0.01, positions[at][1])
    quality, flags = observed(rows(times, positions), cut)
    assert [i for i, f in enumerate(flags) if f & Flag.POSITION_SPIKE] == [20, 41]
    assert quality.report()["positionSpikes"] == 2
    assert quality.total_distance_m() == pytest.approx(clean.total_distance_m() * 55 / 59, rel=0.02)


def test_an_aircraft_and_a_new_place_are_no_spikes() -> None:
    straight = [(50.0 + i * 0.003, 10.0) for i in range(50)]  # 333 m/s at 1 Hz
    _, flags = observed(rows(range(50), straight))
    assert not any(flags)
    moved = [(52.0, -1.0)] * 10 + [(53.0, -1.0)] * 10
    _, flags = observed(rows(range(20), moved))
    assert not any(flags)


def test_a_step_without_time_cannot_be_judged() -> None:
    _, flags = observed(rows([0, 1, 1, 2], [(52.0, -1.0), (52.005, -1.0), (52.0, -1.0), (52.0, -1.0)]))
    assert not any(flag & Flag.POSITION_SPIKE for flag in flags)


def test_flags_of_an_earlier_pass_are_judged_anew() -> None:
    stale = int(Flag.POSITION_SPIKE | Flag.DUPLICATE_TIME | Flag.OUT_OF_ORDER)
    times, positions = circle(5)
    _, flags = observed(rows(times, positions, [stale] * 5))
    assert flags == [int(Flag.OUT_OF_ORDER)] * 5


@pytest.mark.parametrize("cut", [1, 2, 1 << 20])
def test_no_distance_into_a_new_segment_or_over_a_long_gap(cut: int) -> None:
    start = int(Flag.SEGMENT_START)
    positions = [(52.0, -1.0), (52.001, -1.0), (52.5, -1.0), (52.501, -1.0), (53.0, -1.0), (53.001, -1.0)]
    quality, _ = observed(rows([0, 1, 2, 3, 903, 904], positions, [start, 0, start, 0, 0, 0]), cut)
    assert quality.total_distance_m() == pytest.approx(3 * 111.27, rel=0.001)
    assert quality.report()["segments"] == 2


def test_long_steps_count_where_they_are_the_usual_period() -> None:
    positions = [(52.0 + i * 0.1, -1.0) for i in range(10)]
    quality, _ = observed(rows([i * 600.0 for i in range(10)], positions))
    assert quality.total_distance_m() == pytest.approx(sum(map(vincenty, positions, positions[1:])), rel=1e-4)


def test_antimeridian() -> None:
    positions = [(-17.0, 179.99), (-17.0, 179.999), (-17.0, -179.999), (-17.0, -179.98)]
    for cut in (1, 4):
        quality, flags = observed(rows(range(4), positions), cut)
        assert quality.report()["crossesAntimeridian"]
        assert quality.bounding_box() == [-17.0, -179.999, -17.0, 179.999]
        assert quality.geographic_box() == [179.99, -17.0, -179.98, -17.0]
        assert quality.total_distance_m() < 5000
        assert not any(flags)


@pytest.mark.parametrize("cut", [1, 2, 1 << 20])
def test_what_only_the_first_rows_show_is_not_forgotten(cut: int) -> None:
    positions = [(-17.0, 179.999), (-17.0, -179.999), (-17.0, -179.998), (-17.0, -179.997), (-17.0, -179.996)]
    altitudes = pa.array([5.0, None, None, None, None], GNSS_PVT_SCHEMA.field("altitude_m").type)
    speeds = pa.array([40.0, 50.0, 30.0, 20.0, 10.0], pa.float32())
    quality, _ = observed(rows(range(5), positions, altitude_m=altitudes, speed_mps=speeds), cut)
    report = quality.report()
    assert (report["crossesAntimeridian"], report["hasAltitude"], report["maxSpeedMps"]) == (True, True, 50.0)


def test_a_track_that_crossed_the_antimeridian_may_go_the_long_way_round_later() -> None:
    positions = [(-17.0, longitude) for longitude in (179.0, -179.0, -90.0, 0.0, 90.0, 170.0)]
    for cut in (2, 6):
        quality, _ = observed(rows([k * 3600.0 for k in range(6)], positions), cut)
        assert quality.report()["crossesAntimeridian"]


def test_gaps_are_no_jitter() -> None:
    times = [i / 10 for i in range(100)] + [60 + i / 10 for i in range(100)]
    quality, _ = observed(rows(times, [(52.0, -1.0)] * 200))
    assert quality.report()["jitterMs"] == 0.0
    assert quality.report()["gaps"]["count"] == 1


def test_the_rate_is_that_of_intervals_near_the_median() -> None:
    """Within ten per cent of it: jitter counts, a late fix does not."""
    steps = [0.1] * 60 + [0.105] * 20 + [0.14] * 20
    quality, _ = observed(rows([0.0, *accumulate(steps)], [(52.0, -1.0)] * 101))
    assert quality.report()["nominalRateHz"] == pytest.approx(80 / (60 * 0.1 + 20 * 0.105), rel=1e-4)


@pytest.mark.parametrize("cut", [1, 150, 1 << 20])
def test_of_gaps_as_long_the_first_hundred_are_listed(cut: int) -> None:
    steps = [1.0, 1.0, 1.0, 20.0] * (LISTED_GAPS + 20)
    times = [0.0, *accumulate(steps)]
    quality, _ = observed(rows(times, [(52.0, -1.0)] * len(times)), cut)
    gaps = quality.report()["gaps"]
    assert gaps["count"] == LISTED_GAPS + 20
    expected = [iso_time(START + (3 + 23 * k) * 1_000_000) for k in range(LISTED_GAPS)]
    assert [gap["start"] for gap in gaps["listed"]] == expected


def test_gaps_are_counted_exactly_while_all_are_listed() -> None:
    """So many different intervals that they share buckets, and many just below three periods."""
    steps = [1_000_000 + k for k in range(-2500, 2501)] + [2_998_500] * 110 + [10_000_000] * 5
    random.Random(3).shuffle(steps)
    times = [micros / 1e6 for micros in accumulate([0, *steps])]
    quality, _ = observed(rows(times, [(52.0, -1.0)] * len(times)))
    gaps = quality.report()["gaps"]
    assert [gap["lengthS"] for gap in gaps["listed"]] == [10.0] * 5
    assert gaps["count"] == 5


def test_share_of_fixes_by_kind() -> None:
    kinds = pa.array(["3d", "3d", "2d", None]).dictionary_encode().cast(GNSS_PVT_SCHEMA.field("fix_type").type)
    quality, _ = observed(rows(range(4), [(52.0, -1.0)] * 4, fix_type=kinds))
    assert quality.report()["fixTypes"] == {"unknown": 0.25, "2d": 0.25, "3d": 0.5}


def test_one_row_alone() -> None:
    quality, flags = observed(rows([0], [(52.0, -1.0)]))
    report: dict[str, Any] = quality.report()
    assert report["nominalRateHz"] is None and report["distanceM"] == 0.0
    assert flags == [0]


def test_intervals_stay_bounded() -> None:
    rng = random.Random(2)
    intervals = Intervals()
    for _ in range(20):
        intervals.add(pa.array([rng.randint(1, 10**10) for _ in range(5000)], pa.int64()))
    assert len(intervals._counts) < 9000
    assert intervals._counts.total() == 100_000
    period = intervals.period_us()
    assert period is not None and 4e9 < period < 6e9


def test_other_streams_report_rate_and_values() -> None:
    quality = ChannelQuality()
    batch = rows([i / 100 for i in range(100)], [(0, 0)] * 100).select(["timestamp", "source_row", "altitude_m"])
    for at in range(0, 100, 30):
        quality.observe(batch.slice(at, 30), None)
    assert quality.report()["nominalRateHz"] == 100.0
    assert quality.report()["channels"] == {"altitude_m": {"values": 0, "unit": "m"}}


def test_a_gap_of_another_stream_between_two_batches_is_one() -> None:
    quality = ChannelQuality()
    batch = rows([*(i / 100 for i in range(30)), *(5 + i / 100 for i in range(30))], [(0, 0)] * 60)
    for at in (0, 30):
        quality.observe(batch.slice(at, 30), None)
    assert quality.report()["gaps"] == {"count": 1, "listed": [{"start": "2024-05-01T10:00:00.29Z", "lengthS": 4.71}]}


def test_times_are_written_with_the_digits_they_need() -> None:
    assert iso_time(0) == "1970-01-01T00:00:00Z"
    assert iso_time(1_500_000) == "1970-01-01T00:00:01.5Z"
    assert iso_time(10_000_000) == "1970-01-01T00:00:10Z"
    assert iso_time(START + 1) == "2024-05-01T10:00:00.000001Z"

"""The track for a map: few points, the right ones, whatever the batches."""

import itertools
import json
import math

import pyarrow as pa
import pytest

from telemetry.streams.channels import Flag
from telemetry.streams.map_track import COLUMNS, MOST_POINTS, MapPoint, geojson, map_track


def track(places: list[tuple[float, float]], flags: dict[int, int] | None = None) -> pa.Table:
    rows = len(places)
    return pa.table(
        [
            pa.array(range(0, rows * 100_000, 100_000), pa.int64()).cast(pa.timestamp("us", "UTC")),
            pa.array([latitude for latitude, _ in places]),
            pa.array([longitude for _, longitude in places]),
            pa.array([10.0] * rows, pa.float32()),
            pa.array([(flags or {}).get(row, 0) for row in range(rows)], pa.uint32()),
        ],
        names=list(COLUMNS),
    )


def chosen(rows: pa.Table, most: int = MOST_POINTS, batch_rows: int = 1000) -> list[MapPoint]:
    return map_track(rows.to_batches(max_chunksize=batch_rows), rows.num_rows, most)


def circle(rows: int) -> pa.Table:
    return track([(48 + 0.01 * math.sin(row / 500), 11 + 0.01 * math.cos(row / 500)) for row in range(rows)])


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 1999, 2000, 2001, 2500, 10_000])
def test_at_most_so_many_points_with_both_ends(rows: int) -> None:
    points = chosen(circle(rows))
    assert min(rows, MOST_POINTS // 2) <= len(points) <= min(rows, MOST_POINTS)
    if rows:
        assert (points[0].time_us, points[-1].time_us) == (0, (rows - 1) * 100_000)
    times = [point.time_us for point in points]
    assert times == sorted(set(times))


def test_the_cut_into_batches_changes_nothing() -> None:
    rows = circle(5000)
    one = chosen(rows, 100, 5000)
    assert all(chosen(rows, 100, size) == one for size in (1, 7, 53, 1000))


def test_corners_are_kept() -> None:
    side = [step / 1000 for step in range(1000)]
    square = [(0.0, x) for x in side] + [(y, 1.0) for y in side] + [(1.0, 1 - x) for x in side]
    points = {(point.latitude_deg, point.longitude_deg) for point in chosen(track(square), 30)}
    for corner in ((0.0, 1.0), (1.0, 1.0)):
        assert min(math.dist(corner, point) for point in points) < 0.02


def test_spikes_are_left_out() -> None:
    places = [(48.0, 11 + row / 1e5) for row in range(1000)]
    places[500] = (60.0, 20.0)
    points = chosen(track(places, {500: Flag.POSITION_SPIKE}), 50)
    assert max(point.latitude_deg for point in points) == 48.0


def test_a_break_parts_the_line() -> None:
    places = [(48.0, 11 + row / 1e5) for row in range(1000)]
    collection = json.loads(geojson(chosen(track(places, {0: Flag.SEGMENT_START, 600: Flag.SEGMENT_START}), 100)))
    first, second = collection["features"]
    assert first["properties"]["coordinateProperties"]["times"][0] == "1970-01-01T00:00:00.000Z"
    assert first["geometry"]["coordinates"][-1][0] < 11.006 <= second["geometry"]["coordinates"][0][0]


def test_across_the_antimeridian_the_short_way_counts() -> None:
    places = [(0.0, (179.9 + row / 1e4 + 180) % 360 - 180) for row in range(2000)]
    places[1500] = (0.001, places[1500][1])
    assert 0.001 in {point.latitude_deg for point in chosen(track(places), 20)}


Place = tuple[float, float]


def lines(places: list[Place]) -> tuple[str, list[list[Place]], list[list[str]], list[list[float | None]]]:
    """Geometry, positions, times and speeds of one stretch; a point a second, 10 m/s and one more each."""
    points = [
        MapPoint(1_000_000 * number, latitude, longitude, 10.0 + number, 1)
        for number, (longitude, latitude) in enumerate(places)
    ]
    (feature,) = json.loads(geojson(points))["features"]
    each = feature["properties"]["coordinateProperties"]
    several = feature["geometry"]["type"] == "MultiLineString"
    parts, times, speeds = (
        value if several else [value]
        for value in (feature["geometry"]["coordinates"], each["times"], each["speedsMps"])
    )
    for positions, *others in zip(parts, times, speeds, strict=True):
        assert {len(other) for other in others} == {len(positions)}
        assert len(positions) >= 2
        assert all(abs(after[0] - before[0]) <= 180 for before, after in itertools.pairwise(positions))
    return feature["geometry"]["type"], [[tuple(one) for one in part] for part in parts], times, speeds


def test_a_line_across_the_antimeridian_is_cut_there() -> None:
    # The example of RFC 7946, section 3.1.9, eastward and back.
    kind, parts, times, speeds = lines([(170.0, 45.0), (-170.0, 45.0)])
    assert kind == "MultiLineString"
    assert parts == [[(170.0, 45.0), (180.0, 45.0)], [(-180.0, 45.0), (-170.0, 45.0)]]
    assert times[0][1] == times[1][0] == "1970-01-01T00:00:00.500Z"
    assert speeds == [[10.0, 10.5], [10.5, 11.0]]
    kind, parts, _, _ = lines([(-179.0, 10.0), (178.0, 13.0), (-179.0, 16.0)])
    assert parts == [
        [(-179.0, 10.0), (-180.0, 11.0)],
        [(180.0, 11.0), (178.0, 13.0), (180.0, 15.0)],
        [(-180.0, 15.0), (-179.0, 16.0)],
    ]


@pytest.mark.parametrize(
    ("places", "parts"),
    [
        # On the antimeridian itself, by either of its names.
        ([(179.0, 0.0), (180.0, 0.0), (-179.0, 0.0)], [[(179.0, 0.0), (180.0, 0.0)], [(-180.0, 0.0), (-179.0, 0.0)]]),
        ([(179.0, 0.0), (-180.0, 0.0), (-179.0, 0.0)], [[(179.0, 0.0), (180.0, 0.0)], [(-180.0, 0.0), (-179.0, 0.0)]]),
        ([(179.0, 0.0), (-180.0, 0.0), (179.0, 1.0)], [[(179.0, 0.0), (180.0, 0.0)], [(180.0, 0.0), (179.0, 1.0)]]),
        ([(179.0, 0.0), (-180.0, 0.0)], [[(179.0, 0.0), (180.0, 0.0)]]),
        ([(180.0, 0.0), (-179.0, 0.0)], [[(-180.0, 0.0), (-179.0, 0.0)]]),
        ([(179.0, 0.0), (180.0, 0.0)], [[(179.0, 0.0), (180.0, 0.0)]]),
        ([(179.0, 0.0), (180.0, 0.0), (-180.0, 1.0), (-179.0, 1.0)],
         [[(179.0, 0.0), (180.0, 0.0)], [(-180.0, 1.0), (-179.0, 1.0)]]),
        ([(-10.0, 0.0), (170.0, 0.0)], [[(-10.0, 0.0), (170.0, 0.0)]]),
    ],
)  # fmt: skip
def test_on_the_antimeridian_no_part_is_lost_or_left_alone(places: list[Place], parts: list[list[Place]]) -> None:
    assert lines(places)[:2] == ("MultiLineString" if len(parts) > 1 else "LineString", parts)


def test_a_place_of_unknown_speed_gives_none_at_the_cut() -> None:
    points = [MapPoint(0, 0.0, 179.0, None, 1), MapPoint(2_000_000, 0.0, -179.0, 4.0, 1)]
    (feature,) = json.loads(geojson(points))["features"]
    assert feature["properties"]["coordinateProperties"]["speedsMps"] == [[None, None], [None, 4.0]]


def test_speeds_that_are_none_are_null() -> None:
    points = [MapPoint(0, 0.0, 0.0, None, 0), MapPoint(1, 0.0, 1.0, float("nan"), 0), MapPoint(2, 0.0, 2.0, 1.234, 0)]
    (feature,) = json.loads(geojson(points))["features"]
    assert feature["properties"]["coordinateProperties"]["speedsMps"] == [None, None, 1.23]

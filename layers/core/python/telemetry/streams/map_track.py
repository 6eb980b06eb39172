"""A track small enough for a map: a few thousand points of `gnss_pvt`, as GeoJSON with a time and a speed each. Pure.

Points are chosen by largest triangle three buckets (Steinarsson, "Downsampling Time Series for Visual
Representation", University of Iceland, 2013, section 4.2), here in the plane of the ground rather than of a chart: of
each bucket the point that makes the largest triangle with the point chosen before and the mean of the next bucket.
Bounded memory: one bucket and its successor.
"""

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from telemetry.streams.channels import Flag

COLUMNS = ("timestamp", "latitude_deg", "longitude_deg", "speed_mps", "flags")
"""Columns of `gnss_pvt` that a map's track needs."""
MOST_POINTS = 2000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAMES = ("time_us", "latitude_deg", "longitude_deg", "speed_mps", "segment")
_DEGREE_DIGITS = 7  # about a centimetre
_HALF_TURN = 180.0


@dataclass(frozen=True, slots=True)
class MapPoint:
    """A chosen fix. `segment` counts the unbroken stretches of the recording."""

    time_us: int
    latitude_deg: float
    longitude_deg: float
    speed_mps: float | None
    segment: int


def map_track(batches: Iterable[pa.RecordBatch], row_count: int, most_points: int = MOST_POINTS) -> list[MapPoint]:
    """At most `most_points` points that show the track's shape, the first and the last among them; spikes left out.

    Parameters
    ----------
    batches : of `COLUMNS`, ordered by time over all batches.
    row_count : rows of all batches together.
    """
    size = max(1, math.ceil((row_count - 2) / (most_points - 2)))
    chosen: list[MapPoint] = []
    bucket: pa.RecordBatch | None = None
    for following in _buckets(batches, size):
        if bucket is not None:
            chosen.append(_point(bucket, _largest_triangle(chosen[-1], bucket, following) if chosen else 0))
        bucket = following
    if bucket is not None:
        chosen.append(_point(bucket, bucket.num_rows - 1))
    return chosen


def geojson(points: Iterable[MapPoint]) -> bytes:
    """A FeatureCollection (RFC 7946): a line for each unbroken stretch, with `times` (UTC) and `speedsMps`, one a
    position, in its property `coordinateProperties`. A stretch of which one point is left is left out.

    A stretch across the antimeridian is a MultiLineString, cut there (section 3.1.9); `times` and `speedsMps` are then
    lists for each of its parts.
    """
    segments: dict[int, list[MapPoint]] = {}
    for point in points:
        segments.setdefault(point.segment, []).append(point)
    features = [_feature(parts) for segment in segments.values() if (parts := _cut(segment))]
    collection = {"type": "FeatureCollection", "features": features}
    return json.dumps(collection, separators=(",", ":"), allow_nan=False).encode("ascii")


def _buckets(batches: Iterable[pa.RecordBatch], size: int) -> Iterator[pa.RecordBatch]:
    """The first row alone, then rows by `size`, then the last alone; without spikes, and none empty."""
    pending: pa.RecordBatch | None = None
    last: pa.RecordBatch | None = None
    segments = 0
    first = True
    for batch in batches:
        rows, segments = _usable(batch, segments)
        if rows.num_rows == 0:
            continue
        if first:
            first = False
            yield rows.slice(0, 1)
            rows = rows.slice(1)
        rows = rows if last is None else pa.concat_batches([last, rows])
        if rows.num_rows == 0:
            continue
        # The last row is held back: it may be the last of all.
        last = rows.slice(rows.num_rows - 1)
        rows = rows.slice(0, rows.num_rows - 1)
        pending = rows if pending is None or not pending.num_rows else pa.concat_batches([pending, rows])
        whole = pending.num_rows // size * size
        for start in range(0, whole, size):
            yield pending.slice(start, size)
        pending = pending.slice(whole)
    if pending is not None and pending.num_rows:
        yield pending
    if last is not None:
        yield last


def _usable(batch: pa.RecordBatch, segments: int) -> tuple[pa.RecordBatch, int]:
    """The rows that are no spikes, with the number of their segment, and how many segments have begun so far."""
    flags = batch.column("flags")
    starts = Flag.SEGMENT_START.of(flags).cast(pa.int64())
    numbers = pc.add(pc.cumulative_sum(starts), segments)
    rows = pa.record_batch(
        [batch.column("timestamp").cast(pa.int64()), *(batch.column(name) for name in _NAMES[1:4]), numbers],
        names=list(_NAMES),
    )
    after = numbers[-1].as_py() if len(numbers) else segments
    return rows.filter(pc.invert(Flag.POSITION_SPIKE.of(flags))), after


def _largest_triangle(before: MapPoint, bucket: pa.RecordBatch, following: pa.RecordBatch) -> int:
    """The row of `bucket` farthest from the line between the point chosen before and the mean of what follows."""
    if bucket.num_rows == 1:
        return 0
    shrink = math.cos(math.radians(before.latitude_deg))
    mean_x = pc.mean(_eastward(following, before)).as_py() * shrink
    mean_y = pc.mean(following.column("latitude_deg")).as_py() - before.latitude_deg
    x = pc.multiply(_eastward(bucket, before), shrink)
    y = pc.subtract(bucket.column("latitude_deg"), before.latitude_deg)
    areas = pc.abs(pc.subtract(pc.multiply(x, mean_y), pc.multiply(y, mean_x)))
    return int(pc.index(areas, pc.max(areas)).as_py())


def _eastward(rows: pa.RecordBatch, before: MapPoint) -> pa.Array:
    """Degrees of longitude from the point before, the short way around."""
    difference = pc.subtract(rows.column("longitude_deg"), before.longitude_deg)
    return pc.subtract(difference, pc.multiply(pc.round(pc.divide(difference, 360.0)), 360.0))


def _point(rows: pa.RecordBatch, index: int) -> MapPoint:
    return MapPoint(**{name: column[index].as_py() for name, column in zip(_NAMES, rows.columns, strict=True)})


def _cut(segment: list[MapPoint]) -> list[list[MapPoint]]:
    """The parts of a stretch on either side of the antimeridian, each ending and beginning on it; none of one point."""
    parts = [[segment[0]]]
    for before, after in pairwise(segment):
        if abs(after.longitude_deg - before.longitude_deg) > _HALF_TURN:
            side = math.copysign(_HALF_TURN, before.longitude_deg)
            way = after.longitude_deg + 2 * side - before.longitude_deg
            edge = _between(before, after, (side - before.longitude_deg) / way if way else 0.0)
            if before.longitude_deg != side:
                parts[-1].append(replace(edge, longitude_deg=side))
            parts.append([] if after.longitude_deg == -side else [replace(edge, longitude_deg=-side)])
        parts[-1].append(after)
    return [part for part in parts if len(part) > 1]


def _between(before: MapPoint, after: MapPoint, share: float) -> MapPoint:
    """The point so far on the straight way from one to the other; its longitude is left to the caller."""
    speeds = [speed for speed in (before.speed_mps, after.speed_mps) if speed is not None]
    return replace(
        before,
        time_us=before.time_us + round(share * (after.time_us - before.time_us)),
        latitude_deg=before.latitude_deg + share * (after.latitude_deg - before.latitude_deg),
        speed_mps=speeds[0] + share * (speeds[1] - speeds[0]) if len(speeds) == 2 else None,
    )


def _feature(parts: list[list[MapPoint]]) -> dict[str, Any]:
    positions = [
        [[round(point.longitude_deg, _DEGREE_DIGITS), round(point.latitude_deg, _DEGREE_DIGITS)] for point in part]
        for part in parts
    ]
    times = [[_iso(point.time_us) for point in part] for part in parts]
    speeds = [[_speed(point.speed_mps) for point in part] for part in parts]
    several = len(parts) > 1
    return {
        "type": "Feature",
        "geometry": {
            "type": "MultiLineString" if several else "LineString",
            "coordinates": positions if several else positions[0],
        },
        "properties": {
            "coordinateProperties": {
                "times": times if several else times[0],
                "speedsMps": speeds if several else speeds[0],
            }
        },
    }


def _speed(speed_mps: float | None) -> float | None:
    return None if speed_mps is None or not math.isfinite(speed_mps) else round(speed_mps, 2)


def _iso(time_us: int) -> str:
    text = (_EPOCH + timedelta(microseconds=time_us)).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")

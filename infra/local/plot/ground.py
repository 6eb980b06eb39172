"""Places of a track as metres on a plane, so that a picture of it is to scale."""

import math
from collections.abc import Callable, Sequence

from telemetry.laps.motion import Frame
from telemetry.streams.map_track import MapPoint

Place = tuple[float, float]


def places_from(points: Sequence[MapPoint]) -> Callable[[MapPoint], Place]:
    """A function that gives the metres east and north of the first of some points.

    Degrees become metres by the WGS 84 radii of curvature at their middle latitude; longitudes go the short way across
    the antimeridian.
    """
    latitudes = [point.latitude_deg for point in points]
    start = points[0]
    frame = Frame((min(latitudes) + max(latitudes)) / 2, start.longitude_deg, 0.0)
    east_m, north_m = frame.east_m_per_deg, frame.north_m_per_deg

    def place(point: MapPoint) -> Place:
        turn = math.remainder(point.longitude_deg - start.longitude_deg, 360.0)
        return turn * east_m, (point.latitude_deg - start.latitude_deg) * north_m

    return place

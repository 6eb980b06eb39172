"""Length of the steps of a track on the WGS 84 ellipsoid. Pure; Arrow arrays in and out."""

import math

import pyarrow as pa
import pyarrow.compute as pc

from telemetry.streams.values import Extremes, extremes

_EQUATOR_M = 6378137.0
_E2 = 0.00669437999014
_RADIANS = math.pi / 180

NARROW_DEG = 0.2
"""Within so much latitude, and not nearer to a pole than 5°, the radii of curvature are interpolated."""
_POLAR_DEG = 85.0


def step_lengths_m(
    latitude_deg: pa.Array, longitude_deg: pa.Array, spans: tuple[Extremes, Extremes] | None = None
) -> pa.Array:
    """Metres from each position to the next, one fewer than positions; the short way across the antimeridian.

    With the radii of curvature at the step's mid-latitude (meridian M = a(1-e²)/w³, prime vertical N = a/w,
    w² = 1 - e² sin²φ; Torge, Geodesy, section 4.1.3). Among positions that lie within `NARROW_DEG` of latitude they
    come from a parabola through three exact ones, which is good to 5e-8 (1e-9 on a circuit). `spans` are the extremes
    of both columns where they are known.
    """
    (south, north, _), across = spans or (extremes(latitude_deg), extremes(longitude_deg))
    last = max(0, len(latitude_deg) - 1)
    before, after = latitude_deg.slice(0, last), latitude_deg.slice(1)
    climb = pc.subtract(after, before)
    turn = pc.subtract(longitude_deg.slice(1), longitude_deg.slice(0, last))
    if across.least is None or across.greatest - across.least > 180.0:
        turn = pc.subtract(turn, pc.multiply(pc.round(pc.divide(turn, 360.0)), 360.0))
    # Twice the mid-latitude.
    middle = pc.add(before, after)
    if south is not None and north - south <= NARROW_DEG and south >= -_POLAR_DEG and north <= _POLAR_DEG:
        per_climb, per_turn = _interpolated(middle, south + north)
        up, right = pc.multiply(climb, per_climb), pc.multiply(turn, per_turn)
        return pc.sqrt(pc.add(pc.multiply(up, up), pc.multiply(right, right)))
    cosine = pc.cos(pc.multiply(middle, _RADIANS / 2))
    # w² = 1 - e² sin²φ
    w2 = pc.add(pc.multiply(pc.multiply(cosine, cosine), _E2), 1 - _E2)
    up = pc.divide(pc.multiply(pc.multiply(climb, _RADIANS), 1 - _E2), w2)
    right = pc.multiply(pc.multiply(turn, _RADIANS), cosine)
    squared = pc.add(pc.multiply(up, up), pc.multiply(right, right))
    return pc.multiply(pc.sqrt(pc.divide(squared, w2)), _EQUATOR_M)


def _interpolated(middle: pa.Array, centre: float) -> tuple[pa.Array, pa.Array]:
    """Metres per degree of latitude and of longitude at `middle`, all as twice the latitude, about `centre`.

    The meridian's radius changes so little that a straight line does for it.
    """
    below, at, above = (_metres_per_degree(centre + edge) for edge in (-NARROW_DEG, 0.0, NARROW_DEG))
    slope = (above[0] - below[0]) / (2 * NARROW_DEG)
    per_climb = pc.add(pc.multiply(middle, slope), at[0] - slope * centre)
    first = (above[1] - below[1]) / (2 * NARROW_DEG)
    second = (above[1] - 2 * at[1] + below[1]) / (2 * NARROW_DEG**2)
    per_turn = pc.add(pc.multiply(middle, second), first - 2 * second * centre)
    per_turn = pc.add(pc.multiply(per_turn, middle), at[1] - first * centre + second * centre**2)
    return per_climb, per_turn


def _metres_per_degree(twice_latitude_deg: float) -> tuple[float, float]:
    cosine = math.cos(twice_latitude_deg * _RADIANS / 2)
    w2 = 1 - _E2 + _E2 * cosine * cosine
    radius = _EQUATOR_M * _RADIANS / math.sqrt(w2)
    return radius * (1 - _E2) / w2, radius * cosine

"""Length of the steps of a track on the WGS 84 ellipsoid. Pure; Arrow arrays in and out."""

import math

import pyarrow as pa
import pyarrow.compute as pc

_EQUATOR_M = 6378137.0
_E2 = 0.00669437999014
_RADIANS = math.pi / 180


def step_lengths_m(latitude_deg: pa.Array, longitude_deg: pa.Array) -> pa.Array:
    """Metres from each position to the next, one fewer than positions; the short way across the antimeridian.

    With the radii of curvature at the step's mid-latitude (meridian M = a(1-e²)/w³, prime vertical N = a/w,
    w² = 1 - e² sin²φ; Torge, Geodesy, section 4.1.3).
    """
    last = max(0, len(latitude_deg) - 1)
    before, after = latitude_deg.slice(0, last), latitude_deg.slice(1)
    turn = pc.subtract(longitude_deg.slice(1), longitude_deg.slice(0, last))
    turn = pc.subtract(turn, pc.multiply(pc.round(pc.divide(turn, 360.0)), 360.0))
    cosine = pc.cos(pc.multiply(pc.add(before, after), _RADIANS / 2))
    # w² = 1 - e² sin²φ
    w2 = pc.add(pc.multiply(pc.multiply(cosine, cosine), _E2), 1 - _E2)
    north = pc.divide(pc.multiply(pc.multiply(pc.subtract(after, before), _RADIANS), 1 - _E2), w2)
    east = pc.multiply(pc.multiply(turn, _RADIANS), cosine)
    squared = pc.add(pc.multiply(north, north), pc.multiply(east, east))
    return pc.multiply(pc.sqrt(pc.divide(squared, w2)), _EQUATOR_M)

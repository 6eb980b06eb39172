"""Fields of NMEA 0183 sentences to columns, one sentence type at a time, vectorised.

Source: NMEA 0183; field orders as in "u-blox M8 Receiver Description", NMEA Protocol, and for `$PMGNTRK` "Magellan
GPS Interface Protocol". A field that cannot be read is null.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from telemetry.formats.cells import parse_float
from telemetry.formats.nmea_sentences import GGA, GLL, GNS, GSA, GST, RMC, TRK, VTG, ZDA
from telemetry.streams.channels import FIX_TYPE
from telemetry.streams.units import KNOT_MPS

FIX_NAMES = pa.array(
    ["gnss", "dgnss", "pps", "rtk_fixed", "rtk_float", "estimated", "manual", "simulated", "2d", "3d"], pa.string()
)
FIX_2D, FIX_3D = 8, 9
LAST_QUALITY = 8

EPOCH = date(1970, 1, 1)
FIRST_YEAR = 80
"""Two-digit years from here on belong to the 1900s: GPS time begins in 1980."""


@dataclass(frozen=True, slots=True)
class Fields:
    """Columns of some sentences of one type: present when the type has them.

    Attributes
    ----------
    time_us : microseconds of the day, UTC.
    day : days since 1970-01-01.
    usable : whether the sentence itself says that its position is a fix (`None`: has no position).
    fix : index into `FIX_NAMES`.
    """

    time_us: pa.Int64Array | None = None
    day: pa.Int64Array | None = None
    usable: pa.BooleanArray | None = None
    fix: pa.Int8Array | None = None
    columns: dict[str, pa.DoubleArray] | None = None


def number(cells: pa.StringArray) -> pa.DoubleArray:
    """Numbers; null where blank or unreadable."""
    filled = pc.if_else(pc.equal(cells, ""), pa.scalar(None, pa.string()), cells)
    return parse_float(filled)[0]


def time_of_day(cells: pa.StringArray) -> pa.Int64Array:
    """`hhmmss.sss` to microseconds of the day; a leap second is the first second of the next day."""
    stamps = pc.round(pc.multiply(number(cells), 1e6))
    sound = pc.and_(pc.greater_equal(stamps, 0.0), pc.less(stamps, 240000e6))
    whole = pc.if_else(sound, stamps, None).cast(pa.int64())
    hours = pc.divide(whole, 10_000_000_000)
    minutes = pc.subtract(pc.divide(whole, 100_000_000), pc.multiply(hours, 100))
    seconds_us = pc.subtract(whole, pc.multiply(pc.divide(whole, 100_000_000), 100_000_000))
    sound = pc.and_(pc.less(minutes, 60), pc.less(seconds_us, 61_000_000))
    total = pc.add(pc.multiply(pc.add(pc.multiply(hours, 60), minutes), 60_000_000), seconds_us)
    return pc.if_else(sound, total, None)


def degrees(cells: pa.StringArray, hemispheres: pa.StringArray, positive: str, negative: str) -> pa.DoubleArray:
    """`dddmm.mmmm` and its hemisphere to signed degrees."""
    values = number(cells)
    whole = pc.floor(pc.divide(values, 100.0))
    minutes = pc.subtract(values, pc.multiply(whole, 100.0))
    south = pc.equal(hemispheres, negative)
    sound = pc.and_(
        pc.and_(pc.greater_equal(values, 0.0), pc.less(minutes, 60.0)), pc.or_(south, pc.equal(hemispheres, positive))
    )
    unsigned = pc.add(whole, pc.divide(minutes, 60.0))
    return pc.if_else(sound, pc.if_else(south, pc.negate(unsigned), unsigned), None)


_DAY = re.compile(r"^(\d\d)(\d\d)(\d\d(?:\d\d)?)$")


def day_number(cells: pa.StringArray) -> pa.Int64Array:
    """`ddmmyy` or `ddmmyyyy` to days since 1970-01-01. Few dates are distinct: each is worked out once."""
    distinct = pc.unique(cells)
    days = pa.array([_day(cell) for cell in distinct.to_pylist()], pa.int64())
    return days.take(pc.index_in(cells, value_set=distinct))


def _day(cell: str | None) -> int | None:
    match = _DAY.match(cell or "")
    if match is None:
        return None
    day, month, year = (int(part) for part in match.groups())
    if year < 100:
        year += 1900 if year >= FIRST_YEAR else 2000
    try:
        return (date(year, month, day) - EPOCH).days if year >= 1900 + FIRST_YEAR else None
    except ValueError:
        return None


Column = Callable[[int], pa.StringArray]


def _position(column: Column, at: int) -> dict[str, pa.DoubleArray]:
    return {
        "latitude_deg": degrees(column(at), column(at + 1), "N", "S"),
        "longitude_deg": degrees(column(at + 2), column(at + 3), "E", "W"),
    }


def _rmc(column: Column) -> Fields:
    return Fields(
        time_us=time_of_day(column(0)),
        day=pc.if_else(pc.equal(column(1), "A"), day_number(column(8)), None),
        usable=pc.equal(column(1), "A"),
        columns={
            **_position(column, 2),
            "speed_mps": pc.multiply(number(column(6)), KNOT_MPS),
            "course_deg": number(column(7)),
        },
    )


def _gga(column: Column) -> Fields:
    quality = number(column(5))
    known = pc.and_(pc.greater_equal(quality, 1.0), pc.less_equal(quality, float(LAST_QUALITY)))
    return Fields(
        time_us=time_of_day(column(0)),
        usable=pc.fill_null(pc.greater(quality, 0.0), False),
        fix=pc.if_else(known, pc.subtract(quality, 1.0), None).cast(pa.int8(), safe=False),
        columns={
            **_position(column, 1),
            "satellites": number(column(6)),
            "hdop": number(column(7)),
            "altitude_m": number(column(8)),
            "geoid_separation": number(column(10)),
        },
    )


def _gns(column: Column) -> Fields:
    return Fields(
        time_us=time_of_day(column(0)),
        usable=pc.match_substring_regex(column(5), "[ADEFMPRS]"),
        columns={
            **_position(column, 1),
            "satellites": number(column(6)),
            "hdop": number(column(7)),
            "altitude_m": number(column(8)),
            "geoid_separation": number(column(9)),
        },
    )


def _gll(column: Column) -> Fields:
    # Before NMEA 2.0 there was no status: then the position alone counts.
    status = column(5)
    return Fields(
        time_us=time_of_day(column(4)),
        usable=pc.or_(pc.equal(status, "A"), pc.equal(status, "")),
        columns=_position(column, 0),
    )


def _trk(column: Column) -> Fields:
    altitude = number(column(4))
    feet = pc.equal(column(5), "F")
    return Fields(
        time_us=time_of_day(column(6)),
        day=day_number(column(9)),
        usable=pc.equal(column(7), "A"),
        columns={
            **_position(column, 0),
            "altitude_m": pc.if_else(feet, pc.multiply(altitude, 0.3048), altitude),
        },
    )


def _gsa(column: Column) -> Fields:
    mode = column(1)
    fix = pc.if_else(pc.equal(mode, "3"), FIX_3D, pc.if_else(pc.equal(mode, "2"), FIX_2D, None))
    return Fields(
        fix=fix.cast(pa.int8()),
        columns={"pdop": number(column(14)), "hdop": number(column(15)), "vdop": number(column(16))},
    )


def _vtg(column: Column) -> Fields:
    # Before NMEA 2.0 the letters were missing: course, magnetic course, knots, km/h.
    lettered = pc.equal(column(1), "T")
    knots = pc.multiply(number(pc.if_else(lettered, column(4), column(2))), KNOT_MPS)
    kmh = pc.multiply(number(pc.if_else(lettered, column(6), column(3))), 1 / 3.6)
    # Mode N: data not valid.
    valid = pc.not_equal(column(8), "N")
    speed = pc.if_else(valid, pc.coalesce(knots, kmh), None)
    return Fields(columns={"speed_mps": speed, "course_deg": pc.if_else(valid, number(column(0)), None)})


def _gst(column: Column) -> Fields:
    north, east = number(column(5)), number(column(6))
    return Fields(
        time_us=time_of_day(column(0)),
        columns={
            "horizontal_accuracy_m": pc.sqrt(pc.add(pc.multiply(north, north), pc.multiply(east, east))),
            "vertical_accuracy": number(column(7)),
        },
    )


def _zda(column: Column) -> Fields:
    digits = pc.binary_join_element_wise(
        pc.utf8_lpad(column(1), 2, "0"), pc.utf8_lpad(column(2), 2, "0"), column(3), ""
    )
    return Fields(time_us=time_of_day(column(0)), day=day_number(digits))


_PARSERS: dict[int, tuple[int, Callable[[Column], Fields]]] = {
    RMC: (9, _rmc),
    GGA: (11, _gga),
    GNS: (10, _gns),
    GLL: (6, _gll),
    TRK: (10, _trk),
    GSA: (17, _gsa),
    VTG: (9, _vtg),
    GST: (8, _gst),
    ZDA: (4, _zda),
}


def parse(kind: int, bodies: pa.StringArray) -> Fields:
    """The columns of sentences of one kind (an index into `KINDS`); missing fields count as blank."""
    needed, parser = _PARSERS[kind]
    fields = pc.split_pattern(bodies, ",")
    if pc.min(pc.list_value_length(fields)).as_py() < needed:
        fields = pc.split_pattern(pc.binary_join_element_wise(bodies, "," * needed, ""), ",")
    return parser(lambda index: pc.list_element(fields, index))


def fix_types(codes: pa.Int8Array) -> pa.DictionaryArray:
    """Codes as the canonical column `fix_type`."""
    return pa.DictionaryArray.from_arrays(codes, FIX_NAMES).cast(FIX_TYPE)

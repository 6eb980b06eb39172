"""Fields of NMEA 0183 sentences to columns, one sentence type at a time, vectorised.

Source: NMEA 0183; field orders as in "u-blox M8 Receiver Description", NMEA Protocol, and for `$PMGNTRK` "Magellan
GPS Interface Protocol". A field that cannot be read is null.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from telemetry.formats.cells import parse_float
from telemetry.formats.day_clock import time_of_day
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


def degrees(values: pa.DoubleArray, hemispheres: pa.StringArray, positive: str, negative: str) -> pa.DoubleArray:
    """`dddmm.mmmm` and its hemisphere to signed degrees."""
    whole = pc.floor(pc.divide(values, 100.0))
    minutes = pc.subtract(values, pc.multiply(whole, 100.0))
    unsigned = pc.add(whole, pc.divide(minutes, 60.0))
    south = pc.equal(hemispheres, negative)
    inside = pc.and_(pc.greater_equal(values, 0.0), pc.less(minutes, 60.0))
    sound = pc.and_(inside, pc.or_(south, pc.equal(hemispheres, positive)))
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


class Cells(Protocol):
    """The fields of some sentences of one type, by their index after the address field."""

    def text(self, index: int) -> pa.StringArray:
        """As they stand."""
        ...

    def number(self, index: int) -> pa.DoubleArray:
        """As finite numbers; null where blank or unreadable."""
        ...


class _SplitCells:
    """Any sentences: each is split, and fields that are missing count as blank."""

    def __init__(self, bodies: pa.StringArray, needed: int) -> None:
        self._fields = pc.split_pattern(bodies, ",")
        if pc.min(pc.list_value_length(self._fields)).as_py() < needed:
            self._fields = pc.split_pattern(pc.binary_join_element_wise(bodies, "," * needed, ""), ",")

    def text(self, index: int) -> pa.StringArray:
        return pc.list_element(self._fields, index)

    def number(self, index: int) -> pa.DoubleArray:
        return number(self.text(index))


class _TableCells:
    """Sentences of equal shape whose numbers are numbers or blank: one pass of the CSV parser, about twice as fast."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def text(self, index: int) -> pa.StringArray:
        return self._table.column(str(index)).chunk(0)

    number = text


def _table_cells(bodies: pa.StringArray, needed: int, numbers: frozenset[int]) -> Cells | None:
    """None where the strict way is needed: ragged sentences, or a number that is none."""
    names = [str(index) for index in range(bodies[0].as_py().count(",") + 1)]
    if len(names) < needed:
        return None
    rows = pa.ListArray.from_arrays(pa.array([0, len(bodies)], pa.int32()), bodies)
    joined = pc.binary_join(rows, "\n")[0].as_buffer()
    try:
        table = csv.read_csv(
            pa.BufferReader(joined),
            csv.ReadOptions(use_threads=False, block_size=joined.size + 1, column_names=names),
            csv.ParseOptions(quote_char=False, ignore_empty_lines=False),
            csv.ConvertOptions(
                check_utf8=False,
                column_types={str(i): pa.float64() if i in numbers else pa.string() for i in range(needed)},
                null_values=[""],
                include_columns=names[:needed],
            ),
        )
    except pa.ArrowInvalid:
        return None
    finite = all(pc.all(pc.is_finite(table.column(str(index)))).as_py() is not False for index in numbers)
    return _TableCells(table) if finite and table.num_rows == len(bodies) else None


def _position(cells: Cells, at: int) -> dict[str, pa.DoubleArray]:
    return {
        "latitude_deg": degrees(cells.number(at), cells.text(at + 1), "N", "S"),
        "longitude_deg": degrees(cells.number(at + 2), cells.text(at + 3), "E", "W"),
    }


def _rmc(cells: Cells) -> Fields:
    return Fields(
        time_us=time_of_day(cells.number(0)),
        day=pc.if_else(pc.equal(cells.text(1), "A"), day_number(cells.text(8)), None),
        usable=pc.equal(cells.text(1), "A"),
        columns={
            **_position(cells, 2),
            "speed_mps": pc.multiply(cells.number(6), KNOT_MPS),
            "course_deg": cells.number(7),
        },
    )


def _gga(cells: Cells) -> Fields:
    quality = cells.number(5)
    known = pc.and_(pc.greater_equal(quality, 1.0), pc.less_equal(quality, float(LAST_QUALITY)))
    return Fields(
        time_us=time_of_day(cells.number(0)),
        usable=pc.fill_null(pc.greater(quality, 0.0), False),
        fix=pc.if_else(known, pc.subtract(quality, 1.0), None).cast(pa.int8(), safe=False),
        columns={
            **_position(cells, 1),
            "satellites": cells.number(6),
            "hdop": cells.number(7),
            "altitude_m": cells.number(8),
            "geoid_separation": cells.number(10),
        },
    )


def _gns(cells: Cells) -> Fields:
    return Fields(
        time_us=time_of_day(cells.number(0)),
        usable=pc.match_substring_regex(cells.text(5), "[ADEFMPRS]"),
        columns={
            **_position(cells, 1),
            "satellites": cells.number(6),
            "hdop": cells.number(7),
            "altitude_m": cells.number(8),
            "geoid_separation": cells.number(9),
        },
    )


def _gll(cells: Cells) -> Fields:
    # Before NMEA 2.0 there was no status: then the position alone counts.
    status = cells.text(5)
    return Fields(
        time_us=time_of_day(cells.number(4)),
        usable=pc.or_(pc.equal(status, "A"), pc.equal(status, "")),
        columns=_position(cells, 0),
    )


def _trk(cells: Cells) -> Fields:
    altitude = cells.number(4)
    feet = pc.equal(cells.text(5), "F")
    return Fields(
        time_us=time_of_day(cells.number(6)),
        day=day_number(cells.text(9)),
        usable=pc.equal(cells.text(7), "A"),
        columns={
            **_position(cells, 0),
            "altitude_m": pc.if_else(feet, pc.multiply(altitude, 0.3048), altitude),
        },
    )


def _gsa(cells: Cells) -> Fields:
    mode = cells.text(1)
    fix = pc.if_else(pc.equal(mode, "3"), FIX_3D, pc.if_else(pc.equal(mode, "2"), FIX_2D, None))
    return Fields(
        fix=fix.cast(pa.int8()),
        columns={"pdop": cells.number(14), "hdop": cells.number(15), "vdop": cells.number(16)},
    )


def _vtg(cells: Cells) -> Fields:
    # Before NMEA 2.0 the letters were missing: course, magnetic course, knots, km/h.
    lettered = pc.equal(cells.text(1), "T")
    knots = pc.multiply(number(pc.if_else(lettered, cells.text(4), cells.text(2))), KNOT_MPS)
    kmh = pc.multiply(number(pc.if_else(lettered, cells.text(6), cells.text(3))), 1 / 3.6)
    # Mode N: data not valid.
    valid = pc.not_equal(cells.text(8), "N")
    speed = pc.if_else(valid, pc.coalesce(knots, kmh), None)
    return Fields(columns={"speed_mps": speed, "course_deg": pc.if_else(valid, cells.number(0), None)})


def _gst(cells: Cells) -> Fields:
    north, east = cells.number(5), cells.number(6)
    return Fields(
        time_us=time_of_day(cells.number(0)),
        columns={
            "horizontal_accuracy_m": pc.sqrt(pc.add(pc.multiply(north, north), pc.multiply(east, east))),
            "vertical_accuracy": cells.number(7),
        },
    )


def _zda(cells: Cells) -> Fields:
    digits = pc.binary_join_element_wise(
        pc.utf8_lpad(cells.text(1), 2, "0"), pc.utf8_lpad(cells.text(2), 2, "0"), cells.text(3), ""
    )
    return Fields(time_us=time_of_day(cells.number(0)), day=day_number(digits))


# How many fields a type needs, which of them are numbers, and what is made of them.
_PARSERS: dict[int, tuple[int, frozenset[int], Callable[[Cells], Fields]]] = {
    RMC: (9, frozenset({0, 2, 4, 6, 7}), _rmc),
    GGA: (11, frozenset({0, 1, 3, 5, 6, 7, 8, 10}), _gga),
    GNS: (10, frozenset({0, 1, 3, 6, 7, 8, 9}), _gns),
    GLL: (6, frozenset({0, 2, 4}), _gll),
    TRK: (10, frozenset({0, 2, 4, 6}), _trk),
    GSA: (17, frozenset({14, 15, 16}), _gsa),
    VTG: (9, frozenset({0}), _vtg),
    GST: (8, frozenset({0, 5, 6, 7}), _gst),
    ZDA: (4, frozenset({0}), _zda),
}


def parse(kind: int, bodies: pa.StringArray, *, strict: bool = False) -> Fields:
    """The columns of sentences of one kind (an index into `KINDS`).

    Parameters
    ----------
    strict : skip the fast way, which gives the same for all sentences that it takes.
    """
    needed, numbers, parser = _PARSERS[kind]
    fast = None if strict else _table_cells(bodies, needed, numbers)
    return parser(fast or _SplitCells(bodies, needed))


def fix_types(codes: pa.Int8Array) -> pa.DictionaryArray:
    """Codes as the canonical column `fix_type`."""
    return pa.DictionaryArray.from_arrays(codes, FIX_NAMES).cast(FIX_TYPE)

"""A channel's cells in their canonical type; cells that are not finite or do not fit become null and are counted.

Also the cheap looks at a column (`extremes`) and the columns that cost nothing (`zeros`, `nulls`), which let a batch
without any oddity pass with few looks at its values.
"""

import math
import struct
from functools import lru_cache
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from telemetry.streams.judgement import Judgement

# A receiver says "unknown" with a negative value in these.
_NEVER_NEGATIVE = frozenset({"speed_mps", "horizontal_accuracy_m", "hdop", "satellites"})


def as_type(array: pa.Array, kind: pa.DataType, name: str, rows: pa.Array, judgement: Judgement) -> pa.Array:
    """`array` as `kind`; what is not finite, does not fit or cannot be is null and counted as a bad cell."""
    if array.null_count == len(array):
        return pa.nulls(len(array), kind)
    floating = pa.types.is_floating(array.type)
    span = extremes(array) if floating or name in _NEVER_NEGATIVE else None
    if span is not None and floating and not span.finite:
        finite = pc.is_finite(array)
        judgement.bad_cell(name, pc.fill_null(pc.invert(finite), False), rows)
        array = pc.if_else(finite, array, None)
    if span is not None and name in _NEVER_NEGATIVE and (span.least or 0) < 0:
        negative = pc.less(array, pa.scalar(0, array.type))
        judgement.bad_cell(name, pc.fill_null(negative, False), rows)
        array = pc.if_else(negative, None, array)
    if span is not None and name == "course_deg" and not 0 <= (span.least or 0) <= (span.greatest or 0) <= 360:
        array = _course(array, rows, judgement)
    if array.type == kind:
        return array
    return _cast(array, kind, name, rows, judgement)


def _course(array: pa.Array, rows: pa.Array, judgement: Judgement) -> pa.Array:
    """Degrees from 0 to 360; some programs count from -180 to 180. Telephones say "unknown" with exactly -1."""
    outside = pc.or_(pc.or_(pc.less(array, -180), pc.greater(array, 360)), pc.equal(array, -1))
    judgement.bad_cell("course_deg", pc.fill_null(outside, False), rows)
    turned = pc.if_else(pc.less(array, 0), pc.add(array, pa.scalar(360, array.type)), array)
    return pc.if_else(outside, None, turned)


def _cast(array: pa.Array, kind: pa.DataType, name: str, rows: pa.Array, judgement: Judgement) -> pa.Array:
    try:
        if pa.types.is_dictionary(kind):
            text = array.cast(kind.value_type)
            encoded = text.dictionary_encode()
            return encoded.cast(kind)
        if pa.types.is_floating(kind) and pa.types.is_floating(array.type):
            cast = array.cast(kind, safe=False)
            if kind.bit_width < array.type.bit_width and not all_finite(cast):
                finite = pc.is_finite(cast)
                judgement.bad_cell(name, pc.fill_null(pc.invert(finite), False), rows)
                cast = pc.if_else(finite, cast, None)
            return cast
        if pa.types.is_integer(kind) and pa.types.is_floating(array.type):
            array = pc.round(array)
        return array.cast(kind)
    except pa.ArrowInvalid:
        return _cast_cell_by_cell(array, kind, name, rows, judgement)


def _cast_cell_by_cell(array: pa.Array, kind: pa.DataType, name: str, rows: pa.Array, judgement: Judgement) -> pa.Array:
    """The rare block that holds a cell which cannot be cast."""
    cells: list[object] = []
    for cell in array:
        try:
            cells.append(cell.cast(kind).as_py())
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            cells.append(None)
    cast = pa.array(cells, kind)
    judgement.bad_cell(name, pc.and_(pc.is_null(cast), pc.is_valid(array)), rows)
    return cast


def all_finite(values: pa.Array) -> bool:
    """One pass: a sum is finite only if every part is; a sum that overflows is looked at cell by cell."""
    total = pc.sum(values).as_py()
    return total is None or math.isfinite(total) or bool(pc.all(pc.is_finite(values)).as_py())


class Extremes(NamedTuple):
    """A column's least and greatest value (numbers, None where it has none), and whether all its values are finite."""

    least: Any
    greatest: Any
    finite: bool


# Bits of +infinity, width for width, the integers that they are read as, and how they are packed.
_LAYOUTS = {
    pa.float64(): (0x7FF0_0000_0000_0000, 1 << 63, pa.int64(), "<q", "<d"),
    pa.float32(): (0x7F80_0000, 1 << 31, pa.int32(), "<i", "<f"),
}


def extremes(values: pa.Array) -> Extremes:
    """As `pc.min_max`, which is eight times slower for floats than for integers.

    Floats of one sign are in the order of their bits read as integers (IEEE 754, section 3.4), so these are compared;
    columns of both signs, or with NaN or infinity, are looked at as floats.
    """
    layout = _LAYOUTS.get(values.type)
    if layout is not None:
        infinity, sign, integers, packed, unpacked = layout
        bits = pc.min_max(values.view(integers)).as_py()
        low, high = bits["min"], bits["max"]
        if low is None:
            return Extremes(None, None, finite=True)
        positive, negative = low >= 0 and high < infinity, high < infinity - sign
        if positive or negative:
            edges = (low, high) if positive else (high, low)
            least, greatest = (struct.unpack(unpacked, struct.pack(packed, edge))[0] for edge in edges)
            return Extremes(least, greatest, finite=True)
    found = pc.min_max(values).as_py()
    return Extremes(found["min"], found["max"], finite=not pa.types.is_floating(values.type) or all_finite(values))


_SHARED_ROWS = 1 << 17


@lru_cache(maxsize=64)
def _shared(kind: pa.DataType, *, zero: bool) -> pa.Array:
    return pa.repeat(pa.scalar(0, kind), _SHARED_ROWS) if zero else pa.nulls(_SHARED_ROWS, kind)


def zeros(rows: int, kind: pa.DataType) -> pa.Array:
    """A column of zeros; all of them share one piece of memory."""
    if rows > _SHARED_ROWS:
        return pa.repeat(pa.scalar(0, kind), rows)
    return _shared(kind, zero=True).slice(0, rows)


def nulls(rows: int, kind: pa.DataType) -> pa.Array:
    """A column of nulls; all of them share one piece of memory."""
    return pa.nulls(rows, kind) if rows > _SHARED_ROWS else _shared(kind, zero=False).slice(0, rows)

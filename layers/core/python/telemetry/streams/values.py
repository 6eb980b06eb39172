"""A channel's cells in their canonical type; cells that are not finite or do not fit become null and are counted."""

import math

import pyarrow as pa
import pyarrow.compute as pc

from telemetry.streams.judgement import Judgement

# A receiver says "unknown" with a negative value in these.
_NEVER_NEGATIVE = frozenset({"speed_mps", "horizontal_accuracy_m", "hdop", "satellites"})


def as_type(array: pa.Array, kind: pa.DataType, name: str, rows: pa.Array, judgement: Judgement) -> pa.Array:
    """`array` as `kind`; what is not finite, does not fit or cannot be is null and counted as a bad cell."""
    if array.null_count == len(array):
        return pa.nulls(len(array), kind)
    if pa.types.is_floating(array.type) and not all_finite(array):
        finite = pc.is_finite(array)
        judgement.bad_cell(name, pc.fill_null(pc.invert(finite), False), rows)
        array = pc.if_else(finite, array, None)
    if name in _NEVER_NEGATIVE and (pc.min(array).as_py() or 0) < 0:
        negative = pc.less(array, pa.scalar(0, array.type))
        judgement.bad_cell(name, pc.fill_null(negative, False), rows)
        array = pc.if_else(negative, None, array)
    if array.type == kind:
        return array
    return _cast(array, kind, name, rows, judgement)


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

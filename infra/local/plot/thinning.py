"""Long lines made short for a chart: what a column of pixels shows, and no more. Pure; Arrow arrays in, lists out."""

import math

import pyarrow as pa
import pyarrow.compute as pc

_VALUES = (("x", "first"), ("y", "first"), ("y", "min"), ("y", "max"), ("x", "last"), ("y", "last"))


def thinned(x: pa.Array, y: pa.Array, piece: pa.Array, columns: int) -> tuple[list[float], list[float]]:
    """A line that looks like the whole one when it is drawn `columns` pixels wide; NaN parts its pieces.

    Of each column its first, least, greatest and last value, so that no peak is lost (Jugel et al., "M4: A
    Visualization-Oriented Time Series Data Aggregation", VLDB 2014).

    Parameters
    ----------
    x : rising.
    y : as long; null where unknown.
    piece : as long; counts the unbroken pieces.
    """
    known = pc.is_valid(y)
    rows = pa.table({"piece": piece, "x": x, "y": y.cast(pa.float64())}).filter(known)
    if rows.num_rows == 0:
        return [], []
    least, greatest = rows["x"][0].as_py(), rows["x"][-1].as_py()
    if rows.num_rows > 4 * columns and greatest > least:
        place = pc.multiply(pc.subtract(rows["x"], least), columns / (greatest - least))
        rows = rows.append_column("column", pc.min_element_wise(pc.floor(place).cast(pa.int32()), columns - 1))
        rows = rows.group_by(["piece", "column"], use_threads=False).aggregate(list(_VALUES))
        told = [rows[f"{name}_{what}"].to_pylist() for name, what in _VALUES]
        pieces = rows["piece"].to_pylist()
        points = [
            (which, [(first_x, first_y), (middle, low), (middle, high), (last_x, last_y)])
            for which, first_x, first_y, low, high, last_x, last_y in zip(pieces, *told, strict=True)
            for middle in [(first_x + last_x) / 2]
        ]
    else:
        points = [
            (which, [(at, value)])
            for which, at, value in zip(*(rows[name].to_pylist() for name in ("piece", "x", "y")), strict=True)
        ]
    xs: list[float] = []
    ys: list[float] = []
    before = points[0][0]
    for which, drawn in points:
        if which != before:
            xs.append(drawn[0][0])
            ys.append(math.nan)
            before = which
        xs.extend(at for at, _ in drawn)
        ys.extend(value for _, value in drawn)
    return xs, ys

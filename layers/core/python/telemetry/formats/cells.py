"""Cells of a text table to numbers: vectorised, and a bad cell becomes null instead of an error.

Pure: Arrow arrays in, Arrow arrays out. A block whose cells are all plain numbers costs one cast; only a block with
blanks or oddities is looked at cell by cell (still vectorised).
"""

import re

import pyarrow as pa
import pyarrow.compute as pc

_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_MISSING = r"^(?i:-+|\*+|-?nan|null|none|nil|n/?a|#n/a|\?|undefined)$"
"""What loggers write where they have no value: not an error."""
COMMON_MISSING = (
    "", "nan", "NaN", "NAN", "Nan", "-nan", "-NaN", "null", "NULL", "Null", "none", "None", "NONE",
    "n/a", "N/A", "na", "NA", "#N/A", "-", "--", "---",
)  # fmt: skip
"""How these are usually spelt: Arrow's parser may take them as null while it parses."""
_MISSING_CELL = re.compile(_MISSING.removesuffix("$") + r"\Z")
_GROUPED_BY_COMMA = r"^[+-]?\d{1,3}(,\d{3})+(\.\d*)?$"
_GROUPED_BY_POINT = r"^[+-]?\d{1,3}(\.\d{3})+(,\d*)?$"


def parse_float(strings: pa.StringArray, *, decimal_comma: bool = False) -> tuple[pa.DoubleArray, pa.BooleanArray]:
    """Numbers of `strings`, null where blank or unreadable, and the mask of the unreadable.

    Parameters
    ----------
    strings : cells as they stand in the file; surrounding blanks do not matter.
    decimal_comma : `1,5` means one and a half, and `.` groups thousands; otherwise `,` groups thousands.

    Infinite values and NaN come out as null; markers of a missing value (`-`, `n/a`, …) count as blank.
    """
    if not decimal_comma:
        try:
            return _finite(strings.cast(pa.float64())), _no_mask(len(strings))
        except pa.ArrowInvalid:
            pass
    return _parse_each(strings, decimal_comma)


def blank_to_null(strings: pa.StringArray) -> pa.StringArray:
    """Trimmed cells, null where nothing or only a marker of a missing value stands."""
    trimmed = pc.utf8_trim_whitespace(strings)
    blank = pc.or_(pc.equal(trimmed, ""), pc.match_substring_regex(trimmed, _MISSING))
    return pc.if_else(blank, pa.scalar(None, pa.string()), trimmed)


def is_missing(cell: str) -> bool:
    """True for a cell that `blank_to_null` makes null."""
    trimmed = cell.strip()
    return not trimmed or (not trimmed[0].isdigit() and _MISSING_CELL.match(trimmed) is not None)


def _parse_each(strings: pa.StringArray, decimal_comma: bool) -> tuple[pa.DoubleArray, pa.BooleanArray]:
    cells = blank_to_null(strings)
    if decimal_comma:
        grouped = pc.match_substring_regex(cells, _GROUPED_BY_POINT)
        # `52.520` alone is far more often a plain number than fifty-two thousand.
        sure = pc.or_(pc.greater(pc.count_substring(cells, "."), 1), pc.match_substring(cells, ","))
        cells = pc.if_else(pc.and_(grouped, sure), pc.replace_substring(cells, ".", ""), cells)
        cells = pc.replace_substring(cells, ",", ".")
    else:
        grouped = pc.match_substring_regex(cells, _GROUPED_BY_COMMA)
        cells = pc.if_else(grouped, pc.replace_substring(cells, ",", ""), cells)
    readable = pc.match_substring_regex(cells, _NUMBER)
    unreadable = pc.fill_null(pc.invert(readable), False)
    numbers = pc.if_else(readable, cells, pa.scalar(None, pa.string())).cast(pa.float64())
    return _finite(numbers), unreadable


def _finite(numbers: pa.DoubleArray) -> pa.DoubleArray:
    finite = pc.is_finite(numbers)
    if pc.all(finite).as_py() is not False:
        return numbers
    return pc.if_else(finite, numbers, pa.scalar(None, pa.float64()))


def _no_mask(length: int) -> pa.BooleanArray:
    return pa.repeat(pa.scalar(False), length)

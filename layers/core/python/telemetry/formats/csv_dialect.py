"""Where a text table begins and how it is written: delimiter, decimal mark, preamble, header, units row.

Pure; looks at the head of the file only. What the columns mean is `csv_columns`' business.
"""

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from telemetry.formats.cells import is_missing
from telemetry.streams.units import is_unit

DELIMITERS = (",", ";", "\t", "|")
MAX_HEADER_LINES = 400
"""The header is looked for in so many lines."""
SAMPLE_ROWS = 200
LATER_ROWS = 50
MAX_COLUMNS = 4096

_ANGLE = re.compile(r"[NSEWnsew+-]?\s*\d[\d.,]*\s*[°º]\s*[\d\s.,'\"′″’”]*[NSEWnsew]?\Z")
"""`1°14′2.4″S`, `S1.234°`."""
_NUMERIC = re.compile(r"[+-]?(\d[\d.,]*|[.,]\d+)([eE][+-]?\d+)?[NSEWnsew]?\Z")
_HAS_DIGITS = re.compile(r"\d")
_WITH_UNIT = re.compile(r"[+-]?[\d.,]+\s*([A-Za-z°/²%]{1,5})\Z")
_TIME_LIKE = re.compile(r"\d{1,4}[-/.:]\d{1,2}[-/.:]\d{1,4}")
_DECIMAL_COMMA = re.compile(r"[+-]?\d{1,3},\d+\Z")
_GROUPED = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?\Z")
_BRACKETS = re.compile(r"(?P<open>[\[(])(?P<unit>[^\[\]()]*)[\])]")
_OTHER_UNITS = frozenset({
    "hz", "%", "v", "mv", "a", "ma", "kpa", "psi", "bar", "mbar", "hpa", "nm", "lb", "l", "ml", "gal", "gph",
    "l/h", "kg", "rpm", "sats", "utc", "gmt", "local", "dop", "dbm", "db", "lux", "ut", "µt", "°f", "°c", "k",
    "inhg", "hg", "count", "#", "nm/h", "millisecond", "milliseconds", "microseconds", "nanoseconds", "unix",
    "ns", "ms", "us", "µs", "min",
})  # fmt: skip
_UNIT_LIKE = re.compile(r"[°º%²³]|^\w{1,5}/\w{1,5}²?$|y{2,4}|[hH]{2}:?[mM]{2}|d{2,3}mm\.m", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Layout:
    """How the file's table is laid out; line numbers count from 1, columns from 0.

    Attributes
    ----------
    preamble : lines before the header, as they are.
    header : column names as written, without surrounding blanks and quotes, without their unit.
    units : unit by column, from the name or from a units row; empty where none is given.
    units_in_cells : columns whose cells carry the unit: `34.5 M`.
    notes : further rows between header and data (sources), cell by cell.
    first_data_line : line number of the first row of data.
    width : cells in a row of data.
    sample : the first rows of data, cell by cell.
    """

    delimiter: str
    preamble: tuple[str, ...]
    header_line: int
    header: tuple[str, ...]
    units: tuple[str, ...]
    notes: tuple[tuple[str, ...], ...]
    first_data_line: int
    width: int
    sample: tuple[tuple[str, ...], ...] = field(repr=False)
    decimal_comma: bool = False
    units_in_cells: frozenset[int] = frozenset()

    def column(self, index: int) -> list[str]:
        """The sample's cells of one column that say something."""
        return [row[index].strip() for row in self.sample if _says_something(row, index)]


def _says_something(row: Sequence[str], index: int) -> bool:
    return index < len(row) and not is_missing(row[index])


def split(line: str, delimiter: str) -> list[str]:
    """The cells of one line, trimmed; quotes are heeded."""
    if '"' not in line:
        return [cell.strip() for cell in line.split(delimiter)]
    try:
        cells = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error:
        cells = line.split(delimiter)
    return [cell.strip() for cell in cells]


def split_unit(name: str) -> tuple[str, str]:
    """`Speed (km/h)`, `NAME[unit]` and `Speed (m/s) *calc` to name and unit; the unit is empty where there is none.

    What stands in round brackets and is no unit (`G(x)`, `Brake (calculated)`) stays in the name; a list of values
    in square ones (`GPSFIX[NOFIX/2D/3D]`) is dropped.
    """
    for match in reversed(list(_BRACKETS.finditer(name))):
        text = match["unit"].strip()
        rest = f"{name[: match.start()].strip()} {name[match.end() :].strip()}".strip()
        if not rest:
            continue
        if is_unit(text) or text.lower() in _OTHER_UNITS or _UNIT_LIKE.search(text):
            return rest, text
        if match["open"] == "[":
            return rest, "" if re.search(r"[/:,]|\w{8}", text) else text
    return name.strip(), ""


def is_number(cell: str) -> bool:
    """True for what reads as one number, with either decimal mark, with or without a hemisphere."""
    return bool(_NUMERIC.match(cell))


def find_layout(text: str, essential: Callable[[Sequence[str]], int]) -> Layout | None:
    """The layout of the table that `text` begins, None where there is no table.

    Parameters
    ----------
    text : the file's head, decoded, ``\\n`` as line end; its last line may be cut.
    essential : how many of time, latitude and longitude a row of names contains.
    """
    lines = text.split("\n")
    if len(lines) > 1 and len(text) > 4096:
        lines.pop()
    declared = re.match(r"^\"?sep=(.)\"?$", lines[0].strip()) if lines else None
    best: tuple[tuple[int, ...], str, int] | None = None
    for delimiter in (declared[1],) if declared else DELIMITERS:
        found = _find_header(lines, delimiter, essential)
        if found is not None and (best is None or found[0] > best[0]):
            best = (found[0], delimiter, found[1])
    return None if best is None else _layout(lines, best[1], best[2])


def _find_header(
    lines: list[str], delimiter: str, essential: Callable[[Sequence[str]], int]
) -> tuple[tuple[int, ...], int] | None:
    """The likeliest header line: most essential names, then most rows below of its width."""
    best: tuple[tuple[int, ...], int] | None = None
    for index, line in enumerate(lines[:MAX_HEADER_LINES]):
        if delimiter not in line or len(line) > 1 << 16:
            continue
        cells = split(_uncommented(line), delimiter)
        if not 2 <= len(cells) <= MAX_COLUMNS or not _reads_as_names(cells):
            continue
        below = [split(row, delimiter) for row in lines[index + 1 : index + 12] if row.strip()]
        same = sum(abs(len(row) - len(cells)) <= 1 for row in below)
        data = sum(_is_data(row) and abs(len(row) - len(cells)) <= 1 for row in below)
        if below and not data:
            continue
        score = (essential(cells), min(data, 3), min(same, 3), len(cells), -index)
        if best is None or score > best[0]:
            best = (score, index)
    return best


def _layout(lines: list[str], delimiter: str, header_index: int) -> Layout:
    header = split(_uncommented(lines[header_index]), delimiter)
    position = header_index + 1
    units: list[str] = []
    notes: list[tuple[str, ...]] = []
    while position < len(lines) and position <= header_index + 5:
        cells = split(lines[position], delimiter)
        if _is_data(cells) or lines[position].lstrip().startswith("#"):
            break
        if any(cells):
            if not units and _reads_as_units(cells):
                units = cells
            elif len(cells) == len(header):
                notes.append(tuple(cells))
            else:
                break
        position += 1
    else:
        # Nothing that reads as data: what follows the header is taken as it comes.
        position, notes = (header_index + 1, []) if not units else (position, notes)
    if not units and header_index:
        above = split(_uncommented(lines[header_index - 1]), delimiter)
        if abs(len(above) - len(header)) <= 1 and _reads_as_units(above):
            units = above
    rows = _sample(lines[position:], delimiter)
    width = _usual_width(rows, len(header))
    in_cells = [_unit_in_cells([row[i] for row in rows if i < len(row)]) for i in range(len(header))]
    names, own_units = zip(*(split_unit(name) for name in header), strict=True)
    padded = [*units, *[""] * (len(header) - len(units))]
    layout = Layout(
        delimiter=delimiter,
        preamble=tuple(lines[:header_index]),
        header_line=header_index + 1,
        header=_fitted(names, width),
        units=_fitted(
            [own or below or inside for own, below, inside in zip(own_units, padded, in_cells, strict=False)], width
        ),
        units_in_cells=frozenset(index for index, unit in enumerate(in_cells) if unit),
        notes=tuple(_fitted(note, width) for note in notes),
        first_data_line=position + 1,
        width=width,
        sample=tuple(rows),
    )
    return replace(layout, decimal_comma=_has_decimal_comma(layout))


def _sample(lines: list[str], delimiter: str) -> list[tuple[str, ...]]:
    """The first rows, and some from where each column fills that was blank in these: receivers start without a fix.

    A last line that ends too soon was cut off: it shall not decide what the others mean.
    """
    if lines and lines[-1].strip() and lines[-1].count(delimiter) < lines[0].count(delimiter):
        lines = lines[:-1]
    rows = (
        tuple(split(line, delimiter))
        for line in _logical_lines(lines)
        if line.strip() and not line.lstrip().startswith("#")
    )
    first = list(islice(rows, SAMPLE_ROWS))
    width = max(map(len, first), default=0)
    blank = {i for i in range(width) if not any(_says_something(row, i) for row in first)}
    return [*first, *_filling(rows, blank)]


def _filling(rows: Iterator[tuple[str, ...]], blank: set[int]) -> Iterator[tuple[str, ...]]:
    """From each row on that fills another of the `blank` columns, `LATER_ROWS` rows."""
    taken = 0
    while blank or taken:
        row = next(rows, None)
        if row is None:
            return
        filled = {i for i in blank if _says_something(row, i)}
        blank = blank - filled
        taken = LATER_ROWS if filled else taken
        if taken:
            taken -= 1
            yield row


def _unit_in_cells(cells: list[str]) -> str:
    """The unit that every filled cell ends in, or nothing."""
    filled = [cell for cell in cells if not is_missing(cell)]
    match = _WITH_UNIT.match(filled[0]) if filled else None
    if match is None or not is_unit(match[1]):
        return ""
    same = all((other := _WITH_UNIT.match(cell)) and other[1] == match[1] for cell in filled)
    return match[1] if same else ""


def _logical_lines(lines: list[str]) -> Iterator[str]:
    """Lines, those joined that a quoted cell spans."""
    waiting = ""
    for line in lines:
        waiting = f"{waiting} {line}" if waiting else line
        if waiting.count('"') % 2 == 0:
            yield waiting
            waiting = ""


def _fitted(cells: Sequence[str], width: int) -> tuple[str, ...]:
    return (*cells[:width], *[""] * (width - len(cells)))


def _usual_width(rows: list[tuple[str, ...]], header: int) -> int:
    """The commonest width of the rows; the header's own where there are none."""
    widths = [len(row) for row in rows]
    return max(sorted(set(widths)), key=lambda w: (widths.count(w), w == header)) if widths else header


def _uncommented(line: str) -> str:
    return re.sub(r"^\s*(#|//)+\s*", "", line)


def _reads_as_names(cells: list[str]) -> bool:
    filled = [cell for cell in cells if cell]
    # One number too many is enough: most lines looked at are rows of them.
    numbers = (cell for cell in filled if is_number(cell) or _ANGLE.match(cell))
    many = next(islice(numbers, len(filled) // 4, None), None) is not None
    return len(filled) >= 2 and not many and not any(_TIME_LIKE.search(c) for c in filled)


def _is_data(cells: list[str]) -> bool:
    return any(is_number(cell) or _TIME_LIKE.search(cell) or _ANGLE.match(cell) for cell in cells)


def _reads_as_units(cells: list[str]) -> bool:
    filled = [cell for cell in cells if cell]
    return bool(filled) and not _is_data(cells) and sum(map(is_unit, filled)) * 3 >= len(filled)


def _has_decimal_comma(layout: Layout) -> bool:
    """Decided by all sample cells: `52,52` against `52.52`; `4,120` in a comma table is a grouped number."""
    commas = points = 0
    for row in layout.sample:
        for cell in row:
            if _DECIMAL_COMMA.match(cell) and (layout.delimiter != "," or not _GROUPED.match(cell)):
                commas += 1
            elif "." in cell and "," not in cell and is_number(cell):
                points += 1
    return commas > points

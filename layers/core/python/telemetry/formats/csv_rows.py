"""Blocks of lines to columns of cells: the vectorised parse, and the repair of lines that are no regular row.

Pure. Arrow's parser does the work. It aborts on, or silently swallows, what real files hold (ragged rows, stray
quotes, cells that are no number), so every block stands alone, and a block that it cannot take as it is gets its
odd lines mended or dropped, counted with their numbers, and is parsed again.
"""

import csv
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from telemetry.errors import Code, TelemetryError
from telemetry.formats.cells import COMMON_MISSING
from telemetry.formats.csv_columns import count_essential, key_of
from telemetry.formats.csv_dialect import split_unit
from telemetry.formats.line_blocks import Block
from telemetry.formats.reader import Findings

MAX_QUOTED_LINES = 20
"""A quoted cell may span so many lines; a quote that stays open longer is a stray one."""
COMMENT_MARKS = (b"#", b"//", b";;", b"%")
_NAME = r"^\D*\pL\D*$"
_POSITION = 4
"""`count_essential` of a header with latitude and longitude."""
_GIVE_UP_AFTER = 3
"""So many blocks with a cell that is no number, and the typed parse is not tried any more."""


@dataclass(frozen=True, slots=True)
class Cells:
    """One block's rows.

    Attributes
    ----------
    columns : by column index of the file; typed as asked for, or strings where `typed` is False.
    rows : line number of each row (int64).
    typed : True where every cell was read straight as its column's type.
    """

    columns: dict[int, pa.Array]
    rows: pa.Int64Array
    typed: bool


@dataclass(frozen=True, slots=True)
class Shape:
    """How lines split into cells.

    Attributes
    ----------
    width : cells in a row.
    essential : columns that a row which ends early must have, with one more cell after them.
    header : the header's names, and `units` their units, to know another header by.
    """

    delimiter: str
    width: int
    essential: tuple[int, ...]
    header: tuple[str, ...]
    units: tuple[str, ...] = ()
    decimal_comma: bool = False


class RowParser:
    """Parses block after block; counts what it cannot keep into `findings`."""

    tries_plain = True
    """False looks at every block carefully; the outcome is the same."""

    def __init__(
        self,
        shape: Shape,
        types: dict[int, pa.DataType],
        findings: Findings,
        *,
        first_line: int,
        on_comment: Callable[[int, str], None] | None = None,
    ) -> None:
        self._shape = shape
        self._types = types
        self._findings = findings
        self._on_comment = on_comment
        self._failures = self._odd_blocks = 0
        self._keys = [key_of(name) for name in shape.header]
        self._under_other_header = False
        self._tries_plain = self.tries_plain and not any(pa.types.is_string(kind) for kind in types.values())
        self._reads_every_cell = len(types) == shape.width
        self._delimiter = shape.delimiter.encode()
        self._spaced_quote = self._delimiter + b' "'
        self._names = [str(i) for i in range(shape.width)]
        self._line = first_line

    def parse(self, block: Block, *, last: bool, ended: bool) -> Cells | None:
        """The rows of a block, None where it has none.

        `last` tells that nothing follows; `ended` that the last line has its line end: one without it that is
        short of cells was cut off.
        """
        for _ in range(block.overlong_before):
            self._reject("malformed_row", self._line)
            self._line += 1
        plain = self._plain_table(block) if self._tries_plain and not last else None
        if plain is not None:
            table = plain
            rows = pa.arange(self._line, self._line + table.num_rows)
            self._line += table.num_rows
        else:
            careful = self._careful_table(block.without_nul(), last=last, ended=ended)
            if careful is None:
                return None
            table, rows = careful
        self._findings.rows_read += len(rows)
        return self._without_idle_rows(Cells(self._columns(table), rows, self._is_typed(table)))

    # --- the usual path

    def _plain_table(self, block: Block) -> pa.Table | None:
        """The table where every line is a row of the right width whose cells are all numbers or times, else None.

        Quotes are not looked for where every cell is read: one in a number makes it none. Nor is NUL, which does no
        harm in a cell that nobody asked for. A blank line is a row of another width.
        """
        if not self._reads_every_cell and b'"' in block.data:
            return None
        try:
            table, ragged = self._parse_as(pa.py_buffer(block.data).slice(0, block.size), self._types, quotes=False)
        except pa.ArrowInvalid:
            ragged = [0]
        if not ragged:
            return table
        self._odd_blocks += 1
        self._tries_plain = self._odd_blocks < _GIVE_UP_AFTER
        return None

    # --- blocks that hold anything else

    def _careful_table(self, block: Block, *, last: bool, ended: bool) -> tuple[pa.Table, pa.Int64Array] | None:
        """The table of a block that may hold anything, and its rows' line numbers; None where it has no row."""
        quoted = b'"' in block.data
        if quoted and self._spaced_quote in block.data:
            # A quote counts only at the very begin of a cell.
            data = block.whole().replace(self._spaced_quote, self._delimiter + b'"')
            block = Block(data, len(data))
        size = block.size if not last else len(block.whole().rstrip())
        if not size:
            return None
        first = self._line
        table, ragged = self._arrow(pa.py_buffer(block.data).slice(0, size))
        # Without quotes every line is one row; with them a cell may hold line ends.
        if table is not None and not ragged and (not quoted or table.num_rows == _count_lines(block, size)):
            self._line += table.num_rows
            return table, pa.arange(first, first + table.num_rows)
        data = bytes(block.data[:size])
        self._line += _count_lines(block, size)
        data, numbers = self._mended(data, first, cut_off=last and not ended)
        if not numbers:
            return None
        table, ragged = self._arrow(pa.py_buffer(data))
        if table is None or table.num_rows + len(ragged) != len(numbers):
            raise TelemetryError(Code.CSV_MALFORMED, f"line {first}: not a table from here on")
        for index in reversed(ragged):
            self._reject("malformed_row", numbers.pop(index - 1))
        return table, pa.array(numbers, pa.int64())

    def _arrow(self, data: pa.Buffer) -> tuple[pa.Table | None, list[int]]:
        """The table, and the positions (from 1) of lines of another width; None where Arrow refuses the block."""
        if self._failures < _GIVE_UP_AFTER:
            try:
                return self._parse_as(data, self._types, quotes=True)
            except pa.ArrowInvalid:
                self._failures += 1
        try:
            return self._parse_as(data, dict.fromkeys(self._types, pa.string()), quotes=True)
        except pa.ArrowInvalid:
            return None, []

    def _parse_as(self, data: pa.Buffer, types: dict[int, pa.DataType], *, quotes: bool) -> tuple[pa.Table, list[int]]:
        ragged: list[int] = []

        def skip(row: pa_csv.InvalidRow) -> str:
            ragged.append(row.number)
            return "skip"

        names = {self._names[i]: type_ for i, type_ in types.items()}
        table = pa_csv.read_csv(
            pa.BufferReader(data),
            read_options=pa_csv.ReadOptions(use_threads=False, column_names=self._names, block_size=data.size + 1),
            parse_options=pa_csv.ParseOptions(
                delimiter=self._shape.delimiter,
                quote_char='"' if quotes else False,
                ignore_empty_lines=False,
                invalid_row_handler=skip,
            ),
            convert_options=pa_csv.ConvertOptions(
                column_types=names,
                include_columns=list(names),
                null_values=list(COMMON_MISSING),
                strings_can_be_null=True,
                decimal_point="," if self._shape.decimal_comma else ".",
            ),
        )
        return table, ragged

    def _is_typed(self, table: pa.Table) -> bool:
        return all(table.schema.field(self._names[i]).type == t for i, t in self._types.items())

    def _columns(self, table: pa.Table) -> dict[int, pa.Array]:
        columns = {i: table.column(self._names[i]) for i in self._types}
        return {i: c.chunk(0) if c.num_chunks == 1 else c.combine_chunks() for i, c in columns.items()}

    # --- rows that hold nothing

    def _without_idle_rows(self, cells: Cells) -> Cells | None:
        """Counts and drops blank rows, further headers, and the rows below one that orders its columns otherwise."""
        key = self._shape.essential[0]
        column = cells.columns[key]
        if column.null_count:
            blank = pc.is_null(column)
            for other in cells.columns.values():
                blank = pc.and_(blank, pc.is_null(other))
            cells = self._drop(cells, blank, "blank_row")
        headers = self._headers(cells)
        if headers or self._under_other_header:
            cells = self._without_headers(cells, headers)
        return cells if len(cells.rows) else None

    def _headers(self, cells: Cells) -> dict[int, bool]:
        """The places of further headers, and whether each has the first one's columns.

        A header has names for time and place where a row of data has their numbers.
        """
        essential = [cells.columns[index] for index in self._shape.essential]
        if not all(pa.types.is_string(column.type) for column in essential):
            return {}
        places = pa.arange(0, len(cells.rows))
        for column in essential:
            named = pc.match_substring_regex(column.take(places), _NAME)
            places = places.filter(pc.fill_null(named, False))
        found: dict[int, bool] = {}
        for place in places.to_pylist():
            titles = {i: column[place].as_py() or "" for i, column in cells.columns.items()}
            same = {i: self._is_title(i, title) for i, title in titles.items()}
            if same[self._shape.essential[0]] or count_essential([*titles.values()]) >= _POSITION:
                found[place] = all(same[i] or not title for i, title in titles.items())
        return found

    def _is_title(self, index: int, title: str) -> bool:
        name, unit = split_unit(title.lstrip("#/ "))
        known = self._shape.units[index].lower() if self._shape.units else ""
        return key_of(name) == self._keys[index] and (not unit or not known or unit.lower() == known)

    def _without_headers(self, cells: Cells, headers: dict[int, bool]) -> Cells:
        """The rows that stand below the first header, or below one like it."""
        masks: list[pa.Array] = []
        begin = 0
        for place, same in headers.items():
            masks += [pa.repeat(self._under_other_header, place - begin), pa.array([False])]
            begin = place + 1
            self._under_other_header = not same
        masks.append(pa.repeat(self._under_other_header, len(cells.rows) - begin))
        other = pa.concat_arrays(masks)
        header = pc.is_in(pa.arange(0, len(cells.rows)), pa.array(list(headers), pa.int64()))
        self._findings.reject_all("other_columns", cells.rows.filter(other))
        kept = pc.invert(other)
        cells = Cells({i: c.filter(kept) for i, c in cells.columns.items()}, cells.rows.filter(kept), cells.typed)
        return self._drop(cells, header.filter(kept), "repeated_header")

    def _drop(self, cells: Cells, mask: pa.BooleanArray, reason: str) -> Cells:
        rows = cells.rows.filter(mask)
        if not len(rows):
            return cells
        self._findings.reject_all(reason, rows)
        keep = pc.invert(mask)
        return Cells(
            {i: column.filter(keep) for i, column in cells.columns.items()}, cells.rows.filter(keep), cells.typed
        )

    # --- lines that are no regular row

    def _mended(self, data: bytes, first_line: int, *, cut_off: bool) -> tuple[bytes, list[int]]:
        """The lines that can be kept, each one row of the right width, and their numbers."""
        try:
            data.decode("utf-8")
        except UnicodeDecodeError:
            data = data.decode("cp1252", "replace").encode("utf-8")
        lines = data.split(b"\n")
        if not lines[-1]:
            lines.pop()
        kept: list[bytes] = []
        numbers: list[int] = []
        position = 0
        last = len(lines) - 1
        commas = self._shape.width - 1
        while position <= last:
            line = lines[position]
            number = first_line + position
            position += 1
            if b'"' in line:
                taken, mended = self._mended_quotes(lines, position - 1)
                position += taken - 1
            elif line.count(self._delimiter) == commas:
                mended = line
            elif not line.strip():
                self._reject("blank_row", number)
                continue
            elif line.lstrip().startswith(COMMENT_MARKS):
                if self._on_comment is not None:
                    self._on_comment(number, line.decode("utf-8", "replace").strip())
                continue
            else:
                mended = self._mended_width(line.rstrip(b"\r").split(self._delimiter))
            if mended is not None and not (cut_off and number == first_line + last and mended is not line):
                kept.append(mended)
                numbers.append(number)
            elif cut_off and number == first_line + last:
                self._reject("truncated_row", number)
            else:
                self._reject("malformed_row", number)
        return b"\n".join(kept) + b"\n", numbers

    def _mended_quotes(self, lines: list[bytes], position: int) -> tuple[int, bytes | None]:
        """How many lines the row takes that starts at `position`, and the row on one line with sound quotes."""
        text = b""
        for taken, line in enumerate(lines[position : position + MAX_QUOTED_LINES], 1):
            if taken == 2 and self._is_full(text) and self._is_full(line):
                # Two whole rows, not one cell over two lines.
                break
            text += (b" " if text else b"") + line.rstrip(b"\r")
            if text.count(b'"') % 2 == 0:
                cells = self._split(text)
                if taken > 1 and len(cells) != self._shape.width:
                    break
                return taken, self._mended_width([_quoted(c, self._shape.delimiter) for c in cells])
        # A quote that is never closed, or closed in another row, is a character like any other.
        cells = [
            c.strip().strip('"')
            for c in lines[position].rstrip(b"\r").decode("utf-8", "replace").split(self._shape.delimiter)
        ]
        return 1, self._mended_width([_quoted(c, self._shape.delimiter) for c in cells])

    def _is_full(self, line: bytes) -> bool:
        return line.count(self._delimiter) == self._shape.width - 1

    def _split(self, text: bytes) -> list[str]:
        try:
            return next(csv.reader([text.decode("utf-8", "replace")], delimiter=self._shape.delimiter), [])
        except csv.Error:
            # A cell of more than 128 KiB is none of a recording.
            return []

    def _mended_width(self, cells: list[bytes]) -> bytes | None:
        """The row at its right width, or None where cells are missing or left over that matter."""
        width = self._shape.width
        if len(cells) > width and not any(cell.strip() for cell in cells[width:]):
            cells = cells[:width]
        # The last cell of a row that ends early may itself be cut.
        if len(cells) < width and len(cells) > max(self._shape.essential) + 1:
            cells = cells + [b""] * (width - len(cells))
        return self._delimiter.join(cells) if len(cells) == width else None

    def _reject(self, reason: str, row: int) -> None:
        self._findings.rows_read += 1
        self._findings.reject(reason, row)


def _count_lines(block: Block, size: int) -> int:
    return block.data.count(b"\n", 0, size) + (block.data[size - 1 : size] != b"\n")


def _quoted(cell: str, delimiter: str) -> bytes:
    if delimiter in cell or '"' in cell:
        cell = '"' + cell.replace('"', '""') + '"'
    return cell.encode()

"""The CSV reader: any text table of a logger, streamed block by block.

`csv_dialect` finds the table, `csv_columns` and `csv_times` say what its columns are, `csv_dialects` what known
programs do differently, `csv_blocks` and `csv_rows` turn bytes into columns of cells. Pure: knows no storage.
"""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from telemetry.errors import Code, TelemetryError
from telemetry.formats.cells import parse_float
from telemetry.formats.csv_blocks import LineBlocks, decode_head, detect_encoding, read_head
from telemetry.formats.csv_columns import LATITUDE, LONGITUDE, Column, Columns, count_essential, map_columns
from telemetry.formats.csv_dialect import Layout, find_layout
from telemetry.formats.csv_rows import Cells, RowParser, Shape
from telemetry.formats.csv_times import TimeColumns, find_times
from telemetry.formats.reader import ByteSource, Findings, Origin, Recognition
from telemetry.streams.channels import TIMESTAMP

_NAMED_COLUMNS = 20


class CsvReader:
    """Reads text tables; see `formats.reader.Reader`."""

    name = "csv"
    title = "CSV"

    def recognise(self, head: bytes, origin: Origin) -> Recognition | None:
        """Claims text whose lines form a table with a header that names time or position."""
        text = decode_head(head, detect_encoding(head))
        start = text.lstrip()[:16]
        if not start or start.startswith(("<", "{", "$", "!", "AXXX", "[")) or "\ufffd" in text[:200]:
            return None
        layout = find_layout(text, count_essential)
        if layout is None:
            return None
        return Recognition("csv", 0.5, f"CSV, {_delimiter_name(layout)}")

    def read(self, source: ByteSource, origin: Origin, findings: Findings) -> Iterator[pa.RecordBatch]:
        """See `formats.reader.Reader.read`.

        Raises
        ------
        TelemetryError : CSV_MALFORMED where there is no table, CSV_NO_POSITION_COLUMNS, CSV_NO_TIME_COLUMN,
            NO_TIME_DATA where times count from a start that the file does not give, FILE_EMPTY.
        """
        head = read_head(source)
        if not head.strip(b"\0 \t\r\n"):
            raise TelemetryError(Code.FILE_EMPTY, "no text in the file")
        encoding = detect_encoding(head)
        layout = find_layout(decode_head(head, encoding), count_essential)
        if layout is None:
            raise TelemetryError(Code.CSV_MALFORMED, "no header row followed by rows of cells")
        times = find_times(layout, origin)
        columns = map_columns(layout, taken=times.indices if times else ())
        _require_columns(layout, columns, times)
        assert times is not None  # noqa: S101
        findings.format = self.name
        findings.dialect = _delimiter_name(layout)
        findings.inferred += columns.inferred
        builder = _BatchBuilder(layout, columns, times, findings)
        parser = RowParser(_shape(layout, columns, times), builder.types, findings)
        blocks = LineBlocks(source, head, encoding, skip_lines=layout.first_data_line - 1)
        pending = None
        for block in blocks:
            if pending is not None and (cells := parser.parse(pending, last=False, ended=True)) is not None:
                yield builder.batch(cells)
            pending = block
        if pending is not None:
            cells = parser.parse(pending, last=True, ended=blocks.ends_with_line_end)
            if cells is not None:
                yield builder.batch(cells)
        times.finish(findings)


class _BatchBuilder:
    """Cells of a block to a record batch."""

    def __init__(self, layout: Layout, columns: Columns, times: TimeColumns, findings: Findings) -> None:
        self._layout = layout
        self._columns = columns
        self._times = times
        self._findings = findings
        assert columns.latitude is not None and columns.longitude is not None  # noqa: S101, PT018
        self._latitude = columns.latitude
        self._longitude = columns.longitude
        self.types: dict[int, pa.DataType] = {
            **times.types,
            self._latitude: pa.float64(),
            self._longitude: pa.float64(),
            **{column.index: pa.float64() for column in columns.numbers},
        }
        self._schema = pa.schema(
            [
                pa.field("timestamp", TIMESTAMP),
                pa.field(LATITUDE, pa.float64()),
                pa.field(LONGITUDE, pa.float64()),
                pa.field("source_row", pa.int64()),
                *[column.field for column in columns.numbers],
            ]
        )

    def batch(self, cells: Cells) -> pa.RecordBatch:
        return pa.RecordBatch.from_arrays(
            [
                self._times.timestamps(cells.columns, cells.rows, self._findings),
                self._number(cells, self._latitude, LATITUDE),
                self._number(cells, self._longitude, LONGITUDE),
                cells.rows,
                *[self._channel(cells, column) for column in self._columns.numbers],
            ],
            schema=self._schema,
        )

    def _channel(self, cells: Cells, column: Column) -> pa.Array:
        values = self._number(cells, column.index, column.field.name)
        if not column.conversion.is_identity:
            values = column.conversion.apply(values)
        return values if values.type == column.field.type else values.cast(column.field.type, safe=False)

    def _number(self, cells: Cells, index: int, name: str) -> pa.DoubleArray:
        column = cells.columns[index]
        if not pa.types.is_string(column.type):
            return column
        numbers, unreadable = parse_float(column, decimal_comma=self._layout.decimal_comma)
        if pc.any(unreadable).as_py():
            rows = cells.rows.filter(unreadable)
            for row in rows.slice(0, 5).to_pylist():
                self._findings.bad_cell(name, row)
            self._findings.bad_cell(name, None, max(len(rows) - 5, 0))
        return numbers


def _shape(layout: Layout, columns: Columns, times: TimeColumns) -> Shape:
    essential = (*times.indices, columns.latitude or 0, columns.longitude or 0)
    return Shape(layout.delimiter, layout.width, essential, layout.header, layout.decimal_comma)


def _require_columns(layout: Layout, columns: Columns, times: TimeColumns | None) -> None:
    names = [name for name in layout.header if name]
    listed = ", ".join(name[:40] for name in names[:_NAMED_COLUMNS])
    more = f" and {len(names) - _NAMED_COLUMNS} more" if len(names) > _NAMED_COLUMNS else ""
    where = f"line {layout.header_line}: columns are {listed}{more}"
    if columns.latitude is None or columns.longitude is None:
        raise TelemetryError(Code.CSV_NO_POSITION_COLUMNS, where)
    if times is None:
        raise TelemetryError(Code.CSV_NO_TIME_COLUMN, where)


def _delimiter_name(layout: Layout) -> str:
    return {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}.get(layout.delimiter, layout.delimiter)


READER = CsvReader()

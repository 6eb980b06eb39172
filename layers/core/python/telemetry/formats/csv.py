"""The CSV reader: any text table of a logger, streamed block by block.

`csv_plan` decides what the table is (with `csv_dialect`, `csv_columns`, `csv_times`, `csv_coordinates` and, for known
programs, `csv_dialects`); `line_blocks` and `csv_rows` turn bytes into columns of cells. Pure: knows no storage.
"""

from collections.abc import Iterator
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from telemetry.errors import Code, TelemetryError
from telemetry.formats.cells import parse_float
from telemetry.formats.csv_columns import LATITUDE, LONGITUDE, Column, count_essential, key_of
from telemetry.formats.csv_dialect import Layout
from telemetry.formats.csv_dialects import GENERIC, find_program
from telemetry.formats.csv_laps import LapColumn, LapComments, in_calendar, laps_of_beacons
from telemetry.formats.csv_plan import Plan, find_table, make_plan
from telemetry.formats.csv_rows import Cells, RowParser, Shape
from telemetry.formats.line_blocks import LineBlocks, decode_head, detect_encoding, read_head
from telemetry.formats.reader import ByteSource, Findings, Origin, Recognition
from telemetry.streams.channels import CHANNELS, FIX_TYPE, TIMESTAMP

_FOREIGN = ("<", "{", "[", "$GP", "$GN", "$GL", "$GA", "$BD", "$PM", "!AI", "AXXX", "HFDTE", "\ufffd")
"""How other formats begin: XML, JSON, VBO, NMEA, IGC."""
_POSITION = 4
"""`count_essential` of a header with latitude and longitude."""
_FIX_TYPES = {"0": "none", "1": "none", "2": "2d", "3": "3d", "4": "3d", "no fix": "none", "nofix": "none"}


class CsvReader:
    """Reads text tables; see `formats.reader.Reader`."""

    name = "csv"
    title = "CSV"

    def recognise(self, head: bytes, origin: Origin) -> Recognition | None:
        """Claims text whose lines form a table: surely where a known program wrote it, less where names are few."""
        text = decode_head(head[:4096], detect_encoding(head))
        start = text.lstrip("\ufeff \t\r\n")[:64]
        if not start or start.startswith(_FOREIGN) or _is_binary(text):
            return None
        table = find_table(head)
        if table is None:
            return None
        layout = table[1]
        program = find_program(layout)
        essential = count_essential(layout.header)
        try:
            plan = make_plan(head, origin, table)
            described = f"{program.title if program is GENERIC else ''}, {plan.dialect}".lstrip(", ")
        except TelemetryError as error:
            described = f"{program.title}, {error.detail}"
        if program is not GENERIC:
            return Recognition(self.name, 0.95, described)
        if essential < _POSITION and not _is_regular(layout):
            return None
        return Recognition(self.name, 0.8 if essential >= _POSITION else 0.4, described)

    def read(self, source: ByteSource, origin: Origin, findings: Findings) -> Iterator[pa.RecordBatch]:
        """See `formats.reader.Reader.read`; `source_row` is the number of the line that a row begins on.

        Raises
        ------
        TelemetryError : CSV_MALFORMED where there is no table, CSV_NO_POSITION_COLUMNS, CSV_NO_TIME_COLUMN,
            NO_TIME_DATA where times count from a start that the file does not give, FILE_EMPTY.
        """
        head = read_head(source)
        if not head.strip(b"\0 \t\r\n\xef\xbb\xbf"):
            raise TelemetryError(Code.FILE_EMPTY, "no text in the file")
        plan = make_plan(head, origin)
        findings.format = self.name
        findings.dialect = plan.dialect
        findings.inferred += plan.inferred
        findings.device = plan.program.device(plan.layout)
        laps = _Laps(plan)
        repeats = _Repeats(plan)
        builder = _BatchBuilder(plan, findings)
        parser = RowParser(
            _shape(plan),
            builder.types,
            findings,
            first_line=plan.layout.first_data_line,
            on_comment=laps.comment,
        )
        blocks = LineBlocks(source, head, plan.encoding, skip_lines=plan.layout.first_data_line - 1)
        pending = None
        for block in blocks:
            if pending is not None and (cells := parser.parse(pending, last=False, ended=True)) is not None:
                yield repeats.follow(laps.follow(builder.batch(cells), cells))
            pending = block
        if pending is not None:
            cells = parser.parse(pending, last=True, ended=blocks.ends_with_line_end)
            if cells is not None:
                yield repeats.follow(laps.follow(builder.batch(cells), cells))
        laps.tell(findings)
        findings.inferred += repeats.sentences()
        plan.times.finish(findings)


def _is_regular(layout: Layout) -> bool:
    """A header of names, and rows nearly all of which are as wide: text that is no table seldom looks so."""
    names = [name for name in layout.header if name]
    same = sum(abs(len(row) - len(layout.header)) <= 1 for row in layout.sample)
    named = all(name[0].isalpha() and "*" not in name[-3:] for name in names)
    return named and len(names) >= 2 and len(layout.sample) > 0 and 10 * same >= 9 * len(layout.sample)


def _is_binary(text: str) -> bool:
    odd = sum((character < " " and character not in "\t\r\n") or character == "\ufffd" for character in text)
    return odd * 50 > len(text)


def _shape(plan: Plan) -> Shape:
    essential = (*plan.times.indices, *plan.latitude.types, *plan.longitude.types)
    layout = plan.layout
    return Shape(layout.delimiter, layout.width, essential, layout.header, layout.units, layout.decimal_comma)


class _Laps:
    """The laps of the file, from whichever place it keeps them in."""

    def __init__(self, plan: Plan) -> None:
        program = plan.program
        self._lap_index = plan.columns.lap
        self._column = LapColumn(program.lap_edges) if self._lap_index is not None else None
        self._comments = LapComments(program.lap_comment) if program.lap_comment is not None else None
        self._beacons = program.beacons(plan.layout)
        self._start = plan.times.start
        self._runs_on = program.restarts_by_lap
        self._number: float | None = None
        self._name = next((c.field.name for c in plan.columns.numbers if c.index == self._lap_index), "")
        self._latest: datetime | None = None

    def comment(self, row: int, text: str) -> None:
        if self._comments is not None:
            self._comments.see(row, text)

    def follow(self, batch: pa.RecordBatch, cells: Cells) -> pa.RecordBatch:
        if self._comments is None and self._column is None and not self._beacons:
            return batch
        times = in_calendar(batch.column("timestamp"))
        if self._comments is not None:
            self._comments.add(cells.rows, times)
        if self._column is not None and self._name:
            self._column.add(self._numbers(batch.column(self._name)), times)
        if self._beacons:
            known = times.drop_null()
            self._latest = known[-1].as_py() if len(known) else self._latest
        return batch

    def _numbers(self, numbers: pa.Array) -> pa.Array:
        """Where only a lap's first row has its number, the others have it too."""
        if not self._runs_on or not len(numbers):
            return numbers
        filled = pc.fill_null(pc.fill_null_forward(numbers), pa.scalar(self._number, numbers.type))
        self._number = filled[-1].as_py()
        return filled

    def tell(self, findings: Findings) -> None:
        if self._comments is not None:
            findings.keep_laps(self._comments.laps())
            findings.laps_left_out += self._comments.left_out
        elif self._beacons and self._start is not None:
            findings.keep_laps(laps_of_beacons(self._beacons, self._start, self._latest))
        elif self._column is not None:
            findings.keep_laps(self._column.laps())
            if self._column.gave_up:
                findings.inferred.append("The column of lap numbers changes too often to tell laps: it was left out.")


class _Repeats:
    """Counts the rows that the file itself marks as repeating the last fix: they are kept for what else they hold."""

    def __init__(self, plan: Plan) -> None:
        key = plan.program.fix_key
        names = plan.layout.header
        self._column = next((c for c in plan.columns.numbers if key and key_of(names[c.index]) == key), None)
        self._repeats = self._rows = 0

    def follow(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        if self._column is not None:
            self._rows += batch.num_rows
            self._repeats += pc.sum(pc.equal(batch.column(self._column.field.name), 0)).as_py() or 0
        return batch

    def sentences(self) -> list[str]:
        if self._column is None or not self._repeats:
            return []
        name = self._column.field.name
        return [f"{self._repeats} of {self._rows} rows repeat the last fix ({name} = 0); they are kept."]


class _BatchBuilder:
    """Cells of a block to a record batch."""

    def __init__(self, plan: Plan, findings: Findings) -> None:
        self._plan = plan
        self._findings = findings
        columns = plan.columns
        self.types: dict[int, pa.DataType] = {
            **{column.index: pa.float64() for column in columns.numbers},
            **({} if columns.fix_type is None else {columns.fix_type: pa.string()}),
            **plan.latitude.types,
            **plan.longitude.types,
            **plan.times.types,
        }
        fields = [
            pa.field("timestamp", TIMESTAMP),
            pa.field(LATITUDE, pa.float64()),
            pa.field(LONGITUDE, pa.float64()),
            pa.field("source_row", pa.int64()),
            *[column.field for column in columns.numbers],
        ]
        if columns.fix_type is not None:
            fields.append(CHANNELS["fix_type"].field)
        self._schema = pa.schema(fields)

    def batch(self, cells: Cells) -> pa.RecordBatch:
        plan = self._plan
        arrays = [plan.times.timestamps(cells.columns, cells.rows, self._findings)]
        for coordinate, name in ((plan.latitude, LATITUDE), (plan.longitude, LONGITUDE)):
            degrees, unreadable = coordinate.degrees(cells.columns)
            self._count(name, unreadable, cells)
            arrays.append(degrees)
        arrays.append(cells.rows)
        arrays += [self._channel(cells, column) for column in plan.columns.numbers]
        if plan.columns.fix_type is not None:
            arrays.append(_fix_types(cells.columns[plan.columns.fix_type]))
        return pa.RecordBatch.from_arrays(arrays, schema=self._schema)

    def _channel(self, cells: Cells, column: Column) -> pa.Array:
        values = cells.columns[column.index]
        if pa.types.is_string(values.type):
            if column.index in self._plan.layout.units_in_cells:
                values = pc.replace_substring_regex(values, r"\s*[A-Za-z°/²%]+$", "")
            values, unreadable = parse_float(values, decimal_comma=self._plan.layout.decimal_comma)
            self._count(column.field.name, unreadable, cells)
        if not column.conversion.is_identity:
            values = column.conversion.apply(values)
        if values.type == column.field.type:
            return values
        if pa.types.is_integer(column.field.type):
            sound = pc.less(pc.abs(values), 32_767)
            values = pc.round(pc.if_else(sound, values, pa.scalar(None, pa.float64())))
        return values.cast(column.field.type, safe=False)

    def _count(self, name: str, unreadable: pa.BooleanArray | None, cells: Cells) -> None:
        if unreadable is None or not pc.any(unreadable).as_py():
            return
        self._findings.bad_cells_at(name, cells.rows.filter(unreadable))


def _fix_types(cells: pa.StringArray) -> pa.DictionaryArray:
    """`3D`, `3.0` and `3` to `3d`, and so on; words of other kinds in lower case."""
    encoded = cells.dictionary_encode()
    names = []
    for cell in encoded.dictionary.to_pylist():
        plain = (cell or "").strip().lower().removesuffix(".0")
        names.append(_FIX_TYPES.get(plain, plain[:16]) or None)
    return pa.array(names, pa.string()).take(encoded.indices).dictionary_encode().cast(FIX_TYPE)


READER = CsvReader()

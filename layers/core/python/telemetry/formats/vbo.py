"""Racelogic VBO recordings and what other programs write in its form: rows of numbers in blanks. Pure.

Source: Racelogic "VBOX file format" support pages. Positions are total minutes, longitude positive WEST; some writers
put decimal degrees, positive east, and the magnitudes tell which. Times of day are UTC; the date stands in the header.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from telemetry.errors import Code, TelemetryError
from telemetry.formats.cells import parse_float
from telemetry.formats.csv_columns import Column, map_columns
from telemetry.formats.csv_dialect import Layout
from telemetry.formats.dates import find_date
from telemetry.formats.day_clock import DayClock, epoch_us, time_of_day
from telemetry.formats.line_blocks import Block, LineBlocks, decode_head, detect_encoding, read_head
from telemetry.formats.reader import (
    ByteSource,
    FileDevice,
    FileGate,
    Findings,
    Origin,
    Recognition,
    TimeBasis,
)
from telemetry.formats.vbo_header import VboHeader, parse_header
from telemetry.streams.channels import CHANNELS, TIMESTAMP

SATELLITE_BITS = 0x3F
"""`sats` adds 64 for the brake trigger and 128 for differential correction."""
SAMPLE_ROWS = 200
MOST_AFTER_CREATED_S = 14 * 3600
"""A recording that begins later than this after its header's time began on the day before: rows have UTC, the header
may have local time, and no place is so far behind UTC. The mirrored case stands: a file may have been written long
after its rows."""
_DAY_BEFORE_HEADER = "The first row is more than 14 hours after the time in the header: the day before was taken."
_ALIASES = {
    "speed_mps": ("velocity",),
    "course_deg": ("heading",),
    "altitude_m": ("height",),
    "vertical_speed_mps": ("vert vel", "vertvel"),
    "satellites": ("sats",),
}
_WRITTEN = {
    "time": ("time",),
    "lat": ("lat", "latitude"),
    "long": ("long", "lng", "lon", "longitude"),  # RaceBox writes `lng`
    "sats": ("sats",),
}
# An empty cell is none of them: it comes of a blank too many.
_NO_NUMBER = ["NaN", "nan", "-NaN", "-nan", "1.#QNAN", "-1.#IND", "N/A", "n/a", "NULL", "null"]
_GIVE_UP_AFTER = 3
_SPELLED = {"kmh": "km/h", "kph": "km/h", "kt": "knots", "kts": "knots", "kn": "knots"}
_UNITS = {"speed_mps": "km/h", "altitude_m": "m", "vertical_speed_mps": "m/s"}


class VboReader:
    """Reader of `.vbo` files."""

    name = "vbo"
    title = "Racelogic VBO"

    def recognise(self, head: bytes, origin: Origin) -> Recognition | None:
        """By the sections `[column names]` and `[data]`, or `File created on` above a `[header]`."""
        del origin
        text = decode_head(head, detect_encoding(head))
        lowered = text.lower()
        if "[column names]" not in lowered or not ("[data]" in lowered or "file created on" in lowered):
            return None
        header = parse_header(text)
        return Recognition(self.name, 0.98, "Racelogic VBO" if header is None else _describe(header))

    def read(self, source: ByteSource, origin: Origin, findings: Findings) -> Iterator[pa.RecordBatch]:
        """See `Reader.read`. `source_row` is the line number.

        Raises
        ------
        TelemetryError : FILE_CORRUPT without a data section, NO_TIME_DATA, NO_POSITION_DATA without such columns.
        """
        head = read_head(source)
        encoding = detect_encoding(head)
        text = decode_head(head, encoding)
        header = parse_header(text)
        if header is None:
            raise TelemetryError(Code.FILE_CORRUPT, "no section [column names] followed by [data]")
        rows = _Rows.of(header, text, origin, findings)
        for block in LineBlocks(source, head, encoding, skip_lines=header.data_line - 1):
            batch = rows.take(block.without_nul())
            if batch is not None and batch.num_rows:
                yield batch


def _describe(header: VboHeader) -> str:
    rate = header.comment(r"Log Rate \(Hz\)\s*:\s*([\d.]+)")
    parts = ["Racelogic VBO"]
    if rate:
        parts.append(f"{float(rate):g} Hz" if re.fullmatch(r"\d+(\.\d*)?", rate) else "")
    unit = dict(zip((name.lower() for name in header.names), header.units, strict=True)).get("velocity", "")
    if unit:
        parts.append(f"velocity in {_SPELLED.get(unit, unit)}")
    return ", ".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class _Position:
    """How a file writes positions: minutes or degrees. `first` is its first one, as written."""

    minutes: bool
    first: tuple[float, float] | None = None

    def degrees(self, values: pa.DoubleArray, *, longitude: bool) -> pa.DoubleArray:
        if not self.minutes:
            return values
        return pc.divide(values, -60.0 if longitude else 60.0)

    def swapped(self, ends: tuple[float, float, float, float]) -> bool:
        """Whether a gate has latitude first, as RaceBox writes it: then it lies nearer to the first fix."""
        if self.first is None:
            return False
        latitude, longitude = self.first
        usual = abs(ends[0] - longitude) + abs(ends[1] - latitude)
        return abs(ends[0] - latitude) + abs(ends[1] - longitude) < usual

    def gate(self, ends: tuple[float, float, float, float], name: str) -> FileGate:
        scale = 60.0 if self.minutes else 1.0
        sign = -1.0 if self.minutes else 1.0
        if self.swapped(ends):
            ends = (ends[1], ends[0], ends[3], ends[2])
        longitude_1, latitude_1, longitude_2, latitude_2 = (end / scale for end in ends)
        return FileGate(latitude_1, sign * longitude_1, latitude_2, sign * longitude_2, name)


@dataclass(slots=True)
class _Rows:
    """Turns blocks of data lines into batches."""

    findings: Findings
    width: int
    time: int
    latitude: int
    longitude: int
    satellites: int | None
    numbers: tuple[Column, ...]
    position: _Position
    clock: DayClock
    line: int
    odd_blocks: int = 0

    @property
    def tries_plain(self) -> bool:
        """A file of odd blocks is not asked again and again whether it has plain ones."""
        return self.odd_blocks < _GIVE_UP_AFTER

    @classmethod
    def of(cls, header: VboHeader, text: str, origin: Origin, findings: Findings) -> "_Rows":
        sample = [line.split() for line in text.splitlines()[header.data_line - 1 :][:SAMPLE_ROWS] if line.strip()]
        width = max(len(header.names), *(len(cells) for cells in sample)) if sample else len(header.names)
        names = [*header.names, *(f"column {i + 1}" for i in range(len(header.names), width))]
        units = [*header.units, *("" for _ in range(len(header.names), width))]
        lowered = [name.lower() for name in names]
        found = {
            key: lowered.index(name)
            for key, written in _WRITTEN.items()
            for name in reversed(written)
            if name in lowered
        }
        if "time" not in found:
            raise TelemetryError(Code.NO_TIME_DATA, "[column names] holds no `time`")
        if "lat" not in found or "long" not in found:
            raise TelemetryError(Code.NO_POSITION_DATA, "[column names] holds no `lat` and `long`")
        layout = Layout(
            delimiter=" ",
            preamble=(),
            header_line=0,
            header=tuple("\x00" if i in (found["lat"], found["long"]) else name for i, name in enumerate(names)),
            units=tuple(units),
            notes=(),
            first_data_line=header.data_line,
            width=width,
            sample=tuple(tuple(cells) for cells in sample),
        )
        columns = map_columns(
            layout, taken=(found["time"], found["lat"], found["long"]), aliases=_ALIASES, units=_UNITS
        )
        taken = {found["time"], found["lat"], found["long"]}
        rows = cls(
            findings=findings,
            width=width,
            time=found["time"],
            latitude=found["lat"],
            longitude=found["long"],
            satellites=found.get("sats"),
            numbers=tuple(column for column in columns.numbers if column.index not in taken),
            position=_Position(
                _in_minutes(sample, found["lat"], found["long"]), _first_place(sample, found["lat"], found["long"])
            ),
            clock=_clock(header, origin, findings),
            line=header.data_line,
        )
        rows._tell(header)
        return rows

    def _tell(self, header: VboHeader) -> None:
        findings = self.findings
        findings.format = VboReader.name
        findings.dialect = _describe(header)
        speed = next((c for c in self.numbers if c.field.name == "speed_mps"), None)
        if speed is not None and header.units[speed.index : speed.index + 1] == ("",):
            findings.inferred.append("The header gives no unit of velocity: km/h was taken.")
        if not self.position.minutes:
            findings.inferred.append("Positions are decimal degrees, as their magnitudes tell, not minutes.")
        findings.keep_gates([self.position.gate(gate.ends, gate.name) for gate in header.gates])
        serial = header.comment(r"^Serial Number\s*:\s*([A-Za-z0-9-]+)")
        model = header.comment(r"^\s*(VBOX?\b.*?|VBVD\S*.*?)(?:\s+Version.*)?$") or header.comment(r"^Type\s*:\s*(.+)$")
        if header.comment(r"^Generated by (RaceBox)\b"):
            findings.device = FileDevice("RaceBox", None, serial)
        elif serial or model:
            findings.device = FileDevice("Racelogic", model and model[:80], serial)

    def take(self, block: Block) -> pa.RecordBatch | None:
        self.line += block.overlong_before
        for _ in range(block.overlong_before):
            self.findings.reject("malformed_row", None)
        first = self.line
        data = block.whole()
        # A tab would be stripped off a number, wherever it was meant to part two.
        table = self._parsed(_without_plus(data)) if self.tries_plain and b"\t" not in data else None
        if table is None:
            self.odd_blocks += 1
            data = _regular(data)
            table = self._parsed(data)
        if table is not None:
            rows = pa.arange(first, first + table.num_rows)
            self.line += table.num_rows
        else:
            self.line += data.count(b"\n") + (bool(data) and not data.endswith(b"\n"))
            table, rows = self._mended(data, first)
        self.findings.rows_read += table.num_rows
        return self._batch(table, rows) if table.num_rows else None

    def _parsed(self, data: bytes, kind: pa.DataType | None = None) -> pa.Table | None:
        """All cells as numbers (or as `kind`), or None where a line, also a blank one, or a cell does not fit."""
        if not data:
            return None
        names = [str(index) for index in range(self.width)]
        try:
            return pa_csv.read_csv(
                pa.BufferReader(data),
                read_options=pa_csv.ReadOptions(column_names=names, use_threads=False, block_size=len(data) + 1),
                parse_options=pa_csv.ParseOptions(delimiter=" ", quote_char=False, ignore_empty_lines=False),
                convert_options=pa_csv.ConvertOptions(
                    column_types=dict.fromkeys(names, kind or pa.float64()), null_values=_NO_NUMBER
                ),
            )
        except pa.ArrowInvalid:
            return None

    def _mended(self, data: bytes, first: int) -> tuple[pa.Table, pa.Int64Array]:
        """Drops and counts lines of another width; a line that lacks only `sats` gets an unknown one."""
        text = pa.array([data], pa.binary()).cast(pa.string(), safe=False)
        lines = pc.utf8_trim_whitespace(pc.split_pattern(text, "\n").values)
        numbers = pa.arange(first, first + len(lines))
        blank = pc.equal(lines, "")
        lines, numbers = lines.filter(pc.invert(blank)), numbers.filter(pc.invert(blank))
        cells = pc.add(pc.count_substring(lines, " "), 1)
        if self.satellites == 0:
            short = pc.and_(pc.equal(cells, self.width - 1), pc.match_substring_regex(lines, r"^\d{6}\.\d"))
            lines = pc.if_else(short, pc.binary_join_element_wise("nan", lines, " "), lines)
            cells = pc.if_else(short, self.width, cells)
        fits = pc.equal(cells, self.width)
        for row in numbers.filter(pc.invert(fits)).to_pylist():
            self.findings.reject("malformed_row", row)
            self.findings.rows_read += 1
        lines, numbers = lines.filter(fits), numbers.filter(fits)
        joined = "\n".join(lines.to_pylist()).encode() + b"\n"
        table = self._parsed(joined) if len(lines) else self._empty()
        if table is None:
            strings = self._parsed(joined, pa.string())
            table = self._empty() if strings is None else self._cell_by_cell(strings, numbers)
        return table, numbers

    def _empty(self) -> pa.Table:
        return pa.table({str(i): pa.array([], pa.float64()) for i in range(self.width)})

    def _cell_by_cell(self, strings: pa.Table, rows: pa.Int64Array) -> pa.Table:
        columns = {}
        kept = {column.index: column.field.name for column in self.numbers}
        kept |= {self.time: "timestamp", self.latitude: "latitude_deg", self.longitude: "longitude_deg"}
        for index in range(self.width):
            values, wrong = parse_float(strings.column(index).combine_chunks())
            columns[str(index)] = values
            if index in kept:
                self.findings.bad_cells_at(kept[index], rows.filter(wrong))
        return pa.table(columns)

    def _batch(self, table: pa.Table, rows: pa.Int64Array) -> pa.RecordBatch:
        def column(index: int) -> pa.DoubleArray:
            return table.column(index).combine_chunks()

        fields = [pa.field("timestamp", TIMESTAMP)]
        fields += [CHANNELS[name].field.with_nullable(True) for name in ("latitude_deg", "longitude_deg")]
        arrays: list[pa.Array] = [
            self._times(column(self.time)),
            self.position.degrees(column(self.latitude), longitude=False),
            self.position.degrees(column(self.longitude), longitude=True),
        ]
        for kept in self.numbers:
            values = column(kept.index)
            if kept.field.name == "satellites":
                values = _satellites(values)
            elif not kept.conversion.is_identity:
                values = kept.conversion.apply(values)
            fields.append(kept.field.with_nullable(True))
            arrays.append(values if values.type == kept.field.type else values.cast(kept.field.type))
        fields.append(pa.field("source_row", pa.int64()))
        return pa.record_batch([*arrays, rows], schema=pa.schema(fields))

    def _times(self, stamps: pa.DoubleArray) -> pa.TimestampArray:
        """`hhmmss.ss` to microseconds UTC on the day of the recording; null where it is no time of day."""
        times = self.clock.absolute(time_of_day(stamps)).cast(TIMESTAMP)
        self.findings.inferred += self.clock.remarks()
        return times


def _without_plus(data: bytes) -> bytes:
    """No plus signs before numbers, which Arrow's parser does not take."""
    return data.replace(b" +", b" ")


def _regular(data: bytes) -> bytes:
    """One blank between cells, none at the ends of lines, and as `_without_plus`."""
    data = data.replace(b"\r\n", b"\n")
    if b"\t" in data or b"  " in data:
        data = re.sub(rb"[ \t]+", b" ", data)
    if b" \n" in data:
        data = data.replace(b" \n", b"\n")
    if b"\n " in data or data.startswith(b" "):
        data = data.replace(b"\n ", b"\n").removeprefix(b" ")
    return _without_plus(data).rstrip(b" ")


def _satellites(values: pa.DoubleArray) -> pa.Int16Array:
    sound = pc.and_(pc.greater_equal(values, 0.0), pc.less(values, 256.0))
    return pc.bit_wise_and(pc.if_else(sound, values, None).cast(pa.int64(), safe=False), SATELLITE_BITS).cast(
        pa.int16()
    )


def _in_minutes(sample: list[list[str]], latitude: int, longitude: int) -> bool:
    """Whether positions are minutes: degrees never reach past 90 and 180; minutes stay below only off West Africa."""
    for cells in sample:
        if len(cells) <= max(latitude, longitude):
            continue
        values, _ = parse_float(pa.array([cells[latitude].lstrip("+"), cells[longitude].lstrip("+")]))
        one, two = values.to_pylist()
        if one is not None and two is not None and (abs(one) > 90 or abs(two) > 180):
            return True
    return False


def _first_place(sample: list[list[str]], latitude: int, longitude: int) -> tuple[float, float] | None:
    """The first position of the sample, in the file's own units."""
    for cells in sample:
        if len(cells) > max(latitude, longitude):
            values, _ = parse_float(pa.array([cells[latitude].lstrip("+"), cells[longitude].lstrip("+")]))
            one, two = values.to_pylist()
            if one and two:
                return one, two
    return None


def _clock(header: VboHeader, origin: Origin, findings: Findings) -> DayClock:
    findings.time_basis = TimeBasis.INFERRED_DATE
    if header.created is not None:
        findings.inferred.append("The date is that of the file's header.")
        day_us = epoch_us(header.created)
        if header.created_s is None:
            return DayClock(day_us)
        not_after_us = day_us + (header.created_s + MOST_AFTER_CREATED_S) * 1_000_000
        return DayClock(day_us, not_after_us=not_after_us, if_moved=_DAY_BEFORE_HEADER)
    found = find_date((), origin)
    findings.inferred.append(found.sentence if found else "The file names no date: its rows have only a time of day.")
    if found is None:
        raise TelemetryError(Code.NO_TIME_DATA, "rows have a time of day, and nothing tells the date")
    return DayClock.of(found)


READER = VboReader()

"""IGC flight recordings: B records to batches, one block of lines at a time. Pure.

Source: FAI "Technical Specification for IGC-approved GNSS Flight Recorders", appendix A: records A, B, H, I and J.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from telemetry.errors import Code, TelemetryError
from telemetry.formats.cells import parse_float
from telemetry.formats.dates import find_date
from telemetry.formats.day_clock import DayClock, epoch_us
from telemetry.formats.line_blocks import Block, LineBlocks, decode_head, detect_encoding, read_head
from telemetry.formats.reader import ByteSource, FileDevice, Findings, Origin, Recognition, TimeBasis
from telemetry.streams.channels import CHANNELS, FIX_TYPE, TIMESTAMP, channel_field

FIXED_LENGTH = 35
BLOCK_SHARE = 1 / 3
"""No format's lines are shorter: a block of the usual size is 80,000 fixes, and 20 MB of columns on their way."""
MAX_NAMED = 20
_B_RECORD = r"^B([01]\d|2[0-3])[0-5]\d[0-5]\d\d{7}[NS]\d{8}[EW][AV](-\d{4}|\d{5})(-\d{4}|\d{5})"
_DATE = re.compile(r"^HF?O?P?DTE(?:DATE)?:? ?(\d{2})(\d{2})(\d{2})", re.IGNORECASE)
_EXTENSION = re.compile(r"(\d{2})(\d{2})([A-Z0-9]{3})")
_UNITS = {
    "FXA": "m",
    "GSP": "km/h",
    "TAS": "km/h",
    "IAS": "km/h",
    "TRT": "deg",
    "TRM": "deg",
    "HDT": "deg",
    "OAT": "°C",
}
_SPEEDS = frozenset({"GSP", "TAS", "IAS"})
# Three-letter codes (chapter A7) that have a canonical column.
_CANONICAL = {"FXA": "horizontal_accuracy_m", "SIU": "satellites", "HDP": "hdop"}
_MOST_COUNTED = 32_767


class IgcReader:
    """Reader of `.igc` files."""

    name = "igc"
    title = "IGC"

    def recognise(self, head: bytes, origin: Origin) -> Recognition | None:
        """By an A record on the first line, or by H and B records together."""
        del origin
        text = decode_head(head, _encoding(head)).lstrip("\ufeffï»¿ \r\n")
        lines = text.splitlines()
        header = any(_DATE.match(line) for line in lines)
        fixes = sum(1 for line in lines if re.match(_B_RECORD, line))
        if not lines or not re.match(r"^A[A-Z0-9]{3}", lines[0]) or "," in lines[0][:4]:
            return Recognition(self.name, 0.8, "IGC flight recording without its first record") if fixes > 1 else None
        if fixes or header:
            return Recognition(self.name, 0.95, "IGC flight recording")
        records = sum(1 for line in lines[1:] if re.match(r"^[GHIJL][A-Za-z0-9:]", line))
        return Recognition(self.name, 0.6, "IGC flight recording") if records and records >= len(lines) - 2 else None

    def read(self, source: ByteSource, origin: Origin, findings: Findings) -> Iterator[pa.RecordBatch]:
        """See `Reader.read`. `source_row` is the line number.

        Raises
        ------
        TelemetryError : NO_TIME_DATA when nothing tells the date.
        """
        findings.format, findings.dialect = self.name, "IGC"
        flight = _Flight(origin, findings)
        head = read_head(source)
        for block in LineBlocks(source, head, _encoding(head), share=BLOCK_SHARE):
            batch = flight.take(block.without_nul())
            if batch is not None:
                yield batch
        if flight.extension_records:
            named = flight.recorder.get("J")
            measured = f" ({named})" if named else ""
            findings.inferred.append(f"{flight.extension_records} K records{measured} were not read")
        if flight.clock is None and findings.rows_read:
            raise TelemetryError(Code.NO_TIME_DATA, "fixes have a time of day, and nothing tells the date")


def _encoding(head: bytes) -> str:
    """The specification allows ASCII; pilots' names come in any encoding and are not read."""
    encoding = detect_encoding(head)
    return encoding if encoding.startswith("utf-16") else "latin-1"


@dataclass(frozen=True, slots=True)
class _Extension:
    """Characters `start` to `stop` (Python's way) of a B record."""

    start: int
    stop: int
    code: str

    @property
    def parts(self) -> float:
        """How many of the written number make one of the unit. A7 leaves the decimals to the recorder, and no recorder
        says them: they follow from the width, as GPSBabel takes it."""
        width = self.stop - self.start
        if self.code in _SPEEDS and width == 5:
            return 100.0
        return 10.0 if self.code == "OAT" and width >= 3 else 1.0


@dataclass(slots=True)
class _Flight:
    """State carried from block to block: the day and the extensions."""

    origin: Origin
    findings: Findings
    lines: int = 0
    clock: DayClock | None = None
    sought: bool = False
    """Whether a date was looked for outside of the file."""
    extensions: tuple[_Extension, ...] = ()
    recorder: dict[str, str] = field(default_factory=dict)
    extension_records: int = 0
    """K records, of measurements apart from fixes."""

    def take(self, block: Block) -> pa.RecordBatch | None:
        lines = pc.split_pattern(pa.array([block.data.replace(b"\r\n", b"\n").decode()]), "\n").values
        first = self.lines + block.overlong_before + 1
        # After the last line end stands one empty piece, which is no line.
        self.lines = first + block.data.count(b"\n") - 1
        numbers = pa.arange(first, first + len(lines))
        self._describe(lines)
        self.extension_records += block.data.count(b"\nK") + block.data.startswith(b"K")
        begins = pc.starts_with(lines, "B")
        whole = pc.match_substring_regex(lines, _B_RECORD)
        malformed = numbers.filter(pc.and_not(begins, whole))
        self.findings.reject_all("malformed_row", malformed)
        records, rows = lines.filter(whole), numbers.filter(whole)
        self.findings.rows_read += len(records) + len(malformed)
        if not len(records):
            self._dates(lines)
            return None
        return self._batch(records, rows, self._days(lines, numbers, records, rows))

    def _describe(self, lines: pa.StringArray) -> None:
        """Reads A, H, I and J records."""
        heads = lines.filter(pc.match_substring_regex(lines, r"^(A[A-Z0-9]{3}|[IJ]\d\d|HFFTY)"))
        for line in heads.to_pylist():
            if line.startswith("I"):
                found = (_Extension(int(a) - 1, int(b), code) for a, b, code in _EXTENSION.findall(line[3:]))
                self.extensions = tuple(e for e in found if FIXED_LENGTH <= e.start < e.stop <= e.start + 10)
                self._say_parts()
                continue
            if line.startswith("J"):
                self.recorder["J"] = ", ".join(code for _, _, code in _EXTENSION.findall(line[3:])[:MAX_NAMED])
                continue
            key = line[:5].upper() if line.startswith("H") else line[:1]
            self.recorder.setdefault(key, line.partition(":")[2].strip() if key != "A" else line[1:].strip())
        maker_and_model = self.recorder.get("HFFTY", "").split(",")
        maker = maker_and_model[0].strip() or self.recorder.get("A", "")[:3]
        serial = self.recorder.get("A", "")[3:6]
        if maker:
            self.findings.device = FileDevice(
                manufacturer=maker[:80],
                model=",".join(maker_and_model[1:]).strip()[:80] or None,
                serial_number=serial if re.fullmatch(r"[A-Z0-9]{3}", serial) else None,
            )

    def _say_parts(self) -> None:
        for extension in self.extensions:
            if extension.parts != 1.0:
                part = "hundredths" if extension.parts == 100.0 else "tenths"
                width = extension.stop - extension.start
                said = f"{extension.code} has {width} characters: read as {part} of {_UNITS[extension.code]}"
                if said not in self.findings.inferred:
                    self.findings.inferred.append(said)

    def _dates(self, lines: pa.StringArray) -> list[tuple[int, int]]:
        """(position of the line, day in microseconds) of each date record; the last stays for what follows."""
        found: list[tuple[int, int]] = []
        places = pc.indices_nonzero(pc.match_substring_regex(lines, r"^H[FOP]?DTE"))
        for place in places.to_pylist():
            match = _DATE.match(lines[place].as_py())
            if match:
                day, month, year = (int(part) for part in match.groups())
                try:
                    when = date(year + (1900 if year >= 80 else 2000), month, day)
                except ValueError:
                    continue
                found.append((place, epoch_us(when)))
        if found:
            self.clock = DayClock(found[-1][1])
        return found

    def _days(
        self, lines: pa.StringArray, numbers: pa.Int64Array, records: pa.StringArray, rows: pa.Int64Array
    ) -> pa.Int64Array:
        """The UTC time in microseconds of each record: its day, then its time of day, midnights counted."""
        parts = [pc.utf8_slice_codeunits(records, at, at + 2).cast(pa.int64()) for at in (1, 3, 5)]
        seconds = pc.add(pc.multiply(pc.add(pc.multiply(parts[0], 60), parts[1]), 60), parts[2])
        of_day = pc.multiply(seconds, 1_000_000)
        fraction = next((e for e in self.extensions if e.code == "TDS"), None)
        if fraction is not None:
            digits = pc.utf8_slice_codeunits(records, fraction.start, fraction.stop)
            value, _ = parse_float(digits)
            scale = 10.0 ** (6 - (fraction.stop - fraction.start))
            of_day = pc.add(of_day, pc.fill_null(pc.multiply(value, scale), 0.0).cast(pa.int64()))
        before = self.clock
        dates = [(numbers[place].as_py(), day) for place, day in self._dates(lines)]
        if before is None and (not dates or dates[0][0] > rows[0].as_py()):
            before = self._guessed()
        spans = [(0, before)] + [(pc.sum(pc.less(rows, row)).as_py() or 0, DayClock(day)) for row, day in dates]
        pieces: list[pa.Array] = []
        for index, (start, clock) in enumerate(spans):
            stop = spans[index + 1][0] if index + 1 < len(spans) else len(records)
            if clock is not None:
                pieces.append(clock.absolute(of_day.slice(start, stop - start)))
                self.findings.inferred += clock.remarks()
                self.clock = clock
            else:
                pieces.append(pa.nulls(stop - start, pa.int64()))
        return pa.concat_arrays(pieces)

    def _guessed(self) -> DayClock | None:
        """The day that the file's name or the upload gives, once; None where there is none."""
        if self.sought:
            return None
        self.sought = True
        found = find_date((), self.origin)
        self.findings.time_basis = TimeBasis.INFERRED_DATE
        if found is None:
            self.findings.inferred.append("The file names no date: its fixes have only a time of day.")
            return None
        self.findings.inferred.append(found.sentence)
        return DayClock.of(found)

    def _batch(self, records: pa.StringArray, rows: pa.Int64Array, times: pa.Int64Array) -> pa.RecordBatch:
        valid = pc.equal(pc.utf8_slice_codeunits(records, 24, 25), "A")
        altitude = _number(records, 30, 35)
        columns: dict[str, pa.Array] = {
            "timestamp": times.cast(TIMESTAMP),
            "latitude_deg": self._degrees(records, 7, 9, 14, negative="S", more_digits="LAD"),
            "longitude_deg": self._degrees(records, 15, 18, 23, negative="W", more_digits="LOD"),
            # V says that there was no 3D fix: its GNSS altitude is none.
            "altitude_m": pc.if_else(valid, altitude, None),
            "fix_type": pc.if_else(valid, "3d", "2d").cast(FIX_TYPE),
            "source_row": rows,
        }
        fields = [CHANNELS[name].field if name in CHANNELS else pa.field(name, columns[name].type) for name in columns]
        fields.append(channel_field("pressure_altitude", "m"))
        columns["pressure_altitude"] = _number(records, 25, 30)
        for extension in self.extensions:
            if extension.code in ("TDS", "LAD", "LOD") or extension.code in columns:
                continue
            values = pc.divide(_number(records, extension.start, extension.stop), extension.parts)
            name = _CANONICAL.get(extension.code, extension.code)
            known = CHANNELS.get(name)
            fields.append(known.field if known else channel_field(name, _UNITS.get(extension.code, "")))
            if known and pa.types.is_integer(known.type):
                values = pc.round(pc.if_else(pc.less(pc.abs(values), _MOST_COUNTED), values, None))
            columns[name] = values.cast(known.type) if known else values
        nullable = [field.with_nullable(True) for field in fields]
        return pa.record_batch(list(columns.values()), schema=pa.schema(nullable))

    def _degrees(
        self, records: pa.StringArray, start: int, minutes: int, sign: int, *, negative: str, more_digits: str
    ) -> pa.DoubleArray:
        """`DDMMmmm` and a hemisphere letter; further digits of the minutes may stand in an extension."""
        whole = _number(records, start, minutes)
        thousandths = _number(records, minutes, sign)
        finer = next((e for e in self.extensions if e.code == more_digits), None)
        if finer is not None:
            digits = pc.fill_null(_number(records, finer.start, finer.stop), 0.0)
            thousandths = pc.add(thousandths, pc.divide(digits, 10.0 ** (finer.stop - finer.start)))
        degrees = pc.add(whole, pc.divide(thousandths, 60_000.0))
        south_or_west = pc.equal(pc.utf8_slice_codeunits(records, sign, sign + 1), negative)
        return pc.if_else(south_or_west, pc.negate(degrees), degrees)


def _number(records: pa.StringArray, start: int, stop: int) -> pa.DoubleArray:
    return parse_float(pc.utf8_slice_codeunits(records, start, stop))[0]


READER = IgcReader()

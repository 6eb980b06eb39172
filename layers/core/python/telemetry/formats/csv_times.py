"""Which columns of a text table hold time, in which form, and their cells as timestamps.

Pure. The form is decided once per file from the header and the first rows, and stated; it never changes from block
to block. Fractions are kept to the microsecond.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import Enum

import pyarrow as pa
import pyarrow.compute as pc

from telemetry.errors import Code, TelemetryError
from telemetry.formats.cells import blank_to_null, parse_float
from telemetry.formats.csv_columns import key_of, unit_suffix
from telemetry.formats.csv_dates import DateOrder, find_date, hinted_order, iso_dates, order_of
from telemetry.formats.csv_dialect import Layout
from telemetry.formats.day_clock import DAY_US, DayClock, epoch_us
from telemetry.formats.iso8601 import parse_iso8601
from telemetry.formats.reader import Findings, Origin, TimeBasis
from telemetry.streams.channels import TIMESTAMP


class Form(Enum):
    """How one column tells time."""

    ISO = "ISO 8601"
    DATE_TIME = "date and time"
    COMPACT = "yyyymmddhhmmss"
    EPOCH = "epoch"
    DATE = "date"
    TIME_OF_DAY = "time of day"
    ELAPSED = "elapsed"


@dataclass(frozen=True, slots=True)
class TimeColumn:
    """One column that tells time: `scale` is microseconds per unit of EPOCH and ELAPSED."""

    index: int
    form: Form
    name: str
    scale: float = 1e6
    zoned: bool = False
    says_utc: bool = False
    order: DateOrder = DateOrder.YMD


_TIME_WORDS = frozenset({
    "elapsed", "time", "timestamp", "timestamps", "datetime", "date", "utc", "epoch", "unix", "clock", "zeit", "uhrzeit",
    "datum", "heure", "fecha", "hora", "data", "ora", "tijd", "tid", "gpstime", "unixtime", "utctime",
    "localtime", "epochtime", "timestampms", "timems", "d", "t", "seconds", "secs", "sec", "millis",
    "milliseconds", "fecha_hora", "day", "tod", "recorded", "created", "aika", "stamp",
})  # fmt: skip
_NOT_TIME = frozenset({
    "lap", "predicted", "best", "sector", "split", "delta", "since", "last", "fix", "delay", "interval",
    "pause", "diff", "moving", "zone", "offset", "ofst", "utcofst", "accuracy", "update", "age", "sample",
    "duration", "remaining", "ago", "total", "cpu",
})  # fmt: skip
_OFFSET_KEYS = frozenset(
    {"utcofst", "utc ofst", "utc offset", "utcoffset", "time zone", "timezone", "zone", "gmt offset", "tz"}
)
_OFFSET = re.compile(r"[+-]\d{1,2}(:?\d{2})?(:00)?\Z")
_ZONE = re.compile(r"(Z|[+-]\d{2}(:?\d{2})?)\s*\Z", re.IGNORECASE)
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}([Tt]|\s+)\d{2}:\d{2}(:\d{2}([.,]\d*)?)?\s*([Zz]|[+-]\d{2}(:?\d{2})?)?\Z")
_TIME = re.compile(r"\d{1,2}:\d{2}(:\d{2}([.,:]\d*)?)?\s*([AaPp]\.?[Mm]\.?)?\s*([Zz]|UTC|GMT|[+-]\d{2}(:?\d{2})?)?\Z")
_NUMBER = re.compile(r"[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?\Z")
_COMPACT = re.compile(
    r"(19|20)\d{2}(0[1-9]|1[0-2])([0-2]\d|3[01])[T_ -]?([01]\d|2[0-3])[0-5]\d[0-5]\d([.,]?\d{1,6})?Z?\Z"
)
_COMPACT_TIME = re.compile(r"([01]?\d|2[0-3])[0-5]\d[0-5]\d([.,]\d+)?Z?\Z")
_SCALES = {
    "s": 1e6, "sec": 1e6, "secs": 1e6, "second": 1e6, "seconds": 1e6, "unix time": 1e6,
    "ms": 1e3, "msec": 1e3, "millis": 1e3, "milliseconds": 1e3, "millisecond": 1e3,
    "us": 1.0, "µs": 1.0, "μs": 1.0, "usec": 1.0, "micros": 1.0, "microseconds": 1.0,
    "ns": 1e-3, "nsec": 1e-3, "nanos": 1e-3, "nanoseconds": 1e-3,
    "min": 6e7, "mins": 6e7, "minutes": 6e7, "h": 3.6e9, "hours": 3.6e9,
}  # fmt: skip


GPS_LEAP_SECONDS = (
    (date(1981, 7, 1), 1), (date(1982, 7, 1), 2), (date(1983, 7, 1), 3), (date(1985, 7, 1), 4),
    (date(1988, 1, 1), 5), (date(1990, 1, 1), 6), (date(1991, 1, 1), 7), (date(1992, 7, 1), 8),
    (date(1993, 7, 1), 9), (date(1994, 7, 1), 10), (date(1996, 1, 1), 11), (date(1997, 7, 1), 12),
    (date(1999, 1, 1), 13), (date(2006, 1, 1), 14), (date(2009, 1, 1), 15), (date(2012, 7, 1), 16),
    (date(2015, 7, 1), 17), (date(2017, 1, 1), 18),
)  # fmt: skip
"""From when on GPS time is so many seconds ahead of UTC. Source: IERS Bulletin C; IS-GPS-200, 3.3.4."""


@dataclass(frozen=True, slots=True)
class TimeHints:
    """What a known program says of its times: see `csv_dialects.program.Program`."""

    keys: tuple[str, ...] = ()
    utc: bool = False
    gps_time: bool = False
    start: datetime | None = None
    start_is_utc: bool = False
    order: DateOrder | None = None


class TimeColumns:
    """The columns that together tell a row's time, and the way to read them."""

    def __init__(
        self,
        columns: Sequence[TimeColumn],
        *,
        basis: TimeBasis,
        start: datetime | None = None,
        day: date | None = None,
        inferred: Sequence[str] = (),
        decimal_comma: bool = False,
        offset: int | None = None,
        gps_time: bool = False,
        uploaded_at: datetime | None = None,
    ) -> None:
        self.columns = tuple(columns)
        self.basis = basis
        self.inferred = tuple(inferred)
        self._start = start
        self._day = day
        self._decimal_comma = decimal_comma
        self._offset = offset
        self._gps_time = gps_time
        self._uploaded_at = uploaded_at
        self._zoned = any(column.zoned for column in self.columns)
        self._zoneless = 0
        self._clock: DayClock | None = None

    @property
    def indices(self) -> tuple[int, ...]:
        """Their places in the file."""
        more = () if self._offset is None else (self._offset,)
        return (*(column.index for column in self.columns), *more)

    @property
    def start(self) -> datetime | None:
        """What elapsed times count from."""
        return self._start

    @property
    def types(self) -> dict[int, pa.DataType]:
        """The types that the parser may read straight from the text; it falls back to strings."""
        types: dict[int, pa.DataType] = {}
        for column in self.columns:
            if column.form is Form.ISO and column.zoned:
                types[column.index] = TIMESTAMP
            elif column.form is Form.EPOCH and column.scale < 1.0:
                types[column.index] = pa.int64()
            elif column.form in (Form.EPOCH, Form.ELAPSED):
                types[column.index] = pa.float64()
            else:
                types[column.index] = pa.string()
        if self._offset is not None:
            types[self._offset] = pa.string()
        return types

    def copy(self) -> "TimeColumns":
        """The same columns, with nothing read yet."""
        return TimeColumns(
            self.columns,
            basis=self.basis,
            start=self._start,
            day=self._day,
            inferred=self.inferred,
            decimal_comma=self._decimal_comma,
            offset=self._offset,
            gps_time=self._gps_time,
            uploaded_at=self._uploaded_at,
        )

    def timestamps(self, columns: Mapping[int, pa.Array], rows: pa.Int64Array, findings: Findings) -> pa.TimestampArray:
        """The rows' times; null where they cannot be read."""
        first = self.columns[0]
        cells = columns[first.index]
        if first.form is Form.ISO:
            times = self._iso(cells)
        elif first.form in (Form.EPOCH, Form.ELAPSED):
            times = self._counted(cells, first)
        elif first.form is Form.COMPACT:
            times = self._iso(_compact_to_iso(cells))
        elif first.form is Form.DATE_TIME:
            times = self._iso(_date_time_to_iso(cells, first.order))
        elif first.form is Form.DATE:
            times = self._iso(_joined(iso_dates(cells, first.order), _time_to_iso(columns[self.columns[1].index])))
        else:
            times = self._of_day(_time_to_iso(cells))
        if self._offset is not None:
            times = pc.subtract(times, _offsets(columns[self._offset]))
        if self._gps_time:
            times = gps_to_utc(times)
        if not pa.types.is_string(cells.type):
            return times
        self._count_unreadable(cells, times, rows, findings)
        return times

    def finish(self, findings: Findings) -> None:
        """States what was found out about time."""
        findings.time_basis = self.basis
        if self.basis is TimeBasis.GNSS_UTC and self._zoned and self._zoneless:
            findings.time_basis = TimeBasis.DEVICE_LOCAL
            findings.inferred.append(f"{self._zoneless} times without a zone were read as UTC.")

    def _iso(self, cells: pa.Array) -> pa.TimestampArray:
        if not pa.types.is_string(cells.type):
            return cells
        parsed = parse_iso8601(pc.utf8_trim_whitespace(cells))
        self._zoneless += parsed.zoneless
        return parsed.times

    def _counted(self, cells: pa.Array, column: TimeColumn) -> pa.TimestampArray:
        if pa.types.is_string(cells.type) and column.scale < 1.0:
            trimmed = pc.utf8_trim_whitespace(cells)
            whole = pc.match_substring_regex(trimmed, r"^-?\d{1,18}$|^1\d{18}$")
            cells = pc.if_else(whole, trimmed, None).cast(pa.int64())
        if pa.types.is_string(cells.type):
            cells, _ = parse_float(cells, decimal_comma=self._decimal_comma)
        if pa.types.is_integer(cells.type):
            counted = pc.divide(cells, round(1 / column.scale))
        else:
            counted = _to_microseconds(pc.multiply(cells, column.scale))
        if self._start is not None:
            counted = pc.add(counted, _microseconds(self._start))
        return counted.cast(TIMESTAMP)

    def _of_day(self, cells: pa.StringArray) -> pa.TimestampArray:
        """Times of day on `day` and the days after it."""
        times = parse_iso8601(_joined(pa.scalar("1970-01-01"), cells)).times.cast(pa.int64())
        known = times.drop_null()
        if self._clock is None:
            day = epoch_us(self._day or date(1970, 1, 1))
            if self._uploaded_at is not None and len(known):
                # A recording lies before its upload: later than that on the same day means the day before.
                moment = self._uploaded_at.astimezone(UTC)
                seconds = (moment.hour * 60 + moment.minute) * 60 + moment.second
                day -= DAY_US if known[0].as_py() > seconds * 1_000_000 else 0
            self._clock = DayClock(day)
        return self._clock.absolute(times).cast(TIMESTAMP)

    def _count_unreadable(
        self, cells: pa.Array, times: pa.TimestampArray, rows: pa.Int64Array, findings: Findings
    ) -> None:
        if not times.null_count:
            return
        wrong = pc.and_(pc.is_null(times), pc.is_valid(blank_to_null(cells)))
        found = rows.filter(pc.fill_null(wrong, False))
        for row in found.slice(0, 5).to_pylist():
            findings.bad_cell("timestamp", row)
        if len(found) > 5:
            findings.bad_cell("timestamp", None, len(found) - 5)


def gps_to_utc(times: pa.TimestampArray) -> pa.TimestampArray:
    """Takes the leap seconds off times that a receiver counts without them."""
    ahead = pa.scalar(timedelta(), pa.duration("us"))
    for begin, seconds in GPS_LEAP_SECONDS:
        since = datetime(begin.year, begin.month, begin.day, tzinfo=UTC) + timedelta(seconds=seconds)
        step = pa.scalar(timedelta(seconds=seconds), pa.duration("us"))
        ahead = pc.if_else(pc.greater_equal(times, pa.scalar(since, TIMESTAMP)), step, ahead)
    return pc.subtract(times, ahead)


def _offsets(cells: pa.StringArray) -> pa.Array:
    """`+02:00`, `-0700` and `+2` as durations; nothing counts as none."""
    encoded = cells.dictionary_encode()
    read = []
    for text in encoded.dictionary.to_pylist():
        match = re.match(r"\s*([+-]?)(\d{1,2}):?(\d{2})?(?::\d{2})?\s*$", text or "")
        minutes = int(match[2]) * 60 + int(match[3] or 0) if match else 0
        read.append(timedelta(minutes=-minutes if match and match[1] == "-" else minutes))
    found = pa.array(read, pa.duration("us")).take(encoded.indices)
    return pc.fill_null(found, pa.scalar(timedelta(), pa.duration("us")))


def _microseconds(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _to_microseconds(values: pa.DoubleArray) -> pa.Int64Array:
    sound = pc.less(pc.abs(values), 9e18)
    return pc.round(pc.if_else(sound, values, None)).cast(pa.int64())


def _joined(dates: pa.Array | pa.Scalar, times: pa.StringArray) -> pa.StringArray:
    return pc.binary_join_element_wise(dates, times, "T")


def _time_to_iso(cells: pa.StringArray) -> pa.StringArray:
    """`1:34 PM`, `173418.50`, `10:12:47:250` to `hh:mm:ss.fff`, with the zone if one follows."""
    parts = pc.extract_regex(
        pc.utf8_trim_whitespace(cells),
        pattern=(
            r"^(?P<h>\d{1,2}?)(?P<a>:?)(?P<m>\d{2})(?:(?P<b>:?)(?P<s>\d{2})(?:[.,:](?P<f>\d*))?)?"
            r"\s*(?P<p>[AaPp]?)(?:\.?[Mm]\.?)?\s*(?P<z>Z|z|[+-]\d{2}:?\d{0,2})?(?:UTC|GMT)?$"
        ),
    )
    hour = pc.utf8_lpad(pc.struct_field(parts, "h"), 2, padding="0")
    half = pc.utf8_lower(pc.struct_field(parts, "p"))
    if pc.any(pc.not_equal(half, "")).as_py():
        number = hour.cast(pa.int64())
        number = pc.if_else(pc.and_(pc.equal(half, "p"), pc.less(number, 12)), pc.add(number, 12), number)
        number = pc.if_else(pc.and_(pc.equal(half, "a"), pc.equal(number, 12)), 0, number)
        hour = pc.utf8_lpad(number.cast(pa.string()), 2, padding="0")
    second = pc.struct_field(parts, "s")
    second = pc.if_else(pc.equal(second, ""), "00", second)
    fraction = pc.struct_field(parts, "f")
    fraction = pc.if_else(pc.equal(fraction, ""), "0", fraction)
    clock = pc.binary_join_element_wise(hour, pc.struct_field(parts, "m"), second, ":")
    return pc.binary_join_element_wise(clock, ".", fraction, pc.struct_field(parts, "z"), "")


def _compact_to_iso(cells: pa.StringArray) -> pa.StringArray:
    return pc.replace_substring_regex(
        pc.utf8_trim_whitespace(cells),
        pattern=r"^(\d{4})(\d\d)(\d\d)[T_ -]?(\d\d)(\d\d)(\d\d)[.,]?(\d*)(Z?)$",
        replacement=r"\1-\2-\3T\4:\5:\6.\7\8",
    )


def _date_time_to_iso(cells: pa.StringArray, order: DateOrder) -> pa.StringArray:
    parts = pc.extract_regex(pc.utf8_trim_whitespace(cells), pattern=r"^(?P<d>.*?\d)(?:T|,?\s+)(?P<t>\d{1,2}:\d{2}.*)$")
    return _joined(iso_dates(pc.struct_field(parts, "d"), order), _time_to_iso(pc.struct_field(parts, "t")))


def find_times(layout: Layout, origin: Origin, hints: TimeHints = TimeHints()) -> TimeColumns | None:
    """The columns that tell time, the surest first; None where there is none.

    Raises
    ------
    TelemetryError : NO_TIME_DATA where times count from a start that the file does not give.
    """
    found = [column for index in range(layout.width) if (column := _classified(layout, index, hints.order)) is not None]
    # Columns that the program is known to write come first; `sorted` keeps the file's order otherwise.
    found = sorted(found, key=lambda c: (c.name not in hints.keys, "utc" not in c.name.split(), c.form is Form.ELAPSED))
    return _chosen(found, layout, origin, hints)


def _chosen(found: list[TimeColumn], layout: Layout, origin: Origin, hints: TimeHints) -> TimeColumns | None:
    comma = layout.decimal_comma
    by_form = {form: [c for c in found if c.form is form] for form in Form}

    def basis(column: TimeColumn) -> TimeBasis:
        utc = hints.utc or hints.gps_time or column.says_utc
        return TimeBasis.GNSS_UTC if utc else TimeBasis.DEVICE_LOCAL

    for column in found:
        if column.zoned or column.form is Form.EPOCH:
            return TimeColumns([column], basis=TimeBasis.GNSS_UTC, decimal_comma=comma, gps_time=hints.gps_time)
    offset = _offset_column(layout)
    inferred: list[str] = []
    if hints.gps_time:
        inferred.append("The file's clock is GPS time: its leap seconds were taken off.")
    for column in found:
        if column.form in (Form.ISO, Form.DATE_TIME, Form.COMPACT):
            if column.form is Form.DATE_TIME:
                inferred.append(f"Dates were read as {column.order.value}.")
            return TimeColumns(
                [column],
                basis=TimeBasis.GNSS_UTC if offset is not None else basis(column),
                inferred=inferred,
                offset=offset,
                gps_time=hints.gps_time,
            )
    clocks, days = by_form[Form.TIME_OF_DAY], by_form[Form.DATE]
    if days and clocks:
        day = min(days, key=lambda c: (c.says_utc != clocks[0].says_utc, abs(c.index - clocks[0].index)))
        inferred.append(f"Dates were read as {day.order.value}.")
        zoned = offset is not None and not clocks[0].says_utc
        return TimeColumns(
            [day, clocks[0]],
            basis=TimeBasis.GNSS_UTC if zoned or clocks[0].zoned else basis(clocks[0]),
            inferred=inferred,
            offset=offset if zoned else None,
            gps_time=hints.gps_time,
        )
    if clocks:
        date_, sentence = find_date(layout.preamble, origin)
        if date_ is None:
            raise TelemetryError(Code.NO_TIME_DATA, "times of day without any date")
        return TimeColumns(
            [clocks[0]],
            basis=TimeBasis.INFERRED_DATE,
            day=date_,
            inferred=[*inferred, sentence],
            uploaded_at=origin.uploaded_at if "upload" in sentence else None,
            gps_time=hints.gps_time,
        )
    for column in by_form[Form.ELAPSED]:
        if hints.start is None:
            name = layout.header[column.index][:40]
            raise TelemetryError(Code.NO_TIME_DATA, f"column {name!r} counts from a start that the file does not give")
        return TimeColumns(
            [column],
            basis=TimeBasis.GNSS_UTC if hints.start_is_utc else TimeBasis.DEVICE_LOCAL,
            start=hints.start,
            inferred=["Times count from the date and time in the file's header."],
            decimal_comma=comma,
        )
    return None


def _offset_column(layout: Layout) -> int | None:
    """The column that gives each row's offset from UTC, where there is one."""
    for index, name in enumerate(layout.header):
        cells = layout.column(index)
        if key_of(name) in _OFFSET_KEYS and cells and all(_OFFSET.match(cell) for cell in cells):
            return index
    return None


def _classified(layout: Layout, index: int, known_order: DateOrder | None) -> TimeColumn | None:
    """The form of one column, or None where it tells no time."""
    key = key_of(layout.header[index])
    words = set(key.split())
    if not words & _TIME_WORDS or words & _NOT_TIME:
        return None
    cells = layout.column(index)
    if not cells:
        return None
    note = layout.units[index].lower()
    unit = note or unit_suffix(key)[1]
    says_utc = bool(words & {"utc", "gmt", "zulu", "utctime"}) or note in ("utc", "gmt", "z")
    most = 0.6 * len(cells)

    def mostly(pattern: re.Pattern[str]) -> bool:
        return sum(bool(pattern.match(cell)) for cell in cells) >= most

    if mostly(_ISO):
        return TimeColumn(
            index, Form.ISO, key, zoned=all(map(_ZONE.search, filter(_ISO.match, cells))), says_utc=says_utc
        )
    if mostly(_COMPACT):
        return TimeColumn(index, Form.COMPACT, key, zoned=all(c.endswith("Z") for c in cells), says_utc=says_utc)
    if mostly(_TIME) and not words & {"elapsed"}:
        return TimeColumn(index, Form.TIME_OF_DAY, key, says_utc=says_utc or all(c.endswith("Z") for c in cells))
    if mostly(_NUMBER):
        return _classified_number(index, key, unit, cells, known_order, says_utc=says_utc)
    order = known_order or hinted_order(note) or order_of(cells)
    if order is None:
        return None
    with_time = sum(":" in cell for cell in cells) >= most
    zoned = with_time and all(re.search(r"(Z|UTC|GMT|:\d\d\s*[+-]\d\d:?\d\d)\Z", c) for c in cells)
    return TimeColumn(
        index, Form.DATE_TIME if with_time else Form.DATE, key, zoned=zoned, says_utc=says_utc, order=order
    )


def _classified_number(
    index: int, key: str, unit: str, cells: list[str], known_order: DateOrder | None, *, says_utc: bool
) -> TimeColumn | None:
    words = set(key.split())
    values = sorted(float(c.replace(",", ".")) for c in cells if _NUMBER.match(c))
    middle = abs(values[len(values) // 2])
    if words & {"date", "datum", "fecha", "data", "day", "d"} and len(str(int(middle))) in (5, 6, 8):
        order = known_order or hinted_order(unit) or order_of(cells)
        if order is not None:
            if order in (DateOrder.YMD, DateOrder.DMY) and len(str(int(middle))) < 8:
                order = DateOrder.YYMMDD if order is DateOrder.YMD else DateOrder.DDMMYY
            return TimeColumn(index, Form.DATE, key, says_utc=says_utc, order=order)
    if not words & {"millis", "elapsed"}:
        for low, high, scale in ((3e8, 1e11, 1e6), (1e11, 1e14, 1e3), (1e14, 1e17, 1.0), (1e17, 1e19, 1e-3)):
            if low <= middle < high:
                return TimeColumn(index, Form.EPOCH, key, scale=scale, says_utc=True)
    clock = all(_COMPACT_TIME.match(c) and len(re.split("[.,]", c)[0]) >= 5 for c in cells)
    if clock and unit not in _SCALES and not words & {"elapsed"}:
        return TimeColumn(index, Form.TIME_OF_DAY, key, says_utc=says_utc)
    if words & {"epoch", "unix", "date"}:
        return None
    scale = _SCALES.get(unit) or next((_SCALES[w] for w in reversed(key.split()) if w in _SCALES), 1e6)
    return TimeColumn(index, Form.ELAPSED, key, scale=scale)

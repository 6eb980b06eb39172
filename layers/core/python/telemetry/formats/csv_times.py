"""The time columns of a text table and their cells as timestamps, block after block.

Pure. The form is decided once per file (`csv_time_columns`) and never changes from block to block. Fractions are kept
to the microsecond.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

import pyarrow as pa
import pyarrow.compute as pc

from telemetry.formats.cells import blank_to_null, parse_float
from telemetry.formats.csv_time_cells import (
    compact_to_iso,
    date_output_to_iso,
    date_time_to_iso,
    day_numbers_to_times,
    gps_to_utc,
    gps_week_to_times,
    joined,
    microseconds,
    offsets,
    parts_to_times,
    time_to_iso,
    to_microseconds,
)
from telemetry.formats.dates import DateOrder, FoundDate, Start, iso_dates
from telemetry.formats.day_clock import DayClock
from telemetry.formats.iso8601 import parse_iso8601
from telemetry.formats.reader import Findings, TimeBasis
from telemetry.streams.channels import TIMESTAMP


class Form(Enum):
    """How one column tells time."""

    ISO = "ISO 8601"
    DATE_TIME = "date and time"
    COMPACT = "yyyymmddhhmmss"
    DATE_OUTPUT = "weekday, month, day, time, zone, year"
    EPOCH = "epoch"
    DATE = "date"
    TIME_OF_DAY = "time of day"
    ELAPSED = "elapsed"
    DAY_NUMBER = "day number"
    PARTS = "year, month, day, hour, minute, second"
    GPS_WEEK = "GPS week and time of week"


@dataclass(frozen=True, slots=True)
class TimeColumn:
    """One column that tells time: `scale` is microseconds per unit of EPOCH and ELAPSED; of `orders` the first is that
    of its dates, the others fit as well; `zone_named` tells that a zone goes by a name other than UTC's."""

    index: int
    form: Form
    name: str
    scale: float = 1e6
    zoned: bool = False
    says_utc: bool = False
    zone_named: bool = False
    orders: tuple[DateOrder, ...] = (DateOrder.YMD,)

    @property
    def order(self) -> DateOrder:
        """The order that its dates are read in."""
        return self.orders[0]


@dataclass(frozen=True, slots=True)
class TimeHints:
    """What a known program says of its times: see `csv_dialects.program.Program`."""

    keys: tuple[str, ...] = ()
    utc: bool = False
    gps_time: bool = False
    start: Start | None = None
    start_is_utc: bool = False
    order: DateOrder | None = None
    restarts: bool = False


class RunningTime:
    """Turns times that begin again with every lap into one running time, block after block.

    A lap is taken to last until one step (the last one in it) after its last row, where the next one's times begin at
    their least.
    """

    def __init__(self) -> None:
        self._latest = self._sum = self._step = 0

    def of(self, counted: pa.Int64Array) -> pa.Int64Array:
        """Microseconds that run on; null where `counted` is."""
        if counted.null_count == len(counted):
            return counted
        known = pc.fill_null(pc.fill_null_forward(counted), self._latest)
        before = pa.concat_arrays([pa.array([self._latest], pa.int64()), known.slice(0, len(known) - 1)])
        steps = pc.subtract(known, before)
        restarts = pc.less(pc.multiply(known, 2), before)
        ahead = pc.if_else(pc.or_(restarts, pc.less_equal(steps, 0)), None, steps)
        usual = pc.fill_null(pc.fill_null_forward(ahead), self._step)
        sums = pc.add(pc.cumulative_sum(pc.if_else(restarts, pc.add(known, usual), steps)), self._sum)
        self._latest, self._sum, self._step = known[-1].as_py(), sums[-1].as_py(), usual[-1].as_py()
        return pc.if_else(pc.is_valid(counted), sums, None)


class TimeColumns:
    """The columns that together tell a row's time, and the way to read them."""

    def __init__(
        self,
        columns: Sequence[TimeColumn],
        *,
        basis: TimeBasis,
        start: datetime | None = None,
        dated: FoundDate | None = None,
        inferred: Sequence[str] = (),
        decimal_comma: bool = False,
        offset: int | None = None,
        gps_time: bool = False,
        weeks_ahead: int = 0,
        restarts: bool = False,
    ) -> None:
        self.columns = tuple(columns)
        self.basis = basis
        self.inferred = tuple(inferred)
        self._start = start
        self._dated = dated
        self._decimal_comma = decimal_comma
        self._offset = offset
        self._gps_time = gps_time
        self._weeks_ahead = weeks_ahead
        self._running = RunningTime() if restarts else None
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
            elif column.form in (Form.EPOCH, Form.ELAPSED, Form.DAY_NUMBER, Form.PARTS, Form.GPS_WEEK):
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
            dated=self._dated,
            inferred=self.inferred,
            decimal_comma=self._decimal_comma,
            offset=self._offset,
            gps_time=self._gps_time,
            weeks_ahead=self._weeks_ahead,
            restarts=self._running is not None,
        )

    def timestamps(self, columns: Mapping[int, pa.Array], rows: pa.Int64Array, findings: Findings) -> pa.TimestampArray:
        """The rows' times; null where they cannot be read."""
        first = self.columns[0]
        cells = columns[first.index]
        if first.form is Form.ISO:
            times = self._iso(cells)
        elif first.form in (Form.EPOCH, Form.ELAPSED, Form.DAY_NUMBER):
            times = self._counted(cells, first)
        elif first.form is Form.PARTS:
            times = self._of_parts(columns)
        elif first.form is Form.GPS_WEEK:
            weeks = pc.add(self._floats(cells), float(self._weeks_ahead))
            of_week = self._floats(columns[self.columns[1].index])
            times = gps_week_to_times(weeks, to_microseconds(pc.multiply(of_week, self.columns[1].scale)))
        elif first.form is Form.COMPACT:
            times = self._iso(compact_to_iso(cells))
        elif first.form is Form.DATE_OUTPUT:
            times = self._iso(date_output_to_iso(cells))
        elif first.form is Form.DATE_TIME:
            times = self._iso(date_time_to_iso(cells, first.order))
        elif first.form is Form.DATE:
            times = self._iso(joined(iso_dates(cells, first.order), time_to_iso(columns[self.columns[1].index])))
        else:
            times = self._of_day(time_to_iso(cells))
        if self._offset is not None:
            times = pc.subtract(times, offsets(columns[self._offset]))
        if self._gps_time:
            times = gps_to_utc(times)
        if not pa.types.is_string(cells.type):
            return times
        self._count_unreadable(cells, times, rows, findings)
        return times

    def finish(self, findings: Findings) -> None:
        """States what was found out about time."""
        findings.time_basis = self.basis
        if self._clock is not None:
            findings.inferred += self._clock.remarks()
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
        if column.form is Form.DAY_NUMBER:
            return day_numbers_to_times(self._floats(cells))
        if pa.types.is_string(cells.type) and column.scale < 1.0:
            counted = self._nanoseconds(cells, column)
        elif pa.types.is_integer(cells.type):
            counted = pc.divide(cells, round(1 / column.scale))
        else:
            counted = to_microseconds(pc.multiply(self._floats(cells), column.scale))
        if self._running is not None:
            counted = self._running.of(counted)
        if self._start is not None:
            counted = pc.add(counted, microseconds(self._start))
        return counted.cast(TIMESTAMP)

    def _nanoseconds(self, cells: pa.StringArray, column: TimeColumn) -> pa.Int64Array:
        """Whole numbers exactly, a fraction cut off; those with an exponent as well as a float holds them."""
        trimmed = pc.replace_substring_regex(pc.utf8_trim_whitespace(cells), r"^(-?\d+)[.,]\d*$", r"\1")
        whole = pc.match_substring_regex(trimmed, r"^-?\d{1,18}$|^[1-8]\d{18}$")
        counted = pc.divide(pc.if_else(whole, trimmed, None).cast(pa.int64()), round(1 / column.scale))
        if counted.null_count == cells.null_count:
            return counted
        others = self._floats(pc.if_else(whole, None, trimmed))
        return pc.coalesce(counted, to_microseconds(pc.multiply(others, column.scale)))

    def _of_parts(self, columns: Mapping[int, pa.Array]) -> pa.TimestampArray:
        parts = [self._floats(columns[column.index]) for column in self.columns]
        if len(parts) > 6:
            parts[5] = pc.add(parts[5], pc.multiply(parts[6], self.columns[6].scale / 1e6))
        return parts_to_times(parts[:6])

    def _floats(self, cells: pa.Array) -> pa.DoubleArray:
        if not pa.types.is_string(cells.type):
            return cells
        return parse_float(cells, decimal_comma=self._decimal_comma)[0]

    def _of_day(self, cells: pa.StringArray) -> pa.TimestampArray:
        """Times of day on the date that was found and the days after it."""
        times = parse_iso8601(joined(pa.scalar("1970-01-01"), cells)).times.cast(pa.int64())
        if self._clock is None:
            self._clock = DayClock.of(self._dated) if self._dated else DayClock(0)
        return self._clock.absolute(times).cast(TIMESTAMP)

    def _count_unreadable(
        self, cells: pa.Array, times: pa.TimestampArray, rows: pa.Int64Array, findings: Findings
    ) -> None:
        if not times.null_count:
            return
        wrong = pc.and_(pc.is_null(times), pc.is_valid(blank_to_null(cells)))
        findings.bad_cells_at("timestamp", rows.filter(pc.fill_null(wrong, False)))

"""Which columns of a text table tell time, and in which form: decided from their names and the first rows. Pure."""

import re
from datetime import UTC, date, datetime, time
from itertools import pairwise

from telemetry.errors import Code, TelemetryError
from telemetry.formats.csv_columns import key_of, unit_suffix
from telemetry.formats.csv_dialect import Layout
from telemetry.formats.csv_time_cells import GPS_EPOCH, ZONE, zone_offset
from telemetry.formats.csv_times import Form, TimeColumn, TimeColumns, TimeHints
from telemetry.formats.dates import (
    DateOrder,
    date_in_name,
    find_date,
    hinted_order,
    order_sentence,
    orders_of,
    says_half_days,
    start_in_name,
)
from telemetry.formats.reader import Origin, TimeBasis

_TIME_WORDS = frozenset({
    "time", "timestamp", "timestamps", "datetime", "date", "utc", "epoch", "unix", "clock", "zeit", "uhrzeit",
    "elapsed",
    "datum", "heure", "fecha", "hora", "data", "ora", "tijd", "tid", "gpstime", "unixtime", "utctime",
    "localtime", "epochtime", "timestampms", "timems", "d", "t", "seconds", "secs", "sec", "millis",
    "milliseconds", "fecha_hora", "day", "tod", "recorded", "created", "aika", "stamp",
})  # fmt: skip
_MINUTES = frozenset({"minutes", "mins"})
"""Minutes since the start, where nothing else stands beside them (PowerTap, Joule)."""
_NOT_TIME = frozenset({
    "lap", "predicted", "best", "sector", "split", "delta", "since", "last", "fix", "delay", "interval",
    "pause", "diff", "moving", "zone", "offset", "ofst", "utcofst", "accuracy", "age", "sample",
    "duration", "remaining", "ago", "total", "cpu",
})  # fmt: skip
_UTC = ("UTC", "GMT", "UT", "Z")
_ROLLOVER_WEEKS = 1024
_OFFSET_KEYS = frozenset(
    {"utcofst", "utc ofst", "utc offset", "utcoffset", "time zone", "timezone", "zone", "gmt offset", "tz"}
)
_OFFSET = re.compile(r"[+-]\d{1,2}(:?\d{2})?(:00)?\Z")
_ZONE = re.compile(r"(Z|[+-]\d{2}(:?\d{2})?)\s*\Z", re.IGNORECASE)
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}([Tt]|\s+)\d{2}:\d{2}(:\d{2}([.,]\d*)?)?\s*([Zz]|[+-]\d{2}(:?\d{2})?)?\Z")
_CLOCK = r"\d{1,2}:\d{2}(:\d{2}([.,:]\d*)?)?\s*([AaPp]\.?[Mm]\.?)?\s*"
_TIME = re.compile(rf"{_CLOCK}(\(?{ZONE}\)?)?\Z")
_ZONED_CLOCK = re.compile(rf"{_CLOCK}\(?(?P<zone>{ZONE})\)?\Z")
_NUMBER = re.compile(r"[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?\Z")
_COMPACT = re.compile(
    r"(19|20)\d{2}(0[1-9]|1[0-2])([0-2]\d|3[01])[T_ -]?([01]\d|2[0-3])[0-5]\d[0-5]\d([.,]?\d{1,6})?Z?\Z"
)
_DATE_OUTPUT = re.compile(
    r"([^\W\d_]{2,4}\.?,?\s+)?[^\W\d_]{3,5}\.?\s+\d{1,2}\s+\d{1,2}:\d{2}:\d{2}(\.\d+)?\s+"
    r"(([A-Z]{1,5}|(UTC|GMT)?[+-]\d{2}:?\d{2})\s+)?\d{4}\Z"
)
_COMPACT_TIME = re.compile(r"([01]?\d|2[0-3])[0-5]\d[0-5]\d([.,]\d+)?Z?\Z")
_SCALES = {
    "s": 1e6, "sec": 1e6, "secs": 1e6, "second": 1e6, "seconds": 1e6, "unix time": 1e6,
    "ms": 1e3, "msec": 1e3, "millis": 1e3, "milliseconds": 1e3, "millisecond": 1e3,
    "us": 1.0, "µs": 1.0, "μs": 1.0, "usec": 1.0, "micros": 1.0, "microseconds": 1.0,
    "ns": 1e-3, "nsec": 1e-3, "nanos": 1e-3, "nanoseconds": 1e-3,
    "min": 6e7, "mins": 6e7, "minutes": 6e7, "h": 3.6e9, "hours": 3.6e9,
}  # fmt: skip
_DATE_WORDS = frozenset({"date", "datetime", "datum", "fecha", "timestamp"})
_DAY_NUMBERS = (29_221, 73_051)
"""Of 1980-01-01 and 2100-01-01."""
_DAYS_PER_MINUTE = 1.01 / 1440
_PARTS = ("year", "month", "day", "hour", "minute", "second")
_FRACTIONS = {
    "millisecond": 1e3,
    "milliseconds": 1e3,
    "ms": 1e3,
    "millis": 1e3,
    "centisecond": 1e4,
    "hundredths": 1e4,
    "microsecond": 1.0,
    "us": 1.0,
}
_PART_NAMES = {
    "hours": "hour",
    "minutes": "minute",
    "min": "minute",
    "seconds": "second",
    "sec": "second",
    "mon": "month",
    "hr": "hour",
}


def find_times(layout: Layout, origin: Origin, hints: TimeHints | None = None) -> TimeColumns | None:
    """The columns that tell time, the surest first; None where there is none.

    Raises
    ------
    TelemetryError : NO_TIME_DATA where times count from a start that the file does not give.
    """
    hints = hints or TimeHints()
    found = [
        column for index in range(layout.width) if (column := _classified(layout, index, hints, origin)) is not None
    ]
    # Columns that the program is known to write come first; `sorted` keeps the file's order otherwise.
    found = sorted(found, key=lambda c: (c.name not in hints.keys, *_doubt(c)))
    return _chosen(found, layout, origin, hints)


def _doubt(column: TimeColumn) -> tuple[bool, bool, bool]:
    """The receiver's clock is surer than that of the device around it, which may never have been set."""
    words = set(column.name.split())
    return "utc" not in words, not words & {"gps", "gnss"}, column.form is Form.ELAPSED


def _chosen(found: list[TimeColumn], layout: Layout, origin: Origin, hints: TimeHints) -> TimeColumns | None:
    comma = layout.decimal_comma
    by_form = {form: [c for c in found if c.form is form] for form in Form}

    def basis(column: TimeColumn) -> TimeBasis:
        utc = hints.utc or hints.gps_time or column.says_utc
        return TimeBasis.GNSS_UTC if utc else TimeBasis.DEVICE_LOCAL

    for column in found:
        if (column.zoned and column.form is not Form.TIME_OF_DAY) or column.form is Form.EPOCH:
            return TimeColumns(
                [column],
                basis=TimeBasis.GNSS_UTC,
                inferred=_sentences(column),
                decimal_comma=comma,
                gps_time=hints.gps_time,
            )
    offset = _offset_column(layout)
    inferred: list[str] = []
    if hints.gps_time:
        inferred.append("The file's clock is GPS time: its leap seconds were taken off.")
    for column in found:
        if column.form in (Form.DAY_NUMBER, Form.ISO, Form.DATE_TIME, Form.DATE_OUTPUT, Form.COMPACT):
            inferred += _sentences(column)
            return TimeColumns(
                [column],
                basis=TimeBasis.GNSS_UTC if offset is not None else basis(column),
                inferred=inferred,
                decimal_comma=comma,
                offset=offset,
                gps_time=hints.gps_time,
            )
    clocks, days = by_form[Form.TIME_OF_DAY], by_form[Form.DATE]
    if days and clocks:
        day = min(days, key=lambda c: (c.says_utc != clocks[0].says_utc, abs(c.index - clocks[0].index)))
        inferred += [order_sentence("Dates were", day.orders), *_zone_sentences(clocks[0])]
        zoned = offset is not None and not clocks[0].says_utc and not clocks[0].zoned
        return TimeColumns(
            [day, clocks[0]],
            basis=TimeBasis.GNSS_UTC if zoned or clocks[0].zoned else basis(clocks[0]),
            inferred=inferred,
            offset=offset if zoned else None,
            gps_time=hints.gps_time,
        )
    parts = _parts(layout) or _gps_week(layout)
    if parts:
        utc = parts[0].form is Form.GPS_WEEK or hints.utc or hints.gps_time or any("utc" in c.name for c in parts)
        ahead, sentences = _weeks_ahead(layout, parts[0], origin)
        return TimeColumns(
            parts,
            basis=TimeBasis.GNSS_UTC if utc else TimeBasis.DEVICE_LOCAL,
            inferred=[f"Times were put together from {parts[0].form.value}.", *sentences],
            weeks_ahead=ahead,
            decimal_comma=comma,
            gps_time=hints.gps_time and parts[0].form is Form.PARTS,
        )
    if clocks:
        dated = find_date(layout.preamble, origin)
        if dated is None:
            raise TelemetryError(Code.NO_TIME_DATA, "times of day without any date")
        return TimeColumns(
            [clocks[0]],
            basis=TimeBasis.INFERRED_DATE,
            dated=dated,
            inferred=[*inferred, *_zone_sentences(clocks[0]), dated.sentence],
            gps_time=hints.gps_time,
        )
    for column in by_form[Form.ELAPSED]:
        start = _start(hints, origin)
        if start is None:
            name = layout.header[column.index][:40]
            raise TelemetryError(Code.NO_TIME_DATA, f"column {name!r} counts from a start that the file does not give")
        laps = ["Times begin again with every lap: the laps were put one after the other."] if hints.restarts else []
        return TimeColumns(
            [column],
            basis=start[1],
            start=start[0],
            inferred=[*start[2], *laps],
            decimal_comma=comma,
            restarts=hints.restarts,
        )
    return _unreadable(layout)


def _start(hints: TimeHints, origin: Origin) -> tuple[datetime, TimeBasis, list[str]] | None:
    """What elapsed times count from: the header's date and time, those in the file's name, then the upload."""
    if hints.start is not None:
        doubt = [order_sentence("The date there was", hints.start.orders)] if len(hints.start.orders) > 1 else []
        basis = TimeBasis.GNSS_UTC if hints.start_is_utc else TimeBasis.DEVICE_LOCAL
        return hints.start.moment, basis, ["Times count from the date and time in the file's header.", *doubt]
    named = start_in_name(origin.file_name)
    if named is not None:
        return named, TimeBasis.INFERRED_DATE, ["Times count from the date and time in the file's name."]
    day = date_in_name(origin.file_name)
    if day is not None:
        midnight = datetime.combine(day, time(), UTC)
        return midnight, TimeBasis.INFERRED_DATE, ["Times count from midnight of the date in the file's name."]
    if origin.uploaded_at is not None:
        said = "The file does not say when it began: times count from the moment of the upload."
        return origin.uploaded_at.astimezone(UTC), TimeBasis.INFERRED_DATE, [said]
    return None


def _weeks_ahead(layout: Layout, column: TimeColumn, origin: Origin) -> tuple[int, list[str]]:
    """Weeks to add to GPS week numbers of ten bits, and what is to be said of them.

    Ten bits start again every 1024 weeks (IS-GPS-200, 20.3.3.3.1.1): the newest week that the file's name or the upload
    allows is taken. Without either nothing is changed.
    """
    weeks = sorted(float(cell) for cell in layout.column(column.index) if re.fullmatch(r"\d{1,4}", cell))
    if column.form is not Form.GPS_WEEK or not weeks or weeks[-1] >= _ROLLOVER_WEEKS:
        return 0, []
    named = date_in_name(origin.file_name)
    if named is None and origin.uploaded_at is None:
        return 0, ["The GPS week numbers lie before 1999: if they have ten bits, the dates are 1024 weeks or more off."]
    latest = named or (origin.uploaded_at or GPS_EPOCH).astimezone(UTC).date()
    added = max(0, _weeks_until(latest) - int(weeks[0])) // _ROLLOVER_WEEKS * _ROLLOVER_WEEKS
    source = "upload" if named is None else "date in the file's name"
    said = f"GPS week numbers of ten bits were taken as the newest weeks before the {source}: {added} weeks were added."
    return added, [said] if added else []


def _weeks_until(day: date) -> int:
    return ((day - GPS_EPOCH.date()).days + 1) // 7


def _sentences(column: TimeColumn) -> list[str]:
    """What was inferred of a column that tells date and time at once."""
    if column.form is Form.DATE_TIME:
        return [order_sentence("Dates were", column.orders), *_zone_sentences(column)]
    if column.form is Form.DATE_OUTPUT:
        return _zone_sentences(column)
    if column.form is Form.DAY_NUMBER:
        return ["Times were read as a spreadsheet's day numbers, of the date base 1900."]
    return []


def _zone_sentences(column: TimeColumn) -> list[str]:
    if not column.zone_named:
        return []
    return ["The names of time zones were read as RFC 5322 and the tz database have them."]


def _unreadable(layout: Layout) -> TimeColumns | None:
    """A column that is called a time but has no cell to judge by: read as ISO 8601, so that its rows are counted."""
    for index, name in enumerate(layout.header):
        words = set(key_of(name).split())
        if words & _TIME_WORDS and not words & _NOT_TIME and not layout.sample:
            return TimeColumns([TimeColumn(index, Form.ISO, key_of(name))], basis=TimeBasis.GNSS_UTC)
    return None


def _parts(layout: Layout) -> list[TimeColumn]:
    """Columns for year, month, day, hour, minute, second and perhaps a fraction; empty where one is missing."""
    found: dict[str, TimeColumn] = {}
    for index, name in enumerate(layout.header):
        key = key_of(name)
        for prefix in ("gps ", "utc ", "gnss "):
            key = key.removeprefix(prefix)
        part = _PART_NAMES.get(key, key)
        if part in _FRACTIONS:
            found.setdefault("fraction", TimeColumn(index, Form.PARTS, key, scale=_FRACTIONS[part]))
        elif part in _PARTS:
            found.setdefault(part, TimeColumn(index, Form.PARTS, key_of(name)))
    if not all(part in found for part in _PARTS):
        return []
    return [found[part] for part in (*_PARTS, "fraction") if part in found]


def _gps_week(layout: Layout) -> list[TimeColumn]:
    """GPS week number and time of week."""
    keys = [key_of(name) for name in layout.header]
    week = next(
        (i for i, key in enumerate(keys) if key in ("week", "gps week", "gpsweek", "week number", "wn", "gwk")), None
    )
    if week is None:
        return []
    for index, key in enumerate(keys):
        bare, _, unit = key.partition(" ") if key.split()[-1:] and key.split()[-1] in _SCALES else (key, "", "")
        if bare in ("tow", "itow", "i tow", "gps tow", "time of week", "gps seconds", "gps sow", "sow", "gms"):
            values = [float(cell) for cell in layout.column(index) if _NUMBER.match(cell) and "," not in cell]
            # A week has 604 800 seconds.
            scale = _SCALES.get(layout.units[index].lower() or unit) or (
                1e3 if max(values, default=0) > 604_800 else 1e6
            )
            return [TimeColumn(week, Form.GPS_WEEK, keys[week]), TimeColumn(index, Form.GPS_WEEK, key, scale=scale)]
    return []


def _offset_column(layout: Layout) -> int | None:
    """The column that gives each row's offset from UTC, where there is one."""
    for index, name in enumerate(layout.header):
        cells = layout.column(index)
        if key_of(name) in _OFFSET_KEYS and cells and all(_OFFSET.match(cell) for cell in cells):
            return index
    return None


def _zones(cells: list[str]) -> tuple[bool, bool]:
    """Whether every time of day among `cells` has a zone behind it, and whether one goes by a name of its own."""
    found = [_ZONED_CLOCK.search(cell) for cell in cells]
    names = [match["zone"] for match in found if match is not None and zone_offset(match["zone"])]
    return len(names) == len(cells), any(name[0].isalpha() and name[:3].upper() not in _UTC for name in names)


def _classified(layout: Layout, index: int, hints: TimeHints, origin: Origin) -> TimeColumn | None:
    """The form of one column, or None where it tells no time."""
    key = key_of(layout.header[index])
    words = set(key.split())
    # A letter alone says something only where little stands beside it: `utc_d`, but not `Power Calc'd`.
    telling = _TIME_WORDS if len(words) < 3 else _TIME_WORDS - {"d", "t"}
    if not (words & telling or key in _MINUTES) or (words & _NOT_TIME and key not in hints.keys):
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
    if mostly(_DATE_OUTPUT):
        zones = [cell.split()[-2] for cell in cells if _DATE_OUTPUT.match(cell)]
        zoned = all(map(zone_offset, zones))
        return TimeColumn(index, Form.DATE_OUTPUT, key, zoned=zoned, says_utc=says_utc, zone_named=zoned)
    if mostly(_TIME) and not words & {"elapsed"}:
        zoned, named = _zones([cell for cell in cells if _TIME.match(cell)])
        return TimeColumn(index, Form.TIME_OF_DAY, key, zoned=zoned, says_utc=says_utc, zone_named=named)
    known = hints.order or hinted_order(note)
    if mostly(_NUMBER):
        orders = (known,) if known else orders_of(cells, uploaded_at=origin.uploaded_at)
        return _classified_number(index, key, unit, cells, orders, says_utc=says_utc)
    half_days = says_half_days(cell for row in layout.sample[:5] for cell in row)
    orders = (known,) if known else orders_of(cells, half_days=half_days, uploaded_at=origin.uploaded_at)
    if not orders:
        return None
    with_time = sum(":" in cell for cell in cells) >= most
    zoned, named = _zones([cell for cell in cells if ":" in cell]) if with_time else (False, False)
    form = Form.DATE_TIME if with_time else Form.DATE
    return TimeColumn(index, form, key, zoned=zoned, says_utc=says_utc, zone_named=named, orders=orders)


def _classified_number(
    index: int, key: str, unit: str, cells: list[str], orders: tuple[DateOrder, ...], *, says_utc: bool
) -> TimeColumn | None:
    words = set(key.split())
    values = sorted(float(c.replace(",", ".")) for c in cells if _NUMBER.match(c))
    middle = abs(values[len(values) // 2])
    if not unit and not _SCALES.keys() & words and _are_day_numbers(cells, dated=bool(words & _DATE_WORDS)):
        return TimeColumn(index, Form.DAY_NUMBER, key, says_utc=says_utc)
    if orders and words & {"date", "datum", "fecha", "data", "day", "d"} and len(str(int(middle))) in (5, 6, 8):
        if len(str(int(middle))) < 8:
            short = {DateOrder.YMD: DateOrder.YYMMDD, DateOrder.DMY: DateOrder.DDMMYY}
            orders = tuple(short.get(order, order) for order in orders)
        return TimeColumn(index, Form.DATE, key, says_utc=says_utc, orders=orders)
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


def _are_day_numbers(cells: list[str], *, dated: bool) -> bool:
    """Days since 1899-12-30, as a spreadsheet keeps times: rows a minute apart at the most, of days since 1980.

    Read as seconds these would be more than a thousand rows a second; where no date is in the name, only as many digits
    as no clock gives make it sure.
    """
    plain = [cell.replace(",", ".") for cell in cells if _NUMBER.match(cell)]
    numbers = [float(cell) for cell in plain]
    steps = sorted(b - a for a, b in pairwise(numbers) if b != a)
    digits = sorted(len(cell.partition(".")[2]) for cell in plain)
    return (
        len(steps) > 1
        and all(_DAY_NUMBERS[0] <= number < _DAY_NUMBERS[1] for number in numbers)
        and 0 < steps[len(steps) // 2] <= _DAYS_PER_MINUTE
        and digits[len(digits) // 2] >= (5 if dated else 9)
    )

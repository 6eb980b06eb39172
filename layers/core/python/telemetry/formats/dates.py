"""Dates as people and loggers write them: the order of day, month and year, and dates in preambles and file names.

Pure. A file's order is decided once, from all dates at hand; where they leave it open, day before month is taken.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from itertools import chain

import pyarrow as pa

from telemetry.formats.reader import Origin

_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "jan gen ene janv",
            "feb fev fév févr",
            "mar mär mrz mrt maa maerz",
            "apr abr avr",
            "may mai mag mei maj",
            "jun giu juin",
            "jul lug juil",
            "aug ago aou aoû",
            "sep set",
            "oct okt ott out",
            "nov",
            "dec dez dic déc",
        ),
        1,
    )
    for name in names.split()
}
"""First letters of the months' names in the languages that loggers write."""


class DateOrder(Enum):
    """Order of a date's parts; the value is what people read of it."""

    YMD = "year, month, day"
    DMY = "day, month, year"
    MDY = "month, day, year"
    YYMMDD = "yymmdd"
    DDMMYY = "ddmmyy"
    NAMED = "day and named month"


_MOMENT = re.compile(
    r"(?<!\d)(?P<year>(?:19|20)\d{2})(?P<a>[-_. ]?)(?P<month>\d{2})(?P=a)(?P<day>\d{2})(?:[-_. T]{1,3}|(?=\d{6}(?!\d)))"
    r"(?P<hour>\d{2})(?P<b>[-_.:h]?)(?P<minute>\d{2})(?:[-_.:m]?(?P<second>\d{2}))?(?!\d)"
)
_FRENCH_MOMENT = re.compile(
    r"(?<!\d)(?P<day>\d{2})(?P<month>\d{2})(?P<year>\d{2})_(?P<hour>\d{2})H(?P<minute>\d{2})(?P<second>)(?!\d)"
)
_PARTS = re.compile(r"^\D*?(\d{1,4})[-/. ](\d{1,2})[-/. ](\d{2,4})(?!\d)")
_MONTH = r"(?P<m>[A-Za-zäéûÄÉ]{3,10})\.?"
_YEAR = r"(?P<y>\d{4}|\d{2})(?![\d:])"
_NAMED = (
    re.compile(rf"(?<!\d)(?P<d>\d{{1,2}})\.?[-/. ]+(?:de )?{_MONTH}[-/. ,]+(?:de )?{_YEAR}"),
    re.compile(rf"{_MONTH}[-/. ]+(?P<d>\d{{1,2}})(?:st|nd|rd|th)?,?[-/ ]+{_YEAR}"),
)
_HALF_DAY = re.compile(r"\d:\d\d(?::\d\d)?(?:[.,]\d*)?\s*[AaPp]\.?[Mm]\b")
_DIGITS6 = re.compile(r"^\d{6}$")
_DIGITS8 = re.compile(r"^(19|20)\d{2}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])$")


def order_of(cells: Sequence[str]) -> DateOrder | None:
    """The order that all of `cells` (dates, perhaps followed by a time) are likeliest in; None where there is none."""
    return next(iter(orders_of(cells)), None)


def orders_of(
    cells: Sequence[str], *, half_days: bool = False, uploaded_at: datetime | None = None
) -> tuple[DateOrder, ...]:
    """The orders that give `cells` (dates, perhaps followed by a time) different dates, the likeliest first.

    Parameters
    ----------
    half_days : True where times are written with AM and PM: who does so puts the month before the day in dates with
        slashes.
    uploaded_at : no recording was made after it, whatever the zone of its clock.
    """
    fitting = _fitting(cells)
    if len(fitting) < 2:
        return fitting
    dates = {order: [read_date(cell, order) for cell in cells] for order in fitting}
    if uploaded_at is not None:
        latest = uploaded_at.astimezone(UTC).date() + timedelta(days=1)
        late = {order: sum(d is not None and d > latest for d in dates[order]) for order in fitting}
        fitting = tuple(order for order in fitting if 10 * late[order] <= len(cells)) or fitting
    if half_days and DateOrder.MDY in fitting and "/" in cells[0]:
        fitting = (DateOrder.MDY, *(order for order in fitting if order is not DateOrder.MDY))
    return (fitting[0], *(order for order in fitting[1:] if dates[order] != dates[fitting[0]]))


def _fitting(cells: Sequence[str]) -> tuple[DateOrder, ...]:
    """The orders that nearly all of `cells` can be read in; day before month before the other way round."""
    if not cells:
        return ()
    if _DIGITS8.match(cells[0]):
        return (DateOrder.YMD,)
    padded = [c.zfill(6) if re.fullmatch(r"\d{5}", c) else c for c in cells]
    if _DIGITS6.match(padded[0]):
        # NMEA's order, which most loggers keep; those that do not are known programs.
        six = (DateOrder.DDMMYY, DateOrder.YYMMDD)
        return tuple(order for order in six if all(read_date(c, order) is not None for c in padded))
    every = (DateOrder.YMD, DateOrder.DMY, DateOrder.MDY, DateOrder.NAMED)
    return tuple(o for o in every if sum(read_date(c, o) is not None for c in cells) * 10 >= 9 * len(cells))


def order_sentence(what: str, orders: Sequence[DateOrder]) -> str:
    """Which of `orders` dates were read in, and which else would have done: `Dates were read as …`."""
    others = "".join(f"; {other.value} fits as well" for other in orders[1:])
    return f"{what} read as {orders[0].value}{others}."


def says_half_days(texts: Iterable[str]) -> bool:
    """True where a time of day is written with AM or PM."""
    return any(_HALF_DAY.search(text) for text in texts)


def read_date(text: str, order: DateOrder) -> date | None:
    """The date that `text` begins with."""
    text = text.strip()
    if order in (DateOrder.YYMMDD, DateOrder.DDMMYY):
        digits = text.zfill(6)
        if not _DIGITS6.match(digits):
            return None
        one, two, three = int(digits[:2]), int(digits[2:4]), int(digits[4:])
        return _date(one, two, three) if order is DateOrder.YYMMDD else _date(three, two, one)
    if order is DateOrder.NAMED:
        for pattern in _NAMED:
            named = pattern.search(text)
            month = month_of(named["m"]) if named else None
            if named is not None and month is not None:
                return _date(int(named["y"]), month, int(named["d"]))
        return None
    if _DIGITS8.match(text[:8]) and order is DateOrder.YMD:
        return _date(int(text[:4]), int(text[4:6]), int(text[6:8]))
    match = _PARTS.match(text)
    if match is None:
        return None
    a, b, c = match[1], match[2], match[3]
    if order is DateOrder.YMD:
        return _date(int(a), int(b), int(c)) if len(a) == 4 and len(c) <= 2 else None
    if len(a) > 2:
        return None
    return _date(int(c), int(b), int(a)) if order is DateOrder.DMY else _date(int(c), int(a), int(b))


def iso_dates(cells: pa.StringArray, order: DateOrder) -> pa.StringArray:
    """Dates as `yyyy-mm-dd`, null where unreadable; each distinct one is read once."""
    encoded = cells.dictionary_encode()
    read = [None if text is None else read_date(text, order) for text in encoded.dictionary.to_pylist()]
    return pa.array([d and d.isoformat() for d in read], pa.string()).take(encoded.indices)


@dataclass(frozen=True, slots=True)
class FoundDate:
    """A date for times of day.

    Attributes
    ----------
    sentence : where it is from, for the quality report.
    not_after : the recording began by then; None where the date is not that of the upload.
    """

    day: date
    sentence: str
    not_after: datetime | None = None


def find_date(preamble: Iterable[str], origin: Origin) -> FoundDate | None:
    """The date that the preamble, else the file name, else the upload tells."""
    preamble = list(preamble)
    half_days = says_half_days(preamble)
    for line in preamble:
        for cell in _cells(line):
            orders, text = _orders_and_date(cell, half_days, origin.uploaded_at)
            found = read_date(text, orders[0]) if orders else None
            if found is not None:
                doubt = order_sentence(" It was", orders) if len(orders) > 1 else ""
                return FoundDate(found, f"The date is that of the file's header.{doubt}")
    named = date_in_name(origin.file_name)
    if named is not None:
        return FoundDate(named, "The date is that in the file's name.")
    if origin.uploaded_at is None:
        return None
    day = origin.uploaded_at.astimezone(UTC).date()
    return FoundDate(day, "The file gives no date: that of the upload was taken.", not_after=origin.uploaded_at)


def date_in_name(name: str) -> date | None:
    """The date in a file name: `2024-06-15`, `20240615`, `2024_06_15`, `15.06.2024`."""
    for match in re.finditer(r"(?<!\d)((?:19|20)\d{2})[-_. ]?(\d{2})[-_. ]?(\d{2})(?![1-9]\d{0,1}\b)", name):
        found = _date(int(match[1]), int(match[2]), int(match[3]))
        if found is not None:
            return found
    other = re.search(r"(?<!\d)(\d{2})[-_. ](\d{2})[-_. ]((?:19|20)\d{2})(?!\d)", name)
    return None if other is None else _date(int(other[3]), int(other[2]), int(other[1]))


def start_in_name(name: str) -> datetime | None:
    """Date and time in a file name: `20240615_101112`, `2024-06-15 10-11`, `150624_10H11`; the wall clock as if it were
    UTC."""
    for match in chain(_MOMENT.finditer(name), _FRENCH_MOMENT.finditer(name)):
        day = _date(int(match["year"]), int(match["month"]), int(match["day"]))
        hour, minute, second = int(match["hour"]), int(match["minute"]), int(match["second"] or 0)
        if day is not None and hour < 24 and minute < 60 and second < 60:
            return datetime(day.year, day.month, day.day, hour, minute, second, tzinfo=UTC)
    return None


def _date(year: int, month: int, day: int) -> date | None:
    if year < 100:
        year += 2000 if year < 80 else 1900
    try:
        return date(year, month, day)
    except ValueError:
        return None


def month_of(name: str) -> int | None:
    """The month that a name or its first letters mean."""
    lower = name.lower()
    return _MONTHS.get(lower[:4]) or _MONTHS.get(lower[:3])


def hinted_order(text: str) -> DateOrder | None:
    """The order that a header spells out: `DD-MON-YY`, `MM/DD/YYYY`, `yyyy-mm-dd`."""
    plain = re.sub(r"[^a-z]", "", text.lower())
    for pattern, order in (
        (r"y{2,4}m{2,3}o?n?d{2}", DateOrder.YMD),
        (r"d{2}mmm|d{2}mon", DateOrder.NAMED),
        (r"d{2}m{2}y{2,4}", DateOrder.DMY),
        (r"m{2}d{2}y{2,4}", DateOrder.MDY),
    ):
        if re.match(pattern, plain):
            return order
    return None


@dataclass(frozen=True, slots=True)
class Start:
    """When a recording began; `orders` are those of its date: the one taken, then any other that fits."""

    moment: datetime
    orders: tuple[DateOrder, ...]


def find_start(preamble: Iterable[str], uploaded_at: datetime | None = None) -> Start | None:
    """When the recording began, as the preamble says: its first date, and the first time of day beside or after it.

    Understood are `Created,31/12/2025,02:54`, the rows `Date,…` and `Time,…` one after the other, and a date
    and time in one cell. The wall clock is returned as if it were UTC, unless a zone is written.
    """
    preamble = list(preamble)
    half_days = says_half_days(preamble)
    day: date | None = None
    orders: tuple[DateOrder, ...] = ()

    def start(of: date, clock: timedelta) -> Start:
        return Start(datetime(of.year, of.month, of.day, tzinfo=UTC) + clock, orders)

    for line in preamble:
        cells = _cells(line)
        label = cells[0].lower() if cells else ""
        for cell in cells:
            fitting, text = _orders_and_date(cell, half_days, uploaded_at)
            found = read_date(text, fitting[0]) if fitting else None
            if found is not None and day is None:
                day, orders = found, fitting
                clock = _clock(_time_after(text))
                if clock is not None:
                    return start(day, clock)
        if day is None or re.search(r"segment|lap|duration|zone|best|sample|interval", label):
            continue
        for cell in cells:
            clock = _clock(cell) if not re.search(r"\d{4}", cell) else None
            if clock is not None:
                return start(day, clock)
    return None


def _cells(line: str) -> list[str]:
    """Cells of a preamble line; a comma inside quotes stays."""
    parts = re.findall(r'"[^"]*"|[^,;\t|]+', line.lstrip("# /"))
    return [part.strip().strip('"').strip() for part in parts]


def _orders_and_date(cell: str, half_days: bool, uploaded_at: datetime | None) -> tuple[tuple[DateOrder, ...], str]:
    """The orders that a header's cell can be read in, and its text without a label; none for six digits alone."""
    text = re.sub(r"^[A-Za-z _]+[:=]\s*", "", cell)
    if not re.search(r"\d{2}", text) or len(text) > 64:
        return (), ""
    orders = orders_of([text], half_days=half_days, uploaded_at=uploaded_at)
    return () if orders[:1] in ((DateOrder.YYMMDD,), (DateOrder.DDMMYY,)) else orders, text


def _time_after(text: str) -> str:
    match = re.search(r"(?:T|[ ,]|^)(\d{1,2}:\d{2}.*)$", text)
    return match[1] if match else ""


def _clock(text: str) -> timedelta | None:
    """`1:34 PM`, `14:46:45.2` and `10:00:00+02:00` as time since midnight (of UTC, where a zone is written)."""
    match = re.match(
        r"(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,6}))?)?\s*([AaPp]\.?[Mm]\.?)?\s*(Z|([+-])(\d{2}):?(\d{2}))?\Z",
        text.strip(),
    )
    if match is None:
        return None
    hour = int(match[1])
    if match[5]:
        hour = hour % 12 + (12 if match[5][0] in "Pp" else 0)
    if hour > 23 or int(match[2]) > 59:
        return None
    clock = timedelta(
        hours=hour,
        minutes=int(match[2]),
        seconds=int(match[3] or 0),
        microseconds=int((match[4] or "0").ljust(6, "0")),
    )
    if match[7]:
        offset = timedelta(hours=int(match[8]), minutes=int(match[9]))
        clock += -offset if match[7] == "+" else offset
    return clock

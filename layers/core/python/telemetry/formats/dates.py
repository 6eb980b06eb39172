"""Dates as people and loggers write them: the order of day, month and year, and dates in preambles and file names.

Pure. A file's order is decided once, from all dates at hand; where they leave it open, day before month is taken.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from enum import Enum

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


_PARTS = re.compile(r"^\D*?(\d{1,4})[-/. ](\d{1,2})[-/. ](\d{2,4})(?!\d)")
_MONTH = r"(?P<m>[A-Za-zäéûÄÉ]{3,10})\.?"
_YEAR = r"(?P<y>\d{4}|\d{2})(?![\d:])"
_NAMED = (
    re.compile(rf"(?<!\d)(?P<d>\d{{1,2}})\.?[-/. ]+(?:de )?{_MONTH}[-/. ,]+(?:de )?{_YEAR}"),
    re.compile(rf"{_MONTH}[-/. ]+(?P<d>\d{{1,2}})(?:st|nd|rd|th)?,?[-/ ]+{_YEAR}"),
)
_DIGITS6 = re.compile(r"^\d{6}$")
_DIGITS8 = re.compile(r"^(19|20)\d{2}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])$")


def order_of(cells: Sequence[str]) -> DateOrder | None:
    """The order that all of `cells` (dates, perhaps followed by a time) can be read in; None where there is none."""
    if not cells:
        return None
    if _DIGITS8.match(cells[0]):
        return DateOrder.YMD
    padded = [c.zfill(6) if re.fullmatch(r"\d{5}", c) else c for c in cells]
    if _DIGITS6.match(padded[0]):
        # NMEA's order, which most loggers keep; those that do not are known programs.
        for order in (DateOrder.DDMMYY, DateOrder.YYMMDD):
            if all(read_date(c, order) is not None for c in padded):
                return order
        return None
    for order in (DateOrder.YMD, DateOrder.DMY, DateOrder.MDY, DateOrder.NAMED):
        if sum(read_date(c, order) is not None for c in cells) * 10 >= 9 * len(cells):
            return order
    return None


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


def find_date(preamble: Iterable[str], origin: Origin) -> tuple[date | None, str]:
    """A date for times of day: from the preamble, the file name, then the upload; with a sentence that says which."""
    for line in preamble:
        for cell in _cells(line):
            found, _ = _date_and_rest(cell)
            if found is not None:
                return found, "The date is that of the file's header."
    named = date_in_name(origin.file_name)
    if named is not None:
        return named, "The date is that in the file's name."
    if origin.uploaded_at is not None:
        return origin.uploaded_at.astimezone(UTC).date(), "The file gives no date: that of the upload was taken."
    return None, ""


def date_in_name(name: str) -> date | None:
    """The date in a file name: `2024-06-15`, `20240615`, `2024_06_15`, `15.06.2024`."""
    for match in re.finditer(r"(?<!\d)((?:19|20)\d{2})[-_. ]?(\d{2})[-_. ]?(\d{2})(?![1-9]\d{0,1}\b)", name):
        found = _date(int(match[1]), int(match[2]), int(match[3]))
        if found is not None:
            return found
    other = re.search(r"(?<!\d)(\d{2})[-_. ](\d{2})[-_. ]((?:19|20)\d{2})(?!\d)", name)
    return None if other is None else _date(int(other[3]), int(other[2]), int(other[1]))


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


def find_start(preamble: Iterable[str]) -> datetime | None:
    """When the recording began, as the preamble says: its first date, and the first time of day beside or after it.

    Understood are `Created,31/12/2025,02:54`, the rows `Date,…` and `Time,…` one after the other, and a date
    and time in one cell. The wall clock is returned as if it were UTC, unless a zone is written.
    """
    day: date | None = None
    for line in preamble:
        cells = _cells(line)
        label = cells[0].lower() if cells else ""
        for cell in cells:
            found, rest = _date_and_rest(cell)
            if found is not None and day is None:
                day = found
                clock = _clock(rest)
                if clock is not None:
                    return datetime(day.year, day.month, day.day, tzinfo=UTC) + clock
        if day is None or re.search(r"segment|lap|duration|zone|best|sample|interval", label):
            continue
        for cell in cells:
            clock = _clock(cell) if not re.search(r"\d{4}", cell) else None
            if clock is not None:
                return datetime(day.year, day.month, day.day, tzinfo=UTC) + clock
    return None


def _cells(line: str) -> list[str]:
    """Cells of a preamble line; a comma inside quotes stays."""
    parts = re.findall(r'"[^"]*"|[^,;\t|]+', line.lstrip("# /"))
    return [part.strip().strip('"').strip() for part in parts]


def _date_and_rest(cell: str) -> tuple[date | None, str]:
    text = re.sub(r"^[A-Za-z _]+[:=]\s*", "", cell)
    if not re.search(r"\d{2}", text) or len(text) > 64:
        return None, ""
    order = order_of([text])
    if order in (None, DateOrder.YYMMDD, DateOrder.DDMMYY):
        return None, ""
    match = re.search(r"(?:T|[ ,]|^)(\d{1,2}:\d{2}.*)$", text)
    return read_date(text, order), match[1] if match else ""


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

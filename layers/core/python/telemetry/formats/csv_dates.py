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
        "jan,feb,mar/mär/mrz,apr,may/mai/maj,jun,jul,aug,sep,oct/okt,nov,dec/dez/des".split(","), 1
    )
    for name in names.split("/")
}


class DateOrder(Enum):
    """Order of a date's parts; the value is what people read of it."""

    YMD = "year, month, day"
    DMY = "day, month, year"
    MDY = "month, day, year"
    YYMMDD = "yymmdd"
    DDMMYY = "ddmmyy"
    NAMED = "day and named month"


_PARTS = re.compile(r"^\D*?(\d{1,4})[-/. ](\d{1,2})[-/. ](\d{2,4})(?!\d)")
_NAMED = re.compile(
    r"(?:(?P<d>\d{1,2})\.?[-/. ]+)?(?P<m>[A-Za-zä]{3,9})\.?[-/. ]+(?:(?P<d2>\d{1,2})(?:st|nd|rd|th)?,?[ ]+)?(?P<y>\d{4}|\d{2})\b"
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
        for order in (DateOrder.YYMMDD, DateOrder.DDMMYY):
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
        a, b, c = int(digits[:2]), int(digits[2:4]), int(digits[4:])
        return _date(a, b, c) if order is DateOrder.YYMMDD else _date(c, b, a)
    if order is DateOrder.NAMED:
        match = _NAMED.search(text)
        day = (match["d"] or match["d2"]) if match else None
        if match is None or day is None or match["m"][:3].lower() not in _MONTHS:
            return None
        return _date(int(match["y"]), _MONTHS[match["m"][:3].lower()], int(day))
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
    lines = list(preamble)
    for line in lines:
        for cell in re.split(r"[;,\t|=]|:\s", line):
            order = order_of([cell.strip().strip('"')]) if re.search(r"\d[-/. ]", cell) else None
            if order is not None:
                return read_date(cell.strip().strip('"'), order), "The date is that of the file's header."
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
    match = re.search(r"(?<!\d)(\d{2})[-_. ](\d{2})[-_. ]((?:19|20)\d{2})(?!\d)", name)
    return None if match is None else _date(int(match[3]), int(match[2]), int(match[1]))


def _date(year: int, month: int, day: int) -> date | None:
    if year < 100:
        year += 2000 if year < 80 else 1900
    try:
        return date(year, month, day)
    except ValueError:
        return None


def at_start(day: date) -> datetime:
    """Midnight of `day`."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta()

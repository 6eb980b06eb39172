"""Cells that tell time as timestamps or ISO 8601 text, whole columns at a time. Pure.

Every form ends at `parse_iso8601` or at integer microseconds, so that the calendar is judged in one place.
"""

import re
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from telemetry.formats.dates import DateOrder, iso_dates, month_of
from telemetry.formats.iso8601 import parse_iso8601
from telemetry.streams.channels import TIMESTAMP

GPS_EPOCH = datetime(1980, 1, 6, tzinfo=UTC)
DAY_NUMBER_OF_EPOCH = 25_569.0
"""The day number of 1970-01-01."""
WEEK_US = 7 * 86_400_000_000
GPS_LEAP_SECONDS = (
    (date(1981, 7, 1), 1), (date(1982, 7, 1), 2), (date(1983, 7, 1), 3), (date(1985, 7, 1), 4),
    (date(1988, 1, 1), 5), (date(1990, 1, 1), 6), (date(1991, 1, 1), 7), (date(1992, 7, 1), 8),
    (date(1993, 7, 1), 9), (date(1994, 7, 1), 10), (date(1996, 1, 1), 11), (date(1997, 7, 1), 12),
    (date(1999, 1, 1), 13), (date(2006, 1, 1), 14), (date(2009, 1, 1), 15), (date(2012, 7, 1), 16),
    (date(2015, 7, 1), 17), (date(2017, 1, 1), 18),
)  # fmt: skip
"""From when on GPS time is so many seconds ahead of UTC. Source: IERS Bulletin C; IS-GPS-200, 3.3.4."""

ZONES = {
    "UT": 0, "UTC": 0, "GMT": 0, "Z": 0,
    "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7,
    "AKST": -9, "AKDT": -8, "HST": -10, "WET": 0, "WEST": 1, "BST": 1, "CET": 1, "CEST": 2, "MEZ": 1, "MESZ": 2,
    "EET": 2, "EEST": 3, "MSK": 3, "SAST": 2, "JST": 9, "KST": 9, "AWST": 8, "AEST": 10, "AEDT": 11,
    "NZST": 12, "NZDT": 13,
}  # fmt: skip
"""Hours ahead of UTC of the names that zones go by: RFC 5322, 4.3, and the tz database's where one name has one
meaning. A name that is not here (`IST` has three) is no zone."""
ZONE = r"(?:[Zz]|(?:UTC|GMT)?[+-]\d{1,2}(?::?\d{2})?|[A-Z]{2,5})"
"""What may stand behind a time of day: `zone_offset` tells whether it is a zone."""
_DATE_OUTPUT = (
    r"^(?:\pL{2,4}\.?,?\s+)?(?P<m>\pL{3,5})\.?\s+(?P<d>\d{1,2})\s+(?P<t>\d{1,2}:\d{2}:\d{2}(?:\.\d+)?)\s+"
    r"(?:(?P<z>[A-Z]{1,5}|(?:UTC|GMT)?[+-]\d{2}:?\d{2})\s+)?(?P<y>\d{4})$"
)


def gps_to_utc(times: pa.TimestampArray) -> pa.TimestampArray:
    """Takes the leap seconds off times that a receiver counts without them."""
    ahead = pa.scalar(timedelta(), pa.duration("us"))
    for begin, seconds in GPS_LEAP_SECONDS:
        since = datetime(begin.year, begin.month, begin.day, tzinfo=UTC) + timedelta(seconds=seconds)
        step = pa.scalar(timedelta(seconds=seconds), pa.duration("us"))
        ahead = pc.if_else(pc.greater_equal(times, pa.scalar(since, TIMESTAMP)), step, ahead)
    return pc.subtract(times, ahead)


def offsets(cells: pa.StringArray) -> pa.Array:
    """`+02:00`, `-0700` and `+2` as durations; nothing counts as none."""
    encoded = cells.dictionary_encode()
    read = []
    for text in encoded.dictionary.to_pylist():
        match = re.match(r"\s*([+-]?)(\d{1,2}):?(\d{2})?(?::\d{2})?\s*$", text or "")
        minutes = int(match[2]) * 60 + int(match[3] or 0) if match else 0
        read.append(timedelta(minutes=-minutes if match and match[1] == "-" else minutes))
    found = pa.array(read, pa.duration("us")).take(encoded.indices)
    return pc.fill_null(found, pa.scalar(timedelta(), pa.duration("us")))


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def to_microseconds(values: pa.DoubleArray) -> pa.Int64Array:
    """Rounded; null where the number is no time at all."""
    sound = pc.less(pc.abs(values), 9e18)
    return pc.round(pc.if_else(sound, values, None)).cast(pa.int64())


def joined(dates: pa.Array | pa.Scalar, times: pa.StringArray) -> pa.StringArray:
    """`<date>T<time>`."""
    return pc.binary_join_element_wise(dates, times, "T")


def time_to_iso(cells: pa.StringArray) -> pa.StringArray:
    """`1:34 PM`, `173418.50`, `10:12:47:250`, `10:12 CEST` to `hh:mm:ss.fff`, with the offset if a zone follows."""
    parts = pc.extract_regex(
        pc.utf8_trim_whitespace(cells),
        pattern=(
            r"^(?P<h>\d{1,2}?)(?P<a>:?)(?P<m>\d{2})(?:(?P<b>:?)(?P<s>\d{2})(?:[.,:](?P<f>\d*))?)?"
            rf"\s*(?:(?P<p>[AaPp])(?:\.?[Mm])?\b\.?)?\s*\(?(?P<z>{ZONE})?\)?$"
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
    zones = pc.struct_field(parts, "z").dictionary_encode()
    zone = pa.array([zone_offset(name or "") for name in zones.dictionary.to_pylist()], pa.string())
    return pc.binary_join_element_wise(clock, ".", fraction, zone.take(zones.indices), "")


def compact_to_iso(cells: pa.StringArray) -> pa.StringArray:
    """`20240615101500.25` to ISO 8601."""
    return pc.replace_substring_regex(
        pc.utf8_trim_whitespace(cells),
        pattern=r"^(\d{4})(\d\d)(\d\d)[T_ -]?(\d\d)(\d\d)(\d\d)[.,]?(\d*)(Z?)$",
        replacement=r"\1-\2-\3T\4:\5:\6.\7\8",
    )


def date_time_to_iso(cells: pa.StringArray, order: DateOrder) -> pa.StringArray:
    """`15/06/2024 10:15:00 PM` to ISO 8601."""
    parts = pc.extract_regex(pc.utf8_trim_whitespace(cells), pattern=r"^(?P<d>.*?\d)(?:T|,?\s+)(?P<t>\d{1,2}:\d{2}.*)$")
    return joined(iso_dates(pc.struct_field(parts, "d"), order), time_to_iso(pc.struct_field(parts, "t")))


def date_output_to_iso(cells: pa.StringArray) -> pa.StringArray:
    """`Tue Mar 29 06:58:19 PDT 2016`, as POSIX `date` and Java's `Date` write it, to ISO 8601."""
    parts = pc.extract_regex(pc.utf8_trim_whitespace(cells), pattern=_DATE_OUTPUT)
    months = pc.struct_field(parts, "m").dictionary_encode()
    numbers = [None if name is None else month_of(name) for name in months.dictionary.to_pylist()]
    month = pa.array([n and f"{n:02}" for n in numbers], pa.string()).take(months.indices)
    zones = pc.struct_field(parts, "z").dictionary_encode()
    zone = pa.array([zone_offset(name or "") for name in zones.dictionary.to_pylist()], pa.string()).take(zones.indices)
    day = pc.utf8_lpad(pc.struct_field(parts, "d"), 2, padding="0")
    date_ = pc.binary_join_element_wise(pc.struct_field(parts, "y"), month, day, "-")
    clock = pc.utf8_lpad(pc.struct_field(parts, "t"), 8, padding="0")
    return pc.binary_join_element_wise(joined(date_, clock), zone, "")


def zone_offset(name: str) -> str:
    """`CEST`, `GMT+2` and `-0700` as ISO 8601 writes the offset; empty for what is no zone."""
    match = re.fullmatch(r"(?:UTC|GMT)?([+-])(\d{1,2})(?::?(\d{2}))?", name)
    if match is not None:
        return f"{match[1]}{match[2]:0>2}:{match[3] or '00'}"
    return f"{ZONES[name.upper()]:+03}:00" if name.upper() in ZONES else ""


def parts_to_times(parts: list[pa.DoubleArray]) -> pa.TimestampArray:
    """Year, month, day, hour, minute and second in columns of their own; the second may have a fraction."""
    texts = [
        pc.utf8_lpad(pc.cast(pc.cast(pc.floor(part), pa.int32(), safe=False), pa.string()), width, padding="0")
        for part, width in zip(parts[:5], (4, 2, 2, 2, 2), strict=True)
    ]
    minutes = pc.binary_join_element_wise(
        pc.binary_join_element_wise(*texts[:3], "-"), pc.binary_join_element_wise(*texts[3:], ":"), "T"
    )
    seconds = to_microseconds(pc.multiply(parts[5], 1e6))
    sound = pc.and_(pc.greater_equal(seconds, 0), pc.less(seconds, 61_000_000))
    whole = parse_iso8601(minutes).times.cast(pa.int64())
    return pc.add(whole, pc.if_else(sound, seconds, None)).cast(TIMESTAMP)


def day_numbers_to_times(days: pa.DoubleArray) -> pa.TimestampArray:
    """Days since 1899-12-30, as spreadsheets count them, to the millisecond: their cells hold no more.

    Source: ECMA-376, part 1, section 18.17.4.1 (the 1900 date base; from March 1900 on).
    """
    milliseconds = pc.multiply(pc.subtract(days, DAY_NUMBER_OF_EPOCH), 86_400_000.0)
    return pc.multiply(to_microseconds(milliseconds), 1000).cast(TIMESTAMP)


def gps_week_to_times(weeks: pa.DoubleArray, of_week_us: pa.Int64Array) -> pa.TimestampArray:
    """GPS week number and time of week to UTC. Source: IS-GPS-200, 3.3.4."""
    days = pc.multiply(pc.cast(pc.floor(weeks), pa.int64(), safe=False), WEEK_US)
    return gps_to_utc(pc.add(pc.add(days, of_week_us), microseconds(GPS_EPOCH)).cast(TIMESTAMP))

"""Times written by ISO 8601 (RFC 3339 and what devices make of it), whole columns at a time. pyarrow only.

The common shape costs one cast. Only a block that does not fit it is taken apart, by one regular expression and
integer arithmetic on columns, so that no row ever reaches Python.
"""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from telemetry.streams.channels import TIMESTAMP

_PARTS = (
    r"^\s*(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})"
    r"(?:[Tt]|\s+)(?P<hour>\d{2})(?::(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d*))?)?)?"
    r"\s*(?P<zone>[Zz]|[+-]\d{2}(?::?\d{2})?)?\s*$"
)
_MICROSECONDS = 1_000_000
_DAY_S = 86_400
# The first and last instants that a calendar year of four digits holds.
_FIRST_US = -62_135_596_800 * _MICROSECONDS
_LAST_US = 253_402_300_800 * _MICROSECONDS - 1


@dataclass(frozen=True, slots=True)
class ParsedTimes:
    """Times of one block.

    Attributes
    ----------
    times : timestamps in microseconds UTC, as long as the input; null where the text is null or unreadable.
    zoneless : how many of them had no zone and were read as UTC.
    """

    times: pa.TimestampArray
    zoneless: int


def parse_iso8601(strings: pa.StringArray) -> ParsedTimes:
    """Reads `YYYY-MM-DDThh[:mm[:ss[.fraction]]][zone]`.

    The fraction may have any number of digits and is cut, not rounded, to microseconds. The separator is `T`, `t`
    or white space; the zone `Z`, `z`, `±hh`, `±hhmm`, `±hh:mm` or absent (read as UTC). White space around is
    ignored. A leap second `:60` is the first second of the next minute (POSIX time has no other place for it), and
    `24:00:00` the start of the next day. Anything else is null, also a day that the calendar does not have, and
    an instant outside the years 1 to 9999 of UTC.
    """
    try:
        times, zoneless = pc.cast(strings, TIMESTAMP), 0
    except pa.ArrowInvalid:
        try:
            times = pc.cast(strings, pa.timestamp("us")).cast(TIMESTAMP)
        except pa.ArrowInvalid:
            return _parse_parts(strings)
        zoneless = len(times) - times.null_count
        # Without a zone the cast also takes a bare date, which says nothing about the time of day.
        if (pc.min(pc.binary_length(strings)).as_py() or 0) < len("YYYY-MM-DDThh"):
            return _parse_parts(strings)
    extremes = pc.min_max(times.view(pa.int64())).as_py()
    if (extremes["min"] or 0) < _FIRST_US or (extremes["max"] or 0) > _LAST_US:
        return _parse_parts(strings)  # an offset leads out of the calendar
    return ParsedTimes(times, zoneless)


def _parse_parts(strings: pa.StringArray) -> ParsedTimes:
    parts = pc.extract_regex(strings, pattern=_PARTS)

    def number(name: str) -> pa.Int64Array:
        text = pc.struct_field(parts, name)
        return pc.cast(pc.if_else(pc.equal(text, ""), "0", text), pa.int64())

    year, month, day = number("year"), number("month"), number("day")
    hour, minute, second = number("hour"), number("minute"), number("second")
    fraction = pc.utf8_slice_codeunits(pc.utf8_rpad(pc.struct_field(parts, "fraction"), 6, padding="0"), 0, 6)
    microsecond = pc.cast(fraction, pa.int64())

    zone = pc.struct_field(parts, "zone")
    zone_hours, zone_minutes, sign = _offset(zone)
    seconds = pc.add(
        pc.multiply(_days_from_civil(year, month, day), _DAY_S),
        pc.add(pc.multiply(hour, 3600), pc.add(pc.multiply(minute, 60), second)),
    )
    offset = pc.multiply(sign, pc.add(pc.multiply(zone_hours, 3600), pc.multiply(zone_minutes, 60)))
    total = pc.add(pc.multiply(pc.subtract(seconds, offset), _MICROSECONDS), microsecond)

    past_hour = pc.add(pc.add(minute, second), microsecond)
    valid = pc.and_(
        pc.and_(
            pc.and_(_between(month, 1, 12), _between(total, _FIRST_US, _LAST_US)),
            pc.and_(
                pc.greater_equal(year, 1),
                pc.and_(pc.greater_equal(day, 1), pc.less_equal(day, _days_in_month(year, month))),
            ),
        ),
        pc.and_(
            pc.or_(pc.less(hour, 24), pc.and_(pc.equal(hour, 24), pc.equal(past_hour, 0))),
            pc.and_(
                pc.and_(pc.less(minute, 60), pc.less_equal(second, 60)),
                pc.and_(pc.less(zone_hours, 24), pc.less(zone_minutes, 60)),
            ),
        ),
    )
    times = pc.if_else(valid, total, pa.scalar(None, pa.int64())).cast(TIMESTAMP)
    zoneless = pc.sum(pc.and_(pc.is_valid(times), pc.equal(zone, ""))).as_py() or 0
    return ParsedTimes(times, zoneless)


def _offset(zone: pa.StringArray) -> tuple[pa.Int64Array, pa.Int64Array, pa.Int64Array]:
    """Hours, minutes and sign (±1) of `Z`, `±hh`, `±hhmm`, `±hh:mm` or nothing."""
    digits = pc.replace_substring_regex(zone, pattern=r"[^0-9]", replacement="")
    digits = pc.utf8_rpad(digits, 4, padding="0")
    hours = pc.cast(pc.utf8_slice_codeunits(digits, 0, 2), pa.int64())
    minutes = pc.cast(pc.utf8_slice_codeunits(digits, 2, 4), pa.int64())
    sign = pc.if_else(pc.starts_with(zone, "-"), pa.scalar(-1, pa.int64()), pa.scalar(1, pa.int64()))
    return hours, minutes, sign


def _between(values: pa.Int64Array, low: int, high: int) -> pa.BooleanArray:
    return pc.and_(pc.greater_equal(values, low), pc.less_equal(values, high))


def _days_in_month(year: pa.Int64Array, month: pa.Int64Array) -> pa.Int64Array:
    short = pc.is_in(month, value_set=pa.array([4, 6, 9, 11]))
    leap = pc.or_(
        pc.and_(_divides(year, 4), pc.invert(_divides(year, 100))),
        _divides(year, 400),
    )
    thirty = pc.if_else(short, pa.scalar(30, pa.int64()), pa.scalar(31, pa.int64()))
    february = pc.if_else(leap, pa.scalar(29, pa.int64()), pa.scalar(28, pa.int64()))
    return pc.if_else(pc.equal(month, 2), february, thirty)


def _divides(values: pa.Int64Array, divisor: int) -> pa.BooleanArray:
    return pc.equal(pc.subtract(values, pc.multiply(pc.divide(values, divisor), divisor)), 0)


def _days_from_civil(year: pa.Int64Array, month: pa.Int64Array, day: pa.Int64Array) -> pa.Int64Array:
    """Days since 1970-01-01 in the proleptic Gregorian calendar.

    Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", days_from_civil. The year is shifted by
    400 so that no intermediate is negative, as integer division here cuts towards zero.
    """
    early = pc.cast(pc.less_equal(month, 2), pa.int64())
    shifted = pc.add(pc.subtract(year, early), 400)
    era = pc.divide(shifted, 400)
    year_of_era = pc.subtract(shifted, pc.multiply(era, 400))
    month_from_march = pc.add(month, pc.subtract(pc.multiply(early, 12), 3))
    day_of_year = pc.add(pc.divide(pc.add(pc.multiply(month_from_march, 153), 2), 5), pc.subtract(day, 1))
    day_of_era = pc.add(
        pc.subtract(pc.add(pc.multiply(year_of_era, 365), pc.divide(year_of_era, 4)), pc.divide(year_of_era, 100)),
        day_of_year,
    )
    return pc.subtract(pc.add(pc.multiply(era, 146_097), day_of_era), 719_468 + 146_097)

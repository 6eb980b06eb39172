"""ISO 8601 columns against the standard library, form by form and on generated times."""

from datetime import UTC, datetime, timedelta, timezone

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.formats.iso8601 import parse_iso8601


def _parse(*texts: str | None) -> list[datetime | None]:
    values: list[datetime | None] = parse_iso8601(pa.array(texts, pa.string())).times.to_pylist()
    return values


def _utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type,misc]


FORMS = {
    "2020-02-29T12:34:56Z": _utc(2020, 2, 29, 12, 34, 56),
    "2020-02-29t12:34:56z": _utc(2020, 2, 29, 12, 34, 56),
    "2020-02-29 12:34:56Z": _utc(2020, 2, 29, 12, 34, 56),
    "  \n2020-02-29T12:34:56Z\t ": _utc(2020, 2, 29, 12, 34, 56),
    "2020-02-29T12:34:56 Z": _utc(2020, 2, 29, 12, 34, 56),
    "2020-02-29T12:34:56": _utc(2020, 2, 29, 12, 34, 56),
    "2020-02-29T12:34Z": _utc(2020, 2, 29, 12, 34),
    "2020-02-29T12Z": _utc(2020, 2, 29, 12),
    "2020-02-29T12": _utc(2020, 2, 29, 12),
    "2020-02-29T12+01": _utc(2020, 2, 29, 11),
    "2020-02-29T12:34:56.Z": _utc(2020, 2, 29, 12, 34, 56),
    "2020-02-29T12:34:56.5Z": _utc(2020, 2, 29, 12, 34, 56, 500_000),
    "2020-02-29T12:34:56,25Z": _utc(2020, 2, 29, 12, 34, 56, 250_000),
    "2020-02-29T12:34:56.1234567Z": _utc(2020, 2, 29, 12, 34, 56, 123_456),
    "2020-02-29T12:34:56.999999999999999Z": _utc(2020, 2, 29, 12, 34, 56, 999_999),
    "2020-02-29T12:34:56+02:00": _utc(2020, 2, 29, 10, 34, 56),
    "2020-02-29T12:34:56.25-0730": _utc(2020, 2, 29, 20, 4, 56, 250_000),
    "2020-02-29T12:34:56-07": _utc(2020, 2, 29, 19, 34, 56),
    "2016-12-31T23:59:60Z": _utc(2017, 1, 1),
    "2016-12-31T23:59:60.5Z": _utc(2017, 1, 1, 0, 0, 0, 500_000),
    "2020-02-28T24:00:00Z": _utc(2020, 2, 29),
    "1901-12-13T20:45:52.207343Z": _utc(1901, 12, 13, 20, 45, 52, 207_343),
    "1901-12-13T20:45:52.2073439Z": _utc(1901, 12, 13, 20, 45, 52, 207_343),
}

UNREADABLE = [
    "",
    " ",
    "yesterday",
    "2020-02-30T00:00:00Z",
    "2021-02-29T00:00:00Z",
    "1900-02-29T00:00:00Z",
    "2020-04-31T00:00:00Z",
    "2020-13-01T00:00:00Z",
    "2020-00-10T00:00:00Z",
    "2020-01-00T00:00:00Z",
    "2020-01-01T25:00:00Z",
    "2020-01-01T24:00:01Z",
    "2020-01-01T23:60:00Z",
    "2020-01-01T23:59:61Z",
    "2020-01-01T00:00:00+24:00",
    "2020-01-01T00:00:00+00:60",
    "2020-01-01T00:00:00Zulu",
    "20-01-01T00:00:00Z",
    "2020-01-01",
    "0000-01-01T00:00:00Z",
    "0001-01-01T00:00:00+01:00",
    "9999-12-31T23:59:59-01:00",
    "1577836800",
]


@pytest.mark.parametrize(("text", "expected"), FORMS.items())
def test_each_form_alone_and_in_company_of_others(text: str, expected: datetime) -> None:
    assert _parse(text) == [expected]
    assert _parse("2001-01-01T00:00:00Z", text, None, "?") == [_utc(2001, 1, 1), expected, None, None]


@pytest.mark.parametrize("text", UNREADABLE)
def test_what_is_no_time_is_null(text: str) -> None:
    assert _parse(text) == [None]
    assert _parse(text, "2001-01-01T00:00:00Z") == [None, _utc(2001, 1, 1)]
    assert _parse(text, "2001-01-01T00:00:00") == [None, _utc(2001, 1, 1)]


def test_empty_and_null_blocks() -> None:
    assert _parse() == []
    assert _parse(None, None) == [None, None]
    assert parse_iso8601(pa.array([], pa.string())).times.type == pa.timestamp("us", "UTC")


def test_zoneless_times_are_counted() -> None:
    def zoneless(*texts: str | None) -> int:
        return parse_iso8601(pa.array(texts, pa.string())).zoneless

    assert zoneless("2020-01-01T00:00:00", "2020-01-01T00:00:01", None) == 2
    assert zoneless("2020-01-01T00:00:00", "2020-01-01T00:00:01Z", "nonsense", None) == 1
    assert zoneless("2020-01-01T00:00:00Z") == 0


def test_every_day_of_four_centuries_and_their_edges() -> None:
    days = [datetime(1583, 1, 1, tzinfo=UTC) + timedelta(days=n) for n in range(0, 160_000, 7)]
    texts = [f"{day:%Y-%m-%d}T00:00:00.0000000Z" for day in days]  # seven digits: never the plain cast
    assert _parse(*texts) == days


@given(
    st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30)),  # noqa: DTZ001
    st.sampled_from(["T", "t", " "]),
    st.integers(min_value=-1439, max_value=1439),
    st.sampled_from(["%z", "%:z"]),
    st.integers(min_value=0, max_value=15),
)
def test_generated_times_equal_the_standard_library(
    moment: datetime, separator: str, offset_min: int, zone_form: str, digits: int
) -> None:
    zoned = moment.replace(tzinfo=timezone(timedelta(minutes=offset_min)))
    sign, minutes = ("-" if offset_min < 0 else "+"), abs(offset_min)
    colon = ":" if zone_form == "%:z" else ""
    fraction = f"{zoned.microsecond:06}000000000"[:digits]
    text = (
        f"{zoned.year:04}-{zoned.month:02}-{zoned.day:02}{separator}{zoned:%H:%M:%S}"
        f"{'.' + fraction if digits else ''}{sign}{minutes // 60:02}{colon}{minutes % 60:02}"
    )
    cut = zoned.replace(microsecond=int(fraction[:6].ljust(6, "0")))
    assert _parse(text) == [cut.astimezone(UTC)]


@given(st.lists(st.one_of(st.none(), st.text(alphabet="0123456789-:TtZz+. ", max_size=30)), max_size=20))
def test_any_text_gives_a_time_or_null_and_the_company_does_not_matter(texts: list[str | None]) -> None:
    together = _parse(*texts)
    alone = [_parse(text)[0] for text in texts]
    assert together == alone

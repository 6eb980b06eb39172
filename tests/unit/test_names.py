"""Names from outside become names that can be kept and shown; tenants become path segments."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.domain.names import LONGEST_NAME, clean_file_name, clean_name, session_name
from telemetry.storage.paths import attachment, path_segment

# Any text that JSON can carry, half surrogate pairs included.
anything = st.text(st.characters(exclude_categories=[]), max_size=400)


@given(anything)
def test_cleaned_names_can_be_stored_and_shown(text: str) -> None:
    for cleaned in (clean_name(text), clean_file_name(text)):
        cleaned.encode("utf-8")
        assert len(cleaned) <= LONGEST_NAME
        assert cleaned == cleaned.strip()
        assert not any(ord(character) < 32 or ord(character) == 127 for character in cleaned)
        assert clean_name(cleaned) == cleaned
    assert clean_file_name(text)
    assert not set("/\\") & set(clean_file_name(text))


@pytest.mark.parametrize(
    ("file_name", "name"),
    [("lap.csv", "lap"), ("lap.csv.gz", "lap"), (".csv", ".csv"), ("Day 1", "Day 1"), ("v1.2 run.gpx", "v1.2 run")],
)
def test_a_session_is_named_after_its_file(file_name: str, name: str) -> None:
    assert session_name(file_name) == name


@given(anything, anything)
def test_path_segments_are_safe_and_differ_where_their_texts_do(one: str, other: str) -> None:
    segment = path_segment(one)
    assert segment not in ("", ".", "..")
    assert segment.isascii()
    assert not set("/\\ %\0") & set(segment)
    assert len(segment) <= 120
    assert (segment == path_segment(other)) == (one == other)


def test_plain_tenants_stay_readable() -> None:
    assert path_segment("0190f6de-7f9f-7c3a-8c0f-3f1f6f0e1a2b") == "0190f6de-7f9f-7c3a-8c0f-3f1f6f0e1a2b"
    assert path_segment("auth0|5f7c") == "auth0~7c5f7c"


@given(anything)
def test_a_download_name_is_one_header(text: str) -> None:
    header = attachment(text)
    assert header.isascii()
    assert header.isprintable()
    assert header.count('"') == 2

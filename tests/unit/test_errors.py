"""The catalogue is whole, and its sentences say what was wrong, where, and what to do."""

import pytest

from telemetry.errors import CATALOGUE, Code, TelemetryError


def test_every_code_has_its_entry() -> None:
    assert set(CATALOGUE) == set(Code)


@pytest.mark.parametrize("code", list(Code))
def test_entries_are_sentences_for_people(code: Code) -> None:
    entry = CATALOGUE[code]
    assert entry.title[0].isupper() and not entry.title.endswith(".")
    assert entry.remedy.endswith(".")
    assert entry.http_status is None or 400 <= entry.http_status < 600


def test_a_message_says_what_where_and_what_to_do() -> None:
    error = TelemetryError(Code.XML_MALFORMED, "line 7, column 3: unclosed tag `trkpt`")
    assert error.message.startswith("The file is not well-formed XML: line 7, column 3: unclosed tag `trkpt`. ")
    assert error.message.endswith(CATALOGUE[Code.XML_MALFORMED].remedy)
    assert not error.retryable


def test_bad_input_is_never_retried_and_outages_are() -> None:
    retried = {code for code in Code if CATALOGUE[code].retryable}
    assert {Code.STORAGE_UNAVAILABLE, Code.DATABASE_UNAVAILABLE, Code.INTERNAL_ERROR} <= retried
    assert not retried & {c for c in Code if c.value.startswith(("CSV_", "GPX_", "XML_", "FIT_", "FILE_", "ARCHIVE_"))}

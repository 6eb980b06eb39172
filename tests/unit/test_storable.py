"""Text and JSON that PostgreSQL can store, whatever a file name or an error text holds."""

import json
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.database.storable import storable_json, storable_text


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("Runde 1 – Nürburgring 🏁", "Runde 1 – Nürburgring 🏁"),
        ("a\0b", "a�b"),
        ("lone \ud83d high", "lone � high"),
        ("lone \udc80 low", "lone � low"),
        ("pair \ud83c\udfc1", "pair 🏁"),
    ],
)
def test_only_what_cannot_be_stored_is_replaced(text: str, stored: str) -> None:
    assert storable_text(text) == stored


@given(st.text(st.characters(codec=None, min_codepoint=0, max_codepoint=0x10FFFF)))
def test_any_text_becomes_storable_and_stays_so(text: str) -> None:
    stored = storable_text(text)
    assert "\0" not in stored
    assert stored.encode("utf-8").decode("utf-8") == stored
    assert storable_text(stored) == stored


def test_json_has_no_nan_and_no_nul_anywhere() -> None:
    value = {"a\0": [float("nan"), float("inf"), 1.5, ("x\0", None, True)], "id": UUID(int=1)}
    assert json.loads(storable_json(value)) == {
        "a�": [None, None, 1.5, ["x�", None, True]],
        "id": "00000000-0000-0000-0000-000000000001",
    }
    assert json.loads(storable_json({"at": datetime(2026, 1, 2, tzinfo=UTC)})) == {"at": "2026-01-02T00:00:00+00:00"}


def test_json_refuses_what_has_no_place_in_it() -> None:
    with pytest.raises(TypeError):
        storable_json({"bytes": b"x"})

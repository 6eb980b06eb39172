"""Numbers of XML documents: what is one, alone and among others."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.formats.xml_numbers import parse_number

READABLE = {"1": 1.0, "-2.5": -2.5, "+3": 3.0, ".5": 0.5, "5.": 5.0, "1e-3": 0.001, "9.17E-05": 9.17e-05, "-0": 0.0}
UNREADABLE = ["", " ", "x", "1,5", "NaN", "INF", "-inf", "1e999", "0x10", "1_0", "1 2", "--1", "1e", "."]


@pytest.mark.parametrize(("text", "number"), READABLE.items())
def test_numbers(text: str, number: float) -> None:
    assert parse_number(pa.array([text])).to_pylist() == [number]
    assert parse_number(pa.array([text, "x", None])).to_pylist() == [number, None, None]


@pytest.mark.parametrize("text", UNREADABLE)
def test_what_is_no_number_is_null(text: str) -> None:
    assert parse_number(pa.array([text])).to_pylist() == [None]
    assert parse_number(pa.array(["7", text])).to_pylist() == [7.0, None]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_double_comes_back(number: float) -> None:
    assert parse_number(pa.array([repr(number)])).to_pylist() == [number]

"""Cells to numbers: what is read, what is blank, what is counted."""

import pyarrow as pa
import pytest

from telemetry.formats.cells import parse_float


@pytest.mark.parametrize(
    ("cell", "comma", "value", "bad"),
    [
        ("1.5", False, 1.5, False),
        ("+1.5", False, 1.5, False),
        (" 1.5 ", False, 1.5, False),
        ("1e-3", False, 0.001, False),
        (".5", False, 0.5, False),
        ("5.", False, 5.0, False),
        ("4,120", False, 4120.0, False),
        ("-1,234,567.5", False, -1234567.5, False),
        ("1,5", False, None, True),
        ("1,5", True, 1.5, False),
        ("1.234,5", True, 1234.5, False),
        ("52.520", True, 52.52, False),
        ("", False, None, False),
        ("  ", False, None, False),
        ("-", False, None, False),
        ("NaN", False, None, False),
        ("n/a", False, None, False),
        ("inf", False, None, True),
        ("0x10", False, None, True),
        ("12abc", False, None, True),
        ("1_0", False, None, True),
    ],
)
def test_a_cell_is_read_beside_a_blank_one(cell: str, comma: bool, value: float | None, bad: bool) -> None:
    """The blank neighbour takes the block off the fast path."""
    numbers, unreadable = parse_float(pa.array([cell, ""]), decimal_comma=comma)
    assert numbers.to_pylist() == [value, None]
    assert unreadable.to_pylist() == [bad, False]


def test_both_paths_agree_on_plain_numbers() -> None:
    cells = ["0", "-0.0", "52.5200001", "1e5", "179.9999999", ".25"]
    fast, _ = parse_float(pa.array(cells))
    slow, _ = parse_float(pa.array([*cells, ""]))
    assert slow.to_pylist()[:-1] == fast.to_pylist()


def test_infinite_values_are_null_on_the_fast_path_too() -> None:
    numbers, _ = parse_float(pa.array(["1", "nan", "-inf"]))
    assert numbers.to_pylist() == [1.0, None, None]

"""Columns that begin without a value: markers of a missing one decide nothing of what the column is."""

import io

import pyarrow as pa
import pytest

from telemetry.formats.cells import COMMON_MISSING, blank_to_null, is_missing
from telemetry.formats.csv import READER
from telemetry.formats.csv_plan import find_table
from telemetry.formats.reader import Findings, Origin, TimeBasis

MARKERS = ["", "n/a", "N/A", "--", "-", "NaN", "null", "None", "?", "***"]


def read(text: str) -> tuple[pa.Table, Findings]:
    findings = Findings()
    batches = list(READER.read(io.BytesIO(text.encode()), Origin(), findings))
    return pa.Table.from_batches(batches), findings


def row(index: int, cells: str) -> str:
    return f"2024-06-15T10:{index // 60:02}:{index % 60:02}Z,{cells}\n"


@pytest.mark.parametrize("cell", [*MARKERS, *COMMON_MISSING, " ", " n/a ", "0", "n", "-1", "nan0", "a"])
def test_one_cell_is_missing_where_a_column_of_it_is_null(cell: str) -> None:
    assert is_missing(cell) == (blank_to_null(pa.array([cell]))[0].as_py() is None)


@pytest.mark.parametrize("marker", MARKERS)
def test_positions_and_channels_may_begin_without_values(marker: str) -> None:
    waiting = "".join(row(i, ",".join([marker] * 4)) for i in range(300))
    table, findings = read(
        "time,lat,lon,speed (km/h),heart_rate\n"
        + waiting
        + "".join(row(i, f"52.{1000 + i},13.5,36,120") for i in range(300, 600))
    )
    assert table["latitude_deg"][300].as_py() == 52.13
    assert table["latitude_deg"].drop_null().to_pylist()[-1] == 52.1599
    assert table["speed_mps"][599].as_py() == pytest.approx(10.0)
    assert table["heart_rate_bpm"][599].as_py() == 120
    assert findings.bad_cells == {}
    assert not any("text are not kept" in sentence for sentence in findings.inferred)


@pytest.mark.parametrize("marker", MARKERS)
def test_times_may_begin_without_values(marker: str) -> None:
    timeless = f"{marker},52.5,13.5\n" * 300
    table, findings = read("time,lat,lon\n" + timeless + "".join(row(i, "52.5,13.5") for i in range(300, 600)))
    assert table["timestamp"].null_count == 300
    assert str(table["timestamp"][599].as_py()) == "2024-06-15 10:09:59+00:00"
    assert findings.time_basis is TimeBasis.GNSS_UTC
    assert findings.bad_cells == {}


def test_each_column_is_judged_by_where_it_fills() -> None:
    """The position fills at row 300, the note at row 600: long after the rows that were looked at for the position."""
    rows = (row(i, f"{'52.5N,13.5E' if i >= 300 else ','},{'good' if i >= 600 else ''}") for i in range(800))
    text = "time,lat,lon,note\n" + "".join(rows)
    table, findings = read(text)
    assert table["longitude_deg"][799].as_py() == 13.5
    assert any("note" in sentence and "text are not kept" in sentence for sentence in findings.inferred)
    assert findings.bad_cells == {}
    layout = find_table(text.encode())
    assert layout is not None
    assert len(layout[1].sample) == 200 + 50 + 50


@pytest.mark.parametrize("marker", MARKERS[1:])
def test_a_marker_among_numbers_is_no_bad_cell(marker: str) -> None:
    """Also where every cell is read straight as a number, and `NaN` is one."""
    table, findings = read("time,lat,lon,speed (km/h)\n" + row(0, "52.5,13.5,36") + row(1, f"52.5,13.5,{marker}"))
    assert table["speed_mps"].to_pylist() == [pytest.approx(10.0), None]
    assert findings.bad_cells == {}


def test_cells_with_a_unit_may_be_missing() -> None:
    table, findings = read("time,lat,lon,speed\n" + row(0, "52.5,13.5,n/a") + row(1, "52.5,13.5,36 km/h"))
    assert table["speed_mps"].to_pylist() == [None, pytest.approx(10.0)]
    assert findings.bad_cells == {}


def test_a_number_that_is_none_does_not_keep_the_positions_from_telling_the_unit() -> None:
    """0.0001° of latitude a second are 11.12 m/s or 40.03 km/h."""
    rows = (f"{1718445600 + i},{52 + i * 0.0001:.7f},13.0,{'NaN' if i == 5 else 40.03}\n" for i in range(60))
    _, findings = read("time,lat,lon,speed\n" + "".join(rows))
    assert any("the positions say km/h" in sentence for sentence in findings.inferred)

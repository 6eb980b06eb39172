"""What shows how a table writes coordinates: degrees and minutes are read only where nothing else is possible."""

import io
from pathlib import Path

import pyarrow as pa
import pytest

from telemetry.errors import Code, TelemetryError
from telemetry.formats.csv import READER
from telemetry.formats.reader import Findings, Origin
from telemetry.recording import canonicalise


def text(names: str, *cells: str) -> str:
    rows = (f"2024-06-15T10:{i // 60:02}:{i % 60:02}Z,{cell}\n" for i, cell in enumerate(cells))
    return f"time,{names}\n" + "".join(rows)


def read(table: str) -> tuple[pa.Table, Findings]:
    findings = Findings()
    batches = list(READER.read(io.BytesIO(table.encode()), Origin(), findings))
    return pa.Table.from_batches(batches), findings


@pytest.mark.parametrize(
    ("names", "cell", "place"),
    [
        ("lat,lon", "5130.1,-0007.2", (51.501667, -0.12)),
        ("lat,lon", "5130.1,-7.2", (51.501667, -0.12)),
        ("lat,lon", "0007.2,00130.6", (0.12, 1.51)),
        ("lat,lon", "-117.2,3649.2", (-1.286667, 36.82)),
        ("lat,lon", "117.2N,00130.6E", (1.286667, 1.51)),
        ("lat,N/S,lon,E/W", "117.2,S,130.6,W", (-1.286667, -1.51)),
        ("lat (ddmm.mmmm),lon (dddmm.mmmm)", "0.5,30.6", (0.008333, 0.51)),
    ],
)
def test_degrees_and_minutes_with_evidence(names: str, cell: str, place: tuple[float, float]) -> None:
    table, findings = read(text(names, cell, cell, cell))
    assert table["latitude_deg"][0].as_py() == pytest.approx(place[0], abs=1e-6)
    assert table["longitude_deg"][0].as_py() == pytest.approx(place[1], abs=1e-6)
    assert any("degrees and minutes" in sentence for sentence in findings.inferred)


@pytest.mark.parametrize("cell", ["113.20,52.10", "-113.20,52.10", "52.10,350.25", "95.5,10.1"])
def test_numbers_beyond_their_limit_are_no_minutes(cell: str) -> None:
    table, findings = read(text("lat,lon", cell, cell, cell))
    assert [table["latitude_deg"][0].as_py(), table["longitude_deg"][0].as_py()] == [float(n) for n in cell.split(",")]
    assert not any("minutes" in sentence for sentence in findings.inferred)


def test_waiting_at_zero_does_not_hide_the_minutes() -> None:
    table, _ = read(text("lat,lon", *["0.0,0.0"] * 150, *["5130.1,-0007.2"] * 30))
    assert table["latitude_deg"][170].as_py() == pytest.approx(51.501667, abs=1e-6)


def test_swapped_coordinates_are_rejected_and_the_error_says_what_to_look_for(tmp_path: Path) -> None:
    data = text("lat,lon", *[f"113.2{i},52.1{i}" for i in range(8)]).encode()
    with pytest.raises(TelemetryError) as caught:
        canonicalise(io.BytesIO(data), Origin(), directory=tmp_path)
    assert caught.value.code is Code.NO_VALID_ROWS
    assert "position out of range 8" in caught.value.detail
    assert "swapped" in caught.value.detail


def test_rows_swapped_for_the_most_part_are_rejected_and_it_is_said(tmp_path: Path) -> None:
    data = text("lat,lon", *["113.2,52.1"] * 8, *["52.1,113.2"] * 3).encode()
    quality = canonicalise(io.BytesIO(data), Origin(), directory=tmp_path).files[0].quality
    assert quality["rejected"] == {"position_out_of_range": {"count": 8, "firstRows": [2, 3, 4, 5, 6]}}
    assert any("may be swapped" in sentence for sentence in quality["inferred"])

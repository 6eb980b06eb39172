"""The VBO reader: minutes, signs, satellites with flags, units from the header, dates from the first line."""

import io
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry.domain.laps import MOST_SECTOR_LINES
from telemetry.errors import Code, TelemetryError
from telemetry.formats.reader import FileDevice, Findings, Origin, TimeBasis
from telemetry.formats.vbo import READER

NAMES = "sats time lat long velocity heading height"


def vbo(rows: str, *, names: str = NAMES, velocity: str = "velocity kmh", extra: str = "") -> bytes:
    header = "File created on 15/05/2024 @ 10:00\r\n\r\n[header]\r\nsatellites\r\ntime\r\nlatitude\r\nlongitude\r\n"
    header += f"{velocity}\r\nheading\r\nheight\r\n\r\n{extra}[column names]\r\n{names}\r\n\r\n[data]\r\n"
    return (header + rows).encode("latin-1")


def read(data: bytes, origin: Origin | None = None) -> tuple[pa.Table, Findings]:
    findings = Findings()
    tables = [pa.table(batch) for batch in READER.read(io.BytesIO(data), origin or Origin(), findings)]
    return (pa.concat_tables(tables) if tables else pa.table({})), findings


ROW = "137 100000.50 +3169.306 +0058.49277 036.000 090.00 +0150.00\r\n"


def test_minutes_positive_west_satellite_bits_and_units() -> None:
    table, findings = read(vbo(ROW))
    row = table.to_pylist()[0]
    assert row["timestamp"] == datetime(2024, 5, 15, 10, 0, 0, 500_000, tzinfo=UTC)
    assert row["latitude_deg"] == pytest.approx(52 + 49 / 60 + 18.36 / 3600, abs=1e-9)
    assert row["longitude_deg"] == pytest.approx(-58.49277 / 60, abs=1e-12)
    assert (row["satellites"], row["speed_mps"], row["course_deg"], row["altitude_m"]) == (9, 10, 90, 150)
    assert row["source_row"] == 16
    assert findings.time_basis is TimeBasis.INFERRED_DATE
    assert findings.dialect == "Racelogic VBO, velocity in km/h"


@pytest.mark.parametrize(("unit", "speed"), [("knots", 18.52), ("mph", 16.09344), ("m/s", 36.0)])
def test_the_unit_of_velocity_stands_in_the_header(unit: str, speed: float) -> None:
    assert read(vbo(ROW, velocity=f"velocity {unit}"))[0]["speed_mps"][0].as_py() == pytest.approx(speed, rel=1e-6)


def test_decimal_degrees_are_told_by_their_magnitude_and_are_positive_east() -> None:
    table, findings = read(vbo("009 100000.50 +44.8303863 +011.2223292 036.0 090.0 +0150.00\r\n"))
    assert table["longitude_deg"].to_pylist() == [11.2223292]
    assert any("decimal degrees" in sentence for sentence in findings.inferred)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-8-sig"])
def test_text_editors_save_other_encodings(encoding: str) -> None:
    data = vbo(ROW * 3).decode("latin-1").encode(encoding)
    assert READER.recognise(data, Origin())
    table, findings = read(data)
    assert table["latitude_deg"].to_pylist() == [pytest.approx(52.8217666, abs=1e-6)] * 3
    assert findings.rejected == {}


def test_midnight_is_crossed() -> None:
    rows = ROW.replace("100000.50", "235959.90") + ROW.replace("100000.50", "000000.00")
    assert [t.day for t in read(vbo(rows))[0]["timestamp"].to_pylist()] == [15, 16]


@pytest.mark.parametrize(
    ("created", "first", "day"),
    [
        ("15/05/2024 @ 00:30:00", "233000.00", 14),
        ("15/05/2024 at 08:00", "220100.00", 14),  # ten hours ahead of UTC
        ("15/05/2024 @ 08:00", "215900.00", 15),
        ("15/05/2024 @ 12:30:00 AM", "233000.00", 14),
        ("15/05/2024 @ 09:30:00 PM", "233000.00", 15),
        ("15/05/2024", "233000.00", 15),
        ("15/05/2024 @ 99:30", "233000.00", 15),
        ("15/05/2024 @ 23:30", "001000.00", 15),
    ],
)
def test_a_recording_does_not_begin_long_after_its_file(created: str, first: str, day: int) -> None:
    data = vbo(ROW.replace("100000.50", first)).replace(b"15/05/2024 @ 10:00", created.encode())
    table, findings = read(data)
    assert table["timestamp"][0].as_py().day == day
    assert "The date is that of the file's header." in findings.inferred
    assert any("more than 14 hours" in sentence for sentence in findings.inferred) == (day == 14)


@pytest.mark.parametrize(("uploaded_hour", "day"), [(10, 19), (11, 20)])
def test_a_recording_without_date_lies_before_its_upload(uploaded_hour: int, day: int) -> None:
    data = vbo(ROW * 3).replace(b"File created on 15/05/2024 @ 10:00", b"")
    table, findings = read(data, Origin("a.vbo", datetime(2024, 6, 20, uploaded_hour, tzinfo=UTC)))
    assert table["timestamp"][0].as_py() == datetime(2024, 6, day, 10, 0, 0, 500_000, tzinfo=UTC)
    assert any("day before" in sentence for sentence in findings.inferred) == (day == 19)


def test_rows_without_satellites_and_broken_rows() -> None:
    short = ROW.removeprefix("137 ")
    table, findings = read(vbo(ROW + short + "137 100001.00 +3169\r\n" + ROW.replace("036.000", "abc") + ROW))
    assert table["satellites"].to_pylist() == [9, None, 9, 9]
    assert table["speed_mps"].to_pylist() == [10, 10, None, 10]
    assert table["source_row"].to_pylist() == [16, 17, 19, 20]
    assert findings.rejected["malformed_row"].first_rows == [18]
    assert findings.bad_cells["speed_mps"].first_rows == [19]
    assert findings.rows_read == 5


def test_extra_channels_take_their_units_from_the_right() -> None:
    extra = "[channel units]\r\nbar\r\n°C\r\n\r\n"
    row = ROW.replace("\r\n", " +1.5E+00 +9.0E+01\r\n")
    table, _ = read(vbo(row, names=NAMES + " OilPress OilTemp", extra=extra))
    assert table["OilPress"].to_pylist() == [1.5]
    assert table.schema.field("OilPress").metadata[b"unit"] == b"bar"
    assert table.schema.field("OilTemp").metadata[b"unit"].decode() == "°C"


@pytest.mark.parametrize(
    "listed", ["bar", " bar \r\n", "count hhmmss.dd ddmm.mmmmm dddmm.mmmmm kmh deg m bar"], ids=str
)
def test_a_single_line_of_units_counts(listed: str) -> None:
    row = ROW.replace("\r\n", " +1.5E+00\r\n")
    table, _ = read(vbo(row, names=NAMES + " OilPress", extra=f"[channel units]\r\n{listed}\r\n"))
    assert table.schema.field("OilPress").metadata[b"unit"] == b"bar"
    assert table["speed_mps"].to_pylist() == [10]


def test_gates_are_longitude_then_latitude_whatever_became_of_their_mark() -> None:
    start = "Start   -673.4 +2689.8 -673.2 +2689.9 \xac Start\r\n"
    extra = f"[laptiming]\r\n{start}Split -673.0 +2689.0 -673.1 +2689.1 \xac S1\r\n\r\n"
    _, findings = read(vbo(ROW, extra=extra))
    gate = findings.gates[0]
    assert (gate.latitude_1_deg, gate.longitude_1_deg) == pytest.approx((2689.8 / 60, 673.4 / 60))
    assert [gate.name for gate in findings.gates] == ["start/finish", "S1"]


def test_a_file_without_date_takes_it_from_the_upload_and_says_so() -> None:
    data = vbo(ROW).replace(b"File created on 15/05/2024 @ 10:00", b"")
    table, findings = read(data, Origin(uploaded_at=datetime(2024, 6, 1, 12, tzinfo=UTC)))
    assert table["timestamp"][0].as_py().date().isoformat() == "2024-06-01"
    assert findings.inferred
    with pytest.raises(TelemetryError) as refused:
        read(data)
    assert refused.value.code is Code.NO_TIME_DATA


@pytest.mark.parametrize(
    ("names", "code"), [("sats lat long", Code.NO_TIME_DATA), ("sats time", Code.NO_POSITION_DATA)]
)
def test_missing_columns_have_their_codes(names: str, code: Code) -> None:
    with pytest.raises(TelemetryError) as refused:
        read(vbo(ROW, names=names))
    assert refused.value.code is code


def test_the_fast_parse_and_the_mended_one_agree() -> None:
    rows = "".join(ROW.replace("100000.50", f"1000{s:02d}.00") for s in range(60))
    fast, _ = read(vbo(rows))
    mended, findings = read(vbo(rows + "broken\r\n"))
    assert fast.equals(mended)
    assert findings.rejected["malformed_row"].count == 1


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="0123456789.+- \r\n\tenaE", max_size=300))
def test_any_data_is_rows_or_counted(text: str) -> None:
    table, findings = read(vbo(ROW + text))
    assert table.num_rows <= findings.rows_read


RACEBOX = "[comments]\r\nGenerated by RaceBox\r\nSerial Number : 77\r\n\r\n"


@pytest.mark.parametrize("name", ["lng", "lon", "Longitude"])
def test_other_names_of_the_position_columns(name: str) -> None:
    names = f"time lat {name} velocity heading height sats"
    row = "100000.04 +02743.97317 -000784.38007 005.036 086.14 +00004.37 16\r\n"
    table, findings = read(vbo(row, names=names, extra=RACEBOX))
    found = table.to_pylist()[0]
    assert (found["latitude_deg"], found["longitude_deg"]) == pytest.approx((2743.97317 / 60, 784.38007 / 60))
    assert (found["satellites"], found["speed_mps"]) == (16, pytest.approx(5.036 / 3.6))
    assert findings.device == FileDevice("RaceBox", None, "77")


@pytest.mark.parametrize(
    "ends",
    [
        "-000784.39721 +02743.96882 -000784.39786 +02743.95983",
        "+02743.96882 -000784.39721 +02743.95983 -000784.39786",
    ],
)
def test_a_gate_has_longitude_first_unless_the_track_says_otherwise(ends: str) -> None:
    row = "137 100000.50 +02743.97317 -000784.38007 036.000 090.00 +0150.00\r\n"
    _, findings = read(vbo(row, extra=f"[laptiming]\r\nStart {ends} ¬ Start / Finish\r\n\r\n"))
    gate = findings.gates[0]
    assert (gate.latitude_1_deg, gate.longitude_1_deg) == pytest.approx((2743.96882 / 60, 784.39721 / 60))
    assert (gate.latitude_2_deg, gate.longitude_2_deg) == pytest.approx((2743.95983 / 60, 784.39786 / 60))


@pytest.mark.parametrize("last", ["Start", "Split"])
def test_sector_lines_after_the_most_are_left_out_and_told(last: str) -> None:
    lines = [f"Split -673.{number:02} +2689.8 -673.2 +2689.9 ¬ S{number}" for number in range(30)]
    extra = "\r\n".join(["[laptiming]", *lines, f"{last} -673.4 +2689.8 -673.2 +2689.9 ¬ Last", "", ""])
    _, findings = read(vbo(ROW, extra=extra))
    names = [gate.name for gate in findings.gates]
    # The start/finish line is kept wherever it stands; without one the first line is it.
    kept = [f"S{number}" for number in range(MOST_SECTOR_LINES + (last == "Split"))]
    assert names == [*kept, *(["start/finish"] if last == "Start" else [])]
    assert any(f"after the first {MOST_SECTOR_LINES} were left out" in said for said in findings.inferred)

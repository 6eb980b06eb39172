"""The IGC reader: fixed columns, a date that stands elsewhere, extensions, midnight."""

import io
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry.errors import Code, TelemetryError
from telemetry.formats.igc import READER
from telemetry.formats.reader import Findings, Origin, TimeBasis

HEAD = "AXXX001 Recorder\r\nHFDTE160722\r\n"


def fix(time: str, *, lat: str = "4730500N", lon: str = "00815250E", valid: str = "A", tail: str = "") -> str:
    return f"B{time}{lat}{lon}{valid}0044400456{tail}\r\n"


def read(text: str, origin: Origin | None = None) -> tuple[pa.Table, Findings]:
    findings = Findings()
    batches = list(READER.read(io.BytesIO(text.encode("latin-1")), origin or Origin(), findings))
    tables = [pa.table(batch) for batch in batches]
    return (pa.concat_tables(tables, promote_options="default") if tables else pa.table({})), findings


def test_a_fix_in_its_units() -> None:
    table, findings = read(HEAD + fix("101112"))
    row = table.to_pylist()[0]
    assert row["timestamp"] == datetime(2022, 7, 16, 10, 11, 12, tzinfo=UTC)
    assert row["latitude_deg"] == pytest.approx(47 + 30.5 / 60)
    assert row["longitude_deg"] == pytest.approx(8 + 15.25 / 60)
    assert (row["altitude_m"], row["pressure_altitude"], row["fix_type"]) == (456, 444, "3d")
    assert row["source_row"] == 3
    assert findings.time_basis is TimeBasis.GNSS_UTC


def test_south_and_west_are_negative_and_no_3d_fix_has_no_altitude() -> None:
    row = read(HEAD + fix("101112", lat="4730500S", lon="00815250W", valid="V"))[0].to_pylist()[0]
    assert row["latitude_deg"] < 0 and row["longitude_deg"] < 0
    assert (row["altitude_m"], row["fix_type"]) == (None, "2d")


def test_midnight_is_crossed_once_and_a_later_date_record_wins() -> None:
    flight = HEAD + fix("235959") + fix("000001") + "HFDTEDATE:180722,01\r\n" + fix("000002")
    days = [t.day for t in read(flight)[0]["timestamp"].to_pylist()]
    assert days == [16, 17, 18]


def test_midnight_across_blocks() -> None:
    filler = "".join(fix("235959") for _ in range(40_000))
    table, _ = read(HEAD + filler + fix("000000"))
    assert table.num_rows == 40_001
    assert table["timestamp"][-1].as_py() == datetime(2022, 7, 17, tzinfo=UTC)


def test_extensions_are_kept_and_refine() -> None:
    head = HEAD + "I053638FXA3940SIU4141TDS4242LAD4343LOD\r\n"
    row = read(head + fix("101112", tail="01207555"))[0].to_pylist()[0]
    assert (row["horizontal_accuracy_m"], row["satellites"]) == (12, 7)
    assert row["timestamp"].microsecond == 500_000
    assert row["latitude_deg"] == pytest.approx(47 + 30.5005 / 60, abs=1e-9)


@pytest.mark.parametrize(
    ("cell", "count"), [("   12", 12), ("  0.9", 1), ("99999", None), ("1e300", None), ("  nan", None)]
)
def test_a_count_of_satellites_that_is_none_does_no_harm(cell: str, count: int | None) -> None:
    table, _ = read(f"{HEAD}I013640SIU\r\n" + fix("101112", tail=cell))
    assert table["satellites"].to_pylist() == [count]


@pytest.mark.parametrize(
    ("extensions", "tail", "values", "said"),
    [
        ("I033640GSP4145TAS4649OAT", "10468098760238", {"GSP": 104.68, "TAS": 98.76, "OAT": 23.8}, 3),
        ("I013638OAT", "-05", {"OAT": -0.5}, 1),
        ("I033638GSP3941TAS4243OAT", "104098-5", {"GSP": 104.0, "TAS": 98.0, "OAT": -5.0}, 0),
    ],
)
def test_the_width_of_an_extension_tells_its_decimals(
    extensions: str, tail: str, values: dict[str, float], said: int
) -> None:
    table, findings = read(f"{HEAD}{extensions}\r\n" + fix("101112", tail=tail))
    row = table.to_pylist()[0]
    assert {name: row[name] for name in values} == pytest.approx(values)
    assert len([sentence for sentence in findings.inferred if "characters" in sentence]) == said


@pytest.mark.parametrize(("declared", "named"), [("J020810WDI1115WVE\r\n", " (WDI, WVE)"), ("", "")])
def test_records_of_measurements_that_are_not_read_are_counted(declared: str, named: str) -> None:
    _, findings = read(HEAD + declared + fix("101112") + "K10111332201239\r\n" * 3)
    assert findings.inferred == [f"3 K records{named} were not read"]


def test_a_file_without_date_takes_it_from_its_name_and_says_so() -> None:
    table, findings = read("AXXX001\r\n" + fix("101112"), Origin(file_name="2021-04-17-XXX-001.igc"))
    assert table["timestamp"][0].as_py() == datetime(2021, 4, 17, 10, 11, 12, tzinfo=UTC)
    assert findings.time_basis is TimeBasis.INFERRED_DATE
    assert findings.inferred


@pytest.mark.parametrize(("uploaded_hour", "day"), [(10, 15), (11, 16)])
def test_a_flight_lies_before_its_upload(uploaded_hour: int, day: int) -> None:
    origin = Origin("a.igc", datetime(2022, 7, 16, uploaded_hour, tzinfo=UTC))
    table, findings = read("AXXX001\r\n" + fix("101112") + fix("101113"), origin)
    assert table["timestamp"][0].as_py() == datetime(2022, 7, day, 10, 11, 12, tzinfo=UTC)
    assert any("day before" in sentence for sentence in findings.inferred) == (day == 15)


def test_a_file_whose_date_nothing_tells_says_so() -> None:
    with pytest.raises(TelemetryError) as caught:
        read("AXXX001\r\n" + fix("101112"))
    assert caught.value.code is Code.NO_TIME_DATA
    assert caught.value.detail == "fixes have a time of day, and nothing tells the date"


def test_fixes_in_front_of_the_only_date_have_no_time() -> None:
    table, _ = read("AXXX001\r\n" + fix("101112") + "HFDTE160722\r\n" + fix("101113"))
    assert table["timestamp"].to_pylist() == [None, datetime(2022, 7, 16, 10, 11, 13, tzinfo=UTC)]


def test_broken_records_are_counted_with_their_lines() -> None:
    table, findings = read(HEAD + "B10111247305\r\n" + fix("101112") + "B99111247305\r\n")
    assert table.num_rows == 1
    assert (findings.rejected["malformed_row"].count, findings.rejected["malformed_row"].first_rows) == (2, [3, 5])


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-8-sig"])
def test_text_editors_save_other_encodings(encoding: str) -> None:
    data = (HEAD + fix("100000") + fix("100001")).encode(encoding)
    assert READER.recognise(data, Origin())
    [batch] = READER.read(io.BytesIO(data), Origin(), Findings())
    assert batch.num_rows == 2


def test_recognition() -> None:
    assert READER.recognise((HEAD + fix("101112")).encode(), Origin())
    assert READER.recognise(b"A,B,C\n1,2,3\n", Origin()) is None
    assert READER.recognise(b"<?xml version='1.0'?><gpx/>", Origin()) is None


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="B0123456789NSEWAV\r\nHFDTEI-", max_size=300))
def test_any_text_is_rows_or_nothing(text: str) -> None:
    table, findings = read(HEAD + text)
    assert table.num_rows <= findings.rows_read

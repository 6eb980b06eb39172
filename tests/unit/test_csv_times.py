"""The forms in which CSV files tell time and place, and what is said of the inferred ones."""

import io
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from telemetry.errors import Code, TelemetryError
from telemetry.formats.csv import READER
from telemetry.formats.dates import DateOrder, date_in_name, find_start, order_of, read_date
from telemetry.formats.day_clock import DAY_BEFORE_UPLOAD
from telemetry.formats.reader import Findings, Origin, TimeBasis

UTC_BASIS, LOCAL, INFERRED = TimeBasis.GNSS_UTC, TimeBasis.DEVICE_LOCAL, TimeBasis.INFERRED_DATE
T = "2024-06-15 10:00:00"


def read(text: str, origin: Origin | None = None) -> tuple[pa.Table, Findings]:
    findings = Findings()
    batches = list(READER.read(io.BytesIO(text.encode()), origin or Origin(), findings))
    return pa.Table.from_batches(batches), findings


def iso(value: datetime) -> str:
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ")


@pytest.mark.parametrize(
    ("header", "cells", "first", "basis"),
    [
        ("timestamp", "2024-06-15T10:00:00Z", T, UTC_BASIS),
        ("timestamp", "2024-06-15T10:00:00.1234567Z", T + ".123456", UTC_BASIS),
        ("time", "2024-06-15T12:00:00+02:00", T, UTC_BASIS),
        ("time", "2024-06-15 10:00:00", T, LOCAL),
        ("datetime(utc)", "2024-06-15 10:00:00", T, UTC_BASIS),
        ("timestamp", "1718445600", T, UTC_BASIS),
        ("timestamp", "1718445600.123456", T + ".123456", UTC_BASIS),
        ("utc (ms)", "1718445600123", T + ".123000", UTC_BASIS),
        ("Timestamp (us)", "1718445600123456", T + ".123456", UTC_BASIS),
        ("time", "1718445600123456789", T + ".123456", UTC_BASIS),
        ("Date,Time", "2024/06/15,10:00:00", T, LOCAL),
        ("utc_d,utc_t", "2024/06/15,10:00:00.200", T + ".200000", UTC_BASIS),
        ("Date,Time", "15.06.2024,10:00:00", T, LOCAL),
        ("Date,Time", "06/15/2024,10:00:00 PM", "2024-06-15 22:00:00", LOCAL),
        ("Date,Time", "15-Jun-24,12:00:00 AM", "2024-06-15 00:00:00", LOCAL),
        ("Date,Time", "05/06/2024,10:00:00", "2024-06-05 10:00:00", LOCAL),
        ("Date (MM/DD/YYYY),Time", "05/06/2024,10:00:00", "2024-05-06 10:00:00", LOCAL),
        ("DATE[DD-MON-YY],TIME[HH:MM:SS.hh]", "14-AUG-16,16:57:02.65", "2016-08-14 16:57:02.650000", LOCAL),
        ("Date,Time", "20240615,100000", T, LOCAL),
        ("utc date,utc time", "150624,100000.25", T + ".250000", UTC_BASIS),
        ("Date Time", "15/06/2024 10:00:00.5", T + ".500000", LOCAL),
        ("GPS Time", "Sat Jun 15 03:00:00 PDT 2024", T, UTC_BASIS),
        ("GPS Time", "Sa. Juni 15 12:00:00 MESZ 2024", T, UTC_BASIS),
        ("time", "Sat Jun 15 12:00:00 GMT+02:00 2024", T, UTC_BASIS),
        ("time", "Jun  5 10:00:00.5 2024", "2024-06-05 10:00:00.500000", LOCAL),
        ("time", "Sat Jun 15 10:00:00 IST 2024", T, LOCAL),
        ("datetime", "20240615100000.250", T + ".250000", LOCAL),
        ("Date,Time,UTC Offset", "2024-06-15,12:00:00,+02:00", T, UTC_BASIS),
        ("year,month,day,hour,minute,second,ms", "2024,6,15,10,0,0,250", T + ".250000", LOCAL),
        ("TimeUS,GMS,GWk", "100000,554418100,2318", T + ".100000", UTC_BASIS),
        ("rtcDate,rtcTime,gps_Date,gps_Time", "01/01/2000,00:00:07,2024/06/15,10:00:00", T, LOCAL),
        ("CUSTOM.date [local],CUSTOM.updateTime [local]", "6/15/2024,10:00:00.25 AM", T + ".250000", LOCAL),
        ("gps week,tow (s)", "2318,554418.1", T + ".100000", UTC_BASIS),
        ("time", "2024-06-15 10:00:00 UTC", T, UTC_BASIS),
        ("time", "2024-06-15T10:00:00.25UTC", T + ".250000", UTC_BASIS),
        ("time", "2024-06-15 12:00:00 CEST", T, UTC_BASIS),
        ("time", "2024-06-15 12:00:00 (CEST)", T, UTC_BASIS),
        ("time", "2024-06-15 12:00:00 GMT+2", T, UTC_BASIS),
        ("time", "2024-06-15 12:00:00.5 UTC+02:00", T + ".500000", UTC_BASIS),
        ("time", "2024-06-15 03:00:00 GMT-0700", T, UTC_BASIS),
        ("time", "15/06/2024 03:00:00 AM PDT", T, UTC_BASIS),
        ("time", "6/15/2024 3:00:00 AM MST", T, UTC_BASIS),
        ("time", "6/15/2024 10:00:00 p.m.", "2024-06-15 22:00:00", LOCAL),
        ("time", "2024-06-15 10:00:00 IST", T, LOCAL),
        ("Date,Time", "2024-06-15,12:00:00 CEST", T, UTC_BASIS),
        ("Date,Time", "2024-06-15,10:00:00 UTC", T, UTC_BASIS),
        ("Date,Time", "2024-06-15,20:00:00 AEST", T, UTC_BASIS),
        ("Date,Time,UTC Offset", "2024-06-15,12:00:00 CEST,+02:00", T, UTC_BASIS),
        ("time", "1718445600123456789.5", T + ".123456", UTC_BASIS),
        ("time", "1.7184456e18", T, UTC_BASIS),
        ("time", "1.7184456e9", T, UTC_BASIS),
        ("Date,Time", "05/06/2024,10:00:00 PM", "2024-05-06 22:00:00", LOCAL),
        ("Date,Time", "05.06.2024,10:00:00 PM", "2024-06-05 22:00:00", LOCAL),
        ("Date,Time", "5/6/2024 ,10:00 AM", "2024-05-06 10:00:00", LOCAL),
        ("Date Time", "05/06/2024 10:00:00 PM", "2024-05-06 22:00:00", LOCAL),
        ("Date Time", "15/06/2024 10:00:00 PM", "2024-06-15 22:00:00", LOCAL),
    ],
)
def test_forms_of_time(header: str, cells: str, first: str, basis: TimeBasis) -> None:
    table, findings = read(f"{header},lat,lon\n{cells},52.1,13.2\n{cells},52.1,13.2\n")
    assert iso(table["timestamp"][0].as_py()) == first
    assert findings.time_basis is basis


@pytest.mark.parametrize("delimiter", [",", ";"])
@pytest.mark.parametrize(("name", "digits"), [("Date", 6), ("timestamp", 10), ("time", 10)])
def test_day_numbers_of_a_spreadsheet(name: str, digits: int, delimiter: str) -> None:
    days = [45458 + (36_000 + second) / 86_400 for second in range(12)]
    rows = "".join(f"{day:.{digits}f},52.{n:04d},13.5\n" for n, day in enumerate(days))
    text = f"{name},lat,lon\n{rows}"
    if delimiter == ";":
        text = text.replace(",", ";").replace(".", ",")
    table, findings = read(text)
    seconds = [
        t.timestamp() - datetime(2024, 6, 15, 10, tzinfo=UTC).timestamp() for t in table["timestamp"].to_pylist()
    ]
    assert seconds == [pytest.approx(n, abs=0.05 if digits == 6 else 1e-6) for n in range(12)]
    assert findings.time_basis is LOCAL
    assert any("day numbers" in sentence for sentence in findings.inferred)


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("Date", ["45458.1", "45458.2", "45458.3"]),
        ("time", ["45458.427083", "45458.427095", "45458.427106"]),
        ("time (s)", ["45458.4270833333", "45458.4270949074", "45458.4271064815"]),
        ("Date", ["45458.500000", "45459.500000", "45460.500000"]),
    ],
    ids=["few digits", "no date in the name", "with a unit", "a row a day"],
)
def test_numbers_that_may_be_anything_are_no_day_numbers(name: str, cells: list[str]) -> None:
    try:
        _, findings = read(f"{name},lat,lon\n" + "".join(f"{cell},52.1,13.5\n" for cell in cells))
    except TelemetryError as error:
        assert error.code in (Code.NO_TIME_DATA, Code.CSV_NO_TIME_COLUMN)
    else:
        assert not any("day numbers" in sentence for sentence in findings.inferred)


def test_a_time_of_day_takes_the_date_from_the_header_and_passes_midnight() -> None:
    rows = "23:59:59.5,1,2\n00:00:00.5,1,2\n23:59:59.9,1,2\n00:00:01,1,2\n"
    table, findings = read(f"# Date: 15/06/2024\nTime,Latitude,Longitude\n{rows}")
    assert [iso(t) for t in table["timestamp"].to_pylist()] == [
        "2024-06-15 23:59:59.500000",
        "2024-06-16 00:00:00.500000",
        "2024-06-15 23:59:59.900000",
        "2024-06-16 00:00:01",
    ]
    assert findings.time_basis is INFERRED
    assert "The date is that of the file's header." in findings.inferred


@pytest.mark.parametrize(
    ("origin", "first"),
    [
        (Origin("run_2024-06-15.csv", datetime(2024, 7, 1, 9, tzinfo=UTC)), T),
        (Origin("run.csv", datetime(2024, 6, 15, 12, tzinfo=UTC)), T),
        (Origin("run.csv", datetime(2024, 6, 16, 9, tzinfo=UTC)), T),
    ],
    ids=["file name", "upload", "upload on the day after"],
)
def test_without_any_date_inside_the_name_and_then_the_upload_give_it(origin: Origin, first: str) -> None:
    table, findings = read("Time,Latitude,Longitude\n10:00:00,1,2\n", origin)
    assert iso(table["timestamp"][0].as_py()) == first
    assert findings.time_basis is INFERRED
    moved = origin.uploaded_at == datetime(2024, 6, 16, 9, tzinfo=UTC)
    assert [sentence for sentence in findings.inferred if "day before" in sentence] == [DAY_BEFORE_UPLOAD] * moved


def test_a_time_of_day_without_any_date_is_refused() -> None:
    with pytest.raises(TelemetryError) as caught:
        read("Time,Latitude,Longitude\n10:00:00,1,2\n")
    assert caught.value.code is Code.NO_TIME_DATA


@pytest.mark.parametrize(
    ("preamble", "start"),
    [
        (["Created,31/12/2025,02:54"], "2025-12-31 02:54:00"),
        (['Date,"Sunday, December 15, 2024",,', "Time,1:34 PM,,", "Segment Times,01:02.8"], "2024-12-15 13:34:00"),
        (['"Log Date","15/06/2024"', '"Log Time","14:30:00"'], "2024-06-15 14:30:00"),
        (["Date,sabato 15 giugno 2024", "Time,09:05"], "2024-06-15 09:05:00"),
        (["Start time: 2024-06-15 10:00:00"], T),
        (["# 2024-06-15T12:00:00+02:00"], T),
        (["Duration,535.9", "Time,1:34 PM"], None),
    ],
)
def test_the_start_in_a_preamble(preamble: list[str], start: str | None) -> None:
    found = find_start(preamble)
    assert (found and iso(found.moment)) == start


def test_elapsed_seconds_count_from_the_preamble() -> None:
    table, findings = read("Start time: 2024-06-15 10:00:00\nElapsed (ms),lat,lon\n0,1,2\n250,1,2\n")
    assert iso(table["timestamp"][1].as_py()) == T + ".250000"
    assert findings.time_basis is LOCAL


def test_one_late_date_decides_the_order_of_all() -> None:
    assert order_of(["05/06/2024", "06/13/2024"]) is DateOrder.MDY
    assert order_of(["05/06/2024", "13/06/2024"]) is DateOrder.DMY
    assert order_of(["05/06/2024"]) is DateOrder.DMY
    assert order_of(["hello"]) is None


def test_dates_that_the_calendar_lacks_are_none() -> None:
    assert read_date("31/02/2024", DateOrder.DMY) is None
    assert date_in_name("20241301_x.csv") is None


@pytest.mark.parametrize(
    ("names", "cells", "place"),
    [
        ("lat,lon", "52.5,-13.25", (52.5, -13.25)),
        ("lat,lon", "0,0", (0.0, 0.0)),
        ("latitudeE7,longitudeE7", "525000000,-132500000", (52.5, -13.25)),
        ("lat,lon", "525000000,132500000", (52.5, 13.25)),
        ("lat,lon", "52.5N,13.25W", (52.5, -13.25)),
        ("lat,lon", "S52.5,E13.25", (-52.5, 13.25)),
        ("LATITUDE,N/S,LONGITUDE,E/W", "52.5,S,13.25,W", (-52.5, -13.25)),
        ("LATITUDE,N/S,LONGITUDE,E/W", "5230.0,N,01315.0,W", (52.5, -13.25)),
        ("lat (ddmm.mmmm),lon (dddmm.mmmm)", "5230.0,-1315.0", (52.5, -13.25)),
        ("lat,lon", "52°30'00.0\"N,13°15'0\"W", (52.5, -13.25)),
        ("lat,lon", "52° 30.0' S,13 15 0 E", (-52.5, 13.25)),
        ("position_lat (semicircles),position_long (semicircles)", "626349397,-158078657", (52.5, -13.25)),
        ("position_lat,position_long", "626349397,-158078657", (52.5, -13.25)),
        ("GPS_Latitude[deg],GPS_Longitude[deg]", "52.5,-13.25", (52.5, -13.25)),
        ("Breite,Länge", "52.5,-13.25", (52.5, -13.25)),
    ],
)
def test_forms_of_coordinates(names: str, cells: str, place: tuple[float, float]) -> None:
    table, _ = read(f"timestamp,{names}\n" + f"2024-06-15T10:00:00Z,{cells}\n" * 2)
    assert table["latitude_deg"][0].as_py() == pytest.approx(place[0], abs=1e-7)
    assert table["longitude_deg"][0].as_py() == pytest.approx(place[1], abs=1e-7)


@pytest.mark.parametrize(
    ("name", "cell", "mps"),
    [
        ("Speed (km/h)", "36", 10.0),
        ("Speed (MPH)", "36", 16.09344),
        ("SPEED[kn]", "36", 18.52),
        ("speed_kmh", "36", 10.0),
        ("speed_kph", "36", 10.0),
        ("gpsSpeed (m/s)", "36", 36.0),
        ("GPS Speed (Meters/second)", "36", 36.0),
        ("kph", "36", 10.0),
        ("Geschwindigkeit (km/h)", "36", 10.0),
        ("speed", "36 km/h", 10.0),
        ("velocity", "36", 36.0),
    ],
)
def test_units_of_speed(name: str, cell: str, mps: float) -> None:
    table, findings = read(f"timestamp,lat,lon,{name}\n" + f"2024-06-15T10:00:00Z,1,2,{cell}\n" * 2)
    assert table["speed_mps"][0].as_py() == pytest.approx(mps, rel=1e-6)
    assert any("No unit" in s for s in findings.inferred) == (name == "velocity")


def test_a_units_row_below_the_names_and_one_above() -> None:
    below, _ = read("time,lat,lon,alt,speed\ns,deg,deg,ft,kt\n1718445600,1,2,100,10\n")
    above, _ = read("#s,deg,deg,ft,kt\ntime,lat,lon,alt,speed\n1718445600,1,2,100,10\n")
    for table in (below, above):
        assert table["altitude_m"][0].as_py() == pytest.approx(30.48)
        assert table["speed_mps"][0].as_py() == pytest.approx(5.144444, rel=1e-6)


def test_an_unlabelled_speed_is_told_by_the_positions() -> None:
    """0.0001° of latitude a second are 11.12 m/s or 40.03 km/h."""
    lines = [f"{1718445600 + i},{52 + i * 0.0001:.7f},13.0,40.03" for i in range(60)]
    table, findings = read("time,lat,lon,speed\n" + "\n".join(lines) + "\n")
    assert table["speed_mps"][0].as_py() == pytest.approx(11.12, abs=0.01)
    assert any("the positions say km/h" in sentence for sentence in findings.inferred)


def test_other_numbers_keep_their_name_and_unit() -> None:
    table, findings = read("time,lat,lon,Oil Temp (C),rpm,rpm,note\n1718445600,1,2,90,5000,5001,x\n")
    assert table.schema.names[4:] == ["Oil Temp", "rpm", "rpm (2)"]
    assert table.schema.field("Oil Temp").metadata[b"unit"] == b"C"
    assert any("note" in sentence for sentence in findings.inferred)


def test_forms_are_told_by_the_first_fix_however_late() -> None:
    waiting = "".join(f"2024-06-15T09:{i // 60:02d}:{i % 60:02d}Z,,,\n" for i in range(600))
    table, findings = read(f"timestamp,lat,lon,speed\n{waiting}2024-06-15T10:00:00Z,52.5N,13.25W,36 km/h\n")
    assert table["latitude_deg"].null_count == 600
    assert (table["latitude_deg"][600].as_py(), table["longitude_deg"][600].as_py()) == (52.5, -13.25)
    assert table["speed_mps"][600].as_py() == pytest.approx(10.0)
    assert findings.bad_cells == {}


def test_minutes_count_from_the_start_in_the_header_and_no_lone_letter_is_a_time() -> None:
    table, _ = read(
        "Version,Date/Time,Km\n6,2024-06-15 10:00:00,0\nMinutes,Watts,Latitude,Longitude,Power Calc'd\n"
        "0,100,52.5,13.5,0\n0.01667,110,52.5,13.5,0\n1.5,120,52.5,13.5,0\n"
    )
    assert [iso(time)[11:] for time in table["timestamp"].to_pylist()] == ["10:00:00", "10:00:01.000200", "10:01:30"]


def test_the_meaning_of_a_zone_by_its_name_is_said() -> None:
    _, findings = read("time,lat,lon\n" + "Sat Jun 15 10:00:00 CST 2024,52.1,13.2\n" * 2)
    assert any("RFC 5322" in sentence for sentence in findings.inferred)


@pytest.mark.parametrize(
    "cell", ["2024-06-15 10:00:00 UTC", "2024-06-15 12:00:00 UTC+02:00", "15/06/2024 10:00:00 GMT"]
)
def test_a_zone_behind_the_time_is_a_zone(cell: str) -> None:
    _, findings = read("time,lat,lon\n" + f"{cell},52.1,13.2\n" * 2)
    assert not any("zone" in sentence for sentence in findings.inferred)


@pytest.mark.parametrize("cells", ["2024-06-15 12:00:00 CEST,52.1,13.2", "2024-06-15,12:00:00 CEST,52.1,13.2"])
def test_a_zone_by_its_name_is_said_wherever_it_stands(cells: str) -> None:
    header = "time,lat,lon" if cells.count(",") == 2 else "date,time,lat,lon"
    _, findings = read(f"{header}\n" + f"{cells}\n" * 2)
    assert any("RFC 5322" in sentence for sentence in findings.inferred)


def test_times_with_and_without_a_zone_are_counted() -> None:
    rows = "2024-06-15 10:00:00 UTC,1,2\n" * 3 + "2024-06-15 10:00:03,1,2\n"
    table, findings = read("time,lat,lon\n" + rows)
    assert iso(table["timestamp"][3].as_py()) == "2024-06-15 10:00:03"
    assert findings.time_basis is LOCAL


def test_epochs_written_in_two_ways_keep_what_each_can_tell() -> None:
    cells = ["1718445600123456789", "1718445600223456789.25", "1.718445600323e18", "x", "-", "1718445600423456789"]
    table, findings = read("time,lat,lon\n" + "".join(f"{cell},52.1,13.2\n" for cell in cells))
    times = [time and iso(time)[17:] for time in table["timestamp"].to_pylist()]
    assert times == ["00.123456", "00.223456", "00.323000", None, None, "00.423456"]
    assert findings.bad_cells["timestamp"].first_rows == [5]


def uploaded(year: int, month: int, day: int, hour: int = 0) -> Origin:
    return Origin("x.csv", datetime(year, month, day, hour, tzinfo=UTC))


@pytest.mark.parametrize(
    ("cell", "origin", "first", "said"),
    [
        ("05/12/2024 10:00:00", uploaded(2024, 6, 15), "2024-05-12 10:00:00", "month, day, year."),
        ("05/12/2024 10:00:00", uploaded(2025, 6, 15), "2024-12-05 10:00:00", "year; month, day, year fits as well."),
        ("05/12/2099 10:00:00", uploaded(2024, 6, 15), "2099-12-05 10:00:00", "year; month, day, year fits as well."),
        ("05/05/2024 10:00:00", uploaded(2025, 6, 15), "2024-05-05 10:00:00", "were read as day, month, year."),
        ("05/12/2024 10:00:00 AM", uploaded(2024, 4, 1), "2024-05-12 10:00:00", "year; day, month, year fits as well."),
    ],
    ids=["after the upload", "before it", "both after it", "one date either way", "half days"],
)
def test_which_order_is_taken_and_which_fits_as_well(cell: str, origin: Origin, first: str, said: str) -> None:
    table, findings = read("time,lat,lon\n" + f"{cell},52.1,13.2\n" * 2, origin)
    assert iso(table["timestamp"][0].as_py()) == first
    assert any(sentence.startswith("Dates were read as") and sentence.endswith(said) for sentence in findings.inferred)


def test_the_order_of_a_header_s_date_is_said_where_another_fits() -> None:
    table, findings = read("Date,05/06/2024\nTime,2:30 PM\n\nElapsed (s),lat,lon\n0,1,2\n1,1,2\n")
    assert iso(table["timestamp"][0].as_py()) == "2024-05-06 14:30:00"
    assert "The date there was read as month, day, year; day, month, year fits as well." in findings.inferred
    _, findings = read("Date,15/06/2024\nTime,2:30 PM\n\nElapsed (s),lat,lon\n0,1,2\n1,1,2\n")
    assert not any("there was read" in sentence for sentence in findings.inferred)
    table, findings = read("# Date: 05/12/2024\nTime,lat,lon\n10:00:00,1,2\n", uploaded(2024, 6, 15))
    assert iso(table["timestamp"][0].as_py()) == "2024-05-12 10:00:00"


@pytest.mark.parametrize(
    ("origin", "first", "said"),
    [
        (Origin("Log-20240615-100000 Y.csv", datetime(2024, 7, 1, tzinfo=UTC)), T, "file's name"),
        (Origin("elapsed20240504_101112.csv"), "2024-05-04 10:11:12", "file's name"),
        (Origin("20240615100000.csv"), T, "file's name"),
        (Origin("Excel_SN1061_150624_10H00_X_13.csv"), T, "file's name"),
        (Origin("run 2024-06-15T10.00.csv"), T, "file's name"),
        (Origin("run_2024-06-15.csv", datetime(2024, 7, 1, tzinfo=UTC)), "2024-06-15 00:00:00", "midnight"),
        (Origin("run 99.csv", datetime(2024, 6, 15, 10, tzinfo=UTC)), T, "upload"),
    ],
)
def test_elapsed_seconds_count_from_the_name_or_the_upload(origin: Origin, first: str, said: str) -> None:
    table, findings = read("Time (s),lat,lon\n0,1,2\n0.25,1,2\n", origin)
    assert iso(table["timestamp"][0].as_py()) == first
    assert iso(table["timestamp"][1].as_py()) == first + ".250000"
    assert findings.time_basis is INFERRED
    assert any(said in sentence for sentence in findings.inferred)


@pytest.mark.parametrize(
    ("origin", "first", "said"),
    [
        (uploaded(2024, 6, 15, 12), T, "2048 weeks were added"),
        (uploaded(2024, 6, 1), "2004-10-30 10:00:05", "1024 weeks were added"),
        (Origin("run_2024-06-15.csv", datetime(2050, 1, 1, tzinfo=UTC)), T, "date in the file's name"),
        (Origin(), "1985-03-16 10:00:15", "ten bits"),
    ],
)
def test_gps_weeks_of_ten_bits(origin: Origin, first: str, said: str) -> None:
    table, findings = read("GPS Week,TOW,lat,lon\n270,554418,1,2\n270,554419,1,2\n", origin)
    assert iso(table["timestamp"][0].as_py()) == first
    assert any(said in sentence for sentence in findings.inferred)

"""Known programs' files: what they are called, their units, laps and devices."""

import io
import itertools
from datetime import timedelta

import pyarrow as pa
import pytest

from telemetry.errors import Code, TelemetryError
from telemetry.formats.csv import READER
from telemetry.formats.csv_times import RunningTime
from telemetry.formats.reader import Findings, Origin, TimeBasis

RACECHRONO_3 = """This file is created using RaceChrono Pro v9.1.3 ( http://racechrono.com/ ).
Format,3
Created,31/12/2025,02:54
Note,

timestamp,fragment_id,lap_number,elapsed_time,coordinate_precision,fix_type,latitude,longitude,speed,speed,speed
unix time,,,s,DOP,,deg,deg,m/s,m/s,m/s
,,,,100: gps,100: gps,100: gps,100: gps,100: gps,calc,200: obd
"""
RACECHRONO_2 = """This file is created using RaceChrono Pro v7.0.0 ( http://racechrono.com/ ).
Format,2
Created,13/05/2021,10:21

Time (s),Session fragment #,Lap #,Trap name,Speed (m/s),Latitude (deg),Longitude (deg),Speed (m/s) *calc
1620901277.100,0,,,10.0,52.1,13.2,9.9
1620901277.200,0,1,Start,10.5,52.1,13.2,9.9
"""
TRACKADDICT = """# RaceRender Data: TrackAddict 4.3.5 on Android 9 [samsung SM-N960F] (Mode: 0)
"Time","UTC Time","Lap","GPS_Update","Latitude","Longitude","Altitude (m)","Altitude (ft)","Speed (Km/h)","Accel X"
0.000,1559734111.000,0,1,51.9993282,13.6881675,91.1,299,36.0,1.00
9.900,1559734120.900,0,0,51.9993282,13.6881675,91.1,299,36.0,0.00
# Lap 0: 00:00:09.950
# Pit Lane Entry
10.000,1559734121.000,1,1,51.9993283,13.6881679,91.1,299,36.0,0.00
40.000,1559734151.000,1,1,51.9993283,13.6881679,91.1,299,36.0,0.00
# Lap 1: 00:00:30.000
# Session End
"""
RACECHRONO_LEGACY = """Lap #,Timestamp (s),Distance (m),Locked satellites,Latitude (deg),Longitude (deg),Speed (m/s)
,1286020000.00,0,8,52.1000000,13.2000000,10
,1286020000.10,1,8,52.1000010,13.2000010,10
1,1286020000.20,2,8,52.1000020,13.2000020,10
2,1286020000.30,3,8,52.1000030,13.2000030,10
2,1286020000.40,4,8,52.1000040,13.2000040,10
"""
HARRYS = """Harry's GPS LapTimer
INDEX,LAPINDEX,DATE,TIME,LATITUDE,LONGITUDE,SPEED_KPH,SPEED_MPH,HEIGHT_M,GPSFIX[NOFIX/2D/3D/UNKNOWN],LATERALG
1,381,14-AUG-16,16:57:02.65,34.874742,-118.258734,36.0,22.4,740.0,3,0.15
2,381,14-AUG-16,16:57:02.75,34.874752,-118.258734,36.0,22.4,740.0,3,0.15
"""
AIM = """"Format","AiM CSV File"
"Session","X"
"Date","Saturday, June 15, 2024"
"Time","2:30 PM"
"Sample Rate","20"
"Beacon Markers","0.05","0.1","900.0"

"Time","GPS Speed","GPS Latitude","GPS Longitude","GPS PosAccuracy","RPM"
"s","km/h","deg","deg","mm","rpm"

"0.000","36","52.1","13.2","1630","5000"
"0.050","36","52.1","13.2","1630","5000"
"0.100","36","52.1","13.2","1630","5000"
"""
RACEBOX = """Format,RaceBox CSV
Data Source,RaceBox Mini 1234567890
Laps,1

Record,Time,Latitude,Longitude,Altitude,Speed,GForceX,GForceY,GForceZ,Lap,GyroX,GyroY,GyroZ
1,2026-08-02T01:16:08.240Z,49.1839609,-123.1451008,6.8,36.0,1.0,-0.038,0.997,0,180,-0.68,-2.78
2,2026-08-02T01:16:08.280Z,49.1839610,-123.1451008,6.8,36.0,1.0,-0.064,1.000,1,180,-1.11,-5.39
3,2026-08-02T01:16:09.280Z,49.1839610,-123.1451008,6.8,36.0,1.0,-0.064,1.000,2,180,-1.11,-5.39
"""
GPSLOGGER = """time,lat,lon,elevation,accuracy,bearing,speed,satellites,provider,hdop,timestamp_ms,starttimestamp_ms
2024-06-15T10:00:00.000Z,52.1,13.2,34.0,5.0,12.0,1.5,8,gps,0.8,1718445600000,1718445600000
"""
OBS = """OBSDataFormat=2&DeviceId=387c&TimeZone=GPS
Date;Time;Millis;Latitude;Longitude;Speed
26.06.2021;14:39:39;5537;48;9;36
"""
G1000 = """#airframe_info, log_version="1.00", airframe_name="Cessna T182T"
#yyy-mm-dd, hh:mm:ss,   hh:mm,      degrees,      degrees,  ft msl,     kt,    deg
  Lcl Date, Lcl Time, UTCOfst,     Latitude,    Longitude,  AltMSL, GndSpd,    TRK
2014-03-29, 22:50:22,  -07:00,   40.2171326, -111.7177124,  1000.0,  10.00,  180.0
"""
COLUMBUS = """INDEX,TAG,DATE,TIME,LATITUDE N/S,LONGITUDE E/W,HEIGHT,SPEED,HEADING
1\0\0,T,090204,063821,31.769598N,035.208829E,787\0\0,36\0\0,318
2\0\0,T,090204,063822,31.769621N,035.208773E,787\0\0,36\0\0,295
"""
MTK = """INDEX,RCR,DATE,TIME,VALID,LATITUDE,N/S,LONGITUDE,E/W,HEIGHT,SPEED,DISTANCE,
1,T,2005/05/01,10:12:47,SPS,51.311770,N,12.413179,E,146,36.0,0.000000
"""
ARTEMIS = """rtcDate,rtcTime,gps_Date,gps_Time,gps_Lat,gps_Long,gps_Alt,gps_AltMSL,gps_GroundSpeed,gps_Heading
01/01/2000,00:00:07.21,2024/06/15,10:00:00.20,521000000,132000000,99000,52000,10000,9000000
01/01/2000,00:00:07.31,2024/06/15,10:00:00.30,521000001,132000000,99000,52000,10000,9000000
"""
TRACCAR = """id,deviceId,protocol,serverTime,deviceTime,fixTime,valid,latitude,longitude,altitude,speed
1,7,osmand,2024-06-15T10:00:05.000+00:00,2024-06-15T10:00:01.000+00:00,2024-06-15T10:00:00.000+00:00,true,52.1,13.2,9,36
"""
FLIGHTRADAR = """Timestamp,UTC,Callsign,Position,Altitude,Speed,Direction
1718445600,2024-06-15T10:00:00Z,TST1,"52.1,13.2",1000,36,84
1718445630,2024-06-15T10:00:30Z,TST1,"52.2,13.3",1100,36,84
"""
FORCES = "acceleration_x_mps2"


def read(text: str) -> tuple[pa.Table, Findings, str, float]:
    data = text.encode()
    claim = READER.recognise(data, Origin())
    assert claim is not None
    findings = Findings()
    table = pa.Table.from_batches(list(READER.read(io.BytesIO(data), Origin(), findings)))
    return table, findings, claim.reason, claim.confidence


def racechrono_3(laps: str) -> str:
    rows = [
        f"{1767150797.44 + i / 10:.2f},0,{'' if lap == '-' else lap},{i / 10},1.1,3.0,31.0,121.0,{10 + i},99.0,99.0"
        for i, lap in enumerate(laps)
    ]
    return RACECHRONO_3 + "\n".join(rows) + "\n"


@pytest.mark.parametrize(
    ("text", "title", "first", "mps"),
    [
        (racechrono_3("-11"), "RaceChrono CSV v3", "2025-12-31 03:13:17.440000", 10.0),
        (RACECHRONO_2, "RaceChrono CSV v2", "2021-05-13 10:21:17.100000", 10.0),
        (RACECHRONO_LEGACY, "RaceChrono CSV (legacy)", "2010-10-02 11:46:40", 10.0),
        (TRACKADDICT, "TrackAddict CSV", "2019-06-05 11:28:31", 10.0),
        (HARRYS, "Harry's LapTimer CSV", "2016-08-14 16:57:02.650000", 10.0),
        (AIM, "AiM CSV", "2024-06-15 14:30:00", 10.0),
        (RACEBOX, "RaceBox CSV", "2026-08-02 01:16:08.240000", 10.0),
        (GPSLOGGER, "GPSLogger CSV", "2024-06-15 10:00:00", 1.5),
        (OBS, "OpenBikeSensor CSV", "2021-06-26 14:39:21", 10.0),
        (G1000, "Garmin avionics log", "2014-03-30 05:50:22", 5.144444),
        (COLUMBUS, "Columbus logger CSV", "2009-02-04 06:38:21", 10.0),
        (MTK, "MTK logger CSV", "2005-05-01 10:12:47", 10.0),
        (ARTEMIS, "OpenLog Artemis CSV", "2024-06-15 10:00:00.200000", 10.0),
        (FLIGHTRADAR, "Flightradar24 CSV", "2024-06-15 10:00:00", 18.52),
        (TRACCAR, "Traccar CSV", "2024-06-15 10:00:00", 18.52),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 30 else "",
)
def test_each_program_is_known_by_its_file(text: str, title: str, first: str, mps: float) -> None:
    table, findings, reason, confidence = read(text)
    assert reason.startswith(title)
    assert findings.dialect == reason
    assert confidence > 0.9
    assert str(table["timestamp"][0].as_py().replace(tzinfo=None)) == first
    assert table["speed_mps"][0].as_py() == pytest.approx(mps, rel=1e-6)
    assert findings.rejected == {}
    assert findings.bad_cells == {}


def test_racechrono_tells_repeated_names_apart_by_their_source() -> None:
    table, _, _, _ = read(racechrono_3("-11"))
    assert {"speed (calc)", "speed (200: obd)"} <= set(table.schema.names)
    assert table["hdop"][0].as_py() == pytest.approx(1.1)
    assert table["fix_type"][0].as_py() == "3d"


@pytest.mark.parametrize(
    ("laps", "numbers"),
    [("--111222--", [1, 2]), ("8889999aaa", [9]), ("5555", [5]), ("---", []), ("-11-33-", [1, 3])],
    ids=["blank around", "parts at both ends", "one lap", "none", "a gap"],
)
def test_racechrono_laps_are_those_that_the_file_shows_whole(laps: str, numbers: list[int]) -> None:
    _, findings, _, _ = read(racechrono_3(laps.replace("a", "7")))
    assert [lap.number for lap in findings.laps] == numbers


def test_a_lap_lasts_until_the_next_row_with_another_number() -> None:
    _, findings, _, _ = read(racechrono_3("--111222--"))
    assert findings.laps[0].end_time == findings.laps[1].start_time
    assert findings.laps[0].end_time - findings.laps[0].start_time == timedelta(milliseconds=300)


def test_trackaddict_ends_laps_by_comments() -> None:
    table, findings, _, _ = read(TRACKADDICT)
    assert [(lap.number, lap.end_time - lap.start_time) for lap in findings.laps] == [
        (0, timedelta(seconds=9.95)),
        (1, timedelta(seconds=30)),
    ]
    assert table["source_row"].to_pylist() == [3, 4, 7, 8]
    assert table[FORCES][0].as_py() == pytest.approx(9.80665)
    assert findings.device is not None
    assert (findings.device.manufacturer, findings.device.model) == ("samsung", "SM-N960F")


def test_trackaddict_tells_how_many_rows_repeat_a_fix_and_keeps_them() -> None:
    table, findings, _, _ = read(TRACKADDICT)
    assert "1 of 4 rows repeat the last fix (GPS_Update = 0); they are kept." in findings.inferred
    assert table["GPS_Update"].to_pylist() == [1, 0, 1, 1]
    assert findings.rejected == {}
    _, findings, _, _ = read(TRACKADDICT.replace(",0,0,51.", ",0,1,51."))
    assert not any("repeat" in sentence for sentence in findings.inferred)


@pytest.mark.parametrize(
    ("written", "manufacturer", "model"),
    [
        ("samsung SM-N960F", "samsung", "SM-N960F"),
        ("iPhone10,5", "Apple", "iPhone10,5"),
        ("Apple iPad7,3", "Apple", "iPad7,3"),
        ("Pixel", None, "Pixel"),
    ],
)
def test_trackaddict_names_the_phone(written: str, manufacturer: str | None, model: str) -> None:
    _, findings, _, _ = read(TRACKADDICT.replace("samsung SM-N960F", written))
    assert findings.device is not None
    assert (findings.device.manufacturer, findings.device.model) == (manufacturer, model)


def test_racechrono_legacy_has_satellites_and_only_whole_laps() -> None:
    table, findings, _, _ = read(RACECHRONO_LEGACY)
    assert table["satellites"].to_pylist() == [8] * 5
    assert [(lap.number, lap.end_time - lap.start_time) for lap in findings.laps] == [(1, timedelta(milliseconds=100))]


def test_aim_marks_end_laps_as_far_as_the_rows_reach() -> None:
    table, findings, _, _ = read(AIM)
    assert [lap.number for lap in findings.laps] == [1, 2]
    assert table["horizontal_accuracy_m"][0].as_py() == pytest.approx(1.63)
    assert findings.time_basis is TimeBasis.DEVICE_LOCAL


def test_racebox_gives_forces_rates_laps_and_its_device() -> None:
    table, findings, _, _ = read(RACEBOX)
    assert table[FORCES][0].as_py() == pytest.approx(9.80665)
    assert table["rotation_rate_x_radps"][0].as_py() == pytest.approx(3.14159265, rel=1e-6)
    assert [(lap.number, lap.end_time - lap.start_time) for lap in findings.laps] == [(1, timedelta(seconds=1))]
    assert findings.device is not None
    assert (findings.device.model, findings.device.serial_number) == ("RaceBox Mini", "1234567890")


def test_gps_time_loses_its_leap_seconds_and_says_so() -> None:
    _, findings, _, _ = read(OBS)
    assert any("GPS time" in sentence for sentence in findings.inferred)
    assert findings.time_basis is TimeBasis.GNSS_UTC


def test_flightradar_has_its_positions_in_one_cell() -> None:
    table, _, _, _ = read(FLIGHTRADAR)
    assert (table["latitude_deg"][1].as_py(), table["longitude_deg"][1].as_py()) == (52.2, 13.3)
    assert table["altitude_m"][0].as_py() == pytest.approx(304.8)


def test_artemis_gives_the_numbers_of_its_receiver() -> None:
    table, _, _, _ = read(ARTEMIS)
    assert table["latitude_deg"][0].as_py() == pytest.approx(52.1)
    assert table["altitude_m"][0].as_py() == pytest.approx(52.0)
    assert table["course_deg"][0].as_py() == pytest.approx(90.0)


def test_avionics_give_feet_knots_and_an_offset() -> None:
    table, findings, _, _ = read(G1000)
    assert table["altitude_m"][0].as_py() == pytest.approx(304.8)
    assert table["course_deg"][0].as_py() == 180.0
    assert findings.device is not None
    assert findings.device.name == "Cessna T182T"


def test_one_number_is_not_both_latitude_and_longitude() -> None:
    with pytest.raises(TelemetryError) as refused:
        read(FLIGHTRADAR.replace('"52.1,13.2"', "52.1").replace('"52.2,13.3"', "52.2"))
    assert refused.value.code is Code.CSV_NO_POSITION_COLUMNS


def test_a_last_lap_still_being_driven_is_none() -> None:
    lines = [f"{1718445600 + i},52.1,13.2,{lap}" for i, lap in enumerate("000111222")]
    _, findings, _, _ = read("time,lat,lon,lap\n" + "\n".join(lines) + "\n")
    assert [lap.number for lap in findings.laps] == [1]


def alfano(laps: int, rows: int, heading: str, *, every_row: bool = True) -> str:
    lines = [
        f"{lap if every_row or not i else ''};{i / 10};10,250;36.0;0.1;{heading};52.{lap * rows + i:06};13.5;100"
        for lap in range(1, laps + 1)
        for i in range(rows)
    ]
    header = "Date;15/06/2024\nHeure;10:00:00\n\nLap;Time;RPM;Speed GPS;Gf. X;Orientation;Lat.;Lon.;Altitude\n"
    return header + "\n".join(lines) + "\n"


@pytest.mark.parametrize("every_row", [True, False])
def test_alfano_puts_its_laps_one_after_the_other(every_row: bool) -> None:
    table, findings, reason, _ = read(alfano(3, 20, "9,012", every_row=every_row))
    assert reason.startswith("Alfano CSV")
    times = table["timestamp"].to_pylist()
    assert {b - a for a, b in itertools.pairwise(times)} == {timedelta(milliseconds=100)}
    assert str(times[0].replace(tzinfo=None)) == "2024-06-15 10:00:00"
    assert table["course_deg"][0].as_py() == pytest.approx(90.12, rel=1e-6)
    assert table["speed_mps"][0].as_py() == pytest.approx(10.0)
    assert table["RPM"][0].as_py() == 10250
    assert [(lap.number, lap.end_time - lap.start_time) for lap in findings.laps] == [
        (1, timedelta(seconds=2)),
        (2, timedelta(seconds=2)),
    ]
    assert any("one after the other" in sentence for sentence in findings.inferred)


def test_alfano_in_whole_degrees_is_left_so() -> None:
    table, _, reason, _ = read(alfano(2, 20, "90"))
    assert reason.startswith("Alfano CSV")
    assert table["course_deg"][0].as_py() == 90.0


def test_laps_run_on_over_blocks_and_over_rows_without_time() -> None:
    running = RunningTime()
    tenth = 100_000
    times = [0, tenth, None, 3 * tenth, 0, tenth, 2 * tenth, None, 0, tenth]
    whole = RunningTime().of(pa.array(times, pa.int64())).to_pylist()
    parts = [t for cut in (times[:3], times[3:4], times[4:]) for t in running.of(pa.array(cut, pa.int64())).to_pylist()]
    assert whole == parts
    assert whole[:4] == [0, tenth, None, 3 * tenth]
    assert whole[5] - whole[4] == tenth
    assert whole[4] > whole[3]
    assert whole[8] > whole[6]

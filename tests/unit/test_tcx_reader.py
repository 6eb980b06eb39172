"""The TCX reader: points, channels, laps, devices, courses, and what it refuses."""

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from fixtures.generator import Recipe, write
from telemetry.domain.laps import MOST_LAPS
from telemetry.errors import Code, TelemetryError
from telemetry.formats.reader import FileDevice, FileLap, Findings, Origin
from telemetry.formats.tcx import READER, laps, recorder
from telemetry.formats.tcx_points import CreatorTexts, LapTexts
from telemetry.recording import canonicalise
from telemetry.streams.channels import CHANNELS, SOURCE_NAME, UNIT

V2 = "http://www.garmin.com/xmlschemas/TrainingCenterDatabase/v2"
EXTENSION = "http://www.garmin.com/xmlschemas/ActivityExtension/v2"
TIME = "<Time>2024-05-01T10:00:00.5Z</Time>"
PLACE = "<Position><LatitudeDegrees>52.5</LatitudeDegrees><LongitudeDegrees>0</LongitudeDegrees></Position>"
POINT = f"<Trackpoint>{TIME}{PLACE}</Trackpoint>"


def document(body: str) -> bytes:
    return f'<TrainingCenterDatabase xmlns="{V2}" xmlns:x="{EXTENSION}">{body}</TrainingCenterDatabase>'.encode()


def lap(*tracks: str, start: str = "2024-05-01T10:00:00Z", seconds: str = "60") -> str:
    inner = "".join(f"<Track>{track}</Track>" for track in tracks)
    return f'<Lap StartTime="{start}"><TotalTimeSeconds>{seconds}</TotalTimeSeconds>{inner}</Lap>'


def activity(*laps: str, creator: str = "") -> str:
    return f"<Activities><Activity Sport='Other'>{''.join(laps)}{creator}</Activity></Activities>"


def read(data: bytes) -> tuple[list[dict[str, Any]], Findings, TelemetryError | None, pa.Schema]:
    findings = Findings()
    batches: list[pa.RecordBatch] = []
    error = None
    try:
        batches += READER.read(io.BytesIO(data), Origin(), findings)
    except TelemetryError as caught:
        error = caught
    tables = [pa.Table.from_batches([batch]) for batch in batches]
    table = pa.concat_tables(tables, promote_options="default") if tables else pa.table({})
    return table.to_pylist(), findings, error, table.schema


def test_a_point_with_everything() -> None:
    inner = (
        f"{TIME}{PLACE}<AltitudeMeters>101.5</AltitudeMeters><DistanceMeters>7.25</DistanceMeters>"
        "<HeartRateBpm><Value>150</Value></HeartRateBpm><Cadence>88</Cadence><SensorState>Present</SensorState>"
        '<Extensions><x:TPX CadenceSensor="Bike"><x:Speed>12.5</x:Speed><x:Watts>250</x:Watts>'
        "<x:RunCadence>80</x:RunCadence></x:TPX><Slope>1.5</Slope></Extensions>"
    )
    rows, findings, error, schema = read(document(activity(lap(f"<Trackpoint>{inner}</Trackpoint>"))))
    assert error is None
    assert rows == [
        {
            "timestamp": datetime(2024, 5, 1, 10, 0, 0, 500_000, tzinfo=UTC),
            "latitude_deg": 52.5,
            "longitude_deg": 0,
            "altitude_m": 101.5,
            "speed_mps": 12.5,
            "source_row": 1,
            "flags": 16,
            "heart_rate_bpm": 150,
            "cadence_rpm": 88,  # TCX's own wins over the extension's
            "power_w": 250,
            "DistanceMeters": 7.25,
            "Slope": 1.5,
            "RunCadence": 80,
        }
    ]
    assert schema.field("RunCadence").metadata[UNIT] == b"rpm"
    for name in set(schema.names) & set(CHANNELS):
        assert schema.field(name).type == CHANNELS[name].type
    assert schema.field("DistanceMeters").metadata == {UNIT: b"m", SOURCE_NAME: b"DistanceMeters"}
    assert findings.inferred == ["text that is no number is not kept: SensorState, TPX.CadenceSensor"]


@pytest.mark.parametrize(
    ("opening", "name", "closing"),
    [
        ("<x:TPX>", "x:Speed", "</x:TPX>"),
        (f'<TPX xmlns="{EXTENSION}">', "Speed", "</TPX>"),
        (f'<q:TPX xmlns:q="{EXTENSION}">', "q:Speed", "</q:TPX>"),
        ("<TPX>", "Speed", "</TPX>"),
        ("<undeclared:TPX>", "undeclared:Speed", "</undeclared:TPX>"),
    ],
)
def test_speed_under_any_prefix(opening: str, name: str, closing: str) -> None:
    extension = f"<Extensions>{opening}<{name}>3.5</{name}>{closing}</Extensions>"
    points = POINT.replace("</Trackpoint>", f"{extension}</Trackpoint>") * 9
    rows, _, error, _ = read(document(activity(lap(points))))
    assert error is None
    assert [row["speed_mps"] for row in rows] == [3.5] * 9


def test_points_without_position_keep_their_sensors() -> None:
    bare = f"<Trackpoint>{TIME}<HeartRateBpm><Value>99</Value></HeartRateBpm></Trackpoint>"
    empty = f"<Trackpoint>{TIME}<Position/></Trackpoint>"
    rows, findings, error, _ = read(document(activity(lap(bare + empty + POINT))))
    assert error is None
    assert [row["latitude_deg"] for row in rows] == [None, None, 52.5]
    assert rows[0]["heart_rate_bpm"] == 99
    assert [row["source_row"] for row in rows] == [1, 2, 3]
    assert findings.bad_cells == {}


def test_segments_begin_with_activities_and_after_pauses_not_with_laps() -> None:
    later = lap(POINT, start="2024-05-01T10:01:00Z")
    body = activity(lap(POINT, POINT * 2), later) + activity(later, later)
    rows, _, error, _ = read(document(body))
    assert error is None
    assert [row["flags"] for row in rows] == [16, 16, 0, 0, 16, 0]


def moment(minute: int, second: float = 0) -> datetime:
    return datetime(2024, 5, 1, 10, minute, int(second), int(second % 1 * 1e6), tzinfo=UTC)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([], []),
        ([("2024-05-01T10:00:00Z", "60")], []),
        (
            [("2024-05-01T10:00:00.0Z", "60.5"), ("2024-05-01T12:02:00+02:00", "30")],
            [FileLap(1, moment(0), moment(1, 0.5)), FileLap(2, moment(2), moment(2, 30))],
        ),
        # Without seconds, or with impossible ones, a lap lasts until the next; the last of such is none.
        (
            [("2024-05-01T10:00:00Z", ""), ("2024-05-01T10:01:00Z", "-5"), ("2024-05-01T10:02:00Z", "0")],
            [FileLap(1, moment(0), moment(1)), FileLap(2, moment(1), moment(2))],
        ),
        ([("soon", "60"), ("", "60"), ("2024-05-01T10:02:00Z", "60")], [FileLap(1, moment(2), moment(3))]),
        ([("9999-12-31T23:59:59Z", "60"), ("2024-05-01T10:02:00Z", "1e300")], []),
    ],
)
def test_laps(texts: list[tuple[str, str]], expected: list[FileLap]) -> None:
    assert laps([LapTexts(start, seconds) for start, seconds in texts]) == expected


def test_laps_of_the_document() -> None:
    _, findings, _, _ = read(
        document(activity(lap(POINT), lap("", start="2024-05-01T10:01:00Z", seconds="<b/>")) + activity(lap(POINT)))
    )
    assert [found.number for found in findings.laps] == [1, 2]
    assert findings.laps[0].start_time == findings.laps[1].start_time == moment(0)


@pytest.mark.parametrize(
    ("creator", "expected"),
    [
        (CreatorTexts("Garmin Edge 500", "3868018277", "1036"), FileDevice("Garmin", "Edge 500", "3868018277")),
        (CreatorTexts("Forerunner305 (Unit ID 3815748186)", "3815748186", "484"), "3815748186"),
        (CreatorTexts("EDGE705", "3471911100", "625"), FileDevice(None, "EDGE705", "3471911100")),
        (CreatorTexts("Polar Vantage V", "0", "203"), FileDevice("Polar", "Vantage V")),
        (CreatorTexts("Garmin Training Center(r)", "0", "0"), None),
        (CreatorTexts("Some App", "12", "0"), None),
        (CreatorTexts("Some App", "../etc", "7"), None),
        (CreatorTexts(), None),
    ],
)
def test_only_real_devices_are_devices(creator: CreatorTexts, expected: FileDevice | str | None) -> None:
    found = recorder(creator)
    assert (found.serial_number if found and isinstance(expected, str) else found) == expected


def test_the_device_is_the_activitys_own() -> None:
    creator = "<Creator><Name>Garmin Edge 500</Name><UnitId>77</UnitId><ProductID>1036</ProductID></Creator>"
    author = "<Author><Name>Garmin Connect API</Name></Author>"
    _, findings, _, _ = read(document(activity(lap(POINT), creator=creator) + author))
    assert findings.device == FileDevice("Garmin", "Edge 500", "77")
    assert findings.dialect == "TCX by Garmin Edge 500"
    _, findings, _, _ = read(document(activity(lap(POINT)) + author))
    assert (findings.device, findings.dialect) == (None, "TCX by Garmin Connect API")


def test_a_course_is_read_only_where_nothing_was_recorded() -> None:
    course = (
        "<Courses><Course><Name>c</Name><Lap><TotalTimeSeconds>9</TotalTimeSeconds></Lap>"
        f"<Track>{POINT * 3}</Track></Course></Courses>"
    )
    rows, findings, error, _ = read(document(course))
    assert error is None
    assert len(rows) == 3
    assert findings.laps == []
    assert findings.inferred == ["a course: a program may have computed its times instead of recording them"]
    rows, findings, error, _ = read(document(activity(lap(POINT)) + course))
    assert len(rows) == 1
    assert findings.inferred == []


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("", Code.NO_POSITION_DATA),
        (activity(lap("")), Code.NO_POSITION_DATA),
        (activity(lap(f"<Trackpoint>{TIME}</Trackpoint>" * 9)), Code.NO_POSITION_DATA),
        (activity(lap(f"<Trackpoint>{PLACE}</Trackpoint>" * 9)), Code.NO_TIME_DATA),
        ("</Activities>", Code.XML_MALFORMED),
    ],
)
def test_codes(body: str, code: Code, tmp_path: Path) -> None:
    with pytest.raises(TelemetryError) as caught:
        canonicalise(io.BytesIO(document(body)), Origin(), directory=tmp_path)
    assert caught.value.code is code


def test_a_document_type_is_refused() -> None:
    _, _, error, _ = read(b"<!DOCTYPE x>" + document(activity(lap(POINT))))
    assert error is not None
    assert error.code is Code.XML_FORBIDDEN


@pytest.mark.parametrize(
    ("head", "claimed"),
    [
        (document(""), True),
        (b'\xef\xbb\xbf\n<?xml version="1.0"?><t:TrainingCenterDatabase xmlns:t="urn:x">', True),
        (b"<gpx><TrainingCenterDatabase/></gpx>", False),
        (b"TrainingCenterDatabase", False),
    ],
)
def test_recognition(head: bytes, claimed: bool) -> None:
    found = READER.recognise(head, Origin("x.csv"))
    assert (found is not None) == claimed


def test_a_generated_drive(tmp_path: Path) -> None:
    path = tmp_path / "drive.tcx"
    truth = write(Recipe(format="tcx", rows=3000, sensors=True), path)
    canonical = canonicalise(io.BytesIO(path.read_bytes()), Origin(path.name), directory=tmp_path)
    assert canonical.files[0].row_count == 3000
    starts = [datetime.fromisoformat(found["startTime"]) for found in truth["laps"]]  # type: ignore[attr-defined]
    assert [found.start_time for found in canonical.laps] == starts


def test_laps_after_the_most_are_counted_and_leave_the_last_one_alone() -> None:
    kept = lap(POINT, seconds="") * MOST_LAPS
    findings = read(document(activity(kept, lap(POINT, start="2024-05-01T11:00:00Z", seconds="7") * 3)))[1]
    assert (findings.laps, findings.laps_left_out) == ([], 3)
    findings = read(document(activity(lap(POINT) * (MOST_LAPS + 2))))[1]
    assert (len(findings.laps), findings.laps_left_out) == (MOST_LAPS, 2)

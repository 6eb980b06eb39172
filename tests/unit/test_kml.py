"""The KML reader: tracks whose times and places stand apart, dated placemarks, sensor arrays."""

import io
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from telemetry.errors import Code, TelemetryError
from telemetry.formats import kml
from telemetry.formats.kml import READER, _Times
from telemetry.formats.reader import Findings, Origin, TimeBasis
from telemetry.streams.channels import CHANNELS

START = datetime(2024, 5, 1, 10, tzinfo=UTC)
HEAD = '<?xml version="1.0"?><kml xmlns="http://www.opengis.net/kml/2.2" xmlns:gx="http://www.google.com/kml/ext/2.2">'


def when(second: int) -> str:
    return f"<when>{(START + timedelta(seconds=second)).isoformat()}</when>"


def coord(second: int) -> str:
    return f"<gx:coord>{8 + second / 1e4:.6f} {47 + second / 1e4:.6f} {500 + second}</gx:coord>"


def track(inner: str) -> bytes:
    return f"{HEAD}<Document><Placemark><gx:Track>{inner}</gx:Track></Placemark></Document></kml>".encode()


def read(data: bytes) -> tuple[list[pa.RecordBatch], Findings]:
    findings = Findings()
    return list(READER.read(io.BytesIO(data), Origin(), findings)), findings


@pytest.mark.parametrize("interleaved", [True, False])
def test_times_and_places_may_interleave_or_not(interleaved: bool) -> None:
    seconds = range(3)
    whens, coords = [when(s) for s in seconds], [coord(s) for s in seconds]
    inner = "".join(a + b for a, b in zip(whens, coords, strict=True)) if interleaved else "".join(whens + coords)
    [batch], findings = read(track(inner))
    assert [(t - START).total_seconds() for t in batch.column("timestamp").to_pylist()] == [0, 1, 2]
    assert batch.column("longitude_deg").to_pylist() == pytest.approx([8, 8.0001, 8.0002])
    assert batch.column("altitude_m").to_pylist() == [500, 501, 502]
    assert batch.column("flags").to_pylist() == [16, 0, 0]
    assert findings.rows_read == 3


def test_times_without_a_zone_are_told() -> None:
    [batch], findings = read(track((when(0) + when(1)).replace("+00:00", "") + when(2) + "".join(map(coord, range(3)))))
    assert [(t - START).total_seconds() for t in batch.column("timestamp").to_pylist()] == [0, 1, 2]
    assert findings.time_basis is TimeBasis.DEVICE_LOCAL
    assert findings.inferred == ["2 times without a zone were read as UTC."]
    assert read(track(when(0) + coord(0)))[1].time_basis is TimeBasis.GNSS_UTC


def test_values_of_dated_placemarks_are_counted() -> None:
    """Not where a track is the recording, and those placemarks are not."""
    values = '<ExtendedData><Data name="Speed"><value>10</value></Data><Data name="Gear"><value>3</value></Data>'
    values += "</ExtendedData>"
    point = "<Point><coordinates>8,47,3</coordinates></Point>"
    dated = f"<Placemark><TimeStamp>{when(5)}</TimeStamp>{values}{point}</Placemark>"
    document = f"{HEAD}<Document>{dated * 2}<Placemark>{values}{point}</Placemark></Document></kml>"
    assert read(document.encode())[1].inferred == ["values of placemarks were not read: 2 Gear, 2 Speed"]
    with_track = document.replace(
        "</Document>", f"<Placemark><gx:Track>{when(0)}{coord(0)}</gx:Track></Placemark></Document>"
    )
    assert read(with_track.encode())[1].inferred == []


def test_many_blocks_pair_up_in_bounded_memory() -> None:
    count = 40_000
    data = track("".join(when(s) for s in range(count)) + "".join(coord(s) for s in range(count)))
    batches, findings = read(data)
    assert len(batches) > 2
    seconds = [(t - START).total_seconds() for batch in batches for t in batch.column("timestamp").to_pylist()]
    assert seconds == list(range(count))
    assert findings.rows_read == count


def test_counts_that_do_not_match_are_told() -> None:
    [batch], findings = read(track(when(0) + when(1) + when(2) + coord(0) + coord(1)))
    assert batch.num_rows == 2
    assert findings.rejected["unpaired_point"].count == 1


def test_places_that_no_time_precedes_are_given_up_in_bounded_memory() -> None:
    count = 100_000
    whens = "".join(map(when, range(count + 2)))
    batches, findings = read(track("".join(map(coord, range(count))) + whens + coord(count) + coord(count + 1)))
    assert sum(batch.num_rows for batch in batches) + findings.rejected["unpaired_point"].count == findings.rows_read
    assert findings.rows_read == count + 2
    assert [(t - START).total_seconds() for t in batches[-1].column("timestamp").to_pylist()][-1] == count + 1


def test_a_time_or_place_that_cannot_be_read_is_null() -> None:
    [batch], _ = read(track("<when>soon</when><gx:coord>8 47</gx:coord>" + when(1) + "<gx:coord></gx:coord>"))
    assert batch.column("timestamp").null_count == 1
    assert batch.column("latitude_deg").to_pylist() == [47.0, None]
    assert batch.column("altitude_m").to_pylist() == [None, None]


def test_sensor_arrays_follow_their_track() -> None:
    values = "<gx:value>120</gx:value><gx:value>121</gx:value>"
    array = f'<ExtendedData><gx:SimpleArrayData name="heartrate">{values}</gx:SimpleArrayData></ExtendedData>'
    batches, findings = read(track(when(0) + coord(0) + when(1) + coord(1) + array))
    sensor = next(batch for batch in batches if "heart_rate_bpm" in batch.schema.names)
    assert sensor.column("heart_rate_bpm").to_pylist() == [120, 121]
    assert sensor.column("timestamp").to_pylist() == [START, START + timedelta(seconds=1)]
    assert "latitude_deg" not in sensor.schema.names
    assert findings.rows_read == 2


def array_of(name: str, *values: float) -> str:
    inner = "".join(f"<gx:value>{value}</gx:value>" for value in values)
    return f'<ExtendedData><gx:SimpleArrayData name="{name}">{inner}</gx:SimpleArrayData></ExtendedData>'


def points_of(batches: list[pa.RecordBatch]) -> pa.Table:
    tables = [pa.table(batch) for batch in batches if "latitude_deg" in batch.schema.names]
    return pa.concat_tables(tables, promote_options="default")


PLACES = "".join(when(second) + coord(second) for second in range(3))


@pytest.mark.parametrize(
    ("name", "channel"),
    [
        ("speed", "speed_mps"),
        ("bearing", "course_deg"),
        ("accuracy", "horizontal_accuracy_m"),
        ("accuracy_horizontal", "horizontal_accuracy_m"),
    ],
)
def test_arrays_of_the_places_are_of_the_track(name: str, channel: str) -> None:
    batches, findings = read(track(PLACES + array_of(name, 1.5, 2.5)))
    assert points_of(batches)[channel].to_pylist() == [1.5, 2.5, None]
    assert findings.rows_read == 3
    assert findings.inferred == [f"a track's array {name!r} was read in {CHANNELS[channel].unit}"]


def test_angles_give_the_course_unless_an_array_does() -> None:
    angles = "".join(f"<gx:angles>{90 + second} 1 {second}</gx:angles>" for second in range(3))
    table = points_of(read(track(PLACES + angles))[0])
    assert table["course_deg"].to_pylist() == [90, 91, 92]
    assert (table["tilt"].to_pylist(), table["roll"].to_pylist()) == ([1, 1, 1], [0, 1, 2])
    assert table.schema.field("roll").metadata[b"unit"] == b"deg"
    table = points_of(read(track(PLACES + angles + array_of("bearing", 5, 6, 7)))[0])
    assert (table["course_deg"].to_pylist(), table["heading"].to_pylist()) == ([5, 6, 7], [90, 91, 92])


def test_an_array_of_texts_is_named() -> None:
    _, findings = read(track(PLACES + array_of("trackpoint_type", 1).replace("1</gx", "IDLE</gx")))
    assert findings.inferred == ["text that is no number is not kept: trackpoint_type"]


def test_arrays_of_each_track_are_its_own_over_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kml, "BLOCK_BYTES", 100)
    one = f"<gx:Track>{PLACES}{array_of('speed', 1, 2, 3)}</gx:Track>"
    two = f"<gx:Track>{PLACES.replace('T10:', 'T11:')}{array_of('speed', 4, 5)}</gx:Track>"
    table = points_of(read(f"{HEAD}<Document>{one}{two}</Document></kml>".encode())[0])
    assert table["speed_mps"].to_pylist() == [1, 2, 3, 4, 5, None]
    assert table["source_row"].to_pylist() == [1, 2, 3, 4, 5, 6]


def test_arrays_of_a_track_too_long_to_wait_are_channels_with_their_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kml, "MAX_POINTS_HELD", 2)
    batches, _ = read(track(PLACES + array_of("speed", 1, 2, 3)))
    assert points_of(batches).num_rows == 3
    speeds = batches[-1]
    assert speeds.column("speed").to_pylist() == [1, 2, 3]
    assert speeds.schema.field("speed").metadata[b"unit"] == b"m/s"


PLACEMARK = (
    f"<Placemark><TimeStamp>{when(5)}</TimeStamp><Point><coordinates>8.5,47.5,3</coordinates></Point></Placemark>"
)


def test_dated_placemarks_count_only_without_a_track() -> None:
    alone = f"{HEAD}<Document>{PLACEMARK * 2}</Document></kml>".encode()
    [batch], _ = read(alone)
    assert batch.column("latitude_deg").to_pylist() == [47.5, 47.5]
    with_track = alone.replace(
        b"</Document>", b"<gx:Track>" + (when(0) + coord(0)).encode() + b"</gx:Track></Document>"
    )
    [batch], _ = read(with_track)
    assert batch.column("latitude_deg").to_pylist() == [47.0]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("<Placemark><LineString><coordinates>8,47 8,48</coordinates></LineString></Placemark>", Code.NO_TIME_DATA),
        ("<Placemark><name>nothing</name></Placemark>", Code.NO_POSITION_DATA),
        ("<Placemark>", Code.XML_MALFORMED),
    ],
)
def test_what_cannot_be_used_has_its_code(content: str, code: Code) -> None:
    with pytest.raises(TelemetryError) as refused:
        read(f"{HEAD}{content}</kml>".encode())
    assert refused.value.code is code


def test_recognition_by_the_root_element() -> None:
    assert READER.recognise(HEAD.encode(), Origin())
    assert READER.recognise(b"<gpx></gpx>", Origin()) is None


def test_times_in_front_of_their_places_take_little_room() -> None:
    times = _Times()
    for block in range(4):
        times.add(pa.array(range(block * 10**10, (block + 1) * 10**10, 10**6), pa.int64()))
    assert times.count == 40_000
    assert times.read(9_999, 3).to_pylist() == [9_999 * 10**6, 10_000 * 10**6, 10_001 * 10**6]
    assert sum(len(packed) for *_, packed in times._blocks) < times.count // 10
    assert all(isinstance(packed, bytes) for *_, packed in times._blocks)


def test_every_point_of_a_dated_placemark_counts() -> None:
    points = "".join(f"<Point><coordinates>8.{n},47.{n}</coordinates></Point>" for n in range(2))
    stamped = f"<Placemark><TimeStamp>{when(5)}</TimeStamp><MultiGeometry>{points}</MultiGeometry></Placemark>"
    [batch], _ = read(f"{HEAD}{stamped}</kml>".encode())
    assert batch.column("longitude_deg").to_pylist() == [8.0, 8.1]
    assert batch.column("timestamp").to_pylist() == [START + timedelta(seconds=5)] * 2


def test_a_time_behind_its_point_counts_too() -> None:
    stamp = f"<TimeStamp>{when(5)}</TimeStamp>"
    placemark = PLACEMARK.replace(stamp, "").replace("</Point>", f"</Point>{stamp}")
    [batch], _ = read(f"{HEAD}{placemark}{PLACEMARK}</kml>".encode())
    assert batch.column("timestamp").to_pylist() == [START + timedelta(seconds=5)] * 2


def test_the_time_of_a_view_is_not_the_time_of_its_placemark() -> None:
    view = "<LookAt><gx:TimeStamp><when>1999-01-01T00:00:00Z</when></gx:TimeStamp></LookAt>"
    [batch], _ = read(f"{HEAD}{PLACEMARK.replace('<Point>', view + '<Point>')}</kml>".encode())
    assert batch.column("timestamp").to_pylist() == [START + timedelta(seconds=5)]


def test_a_day_a_month_and_a_year_are_their_beginning() -> None:
    point = "<Point><coordinates>8,47</coordinates></Point>"
    texts = ("1997", "1997-07", " 1997-07-16 ", "1997-07-16Z", "97")
    places = [f"<Placemark><TimeStamp><when>{text}</when></TimeStamp>{point}</Placemark>" for text in texts]
    [batch], findings = read(f"{HEAD}{''.join(places)}</kml>".encode())
    days = [(1997, 1, 1), (1997, 7, 1), (1997, 7, 16), (1997, 7, 16)]
    assert batch.column("timestamp").to_pylist() == [*(datetime(*day, tzinfo=UTC) for day in days), None]
    assert len(findings.inferred) == 1


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("<gx:Track><gx:coord>8 47</gx:coord></gx:Track>", Code.NO_TIME_DATA),
        ("<gx:Track><gx:coord></gx:coord></gx:Track>", Code.NO_POSITION_DATA),
        (f"<gx:Track>{when(0)}</gx:Track>", Code.NO_POSITION_DATA),
        ("<LineString><coordinates/></LineString>", Code.NO_POSITION_DATA),
        ("<LineString><coordinates>no,no,0</coordinates></LineString>", Code.NO_POSITION_DATA),
        ("<LineString><coordinates> 8.5 , 47, 0 </coordinates></LineString>", Code.NO_TIME_DATA),
    ],
)
def test_places_without_times_and_times_without_places_have_their_code(content: str, code: Code) -> None:
    with pytest.raises(TelemetryError) as refused:
        read(f"{HEAD}<Placemark>{content}</Placemark></kml>".encode())
    assert refused.value.code is code

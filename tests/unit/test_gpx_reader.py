"""The GPX reader: what it reads, what it refuses, and gpxpy beside it point by point."""

import io
import math
import threading
import time
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gpxpy
import pyarrow as pa
import pytest

from telemetry.errors import Code, TelemetryError
from telemetry.formats.creators import clean_creator, device
from telemetry.formats.gpx import READER, GpxReader
from telemetry.formats.reader import FileDevice, Findings, Origin, TimeBasis
from telemetry.streams.channels import CHANNELS, SOURCE_NAME, UNIT, Flag
from tests import real_recordings

FIXTURES = Path(__file__).parents[2] / "fixtures" / "telemetry"
GARMIN = "http://www.garmin.com/xmlschemas/TrackPointExtension/v2"
HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<gpx version="1.1" creator="Test" xmlns="http://www.topografix.com/GPX/1/1" '
    f'xmlns:g="{GARMIN}" xmlns:d="http://www.cluetrust.com/XML/GPXDATA/1/0">\n'
)
TIME = "<time>2024-05-01T10:00:00.5Z</time>"


def track(*points: str, head: str = HEAD) -> bytes:
    return (head + "<trk><trkseg>" + "\n".join(points) + "</trkseg></trk></gpx>").encode()


def point(inner: str = TIME, lat: str = "52.5", lon: str = "-1.25") -> str:
    return f'<trkpt lat="{lat}" lon="{lon}">{inner}</trkpt>'


def read(data: bytes) -> tuple[pa.Table, Findings, TelemetryError | None]:
    findings = Findings()
    batches: list[pa.RecordBatch] = []
    error = None
    try:
        batches += READER.read(io.BytesIO(data), Origin(), findings)
    except TelemetryError as caught:
        error = caught
    tables = [pa.Table.from_batches([batch]) for batch in batches]
    return pa.concat_tables(tables, promote_options="default") if tables else pa.table({}), findings, error


def rows(data: bytes) -> list[dict[str, Any]]:
    table, _, error = read(data)
    assert error is None, error
    result: list[dict[str, Any]] = table.to_pylist()
    return result


def test_a_point_with_everything() -> None:
    inner = (
        "<ele>101.5</ele>" + TIME + "<magvar>1.5</magvar><geoidheight>47</geoidheight><name>12</name><fix>3D</fix>"
        "<sat>9</sat><hdop>0.8</hdop><vdop>1.5</vdop><speed>12.5</speed><course>359.5</course>"
        "<extensions><g:TrackPointExtension><g:hr>150</g:hr><g:cad>88.5</g:cad><g:atemp>21.5</g:atemp>"
        "<g:speed>99</g:speed></g:TrackPointExtension><power>250</power><d:distance>3.5</d:distance>"
        "<hAcc>2.5</hAcc><verticalSpeed>-0.5</verticalSpeed><throttle>55</throttle><gear>third</gear></extensions>"
    )
    table, findings, error = read(track(point(inner)))
    assert error is None
    row = table.to_pylist()[0]
    assert row == {
        "timestamp": datetime(2024, 5, 1, 10, 0, 0, 500_000, tzinfo=UTC),
        "latitude_deg": 52.5,
        "longitude_deg": -1.25,
        "altitude_m": 101.5,
        "speed_mps": 12.5,  # GPX's own wins over the extension's
        "course_deg": 359.5,
        "vertical_speed_mps": -0.5,
        "horizontal_accuracy_m": 2.5,
        "hdop": pytest.approx(0.8),
        "satellites": 9,
        "fix_type": "3d",
        "source_row": 1,
        "flags": int(Flag.SEGMENT_START),
        "heart_rate_bpm": 150,
        "cadence_rpm": 88.5,
        "power_w": 250,
        "temperature_degc": 21.5,
        "magvar": 1.5,
        "geoidheight": 47,
        "vdop": 1.5,
        "distance": 3.5,
        "throttle": 55,
        "speed": 99,
    }
    for name in table.column_names:
        if name in CHANNELS:
            assert table.schema.field(name).type == CHANNELS[name].type
    distance = table.schema.field("distance")
    assert distance.metadata == {UNIT: b"m", SOURCE_NAME: b"http://www.cluetrust.com/XML/GPXDATA/1/0 distance"}
    assert findings.inferred == ["text that is no number is not kept: gear"]
    assert findings.dialect == "GPX 1.1 by Test"
    assert findings.time_basis is TimeBasis.GNSS_UTC


def test_speeds_of_extensions_fill_where_the_point_has_none() -> None:
    def extension(inner: str) -> str:
        return point(f"{TIME}<extensions>{inner}</extensions>")

    found = rows(
        track(
            extension("<g:TrackPointExtension><g:speed>2</g:speed></g:TrackPointExtension><speed>3</speed>"),
            extension("<speed>3</speed><d:speed>4</d:speed>"),
            extension("<g:TrackPointExtension><g:hr>90</g:hr></g:TrackPointExtension>"),
        )
    )
    assert [row["speed_mps"] for row in found] == [2, 4, None]  # of others, by namespace
    # What another leaf of the channel says differently has a channel of its own.
    assert [row.get("speed") for row in found] == [3, 3, None]


def test_tracks_and_segments_begin_with_a_flag() -> None:
    body = (
        f"<trk><trkseg/><trkseg>{point()}{point()}</trkseg><trkseg>{point()}</trkseg></trk>"
        f"<rte><rtept lat='1' lon='2'/></rte><trk><trkseg>{point()}</trkseg></trk>"
    )
    found = rows((HEAD + f'<wpt lat="1" lon="2">{TIME}</wpt>' + body + "</gpx>").encode())
    assert [row["flags"] for row in found] == [16, 0, 16, 16]
    assert [row["source_row"] for row in found] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("opening", "prefix"),
    [
        ('<gpx version="1.0" xmlns="http://www.topografix.com/GPX/1/0">', ""),
        ("<gpx>", ""),
        ('<gpx xmlns="http://example.org/GPX/9/9">', ""),
        ('<ns2:gpx xmlns:ns2="http://www.topografix.com/GPX/1/1">', "ns2:"),
    ],
)
def test_any_namespace_and_prefix_of_the_root(opening: str, prefix: str) -> None:
    body = f"<trk><trkseg>{point('<ele>7</ele>' + TIME)}</trkseg></trk>"
    body = body.replace("</", "</" + prefix).replace("<", "<" + prefix).replace(f"<{prefix}/", "</")
    found = rows((opening + body.replace(f"</{prefix}{prefix}", f"</{prefix}") + f"</{prefix}gpx>").encode())
    assert found[0]["altitude_m"] == 7


def test_points_of_foreign_namespaces_and_places_are_none() -> None:
    foreign = f'<x:trkseg xmlns:x="urn:x"><x:trkpt lat="1" lon="1">{TIME}</x:trkpt></x:trkseg>'
    inside = f'<extensions><trkpt lat="3" lon="3">{TIME}</trkpt></extensions>'
    found = rows(track(point(), foreign, inside))
    assert [row["latitude_deg"] for row in found] == [52.5]


def test_broken_cells_become_null_and_are_counted() -> None:
    bad = (
        "<ele>high</ele><time>yesterday</time><sat>4.5</sat><hdop>NaN</hdop><speed>1e300</speed><fix>5d</fix>"
        "<extensions><g:hr>1,5</g:hr></extensions>"
    )
    table, findings, error = read(track(point(bad), point("<ele/>" + TIME, lat="", lon="x"), point()))
    assert error is None
    found = table.to_pylist()
    assert [row["timestamp"] is None for row in found] == [True, False, False]
    assert [row["latitude_deg"] for row in found] == [52.5, None, 52.5]
    counted = {channel: (tally.count, tally.first_rows) for channel, tally in findings.bad_cells.items()}
    once = (1, [1])
    assert counted == {
        **dict.fromkeys(
            ["altitude_m", "timestamp", "satellites", "hdop", "speed_mps", "fix_type", "heart_rate_bpm"], once
        ),
        "longitude_deg": (1, [2]),
    }
    assert findings.rows_read == 3


def test_a_coordinate_of_zero_white_space_signs_and_exponents() -> None:
    found = rows(track(point(f"\n {TIME}\n", "0", "+9.17e-05"), point("<ele> -5. </ele>" + TIME, " .5 ", "-0")))
    assert [(row["latitude_deg"], row["longitude_deg"]) for row in found] == [(0, 9.17e-05), (0.5, 0)]
    assert found[1]["altitude_m"] == -5


def test_entities_comments_and_sections_inside_values() -> None:
    inner = "<ele>1<!-- x -->0&#48;</ele><time><![CDATA[2024-05-01T10:00:00Z]]></time><name>&lt;a&gt;</name>"
    assert rows(track(point(inner)))[0]["altitude_m"] == 100


def test_times_without_zone_are_said() -> None:
    _, findings, error = read(track(point("<time>2024-05-01T10:00:00</time>"), point()))
    assert error is None
    assert findings.inferred == ["1 times without a zone were read as UTC, as GPX defines them"]


def test_names_that_clash_get_numbers_and_attributes_are_channels() -> None:
    inner = TIME + '<extensions><flags>3</flags><d:flags>4</d:flags><m s="4.5" t="x"/></extensions>'
    row = rows(track(point(inner)))[0]
    assert {name: row[name] for name in ("flags_2", "flags_3", "m.s")} == {"flags_2": 4, "flags_3": 3, "m.s": 4.5}
    assert row["flags"] == 16


def test_extension_channels_are_bounded() -> None:
    inner = "".join(f"<c{n}>{n}</c{n}>" for n in range(200))
    table, findings, error = read(track(*[point(f"{TIME}<extensions>{inner}</extensions>")] * 3))
    assert error is None
    assert len([name for name in table.column_names if name.startswith("c")]) == 64
    assert "only the first 64 extension channels are kept" in findings.inferred


CODES = {
    "nothing": (HEAD + "</gpx>", Code.GPX_NO_TRACK_POINTS),
    "waypoint and route": (
        HEAD + f'<wpt lat="1" lon="2">{TIME}</wpt><rte><rtept lat="1" lon="2">{TIME}</rtept></rte></gpx>',
        Code.GPX_NO_TRACK_POINTS,
    ),
    "empty segment": (HEAD + "<trk><trkseg/></trk></gpx>", Code.GPX_NO_TRACK_POINTS),
    "another document": ("<kml><trk><trkseg/></trk></kml>", Code.GPX_NO_TRACK_POINTS),
    "no time": (track(point("<ele>1</ele>"), point("")).decode(), Code.GPX_NO_TIME),
    "no readable time": (track(point("<time>soon</time>")).decode(), Code.GPX_NO_TIME),
    "not XML": ("time,lat,lon\n", Code.XML_MALFORMED),
    "cut off": (track(point())[:-10].decode(), Code.XML_MALFORMED),
    "document type": ("<!DOCTYPE gpx>" + track(point(), head="<gpx>").decode(), Code.XML_FORBIDDEN),
}


@pytest.mark.parametrize(("document", "code"), CODES.values(), ids=CODES.keys())
def test_codes(document: str, code: Code) -> None:
    _, _, error = read(document.encode())
    assert error is not None
    assert error.code is code


@pytest.mark.parametrize(
    ("inner", "detail"),
    [
        ("", "no point of a track"),
        ('<wpt lat="1" lon="2"/>' * 3, "no point of a track: only waypoints (3)"),
        (
            '<wpt lat="1" lon="2"/><rte><rtept lat="1" lon="2"/><rtept lat="1" lon="2"/></rte>',
            "no point of a track: only waypoints (1) and route points (2)",
        ),
    ],
)
def test_a_document_without_a_track_says_what_it_has(inner: str, detail: str) -> None:
    _, _, error = read((HEAD + inner + "</gpx>").encode())
    assert error is not None
    assert (error.code, error.detail) == (Code.GPX_NO_TRACK_POINTS, detail)


def test_points_in_front_of_a_damage_come_out_first_and_the_place_is_named() -> None:
    document = track(point(), point(), "<trkpt lat='1' lon='2'><ele>1</trkpt>", point())
    table, findings, error = read(document)
    assert table.num_rows == findings.rows_read == 2
    assert error is not None
    assert error.detail == "line 5, column 32: mismatched tag"


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (HEAD.encode(), "GPX 1.1 by Test"),
        (b'\xef\xbb\xbf\n <?xml version="1.0"?>\n<!-- x --><p:gpx version="1.0">', "GPX 1.0"),
        ('<gpx version="1.1" creator="A &amp; B  - http://x.y/z"/>'.encode("utf-16"), "GPX 1.1 by A & B"),
        (b'<gpx creator="' + b"long " * 40 + b'"/>', "GPX by " + ("long " * 12).strip()),
        (b"<kml><gpx/></kml>", None),
        (b"<gpxx/>", None),
        (b"lat,lon\n", None),
        (b"", None),
    ],
)
def test_recognition(head: bytes, reason: str | None) -> None:
    recognition = READER.recognise(head, Origin("x.csv"))
    assert (recognition.reason if recognition else None) == reason
    if recognition:
        assert recognition.format == "gpx"
        assert recognition.confidence > 0.9


@pytest.mark.parametrize(
    ("creator", "expected"),
    [
        ("eTrex 20", FileDevice("Garmin", "eTrex 20")),
        ("Garmin Edge 530", FileDevice("Garmin", "Edge 530")),
        ("COROS PACE 2", FileDevice("COROS", "PACE 2")),
        ("Garmin Connect", None),
        ("Garmin Desktop App", None),
        ("Edge of the world", None),
        ("StravaGPX", None),
        ("", None),
    ],
)
def test_only_real_devices_are_devices(creator: str, expected: FileDevice | None) -> None:
    assert device(clean_creator(creator)) == expected


def _gpxpy_points(text: str) -> Iterator[tuple[Any, ...]]:
    for recorded in gpxpy.parse(text).tracks:
        for segment in recorded.segments:
            for number, fix in enumerate(segment.points):
                moment = fix.time and fix.time.astimezone(UTC)
                yield fix.latitude, fix.longitude, fix.elevation, moment, fix.speed, number == 0


def _recordings() -> list[Path]:
    found = sorted(FIXTURES.glob("*.gpx"))
    found += real_recordings.find("files/gpx/*.gpx")
    # What gpxpy itself cannot read: a prefixed root, broken documents, and positions it refuses.
    beyond = ("android-gpx-parser__test", "noclosingtag", "Error", "invalid", "broken", "utf16")
    return [path for path in found if not any(part in path.name for part in beyond)]


@pytest.mark.parametrize("path", real_recordings.cases(_recordings()))
def test_point_by_point_with_gpxpy(path: Path) -> None:
    data = path.read_bytes()
    declared = "latin-1" if b"ISO-8859-1" in data[:100] else "utf-8-sig"
    table, _, _ = read(data)
    ours = table.to_pylist()
    theirs = list(_gpxpy_points(data.decode(declared)))
    assert len(ours) == len(theirs)
    for mine, (lat, lon, ele, moment, speed, begins) in zip(ours, theirs, strict=True):
        assert (mine["latitude_deg"], mine["longitude_deg"]) == (lat, lon)
        assert mine.get("altitude_m") == ele
        assert mine["timestamp"] == moment
        assert bool(mine["flags"] & Flag.SEGMENT_START) == begins
        if speed is not None:
            assert math.isclose(mine["speed_mps"], speed, rel_tol=1e-6)


class Interrupted:
    """A source that fails after its bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def read(self, size: int, /) -> bytes:
        if piece := self._data.read(size):
            return piece
        raise TelemetryError(Code.ARCHIVE_TOO_LARGE, "byte 1")


def test_what_was_read_before_the_source_failed_comes_out_first() -> None:
    reader = GpxReader(block_bytes=4096)
    cut = track(*[point()] * 500)[:-1000]
    for data, code in ((cut, Code.ARCHIVE_TOO_LARGE), (cut + b"<<", Code.XML_MALFORMED)):
        batches = reader.read(Interrupted(data + b" " * 4096 * 20), Origin(), Findings())
        count = 0
        with pytest.raises(TelemetryError) as caught:
            for batch in batches:
                count += batch.num_rows
        assert caught.value.code is code
        assert count > 480


def test_a_reading_given_up_leaves_no_thread() -> None:
    before = threading.active_count()
    batches = GpxReader(block_bytes=4096).read(io.BytesIO(track(*[point()] * 5000)), Origin(), Findings())
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


HUGE = {
    "comment of points": (HEAD + "<trk><trkseg>" + point() + "<!--" + point() * 12_000 + "-->", Code.XML_MALFORMED),
    "section of points": (HEAD + "<trk><trkseg>" + point() + "<x><![CDATA[" + point() * 60_000, Code.XML_MALFORMED),
    "attribute": (HEAD + f'<trk><trkseg>{point()}<trkpt lat="{"1" * (8 << 20)}"/>', Code.XML_MALFORMED),
    "value": (HEAD + f"<trk><trkseg>{point()}<trkpt lat='1' lon='2'><ele>{'1' * (8 << 20)}", Code.XML_MALFORMED),
    "point": (HEAD + f"<trk><trkseg>{point()}<trkpt lat='1' lon='2'>{'<ele>1</ele>' * 600_000}", Code.XML_MALFORMED),
    "openings": (HEAD + f"<trk><trkseg>{point()}{'<trkpt ' * 200_000}", Code.XML_MALFORMED),
    "names": (HEAD + f"<trk><trkseg>{point()}" + "".join(f"<n{n}/>" for n in range(600_000)), Code.XML_MALFORMED),
    "white space": (" " * (8 << 20), Code.XML_MALFORMED),
}


@pytest.mark.parametrize(("document", "code"), HUGE.values(), ids=HUGE.keys())
def test_huge_constructs_end_soon_in_little_memory(document: str, code: Code) -> None:
    data = document.encode()
    began = time.process_time()
    tracemalloc.start()
    _, _, error = read(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert error is not None
    assert error.code is code
    assert time.process_time() - began < 10
    assert peak < 48 << 20

"""`telemetry plot`: what is drawn, to scale, with units; and the arithmetic behind it."""

import itertools
import json
import math
import os
import re
import struct
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import gpxpy
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.local.command.parser import Exit
from infra.local.plot.drive import Drive, drive_of_recording, trace_of
from infra.local.plot.ground import places_from
from infra.local.plot.thinning import thinned
from telemetry import recording
from telemetry.errors import Code, TelemetryError
from telemetry.formats.reader import Origin
from telemetry.streams.channels import GNSS_PVT_SCHEMA, Flag

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "fixtures/telemetry"
SVG = "{http://www.w3.org/2000/svg}"
# One process draws them all: NumPy, which Matplotlib needs, is kept from the tests' own.
PROGRAM = """
import json, sys
from infra.local.command.__main__ import main
print(json.dumps([main(arguments) for arguments in json.loads(sys.argv[1])]), file=sys.stderr)
"""

Place = tuple[float, float]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Pictures by name, drawn where there is no display, and no service either."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "odd").mkdir()
    named = folder / "odd" / "$lap_1^ <b>&amp; €.gpx"
    named.write_bytes((SAMPLES / "sample_track.gpx").read_bytes())
    with (SAMPLES / "sample_track.gpx").open("rb") as source:
        canonical = recording.canonicalise(source, Origin("sample_track.gpx"), directory=folder).files[0].path
    parked = folder / "parked.csv"
    rows = [f"2026-05-16T09:30:{second:02d}Z,48.1,11.5,0" for second in range(60)]
    parked.write_text("\n".join(["time,latitude,longitude,speed", *rows]))
    gpx, csv = SAMPLES / "sample_track.gpx", SAMPLES / "sample_gnss_10hz.csv"
    wanted: dict[str, list[str | Path]] = {
        "gpx.svg": [gpx],
        "again.svg": [gpx],
        "parquet.svg": [canonical],
        "odd.svg": [named],
        "dark.svg": [csv, "--theme", "dark", "--over", "distance"],
        "light.svg": [csv],
        "deep/er/csv.png": [csv],
        "again.png": [csv],
        "parked.svg": [parked],
        "no-ending": [csv, "--format", "svg"],
    }
    calls = [["plot", *map(str, given), "-o", str(folder / name)] for name, given in wanted.items()]
    environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    environment |= {"PYTHONPATH": f"{ROOT}:{ROOT / 'layers/core/python'}", "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(calls)],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        timeout=120,
    )
    assert done.stderr.splitlines()[-1:] == [str([0] * len(calls))], done.stderr[-3000:]
    told = done.stdout.splitlines()
    assert told[0] == f"{folder / 'gpx.svg'}  600 points, 4 laps"
    return {name: folder / name for name in wanted}


def _root(file: Path) -> ET.Element:
    return ET.parse(file).getroot()  # noqa: S314  (we have just drawn it)


def _texts(file: Path) -> list[str]:
    return ["".join(text.itertext()) for text in _root(file).iter(f"{SVG}text")]


def _path(file: Path, gid: str) -> list[Place]:
    """The points of the path in the group `gid`."""
    group = next(group for group in _root(file).iter(f"{SVG}g") if group.get("id") == gid)
    (path,) = group.iter(f"{SVG}path")
    numbers = re.findall(r"[ML] (-?[\d.]+) (-?[\d.]+)", path.attrib["d"])
    return [(float(x), float(y)) for x, y in numbers]


def _extent(places: list[Place]) -> Place:
    xs, ys = zip(*places, strict=True)
    return max(xs) - min(xs), max(ys) - min(ys)


def test_the_track_is_to_scale(drawn: Mapping[str, Path]) -> None:
    with (SAMPLES / "sample_track.gpx").open() as source:
        points = list(gpxpy.parse(source).walk(only_points=True))
    north = math.radians(max(p.latitude for p in points) - min(p.latitude for p in points))
    east = math.radians(max(p.longitude for p in points) - min(p.longitude for p in points))
    # Of the sphere; the ellipsoid differs by some thousandths.
    shape = east * math.cos(math.radians(points[0].latitude)) / north
    path = _path(drawn["gpx.svg"], "track-1")
    assert len(path) > 300
    width, height = _extent(path)
    assert width / height == pytest.approx(shape, rel=0.005)
    # North is up: SVG counts downwards.
    northmost = max(range(len(points)), key=lambda index: points[index].latitude)
    assert min(range(len(path)), key=lambda index: path[index][1]) / len(path) == pytest.approx(
        northmost / len(points), abs=0.02
    )


def test_all_of_the_way_is_coloured_by_speed(drawn: Mapping[str, Path]) -> None:
    group = next(group for group in _root(drawn["light.svg"]).iter(f"{SVG}g") if group.get("id") == "track-speed-1")
    paths = list(group.iter(f"{SVG}path"))
    colours = {re.search(r"stroke: (#[0-9a-f]{6})", path.get("style", "")).group(1) for path in paths}  # type: ignore[union-attr]
    assert len(colours) > 20

    def grey(colour: str) -> float:
        red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    # The scale gets lighter all the way, for who sees no colours: no two of its colours are the same grey.
    greys = sorted(map(grey, colours))
    assert all(lighter - darker > 0.3 for darker, lighter in itertools.pairwise(greys))


def test_title_units_and_laps_are_written(drawn: Mapping[str, Path]) -> None:
    texts = _texts(drawn["light.svg"])
    for text in (
        "sample_gnss_10hz.csv",
        "speed (km/h)",
        "altitude (m)",
        "east of the start (m)",
        "north of the start (m)",
        "time from the start (min:s)",
        "2026-05-16 09:30:00Z   2:04.900   2.897 km   4 laps   best 0:43.313 (lap 3)",
        "0:43.361",
        "+0.048 s",
    ):
        assert text in texts
    assert texts.count("best") == 1
    ids = re.findall(r' id="([^"]+)"', drawn["light.svg"].read_text())
    assert len(ids) == len(set(ids))
    assert {"speed-lap-2", "speed-lap-3", "altitude-lap-4", "speed-best-lap", "best-row"} <= set(ids)
    assert "distance (m)" in _texts(drawn["dark.svg"])
    assert "#12161c" in drawn["dark.svg"].read_text()


def test_a_speed_that_was_worked_out_says_so(drawn: Mapping[str, Path]) -> None:
    assert "speed from positions (km/h)" in _texts(drawn["gpx.svg"])


def test_who_stood_still_is_a_spot_on_a_piece_of_ground(drawn: Mapping[str, Path]) -> None:
    texts = _texts(drawn["parked.svg"])
    assert {"start", "-4", "4", "0.0", "1.0", "speed (km/h)"} <= set(texts)
    assert "altitude (m)" not in texts


def test_names_are_written_as_they_are(drawn: Mapping[str, Path]) -> None:
    assert "$lap_1^ <b>&amp; €.gpx" in _texts(drawn["odd.svg"])


def test_the_same_recording_gives_the_same_bytes(drawn: Mapping[str, Path]) -> None:
    assert drawn["gpx.svg"].read_bytes() == drawn["again.svg"].read_bytes()
    assert drawn["deep/er/csv.png"].read_bytes() == drawn["again.png"].read_bytes()


def test_a_canonical_file_is_drawn_as_its_recording(drawn: Mapping[str, Path]) -> None:
    for gid in ("track-1", "speed-1", "altitude-1"):
        one, other = _path(drawn["parquet.svg"], gid), _path(drawn["gpx.svg"], gid)
        # The names above differ, and so does the room that they take.
        assert len(one) == len(other)
        assert max(itertools.starmap(math.dist, zip(one, other, strict=True))) < 0.01


def test_the_format_is_told_by_the_ending_or_by_name(drawn: Mapping[str, Path]) -> None:
    head = drawn["deep/er/csv.png"].read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", head[16:]) == (1800, 1200)
    assert _root(drawn["no-ending"]).tag == f"{SVG}svg"


# What is drawn


Rows = list[tuple[float, float, float]]
Make = Callable[..., Path]


@pytest.fixture
def canonical(tmp_path: Path) -> Make:
    """Writes a canonical file of (seconds, latitude, longitude)."""

    def make(rows: Rows, *, flags: Mapping[int, int] | None = None, speeds: list[float] | None = None) -> Path:
        start = datetime(2026, 5, 16, tzinfo=UTC)
        columns: dict[str, object] = {
            "timestamp": [start + timedelta(seconds=seconds) for seconds, _, _ in rows],
            "latitude_deg": [latitude for _, latitude, _ in rows],
            "longitude_deg": [longitude for _, _, longitude in rows],
            "speed_mps": speeds or [None] * len(rows),
            "flags": [(flags or {}).get(index, 0) for index in range(len(rows))],
        }
        empty = [None] * len(rows)
        arrays = [pa.array(columns.get(field.name, empty), field.type) for field in GNSS_PVT_SCHEMA]
        file = tmp_path / "gnss_pvt.parquet"
        pq.write_table(pa.Table.from_arrays(arrays, schema=GNSS_PVT_SCHEMA), file)
        return file

    return make


def _eastward(count: int, *, metres: float = 10.0, start: float = 11.0) -> Rows:
    """One fix a second along the equator."""
    return [(float(index), 0.0, start + index * metres / 111_319.49) for index in range(count)]


def test_distance_is_the_one_of_the_quality_report(tmp_path: Path) -> None:
    with (SAMPLES / "sample_gnss_10hz.csv").open("rb") as source:
        track = recording.canonicalise(source, Origin("a.csv"), directory=tmp_path).files[0]
    assert trace_of(track.path).length_m == pytest.approx(track.quality["distanceM"], abs=0.01)


def test_speed_is_worked_out_of_positions_where_there_is_none(canonical: Make) -> None:
    trace = trace_of(canonical(_eastward(30)))
    assert trace.speed_of_positions
    assert trace.speed_mps.to_pylist() == pytest.approx([10.0] * 30, rel=1e-4)
    given = trace_of(canonical(_eastward(30), speeds=[7.0] * 30))
    assert not given.speed_of_positions
    assert set(given.speed_mps.to_pylist()) == {7.0}


def test_nobody_knows_the_way_over_a_break(canonical: Make) -> None:
    rows = _eastward(20)
    later = [(seconds + 500, latitude, longitude + 0.5) for seconds, latitude, longitude in _eastward(20)]
    trace = trace_of(canonical(rows + later))
    assert trace.length_m == pytest.approx(2 * 190, rel=1e-4)
    assert trace.piece.to_pylist() == [0] * 20 + [1] * 20
    speeds = [speed for speed in trace.speed_mps.to_pylist() if speed is not None]
    assert max(speeds) == pytest.approx(10.0, rel=1e-4)
    parted = trace_of(canonical(_eastward(20), flags={10: Flag.SEGMENT_START}))
    assert parted.length_m == pytest.approx(180, rel=1e-4)


def test_spikes_are_not_drawn(canonical: Make) -> None:
    rows = _eastward(20)
    rows[7] = (7.0, 1.0, 11.0)
    trace = trace_of(canonical(rows, flags={7: Flag.POSITION_SPIKE}))
    assert trace.length_m == pytest.approx(190, rel=1e-4)
    assert {point.latitude_deg for point in trace.points} == {0.0}


def test_places_go_the_short_way_across_the_antimeridian(canonical: Make) -> None:
    rows = [(t, lat, (lon + 180) % 360 - 180) for t, lat, lon in _eastward(40, start=179.998)]
    points = trace_of(canonical(rows)).points
    place = places_from(points)
    assert place(points[0]) == (0.0, 0.0)
    assert place(points[-1]) == pytest.approx((390, 0.0), rel=1e-3)


def test_a_place_on_the_way_is_found_by_its_time(canonical: Make) -> None:
    trace = trace_of(canonical(_eastward(30)))
    start = trace.time_us[0].as_py()
    assert trace.distance_at(start) == 0.0
    assert trace.distance_at(start + 4_500_000) == pytest.approx(45.0, rel=1e-4)
    assert trace.distance_at(start + 29_000_000) == pytest.approx(trace.length_m)
    assert trace.covers(start + 29_000_000)
    assert not trace.covers(start + 29_000_001)


def test_several_files_make_one_drive(canonical: Make) -> None:
    trace = trace_of(canonical(_eastward(30)))
    drive = Drive("Two", (trace, trace), ())
    assert drive.length_m == pytest.approx(580, rel=1e-4)
    assert drive.duration_ms == 29_000
    assert drive.best_lap is None


@pytest.mark.parametrize(
    ("rows", "code"), [(_eastward(1), Code.NO_VALID_ROWS), ([(0.0, 0.0, 0.0)], Code.NO_VALID_ROWS)]
)
def test_a_file_with_nothing_to_draw_is_refused(canonical: Make, rows: Rows, code: Code) -> None:
    with pytest.raises(TelemetryError) as refused:
        trace_of(canonical(rows))
    assert refused.value.code is code


def test_other_parquet_files_are_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.parquet"
    pq.write_table(pa.table({"x": [1, 2]}), other)
    with pytest.raises(TelemetryError) as refused:
        drive_of_recording(other, tmp_path)
    assert refused.value.code is Code.NO_POSITION_DATA
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(other.read_bytes()[:-20])
    with pytest.raises(TelemetryError) as refused:
        drive_of_recording(broken, tmp_path)
    assert refused.value.code is Code.NO_VALID_ROWS


# Thinning


def _thinned(values: list[float | None], pieces: list[int] | None = None, columns: int = 10) -> tuple[list[float], ...]:
    x = pa.array([float(index) for index in range(len(values))])
    return thinned(x, pa.array(values, pa.float64()), pa.array(pieces or [0] * len(values)), columns)


def test_a_short_line_stays_as_it_is() -> None:
    assert _thinned([1.0, None, 3.0]) == ([0.0, 2.0], [1.0, 3.0])
    assert _thinned([None, None]) == ([], [])


def test_no_peak_is_lost() -> None:
    values: list[float | None] = [math.sin(index / 50) for index in range(20_000)]
    values[7777], values[13_131] = 9.0, -9.0
    x, y = _thinned(values, columns=100)
    assert len(x) == 400
    assert (max(y), min(y)) == (9.0, -9.0)
    assert x == sorted(x)
    assert (x[0], x[-1], y[0], y[-1]) == (0.0, 19_999.0, values[0], values[-1])


@pytest.mark.parametrize("count", [20, 2000])
def test_pieces_are_parted(count: int) -> None:
    x, y = _thinned([float(index) for index in range(count)], [0] * (count // 2) + [1] * (count - count // 2))
    (gap,) = [index for index, value in enumerate(y) if math.isnan(value)]
    assert y[gap - 1] == count // 2 - 1
    assert y[gap + 1] == count // 2
    assert len(x) == len(y)


# Words


def test_a_format_that_is_none_is_refused_before_anything_is_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from infra.local.command.__main__ import main

    assert main(["plot", "nowhere.gpx", "-o", "picture.pdf"]) == Exit.USAGE
    assert "--format" in capsys.readouterr().err

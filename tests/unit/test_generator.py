"""The generator of recordings: fixtures byte for byte, and a truth that the recordings themselves confirm."""

import csv
import itertools
import json
import math
import re
import statistics
import tracemalloc
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fixtures import circuit, generator
from fixtures.generator import FIXTURES, WRITERS, Recipe, write

COMMITTED = Path(generator.__file__).parent / "telemetry"
Plane = tuple[float, float]


def plane(latitude: float, longitude: float) -> Plane:
    """East and north of the origin, in metres."""
    return (
        (longitude - circuit.ORIGIN_LONGITUDE_DEG) * circuit.EAST_M_PER_DEG,
        (latitude - circuit.ORIGIN_LATITUDE_DEG) * circuit.NORTH_M_PER_DEG,
    )


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def along_and_across(row: dict[str, str]) -> Plane:
    """Metres past the line, and metres right of the origin."""
    east, north = plane(float(row["lat"]), float(row["lon"]))
    sin, cos = math.sin(circuit.MAIN_HEADING_RAD), math.cos(circuit.MAIN_HEADING_RAD)
    return east * sin + north * cos, east * cos - north * sin


def crossings(rows: list[dict[str, str]]) -> Iterator[datetime]:
    """Times at the line, from the fixes alone: between two fixes at constant acceleration."""
    for a, b in itertools.pairwise(rows):
        (before, left), (after, _) = along_and_across(a), along_and_across(b)
        if before < 0 <= after and abs(left) < 5:
            speed_a, speed_b = float(a["speed"]), float(b["speed"])
            period = (datetime.fromisoformat(b["timestamp"]) - datetime.fromisoformat(a["timestamp"])).total_seconds()
            rate = (speed_b - speed_a) / period
            into = (
                -before / speed_a if abs(rate) < 1e-6 else (math.sqrt(speed_a**2 - 2 * rate * before) - speed_a) / rate
            )
            yield datetime.fromisoformat(a["timestamp"]) + timedelta(seconds=into)


@pytest.mark.parametrize("name", FIXTURES)
def test_committed_fixtures_are_what_the_generator_writes(name: str, tmp_path: Path) -> None:
    write(FIXTURES[name], tmp_path / name)
    assert (tmp_path / name).read_bytes() == (COMMITTED / name).read_bytes()


def test_the_sample_csv_holds_two_whole_laps_and_more_at_10_hz() -> None:
    rows = read_csv(COMMITTED / "sample_gnss_10hz.csv")
    times = [datetime.fromisoformat(row["timestamp"]) for row in rows]
    assert list(rows[0]) == ["timestamp", "lat", "lon", "alt", "speed"]
    assert {b - a for a, b in itertools.pairwise(times)} == {timedelta(seconds=0.1)}
    assert len(list(crossings(rows))) == 3


@pytest.mark.parametrize("length", [1000.0, 3000.0, 5000.0])
def test_the_circuit_closes_and_never_crosses_itself(length: float) -> None:
    table = circuit.lap_table(length, circuit.Pace())
    points = [plane(*p) for p in zip(table.latitude_deg, table.longitude_deg, strict=True)]
    driven = [p for p, d in zip(points, table.distance_m, strict=True) if d <= length]
    assert math.dist(points[0], (0.0, 0.0)) < 1e-6
    assert math.dist(driven[-1], driven[0]) <= 60 / circuit.STEPS_PER_SECOND
    assert sum(math.dist(a, b) for a, b in itertools.pairwise(driven)) == pytest.approx(length, rel=2e-3)
    coarse = list(zip(driven[::25], table.distance_m[::25], strict=False))
    for (a, at_a), (b, at_b) in itertools.combinations(coarse, 2):
        if min(abs(at_a - at_b), length - abs(at_a - at_b)) > length / 12:
            assert math.dist(a, b) > 12


def test_speed_is_the_derivative_of_position_and_the_same_at_every_crossing() -> None:
    table = circuit.lap_table(3000.0, circuit.Pace())
    assert 15 <= min(table.speed_mps) < max(table.speed_mps) <= 60
    points = [plane(*p) for p in zip(table.latitude_deg, table.longitude_deg, strict=True)]
    for i in range(len(points) - 1):
        mean = (table.speed_mps[i] + table.speed_mps[i + 1]) / 2
        assert math.dist(points[i], points[i + 1]) * circuit.STEPS_PER_SECOND == pytest.approx(mean, abs=0.4)


def test_true_crossings_are_those_of_the_fixes(tmp_path: Path) -> None:
    path = tmp_path / "laps.csv"
    truth = write(Recipe(rows=25 * 400, rate_hz=25, seed=7), path)
    rows = read_csv(path)
    found = list(crossings(rows))
    true = [datetime.fromisoformat(c) for c in truth["crossings"]]  # type: ignore[attr-defined]
    assert len(found) == len(true) >= 4
    for a, b in zip(found, true, strict=True):
        assert abs(a - b) < timedelta(milliseconds=1.5)
    laps = truth["laps"]
    assert [lap["kind"] for lap in laps] == ["OUT", *["TIMED"] * (len(true) - 1), "IN"]  # type: ignore[attr-defined]
    durations = [lap["durationMs"] for lap in laps[1:-1]]  # type: ignore[index]
    assert len(set(durations)) == len(durations)
    assert max(durations) / min(durations) < 1.04


def test_a_recording_may_start_on_the_line(tmp_path: Path) -> None:
    truth = write(Recipe(rows=1000, out_share=0.0), tmp_path / "x.csv")
    assert truth["crossings"][0] == "2026-05-16T09:30:00.000000Z"  # type: ignore[index]
    assert [lap["number"] for lap in truth["laps"]] == [1, 2]  # type: ignore[attr-defined]


def positions(path: Path, kind: str) -> list[tuple[str, float, float]]:
    """Time of day, latitude, longitude: each format in the plainest way."""
    text = path.read_text(encoding="cp1252" if kind == "vbo" else "utf-8")
    if kind == "csv":
        return [(r["timestamp"][11:-1], float(r["lat"]), float(r["lon"])) for r in read_csv(path)]
    if kind in ("gpx", "tcx"):
        root = ET.fromstring(text)  # noqa: S314
        if kind == "gpx":
            points = root.iter("{http://www.topografix.com/GPX/1/1}trkpt")
            time = "{http://www.topografix.com/GPX/1/1}time"
            return [(str(p.findtext(time))[11:-1], float(p.attrib["lat"]), float(p.attrib["lon"])) for p in points]
        space = "{http://www.garmin.com/xmlschemas/TrainingCenterDatabase/v2}"
        return [
            (
                str(p.findtext(f"{space}Time"))[11:-1],
                float(str(p.findtext(f".//{space}LatitudeDegrees"))),
                float(str(p.findtext(f".//{space}LongitudeDegrees"))),
            )
            for p in root.iter(f"{space}Trackpoint")
        ]
    if kind == "vbo":
        found = []
        for line in text.split("[data]\n")[1].splitlines():
            _, time, latitude, longitude, *_ = line.split()
            found.append((f"{time[:2]}:{time[2:4]}:{time[4:]}", float(latitude) / 60, -float(longitude) / 60))
        return found
    fixes = re.findall(r"\$GPRMC,([\d.]+),A,(\d\d)([\d.]+),N,(\d\d\d)([\d.]+),W,", text)
    return [
        (f"{time[:2]}:{time[2:4]}:{time[4:]}", int(north) + float(minutes) / 60, -int(west) - float(minutes_w) / 60)
        for time, north, minutes, west, minutes_w in fixes
    ]


def seconds_of_day(time: str) -> float:
    hours, minutes, seconds = time.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


@pytest.mark.parametrize("kind", WRITERS)
def test_every_format_holds_the_same_drive(kind: str, tmp_path: Path) -> None:
    recipe = Recipe(rows=900, rate_hz=5, noise_m=0.2, drift_m=1.0, gap_every_s=60, gap_s=7, loss=0.02, sensors=True)
    write(recipe, tmp_path / "reference.csv")
    write(replace(recipe, format=kind), tmp_path / "other")
    reference, other = positions(tmp_path / "reference.csv", "csv"), positions(tmp_path / "other", kind)
    assert len(reference) == len(other) < 900 - 2 * 35
    for a, b in zip(reference, other, strict=True):
        assert seconds_of_day(a[0]) == pytest.approx(seconds_of_day(b[0]), abs=1e-6)
        assert a[1:] == pytest.approx(b[1:], abs=1e-7)


def test_tcx_laps_are_the_true_laps(tmp_path: Path) -> None:
    truth = write(Recipe(format="tcx", rows=3000), tmp_path / "x.tcx")
    space = "{http://www.garmin.com/xmlschemas/TrainingCenterDatabase/v2}"
    laps = list(ET.parse(tmp_path / "x.tcx").iter(f"{space}Lap"))  # noqa: S314
    assert [lap.attrib["StartTime"] for lap in laps] == [
        lap["startTime"]
        for lap in truth["laps"]  # type: ignore[attr-defined]
    ]


def test_nmea_checksums_are_right(tmp_path: Path) -> None:
    write(Recipe(format="nmea", rows=50), tmp_path / "x.nmea")
    lines = (tmp_path / "x.nmea").read_text().splitlines()
    assert len(lines) == 100
    for line in lines:
        body, checksum = line[1:].split("*")
        value = 0
        for character in body:
            value ^= ord(character)
        assert value == int(checksum, 16)


def test_gaps_and_lost_rows_are_as_said(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    truth = write(Recipe(rows=3000, gap_every_s=100, gap_s=10, loss=0.1), path)
    times = [datetime.fromisoformat(row["timestamp"]) for row in read_csv(path)]
    assert len(times) == truth["rowsWritten"]
    assert len(times) == pytest.approx(0.9 * (3000 - 200), rel=0.05)
    starts = [a for a, b in itertools.pairwise(times) if b - a > timedelta(seconds=9)]
    true = [datetime.fromisoformat(gap["startTime"]) for gap in truth["gaps"]]  # type: ignore[attr-defined]
    assert len(starts) == len(true) == 2
    for a, b in zip(starts, true, strict=True):
        assert timedelta(0) < b - a < timedelta(seconds=1)


def test_noise_has_the_size_that_was_asked_for(tmp_path: Path) -> None:
    quiet = Recipe(rows=20_000, rate_hz=25)
    for recipe, low, high in ((replace(quiet, noise_m=0.5), 0.48, 0.52), (replace(quiet, drift_m=2.0), 1.2, 2.8)):
        write(quiet, tmp_path / "quiet.csv")
        write(recipe, tmp_path / "noisy.csv")
        offsets = [
            plane(float(b["lat"]), float(b["lon"]))[1] - plane(float(a["lat"]), float(a["lon"]))[1]
            for a, b in zip(read_csv(tmp_path / "quiet.csv"), read_csv(tmp_path / "noisy.csv"), strict=True)
        ]
        assert low < statistics.pstdev(offsets) < high


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    peaks = []
    for rows in (5_000, 40_000):
        tracemalloc.start()
        write(Recipe(rows=rows), tmp_path / "x.csv")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.2


def test_the_command_writes_recording_and_truth(tmp_path: Path) -> None:
    path, truth = tmp_path / "x.vbo", tmp_path / "x.json"
    options = ["--format", "vbo", "--duration", "90", "--rate", "20", "--start", "2024-02-29T23:59:30Z"]
    assert generator.main([*options, "-o", str(path), "--truth", str(truth)]) == 0
    told = json.loads(truth.read_text())
    assert told["rowsWritten"] == 1800
    assert told["recipe"]["start"] == "2024-02-29T23:59:30.000000Z"
    assert "File created on 29/02/2024" in path.read_text(encoding="cp1252")
    assert datetime.fromisoformat(told["lastTime"]) == datetime(2024, 3, 1, 0, 0, 59, 950000, tzinfo=UTC)


def test_rates_and_lengths_outside_the_model_are_refused() -> None:
    for recipe in (Recipe(rate_hz=50), Recipe(length_m=100.0), Recipe(out_share=1.0)):
        with pytest.raises(ValueError, match="1 to 25 Hz"):
            generator.Drive(recipe)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--rows", "10", "-o", "{}/no/a.csv"),
        ("--rows", "10", "-o", "{}/a.csv", "--truth", "{}/no/a.json"),
        ("--fixtures", "{}/no"),
    ],
)
def test_a_folder_that_is_missing_is_said_in_one_line(
    arguments: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generator.main([argument.format(tmp_path) for argument in arguments]) == 1
    assert re.fullmatch(rf"{tmp_path}/no/\S+: No such file or directory\n", capsys.readouterr().err)


@pytest.mark.parametrize("arguments", [(), ("-o", "a.csv", "--start", "xx"), ("-o", "a.csv", "--rate", "99")])
def test_wrong_use_of_the_command_is_said(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        generator.main(list(arguments))
    assert caught.value.code == 2
    assert "error: " in capsys.readouterr().err

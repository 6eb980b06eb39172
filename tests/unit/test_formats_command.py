"""`python -m telemetry.formats`: what a recording holds, each thing said once."""

import json
from pathlib import Path

import pytest

from telemetry.formats.__main__ import main

SAMPLES = Path(__file__).resolve().parents[2] / "fixtures/telemetry"
CSV = SAMPLES / "sample_gnss_10hz.csv"


def told(capsys: pytest.CaptureFixture[str], *files: Path) -> list[dict[str, str]]:
    """The readable lines of each file by their names."""
    assert main([str(file) for file in files]) == 0
    outcomes: list[dict[str, str]] = []
    for line in capsys.readouterr().out.splitlines():
        if line.startswith("  "):
            outcomes[-1][line[2:17].strip()] = line[17:]
        else:
            outcomes.append({"file": line})
    return outcomes


def test_a_dialect_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    csv, gpx = told(capsys, CSV, SAMPLES / "sample_track.gpx")
    assert csv["format"] == "csv (CSV, comma, 10 Hz, speed in m/s)"
    assert "dialect" not in csv
    assert gpx["format"] == "gpx (GPX 1.1 by telemetry fixtures)"
    assert "dialect" not in gpx


def test_only_laps_that_the_file_brings_are_counted(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Those that are found at a line are another command's."""
    lines = ["LAPINDEX,TIME_LAP,DATE,TIME,LATITUDE,LONGITUDE,SPEED_KPH"]
    for number, row in enumerate(CSV.read_text().splitlines()[1:]):
        moment, latitude, longitude, _, speed = row.split(",")
        date, time = moment.removesuffix("Z").split("T")
        lines.append(f"{1 + number // 500},0.0,{date},{time},{latitude},{longitude},{speed}")
    (tmp_path / "laps.csv").write_text("\n".join([*lines, ""]))
    without, brings = told(capsys, CSV, tmp_path / "laps.csv")
    assert not any("laps" in name for name in without)
    assert brings["laps in file"] == "3"


def test_one_object_a_file_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--json", str(CSV), str(SAMPLES / "csv_no_time.csv")]) == 0
    good, bad = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (good["outcome"], good["points"], good["quality"]["dialect"]) == ("ok", 1250, "comma, 10 Hz, speed in m/s")
    assert (bad["outcome"], bad["points"], bad["format"]) == ("CSV_NO_TIME_COLUMN", 0, None)


def test_a_refused_and_a_missing_file_are_told_apart(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main([str(tmp_path / "missing.csv"), str(SAMPLES / "csv_no_time.csv")]) == 1
    written = capsys.readouterr()
    assert written.err == f"{tmp_path / 'missing.csv'}: No such file or directory\n"
    assert written.out.startswith(f"{SAMPLES / 'csv_no_time.csv'}\n  CSV_NO_TIME_COLUMN: The CSV file has no column")

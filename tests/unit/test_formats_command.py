"""`python -m telemetry.formats`: what a recording holds, each thing said once."""

import json
import os
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


def _steering(directory: Path) -> Path:
    """A recording with terminal sequences in its name and in a column's."""
    steering = directory / "a\x1b[2J\u202e\x9b.csv"
    lines = CSV.read_text().splitlines()
    rows = [f"{lines[0]},oil\x1b]0;owned\x07\x9b2J (bar)", *(f"{line},4.5" for line in lines[1:])]
    steering.write_text("\n".join([*rows, ""]))
    return steering


def test_names_in_files_do_not_steer_the_terminal(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    steering = _steering(tmp_path)
    assert main([str(steering), str(tmp_path / "no\x1b[2J")]) == 1
    written = capsys.readouterr()
    assert "oil" in written.out
    assert written.err.endswith("no\ufffd[2J: No such file or directory\n")
    assert all(line.isprintable() for line in (written.out + written.err).split("\n"))
    assert main(["--json", str(steering)]) == 0
    text = capsys.readouterr().out
    assert all(line.isprintable() for line in text.split("\n"))
    assert json.loads(text)["file"] == str(steering)


def test_a_name_that_is_no_text_is_shown(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    strange = Path(os.fsdecode(os.fsencode(tmp_path) + b"/a\xff.csv"))
    strange.write_bytes(CSV.read_bytes())
    assert main([str(strange)]) == 0
    assert capsys.readouterr().out.startswith(f"{tmp_path}/a\ufffd.csv\n")


def test_streams_are_kept_in_a_folder_for_each_file(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder"
    assert main(["--parquet", str(target), str(CSV), str(SAMPLES / "sample_track.gpx")]) == 0
    assert {path.relative_to(target).as_posix() for path in target.rglob("*.parquet")} >= {
        "sample_gnss_10hz.csv/gnss_pvt.parquet",
        "sample_track.gpx/gnss_pvt.parquet",
    }


def _refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    written = capsys.readouterr()
    assert written.out == ""
    return written.err.splitlines()[-1].removeprefix("python -m telemetry.formats: error: ")


def test_a_target_that_is_none_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    said = _refused(capsys, "--parquet", str(tmp_path / "file"), str(CSV))
    assert said == f"argument --parquet: {tmp_path / 'file'} is no directory"
    said = _refused(capsys, "--parquet", str(tmp_path / "file/below"), str(CSV))
    assert said == f"argument --parquet: {tmp_path / 'file/below'}: Not a directory"
    (tmp_path / CSV.name).write_bytes(b"")
    assert main(["--parquet", str(tmp_path), str(CSV)]) == 1
    assert capsys.readouterr().err == f"{CSV}: {tmp_path / CSV.name}: File exists\n"


def test_no_file_replaces_the_streams_of_its_namesake(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    namesake = tmp_path / "other" / CSV.name
    namesake.write_bytes(CSV.read_bytes())
    said = _refused(capsys, "--parquet", str(tmp_path / "out"), str(CSV), str(namesake))
    assert said.startswith(f"argument --parquet: 2 files are called {CSV.name}")
    assert not (tmp_path / "out").exists()
    assert main([str(CSV), str(namesake)]) == 0


def test_a_time_of_upload_that_is_none_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    said = _refused(capsys, "--uploaded-at", "xx", str(CSV))
    assert said == "argument --uploaded-at: an ISO 8601 time, for example 2026-05-16T09:30:00Z"
    assert main(["--uploaded-at", "2026-05-16T09:30:00Z", str(CSV)]) == 0

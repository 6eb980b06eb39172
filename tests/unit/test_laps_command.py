"""`python -m telemetry.laps`: laps as the API gives them, of recordings and of canonical files."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fixtures.circuit import start_finish_line
from telemetry import recording
from telemetry.api.models import Lap
from telemetry.formats.reader import Origin
from telemetry.laps.__main__ import main

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "fixtures/telemetry"
GATE = ",".join(map(str, start_finish_line()))


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    assert main(["--json", *arguments]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_one_object_a_file_with_the_laps_as_the_api_gives_them(capsys: pytest.CaptureFixture[str]) -> None:
    names = [str(SAMPLES / name) for name in ("sample_gnss_10hz.csv", "sample_track.gpx", "csv_no_time.csv")]
    csv, gpx, bad = told(capsys, *names)
    assert [one["file"] for one in (csv, gpx, bad)] == names
    assert (csv["outcome"], gpx["outcome"], bad["outcome"]) == ("ok", "ok", "CSV_NO_TIME_COLUMN")
    assert bad["laps"] == []
    assert [lap["kind"] for lap in csv["laps"]] == ["out", "timed", "timed", "in"]
    for lap in csv["laps"]:
        assert set(lap) == {field.alias for field in Lap.model_fields.values()}
        assert lap["startTimeUtc"].endswith("Z")
    assert csv["bestLapMs"] == min(lap["durationMs"] for lap in csv["laps"] if lap["kind"] == "timed")


def test_a_canonical_file_gives_the_same_laps_as_its_recording(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    source = SAMPLES / "sample_gnss_10hz.csv"
    with source.open("rb") as stream:
        recording.canonicalise(stream, Origin(source.name), directory=tmp_path)
    from_recording, from_parquet = told(capsys, str(source), str(tmp_path / "gnss_pvt.parquet"))
    assert from_recording["laps"] == from_parquet["laps"] != []


def test_a_gate_of_ones_own_moves_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    source = str(SAMPLES / "sample_gnss_10hz.csv")
    (found,) = told(capsys, source)
    (given,) = told(capsys, source, "--gate", GATE)
    assert len(given["laps"]) == len(found["laps"]) == 4
    assert given["gate"]["latitude1Deg"] == pytest.approx(start_finish_line()[0], abs=1e-7)
    assert given["laps"][1]["startTimeUtc"] != found["laps"][1]["startTimeUtc"]
    # South of the equator a gate begins with a minus sign.
    (elsewhere,) = told(capsys, source, "--gate", "-33.0,151.0,-33.0001,151.0")
    assert (elsewhere["outcome"], elsewhere["laps"]) == ("ok", [])


@pytest.mark.parametrize("gate", ["1,2,3", "a,b,c,d", "91,0,91,0.001", "10,10,10,10", "10,10,11,10"])
def test_a_gate_that_is_none_is_refused(gate: str) -> None:
    with pytest.raises(SystemExit):
        main(["--gate", gate, "x.csv"])


def test_damaged_and_foreign_parquet_has_an_outcome(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and nothing more PAR1")
    (broken,) = told(capsys, str(tmp_path / "broken.parquet"))
    assert broken["outcome"] == "NO_VALID_ROWS"


def test_the_command_itself_is_readable() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "telemetry.laps", str(SAMPLES / "sample_gnss_10hz.csv"), "missing.csv"],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT / "layers/core/python")},
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "timed 0:43." in done.stdout
    assert "missing.csv" in done.stderr

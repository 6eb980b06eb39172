"""Every real recording of the shared manifest against what independent tools say of it.

Runs where the folder `shared` stands beside the repository; its files are not copied. Outcome, points, first and
last time (to the millisecond), bounding box (1e-6°) and largest speed (0.01 m/s) must agree, or the deviation must
stand in `DEVIATIONS` with its reason.
"""

import json
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from telemetry.formats.__main__ import examine

REALDATA = Path(__file__).resolve().parents[3] / "shared" / "realdata"

OUTCOMES = {
    "ok": "ok",
    "CSV_NO_TIME_COLUMN": "no_time",
    "GPX_NO_TIME": "no_time",
    "NO_TIME_DATA": "no_time",
    "CSV_NO_POSITION_COLUMNS": "no_track",
    "GPX_NO_TRACK_POINTS": "no_track",
    "NO_POSITION_DATA": "no_track",
    "CSV_MALFORMED": "malformed",
    "XML_MALFORMED": "malformed",
    "XML_FORBIDDEN": "malformed",
    "FIT_CORRUPT": "malformed",
    "FILE_CORRUPT": "malformed",
    "FILE_EMPTY": "malformed",
    "FORMAT_UNRECOGNISED": "malformed",
    "ARCHIVE_UNSUPPORTED": "malformed",
}

DEVIATIONS: dict[tuple[str, str], str] = {
    ("files/nmea/gpsd__hemi.log", "max_speed"): (
        "the file gives the speed in VTG sentences, which belong to their epoch; the truth looked at RMC only"
    ),
}
"""(file, what differs: outcome, points, first_time, last_time, bbox, max_speed) to the reason why we differ."""


@cache
def _manifest() -> list[dict[str, Any]]:
    path = REALDATA / "manifest.json"
    return json.loads(path.read_text("utf-8"))["files"] if path.exists() else []


def _entries() -> list[Any]:
    if not _manifest():
        return [
            pytest.param(None, marks=pytest.mark.skip(reason=f"no {REALDATA.name}/manifest.json beside the repository"))
        ]
    return [pytest.param(entry, id=entry["file"]) for entry in _manifest()]


def _time(text: str | None) -> datetime | None:
    # Python reads at most six digits of a fraction; the manifest's own may have more.
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC) if text else None


def _differences(entry: dict[str, Any], outcome: dict[str, Any]) -> dict[str, str]:
    """What differs from the truth and from every alternative that it calls sound, by name."""
    truth = entry["truth"]
    kind = OUTCOMES.get(outcome["outcome"], outcome["outcome"])
    if kind != truth["expected"]:
        if kind in truth.get("also_acceptable", []):
            return {}
        return {"outcome": f"{outcome['outcome']} ({outcome.get('detail')}), expected {truth['expected']}"}
    if kind != "ok":
        return {}
    points = {truth["points"], *truth.get("also_points", [])}
    if "points_backfilled" in truth:
        points.add(truth["points_backfilled"])
    found: dict[str, str] = {}
    if outcome["points"] not in points:
        found["points"] = f"{outcome['points']}, expected {sorted(points)}"
    backfilled = outcome["points"] != truth["points"] and outcome["points"] == truth.get("points_backfilled")
    if outcome["points"] != truth["points"] and not backfilled:
        # An alternative count comes without times and box of its own.
        return found
    shifts = [0, *truth.get("also_first_time_offset_s", [])]
    for name, own in (("first_time", outcome["firstTime"]), ("last_time", outcome["lastTime"])):
        wanted = _time(truth.get(f"{name}_backfilled") if backfilled and f"{name}_backfilled" in truth else truth[name])
        given = _time(own)
        assert given is not None
        if wanted is not None and all(
            abs(given - wanted - timedelta(seconds=sign * shift)) > timedelta(milliseconds=1)
            for shift in shifts
            for sign in (1, -1)
        ):
            found[name] = f"{own}, expected {truth[name]}"
    box = truth["bbox_backfilled"] if backfilled and "bbox_backfilled" in truth else truth["bbox"]
    if box is not None and any(abs(a - b) > 1.0000001e-6 for a, b in zip(outcome["boundingBox"], box, strict=True)):
        found["bbox"] = f"{outcome['boundingBox']}, expected {box}"
    speed, wanted_speed = outcome["maxSpeedMps"], truth["max_speed_mps"]
    if (speed is None) != (wanted_speed is None) or (speed is not None and abs(speed - wanted_speed) > 0.01):
        found["max_speed"] = f"{speed}, expected {wanted_speed}"
    return found


@pytest.mark.parametrize("entry", _entries())
def test_recording_agrees_with_independent_tools(entry: dict[str, Any]) -> None:
    outcome = examine(REALDATA / entry["file"])
    different = _differences(entry, outcome)
    unexplained = {name: text for name, text in different.items() if (entry["file"], name) not in DEVIATIONS}
    assert not unexplained, (
        f"{unexplained}; of the file: {entry['notes']}; of the truth: {entry['truth'].get('note', '')}"
    )


def test_deviations_are_real() -> None:
    if not _manifest():
        pytest.skip("no manifest beside the repository")
    files = {entry["file"]: entry for entry in _manifest()}
    for (file, what), reason in DEVIATIONS.items():
        assert reason, f"{file}: no reason given"
        assert what in _differences(files[file], examine(REALDATA / file)), f"{file}: {what} agrees by now"

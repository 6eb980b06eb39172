"""Recordings against what is known of them: points, first and last time, bounding box, largest speed, outcome.

The repository's own recordings, whose truth the generator or a person gives, always; beside them, where the real
recordings are at hand, each against what independent tools say of it by their manifest. Times must agree to the
millisecond, boxes to 1e-6°, speeds to 0.01 m/s, refusals by their code, or the deviation must stand in `DEVIATIONS`
with its reason.
"""

import json
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from telemetry.formats.__main__ import examine
from tests import real_recordings
from tests.conformance.own_recordings import Own, own_recordings

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

NO_TIME = {"gpx": {"GPX_NO_TIME", "NO_TIME_DATA"}, "csv": {"CSV_NO_TIME_COLUMN", "NO_TIME_DATA"}}
NO_TRACK = {"gpx": {"GPX_NO_TRACK_POINTS"}, "csv": {"CSV_NO_POSITION_COLUMNS"}}
"""The codes that say what the manifest calls `no_time` and `no_track`, by format; of any other format, NO_TIME_DATA and
NO_POSITION_DATA. A GPX or CSV with times, all of them implausible, has NO_TIME_DATA."""

CODES = {
    "files/gpx/gpxgo__gpx-without-xml-declaration.gpx": "NO_TIME_DATA",  # a year before any GPS
    "files/gpx/qmapshack__qlandkarte.gpx": "NO_TIME_DATA",  # 1970
    "files/csv/deadreckoning__Location.csv": "NO_TIME_DATA",  # seconds since a start that is not given
    "files/gpx/routeconverter__analyze-broken.gpx": "FORMAT_UNRECOGNISED",
    "files/container/exiftool__ZIP.zip": "FORMAT_UNRECOGNISED",
    "files/container/openstreetmap-website__g.gpx": "FORMAT_UNRECOGNISED",
    "files/container/fittrackee__gpx_test.zip": "ARCHIVE_UNSUPPORTED",
    "files/container/fittrackee__gpx_test_no_gpx.zip": "ARCHIVE_UNSUPPORTED",
    "files/container/fittrackee__gpx_test_incorrect.zip": "ARCHIVE_UNSUPPORTED",
    "files/container/fittrackee__gpx_test_folder.zip": "ARCHIVE_UNSUPPORTED",
    "files_large/other/gpmf-parser__karma.mp4": "FORMAT_UNRECOGNISED",
    "files/gpx/gpxpod__testFile6Error.gpx": "ok",  # its points before the error are whole
    "files/gpx/jpx__GPX_invalid_extensions.gpx": "ok",
    "files/gpx/android-gpx-parser__garminBaseCampExport-noclosingtag.gpx": "ok",
    "files/fit/fitdecode__activity-unexpected-eof.fit": "ok",
}
"""The very code, where the manifest says `malformed`, allows several outcomes, or the format has several such codes."""

DEVIATIONS: dict[tuple[str, str], str] = {
    ("files/nmea/gpsd__hemi.log", "max_speed"): (
        "the file gives the speed in VTG sentences, which belong to their epoch; the truth looked at RMC only"
    ),
}
"""(file, what differs: outcome, points, first_time, last_time, bbox, max_speed) to the reason why we differ."""


@cache
def _manifest() -> list[dict[str, Any]]:
    path = real_recordings.MANIFEST
    return json.loads(path.read_text("utf-8"))["files"] if path.is_file() else []


def _entries() -> list[Any]:
    found = [pytest.param(entry, id=entry["file"]) for entry in _manifest()]
    return found or [pytest.param(None, marks=real_recordings.needed)]


def _codes(entry: dict[str, Any], kind: str) -> set[str]:
    """The outcomes that say `kind` of this file."""
    if entry["file"] in CODES:
        return {CODES[entry["file"]]}
    table, usual = (NO_TIME, "NO_TIME_DATA") if kind == "no_time" else (NO_TRACK, "NO_POSITION_DATA")
    return {"ok"} if kind == "ok" else table.get(entry["format"], {usual})


def _time(text: str | None) -> datetime | None:
    # Python reads at most six digits of a fraction; the manifest's own may have more.
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC) if text else None


def _differences(entry: dict[str, Any], outcome: dict[str, Any]) -> dict[str, str]:
    """What differs from the truth and from every alternative that it calls sound, by name."""
    truth = entry["truth"]
    kind = OUTCOMES.get(outcome["outcome"], outcome["outcome"])
    if outcome["outcome"] not in _codes(entry, kind):
        return {"code": f"{outcome['outcome']}, expected one of {sorted(_codes(entry, kind))}"}
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
    outcome = examine(real_recordings.FOLDER / entry["file"])
    different = _differences(entry, outcome)
    unexplained = {name: text for name, text in different.items() if (entry["file"], name) not in DEVIATIONS}
    assert not unexplained, (
        f"{unexplained}; of the file: {entry['notes']}; of the truth: {entry['truth'].get('note', '')}"
    )


@pytest.mark.parametrize("own", [pytest.param(own, id=own.name) for own in own_recordings()])
def test_own_recording_is_read_as_it_was_made(own: Own, tmp_path: Path) -> None:
    path = tmp_path / own.name
    path.write_bytes(own.make())
    outcome = examine(path)
    if own.truth is None:
        assert outcome["outcome"] == own.code
    else:
        assert outcome["outcome"] == "ok", outcome
        assert not _differences({"file": own.name, "format": outcome["format"], "truth": own.truth}, outcome)


@real_recordings.needed
def test_deviations_are_real() -> None:
    files = {entry["file"]: entry for entry in _manifest()}
    for (file, what), reason in DEVIATIONS.items():
        assert reason, f"{file}: no reason given"
        assert what in _differences(files[file], examine(real_recordings.FOLDER / file)), (
            f"{file}: {what} agrees by now"
        )

"""Recordings of the repository's own with their truth, in the form of the entries in the real recordings' manifest.

Sound ones come from the generator, whose own numbers are the truth (not what a reader made of the file), or are small
and written by hand; refused ones stand with the very code that they must end in.
"""

import gzip
import io
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fixtures.generator import FIXTURES, Drive, Recipe, stamp, write
from tests.fuzz.seeds import ROWS, seeds

COMMITTED = Path(__file__).resolve().parents[2] / "fixtures" / "telemetry"


@dataclass(frozen=True, slots=True)
class Own:
    """One recording: `make` gives its bytes, `truth` is as in the manifest, `code` tells how it is refused."""

    name: str
    make: Callable[[], bytes]
    truth: dict[str, Any] | None = None
    code: str = ""


_USUAL = Recipe(rows=900, noise_m=0.3, drift_m=1.0, gap_every_s=40, gap_s=5, loss=0.01)
_MIDNIGHT = datetime(2026, 5, 16, 23, 59, 30, tzinfo=UTC)
_RECIPES = {
    "10hz": _USUAL,
    "1hz": replace(_USUAL, rate_hz=1, rows=200),
    "25hz-midnight": replace(_USUAL, rate_hz=25, rows=2500, start=_MIDNIGHT),
}
_ALWAYS_WITH_SPEED = frozenset({"csv", "nmea", "vbo"})


def own_recordings() -> Iterator[Own]:
    """All of them."""
    for name, recipe in FIXTURES.items():
        committed = (COMMITTED / name).read_bytes
        timed = "timestamp" in recipe.columns
        yield Own(name, committed, _truth(recipe) if timed else None, "" if timed else "CSV_NO_TIME_COLUMN")
    for kind in ("csv", "gpx", "tcx", "nmea", "vbo"):
        for name, usual in _RECIPES.items():
            for sensors in (False, True) if kind in ("gpx", "tcx") else (False,):
                recipe = replace(usual, format=kind, sensors=sensors)
                title = f"{name}{'-sensors' if sensors else ''}.{kind}"
                yield Own(title, lambda recipe=recipe: _written(recipe), _truth(recipe))  # type: ignore[misc]
    recipe = replace(_USUAL, format="gpx")
    yield Own("packed.gpx.gz", lambda: gzip.compress(_written(recipe)), _truth(recipe))
    yield Own("packed.zip", lambda: _zipped({"drive.gpx": _written(recipe), "readme.md": b"# x"}), _truth(recipe))
    for name, truth in _SMALL.items():
        yield Own(name, lambda name=name: seeds()[name], truth)  # type: ignore[misc]
    for name, (data, code) in _REFUSED.items():
        yield Own(name, lambda data=data: data, None, code)  # type: ignore[misc]


def _truth(recipe: Recipe) -> dict[str, Any]:
    """What the generator drove, before any format rounds it."""
    drive = Drive(recipe)
    fixes = [
        (at + timedelta(microseconds=drive.fractions_us[fix[0]]), *fix[1:5]) for at, of in drive.seconds() for fix in of
    ]
    latitudes, longitudes = [fix[1] for fix in fixes], [fix[2] for fix in fixes]
    with_speed = recipe.sensors or recipe.format in _ALWAYS_WITH_SPEED
    return {
        "expected": "ok",
        "points": len(fixes),
        "first_time": stamp(fixes[0][0]),
        "last_time": stamp(fixes[-1][0]),
        "bbox": [min(latitudes), min(longitudes), max(latitudes), max(longitudes)],
        "max_speed_mps": max(fix[4] for fix in fixes) if with_speed else None,
    }


def _written(recipe: Recipe) -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "drive"
        write(recipe, path)
        return path.read_bytes()


def _zipped(entries: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def _small(first: str, last: str, box: list[float], speed: float | None) -> dict[str, Any]:
    return {
        "expected": "ok",
        "points": ROWS,
        "first_time": first,
        "last_time": last,
        "bbox": box,
        "max_speed_mps": speed,
    }


_SMALL = {
    # The placemark with a time stamp beside the track is no fix of it.
    "drive.kml": _small("2024-05-01T10:00:00Z", "2024-05-01T10:00:39Z", [47.5, 8.0, 47.5, 8.0039], None),
    "drive.igc": _small(
        "2022-07-16T10:11:00Z", "2022-07-16T10:11:39Z", [47.5, 8.2541667, 47 + 30.039 / 60, 8.2541667], None
    ),
    # Record 0 of 1 000 000 000 s after 1989-12-31, 10 m/s in each.
    "drive.fit": _small("2021-09-08T01:46:40Z", "2021-09-08T01:47:19Z", [47.5, 8.25, 47.5039, 8.25], 10.0),
    "drive.ubx": _small(
        "2024-06-15T12:30:00Z", "2024-06-15T12:30:39Z", [52.1234567, -0.1234567, 52.1234567, -0.1234567], 5.0
    ),
}
_GPX = b'<gpx version="1.1" xmlns="http://www.topografix.com/GPX/1/1">%s</gpx>'
_POINT = b'<trkpt lat="52" lon="4"/>'
_RMC = b"$GPRMC,101500.00,A,5204.0,N,00401.0,E,10.0,90.0,,,,A"
_REFUSED = {
    "untimed.gpx": (_GPX % (b"<trk><trkseg>%s</trkseg></trk>" % (_POINT * 3)), "GPX_NO_TIME"),
    "route.gpx": (_GPX % b'<rte><rtept lat="52" lon="4"/></rte>', "GPX_NO_TRACK_POINTS"),
    "waypoint.gpx": (_GPX % b'<wpt lat="52" lon="4"/>', "GPX_NO_TRACK_POINTS"),
    "broken.gpx": (b'<gpx version="1.1"><trk><trkseg><trkpt lat=52>', "XML_MALFORMED"),
    "entities.gpx": (b'<!DOCTYPE gpx [<!ENTITY a "b">]><gpx version="1.1">&a;</gpx>', "XML_FORBIDDEN"),
    "untimed.kml": (
        b"<kml><Placemark><LineString><coordinates>4,52 4,53</coordinates></LineString></Placemark></kml>",
        "NO_TIME_DATA",
    ),
    "nowhere.csv": (b"time,speed\n2024-05-01T10:00:00Z,1\n2024-05-01T10:00:01Z,2\n", "CSV_NO_POSITION_COLUMNS"),
    "elapsed.csv": (b"elapsed time (s),lat,lon\n0.0,52.1,4.1\n0.1,52.1,4.2\n", "NO_TIME_DATA"),
    "corrupt.fit": (b"\x0e\x20\x54\x08\x40\x00\x00\x00.FIT\x00\x00" + b"\xff" * 60, "FIT_CORRUPT"),
    "undated.nmea": ((_RMC + b"\r\n") * 3, "NO_TIME_DATA"),
    "two.zip": (_zipped({"a.gpx": _GPX % b"", "b.gpx": _GPX % b""}), "ARCHIVE_UNSUPPORTED"),
    "prose.txt": (b"Dear diary,\nit rained.\n" * 20, "FORMAT_UNRECOGNISED"),
    "empty.csv": (b"", "FILE_EMPTY"),
}

"""`python -m telemetry.formats FILE…`: what the service sees in recordings, by the very function the pipeline uses.

Prints format, dialect, channels, rows, rate and quality; `--json` one object a line and file; `--parquet DIR` writes
the streams. Exit 0 when every file got an outcome, also where that is an error code of the catalogue.
"""

import argparse
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from telemetry import command_line
from telemetry.errors import TelemetryError
from telemetry.formats.reader import Origin
from telemetry.recording import Canonical, canonicalise


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; the exit status."""
    parser = command_line.parser("telemetry.formats", "Shows what recordings hold.")
    parser.add_argument("--parquet", type=Path, metavar="DIR", help="write the streams to DIR/<file name>/")
    parser.add_argument(
        "--uploaded-at",
        type=_moment,
        metavar="TIME",
        help="where a recording tells no date at all, it is taken from this ISO 8601 time",
    )
    options = parser.parse_args(arguments)
    if options.parquet is not None and (problem := _no_target(options.parquet, options.files)):
        parser.error(f"argument --parquet: {command_line.printable(problem)}")
    return command_line.tell(options, lambda path: examine(path, options.parquet, options.uploaded_at), _readable)


def examine(path: Path, parquet: Path | None = None, uploaded_at: datetime | None = None) -> dict[str, Any]:
    """One file's outcome, ready for JSON: ``outcome`` is ``ok`` or the catalogue's code.

    Parameters
    ----------
    parquet : where the streams are kept, in a directory called after the file; a temporary one if None.
    uploaded_at : the last source of a date that the recording lacks; without it, such a file has no time.
    """
    origin = Origin(path.name, uploaded_at)
    with tempfile.TemporaryDirectory() as temporary, path.open("rb") as source:
        directory = Path(temporary) if parquet is None else parquet / path.name
        directory.mkdir(parents=True, exist_ok=True)
        try:
            canonical = canonicalise(source, origin, directory=directory)
        except TelemetryError as error:
            return {**_nothing(path), "outcome": str(error.code), "detail": error.detail, "message": error.message}
        return {**_nothing(path), **_found(canonical)}


def _no_target(directory: Path, files: Sequence[Path]) -> str | None:
    """Why the streams cannot be kept in `directory`, which is made for them."""
    for name, count in Counter(path.name for path in files).items():
        if count > 1:
            return f"{count} files are called {name}, the streams of each would replace the ones before"
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        return f"{directory} is no directory"
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    return None


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError("an ISO 8601 time, for example 2026-05-16T09:30:00Z") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _nothing(path: Path) -> dict[str, Any]:
    return {
        "file": str(path),
        "outcome": "ok",
        "format": None,
        "points": 0,
        "firstTime": None,
        "lastTime": None,
        "boundingBox": None,
        "maxSpeedMps": None,
        "hasAltitude": False,
        "streams": {},
        "laps": 0,
        "quality": None,
    }


def _found(canonical: Canonical) -> dict[str, Any]:
    track, device = canonical.files[0], canonical.device
    return {
        "format": canonical.format,
        "compression": canonical.compression,
        "reason": canonical.reason,
        "points": track.row_count,
        "firstTime": track.quality["startTime"],
        "lastTime": track.quality["endTime"],
        "boundingBox": track.quality["boundingBox"],
        "maxSpeedMps": track.quality["maxSpeedMps"],
        "hasAltitude": track.quality["hasAltitude"],
        "streams": {
            file.stream: {"rows": file.row_count, "bytes": file.byte_size, "sha256": file.sha256}
            for file in canonical.files
        },
        "laps": len(canonical.laps),
        "gates": len(canonical.gates),
        "device": device and {"manufacturer": device.manufacturer, "model": device.model, "name": device.name},
        "quality": track.quality,
        "channels": {
            name: {**channel, "stream": file.stream}
            for file in canonical.files[1:]
            for name, channel in file.quality["channels"].items()
        },
    }


def _readable(outcome: dict[str, Any]) -> Iterator[str]:
    quality = outcome["quality"]
    rate, gaps = quality["nominalRateHz"], quality["gaps"]
    longest = max((gap["lengthS"] for gap in gaps["listed"]), default=0)
    south, west, north, east = outcome["boundingBox"]
    speed = outcome["maxSpeedMps"]
    rows: list[tuple[str, str]] = [
        ("format", f"{outcome['format']} ({outcome['reason']})"),
        ("dialect", "" if quality["dialect"] in outcome["reason"] else quality["dialect"]),
        ("time", f"{outcome['firstTime']} to {outcome['lastTime']} ({quality['timeBasis']})"),
        ("points", f"{outcome['points']} of {quality['rowsRead']} rows"),
        ("rate", f"{rate} Hz, jitter {quality['jitterMs']} ms" if rate else "unknown"),
        ("gaps", f"{gaps['count']}" + (f", longest {longest} s" if longest else "")),
        ("distance", f"{quality['distanceM'] / 1000:.3f} km"),
        ("max speed", "not given" if speed is None else f"{speed * 3.6:.1f} km/h"),
        ("box", f"{south} to {north} north, {west} to {east} east"),
        ("laps in file", str(outcome["laps"] or "")),
        ("streams", ", ".join(f"{name} {stream['rows']} rows" for name, stream in outcome["streams"].items())),
        ("channels", ", ".join(f"{name} [{c['unit'] or '-'}]" for name, c in outcome["channels"].items())),
        ("rejected", _counts(quality["rejected"])),
        ("bad cells", _counts(quality["badCells"])),
        ("doubled times", str(quality["duplicateTimes"] or "")),
        ("backward times", str(quality["backwardTimes"] or "")),
        ("spikes", str(quality["positionSpikes"] or "")),
        ("inferred", "; ".join(quality["inferred"])),
        ("damage", f"{quality['damage']['code']}: {quality['damage']['detail']}" if quality["damage"] else ""),
        ("archive", quality["archiveDamage"] or ""),
    ]  # fmt: skip
    return (f"{name:<15}{text}" for name, text in rows if text)


def _counts(tallies: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {tally['count']}"
        + (f" (first at {', '.join(map(str, tally['firstRows']))})" if tally["firstRows"] else "")
        for name, tally in tallies.items()
    )


if __name__ == "__main__":
    raise SystemExit(command_line.concluded(main))

"""`python -m telemetry.laps FILE…`: laps of recordings or of canonical Parquet files, by the pipeline's own functions.

`--json` prints one object a line and file, its laps as the API gives them; `--gate LAT,LON,LAT,LON` measures at a line
of your own. Exit 0 when every file got an outcome, also where that is an error code of the catalogue.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from telemetry import command_line, recording
from telemetry.api import models
from telemetry.domain.streams import GNSS_PVT
from telemetry.errors import Code, TelemetryError
from telemetry.formats.reader import Origin
from telemetry.laps.crossings import Line
from telemetry.laps.found import LinesGiven, find_laps, gate_of, metadata_of
from telemetry.laps.lap import Lap, best_lap, theoretical_best_ms
from telemetry.laps.motion import COLUMNS
from telemetry.streams.parquet import open_file, read_columns

_PARQUET_MAGIC = b"PAR1"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; the exit status."""
    parser = command_line.parser("telemetry.laps", "Shows the laps of recordings.")
    parser.add_argument("--gate", type=_line, metavar="LAT,LON,LAT,LON", help="the two ends of the start/finish line")
    options = parser.parse_args(_joined(sys.argv[1:] if arguments is None else arguments))
    return command_line.tell(options, lambda path: examine(path, options.gate), _readable)


def examine(path: Path, line: Line | None = None) -> dict[str, Any]:
    """One file's outcome, ready for JSON: ``outcome`` is ``ok`` or the catalogue's code.

    Parameters
    ----------
    line : the start/finish line; None for the file's own laps or line, or a circuit found.
    """
    told: dict[str, Any] = {"file": str(path), "outcome": "ok", "laps": []}
    with path.open("rb") as source:
        head = source.read(len(_PARQUET_MAGIC))
    try:
        if head == _PARQUET_MAGIC:
            return told | _found(path, line)
        with tempfile.TemporaryDirectory() as directory, path.open("rb") as source:
            canonical = recording.canonicalise(source, Origin(path.name), directory=Path(directory))
            return told | _found(next(file.path for file in canonical.files if file.stream == GNSS_PVT), line)
    except TelemetryError as error:
        return told | {"outcome": str(error.code), "detail": error.detail, "message": error.message}


def _found(path: Path, line: Line | None) -> dict[str, Any]:
    try:
        with open_file(path) as parquet:
            if missing := set(COLUMNS) - set(parquet.schema_arrow.names):
                raise TelemetryError(Code.NO_POSITION_DATA, f"no column {', '.join(sorted(missing))}")
            found = find_laps(
                metadata_of(parquet.metadata.metadata, recording.METADATA_KEY),
                lambda: read_columns(parquet, COLUMNS),
                parquet.metadata.num_rows,
                LinesGiven(line) if line else None,
            )
    except pa.ArrowInvalid as error:
        raise TelemetryError(Code.NO_VALID_ROWS, "not a whole Parquet file") from error
    best = best_lap(found.laps)
    return {
        "laps": [_as_the_api(lap) for lap in found.laps],
        "gate": gate_of(found.line) if found.line else None,
        "bestLapMs": best.duration_ms if best else None,
        "bestLapNumber": best.lap_number if best else None,
        "theoreticalBestMs": theoretical_best_ms(found.laps),
    }


def _as_the_api(lap: Lap) -> dict[str, Any]:
    return models.Lap(
        lap_number=lap.lap_number,
        kind=lap.kind,
        start_time_utc=lap.start_time,
        end_time_utc=lap.end_time,
        duration_ms=lap.duration_ms,
        duration_uncertainty_ms=lap.duration_uncertainty_ms,
        distance_m=lap.distance_m,
        max_speed_mps=lap.max_speed_mps,
        source=lap.source,
        sectors_ms=list(lap.sectors_ms),
    ).model_dump(mode="json", by_alias=True)


def _joined(arguments: Sequence[str]) -> list[str]:
    """A gate that begins with a minus sign is a value, not an option."""
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1] == "--gate":
            joined[-1] = f"--gate={argument}"
        else:
            joined.append(argument)
    return joined


def _line(text: str) -> Line:
    try:
        latitude_1, longitude_1, latitude_2, longitude_2 = map(float, text.split(","))
        gate = models.Gate(
            latitude_1_deg=latitude_1,
            longitude_1_deg=longitude_1,
            latitude_2_deg=latitude_2,
            longitude_2_deg=longitude_2,
        )
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            "four numbers: latitude and longitude of each end, 1 to 1000 m apart"
        ) from error
    return Line.between(gate.latitude_1_deg, gate.longitude_1_deg, gate.latitude_2_deg, gate.longitude_2_deg)


def _readable(outcome: dict[str, Any]) -> Iterator[str]:
    if not outcome["laps"]:
        yield "no laps"
    for lap in outcome["laps"]:
        seconds = lap["durationMs"] / 1000
        trust = "" if lap["durationUncertaintyMs"] is None else f" ± {lap['durationUncertaintyMs'] / 1000:.3f}"
        sectors = "  ".join("-" if ms is None else f"{ms / 1000:.3f}" for ms in lap["sectorsMs"])
        best = "  best" if lap["lapNumber"] == outcome["bestLapNumber"] else ""
        yield (
            f"{lap['lapNumber']:>3} {lap['kind']:<5} {int(seconds // 60)}:{seconds % 60:06.3f}{trust} s"
            f"  {lap['source']}  {sectors}{best}".rstrip()
        )


if __name__ == "__main__":
    raise SystemExit(command_line.concluded(main))

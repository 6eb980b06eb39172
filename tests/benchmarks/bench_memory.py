"""Peak memory of the whole process from a text recording to Parquet, for 100 MB and for ten times as much.

    python -m tests.benchmarks.bench_memory [format …]

Each recording is written by a process of its own into a pipe, so that no disk is filled and no cache counted. Without
numpy, as in the service's layers: pyarrow imports it where it is. Goals: 200 MB, and no more for the large one than for
the small one; a tenth more is what the allocators' luck makes of it.
"""

import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TextIO

from fixtures.generator import Recipe, write
from tests.benchmarks.measure import Contender, side_by_side, verdict

WARMING_MB, SMALL_MB, LARGE_MB = 1, 100, 1000
"""The first compiles the modules, which takes memory too."""
MOST_MB = 200
MOST_GROWTH = 1.1
SENSORS = ("gpx", "tcx")
BYTES_PER_ROW = {"csv": 59, "gpx": 245, "tcx": 333, "nmea": 152, "vbo": 64}
START = datetime(2024, 5, 1, tzinfo=UTC)
CHUNK = 3600

_WHOLE_PATH = """
import os, pathlib, subprocess, sys, tempfile
from telemetry.formats.reader import Origin
from telemetry.recording import canonicalise
kind, megabytes, directory = sys.argv[1:]
pipe = f"{directory}/recording.{kind}"
os.mkfifo(pipe)
writer = subprocess.Popen([sys.executable, "-m", "tests.benchmarks.bench_memory", "--write", kind, megabytes, pipe])
class Counted:
    count = 0
    def __init__(self, file):
        self.file = file
    def read(self, size):
        piece = self.file.read(size)
        self.count += len(piece)
        return piece
with open(pipe, "rb") as file:
    source = Counted(file)
    canonical = canonicalise(source, Origin("bench." + kind), directory=pathlib.Path(directory))
assert writer.wait() == 0
os.unlink(pipe)
FIGURES = {"rows": canonical.files[0].row_count, "in_mb": source.count / 1e6}
"""


def main() -> int:
    """Prints the table; 1 when a goal is missed."""
    if sys.argv[1:2] == ["--write"]:
        kind, megabytes, path = sys.argv[2:]
        write_recording(kind, int(megabytes), Path(path))
        return 0
    kinds = sys.argv[1:] or [*BYTES_PER_ROW, *WRITERS]
    reached = []
    sys.stdout.write(f"peak memory in MB of the whole process, {SMALL_MB} and {LARGE_MB} MB\n")
    for kind in kinds:
        with tempfile.TemporaryDirectory() as name:
            figures = side_by_side(
                [
                    Contender(str(size), _WHOLE_PATH, (kind, str(size), name), without=["numpy"])
                    for size in (WARMING_MB, SMALL_MB, LARGE_MB)
                ],
                Path(name),
                runs=1,
            )
        small, large = figures[str(SMALL_MB)], figures[str(LARGE_MB)]
        sys.stdout.write(
            f"  {kind:<5} {small['in_mb']:6.0f} MB {small['rows']:>9.0f} rows: peak {small['peak_mb']:4.0f} MB"
            f"   {large['in_mb']:6.0f} MB {large['rows']:>9.0f} rows: peak {large['peak_mb']:4.0f} MB,"
            f" {large['cpu_s']:5.1f} s CPU\n"
        )
        reached.append(verdict(f"{kind}, peak memory in MB", large["peak_mb"], MOST_MB))
        growth = large["peak_mb"] / max(small["peak_mb"], 1)
        reached.append(verdict(f"{kind}, peak memory / that of the small one", growth, MOST_GROWTH))
        sys.stdout.flush()
    return 0 if all(reached) else 1


def write_recording(kind: str, megabytes: int, path: Path) -> None:
    """Writes about so many megabytes of a format into a file or pipe."""
    if kind in BYTES_PER_ROW:
        rows = megabytes * 1_000_000 // BYTES_PER_ROW[kind]
        write(Recipe(format=kind, rows=rows, sensors=kind in SENSORS), path)
        return
    with path.open("w", encoding="utf-8", buffering=1 << 20) as out:
        WRITERS[kind](megabytes * 1_000_000, out)


def _hours(line: Callable[[datetime], str], count: int) -> Iterator[str]:
    """An hour of lines, one for each second, and the same for so many hours in all; hours are told by `%H` and date."""
    hour = "".join(line(START + timedelta(seconds=second)) for second in range(CHUNK))
    for number in range(count):
        at = START + timedelta(hours=number)
        yield hour.replace("2024-05-01T00", f"{at:%Y-%m-%dT%H}").replace("\nB00", f"\nB{at:%H}")


def _kml(size: int, out: TextIO) -> None:
    """One track, all its times before its first place: the way that asks most of a reader."""
    count = size // ((37 + 48) * CHUNK)
    out.write('<?xml version="1.0"?><kml xmlns:gx="http://www.google.com/kml/ext/2.2"><Placemark><gx:Track>\n')
    out.writelines(_hours(lambda at: f"<when>{at:%Y-%m-%dT%H:%M:%SZ}</when>\n", count))
    out.writelines(
        _hours(
            lambda at: f"<gx:coord>{8 + at.minute / 1e3:.6f} {47 + at.second / 1e3:.6f} {500 + at.second}</gx:coord>\n",
            count,
        )
    )
    out.write("</gx:Track></Placemark></kml>\n")


def _igc(size: int, out: TextIO) -> None:
    """One fix a second, midnight after midnight."""
    out.write("AXXX001 Recorder\nHFDTE010524")
    out.writelines(
        _hours(
            lambda at: f"\nB{at:%H%M%S}4730{at.minute:02}{at.second % 10}N0081525{at.second % 10}EA0044400456",
            size // (36 * CHUNK),
        )
    )
    out.write("\n")


WRITERS: dict[str, Callable[[int, TextIO], None]] = {"kml": _kml, "igc": _igc}


if __name__ == "__main__":
    sys.exit(main())

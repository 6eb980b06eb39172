"""GPX to Parquet, with the quality report, beside raw expat, gpxpy and pyogrio on the same machine.

    python -m tests.benchmarks.bench_gpx [--rows 1000000] [--runs 3]

Raw expat parses the same bytes and hands nothing over. gpxpy builds its objects and writes nothing; it gets a shorter
file, as its cost per point does not fall with size and its memory grows by 4.5 KB a point. pyogrio (GDAL) writes
Parquet from its Arrow table; it is left out where it is not installed. Seconds are those of the whole process on an
otherwise idle machine; the ratio of CPU seconds stands beside them, as the reader uses a second core where it can.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from fixtures.generator import Recipe, write
from tests.benchmarks.measure import Contender, side_by_side, table, verdict

GPXPY_ROWS = 50_000

_WHOLE_PATH = """
import sys, pathlib
from telemetry.formats.reader import Origin
from telemetry.recording import canonicalise
with open(sys.argv[1], "rb") as source:
    canonical = canonicalise(source, Origin("bench.gpx"), directory=pathlib.Path(sys.argv[2]))
FIGURES = {"rows": canonical.files[0].row_count, "out_mb": sum(file.byte_size for file in canonical.files) / 1e6}
"""
_READER = """
import sys
from telemetry.formats.gpx import READER
from telemetry.formats.reader import Findings, Origin
with open(sys.argv[1], "rb") as source:
    rows = sum(batch.num_rows for batch in READER.read(source, Origin(), Findings()))
FIGURES = {"rows": rows}
"""
_EXPAT = """
import sys
from xml.parsers import expat
parser = expat.ParserCreate()
with open(sys.argv[1], "rb") as source:
    while piece := source.read(1 << 20):
        parser.Parse(piece)
parser.Parse(b"", True)
"""
_GPXPY = """
import sys, gpxpy
with open(sys.argv[1], encoding="utf-8") as source:
    document = gpxpy.parse(source)
FIGURES = {"rows": document.get_track_points_no()}
"""
_PYOGRIO = """
import sys, pyarrow.parquet, pyogrio
_, points = pyogrio.read_arrow(sys.argv[1], layer="track_points")
pyarrow.parquet.write_table(points, sys.argv[2] + "/pyogrio.parquet", compression="zstd")
FIGURES = {"rows": points.num_rows}
"""


def _write(rows: int, path: Path) -> None:
    """A recording with speed and heart rate, each element on a line of its own as most programs write them."""
    dense = path.with_suffix(".dense")
    write(Recipe(format="gpx", rows=rows, sensors=True), dense)
    with dense.open(encoding="utf-8") as lines, path.open("w", encoding="utf-8") as indented:
        indented.writelines(line.replace("><", ">\n    <") for line in lines)
    dense.unlink()


def main() -> int:
    """Prints figures and ratios; exit 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        whole, short, small = (directory / f"{part}.gpx" for part in ("whole", "short", "small"))
        _write(options.rows, whole)
        _write(min(GPXPY_ROWS, options.rows), short)
        _write(max(options.rows // 4, 1), small)
        figures = side_by_side(
            [
                Contender("whole path to Parquet", _WHOLE_PATH, [str(whole), name]),
                Contender("whole path, a quarter of the file", _WHOLE_PATH, [str(small), name]),
                Contender("reader alone", _READER, [str(whole)]),
                Contender("raw expat, no handlers", _EXPAT, [str(whole)]),
                Contender("pyogrio to Parquet", _PYOGRIO, [str(whole), name], needs="pyogrio"),
                Contender(f"gpxpy, {GPXPY_ROWS} points", _GPXPY, [str(short)]),
            ],
            directory,
            options.runs,
        )
        megabytes = whole.stat().st_size / 1e6
        sys.stdout.write(table(f"GPX, {options.rows} points, {megabytes:.0f} MB", figures))
        ours, expat = figures["whole path to Parquet"], figures["raw expat, no handlers"]
        quarter = figures["whole path, a quarter of the file"]
        gpxpy = figures[f"gpxpy, {GPXPY_ROWS} points"]
        per_point = gpxpy["wall_s"] / gpxpy["rows"]
        sys.stdout.write(f"  CPU of the whole path / raw expat: {ours['cpu_s'] / expat['cpu_s']:.2f}\n")
        reached = [
            verdict("whole path / raw expat", ours["wall_s"] / expat["wall_s"], 1.3),
            verdict("gpxpy / whole path", per_point * ours["rows"] / ours["wall_s"], 20, at_most=False),
            verdict("peak memory in MB", ours["peak_mb"], 200),
            verdict("peak memory / that of a quarter of the file", ours["peak_mb"] / quarter["peak_mb"], 1.2),
        ]
        if gdal := figures.get("pyogrio to Parquet"):
            reached.append(verdict("whole path / pyogrio", ours["wall_s"] / gdal["wall_s"], 0.6))
    return 0 if all(reached) else 1


if __name__ == "__main__":
    sys.exit(main())

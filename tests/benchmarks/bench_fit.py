"""FIT to Parquet, with the quality report, beside fitdecode's own loop over the same file, which writes nothing.

    python -m tests.benchmarks.bench_fit [--rows 200000] [--runs 3]

CPU seconds are compared with CPU seconds, so that other load on the machine weighs little. Goal: twice its speed.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.measure import Contender, side_by_side, table, verdict
from tests.unit.fit_files import RECORD_LAYOUT, definition, fit_file, record

_WHOLE_PATH = """
import sys, pathlib
from telemetry.formats.reader import Origin
from telemetry.recording import canonicalise
with open(sys.argv[1], "rb") as source:
    canonical = canonicalise(source, Origin("bench.fit"), directory=pathlib.Path(sys.argv[2]))
FIGURES = {"rows": canonical.files[0].row_count}
"""
_FITDECODE = """
import sys, fitdecode
rows = 0
with fitdecode.FitReader(sys.argv[1]) as reader:
    for frame in reader:
        if frame.frame_type == fitdecode.FIT_FRAME_DATA and frame.name == "record":
            rows += 1
FIGURES = {"rows": rows}
"""


def main() -> int:
    """Prints figures and ratios; exit 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "bench.fit"
        path.write_bytes(_recording(options.rows))
        figures = side_by_side(
            [
                Contender("whole path to Parquet", _WHOLE_PATH, [str(path), name]),
                Contender("fitdecode, its own loop", _FITDECODE, [str(path)], needs="fitdecode"),
            ],
            Path(name),
            options.runs,
        )
        sys.stdout.write(table(f"FIT, {options.rows} records, {path.stat().st_size / 1e6:.1f} MB", figures))
    ours, theirs = figures["whole path to Parquet"], figures.get("fitdecode, its own loop")
    reached = [verdict("peak memory in MB", ours["peak_mb"], 200)]
    if theirs:
        reached.append(verdict("fitdecode / CPU of the whole path", theirs["cpu_s"] / ours["cpu_s"], 2, at_most=False))
    return 0 if all(reached) else 1


def _recording(rows: int) -> bytes:
    layout = definition(20, RECORD_LAYOUT)
    records = (record(n, 47 + n % 9000 / 1e4, 8 + n % 7000 / 1e4, n % 30_000, 60 + n % 120) for n in range(rows))
    return fit_file(layout + b"".join(records))


if __name__ == "__main__":
    sys.exit(main())

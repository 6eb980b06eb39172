"""TCX beside GPX, and VBO beside CSV: the same drive, each from its own syntax to Parquet with the quality report.

    python -m tests.benchmarks.bench_tcx_vbo [--rows 500000] [--runs 3]

TCX spends more tags than GPX on a point, so it is held to GPX by the byte; VBO's rows are as short as CSV's, so it is
held to CSV by the row. CPU seconds throughout.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from fixtures.generator import Recipe, write
from tests.benchmarks.measure import Contender, side_by_side, table, verdict

_WHOLE_PATH = """
import sys, pathlib
from telemetry.formats.reader import Origin
from telemetry.recording import canonicalise
with open(sys.argv[1], "rb") as source:
    canonical = canonicalise(source, Origin(pathlib.Path(sys.argv[1]).name), directory=pathlib.Path(sys.argv[2]))
FIGURES = {"rows": canonical.files[0].row_count, "in_mb": pathlib.Path(sys.argv[1]).stat().st_size / 1e6}
"""


def main() -> int:
    """Prints figures and ratios; exit 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        contenders = []
        for kind in ("gpx", "tcx", "csv", "vbo"):
            path = Path(name) / f"bench.{kind}"
            write(Recipe(format=kind, rows=options.rows, sensors=kind in ("gpx", "tcx")), path)
            contenders.append(Contender(kind, _WHOLE_PATH, [str(path), name]))
        figures = side_by_side(contenders, Path(name), options.runs)
        sys.stdout.write(table(f"the same drive in four formats, {options.rows} points", figures))
    by_byte = {kind: values["cpu_s"] / values["in_mb"] for kind, values in figures.items()}
    reached = [
        verdict("CPU of TCX / of GPX, a byte", by_byte["tcx"] / by_byte["gpx"], 1.3),
        verdict("CPU of VBO / of CSV, a row", figures["vbo"]["cpu_s"] / figures["csv"]["cpu_s"], 1.5),
    ]
    return 0 if all(reached) else 1


if __name__ == "__main__":
    sys.exit(main())

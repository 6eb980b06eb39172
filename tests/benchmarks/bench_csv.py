"""CSV to Parquet, with the quality report, beside DuckDB's COPY of the same file on the same machine.

    python -m tests.benchmarks.bench_csv [--rows 5000000] [--runs 3]

DuckDB guesses the types from the file and judges nothing. The goals are held against its COPY with zstd, which is
what ours writes; beside it stands snappy, which it takes unasked and which needs less time and more room. Its CPU
seconds are those of all its threads. Ours runs without numpy, as in the service's layers: pyarrow imports it where it
is. Positions carry noise, as real ones do: without it their bytes would compress like nothing real.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from fixtures.generator import Recipe, write
from tests.benchmarks.measure import Contender, side_by_side, table, verdict

CODECS = ("zstd", "snappy")
"""The first is ours."""

_WHOLE_PATH = """
import sys, pathlib
from telemetry.formats.reader import Origin
from telemetry.recording import canonicalise
with open(sys.argv[1], "rb") as source:
    canonical = canonicalise(source, Origin("bench.csv"), directory=pathlib.Path(sys.argv[2]))
FIGURES = {"rows": canonical.files[0].row_count, "out_mb": sum(file.byte_size for file in canonical.files) / 1e6}
"""
_DUCKDB = """
import sys, pathlib, duckdb
out = pathlib.Path(sys.argv[2]) / "duckdb.parquet"
duckdb.sql(f"COPY (FROM read_csv('{sys.argv[1]}')) TO '{out}' (FORMAT parquet, COMPRESSION {sys.argv[3]})")
FIGURES = {"rows": duckdb.sql(f"SELECT count(*) FROM '{out}'").fetchall()[0][0], "out_mb": out.stat().st_size / 1e6}
"""


def main() -> int:
    """Prints figures and ratios; exit 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "bench.csv"
        write(Recipe(rows=options.rows, noise_m=0.3, drift_m=1.0), path)
        figures = side_by_side(
            [
                Contender("whole path to Parquet", _WHOLE_PATH, [str(path), name], without=["numpy"]),
                *(Contender(f"DuckDB's COPY, {c}", _DUCKDB, [str(path), name, c], needs="duckdb") for c in CODECS),
            ],
            Path(name),
            options.runs,
        )
        sys.stdout.write(table(f"CSV, {options.rows} rows, {path.stat().st_size / 1e6:.0f} MB", figures))
    ours = figures["whole path to Parquet"]
    reached = [verdict("peak memory in MB", ours["peak_mb"], 200)]
    for codec in CODECS:
        if theirs := figures.get(f"DuckDB's COPY, {codec}"):
            ratios = {name: ours[name] / theirs[name] for name in ("cpu_s", "out_mb", "peak_mb")}
            if codec != CODECS[0]:
                words = ", ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items())
                sys.stdout.write(f"  beside {codec}: {words}\n")
                continue
            reached.append(verdict(f"CPU of the whole path / DuckDB's, {codec}", ratios["cpu_s"], 0.7))
            reached.append(verdict(f"bytes out / DuckDB's, {codec}", ratios["out_mb"], 0.7))
            reached.append(verdict(f"peak memory / DuckDB's, {codec}", ratios["peak_mb"], 1.0))
    return 0 if all(reached) else 1


if __name__ == "__main__":
    sys.exit(main())

"""NMEA to Parquet, with the quality report, beside pynmea2's bare parsing of the same sentences.

    python -m tests.benchmarks.bench_nmea [--rows 400000]

Both run on this machine in turn, three times; medians of CPU time (each uses one thread), which other load moves
least. pynmea2 gets the first 60 000 sentences, as its cost per sentence does not change. Goal: five times its rate.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from fixtures.generator import Recipe, write

GOAL = 5.0
REFERENCE_SENTENCES = 60_000
RUNS = 3
_WHOLE_PATH = """
import sys, pathlib, time, resource
from telemetry.formats.reader import Origin
from telemetry.recording import canonicalise
start, cpu = time.perf_counter(), time.process_time()
with open(sys.argv[1], "rb") as source:
    canonical = canonicalise(source, Origin("bench.nmea"), directory=pathlib.Path(sys.argv[2]))
print(time.perf_counter() - start, time.process_time() - cpu, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
      canonical.files[0].row_count, canonical.files[0].byte_size)
"""
_REFERENCE = """
import itertools, sys, time, pynmea2
with open(sys.argv[1], encoding="ascii") as source:
    lines = list(itertools.islice(source, int(sys.argv[2])))
start = time.process_time()
for line in lines:
    message = pynmea2.parse(line, check=True)
    message.latitude, message.longitude, message.timestamp
print((time.process_time() - start) / len(lines))
"""


def _child(code: str, *arguments: str) -> list[float]:
    paths = {"PYTHONPATH": "layers/core/python"}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True, env=paths
    )
    return [float(value) for value in done.stdout.split()]


def main() -> int:
    """Prints the figures; exit 1 when the goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=400_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "bench.nmea"
        write(Recipe(format="nmea", rows=rows, noise_m=0.2, drift_m=1.0), path)
        megabytes = path.stat().st_size / 1e6
        ours, theirs = [], []
        for _ in range(RUNS):
            ours.append(_child(_WHOLE_PATH, str(path), directory))
            theirs.append(_child(_REFERENCE, str(path), str(REFERENCE_SENTENCES))[0])
        wall, cpu, peak, kept, size = (statistics.median(run[i] for run in ours) for i in range(5))
        reference = statistics.median(theirs) * 2 * rows
        sys.stdout.write(
            f"NMEA, {rows} epochs, {2 * rows} sentences, {megabytes:.0f} MB\n"
            f"  whole path to Parquet   {wall:6.2f} s wall, {cpu:6.2f} s CPU, {2 * rows / cpu:9.0f} sentences/s,"
            f" {megabytes / cpu:5.1f} MB/s, peak {peak:.0f} MB, {kept:.0f} rows, {size / 1e6:.1f} MB out\n"
            f"  pynmea2, parsing alone  {reference:6.2f} s CPU (from {REFERENCE_SENTENCES} sentences)\n"
            f"  ratio {reference / cpu:.1f} (goal {GOAL:g})\n"
        )
        return 0 if reference / cpu >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())

"""Lap detection: the accuracy table over generated recordings with known truth, and 24 hours at 10 Hz on one core.

python -m tests.benchmarks laps
python tests/benchmarks/bench_laps.py [recordings]
"""

import statistics
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.measure import Contender, side_by_side, verdict
from tests.laps.accuracy import Accuracy, measure_accuracy, percentile
from tests.laps.truth import Noise, recipes

RECORDINGS = 200
NOISES: dict[str, Noise] = {
    "white 0.3 m": {"noise_m": 0.3},
    "white 0.3 m + slow 0.8 m": {"noise_m": 0.3, "drift_m": 0.8, "drift_time_s": 30.0},
}
DAY_FIXES = 864_000

_WRITE = """
import sys
import pyarrow as pa, pyarrow.parquet as pq
from fixtures.generator import Drive, Recipe
from tests.laps.truth import track_of
recipe = Recipe(rows=int(sys.argv[2]), rate_hz=10, noise_m=0.3, drift_m=0.8, drift_time_s=30.0)
pq.write_table(pa.Table.from_batches([track_of(Drive(recipe))]), sys.argv[1], row_group_size=1 << 17)
"""

_DETECT = """
import sys, time
import telemetry
import pyarrow as pa
pa.set_cpu_count(1)
import pyarrow.parquet as pq
from telemetry.laps.found import find_laps
from telemetry.laps.motion import COLUMNS
start = time.process_time()
with pq.ParquetFile(sys.argv[1], pre_buffer=False, buffer_size=65536) as file:
    found = find_laps({}, lambda: file.iter_batches(columns=list(COLUMNS), use_threads=False), file.metadata.num_rows)
FIGURES = {"detect_s": time.process_time() - start, "laps": len(found.laps)}
"""


def main(recordings: int = RECORDINGS) -> int:
    """Prints the table and the verdicts; 1 when a goal is missed."""
    # First: a child's peak memory begins with its parent's.
    reached = speed()
    sys.stdout.write(
        f"Lap times against the truth, {recordings} recordings, 10 Hz, circuits of 1 to 5 km, 15 to 60 m/s; ms\n"
        f"  {'noise':<26}{'line':<7}{'laps':>6}{'median':>8}{'95 %':>8}{'linear':>8}{'95 %':>8}{'bound':>8}{'95 %':>8}"
        f"{'stated':>8}{'covers':>8}{'wrong':>7}\n"
    )
    for noise, values in NOISES.items():
        for given, accuracy in measure_accuracy(list(recipes(recordings, **values))).items():
            sys.stdout.write(row(noise, given=given, accuracy=accuracy))
            reached += goals(accuracy, slow="drift_m" in values)
    return 0 if all(reached) else 1


def row(noise: str, *, given: bool, accuracy: Accuracy) -> str:
    """One line of the table."""
    figures = [
        statistics.median(accuracy.errors),
        percentile(accuracy.errors, 0.95),
        statistics.median(accuracy.linear),
        percentile(accuracy.linear, 0.95),
        accuracy.bound_median,
        accuracy.bound_95,
        statistics.median(accuracy.stated),
    ]
    cells = "".join(f"{figure:>8.2f}" for figure in figures)
    return (
        f"  {noise:<26}{'given' if given else 'found':<7}{len(accuracy.errors):>6}{cells}{accuracy.covered:>8.1%}"
        f"{len(accuracy.miscounted):>7}\n"
    )


def goals(accuracy: Accuracy, *, slow: bool) -> list[bool]:
    """The verdicts on one line of the table."""
    median, most = statistics.median(accuracy.errors), percentile(accuracy.errors, 0.95)
    reached = [
        verdict("recordings with a missed or extra lap", len(accuracy.miscounted), 0),
        verdict("median error over that of linear interpolation", median / statistics.median(accuracy.linear), 1.0),
        verdict("95 % error over that of linear interpolation", most / percentile(accuracy.linear, 0.95), 1.0),
        verdict("share of laps that the stated uncertainty covers", accuracy.covered, 0.9, at_most=False),
        verdict("median stated uncertainty over median error", accuracy.padding, 3.0),
    ]
    if slow:
        reached.append(verdict("median error over the noise's own bound", median / accuracy.bound_median, 1.15))
        reached.append(verdict("95 % error over the noise's own bound", most / accuracy.bound_95, 1.15))
    else:
        reached.append(verdict("median error over 40 m/s, ms", statistics.median(accuracy.fast_errors), 3.0))
        reached.append(verdict("95 % error over 40 m/s, ms", percentile(accuracy.fast_errors, 0.95), 10.0))
    return reached


def speed() -> list[bool]:
    """24 hours of laps at 10 Hz, from Parquet to laps."""
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        file = str(directory / "day.parquet")
        # In a process of its own: a child's peak begins with its parent's.
        side_by_side([Contender("write", _WRITE, (file, str(DAY_FIXES)))], directory, runs=1)
        figures = side_by_side([Contender("24 h at 10 Hz", _DETECT, (file,))], directory)["24 h at 10 Hz"]
    sys.stdout.write(f"24 h at 10 Hz, {DAY_FIXES} fixes, {figures['laps']:.0f} laps, one core\n")
    return [
        verdict("seconds from Parquet to laps", figures["detect_s"], 2.0),
        verdict("peak memory of the process, MB", figures["peak_mb"], 300.0),
    ]


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))

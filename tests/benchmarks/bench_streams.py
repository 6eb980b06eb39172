"""What normalisation, quality report and ordering cost beside the bare Parquet write of the same rows.

    python -m tests.benchmarks.bench_streams

A million plain fixes (time, position, altitude, speed) as a reader would give them; then the same fixes in reverse,
which costs a second pass. Peak memory must not grow with the rows.
"""

import sys
import tempfile
from pathlib import Path

from tests.benchmarks.measure import Contender, side_by_side, table, verdict

ROWS = 1_000_000
MOST_BEYOND_WRITE_S = 0.35
MOST_PEAK_MB = 200

_FIXES = """
import pathlib, sys, time
import telemetry
import pyarrow as pa, pyarrow.compute as pc
from telemetry.streams.channels import TIMESTAMP
def fixes(first, count):
    index = pa.arange(first, first + count)
    turn = pc.divide(index.cast(pa.float64()), 100.0)
    noise = pc.multiply(pc.random(count, initializer=first), 1e-6)
    return pa.RecordBatch.from_pydict({
        "timestamp": pc.add(pc.multiply(index, 100_000), 1_714_557_600_000_000).view(TIMESTAMP),
        "latitude_deg": pc.round(pc.add(pc.add(pc.multiply(pc.sin(turn), 0.001), 52.0), noise), 7),
        "longitude_deg": pc.round(pc.add(pc.add(pc.multiply(pc.cos(turn), 0.002), -1.0), noise), 7),
        "altitude_m": pc.round(pc.add(pc.multiply(pc.sin(pc.divide(turn, 3.0)), 5.0), 100.0), 1),
        "speed_mps": pc.round(pc.add(pc.multiply(pc.sin(turn), 10.0), 20.0), 2).cast(pa.float32()),
        "source_row": pc.add(index, 1),
    })
rows, directory = int(sys.argv[1]), pathlib.Path(sys.argv[2])
firsts = range(0, rows, 10_000)
"""
_WHOLE = (
    _FIXES
    + """
from telemetry.streams.normalise import Normaliser
from telemetry.streams.ordering import OrderedStream
from telemetry.streams.quality import TrackQuality
order = firsts if sys.argv[3] == "ordered" else reversed(firsts)
normaliser, stream, spent = Normaliser(), OrderedStream(directory / "gnss_pvt.parquet", TrackQuality), 0.0
for first in order:
    batch, start = fixes(first, 10_000), time.process_time()
    for streams in normaliser.push(batch):
        stream.write(streams["gnss_pvt"])
    spent += time.process_time() - start
start = time.process_time()
for streams in normaliser.finish():
    stream.write(streams["gnss_pvt"])
stream.finish()
stream.observer.report()
stream.close({})
FIGURES = {"spent_s": spent + time.process_time() - start}
"""
)
_BARE = (
    _FIXES
    + """
from telemetry.streams.parquet import ParquetFileWriter
from telemetry.streams.channels import GNSS_PVT_SCHEMA
writer, spent = None, 0.0
for first in range(0, rows, 131_072):
    given = fixes(first, min(131_072, rows - first))
    zero = pa.repeat(pa.scalar(0, pa.uint32()), given.num_rows)
    batch = pa.RecordBatch.from_arrays(
        [given[f.name] if f.name in given.schema.names else zero if f.name == "flags" else pa.nulls(len(zero), f.type)
         for f in GNSS_PVT_SCHEMA], schema=GNSS_PVT_SCHEMA)
    start = time.process_time()
    writer = writer or ParquetFileWriter(directory / "bare.parquet", [batch])
    writer.write([batch])
    spent += time.process_time() - start
start = time.process_time()
writer.close({})
FIGURES = {"spent_s": spent + time.process_time() - start}
"""
)


def main() -> int:
    """Prints the figures; 1 when a goal is missed."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        figures = side_by_side(
            [
                Contender("bare Parquet write", _BARE, (str(ROWS), name)),
                Contender("whole, in order", _WHOLE, (str(ROWS), name, "ordered")),
                Contender("whole, reversed", _WHOLE, (str(ROWS), name, "reversed")),
                Contender("whole, in order, four times as much", _WHOLE, (str(4 * ROWS), name, "ordered")),
            ],
            directory,
        )
        sys.stdout.write(table(f"streams, {ROWS} fixes (spent: without making the fixes)", figures))
        whole, bare = figures["whole, in order"], figures["bare Parquet write"]
        large = figures["whole, in order, four times as much"]
        reached = [
            verdict("CPU seconds beyond the bare write", whole["spent_s"] - bare["spent_s"], MOST_BEYOND_WRITE_S),
            verdict("peak of four times as much, MB", large["peak_mb"], MOST_PEAK_MB),
            verdict("peak of four times as much / peak", large["peak_mb"] / whole["peak_mb"], 1.1),
        ]
    return 0 if all(reached) else 1


if __name__ == "__main__":
    sys.exit(main())

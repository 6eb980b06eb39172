"""Reading makes nothing that only the garbage collector can take away.

It comes by rarely in a process that just reads (`telemetry/cold_start.py`), so that cycles would add up to megabytes.
"""

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fixtures.generator import Recipe, write
from telemetry.formats.containers import ContainerLimits, open_recording
from telemetry.formats.gpx import GpxReader
from telemetry.formats.reader import Findings, Origin
from telemetry.formats.recognition import HEAD_BYTES, reader_named
from telemetry.formats.tcx import TcxReader

BLOCK_BYTES = 50_000
IN_SMALL_BLOCKS: dict[str, Any] = {"gpx": GpxReader(block_bytes=BLOCK_BYTES), "tcx": TcxReader(block_bytes=BLOCK_BYTES)}


@pytest.fixture
def _no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("_no_collector")
@pytest.mark.parametrize("kind", ["csv", "gpx", "tcx", "nmea", "vbo"])
def test_reading_leaves_no_cycles(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{kind}"
    # Short laps: what stands between points is met in every block.
    write(Recipe(format=kind, rows=3000, rate_hz=1, length_m=1000, sensors=kind in IN_SMALL_BLOCKS), path)
    reader = IN_SMALL_BLOCKS.get(kind) or reader_named(kind)
    assert reader is not None
    unreachable = rows = 0
    with path.open("rb") as file:
        recording = open_recording(file, tmp_path, ContainerLimits(), HEAD_BYTES)
        gc.collect()
        for batch in reader.read(recording, Origin(path.name), Findings()):
            unreachable += gc.collect()
            rows += batch.num_rows
    assert rows == 3000
    assert unreachable == 0

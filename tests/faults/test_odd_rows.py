"""NaN/Inf/+-91 degrees rows; backward and doubled times; year 1980 or 2099 stamps: counted in the quality report, H."""

import hashlib
from typing import Any

from tests.faults.conftest import at_rest
from tests.faults.worker_pool import WorkerPool
from tests.plugins.harness import SAMPLES

CSV = (SAMPLES / "sample_gnss_10hz.csv").read_bytes()
_HEAD, *_ROWS = CSV.splitlines(keepends=True)
_COLUMNS = _HEAD.decode().strip().split(",")
TIME, LATITUDE = 0, next(i for i, name in enumerate(_COLUMNS) if name.startswith("lat"))


def with_cell(row: bytes, column: int, value: str) -> bytes:
    """The row with another value in one cell."""
    cells = row.decode().split(",")
    cells[column] = value if column < len(cells) - 1 else value + "\n"
    return ",".join(cells).encode()


def processed(pool: WorkerPool, content: bytes) -> dict[str, Any]:
    """The quality report of the track; every invariant holds, H among them."""
    made = pool.harness.finalised(content)
    at_rest(pool, {hashlib.sha256(content).hexdigest(): content})
    assert pool.harness.session(made)["status"] == "READY", pool.harness.run(made)["error_code"]
    dataset = next(one for one in pool.harness.datasets(made) if one["stream"] == "gnss_pvt")
    quality: dict[str, Any] = dataset["quality"]
    assert quality["rowsKept"] == dataset["row_count"]
    return quality


def test_positions_that_are_none(pool: WorkerPool) -> None:
    odd = ["NaN", "inf", "-Infinity", "91", "-91", "1e999", ""]
    rows = list(_ROWS[:100])
    for number, value in enumerate(odd):
        rows[10 + number * 3] = with_cell(rows[10 + number * 3], LATITUDE, value)
    quality = processed(pool, _HEAD + b"".join(rows))
    assert quality["rowsRead"] == 100
    assert quality["rowsKept"] == 100 - len(odd)
    assert _rejected(quality) == len(odd)


def test_backward_and_doubled_times(pool: WorkerPool) -> None:
    rows = list(_ROWS[:100])
    rows[20], rows[21] = rows[21], rows[20]
    rows[50] = with_cell(rows[50], TIME, rows[49].decode().split(",")[TIME])
    quality = processed(pool, _HEAD + b"".join(rows))
    assert quality["rowsKept"] == 100
    assert quality["backwardTimes"] == 1
    assert quality["duplicateTimes"] == 1


def test_stamps_of_1980_and_2099(pool: WorkerPool) -> None:
    rows = list(_ROWS[:100])
    stamp = rows[0].decode().split(",")[TIME]
    for number, year in ((3, "1980"), (4, "2099")):
        rows[number] = with_cell(rows[number], TIME, year + stamp[4:])
    quality = processed(pool, _HEAD + b"".join(rows))
    assert quality["rowsRead"] == 100
    assert quality["rowsKept"] == 98
    assert _rejected(quality) == 2


def test_the_same_bytes_twice(pool: WorkerPool) -> None:
    """H over two sessions of the same bytes: the same rows, though each file names its own session."""
    first, second = pool.harness.finalised(CSV, "a.csv"), pool.harness.finalised(CSV, "a.csv")
    at_rest(pool, {hashlib.sha256(CSV).hexdigest(): CSV})
    facts = ("stream", "row_count", "start_time_utc", "end_time_utc", "quality")
    one, other = (
        [{name: row[name] for name in facts} for row in pool.harness.datasets(made)] for made in (first, second)
    )
    assert one == other


def _rejected(quality: dict[str, Any]) -> int:
    return sum(one["count"] for one in quality["rejected"].values())

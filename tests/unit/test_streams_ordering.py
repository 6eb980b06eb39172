"""Any order in, one file ordered by time out: stable, bounded, the same on every run."""

import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from telemetry.streams import ordering
from telemetry.streams.channels import TIMESTAMP
from telemetry.streams.ordering import OrderedStream

SHUFFLED = random.Random(3).sample(range(2000), 2000)


class Watch:
    """Remembers what it saw, to hold it against the file."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    def observe(self, rows: pa.RecordBatch, following: pa.RecordBatch | None, /) -> pa.RecordBatch:
        if following is not None:
            assert following.column("timestamp")[0].value >= rows.column("timestamp")[-1].value
        self.rows += rows.column("source_row").to_pylist()
        return rows


def batch(times: list[int], first_row: int, **columns: Any) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(
        {
            "timestamp": pa.array(times, pa.int64()).view(TIMESTAMP),
            "source_row": pa.array(range(first_row, first_row + len(times)), pa.int64()),
            **{name: pa.array(values, pa.float64()) for name, values in columns.items()},
        }
    )


def written(path: Path, batches: list[pa.RecordBatch]) -> tuple[pa.Table, Watch]:
    stream = OrderedStream(path, Watch)
    for one in batches:
        stream.write(one)
    stream.finish()
    stream.close({"telemetry": "{}"})
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    file = pq.ParquetFile(path)
    assert file.metadata.metadata[b"telemetry"] == b"{}"
    groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
    bounds = [(g.column(0).statistics.min, g.column(0).statistics.max) for g in groups]
    assert all(a[1] <= b[0] for a, b in pairwise(bounds))
    table = file.read()
    assert stream.rows == len(table)
    assert stream.observer.rows == table["source_row"].to_pylist()
    return table, stream.observer


def in_batches(times: list[int], size: int) -> list[pa.RecordBatch]:
    return [batch(times[at : at + size], at + 1) for at in range(0, len(times), size)]


def expected(times: list[int]) -> list[int]:
    """Source rows in a stable order by time."""
    return [row for _, row in sorted((t, row) for row, t in enumerate(times, 1))]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Row groups of 64 rows, merges of 3 runs, 16 rows a time: every path is walked with few rows."""
    monkeypatch.setattr(ordering, "ROW_GROUP_ROWS", 64)
    monkeypatch.setattr(ordering, "MERGED_RUNS", 3)
    monkeypatch.setattr(ordering, "MERGE_BATCH_ROWS", 16)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    "times",
    [
        list(range(1000)),
        list(range(1000, 0, -1)),
        [*range(500), *range(500)],
        [t for _ in range(20) for t in range(50)],
        [t // 100 for t in range(1000)],
        SHUFFLED[:1000],
        [t % 7 for t in SHUFFLED[:1000]],
        [1, 0] * 500,
        [*range(900), 5, *range(900, 1000)],
        [7],
    ],
    ids=[
        "ordered",
        "reversed",
        "twice",
        "twenty times",
        "few times",
        "random",
        "doubled",
        "to and fro",
        "one stray",
        "one",
    ],
)
def test_any_order_becomes_ordered_and_stable(times: list[int], tmp_path: Path) -> None:
    table, _ = written(tmp_path / "a.parquet", in_batches(times, 37))
    assert table["source_row"].to_pylist() == expected(times)


@pytest.mark.usefixtures("small")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(times=st.lists(st.integers(0, 300), min_size=1, max_size=600), size=st.integers(1, 100))
def test_any_order(times: list[int], size: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    table, _ = written(tmp_path_factory.mktemp("any") / "a.parquet", in_batches(times, size))
    assert table["source_row"].to_pylist() == expected(times)


@pytest.mark.usefixtures("small")
def test_disorder_within_the_window_costs_no_second_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OrderedStream, "_reorder", lambda self: pytest.fail("second pass"))
    # Neighbours swapped, also across the edges of row groups.
    times = [((t + 1) ^ 1) for t in range(1000)]
    table, _ = written(tmp_path / "a.parquet", in_batches(times, 32))
    assert table["source_row"].to_pylist() == expected(times)


@pytest.mark.usefixtures("small")
def test_few_runs_are_merged_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    merged = ordering._merged
    seen: list[int] = []

    def watched(runs: list[Any], *others: Any) -> Any:
        seen.append(len(runs))
        return merged(runs, *others)

    monkeypatch.setattr(ordering, "_merged", watched)
    written(tmp_path / "a.parquet", in_batches(SHUFFLED, 100))
    assert len(seen) > 10
    assert max(seen) <= ordering.MERGED_RUNS


@pytest.mark.usefixtures("small")
def test_channels_that_appear_late_join_with_nulls_before(tmp_path: Path) -> None:
    batches = in_batches(list(range(300)), 50)
    batches[3] = batch(list(range(150, 200)), 151, oil=[1.5] * 50)
    batches[5] = batch(list(range(250, 300)), 251, boost=[2.5] * 50, oil=[3.5] * 50)
    table, _ = written(tmp_path / "a.parquet", batches)
    assert table.schema.names == ["timestamp", "source_row", "oil", "boost"]
    assert table["source_row"].to_pylist() == list(range(1, 301))
    assert table["oil"].to_pylist() == [None] * 150 + [1.5] * 50 + [None] * 50 + [3.5] * 50
    assert table["boost"].to_pylist() == [None] * 250 + [2.5] * 50


@pytest.mark.usefixtures("small")
def test_equal_rows_make_equal_files(tmp_path: Path) -> None:
    times = SHUFFLED
    files = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        written(tmp_path / name / "a.parquet", in_batches(times, 100))
        files.append((tmp_path / name / "a.parquet").read_bytes())
    assert files[0] == files[1]


def test_wide_rows_make_smaller_row_groups(tmp_path: Path) -> None:
    columns = {f"c{i}": [float(i)] * 1000 for i in range(200)}
    table, _ = written(
        tmp_path / "a.parquet", [batch(list(range(at, at + 1000)), at + 1, **columns) for at in range(0, 40_000, 1000)]
    )
    assert len(table) == 40_000
    metadata = pq.read_metadata(tmp_path / "a.parquet")
    sizes = [metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups)]
    assert max(sizes) <= ordering.ROW_GROUP_BYTES
    assert metadata.row_group(0).num_rows < 12_000


@pytest.mark.usefixtures("small")
def test_abandoned_work_leaves_no_file(tmp_path: Path) -> None:
    stream = OrderedStream(tmp_path / "a.parquet", Watch)
    for one in in_batches(list(range(500)), 50):
        stream.write(one)
    stream.abandon()
    assert not list(tmp_path.iterdir())

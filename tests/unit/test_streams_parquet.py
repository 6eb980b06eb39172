"""Encodings follow from the rows: a dictionary only where it makes the column smaller."""

import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from telemetry.streams.channels import TIMESTAMP
from telemetry.streams.parquet import ParquetFileWriter, read_row_groups


def rows(count: int = 20_000) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(
        {
            "timestamp": pa.array(range(count), pa.int64()).view(TIMESTAMP),
            "latitude_deg": pa.array([52 + math.sin(i / 100) for i in range(count)]),
            "few": pa.array([float(i // 100 % 7) for i in range(count)]),
            "many": pa.array([math.sin(i) for i in range(count)]),
            "none": pa.nulls(count, pa.float32()),
            "source_row": pa.array(range(count), pa.int64()),
        }
    )


def test_encodings_follow_the_values(tmp_path: Path) -> None:
    path, given = tmp_path / "a.parquet", rows()
    writer = ParquetFileWriter(path, [given])
    writer.write([given])
    writer.write([given])
    writer.close({"telemetry": "{}"})
    metadata = pq.read_metadata(path)
    group = metadata.row_group(1)
    columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    assert "DELTA_BINARY_PACKED" in columns["timestamp"].encodings
    assert "DELTA_BINARY_PACKED" in columns["source_row"].encodings
    assert "BYTE_STREAM_SPLIT" in columns["latitude_deg"].encodings
    assert "BYTE_STREAM_SPLIT" in columns["many"].encodings
    assert "RLE_DICTIONARY" in columns["few"].encodings
    assert all(column.compression == "ZSTD" for column in columns.values())
    assert all(column.has_offset_index for column in columns.values())
    assert group.sorting_columns[0].column_index == 0
    assert columns["timestamp"].statistics.has_min_max


def test_row_groups_are_read_a_few_rows_at_a_time(tmp_path: Path) -> None:
    path, given = tmp_path / "a.parquet", rows(1000)
    writer = ParquetFileWriter(path, [given])
    for _ in range(4):
        writer.write([given])
    writer.close({})
    batches = list(read_row_groups(path, [1, 2], 300))
    assert max(batch.num_rows for batch in batches) <= 300
    assert [row for batch in batches for row in batch.column("source_row").to_pylist()] == [*range(1000)] * 2

"""Both paths of the readers of track points in XML, run side by side: the vectorised one and expat alone."""

import io
from dataclasses import dataclass

import pyarrow as pa
import pytest

from telemetry.errors import TelemetryError
from telemetry.formats.gpx import GpxReader
from telemetry.formats.reader import Findings, Origin, Reader
from telemetry.formats.tcx import TcxReader
from telemetry.formats.xml_points import PointCollector


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything a read gives, independent of how the batches were cut."""

    table: pa.Table
    error: tuple[str, str] | None
    findings: Findings


def outcome(reader: Reader, data: bytes) -> Outcome:
    findings = Findings()
    batches: list[pa.RecordBatch] = []
    error = None
    try:
        batches += reader.read(io.BytesIO(data), Origin(), findings)
    except TelemetryError as caught:
        error = (str(caught.code), caught.detail)
    tables = [pa.Table.from_batches([batch]) for batch in batches]
    table = pa.concat_tables(tables, promote_options="default") if tables else pa.table({})
    if "fix_type" in table.column_names:
        place = table.column_names.index("fix_type")
        table = table.set_column(place, "fix_type", table["fix_type"].cast(pa.string()))
    # Later batches have more columns, and which are in the first ones depends on where blocks end.
    return Outcome(table.select(sorted(table.column_names)), error, findings)


def assert_same(kind: type[GpxReader] | type[TcxReader], data: bytes, *block_sizes: int) -> Outcome:
    """Reads a document by both paths, in blocks of several sizes, and compares everything they give."""
    strict = outcome(kind(fast=False), data)
    for size in block_sizes or (257, 4096, 1 << 20):
        fast = outcome(kind(block_bytes=size), data)
        assert fast.error == strict.error
        assert fast.findings == strict.findings
        assert fast.table.equals(strict.table, check_metadata=True), (
            f"block of {size} bytes: {_first_difference(strict.table, fast.table)}"
        )
    return strict


def points_seen_by_expat(kind: type[GpxReader] | type[TcxReader], document: str) -> int:
    """How many points the vectorised path, in blocks of 64 KiB, leaves to expat."""
    seen = 0
    begin = PointCollector._begin

    def counting(self: PointCollector, attributes: dict[str, str]) -> None:
        nonlocal seen
        seen += 1
        begin(self, attributes)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PointCollector, "_begin", counting)
        outcome(kind(block_bytes=1 << 16), document.encode())
    assert seen, "the first point of every shape is expat's"
    return seen


def _first_difference(expected: pa.Table, actual: pa.Table) -> object:
    if expected.schema != actual.schema:
        return expected.schema, actual.schema
    pairs = zip(expected.to_pylist(), actual.to_pylist(), strict=False)
    return next((pair for pair in pairs if pair[0] != pair[1]), "another number of rows")

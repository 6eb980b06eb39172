"""A stream's rows into one Parquet file ordered by time, in bounded memory, whatever order they come in.

Rows are sorted in a window of memory first. Only where disorder reaches further than the window does a second pass
follow: the file's ascending runs of row groups are merged, a bounded number at a time. Stable, so that rows of one
time keep the order of the source.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from telemetry.streams.parquet import ParquetFileWriter, read_row_groups

ROW_GROUP_ROWS = 262_144
ROW_GROUP_BYTES = 18 << 20
HELD_BACK = 8
"""One row group in `HELD_BACK` stays in the window when it is written, so that disorder of a few rows at its edge
costs no second pass."""
SMALL_ROWS = 16_384
MERGED_RUNS = 8
MERGE_BATCH_ROWS = 4096


class Observer(Protocol):
    """Looks at rows in their final order, once in a row from the first to the last, and may change their flags."""

    def observe(self, rows: pa.RecordBatch, following: pa.RecordBatch | None, /) -> pa.RecordBatch:
        """`following` is the row after `rows`, if there is one."""
        ...


ObserverT = TypeVar("ObserverT", bound=Observer)


@dataclass(frozen=True, slots=True)
class _RowGroup:
    part: Path
    index: int
    first: int
    last: int


class Window:
    """Gathers batches and gives them again in row groups, ordered by time, with the row that follows each.

    Batches that come in order, and are not small, are passed on as they are, parted where a row group ends, without a
    copy.
    """

    trusts_order = True
    """False sorts always, whether the batches come in order or not."""

    sharing = 1
    """How many windows there are side by side: together they hold no more than one alone."""

    def __init__(self) -> None:
        self._batches: list[pa.RecordBatch] = []
        self._rows = 0
        self._bytes = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Takes rows of the same schema, at least one."""
        self._batches.append(batch)
        self._rows += batch.num_rows
        self._bytes += batch.nbytes

    def row_groups(self, *, last: bool) -> Iterator[tuple[list[pa.RecordBatch], pa.RecordBatch | None]]:
        """The rows of each group that is full (all that is left when `last`)."""
        if not self._rows:
            return
        rows_of_bytes = ROW_GROUP_BYTES * self._rows // max(1, self._bytes)
        size = max(1, min(ROW_GROUP_ROWS, rows_of_bytes) // self.sharing)
        held_back = 0 if last else max(1, size // HELD_BACK)
        if not last and self._rows < size + held_back:
            return
        self._batches = list(_joined(self._batches))
        if not (self.trusts_order and self._is_ordered()):
            self._sort()
        while self._rows >= size + held_back or (last and self._rows):
            group = self._taken(size)
            yield group, self._batches[0].slice(0, 1) if self._batches else None
        self._bytes = sum(batch.nbytes for batch in self._batches)

    def _is_ordered(self) -> bool:
        columns = [_micros(batch) for batch in self._batches]
        return all(_last(a) <= _first(b) for a, b in pairwise(columns)) and all(map(_is_ascending, columns))

    def _sort(self) -> None:
        """Parts the sorted rows where the batches were parted, so that rows in order make the same groups anyhow."""
        rows = sorted_by_time(self._batches[0] if len(self._batches) == 1 else pa.concat_batches(self._batches))
        starts = accumulate((batch.num_rows for batch in self._batches), initial=0)
        self._batches = [rows.slice(start, batch.num_rows) for start, batch in zip(starts, self._batches, strict=False)]

    def _taken(self, size: int) -> list[pa.RecordBatch]:
        """The first `size` rows, which leave the window."""
        group: list[pa.RecordBatch] = []
        while size and self._batches:
            batch = self._batches.pop(0)
            if batch.num_rows > size:
                self._batches.insert(0, batch.slice(size))
                batch = batch.slice(0, size)
            group.append(batch)
            size -= batch.num_rows
            self._rows -= batch.num_rows
        return group


def _joined(batches: list[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Small neighbours become one: looking at a batch has a fixed cost."""
    for small, group in groupby(batches, key=lambda batch: batch.num_rows < SMALL_ROWS):
        if small:
            few = list(group)
            yield few[0] if len(few) == 1 else pa.concat_batches(few)
        else:
            yield from group


def sorted_by_time(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Stable; the very same batch when it is in order already."""
    micros = _micros(rows)
    return rows if _is_ascending(micros) else rows.take(pc.array_sort_indices(micros))


def _is_ascending(micros: pa.Array) -> bool:
    last = len(micros) - 1
    return last < 1 or bool(pc.min(pc.subtract(micros.slice(1), micros.slice(0, last))).as_py() >= 0)


class OrderedStream(Generic[ObserverT]):
    """Writes one stream. Channels may appear late: from then on a new part begins, and a last pass joins them.

    `observer` is the one that saw every row in the final order, once `finish` returned.
    """

    def __init__(self, path: Path, make_observer: Callable[[], ObserverT]) -> None:
        self.rows = 0
        self.observer = make_observer()
        self._make_observer = make_observer
        self._path = path
        self._schema: pa.Schema | None = None
        self._window = Window()
        self._writer: ParquetFileWriter | None = None
        self._parts: list[Path] = []
        self._next_part = 0
        self._groups: list[_RowGroup] = []

    def share_memory(self, sharing: int) -> None:
        """Makes row groups smaller from now on, as so many streams are written side by side, in the memory of one."""
        self._window.sharing = sharing

    def write(self, batch: pa.RecordBatch) -> None:
        """Takes the next rows in the source's order."""
        schema = batch.schema if self._schema is None else _union(self._schema, batch.schema)
        if self._schema is not None and schema is not self._schema:
            self._flush(last=True)
            self._end_part()
        self._schema = schema
        self.rows += batch.num_rows
        self._window.add(_as_schema(batch, schema))
        self._flush(last=False)

    def finish(self) -> None:
        """Writes what is left, and orders the file anew where the window was too small for its disorder."""
        self._flush(last=True)
        disorder = any(later.first < earlier.last for earlier, later in pairwise(self._groups))
        if disorder or len(self._parts) > 1:
            self._end_part()
            self._reorder()

    def close(self, metadata: Mapping[str, str]) -> None:
        """Ends the file at `path`, with `metadata` in its footer."""
        if self._writer is None:
            raise ValueError("a stream without rows has no file")
        self._writer.close(metadata)
        self._writer = None
        self._parts.pop().replace(self._path)

    def abandon(self) -> None:
        """Gives the files back after a failure."""
        if self._writer is not None:
            self._writer.abandon()
            self._writer = None
        for part in self._parts:
            part.unlink(missing_ok=True)

    def _flush(self, *, last: bool) -> None:
        for group, following in self._window.row_groups(last=last):
            self._write_group(self._observed(group, following))

    def _observed(self, group: list[pa.RecordBatch], following: pa.RecordBatch | None) -> list[pa.RecordBatch]:
        after = [*(rows.slice(0, 1) for rows in group[1:]), following]
        return [self.observer.observe(rows, row_after) for rows, row_after in zip(group, after, strict=True)]

    def _write_group(self, group: list[pa.RecordBatch]) -> None:
        if self._writer is None:
            self._parts.append(self._path.with_name(f"{self._path.name}.part{self._next_part}"))
            self._next_part += 1
            self._writer = ParquetFileWriter(self._parts[-1], group)
        part, before = self._parts[-1], self._groups[-1] if self._groups else None
        index = before.index + 1 if before and before.part == part else 0
        self._groups.append(_RowGroup(part, index, _first(_micros(group[0])), _last(_micros(group[-1]))))
        self._writer.write(group)

    def _end_part(self) -> None:
        if self._writer is not None:
            self._writer.close({})
            self._writer = None

    def _reorder(self) -> None:
        schema = self._schema or pa.schema([])
        runs = _ascending_runs(self._groups)
        while len(runs) > MERGED_RUNS:
            self._groups = []
            old, self._parts = self._parts, [*self._parts]
            for start in range(0, len(runs), MERGED_RUNS):
                for group, _ in _merged(runs[start : start + MERGED_RUNS], schema, self._window):
                    self._write_group(group)
                self._end_part()
            self._drop(old)
            runs = _ascending_runs(self._groups)
        old, self._parts, self._groups = self._parts, [*self._parts], []
        self.observer = self._make_observer()
        for group, following in _merged(runs, schema, self._window):
            self._write_group(self._observed(group, following))
        self._drop(old)

    def _drop(self, old: list[Path]) -> None:
        for part in old:
            part.unlink()
        self._parts = [part for part in self._parts if part not in old]


def _ascending_runs(groups: list[_RowGroup]) -> list[list[_RowGroup]]:
    """Row groups in file order, parted where one begins before the one ahead of it ends."""
    runs: list[list[_RowGroup]] = []
    for group in groups:
        if runs and group.first >= runs[-1][-1].last:
            runs[-1].append(group)
        else:
            runs.append([group])
    return runs


class _Run:
    """One ascending run, read a few rows at a time. `rows` is what is in memory: empty at the run's end."""

    def __init__(self, groups: list[_RowGroup], schema: pa.Schema) -> None:
        self._batches = (
            _as_schema(batch, schema)
            for part, of_part in groupby(groups, key=lambda group: group.part)
            for batch in read_row_groups(part, [group.index for group in of_part], MERGE_BATCH_ROWS)
        )
        self.rows: pa.RecordBatch = next(self._batches, pa.RecordBatch.from_pylist([], schema=schema))

    @property
    def last(self) -> int:
        """The last time in memory."""
        return _last(_micros(self.rows))

    def take(self, bound: int, *, inclusive: bool) -> pa.RecordBatch:
        """The rows in memory up to `bound`; reads on when none is left."""
        micros = _micros(self.rows)
        count = pc.sum(pc.less_equal(micros, bound) if inclusive else pc.less(micros, bound)).as_py()
        taken, self.rows = self.rows.slice(0, count), self.rows.slice(count)
        if not self.rows.num_rows:
            self.rows = next(self._batches, self.rows)
        return taken


def _micros(rows: pa.RecordBatch) -> pa.Array:
    return rows.column("timestamp").view(pa.int64())


def _first(micros: pa.Array) -> int:
    return int(micros[0].as_py())


def _last(micros: pa.Array) -> int:
    return int(micros[-1].as_py())


def _merged(
    runs: list[list[_RowGroup]], schema: pa.Schema, window: Window
) -> Iterator[tuple[list[pa.RecordBatch], pa.RecordBatch | None]]:
    """The rows of ascending runs as one ascending sequence in pieces of a row group; of equal times, the earlier
    run's come first. `window` is empty before and after."""
    active = [run for run in (_Run(groups, schema) for groups in runs) if run.rows.num_rows]
    while active:
        # No run has anything before the first of the runs' ends in memory that is not in memory itself.
        ends = [run.last for run in active]
        bound = min(ends)
        at = ends.index(bound)
        taken = [run.take(bound, inclusive=index <= at) for index, run in enumerate(active)]
        # Rows of runs after `at` that equal the bound wait, as more of them may follow in an earlier run.
        rows = [part for part in taken if part.num_rows]
        window.add(sorted_by_time(pa.concat_batches(rows)) if len(rows) > 1 else rows[0])
        active = [run for run in active if run.rows.num_rows]
        yield from window.row_groups(last=False)
    yield from window.row_groups(last=True)


def _union(known: pa.Schema, new: pa.Schema) -> pa.Schema:
    """`known` with the columns of `new` that it lacks; the very same object when it lacks none."""
    missing = [field for field in new if known.get_field_index(field.name) < 0]
    return pa.schema([*known, *missing]) if missing else known


def _as_schema(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """`batch` with the columns of `schema`: those that it lacks are null."""
    if batch.schema.equals(schema, check_metadata=True):
        return batch
    columns = []
    for field in schema:
        index = batch.schema.get_field_index(field.name)
        array = pa.nulls(batch.num_rows, field.type) if index < 0 else batch.column(index)
        columns.append(array if array.type == field.type else array.cast(field.type))
    return pa.RecordBatch.from_arrays(columns, schema=schema)

"""Times of fast recordings whose stamps have whole seconds only: rows are spread evenly within their second.

Applies when a file's stamps all lie on whole seconds and often enough ten rows or more share one: seconds with fewer
have lost rows or are of another rate. A few seconds with many rows among many with few are duplicates, and make no fast
recording. Every row so moved carries `Flag.INTERPOLATED_TIME`, and a sentence says so. Vectorised; holds back at most
one second of rows.
"""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from telemetry.streams.channels import TIMESTAMP, Flag

SECOND = 1_000_000
MIN_ROWS_PER_SECOND = 10
FAST_SECONDS = 0.1
FAST_ROWS = 0.25
"""At least these shares of the seconds and of the rows are in seconds of `MIN_ROWS_PER_SECOND` and more."""
DECIDING_ROWS = 4096
MAX_HELD_ROWS = 65_536


class WholeSecondSpreader:
    """Takes batches with `timestamp` in file order and gives them again, times spread where that is called for."""

    def __init__(self) -> None:
        self.interpolated = 0
        self.note = ""
        self._decided: bool | None = None
        self._pending: list[pa.RecordBatch] = []
        self._typical = self._latest = 0
        self._at_start = True

    def push(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """Gives what can be given; undecided rows and the last second wait."""
        if self._decided is False:
            yield batch
            return
        self._pending.append(batch)
        if self._decided is None:
            if _has_fraction(_micros(batch)):
                self._decided = False
            elif sum(pending.num_rows for pending in self._pending) >= DECIDING_ROWS:
                self._decide()
        if self._decided is False:
            pending, self._pending = self._pending, []
            yield from pending
        elif self._decided:
            yield from self._spread(last=False)

    def finish(self) -> Iterator[pa.RecordBatch]:
        """Gives the rest."""
        if self._decided is None and self._pending:
            self._decide()
        if self._decided:
            yield from self._spread(last=True)
        yield from self._pending
        self._pending = []

    def _decide(self) -> None:
        micros = pa.concat_arrays([_micros(batch) for batch in self._pending]).drop_null()
        lengths = _run_lengths(micros)
        # The first and the last second are rarely whole.
        inner = lengths.slice(1, max(len(lengths) - 2, 0))
        fast = inner.filter(pc.greater_equal(inner, MIN_ROWS_PER_SECOND))
        self._decided = (
            len(fast) > 0
            and len(fast) >= FAST_SECONDS * len(inner)
            and pc.sum(fast).as_py() >= FAST_ROWS * pc.sum(inner).as_py()
        )
        if self._decided:
            typical = pc.quantile(fast, 0.5, interpolation="lower")[0].as_py()
            self._typical = typical
            self.note = (
                f"the stamps have whole seconds only: about {typical} rows that share one were spread evenly within it"
            )

    def _spread(self, *, last: bool) -> Iterator[pa.RecordBatch]:
        """Spreads every whole second that is pending; keeps the last one back unless `last`."""
        pending, self._pending = self._pending, []
        if not pending:
            return
        micros = pc.fill_null_forward(pa.concat_arrays([_micros(batch) for batch in pending]))
        ends = pc.run_end_encode(micros).run_ends.cast(pa.int64())
        ready = len(micros)
        if not last:
            ready = ends[-2].as_py() if len(ends) > 1 else 0
            if len(micros) - ready > MAX_HELD_ROWS:
                ready = len(micros)
        if ready:
            times, moved = self._times(micros.slice(0, ready), last=last)
            self._at_start = False
            self.interpolated += pc.sum(moved).as_py() or 0
        start = 0
        for batch in pending:
            count = max(0, min(batch.num_rows, ready - start))
            if count:
                yield _with_times(batch.slice(0, count), times.slice(start, count), moved.slice(start, count))
            if count < batch.num_rows:
                self._pending.append(batch.slice(count))
            start += batch.num_rows

    def _times(self, micros: pa.Array, *, last: bool) -> tuple[pa.Array, pa.Array]:
        encoded = pc.run_end_encode(micros)
        ends = encoded.run_ends.cast(pa.int64())
        count = len(ends)
        starts = pa.concat_arrays([pa.array([0], pa.int64()), ends.slice(0, count - 1)])
        lengths = pc.subtract(ends, starts)
        # A second that the recording begins or ends in holds fewer rows: they keep the step of the second beside it,
        # the first second's rows at its end and the last second's at its beginning.
        divisors, shifts = lengths.to_pylist(), [0] * count
        after = divisors[1] if count > 1 else self._typical
        before = divisors[-2] if count > 1 else self._latest or self._typical
        self._latest = divisors[-1]
        if self._at_start and divisors[0] < after:
            shifts[0] = after - divisors[0]
            divisors[0] = after
        if last and divisors[-1] < before:
            divisors[-1] = before

        def per_row(values: pa.Array) -> pa.Array:
            return pc.run_end_decode(pa.RunEndEncodedArray.from_arrays(encoded.run_ends, values))

        inside = pc.add(pc.subtract(pa.arange(0, len(micros)), per_row(starts)), per_row(pa.array(shifts, pa.int64())))
        offsets = pc.divide(pc.multiply(inside, SECOND), per_row(pa.array(divisors, pa.int64())))
        whole = pc.equal(pc.subtract(micros, pc.multiply(pc.divide(micros, SECOND), SECOND)), 0)
        moved = pc.fill_null(pc.and_(whole, pc.greater(per_row(lengths), 1)), False)
        return pc.if_else(moved, pc.add(micros, offsets), micros), moved


def _micros(batch: pa.RecordBatch) -> pa.Array:
    return batch.column("timestamp").view(pa.int64())


def _has_fraction(micros: pa.Array) -> bool:
    return bool(pc.any(pc.not_equal(pc.multiply(pc.divide(micros, SECOND), SECOND), micros)).as_py())


def _run_lengths(micros: pa.Array) -> pa.Array:
    if not len(micros):
        return pa.array([], pa.int64())
    ends = pc.run_end_encode(micros).run_ends.cast(pa.int64())
    return pa.concat_arrays([ends.slice(0, 1), pc.subtract(ends.slice(1), ends.slice(0, len(ends) - 1))])


def _with_times(batch: pa.RecordBatch, micros: pa.Array, moved: pa.Array) -> pa.RecordBatch:
    index = batch.schema.get_field_index("timestamp")
    given = batch.column(index)
    # Rows without a time stay without one.
    times = pc.if_else(pc.is_valid(given), micros, None).view(TIMESTAMP)
    bits = Flag.INTERPOLATED_TIME.where(pc.and_(moved, pc.is_valid(given)))
    batch = batch.set_column(index, "timestamp", times)
    flags = batch.schema.get_field_index("flags")
    if flags < 0:
        return batch.append_column("flags", bits)
    return batch.set_column(
        flags, "flags", pc.bit_wise_or(pc.fill_null(batch.column(flags).cast(pa.uint32()), 0), bits)
    )

"""Times of day made absolute: midnights are counted from record to record and from block to block. Pure."""

from dataclasses import dataclass
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

DAY_US = 86_400_000_000


def epoch_us(day: date) -> int:
    """Midnight UTC of `day`, in microseconds since 1970."""
    return (day - date(1970, 1, 1)).days * DAY_US


@dataclass(slots=True)
class DayClock:
    """A day and the last time of day seen on it.

    A time of day that falls by more than half a day means that midnight has passed; a smaller step back is a
    backward time, which is judged elsewhere.
    """

    day_us: int
    last_us: int | None = None

    def absolute(self, of_day: pa.Int64Array) -> pa.Int64Array:
        """Microseconds since 1970 for times of day in microseconds; nulls stay null."""
        known = of_day.drop_null()
        if not len(known):
            return of_day
        last = known[0].as_py() if self.last_us is None else self.last_us
        forward = pc.fill_null(pc.fill_null_forward(of_day), last)
        previous = pa.concat_arrays([pa.array([last], pa.int64()), forward.slice(0, len(forward) - 1)])
        step = pc.subtract(forward, previous)
        # A late record of the day before, just after midnight, steps back again.
        turns = pc.subtract(
            pc.less(step, -DAY_US // 2).cast(pa.int64()), pc.greater(step, DAY_US // 2).cast(pa.int64())
        )
        days = pc.cumulative_sum(turns)
        times = pc.add(of_day, pc.add(pc.multiply(days, DAY_US), self.day_us))
        self.day_us += days[-1].as_py() * DAY_US
        self.last_us = known[-1].as_py()
        return times

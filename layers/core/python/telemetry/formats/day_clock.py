"""Times of day: read from `hhmmss`, and made absolute by counting midnights from block to block. Pure."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from telemetry.formats.dates import FoundDate

DAY_US = 86_400_000_000
DAY_BEFORE_UPLOAD = "The first time of day is later than the upload's: the day before was taken."


def epoch_us(day: date) -> int:
    """Midnight UTC of `day`, in microseconds since 1970."""
    return (day - date(1970, 1, 1)).days * DAY_US


def time_of_day(stamps: pa.DoubleArray) -> pa.Int64Array:
    """`hhmmss.sss` to microseconds of the day; a leap second is the first second of the next day."""
    stamps = pc.round(pc.multiply(stamps, 1e6))
    sound = pc.and_(pc.greater_equal(stamps, 0.0), pc.less(stamps, 240000e6))
    whole = pc.if_else(sound, stamps, None).cast(pa.int64())
    hours = pc.divide(whole, 10_000_000_000)
    minutes = pc.subtract(pc.divide(whole, 100_000_000), pc.multiply(hours, 100))
    seconds_us = pc.subtract(whole, pc.multiply(pc.divide(whole, 100_000_000), 100_000_000))
    sound = pc.and_(pc.less(minutes, 60), pc.less(seconds_us, 61_000_000))
    total = pc.add(pc.multiply(pc.add(pc.multiply(hours, 60), minutes), 60_000_000), seconds_us)
    return pc.if_else(sound, total, None)


@dataclass(slots=True)
class DayClock:
    """A day and the last time of day seen on it.

    A time of day that falls by more than half a day means that midnight has passed; a smaller step back is a
    backward time, which is judged elsewhere.

    Attributes
    ----------
    not_after_us : the recording began by then: a first time of day that is later is one of the day before.
    if_moved : what to say then.
    """

    day_us: int
    last_us: int | None = None
    not_after_us: int | None = None
    if_moved: str = DAY_BEFORE_UPLOAD
    _moved: bool = False

    @classmethod
    def of(cls, found: FoundDate) -> "DayClock":
        """A clock whose first time of day is one of the date that was found."""
        clock = cls(epoch_us(found.day))
        if found.not_after is not None:
            clock.not_after_us = (found.not_after - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
        return clock

    def remarks(self) -> list[str]:
        """What there is to say of the day, once."""
        moved, self._moved = self._moved, False
        return [self.if_moved] if moved else []

    def absolute(self, of_day: pa.Int64Array) -> pa.Int64Array:
        """Microseconds since 1970 for times of day in microseconds; nulls stay null."""
        known = of_day.drop_null()
        if not len(known):
            return of_day
        last = self.last_us
        if last is None:
            last = known[0].as_py()
            if self.not_after_us is not None and self.day_us + last > self.not_after_us:
                self.day_us, self._moved = self.day_us - DAY_US, True
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

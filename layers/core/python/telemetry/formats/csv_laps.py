"""Laps that a text table brings: a column that numbers them, comments that end them, or marks in the preamble. Pure."""

import re
from datetime import UTC, datetime, timedelta
from enum import Enum
from itertools import pairwise

import pyarrow as pa
import pyarrow.compute as pc

from telemetry.domain.laps import MOST_LAPS
from telemetry.formats.reader import FileLap

_MOST_RUNS = 2 * MOST_LAPS
"""Laps, and as many stretches between them: with more changes of the number the column is something else."""
LONGEST_S = 7 * 86_400
"""No lap lasts longer, whatever a comment says."""
_CALENDAR = pa.array([datetime.min, datetime.max], pa.timestamp("us")).cast(pa.int64())  # noqa: DTZ901


def in_calendar(times: pa.TimestampArray) -> pa.TimestampArray:
    """The times, null where no calendar holds them: the normaliser refuses those, after the laps have been followed."""
    micros = times.cast(pa.int64())
    held = pc.and_(pc.greater_equal(micros, _CALENDAR[0]), pc.less_equal(micros, _CALENDAR[1]))
    return pc.if_else(held, times, None)


class LapEdges(Enum):
    """What a lap number means in the first and the last rows of a file."""

    WHOLE = "every lap is whole"
    BOUNDED = "what touches the file's begin or end is a part of a lap, unless it is all there is"
    OPEN_END = "the last lap was still being driven"


class LapColumn:
    """Follows a column of lap numbers through the blocks: a lap ends where the number changes. Lap 0 is none.

    Attributes
    ----------
    gave_up : the number changes too often to be a lap's.
    """

    def __init__(self, edges: LapEdges) -> None:
        self._edges = edges
        self._runs: list[tuple[float | None, datetime, datetime]] = []
        self.gave_up = False

    def add(self, numbers: pa.Array, times: pa.TimestampArray) -> None:
        """Takes one block's lap numbers and times."""
        if self.gave_up or not len(times):
            return
        runs = pc.run_end_encode(numbers.cast(pa.float64()))
        if len(self._runs) + len(runs.values) > _MOST_RUNS:
            self.gave_up, self._runs = True, []
            return
        begin = 0
        for number, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
            known = times.slice(begin, end - begin).drop_null()
            begin = end
            if not len(known):
                continue
            first, last = known[0].as_py(), known[-1].as_py()
            if self._runs and self._runs[-1][0] == number:
                self._runs[-1] = (number, self._runs[-1][1], last)
            else:
                if self._runs:
                    # A lap lasts until the next one begins.
                    self._runs[-1] = (*self._runs[-1][:2], first)
                self._runs.append((number, first, last))

    def laps(self) -> list[FileLap]:
        """The laps that are known to be whole, in file order."""
        runs = self._runs
        if self._edges is LapEdges.BOUNDED and len(runs) > 1:
            runs = runs[1:-1]
        elif self._edges is LapEdges.OPEN_END:
            runs = runs[:-1]
        return [
            FileLap(int(number), start.replace(tzinfo=UTC), end.replace(tzinfo=UTC))
            for number, start, end in runs
            if number is not None and number > 0 and number == int(number) and start < end
        ]


class LapComments:
    """Gathers comment lines that end laps, and turns them into laps once the rows around them are known.

    A lap ends with the row after its comment and is as long as the comment says.

    Attributes
    ----------
    left_out : comments after the first `MOST_LAPS`.
    """

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self._pattern = pattern
        self._pending: list[tuple[int, int, float]] = []
        self._laps: list[FileLap] = []
        self._latest: datetime | None = None
        self.left_out = 0

    def see(self, row: int, text: str) -> None:
        """Takes a comment line."""
        match = self._pattern.match(text)
        if match and len(self._laps) + len(self._pending) >= MOST_LAPS:
            self.left_out += 1
        elif match:
            seconds = 0.0
            for part in match["time"].split(":"):
                seconds = seconds * 60 + float(part or 0)
            self._pending.append((row, int(match["number"]), seconds))

    def add(self, rows: pa.Int64Array, times: pa.TimestampArray) -> None:
        """Takes one block's line numbers and times."""
        if self._pending:
            pending, self._pending = self._pending, []
            for row, number, seconds in pending:
                after = times.filter(pc.greater(rows, row)).drop_null()
                if len(after):
                    self._close(number, seconds, after[0].as_py())
                else:
                    self._pending.append((row, number, seconds))
        known = times.slice(max(len(times) - 1000, 0)).drop_null()
        if len(known):
            self._latest = known[-1].as_py()

    def laps(self) -> list[FileLap]:
        """The laps, in file order."""
        for _, number, seconds in self._pending:
            if self._latest is not None:
                self._close(number, seconds, self._latest)
        self._pending = []
        return self._laps

    def _close(self, number: int, seconds: float, end: datetime) -> None:
        end = end.replace(tzinfo=UTC)
        if 0 < seconds < LONGEST_S:
            self._laps.append(FileLap(number, end - timedelta(seconds=seconds), end))


def laps_of_beacons(beacons: list[float], start: datetime, last: datetime | None) -> list[FileLap]:
    """Laps between marks in seconds since `start`, as far as the rows reach."""
    marks = [0.0, *beacons]
    return [
        FileLap(number, start + timedelta(seconds=begin), start + timedelta(seconds=end))
        for number, (begin, end) in enumerate(pairwise(marks), 1)
        if begin < end < LONGEST_S
        and last is not None
        and start + timedelta(seconds=end) <= last + timedelta(seconds=1)
    ]

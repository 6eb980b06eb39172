"""Laps that a text table brings: a column that numbers them, comments that end them, or marks in the preamble. Pure."""

import re
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from telemetry.formats.reader import FileLap

MAX_LAPS = 10_000
"""More changes of the lap number than a day has seconds to drive: the column is something else."""


class LapColumn:
    """Follows a column of lap numbers through the blocks.

    A lap ends where the number changes. The last one is whole only where the column is blank outside of laps; lap 0
    is the way to the line.
    """

    def __init__(self, *, last_is_whole: bool) -> None:
        self._last_is_whole = last_is_whole
        self._number: float | None = None
        self._start: datetime | None = None
        self._latest: datetime | None = None
        self._laps: list[FileLap] = []

    def add(self, numbers: pa.Array, times: pa.TimestampArray) -> None:
        """Takes one block's lap numbers and times."""
        if len(self._laps) > MAX_LAPS or not len(times):
            return
        runs = pc.run_end_encode(numbers.cast(pa.float64()))
        if len(runs.values) > MAX_LAPS:
            self._laps = [FileLap(0, datetime.min, datetime.min)] * (MAX_LAPS + 1)
            return
        begin = 0
        for number, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
            known = times.slice(begin, end - begin).drop_null()
            if len(known):
                first = known[0].as_py()
                if number != self._number:
                    self._close(first)
                    self._number, self._start = number, first
                self._latest = known[-1].as_py()
            begin = end

    def laps(self) -> list[FileLap]:
        """The whole laps, in file order."""
        if self._last_is_whole and self._latest is not None:
            self._close(self._latest)
        return [] if len(self._laps) > MAX_LAPS else self._laps

    def _close(self, end: datetime) -> None:
        number, start = self._number, self._start
        if number and number == int(number) and number > 0 and start is not None and start < end:
            self._laps.append(FileLap(int(number), start.replace(tzinfo=UTC), end.replace(tzinfo=UTC)))
        self._number = None


class LapComments:
    """Gathers comment lines that end laps, and turns them into laps once the rows around them are known.

    A lap ends with the row after its comment and is as long as the comment says.
    """

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self._pattern = pattern
        self._pending: list[tuple[int, int, float]] = []
        self._laps: list[FileLap] = []
        self._latest: datetime | None = None

    def see(self, row: int, text: str) -> None:
        """Takes a comment line."""
        match = self._pattern.match(text)
        if match and len(self._laps) + len(self._pending) < MAX_LAPS:
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
        if seconds > 0:
            self._laps.append(FileLap(number, end - timedelta(seconds=seconds), end))


def laps_of_beacons(beacons: list[float], start: datetime, last: datetime | None) -> list[FileLap]:
    """Laps between marks in seconds since `start`, as far as the rows reach."""
    marks = [0.0, *beacons]
    return [
        FileLap(number, start + timedelta(seconds=begin), start + timedelta(seconds=end))
        for number, (begin, end) in enumerate(zip(marks, marks[1:], strict=False), 1)
        if begin < end and last is not None and start + timedelta(seconds=end) <= last + timedelta(seconds=1)
    ]

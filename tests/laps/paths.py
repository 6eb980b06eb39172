"""Drives along drawn paths, with the faults that real recordings have."""

import bisect
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from random import Random

import pyarrow as pa

from telemetry.laps.crossings import Line
from telemetry.laps.motion import Frame
from tests.laps.truth import batch

Place = tuple[float, float]
START_US = 1_780_000_000_000_000
HOME = Frame(48.3, 11.6, 0.0)


@dataclass(frozen=True)
class Path:
    """A path through points close to each other, in metres east and north."""

    points: tuple[Place, ...]
    ends: tuple[float, ...]

    @classmethod
    def through(cls, points: Iterable[Place]) -> "Path":
        """Along straight steps from point to point."""
        placed = tuple(points)
        return cls(placed, (0.0, *itertools.accumulate(math.dist(a, b) for a, b in itertools.pairwise(placed))))

    @property
    def length_m(self) -> float:
        """From the first point to the last."""
        return self.ends[-1]

    def at(self, distance_m: float) -> Place:
        """Where one is after a distance; a closed path goes round."""
        s = distance_m if 0 <= distance_m <= self.length_m else distance_m % self.length_m
        i = min(max(bisect.bisect_right(self.ends, s) - 1, 0), len(self.points) - 2)
        share = (s - self.ends[i]) / (self.ends[i + 1] - self.ends[i])
        (ax, ay), (bx, by) = self.points[i], self.points[i + 1]
        return ax + share * (bx - ax), ay + share * (by - ay)


def curve(place: Callable[[float], Place], steps: int = 4000) -> Path:
    """The path of a function of 0 to 1."""
    return Path.through(place(k / steps) for k in range(steps + 1))


def oval(length_m: float, straight_share: float = 0.3) -> Path:
    """Two straights, the first from (0, 0) to the east, and two half circles to the left."""
    straight = length_m * straight_share
    radius = (length_m - 2 * straight) / (2 * math.pi)

    def place(share: float) -> Place:
        s = share * length_m
        for x, y, turn in ((0.0, 0.0, 0.0), (straight, 2 * radius, math.pi)):
            if s <= straight:
                return x + s * math.cos(turn), y
            s -= straight
            if s <= math.pi * radius:
                angle = turn - math.pi / 2 + s / radius
                return x + straight * math.cos(turn) + radius * math.cos(angle), radius + radius * math.sin(angle)
            s -= math.pi * radius
        return 0.0, 0.0

    return curve(place)


def eight(size_m: float) -> Path:
    """A lemniscate of Gerono: it crosses itself at (0, 0)."""
    return curve(lambda u: (size_m * math.sin(2 * math.pi * u), size_m / 2 * math.sin(4 * math.pi * u)))


def line_across(x_m: float, y_m: float, course_deg: float, half_width_m: float = 12.0) -> Line:
    """A line at a right angle to a course."""
    latitude, longitude = HOME.place(y_m, x_m)
    return Line(Frame(latitude, longitude, math.radians(course_deg)), half_width_m)


@dataclass
class Drive:
    """Fixes as they come."""

    rate_hz: float = 10.0
    time_s: float = 0.0
    fixes: list[tuple[float, float, float, float]] = field(default_factory=list)
    """Time, east, north, speed."""
    _due: float = 0.0

    def along(self, path: Path, begin_m: float, end_m: float, speed_mps: float) -> "Drive":
        """At a steady speed, backwards where the end lies before the beginning."""
        start, sign = self.time_s, math.copysign(1.0, end_m - begin_m)
        until = start + abs(end_m - begin_m) / speed_mps
        while self._due < until:
            self.fixes.append((self._due, *path.at(begin_m + sign * (self._due - start) * speed_mps), speed_mps))
            self._due += 1 / self.rate_hz
        self.time_s = until
        return self

    def stand(self, seconds: float) -> "Drive":
        """Where the last fix was."""
        _, x, y, _ = self.fixes[-1]
        until = self.time_s + seconds
        while self._due < until:
            self.fixes.append((self._due, x, y, 0.0))
            self._due += 1 / self.rate_hz
        self.time_s = until
        return self

    def without(self, *gaps: tuple[float, float]) -> "Drive":
        """Fixes between these times are lost."""
        self.fixes = [fix for fix in self.fixes if not any(a < fix[0] < b for a, b in gaps)]
        return self

    def recorded(
        self,
        *,
        white_m: float = 0.0,
        slow_m: float = 0.0,
        slow_s: float = 30.0,
        speed: bool = True,
        accuracy_m: float | None = None,
        seed: int = 1,
        frame: Frame = HOME,
    ) -> pa.RecordBatch:
        """The canonical track that a receiver with these errors makes of it."""
        random = Random(seed)
        north = east = 0.0
        last = -1e9
        times: list[int] = []
        latitudes: list[float] = []
        longitudes: list[float] = []
        for at, x, y, _ in self.fixes:
            keep = math.exp(-(at - last) / slow_s)
            shock = slow_m * math.sqrt(1 - keep * keep)
            north, east, last = keep * north + random.gauss(0, shock), keep * east + random.gauss(0, shock), at
            latitude, longitude = frame.place(y + north + random.gauss(0, white_m), x + east + random.gauss(0, white_m))
            times.append(START_US + round(at * 1e6))
            latitudes.append(latitude)
            longitudes.append(longitude)
        speeds: Sequence[float] = [fix[3] for fix in self.fixes]
        return batch(
            times,
            latitudes,
            longitudes,
            list(speeds) if speed else None,
            [accuracy_m] * len(times) if accuracy_m else None,
        )

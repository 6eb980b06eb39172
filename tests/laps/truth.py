"""Generated recordings as tracks in memory, and what a perfect clock at any line would have shown."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import TypedDict, Unpack

import pyarrow as pa

from fixtures.circuit import STEPS_PER_SECOND, Pace
from fixtures.generator import Drive, Recipe
from telemetry.laps.crossings import Line
from telemetry.laps.motion import Frame
from telemetry.streams.channels import TIMESTAMP


def track_of(drive: Drive, *, speed: bool = True) -> pa.RecordBatch:
    """The fixes of a drive as a canonical track."""
    times, latitudes, longitudes, speeds = [], [], [], []
    start = round(drive.recipe.start.timestamp()) * 1_000_000
    for second, fixes in drive.seconds():
        base = start + round((second - drive.recipe.start).total_seconds()) * 1_000_000
        for n, latitude, longitude, _, mps, _, _ in fixes:
            times.append(base + drive.fractions_us[n])
            latitudes.append(latitude)
            longitudes.append(longitude)
            speeds.append(mps)
    return batch(times, latitudes, longitudes, speeds if speed else None)


def batch(
    times_us: list[int],
    latitudes: list[float],
    longitudes: list[float],
    speeds: list[float] | None = None,
    accuracies: list[float] | None = None,
) -> pa.RecordBatch:
    """A canonical track of these fixes."""
    count = len(times_us)
    return pa.record_batch(
        {
            "timestamp": pa.array(times_us, pa.int64()).cast(TIMESTAMP),
            "latitude_deg": pa.array(latitudes, pa.float64()),
            "longitude_deg": pa.array(longitudes, pa.float64()),
            "speed_mps": pa.array(speeds, pa.float32()) if speeds else pa.nulls(count, pa.float32()),
            "horizontal_accuracy_m": pa.array(accuracies, pa.float32())
            if accuracies
            else pa.nulls(count, pa.float32()),
            "flags": pa.array([0] * count, pa.uint32()),
        }
    )


class Noise(TypedDict, total=False):
    """Of positions, as the generator's recipes name it."""

    noise_m: float
    drift_m: float
    drift_time_s: float


def recipes(count: int, *, seconds: int = 0, rate_hz: int = 10, **noise: Unpack[Noise]) -> Iterator[Recipe]:
    """Recordings of circuits of 1 to 5 km at 15 to 60 m/s, all different."""
    for seed in range(count):
        random = Random(seed * 7919 + 13)
        length = random.uniform(1000, 5000)
        pace = Pace(
            slowest_mps=random.uniform(15, 22),
            fastest_mps=random.uniform(45, 60),
            lateral_mps2=random.uniform(8, 13),
            drive_mps2=random.uniform(3, 6),
            brake_mps2=random.uniform(6, 11),
        )
        yield Recipe(
            rows=(seconds or random.choice([480, 720, 960])) * rate_hz,
            rate_hz=rate_hz,
            length_m=length,
            seed=seed + 1,
            out_share=random.choice([0.1, 0.25, 0.5, 0.9]),
            variation=0.006,
            pace=pace,
            **noise,
        )


@dataclass(frozen=True)
class Truth:
    """The noise-free motion of a drive."""

    drive: Drive

    def _segments(self, end_s: float) -> Iterator[tuple[int, int]]:
        drive = self.drive
        end = round(end_s * 1e6)
        began, lap = -drive.first_elapsed_us, drive.first_lap
        while began <= end:
            duration = drive.times.duration_us(lap)
            yield began, duration
            began += duration
            lap += 1

    def crossings(self, line: Line, end_s: float) -> list[float]:
        """Seconds from the first fix at which the car passes the line in its direction, until a time that may lie
        behind the last fix."""
        table, base_us = self.drive.table, self.drive.table.duration_s * 1e6
        frame = line.frame
        along, across = frame.along_across(pa.array(table.latitude_deg), pa.array(table.longitude_deg))
        ahead, aside = along.to_pylist(), across.to_pylist()
        places = []
        for i in range(int(table.duration_s * STEPS_PER_SECOND) + 1):
            if ahead[i] < 0 <= ahead[i + 1] and abs(aside[i]) < line.half_width_m:
                place = i + ahead[i] / (ahead[i] - ahead[i + 1])
                # Where one lap ends the next begins.
                near_end = abs(place / STEPS_PER_SECOND - table.duration_s) < 1e-3
                places.append(0.0 if near_end else place / STEPS_PER_SECOND * 1e6)
        # The line through the origin itself is passed where one lap ends and the next begins.
        if not places:
            places = [0.0]
        found = []
        for began, duration in self._segments(end_s):
            for place in places:
                moment = (began + _moment(place, duration, base_us)) / 1e6
                if 0 <= moment <= end_s:
                    found.append(moment)
        return found

    def speed_at(self, line: Line) -> float:
        """The car's speed at the line, m/s."""
        table = self.drive.table
        along, across = line.frame.along_across(pa.array(table.latitude_deg), pa.array(table.longitude_deg))
        near = min(
            range(int(table.duration_s * STEPS_PER_SECOND)),
            key=lambda i: math.hypot(along[i].as_py(), across[i].as_py()),
        )
        return table.speed_mps[near]


def _moment(place_us: float, duration: float, base: float) -> float:
    """Microseconds into a lap of `duration` at which the car is where a lap at base pace is at `place_us`."""
    low, high = 0.0, float(duration)
    for _ in range(60):
        middle = (low + high) / 2
        x = middle / duration
        if middle + (base - duration) * x * x * (3 - 2 * x) < place_us:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def quiet(recipe: Recipe) -> Recipe:
    """The same drive without noise."""
    return replace(recipe, noise_m=0.0, drift_m=0.0)


def turned(line: Line) -> Line:
    """The same line passed the other way."""
    frame = line.frame
    return Line(Frame(frame.latitude_deg, frame.longitude_deg, frame.course_rad + math.pi), line.half_width_m)

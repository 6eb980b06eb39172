"""How far detected laps are from the truth, over many generated recordings; for the tests and the benchmark's table."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from fixtures.circuit import start_finish_line
from fixtures.generator import Drive, Recipe
from telemetry.laps.crossings import Line, lap_crossings
from telemetry.laps.detection import detect
from telemetry.laps.lap import LapKind
from telemetry.laps.motion import Motion, motion_of
from tests.laps.truth import Truth, track_of

GIVEN_LINE = Line.between(*start_finish_line())
FAST_MPS = 40.0


@dataclass
class Accuracy:
    """Errors of lap times in milliseconds, over all laps of some recordings."""

    recordings: int = 0
    errors: list[float] = field(default_factory=list)
    fast_errors: list[float] = field(default_factory=list)
    linear: list[float] = field(default_factory=list)
    stated: list[float] = field(default_factory=list)
    bounds: list[float] = field(default_factory=list)
    """Standard deviation that the slow noise alone gives each lap."""
    miscounted: list[int] = field(default_factory=list)
    """Seeds of recordings with a missed or an extra lap."""

    @property
    def covered(self) -> float:
        """Share of laps whose true duration lies within the stated uncertainty."""
        return sum(e <= u for e, u in zip(self.errors, self.stated, strict=True)) / len(self.errors)

    @property
    def padding(self) -> float:
        """Median stated uncertainty over median error."""
        return statistics.median(self.stated) / statistics.median(self.errors)

    @property
    def bound_median(self) -> float:
        """The median error that the slow noise sets: of a normal error, 0.6745 standard deviations, over all laps."""
        return _quantile_of_normals(self.bounds, 0.5)

    @property
    def bound_95(self) -> float:
        """The same for 95 % of laps."""
        return _quantile_of_normals(self.bounds, 0.95)


def _quantile_of_normals(sigmas: Sequence[float], share: float) -> float:
    """Below it lie `share` of the absolute values of normal errors of these standard deviations together."""
    low, high = 0.0, 10 * max(sigmas, default=0.0)
    for _ in range(50):
        middle = (low + high) / 2
        inside = sum(math.erf(middle / (sigma * math.sqrt(2))) for sigma in sigmas if sigma) / max(len(sigmas), 1)
        low, high = (middle, high) if inside < share else (low, middle)
    return high


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of them lie."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def measure_accuracy(recipes: Sequence[Recipe], *, speed: bool = True) -> dict[bool, Accuracy]:
    """Accuracy with the line given (True) and found (False)."""
    found = {True: Accuracy(), False: Accuracy()}
    for recipe in recipes:
        drive = Drive(recipe)
        batch = track_of(drive, speed=speed)
        for given, accuracy in found.items():
            _add(accuracy, drive, batch, GIVEN_LINE if given else None)
    return found


def pooled(measured: Iterable[Accuracy]) -> Accuracy:
    """All laps together."""
    whole = Accuracy()
    for one in measured:
        whole.recordings += one.recordings
        for name in ("errors", "fast_errors", "linear", "stated", "bounds", "miscounted"):
            getattr(whole, name).extend(getattr(one, name))
    return whole


def _shown(drive: Drive, motion: Motion, line: Line) -> list[float]:
    """The true crossings of a line that a recording shows: those before its last fix.

    Where that fix lies within its noise of the line, the recording alone says on which side: what it does not show to
    be passed nobody can know, and what it shows is a crossing whose true time may lie just behind its end.
    """
    truth = Truth(drive)
    end_s = motion.end_s
    slack_s = 5 * math.hypot(drive.recipe.noise_m, drive.recipe.drift_m) / truth.speed_at(line)
    true = truth.crossings(line, end_s + slack_s)
    along, _ = line.frame.along_across(motion.latitude_deg, motion.longitude_deg)
    if true and true[-1] > end_s - slack_s and along[len(along) - 1].as_py() < 0:
        true.pop()
    return true


def _add(accuracy: Accuracy, drive: Drive, batch: pa.RecordBatch, line: Line | None) -> None:
    recipe = drive.recipe
    accuracy.recordings += 1
    motion = motion_of([batch])
    assert motion is not None
    detection = detect(motion, line)
    if detection.line is None:
        accuracy.miscounted.append(recipe.seed)
        return
    true = _shown(drive, motion, detection.line)
    laps = [lap for lap in detection.laps if lap.kind is LapKind.TIMED]
    if len(laps) != len(true) - 1:
        accuracy.miscounted.append(recipe.seed)
        return
    speed = Truth(drive).speed_at(detection.line)
    chords = [one.time_s for one in lap_crossings(motion, detection.line)]
    for number, lap in enumerate(laps):
        duration = true[number + 1] - true[number]
        error = abs(lap.duration_ms - duration * 1000)
        accuracy.errors.append(error)
        if speed > FAST_MPS:
            accuracy.fast_errors.append(error)
        if len(chords) == len(true):  # none of the chords over a drop-out misses the line
            accuracy.linear.append(abs(chords[number + 1] - chords[number] - duration) * 1000)
        assert lap.duration_uncertainty_ms is not None
        accuracy.stated.append(lap.duration_uncertainty_ms)
        # An Ornstein-Uhlenbeck process: after T its value has changed with variance 2σ²(1 - exp(-T/τ)).
        changed = math.sqrt(2 * (1 - math.exp(-duration / recipe.drift_time_s)))
        accuracy.bounds.append(recipe.drift_m * changed / speed * 1000)

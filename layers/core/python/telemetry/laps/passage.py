"""When a track passes a line, and how well that is known. Pure; Arrow in and out.

Close to the line the distance to it, g(t), is measured by every fix with its own error. Where the recording has speed,
its integral along the course tells how g changes, far better than the positions do over a few seconds; what is left to
find is one offset (and a slope, which takes up an error of the speed's scale or a steady lag). A least-squares fit over
n fixes around the line knows the offset to σ/√n, where the two fixes next to the line alone know it to about 0.8 σ.
Without speed, or where the positions contradict it, a cubic is fitted to the positions over a shorter window: constant
jerk, offset known to 1.5 σ/√n.
"""

import math
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from telemetry.laps.motion import Frame, Motion, difference, median
from telemetry.laps.windows import Fit, Windows, fit

WITH_SPEED_S = (2.0, 1.2)
"""Reaches before and after the line; the second counts where the positions contradict the speed over the first: in
bends the speed's direction is known over less."""
WITHOUT_SPEED_S = 1.2
_REACH_FIXES = 3
_SPEED_CONTRADICTED = 1.3
"""Residual variance of the speed's shape over that of a cubic, from which on the speed is not believed."""


@dataclass(frozen=True)
class Passages:
    """Passages of one line, in order of time.

    Attributes
    ----------
    time_s : since the first fix.
    sigma_m : standard deviation of the place at that time, from white noise and interpolation.
    speed_mps : across the line, at a right angle.
    across_m, across_gain : where on the line, to the right of its middle, and its variance for fixes of variance 1.
    noise_m, across_noise_m : standard deviation of single fixes around the fits along and across, the same for all.
    """

    time_s: pa.Array
    sigma_m: pa.Array
    speed_mps: pa.Array
    across_m: pa.Array
    across_gain: pa.Array
    noise_m: float
    across_noise_m: float

    def __len__(self) -> int:
        return len(self.time_s)


def measure_passages(motion: Motion, line: Frame, near_s: pa.Array) -> Passages:
    """The exact passages near the given times.

    Parameters
    ----------
    line : through the middle of the line, its course the direction of travel at a right angle to the line.
    near_s : about when, to within half a period: where the chord between two fixes meets the line.
    """
    if motion.speed_mps is not None:
        for reach_s in WITH_SPEED_S:
            with_speed = _measured_with_speed(motion, line, near_s, reach_s)
            if with_speed is not None:
                return with_speed
    return _measured_without_speed(motion, line, near_s)


def _measured_with_speed(motion: Motion, line: Frame, near_s: pa.Array, reach_s: float) -> Passages | None:
    """None where the positions contradict the speed."""
    view = _view(motion, line, near_s, reach_s)
    forward = fit(view.windows, view.time_s, view.along, 2)
    travelled = _travelled(motion, view, forward)
    left = pc.subtract(view.along, travelled.along)
    rest, check = fit(view.windows, view.time_s, left, 1), fit(view.windows, view.time_s, left, 3)
    residual = pc.subtract(left, rest.fitted)
    believable = _SPEED_CONTRADICTED * _variance(view.windows, check, pc.subtract(left, check.fitted)) + 1e-6
    if _variance(view.windows, rest, residual) > believable:
        return None
    moving = _Moving(rest.value, pc.add(rest.slope, travelled.speed), travelled.acceleration)
    return _passages(motion, view, moving, rest, residual)


def _measured_without_speed(motion: Motion, line: Frame, near_s: pa.Array) -> Passages:
    view = _view(motion, line, near_s, WITHOUT_SPEED_S)
    rest = fit(view.windows, view.time_s, view.along, 3)
    residual = pc.subtract(view.along, rest.fitted)
    return _passages(motion, view, _Moving(rest.value, rest.slope, rest.bend), rest, residual)


@dataclass(frozen=True)
class _View:
    """Fixes around each approximate time: flat times from it and places from the line, and what is across as a fit."""

    near_s: pa.Array
    windows: Windows
    time_s: pa.Array
    along: pa.Array
    across: pa.Array
    sideways: Fit


@dataclass(frozen=True)
class _Moving:
    """Place, speed and acceleration along at time 0."""

    value: pa.Array
    speed: pa.Array
    bend: pa.Array


def _passages(motion: Motion, view: _View, moving: _Moving, found: Fit, residual: pa.Array) -> Passages:
    windows, bend, value = view.windows, moving.bend, moving.value
    speed = pc.max_element_wise(moving.speed, 0.1)
    # 0 = value + speed τ + bend τ² / 2, the root next to 0, in the form that does not cancel.
    inside = pc.subtract(pc.multiply(speed, speed), pc.multiply(pc.multiply(bend, value), 2.0))
    shift = pc.divide(pc.multiply(value, -2.0), pc.add(speed, pc.sqrt(pc.max_element_wise(inside, 0.0))))
    noise = math.sqrt(_variance(windows, found, residual))
    aside = pc.subtract(view.across, view.sideways.fitted)
    white = pc.multiply(
        pc.multiply(found.gain, _own_variance(windows, found, residual)), _correlated(windows, residual)
    )
    return Passages(
        time_s=pc.add(view.near_s, shift),
        sigma_m=pc.sqrt(pc.add(white, _between(motion, view.near_s, speed))),
        speed_mps=pc.max_element_wise(pc.add(speed, pc.multiply(bend, shift)), 0.1),
        across_m=view.sideways.value,
        across_gain=view.sideways.gain,
        noise_m=noise,
        across_noise_m=math.sqrt(_variance(windows, view.sideways, aside)),
    )


def _view(motion: Motion, line: Frame, near_s: pa.Array, reach_s: float) -> _View:
    after = pc.max_element_wise(pc.search_sorted(motion.time_s, near_s).cast(pa.int64()), 1)
    after = pc.min_element_wise(after, len(motion) - 1)
    reach_s = max(reach_s, (_REACH_FIXES + 0.2) * motion.period_s)
    begin = pc.search_sorted(motion.time_s, pc.subtract(near_s, reach_s)).cast(pa.int64())
    end = pc.search_sorted(motion.time_s, pc.add(near_s, reach_s), side="right").cast(pa.int64())
    # The fixes on both sides belong to it however far they are; fixes beyond another gap do not.
    wide = pc.greater(pc.subtract(motion.time_s.take(after), motion.time_s.take(pc.subtract(after, 1))), reach_s)
    least = pc.if_else(wide, _REACH_FIXES, 1)
    begin = pc.max_element_wise(pc.min_element_wise(begin, pc.subtract(after, least)), 0)
    end = pc.min_element_wise(pc.max_element_wise(end, pc.add(after, least)), len(motion))
    windows = Windows.of_rows(begin.to_pylist(), end.to_pylist())
    along, across = line.along_across(motion.latitude_deg.take(windows.row), motion.longitude_deg.take(windows.row))
    time_s = pc.subtract(motion.time_s.take(windows.row), windows.spread(near_s))
    return _View(near_s, windows, time_s, along, across, fit(windows, time_s, across, 2))


@dataclass(frozen=True)
class _Travelled:
    """The integral of the speed towards the line, 0 at time 0, at each fix; speed and acceleration at time 0."""

    along: pa.Array
    speed: pa.Array
    acceleration: pa.Array


def _travelled(motion: Motion, view: _View, forward: Fit) -> _Travelled:
    windows, time_s = view.windows, view.time_s
    dg, dl = forward.fitted_slope, view.sideways.fitted_slope
    course = pc.divide(dg, pc.max_element_wise(pc.sqrt(pc.add(pc.multiply(dg, dg), pc.multiply(dl, dl))), 1e-6))
    speed = pc.multiply(motion.speed_mps.take(windows.row), course)  # type: ignore[union-attr]
    mean = pc.multiply(pc.add(speed.slice(1), speed.slice(0, len(speed) - 1)), 0.5)
    # The step from one window into the next cancels in what follows.
    steps = pc.multiply(mean, difference(time_s))
    running = pc.cumulative_sum(pa.concat_arrays([pa.array([0.0]), steps]))
    # The last fix before time 0, or the first of a window that begins after it.
    passed = windows.sums(pc.less(time_s, 0.0).cast(pa.float64())).cast(pa.int64())
    last = pc.subtract(windows.end, 2)
    before = pc.min_element_wise(
        pc.max_element_wise(pc.subtract(pc.add(windows.begin, passed), 1), windows.begin), last
    )
    after = pc.add(before, 1)
    into = pc.negate(time_s.take(before))
    dt = pc.subtract(time_s.take(after), time_s.take(before))
    begin = speed.take(before)
    acceleration = pc.divide(pc.subtract(speed.take(after), begin), dt)
    here = pc.add(begin, pc.multiply(acceleration, into))
    at_zero = pc.add(running.take(before), pc.multiply(into, pc.multiply(pc.add(begin, here), 0.5)))
    return _Travelled(pc.subtract(running, windows.spread(at_zero)), here, acceleration)


def _variance(windows: Windows, found: Fit, residual: pa.Array) -> float:
    """Variance of single fixes: the middle one of the windows, so that a bad passage does not spoil all."""
    per_window = pc.divide(
        windows.sums(pc.multiply(residual, residual)), pc.max_element_wise(found.freedom, 1.0)
    ).filter(pc.greater(found.freedom, 0.5))
    return max(median(per_window) or 0.0, 1e-6)


def _own_variance(windows: Windows, found: Fit, residual: pa.Array) -> pa.Array:
    """Variance of the fixes of each window: its own where that is much more than usual, else everyone's."""
    usual = _variance(windows, found, residual)
    prior = 20.0
    own = windows.sums(pc.multiply(residual, residual))
    return pc.divide(pc.add(own, usual * prior), pc.add(pc.max_element_wise(found.freedom, 0.0), prior))


def _correlated(windows: Windows, residual: pa.Array) -> float:
    """How much less a mean of these errors gains than one of independent ones: (1 + ρ) / (1 - ρ) for a first-order
    autoregression of lag-one correlation ρ."""
    products = pc.multiply(residual.slice(1), residual.slice(0, len(residual) - 1))
    same = pc.equal(windows.window.slice(1), windows.window.slice(0, len(residual) - 1))
    total = pc.sum(pc.multiply(residual, residual)).as_py()
    if not total:
        return 1.0
    # The fit takes out a share of what neighbours have in common.
    lost = 2 * len(windows) / len(residual)
    rho = (pc.sum(pc.if_else(same, products, 0.0)).as_py() or 0.0) / total + lost
    return (1 + min(max(rho, 0.0), 0.9)) / (1 - min(max(rho, 0.0), 0.9)) if rho > 0.1 else 1.0


def _between(motion: Motion, near_s: pa.Array, speed: pa.Array) -> pa.Array:
    """Variance of what the motion may do unseen between the two fixes at the line: h²/32 of a jump in acceleration,
    for a vehicle up to 5 m/s², for a runner a tenth of that."""
    after = pc.min_element_wise(
        pc.max_element_wise(pc.search_sorted(motion.time_s, near_s).cast(pa.int64()), 1), len(motion) - 1
    )
    h = pc.subtract(motion.time_s.take(after), motion.time_s.take(pc.subtract(after, 1)))
    jump = pc.min_element_wise(pc.divide(speed, 8.0), 5.0)
    unseen = pc.multiply(jump, pc.divide(pc.multiply(h, h), 32.0))
    return pc.multiply(unseen, unseen)

"""Polynomial fits in many short windows of a track at once. Pure; Arrow in and out.

The windows lie one after the other in flat arrays, so that a sum over each is a difference of one running sum, and a
thousand fits cost as much as a few calls. Polynomials are built up by Forsythe's recursion (Generation and use of
orthogonal polynomials, J. SIAM 5, 1957), which needs no matrix.
"""

from dataclasses import dataclass
from itertools import chain, repeat

import pyarrow as pa
import pyarrow.compute as pc


@dataclass(frozen=True)
class Windows:
    """Windows of fixes, flat.

    Attributes
    ----------
    row : of each fix, window after window.
    window : which window each fix is in.
    begin, end : of each window within the flat arrays, end exclusive.
    """

    row: pa.Array
    window: pa.Array
    begin: pa.Array
    end: pa.Array

    @classmethod
    def of_rows(cls, begin: list[int], end: list[int]) -> "Windows":
        """Windows over rows `begin` to `end`, end exclusive, none empty."""
        sizes = [b - a for a, b in zip(begin, end, strict=True)]
        rows = pa.array(list(chain.from_iterable(map(range, begin, end))), pa.int64())
        window = pa.array(list(chain.from_iterable(map(repeat, range(len(sizes)), sizes))), pa.int64())
        ends = pc.cumulative_sum(pa.array(sizes, pa.int64()))
        return cls(rows, window, pc.subtract(ends, pa.array(sizes, pa.int64())), ends)

    def __len__(self) -> int:
        return len(self.begin)

    @property
    def count(self) -> pa.Array:
        """Fixes in each window."""
        return pc.subtract(self.end, self.begin)

    def sums(self, values: pa.Array) -> pa.Array:
        """The sum over each window."""
        running = pa.concat_arrays([pa.array([0.0]), pc.cumulative_sum(values)])
        return pc.subtract(running.take(self.end), running.take(self.begin))

    def spread(self, per_window: pa.Array) -> pa.Array:
        """A value of each window, given to each of its fixes."""
        return per_window.take(self.window)


@dataclass(frozen=True)
class Fit:
    """Least-squares polynomials, one in each window, seen at time 0.

    Attributes
    ----------
    value, slope, bend : the polynomial and its first two derivatives at time 0, by window.
    gain : variance of `value` for measurements of variance 1, by window.
    fitted, fitted_slope : at each fix, flat.
    freedom : measurements less parameters, by window.
    """

    value: pa.Array
    slope: pa.Array
    bend: pa.Array
    gain: pa.Array
    fitted: pa.Array
    fitted_slope: pa.Array
    freedom: pa.Array


def fit(windows: Windows, time_s: pa.Array, values: pa.Array, order: int) -> Fit:
    """Fits polynomials of `order` (less where a window has too few fixes), all fixes of equal weight.

    Parameters
    ----------
    time_s : of each fix, flat, from the moment that counts as 0 in its window.
    """
    nothing = pc.multiply(values, 0.0)
    none = pa.array([0.0] * len(windows))
    one = pa.array([1.0] * len(windows))
    # A basis polynomial and its derivative at each fix; its value and two derivatives at time 0.
    q, dq = pc.add(nothing, 1.0), nothing
    at = [one, none, none]
    before_q, before_dq, before_at, before_norm = nothing, nothing, [none, none, none], one
    norm = windows.sums(q)
    result = [none, none, none]
    gain, fitted, slope = none, nothing, nothing
    parameters = pa.array([0.0] * len(windows))
    for degree in range(order + 1):
        # One fix more than parameters keeps a residual; without a norm the times do not tell degrees apart.
        usable = pc.and_(pc.greater(windows.count, degree + 1), pc.greater(norm, 1e-12))
        usable = pc.or_(usable, degree == 0)
        safe = pc.if_else(usable, norm, 1.0)
        coefficient = pc.if_else(usable, pc.divide(windows.sums(pc.multiply(values, q)), safe), 0.0)
        result = [pc.add(known, pc.multiply(coefficient, here)) for known, here in zip(result, at, strict=True)]
        gain = pc.add(gain, pc.if_else(usable, pc.divide(pc.multiply(at[0], at[0]), safe), 0.0))
        flat = windows.spread(coefficient)
        fitted, slope = pc.add(fitted, pc.multiply(flat, q)), pc.add(slope, pc.multiply(flat, dq))
        parameters = pc.add(parameters, usable.cast(pa.float64()))
        if degree == order:
            break
        alpha = pc.divide(windows.sums(pc.multiply(time_s, pc.multiply(q, q))), safe)
        beta = pc.divide(norm, before_norm) if degree else none
        flat_alpha, flat_beta = windows.spread(alpha), windows.spread(beta)
        shifted = pc.subtract(time_s, flat_alpha)
        next_q = pc.subtract(pc.multiply(shifted, q), pc.multiply(flat_beta, before_q))
        next_dq = pc.subtract(pc.add(q, pc.multiply(shifted, dq)), pc.multiply(flat_beta, before_dq))
        down = pc.negate(alpha)
        next_at = [
            pc.subtract(
                pc.add(pc.multiply(down, at[k]), pc.multiply(at[k - 1], float(k)) if k else none),
                pc.multiply(beta, before_at[k]),
            )
            for k in range(3)
        ]
        before_q, before_dq, before_at, before_norm = q, dq, at, safe
        q, dq, at = next_q, next_dq, next_at
        norm = windows.sums(pc.multiply(q, q))
    freedom = pc.subtract(windows.count.cast(pa.float64()), parameters)
    value, first, second = result
    return Fit(value, first, second, gain, fitted, slope, freedom)

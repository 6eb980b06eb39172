"""Fits in many windows at once, against what textbooks and a plain solution say."""

import math
from random import Random

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.laps.windows import Windows, fit


def windows_of(sizes: list[int]) -> Windows:
    ends = [sum(sizes[: k + 1]) for k in range(len(sizes))]
    return Windows.of_rows([end - size for end, size in zip(ends, sizes, strict=True)], ends)


def test_sums_are_of_each_window_alone() -> None:
    windows = Windows.of_rows([0, 2, 1], [2, 5, 2])
    assert windows.row.to_pylist() == [0, 1, 2, 3, 4, 1]
    assert windows.sums(pa.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])).to_pylist() == [3.0, 12.0, 6.0]


@given(
    coefficients=st.lists(st.floats(-50, 50), min_size=4, max_size=4),
    order=st.integers(0, 3),
    count=st.integers(6, 60),
    shift=st.floats(-0.5, 0.5),
)
def test_polynomials_are_found_as_they_are(coefficients: list[float], order: int, count: int, shift: float) -> None:
    a = coefficients[: order + 1]
    times = [(k - count / 2) * 0.1 + shift for k in range(count)]
    values = [sum(c * t**n for n, c in enumerate(a)) for t in times]
    found = fit(windows_of([count, count]), pa.array(times * 2), pa.array(values * 2), order)
    for window in (0, 1):
        assert found.value[window].as_py() == pytest.approx(a[0], abs=1e-6)
        if order > 0:
            assert found.slope[window].as_py() == pytest.approx(a[1], abs=1e-6)
        if order > 1:
            assert found.bend[window].as_py() == pytest.approx(2 * a[2], abs=1e-6)
    assert found.fitted.to_pylist()[:count] == pytest.approx(values, abs=1e-6)


def test_the_gain_is_the_textbooks() -> None:
    # In the middle of 2m + 1 even fixes: 1/n for a line, 3(3n² - 7) / (4n(n² - 4)) for a parabola (Savitzky, Golay).
    n = 21
    times = pa.array([float(k - 10) for k in range(n)])
    for order, gain in ((1, 1 / n), (2, 3 * (3 * n * n - 7) / (4 * n * (n * n - 4)))):
        assert fit(windows_of([n]), times, times, order).gain[0].as_py() == pytest.approx(gain)


def test_the_gain_is_what_noise_does() -> None:
    random = Random(5)
    times = [k * 0.1 - 0.93 for k in range(20)]
    count = 4000
    noise = [random.gauss(0, 1) for _ in range(20 * count)]
    found = fit(windows_of([20] * count), pa.array(times * count), pa.array(noise), 3)
    spread = math.sqrt(sum(v * v for v in found.value.to_pylist()) / count)
    assert spread == pytest.approx(math.sqrt(found.gain[0].as_py()), rel=0.05)


def test_too_few_fixes_lower_the_order_instead_of_failing() -> None:
    found = fit(windows_of([1, 2, 3]), pa.array([0.0, -1.0, 1.0, -1.0, 0.0, 1.0]), pa.array([7.0, 1, 3, 0, 1, 2]), 3)
    assert found.value.to_pylist() == pytest.approx([7, 2, 1])
    assert found.freedom.to_pylist() == [0, 1, 1]

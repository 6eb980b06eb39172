"""Lap times against the truth, in numbers: the bounds that the benchmark shows on 200 recordings, here on fewer."""

import statistics
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.laps.accuracy import Accuracy, measure_accuracy, percentile, pooled
from tests.laps.truth import Noise, recipes

RECORDINGS = 40
WHITE: Noise = {"noise_m": 0.3}
SLOW: Noise = {"noise_m": 0.3, "drift_m": 0.8, "drift_time_s": 30.0}


@pytest.fixture(scope="module")
def white() -> dict[bool, Accuracy]:
    return measure_accuracy(list(recipes(RECORDINGS, **WHITE)))


@pytest.fixture(scope="module")
def slow() -> dict[bool, Accuracy]:
    return measure_accuracy(list(recipes(RECORDINGS, **SLOW)))


def median(values: Sequence[float]) -> float:
    assert len(values) > 100
    return statistics.median(values)


@pytest.mark.parametrize("line_given", [True, False])
def test_no_lap_is_missed_and_none_is_extra(
    white: dict[bool, Accuracy], slow: dict[bool, Accuracy], *, line_given: bool
) -> None:
    assert white[line_given].recordings == slow[line_given].recordings == RECORDINGS
    assert white[line_given].miscounted == slow[line_given].miscounted == []


@pytest.mark.parametrize("line_given", [True, False])
def test_white_noise_leaves_milliseconds(white: dict[bool, Accuracy], *, line_given: bool) -> None:
    errors = white[line_given].fast_errors
    assert median(errors) <= 3
    assert percentile(errors, 0.95) <= 10


@pytest.mark.parametrize("line_given", [True, False])
def test_slow_noise_sets_the_bound(slow: dict[bool, Accuracy], *, line_given: bool) -> None:
    accuracy = slow[line_given]
    assert median(accuracy.errors) <= 1.15 * accuracy.bound_median
    assert percentile(accuracy.errors, 0.95) <= 1.15 * accuracy.bound_95


@pytest.mark.parametrize("line_given", [True, False])
def test_better_than_a_chord_between_two_fixes(
    white: dict[bool, Accuracy], slow: dict[bool, Accuracy], *, line_given: bool
) -> None:
    accuracy = white[line_given]
    assert median(accuracy.errors) <= 0.4 * median(accuracy.linear)
    assert percentile(accuracy.errors, 0.95) <= 0.4 * percentile(accuracy.linear, 0.95)
    # Both suffer the same slow noise: over few recordings the sum of squares shows the little that is between them.
    accuracy = slow[line_given]
    assert sum(e * e for e in accuracy.errors) < sum(e * e for e in accuracy.linear)


@pytest.mark.parametrize("line_given", [True, False])
def test_the_stated_uncertainty_covers_nine_laps_of_ten_and_is_not_padded(
    white: dict[bool, Accuracy], slow: dict[bool, Accuracy], *, line_given: bool
) -> None:
    for accuracy in (white[line_given], slow[line_given]):
        assert accuracy.covered >= 0.9
        assert accuracy.padding <= 3


def test_without_speed_the_places_alone_suffice() -> None:
    for accuracy in measure_accuracy(list(recipes(6, **WHITE)), speed=False).values():
        assert accuracy.miscounted == []
        assert statistics.median(accuracy.fast_errors) <= 3
        assert percentile(accuracy.fast_errors, 0.95) <= 10
        assert accuracy.covered >= 0.85


@pytest.mark.parametrize("rate_hz", [1, 2, 25])
def test_every_rate_is_covered_and_not_padded(rate_hz: int) -> None:
    recordings = list(recipes(14, rate_hz=rate_hz, **SLOW))
    accuracy = pooled(
        measured for speed in (True, False) for measured in measure_accuracy(recordings, speed=speed).values()
    )
    assert accuracy.recordings == 56
    assert accuracy.miscounted == []
    assert accuracy.covered >= 0.9
    assert accuracy.padding <= 3
    assert percentile(accuracy.errors, 0.95) <= 1.15 * accuracy.bound_95


@pytest.mark.parametrize("gap_s", [3, 8, 15])
@pytest.mark.parametrize("rate_hz", [1, 10])
def test_drop_outs_lose_no_lap_and_cost_little(gap_s: int, rate_hz: int) -> None:
    holed = [
        replace(recipe, gap_every_s=61 - gap_s if gap_s > 10 else 31 - gap_s, gap_s=gap_s)
        for recipe in recipes(10, rate_hz=rate_hz, **SLOW)
    ]
    accuracy = pooled(measure_accuracy(holed).values())
    assert accuracy.miscounted == []
    assert accuracy.covered >= 0.9
    assert accuracy.padding <= 3.2
    assert percentile(accuracy.errors, 0.95) <= 2 * accuracy.bound_95

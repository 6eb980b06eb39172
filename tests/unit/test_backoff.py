"""Backoff: half fixed, half jittered, doubling up to a quarter of an hour."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.domain.backoff import backoff


@pytest.mark.parametrize(
    ("attempt", "longest_s"), [(1, 30), (2, 60), (3, 120), (5, 480), (6, 900), (7, 900), (5000, 900)]
)
def test_delay_lies_between_half_and_the_whole(attempt: int, longest_s: float) -> None:
    assert backoff(attempt, 0.0) == timedelta(seconds=longest_s / 2)
    assert backoff(attempt, 1.0) == timedelta(seconds=longest_s)


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_delay_is_bounded_and_never_shrinks_with_attempts(attempt: int, fraction: float) -> None:
    delay = backoff(attempt, fraction)
    assert timedelta(seconds=15) <= delay <= timedelta(seconds=900)
    assert backoff(attempt + 1, fraction) >= delay


@pytest.mark.parametrize("attempt", [0, -1])
def test_attempts_count_from_one(attempt: int) -> None:
    with pytest.raises(ValueError, match="counts from 1"):
        backoff(attempt, 0.5)

"""Figures over the laps of a session: the best one, and the best sectors together."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from telemetry.laps.lap import Lap, LapKind, LapSource, best_lap, comparable_laps, theoretical_best_ms

START = datetime(2026, 5, 16, 9, 30, tzinfo=UTC)


def lap(number: int, duration_ms: float, *sectors_ms: float | None, kind: LapKind = LapKind.TIMED) -> Lap:
    return Lap(
        lap_number=number,
        kind=kind,
        start_time=START,
        end_time=START + timedelta(milliseconds=duration_ms),
        duration_ms=duration_ms,
        duration_uncertainty_ms=None,
        distance_m=None,
        max_speed_mps=None,
        source=LapSource.DETECTED,
        sectors_ms=sectors_ms,
    )


def test_the_best_lap_is_a_timed_one() -> None:
    laps = [lap(1, 10.0, kind=LapKind.OUT), lap(2, 90.0), lap(3, 80.0), lap(4, 5.0, kind=LapKind.IN)]
    assert best_lap(laps) is laps[2]
    assert best_lap(laps[:1]) is None


def of_file(*laps: tuple[float | None, float]) -> list[Lap]:
    """Laps of a file by metres and seconds."""
    return [
        dataclasses.replace(lap(number, seconds * 1000.0), distance_m=metres, source=LapSource.FILE)
        for number, (metres, seconds) in enumerate(laps, 1)
    ]


@pytest.mark.parametrize(
    ("laps", "comparable", "best"),
    [
        # A kilometre each, and what is left.
        ([(1000, 230), (1010, 220), (990, 225), (5, 2)], [1, 2, 3], 2),
        # The length that most have, wherever the others lie.
        ([(2296, 155), (2350, 107), (9864, 444), (2270, 116)], [1, 2, 4], 2),
        # Half of them is enough; of two groups as large the faster one.
        ([(400, 70), (200, 90), (401, 72), (201, 95)], [1, 3], 1),
        ([(200, 90), (401, 72), (201, 95), (400, 70)], [2, 4], 4),
        # Intervals, a triathlon: nothing to compare.
        ([(1159, 362), (490, 155), (2394, 721), (2403, 672), (1142, 362), (1351, 427)], [], None),
        ([(1631, 1987), (141, 170), (40905, 4422), (34, 60), (9807, 2850)], [], None),
        ([(1000, 300), (500, 150)], [], None),
        # 15 % apart at the most, over the whole group.
        ([(1000, 300), (1150, 290)], [1, 2], 2),
        ([(1000, 300), (1151, 290)], [], None),
        ([(1000, 300), (1100, 290), (1200, 280)], [2, 3], 3),
        # Of unknown length, or none.
        ([(None, 10), (1000, 300), (1000, 299)], [2, 3], 3),
        ([(None, 300), (None, 310)], [], None),
        ([(0, 300), (0, 310), (0, 305)], [], None),
        # The only one.
        ([(None, 76)], [1], 1),
        ([], [], None),
    ],
)
def test_the_best_is_one_of_laps_of_about_the_same_length(
    laps: list[tuple[float | None, float]], comparable: list[int], best: int | None
) -> None:
    given = of_file(*laps)
    assert [one.lap_number for one in comparable_laps(given)] == comparable
    found = best_lap(given)
    assert (found and found.lap_number) == best
    assert {one.lap_number for one in comparable_laps(given[::-1])} == set(comparable)


def test_laps_found_on_the_track_are_all_comparable() -> None:
    laps = [dataclasses.replace(lap(n, 80.0 + n), distance_m=metres) for n, metres in enumerate((900.0, 400.0, None))]
    assert comparable_laps(laps) == laps
    assert best_lap(laps) is laps[0]


def test_the_best_sectors_of_all_laps_together() -> None:
    assert theoretical_best_ms([lap(1, 100.0, 40.0, 60.0), lap(2, 101.0, 45.0, 56.0)]) == 96.0
    assert theoretical_best_ms([lap(1, 100.0), lap(2, 101.0)]) is None
    assert theoretical_best_ms([lap(1, 100.0, 40.0, None), lap(2, 101.0, 45.0, None)]) is None


def test_missed_lines_make_no_theoretical_best_above_the_best_lap() -> None:
    assert theoretical_best_ms([lap(1, 100.0, 40.0, 60.0), lap(2, 90.0, None, None)]) == 90.0

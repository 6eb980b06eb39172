"""Figures over the laps of a session: the best one, and the best sectors together."""

from datetime import UTC, datetime, timedelta

from telemetry.laps.lap import Lap, LapKind, LapSource, best_lap, theoretical_best_ms

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


def test_the_best_sectors_of_all_laps_together() -> None:
    assert theoretical_best_ms([lap(1, 100.0, 40.0, 60.0), lap(2, 101.0, 45.0, 56.0)]) == 96.0
    assert theoretical_best_ms([lap(1, 100.0), lap(2, 101.0)]) is None
    assert theoretical_best_ms([lap(1, 100.0, 40.0, None), lap(2, 101.0, 45.0, None)]) is None


def test_missed_lines_make_no_theoretical_best_above_the_best_lap() -> None:
    assert theoretical_best_ms([lap(1, 100.0, 40.0, 60.0), lap(2, 90.0, None, None)]) == 90.0

"""FIT: times since power-on, and what makes them UTC."""

import struct

import pytest

from telemetry.formats import fit
from tests.unit.fit_files import (
    FASTER_LAYOUT,
    RECORD_LAYOUT,
    START,
    correlation,
    definition,
    faster_since_power_on,
    fit_file,
    lap,
    read,
    record,
    seconds,
    since_power_on,
    track_of,
)


def test_time_since_power_on_becomes_utc_by_a_later_correlation() -> None:
    body = definition(20, RECORD_LAYOUT[:3]) + b"\0" + struct.pack("<Iii", 60, 5, 5)
    body += definition(162, ((253, 4, 0x86), (1, 4, 0x86)), local=1) + b"\1" + struct.pack("<II", START, 50)
    table, findings = read(fit_file(body))
    assert seconds(table) == [10]
    assert any("power-on" in note for note in findings.inferred)


def test_time_since_power_on_alone_is_no_time() -> None:
    body = definition(20, RECORD_LAYOUT[:3]) + b"\0" + struct.pack("<Iii", 60, 5, 5)
    assert read(fit_file(body))[0]["timestamp"].to_pylist() == [None]


def test_each_of_two_files_counts_from_its_own_power_on() -> None:
    first = fit_file(correlation(START, 50) + since_power_on(60) + lap(50, 10))
    second = fit_file(since_power_on(70) + lap(60, 10) + correlation(START + 1000, 50))
    third = fit_file(since_power_on(80) + lap(70, 10))
    table, findings = read(first + second + third)
    assert [
        None if time is None else time.timestamp() - START - 631_065_600 for time in table["timestamp"].to_pylist()
    ] == [
        10,
        1020,
        None,
    ]
    assert [lap.start_time.timestamp() - START - 631_065_600 for lap in findings.laps] == [0, 1010]
    assert any(sentence.startswith("1 laps count from a power-on") for sentence in findings.inferred)


def test_a_cameras_fixes_wait_for_the_correlation_of_their_own_file() -> None:
    """Though it is known only behind both files that they are the track."""
    fix = definition(160, FASTER_LAYOUT, local=1) + b"\1" + struct.pack("<IHiiIH", 60, 500, 5, 5, 0, 0)
    first, second = fit_file(correlation(START, 50) + fix), fit_file(fix + correlation(START + 1000, 50))
    assert seconds(track_of(read(first + second)[0])) == [10.5, 1010.5]


def test_a_correlation_counts_to_the_millisecond_where_messages_do() -> None:
    """Records tell whole seconds, cut off from the same clock: their time stays one."""
    told = correlation(START, 50, utc_ms=14, system_ms=123)
    sensor = definition(165, ((253, 4, 0x86), (0, 2, 0x84), (1, 2, 0x84), (5, 4, 0x88)), local=4)
    sensor += b"\4" + struct.pack("<IHHf", 60, 200, 0, 1.0)
    table, _ = read(fit_file(told + since_power_on(60) + faster_since_power_on(60_500) + sensor))
    assert seconds(table) == pytest.approx([10, 10.391, 10.091])


def test_a_correlations_fraction_may_stand_in_parts_of_32768() -> None:
    told = definition(162, ((253, 4, 0x86), (1, 4, 0x86), (0, 2, 0x84), (2, 2, 0x84)), local=5)
    told += b"\5" + struct.pack("<IIHH", START, 50, 16384, 0)
    assert seconds(read(fit_file(told + faster_since_power_on(60_000)))[0]) == [10.5]


@pytest.mark.parametrize("system", [50, START + 3600])
def test_a_correlation_of_times_that_are_absolute_is_not_told(system: int) -> None:
    _, findings = read(fit_file(correlation(START, system) + definition(20, RECORD_LAYOUT) + record(0, 1.0, 1.0)))
    assert findings.inferred == []


def test_a_correlation_that_does_not_count_from_power_on_makes_no_time() -> None:
    table, _ = read(fit_file(correlation(START, START + 3600) + since_power_on(60)))
    assert table["timestamp"].to_pylist() == [None]


@pytest.mark.parametrize("correlated", [False, True])
def test_the_utc_of_a_cameras_fixes_tells_what_no_correlation_does(correlated: bool) -> None:
    layout = ((253, 4, 0x86), (0, 2, 0x84), (1, 4, 0x85), (2, 4, 0x85), (6, 4, 0x86))
    body = definition(160, layout, local=1)
    for at_ms in range(60_000, 62_500, 100):
        utc = START + (at_ms - 50_391) // 1000
        body += b"\1" + struct.pack("<IHiiI", at_ms // 1000, at_ms % 1000, 5, 5, utc if at_ms > 60_200 else 0xFFFFFFFF)
    body += correlation(START + 1000, 50) if correlated else b""
    table, findings = read(fit_file(body))
    # To the tenth of a second that lies between two fixes.
    assert seconds(table)[0] == pytest.approx(1010.0 if correlated else 9.6)
    assert any(("camera's fixes name" in sentence) != correlated for sentence in findings.inferred)


def test_a_long_file_is_not_held_until_a_correlation_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "BATCH_ROWS", 10)
    monkeypatch.setattr(fit, "MOST_HELD_ROWS", 30)
    layout = ((253, 4, 0x86), (0, 2, 0x84), (1, 4, 0x85), (2, 4, 0x85), (6, 4, 0x86))
    body = definition(160, layout, local=1) + definition(20, RECORD_LAYOUT[:3])
    for second in range(60, 160):
        body += b"\0" + struct.pack("<Iii", second, 5, 5)
        body += b"\1" + struct.pack("<IHiiI", second, 0, 5, 5, START + second - 50)
    # Behind a correlation that contradicts the fixes.
    table, _ = read(fit_file(body + correlation(START + 1000, 50)))
    assert seconds(track_of(table)) == list(range(10, 110))

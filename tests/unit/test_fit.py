"""The FIT reader on files written here byte by byte, each named after what it holds."""

import io
import itertools
import struct

import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry.domain.laps import MOST_LAPS
from telemetry.errors import Code, TelemetryError
from telemetry.formats import fit
from telemetry.formats.fit import READER
from telemetry.formats.fit_messages import crc16
from telemetry.formats.reader import Findings, Origin
from tests.unit.fit_files import (
    RECORD_LAYOUT,
    START,
    definition,
    fit_file,
    read,
    record,
    seconds,
    unit_of,
)


def test_crc_is_crc16_arc() -> None:
    assert crc16(b"123456789") == 0xBB3D


def test_records_in_their_order_and_units() -> None:
    body = definition(20, RECORD_LAYOUT) + record(0, 47.5, -8.25, 12_345, 140) + record(1, 0.0, 0.0)
    table, findings = read(fit_file(body))
    assert seconds(table) == [0, 1]
    assert table["latitude_deg"].to_pylist() == pytest.approx([47.5, 0.0], abs=1e-7)
    assert table["longitude_deg"].to_pylist() == pytest.approx([-8.25, 0.0], abs=1e-7)
    assert table["speed_mps"].to_pylist() == pytest.approx([12.345, 10.0])
    assert table["heart_rate_bpm"].to_pylist() == [140, None]
    assert table["source_row"].to_pylist() == [1, 2]
    assert findings.rows_read == 2
    assert findings.inferred == []


def test_big_endian_definition() -> None:
    body = definition(20, RECORD_LAYOUT, order=">") + record(5, 10.0, 20.0, order=">")
    assert seconds(read(fit_file(body))[0]) == [5]


def test_compressed_timestamps_roll_over() -> None:
    plain = definition(20, RECORD_LAYOUT) + record(0, 1.0, 1.0)
    compact = definition(20, RECORD_LAYOUT[1:], local=1)
    position = struct.pack("<iiIB", 0, 0, 0, 60)
    last = START & 0x1F
    offsets = [(last + step) & 0x1F for step in (1, 2, 20, 45)]
    rows = b"".join(bytes([0x80 | 1 << 5 | offset]) + position for offset in offsets)
    table, _ = read(fit_file(plain + compact + rows))
    assert seconds(table) == [0, 1, 2, 20, 45]


def test_two_files_in_one_and_bytes_after_them() -> None:
    first = fit_file(definition(20, RECORD_LAYOUT) + record(0, 1.0, 1.0), header_crc=True)
    second = fit_file(definition(20, RECORD_LAYOUT) + record(9, 1.0, 1.0))
    table, findings = read(first + second + b"left over bytes")
    assert seconds(table) == [0, 9]
    assert findings.dialect == "FIT, 2 files in one"
    assert any("after the end" in note for note in findings.inferred)


@pytest.mark.parametrize("batch_rows", [1, 3, 4, 1000])
def test_each_further_file_starts_a_segment(batch_rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "BATCH_ROWS", batch_rows)
    layout = definition(20, RECORD_LAYOUT)
    files = [[0, 1], [50, 51, 52], [], [90]]
    table, _ = read(b"".join(fit_file(layout + b"".join(record(s, 1.0, 1.0) for s in times)) for times in files))
    assert pc.fill_null(table["flags"], 0).to_pylist() == [0, 0, 16, 0, 0, 16]
    assert "flags" not in read(fit_file(layout + record(0, 1.0, 1.0)))[0].schema.names


def test_two_messages_of_one_time_are_one_record() -> None:
    halves = definition(20, RECORD_LAYOUT[:3]) + definition(20, ((253, 4, 0x86), (3, 1, 0x02)), local=1)
    body = halves
    for second in range(3):
        body += b"\0" + struct.pack("<Iii", START + second, 1000, 2000)
        body += b"\1" + struct.pack("<IB", START + second, 100 + second)
    table, findings = read(fit_file(body))
    assert seconds(table) == [0, 1, 2]
    assert table["heart_rate_bpm"].to_pylist() == [100, 101, 102]
    assert findings.rows_read == 6


def test_two_fixes_of_one_time_each_split_in_two_stay_two() -> None:
    body = definition(20, RECORD_LAYOUT[:3]) + definition(20, ((253, 4, 0x86), (3, 1, 0x02)), local=1)
    for fix in range(2):
        body += b"\0" + struct.pack("<Iii", START, 1000 + fix, 2000)
        body += b"\1" + struct.pack("<IB", START, 100 + fix)
    table, _ = read(fit_file(body))
    assert seconds(table) == [0, 0]
    assert table["heart_rate_bpm"].to_pylist() == [100, 101]
    assert len(set(table["latitude_deg"].to_pylist())) == 2


POSITION, HEART_RATE, CADENCE, TEMPERATURE = range(4)


_SPLIT = (
    definition(20, RECORD_LAYOUT[:3], local=POSITION)
    + definition(20, ((253, 4, 0x86), (3, 1, 0x02)), local=HEART_RATE)
    + definition(20, ((253, 4, 0x86), (4, 1, 0x02)), local=CADENCE)
    + definition(20, ((253, 4, 0x86), (13, 1, 0x01)), local=TEMPERATURE)
)


def _split(*messages: int, second: int = 0) -> bytes:
    """Messages of one second; each holds its own place among them as its value."""
    body = b""
    for value, kind in enumerate(messages, 1):
        values = struct.pack("<ii", value, value) if kind == POSITION else struct.pack("<B", value)
        body += bytes([kind]) + struct.pack("<I", START + second) + values
    return body


@pytest.mark.parametrize(
    "messages", list(itertools.permutations(range(4))) + list(itertools.permutations(range(3))), ids=str
)
def test_a_record_split_over_several_messages_is_one(messages: tuple[int, ...]) -> None:
    table, findings = read(fit_file(_SPLIT + b"".join(_split(*messages, second=second) for second in range(3))))
    assert seconds(table) == [0, 1, 2]
    named = ("latitude_deg", "heart_rate_bpm", "cadence_rpm", "temperature_degc")
    for kind, name in enumerate(named):
        if kind in messages:
            assert table[name].null_count == 0
    assert table["heart_rate_bpm"].to_pylist() == [messages.index(HEART_RATE) + 1] * 3
    assert findings.rows_read == 3 * len(messages)


@pytest.mark.parametrize(
    ("messages", "placed", "heart_rates"),
    [
        ((POSITION, HEART_RATE, CADENCE) * 2, [True, True], [2, 5]),
        ((HEART_RATE, POSITION) * 2, [True, True], [1, 3]),
        ((POSITION, POSITION, HEART_RATE), [True, True], [None, 3]),
        # Samples between two fixes are kept, each for itself.
        ((POSITION, HEART_RATE, HEART_RATE, HEART_RATE), [True, False, False], [2, 3, 4]),
        ((POSITION, HEART_RATE, HEART_RATE, CADENCE, POSITION), [True, True], [2, 3]),
    ],
)
def test_a_record_ends_at_a_second_position_or_sample(
    messages: tuple[int, ...], placed: list[bool], heart_rates: list[int | None]
) -> None:
    table, _ = read(fit_file(_SPLIT + _split(*messages)))
    assert [value is not None for value in table["latitude_deg"].to_pylist()] == placed
    assert table["heart_rate_bpm"].to_pylist() == heart_rates


def test_a_record_is_joined_whatever_number_of_channels_it_has() -> None:
    """Each message adds one channel to the record, beyond the bits of one word."""
    body = _SPLIT + _split(POSITION)
    for number in range(130, 230):
        body += definition(20, ((253, 4, 0x86), (number, 1, 0x02)), local=4) + b"\4" + struct.pack("<IB", START, 7)
    body += _split(HEART_RATE)
    table, _ = read(fit_file(body))
    assert seconds(table) == [0]
    assert table["heart_rate_bpm"].to_pylist() == [1]
    assert len(table.schema.names) > 100


@pytest.mark.parametrize("rest", [b"x", b"garbage!", b"\0" * 40])
def test_bytes_behind_the_file_are_told(rest: bytes) -> None:
    body = definition(20, RECORD_LAYOUT) + record(0, 1.0, 1.0)
    assert any("after the end" in note for note in read(fit_file(body) + rest)[1].inferred)


def test_laps_and_device() -> None:
    lap = definition(19, ((253, 4, 0x86), (2, 4, 0x86), (7, 4, 0x86)), local=3)
    lap += (
        b"\3"
        + struct.pack("<III", START + 60, START, 60_500)
        + b"\3"
        + struct.pack("<III", START + 99, START + 60, 39_000)
    )
    identity = (
        definition(0, ((1, 2, 0x84), (2, 2, 0x84), (3, 4, 0x8C)), local=4) + b"\4" + struct.pack("<HHI", 32, 31, 77)
    )
    _, findings = read(fit_file(identity + definition(20, RECORD_LAYOUT) + record(0, 1.0, 1.0) + lap))
    assert [(lap.number, (lap.end_time - lap.start_time).total_seconds()) for lap in findings.laps] == [
        (1, 60.5),
        (2, 39),
    ]
    assert findings.device is not None
    assert (findings.device.manufacturer, findings.device.serial_number) == ("Wahoo Fitness", "77")


@pytest.mark.parametrize(("kind", "said"), [(4, []), (6, ["a course"])])
def test_a_course_is_called_one(kind: int, said: list[str]) -> None:
    identity = definition(0, ((0, 1, 0), (1, 2, 0x84)), local=4) + b"\4" + struct.pack("<BH", kind, 1)
    _, findings = read(fit_file(identity + definition(20, RECORD_LAYOUT) + record(0, 1.0, 1.0)) * 2)
    assert [sentence.split(":")[0] for sentence in findings.inferred] == said


def test_camera_samples_are_spread_over_their_offsets() -> None:
    layout = ((253, 4, 0x86), (0, 2, 0x84), (1, 4, 0x84), (5, 8, 0x88))
    body = definition(165, layout) + b"\0" + struct.pack("<IHHHff", START, 500, 0, 33, 1.0, -1.0)
    table, _ = read(fit_file(body))
    assert seconds(table) == pytest.approx([0.5, 0.533])
    assert table["acceleration_x_mps2"].to_pylist() == pytest.approx([9.80665, -9.80665])


def test_barometer_samples_are_read() -> None:
    layout = ((253, 4, 0x86), (0, 2, 0x84), (1, 4, 0x84), (2, 8, 0x86))
    body = definition(209, layout) + b"\0" + struct.pack("<IHHHII", START, 500, 0, 100, 98_000, 0xFFFFFFFF)
    table, findings = read(fit_file(body))
    assert seconds(table) == pytest.approx([0.5, 0.6])
    assert table["barometer_pressure"].to_pylist() == [98_000, None]
    assert unit_of(table, "barometer_pressure") == b"Pa"
    assert findings.inferred == []


def test_messages_of_measurements_that_are_not_read_are_counted() -> None:
    body = definition(20, RECORD_LAYOUT) + record(0, 1.0, 1.0)
    body += definition(132, ((253, 4, 0x86), (6, 1, 2)), local=1) + (b"\1" + struct.pack("<IB", START, 60)) * 3
    body += definition(174, ((253, 4, 0x86), (3, 1, 13)), local=1) + b"\1" + struct.pack("<IB", START, 60)
    _, findings = read(fit_file(body))
    assert findings.inferred == ["messages of other measurements were not read: 3 hr, 1 obdii_data"]


def test_an_unfinished_file_keeps_its_records() -> None:
    body = definition(20, RECORD_LAYOUT) + record(0, 1.0, 1.0) + record(1, 1.0, 1.0)
    unfinished = fit_file(body, size=0)[:-2]
    table, _ = read(unfinished)
    assert seconds(table) == [0, 1]


def test_a_cut_file_gives_its_whole_records_then_names_the_byte() -> None:
    body = definition(20, RECORD_LAYOUT) + record(0, 1.0, 1.0) + record(1, 1.0, 1.0)
    findings, given_rows = Findings(), 0
    with pytest.raises(TelemetryError) as damaged:
        for batch in READER.read(io.BytesIO(fit_file(body)[:-10]), Origin(), findings):
            given_rows += batch.num_rows
    assert given_rows == 1
    assert damaged.value.code is Code.FIT_CORRUPT
    assert damaged.value.detail.startswith("byte ")


def test_a_wrong_checksum_is_told_and_kills_nothing() -> None:
    whole = bytearray(fit_file(definition(20, RECORD_LAYOUT) + record(0, 1.0, 1.0)))
    whole[-1] ^= 0x55
    table, findings = read(bytes(whole))
    assert table.num_rows == 1
    assert any("checksum" in note for note in findings.inferred)


@pytest.mark.parametrize("data", [b"", b"\x0e", b"not a FIT file at all", fit_file(b"\x05")])
def test_no_fit_file_is_a_typed_error(data: bytes) -> None:
    with pytest.raises(TelemetryError) as refused:
        read(data)
    assert refused.value.code is Code.FIT_CORRUPT


_WHOLE = fit_file(
    definition(0, ((1, 2, 0x84), (2, 2, 0x84), (3, 4, 0x8C)), local=4)
    + b"\4"
    + struct.pack("<HHI", 1, 31, 77)
    + definition(20, RECORD_LAYOUT)
    + b"".join(record(second, 47 + second / 1000, 8.0) for second in range(20))
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, len(_WHOLE) - 1), st.integers(0, 255)), max_size=4), st.integers(0, len(_WHOLE))
)
def test_any_damage_is_rows_or_a_typed_error(changes: list[tuple[int, int]], cut: int) -> None:
    damaged = bytearray(_WHOLE)
    for place, value in changes:
        damaged[place] = value
    try:
        table, _ = read(bytes(damaged[:cut]) if cut % 3 == 0 else bytes(damaged))
    except TelemetryError as error:
        assert error.code is Code.FIT_CORRUPT
    else:
        assert table.num_rows <= len(_WHOLE)


def test_integers_beyond_a_double_are_rounded_and_the_invalid_one_is_none() -> None:
    body = definition(20, (*RECORD_LAYOUT, (200, 8, 0x8E)))
    for second, value in enumerate((2**62 + 1, 5, 2**63 - 1)):
        body += record(second, 47.5, 8.25) + struct.pack("<q", value)
    assert read(fit_file(body))[0]["field_200"].to_pylist() == [2.0**62, 5, None]


def test_sensor_samples_of_damaged_definitions_are_passed_over() -> None:
    """A time that is opaque bytes; and one axis twice, of which the calibrated values count."""
    opaque = ((253, 3, 0x86), (0, 2, 0x84), (1, 2, 0x84), (5, 4, 0x88))
    body = definition(165, opaque, 1) + b"\x01" + struct.pack("<3sHHf", b"abc", 0, 0, 1.0)
    twice = ((253, 4, 0x86), (0, 2, 0x84), (1, 2, 0x84), (5, 4, 0x88), (8, 2, 0x83))
    body += definition(165, twice) + b"\0" + struct.pack("<IHHfh", START, 0, 0, 1.0, 5)
    table, _ = read(fit_file(body))
    assert table["acceleration_x_mps2"].to_pylist() == pytest.approx([9.80665])


def test_laps_of_damaged_definitions_are_none() -> None:
    body = definition(20, RECORD_LAYOUT) + record(0, 1.0, 1.0)
    body += definition(19, ((2, 8, 0x8E), (7, 8, 0x8E)), local=2) + (b"\2" + struct.pack("<qq", 2**62, 2**62)) * 3
    assert read(fit_file(body))[1].laps == []


def test_laps_after_the_most_are_counted() -> None:
    body = definition(20, RECORD_LAYOUT) + record(0, 1.0, 1.0)
    body += definition(19, ((253, 4, 0x86), (2, 4, 0x86), (7, 4, 0x86)), local=3)
    body += b"".join(b"\3" + struct.pack("<III", START + lap + 1, START + lap, 1000) for lap in range(MOST_LAPS + 7))
    findings = read(fit_file(body))[1]
    assert (len(findings.laps), findings.laps_left_out) == (MOST_LAPS, 7)
    assert findings.laps[-1].number == MOST_LAPS

"""The FIT reader on files written here byte by byte, each named after what it holds."""

import io
import itertools
import struct
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry.domain.laps import MOST_LAPS
from telemetry.errors import Code, TelemetryError
from telemetry.formats import fit, fit_track
from telemetry.formats.fit import READER
from telemetry.formats.fit_messages import crc16
from telemetry.formats.reader import Findings, Origin

START = 1_000_000_000  # FIT seconds: 2021-09-08T01:46:40Z
DEGREE = 2**31 / 180
RECORD_LAYOUT = ((253, 4, 0x86), (0, 4, 0x85), (1, 4, 0x85), (73, 4, 0x86), (3, 1, 0x02))


def definition(number: int, layout: Iterable[tuple[int, int, int]], local: int = 0, *, order: str = "<") -> bytes:
    fields = tuple(layout)
    head = struct.pack(f"{order}BBBHB", 0x40 | local, 0, order == ">", number, len(fields))
    return head + b"".join(bytes(f) for f in fields)


def record(
    second: int, lat: float, lon: float, speed: int = 10_000, heart_rate: int = 0xFF, *, order: str = "<"
) -> bytes:
    position = [round(lat * DEGREE), round(lon * DEGREE)]
    return b"\0" + struct.pack(f"{order}IiiIB", START + second, *position, speed, heart_rate)


def fit_file(body: bytes, *, size: int | None = None, header_crc: bool = False) -> bytes:
    length = 14 if header_crc else 12
    header = struct.pack("<BBHI4s", length, 0x20, 2132, len(body) if size is None else size, b".FIT")
    whole = header + (b"\0\0" if header_crc else b"") + body
    return whole + struct.pack("<H", crc16(whole))


def read(data: bytes) -> tuple[pa.Table, Findings]:
    findings = Findings()
    batches = list(READER.read(io.BytesIO(data), Origin(), findings))
    tables = [pa.table(batch) for batch in batches]
    return (pa.concat_tables(tables, promote_options="default") if tables else pa.table({})), findings


def seconds(table: pa.Table) -> list[float]:
    return [t.timestamp() - START - 631_065_600 for t in table["timestamp"].to_pylist()]


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


def description(
    number: int, name: str, unit: str, *, base: int = 0x84, scale: int = 0xFF, native: tuple[int, int] = (0xFFFF, 0xFF)
) -> bytes:
    layout = ((0, 1, 2), (1, 1, 2), (2, 1, 2), (3, 16, 7), (8, 8, 7), (6, 1, 2), (14, 2, 0x84), (15, 1, 2))
    values = struct.pack("<BBB16s8sBHB", 0, number, base, name.encode(), unit.encode(), scale, *native)
    return definition(206, layout, local=2) + b"\2" + values


def developed(layout: Iterable[tuple[int, int, int]], *fields: tuple[int, int]) -> bytes:
    """A definition of records with developer fields: their number and size."""
    head = definition(20, layout)
    return bytes([head[0] | 0x20]) + head[1:] + bytes([len(fields)]) + b"".join(bytes([*item, 0]) for item in fields)


def unit_of(table: pa.Table, name: str) -> bytes:
    return bytes(table.schema.field(name).metadata[b"unit"])


def test_developer_fields_carry_their_own_name_unit_and_scale() -> None:
    head = developed(RECORD_LAYOUT[:3], (7, 2))
    row = b"\0" + struct.pack("<IiiH", START, 1, 1, 1234)
    table, _ = read(fit_file(description(7, "Stamina", "kJ", scale=10) + head + row))
    assert table["Stamina"].to_pylist() == [123.4]
    assert unit_of(table, "Stamina") == b"kJ"


@pytest.mark.parametrize(
    ("name", "unit"),
    [("speed", "km/h"), ("enhanced_speed", "km/h"), ("altitude", "ft"), ("course_deg", "rad"), ("power_w", "kW")],
)
def test_a_developer_field_named_like_a_native_one_is_none(name: str, unit: str) -> None:
    """Also where a record has no native field of that name, so that a channel is one through the whole file."""
    head = developed(((253, 4, 0x86), (0, 4, 0x85), (1, 4, 0x85), (6, 2, 0x84), (2, 2, 0x84)), (7, 2))
    row = b"\0" + struct.pack("<IiiHHH", START, 1, 1, 27_778, 3000, 100)
    table, _ = read(fit_file(description(7, name, unit) + head + row))
    assert (table["speed_mps"].to_pylist(), table["altitude_m"].to_pylist()) == ([pytest.approx(27.778)], [100.0])
    assert (table[f"developer_{name}"].to_pylist(), unit_of(table, f"developer_{name}")) == ([100.0], unit.encode())
    assert not {"course_deg", "power_w"} & set(table.schema.names)


def test_a_native_field_keeps_its_unit_beside_a_developer_field_of_its_name() -> None:
    head = developed((*RECORD_LAYOUT[:3], (5, 4, 0x86)), (7, 2))
    row = b"\0" + struct.pack("<IiiIH", START, 1, 1, 12_300, 9)
    table, _ = read(fit_file(description(7, "distance", "km") + head + row))
    assert (table["distance"].to_pylist(), unit_of(table, "distance")) == ([123.0], b"m")
    assert (table["developer_distance"].to_pylist(), unit_of(table, "developer_distance")) == ([9.0], b"km")


def test_developer_fields_of_one_name_in_two_units_are_two_channels() -> None:
    head = developed(RECORD_LAYOUT[:3], (7, 2), (8, 2))
    row = b"\0" + struct.pack("<IiiHH", START, 1, 1, 36, 10)
    table, _ = read(fit_file(description(7, "Wind", "km/h") + description(8, "Wind", "m/s") + head + row))
    assert (table["Wind"].to_pylist(), unit_of(table, "Wind")) == ([36.0], b"km/h")
    assert (table["Wind [m/s]"].to_pylist(), unit_of(table, "Wind [m/s]")) == ([10.0], b"m/s")


@pytest.mark.parametrize(
    ("unit", "native", "channel", "value"),
    [
        ("Watts", (20, 7), "power_w", 250.0),
        ("BPM", (20, 3), "heart_rate_bpm", 250.0),
        ("km/h", (20, 73), "speed_mps", 250 / 3.6),
        ("rpm", (20, 4), "cadence_rpm", 250.0),
        ("SPM", (20, 4), "cadence_rpm", None),
        ("furlongs", (20, 6), "speed_mps", None),
        ("Watts", (19, 7), "power_w", None),
    ],
)
def test_a_developer_field_gives_the_native_quantity_it_names(
    unit: str, native: tuple[int, int], channel: str, value: float | None
) -> None:
    head = developed(RECORD_LAYOUT[:3], (7, 2))
    row = b"\0" + struct.pack("<IiiH", START, 1, 1, 250)
    table, findings = read(fit_file(description(7, "Pod", unit, native=native) + head + row))
    assert table["Pod"].to_pylist() == [250.0]
    assert (channel in table.schema.names) == (value is not None)
    if value is not None:
        assert table[channel].to_pylist() == [pytest.approx(value)]
        assert findings.inferred == [f"{channel}, where records have none, is the developer field 'Pod'"]


def test_a_records_own_value_comes_before_a_developer_fields() -> None:
    head = developed(RECORD_LAYOUT, (7, 2))
    rows = record(0, 1.0, 1.0, heart_rate=120) + struct.pack("<H", 90) + record(1, 1.0, 1.0) + struct.pack("<H", 91)
    table, _ = read(fit_file(description(7, "Pulse", "bpm", native=(20, 3)) + head + rows))
    assert table["heart_rate_bpm"].to_pylist() == [120, 91]


def test_a_later_file_describes_its_own_developer_fields_alone() -> None:
    head = developed(RECORD_LAYOUT[:3], (7, 2))
    rows = [b"\0" + struct.pack("<IiiH", START + second, 1, 1, 1234) for second in range(3)]
    first = fit_file(description(7, "Stamina", "kJ", scale=10) + head + rows[0])
    second = fit_file(description(7, "Slope", "%", scale=100) + head + rows[1])
    third = fit_file(head + rows[2])
    table, findings = read(first + second + third)
    assert table["Stamina"].to_pylist() == [123.4, None, None]
    assert table["Slope"].to_pylist() == [None, 12.34, None]
    assert unit_of(table, "Slope") == b"%"
    assert any("developer_0_7" in sentence for sentence in findings.inferred)


def test_a_description_after_a_definition_is_not_its_own() -> None:
    head = developed(RECORD_LAYOUT[:3], (7, 2))
    row = b"\0" + struct.pack("<IiiH", START, 1, 1, 1234)
    renamed = description(7, "Slope", "%", scale=100)
    table, _ = read(fit_file(description(7, "Stamina", "kJ", scale=10) + head + row + renamed + row))
    assert table["Stamina"].to_pylist() == [123.4, 123.4]


def test_developer_fields_that_nothing_describes_are_named() -> None:
    head = definition(20, RECORD_LAYOUT)
    developer = bytes([head[0] | 0x20]) + head[1:] + bytes([2, 5, 2, 0, 6, 2, 0])
    body = developer + b"".join(record(second, 1.0, 1.0) + b"\x01\x02\xff\xff" for second in range(3))
    _, findings = read(fit_file(body))
    assert findings.inferred == [
        "fields of text, or of bytes that nothing describes, are not kept: developer_0_5",
    ]


@pytest.mark.parametrize("rest", [b"x", b"garbage!", b"\0" * 40])
def test_bytes_behind_the_file_are_told(rest: bytes) -> None:
    body = definition(20, RECORD_LAYOUT) + record(0, 1.0, 1.0)
    assert any("after the end" in note for note in read(fit_file(body) + rest)[1].inferred)


def test_time_since_power_on_becomes_utc_by_a_later_correlation() -> None:
    body = definition(20, RECORD_LAYOUT[:3]) + b"\0" + struct.pack("<Iii", 60, 5, 5)
    body += definition(162, ((253, 4, 0x86), (1, 4, 0x86)), local=1) + b"\1" + struct.pack("<II", START, 50)
    table, findings = read(fit_file(body))
    assert seconds(table) == [10]
    assert any("power-on" in note for note in findings.inferred)


def test_time_since_power_on_alone_is_no_time() -> None:
    body = definition(20, RECORD_LAYOUT[:3]) + b"\0" + struct.pack("<Iii", 60, 5, 5)
    assert read(fit_file(body))[0]["timestamp"].to_pylist() == [None]


def correlation(utc: int, system: int, *, utc_ms: int | None = None, system_ms: int = 0) -> bytes:
    layout, values = [(253, 4, 0x86), (1, 4, 0x86)], struct.pack("<II", utc, system)
    if utc_ms is not None:
        layout += [(4, 2, 0x84), (5, 2, 0x84)]
        values += struct.pack("<HH", utc_ms, system_ms)
    return definition(162, layout, local=5) + b"\5" + values


def lap(start: int, seconds: int) -> bytes:
    return definition(19, ((2, 4, 0x86), (7, 4, 0x86)), local=3) + b"\3" + struct.pack("<II", start, seconds * 1000)


def since_power_on(second: int) -> bytes:
    return definition(20, RECORD_LAYOUT[:3]) + b"\0" + struct.pack("<Iii", second, 5, 5)


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


def faster_since_power_on(at_ms: int) -> bytes:
    values = struct.pack("<IHiiIH", at_ms // 1000, at_ms % 1000, 5, 5, 0, 0)
    return definition(160, FASTER_LAYOUT, local=1) + b"\1" + values


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


FASTER_LAYOUT = ((253, 4, 0x86), (0, 2, 0x84), (1, 4, 0x85), (2, 4, 0x85), (4, 4, 0x86), (5, 2, 0x84))


def faster(at_ms: int, lat: float, lon: float, speed: int = 20_000, heading: int = 9_000) -> bytes:
    position = [round(lat * DEGREE), round(lon * DEGREE)]
    return b"\1" + struct.pack("<IHiiIH", START + at_ms // 1000, at_ms % 1000, *position, speed, heading)


CAMERA = definition(20, RECORD_LAYOUT) + definition(160, FASTER_LAYOUT, local=1)
FASTER_AT_10_HZ = "those of gps_metadata messages"


def camera_second(second: int) -> bytes:
    fixes = b"".join(faster(1000 * second + ms, 47 + second / 1e4, 8 + ms / 1e6) for ms in range(0, 1000, 100))
    return record(second, 48.0, 9.0, heart_rate=120 + second) + fixes


def track_of(table: pa.Table) -> pa.Table:
    return table.filter(pc.is_valid(table["latitude_deg"]))


def test_the_faster_fixes_of_a_camera_are_its_track() -> None:
    body = CAMERA + b"".join(faster(ms, 47.0, 8 + ms / 1e6) for ms in range(0, 1000, 100))
    table, findings = read(fit_file(body))
    assert seconds(table) == pytest.approx([ms / 1000 for ms in range(0, 1000, 100)])
    assert table["longitude_deg"].to_pylist() == pytest.approx([8 + ms / 1e6 for ms in range(0, 1000, 100)], abs=1e-7)
    assert table.slice(0, 1).to_pylist()[0].items() >= {"speed_mps": 20.0, "course_deg": 90.0, "source_row": 1}.items()
    assert findings.rows_read == 10
    assert any(FASTER_AT_10_HZ in sentence for sentence in findings.inferred)


def test_records_are_the_track_wherever_they_have_fixes() -> None:
    table, findings = read(fit_file(CAMERA + b"".join(camera_second(second) for second in range(3))))
    assert seconds(track_of(table)) == [0, 1, 2]
    assert min(track_of(table)["latitude_deg"].to_pylist()) > 47.5
    beside = table.filter(pc.is_valid(table["gps_metadata_latitude"]))
    assert seconds(beside) == pytest.approx([ms / 1000 for ms in range(0, 3000, 100)])
    assert findings.rows_read == 3
    assert findings.inferred == []


@pytest.mark.parametrize("first", ["records", "camera"])
def test_records_without_fixes_leave_the_track_to_the_camera(first: str) -> None:
    layout = ((253, 4, 0x86), (3, 1, 0x02))
    beats = definition(20, layout, local=2) + b"".join(b"\2" + struct.pack("<IB", START + s, 120) for s in range(3))
    fixes = CAMERA + b"".join(faster(ms, 47.0, 8.0) for ms in range(0, 3000, 100))
    table, findings = read(fit_file(beats + fixes if first == "records" else fixes + beats))
    assert seconds(track_of(table)) == pytest.approx([ms / 1000 for ms in range(0, 3000, 100)])
    assert table["heart_rate_bpm"].drop_null().to_pylist() == [120] * 3
    assert findings.rows_read == 30


@pytest.mark.parametrize("rows", [31, 32, 40])
def test_blocks_make_no_difference_to_the_track(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    fixes = b"".join(faster(ms, 47.0, 8.0) for ms in range(0, 20_000, 100))
    late = b"".join(record(second, 48.0, 9.0) for second in range(20))
    alone, _ = read(fit_file(CAMERA + fixes))
    both, _ = read(fit_file(CAMERA + fixes + late))
    monkeypatch.setattr(fit, "BATCH_ROWS", rows)
    assert read(fit_file(CAMERA + fixes))[0].equals(alone)
    table, findings = read(fit_file(CAMERA + fixes + late))
    assert seconds(track_of(table)) == seconds(track_of(both)) == list(range(20))
    assert findings.rows_read == 20


def test_a_long_file_is_not_held_until_a_record_has_a_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "BATCH_ROWS", 32)
    monkeypatch.setattr(fit_track, "MOST_HELD_ROWS", 64)
    fixes = b"".join(faster(ms, 47.0, 8.0) for ms in range(0, 20_000, 100))
    late = b"".join(record(second, 48.0, 9.0) for second in range(40))
    table, findings = read(fit_file(CAMERA + fixes + late))
    assert seconds(track_of(table)) == pytest.approx([ms / 1000 for ms in range(0, 20_000, 100)])
    assert table["record_latitude_deg"].drop_null().to_pylist() == pytest.approx([48.0] * 40, abs=1e-7)
    assert findings.rows_read == 200


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

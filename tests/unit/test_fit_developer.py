"""FIT: developer fields, their names and units, and the native quantities they give."""

import struct

import pytest

from tests.unit.fit_files import (
    RECORD_LAYOUT,
    START,
    definition,
    description,
    developed,
    fit_file,
    read,
    record,
    unit_of,
)


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

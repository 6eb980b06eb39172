"""Units as people write them."""

import pyarrow as pa
import pytest

from telemetry.streams.channels import CHANNELS
from telemetry.streams.units import conversion, is_unit


@pytest.mark.parametrize(
    ("value", "unit", "into", "expected"),
    [
        (36.0, "km/h", "m/s", 10.0),
        (36.0, " [Km / H] ", "m/s", 10.0),
        (36.0, "KPH", "m/s", 10.0),
        (60.0, "mph", "m/s", 26.8224),
        (1.0, "knots", "m/s", 1852 / 3600),
        (1.0, "kts", "m/s", 1852 / 3600),
        (100.0, "ft", "m", 30.48),
        (2.5, "mm", "m", 0.0025),
        (1.0, "g", "m/s²", 9.80665),
        (1.0, "G", "m/s²", 9.80665),
        (180.0, "deg/s", "rad/s", 3.141592653589793),
        (180.0, "°/s", "rad/s", 3.141592653589793),
        (212.0, "°F", "°C", 100.0),
        (32.0, "F", "°C", 0.0),
        (0.0, "K", "°C", -273.15),
        (1.0, "kW", "W", 1000.0),
        (7.5, "m/s", "m/s", 7.5),
        (1.5707963267948966, "rad", "deg", 90.0),
    ],
)
def test_conversion(value: float, unit: str, into: str, expected: float) -> None:
    found = conversion(unit, into)
    assert found is not None
    result = found.apply(pa.array([value, None]))
    assert result.type == pa.float64()
    assert result[0].as_py() == pytest.approx(expected, rel=1e-12, abs=1e-12)
    assert result[1].as_py() is None


@pytest.mark.parametrize(("unit", "into"), [("furlong", "m"), ("km/h", "m"), ("", "m/s"), ("m", "°C"), ("s", "m/s")])
def test_nothing_is_guessed(unit: str, into: str) -> None:
    assert conversion(unit, into) is None


def test_every_canonical_unit_is_known() -> None:
    for channel in CHANNELS.values():
        if channel.unit:
            found = conversion(channel.unit, channel.unit)
            assert found is not None and found.is_identity, channel.name
            assert is_unit(channel.unit)


def test_integers_become_floats() -> None:
    found = conversion("km/h", "m/s")
    assert found is not None
    assert found.apply(pa.array([36, 72], pa.int16())).to_pylist() == pytest.approx([10.0, 20.0])

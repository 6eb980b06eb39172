"""Units as people write them in headers, and their conversion into the canonical unit. Pure; Arrow arrays in and out.

Factors are exact by definition: international foot and mile (1959), nautical mile (1929), standard gravity
(CGPM 1901), imperial horsepower and metric horsepower from them.
"""

import math
import re
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

STANDARD_GRAVITY_MPS2 = 9.80665
KNOT_MPS = 1852 / 3600


@dataclass(frozen=True, slots=True)
class Conversion:
    """Linear: canonical = value * factor + offset."""

    factor: float = 1.0
    offset: float = 0.0

    @property
    def is_identity(self) -> bool:
        """True when values stay as they are."""
        return self.factor == 1.0 and self.offset == 0.0

    def apply(self, values: pa.Array) -> pa.Array:
        """Converts a numeric array to float64; nulls stay null."""
        converted = values if values.type == pa.float64() else values.cast(pa.float64())
        if self.factor != 1.0:
            converted = pc.multiply(converted, self.factor)
        if self.offset != 0.0:
            converted = pc.add(converted, self.offset)
        return converted


@dataclass(frozen=True, slots=True)
class _Unit:
    quantity: str
    factor: float = 1.0
    offset: float = 0.0


def _units() -> dict[str, _Unit]:
    """Spelling (lower case, no spaces) to quantity and factor into the quantity's SI or canonical unit."""
    g = STANDARD_GRAVITY_MPS2
    radian = math.pi / 180
    rows: tuple[tuple[str, str, float, float], ...] = (
        ("speed", "m/s mps m/sec meters/second metres/second meters/sec m·s-1 ms-1", 1.0, 0.0),
        ("speed", "km/h kmh kph kmph km/hr km/hour kmh-1", 1 / 3.6, 0.0),
        ("speed", "mph mi/h mi/hr miles/h miles/hour mile/h", 1609.344 / 3600, 0.0),
        ("speed", "kn kt kts knot knots nmi/h nm/h", KNOT_MPS, 0.0),
        ("speed", "ft/s fps ft/sec feet/s", 0.3048, 0.0),
        ("speed", "ft/min fpm", 0.3048 / 60, 0.0),
        ("speed", "mm/s", 0.001, 0.0),
        ("speed", "cm/s", 0.01, 0.0),
        ("length", "m meter meters metre metres mtr", 1.0, 0.0),
        ("length", "km kilometer kilometers kilometre kilometres", 1000.0, 0.0),
        ("length", "cm", 0.01, 0.0),
        ("length", "mm", 0.001, 0.0),
        ("length", "ft feet foot", 0.3048, 0.0),
        ("length", "yd yard yards", 0.9144, 0.0),
        ("length", "mi mile miles", 1609.344, 0.0),
        ("length", "nmi", 1852.0, 0.0),
        ("acceleration", "m/s² m/s2 m/s^2 m/s/s mps2 m/sec2 m/sec^2", 1.0, 0.0),
        ("acceleration", "g gs g's gee", g, 0.0),
        ("acceleration", "mg", g / 1000, 0.0),
        ("rate", "rad/s rad/sec radps", 1.0, 0.0),
        ("rate", "deg/s °/s deg/sec degrees/s dps º/s", radian, 0.0),
        ("angle", "deg ° degree degrees º", 1.0, 0.0),
        ("angle", "1e-5deg", 1e-5, 0.0),
        ("angle", "1e-2deg", 1e-2, 0.0),
        ("angle", "rad radian radians", 180 / math.pi, 0.0),
        ("temperature", "°c c degc celsius ºc deg.c", 1.0, 0.0),
        ("temperature", "°f f degf fahrenheit ºf deg.f", 5 / 9, -160 / 9),
        ("temperature", "k kelvin", 1.0, -273.15),
        ("power", "w watt watts", 1.0, 0.0),
        ("power", "kw", 1000.0, 0.0),
        ("power", "hp bhp", 745.6998715822702, 0.0),
        ("power", "ps cv", 735.49875, 0.0),
        ("frequency", "rpm 1/min r/min min-1 bpm spm", 1.0, 0.0),
        ("frequency", "hz", 60.0, 0.0),
    )
    return {name: _Unit(quantity, factor, offset) for quantity, names, factor, offset in rows for name in names.split()}


_UNITS = _units()


def _plain(unit: str) -> str:
    """`[Km / h]` and `(km/h)` to `km/h`."""
    return re.sub(r"[\s_]+", "", unit).strip("()[]{}<>\"'").lower()


def conversion(unit: str, into: str) -> Conversion | None:
    """How values in `unit` become values in `into`.

    Parameters
    ----------
    unit : as the file writes it: case, spaces and brackets do not matter.
    into : a unit of `streams.channels`, for example ``m/s``.

    Returns
    -------
    None when a unit is not known, or the two do not measure the same quantity: nothing is guessed.
    """
    source, target = _UNITS.get(_plain(unit)), _UNITS.get(_plain(into))
    if source is None or target is None or source.quantity != target.quantity:
        return None
    if source == target:
        return Conversion()
    return Conversion(source.factor / target.factor, (source.offset - target.offset) / target.factor)


def is_unit(text: str) -> bool:
    """True when `text` is a unit known here."""
    return _plain(text) in _UNITS

"""Developer fields of FIT files: what field_description messages say of them, and channels of their own. Pure.

Source: FIT Protocol D00001275, section "Developer Data"; Global FIT Profile, message field_description.
"""

import re
from dataclasses import dataclass, field

from telemetry.formats.fit_profile import BASE_TYPES, BYTES, GPS_METADATA_FIELDS, RECORD, RECORD_FIELDS, BaseType
from telemetry.streams.channels import CHANNELS
from telemetry.streams.units import Conversion, conversion

_CANONICAL = {
    2: "altitude_m",
    3: "heart_rate_bpm",
    4: "cadence_rpm",
    6: "speed_mps",
    7: "power_w",
    13: "temperature_degc",
    73: "speed_mps",
    78: "altitude_m",
}
"""Canonical channels of record fields, by field number."""
_STEPS = "spm"
"""A developer's cadence in steps is not the record's, which counts both feet's as one."""
_NATIVE = frozenset(
    {*CHANNELS, *(f.channel for f in (*RECORD_FIELDS.values(), *GPS_METADATA_FIELDS.values())), "compressed_speed"}
)
MOST_UNITS = 4096
"""So many names are remembered with their units; any further field is called by its numbers."""
_PLACE_OF_ARRAY = re.compile(r"_\d+$")


@dataclass(frozen=True, slots=True)
class DeveloperField:
    """A developer field as a definition met it: channel = raw / scale - offset, in the unit that its file names."""

    channel: str
    scale: float = 1.0
    offset: float = 0.0
    base: BaseType = BYTES


@dataclass(slots=True)
class DeveloperFields:
    """The developer fields of a stream of chained files.

    A file's descriptions end with it; a channel keeps its name, unit and meaning through all of them.
    """

    units: dict[str, str] = field(default_factory=dict)
    """The unit of each channel that was described."""
    natives: dict[str, tuple[str, Conversion]] = field(default_factory=dict)
    """Of each channel that is said to measure what a record field does: the canonical one, and how it gets its unit."""
    _described: dict[tuple[int, int], DeveloperField] = field(default_factory=dict)

    def describe(self, values: dict[int, object]) -> None:
        """Takes a field_description message, by field numbers."""
        index, number, type_ = values.get(0), values.get(1), values.get(2)
        if not (isinstance(index, int) and isinstance(number, int) and isinstance(type_, int)):
            return
        scale, offset, unit = values.get(6), values.get(7), text(values.get(8))
        channel = self._channel(text(values.get(3)), unit) or _nameless(index, number)
        message, native = values.get(14), values.get(15)
        canonical = _CANONICAL.get(native) if message == RECORD and isinstance(native, int) else None
        converted = conversion(unit, CHANNELS[canonical].unit) if canonical else None
        if canonical and converted and unit.lower() != _STEPS:
            self.natives[channel] = canonical, converted
        self._described[index, number] = DeveloperField(
            channel=channel,
            scale=float(scale) if isinstance(scale, int) and scale not in (0, 0xFF) else 1.0,
            offset=float(offset) if isinstance(offset, int) and offset != 0x7F else 0.0,
            base=BASE_TYPES.get(type_, BYTES),
        )

    def forget(self) -> None:
        """Ends a file: the next one's descriptions are its own."""
        self._described.clear()

    def find(self, index: int, number: int) -> DeveloperField:
        """The field as it is described so far; bytes of no meaning without a description."""
        return self._described.get((index, number)) or DeveloperField(_nameless(index, number))

    def _channel(self, name: str, unit: str) -> str:
        """The name, another where it is that of a native field or of a developer's in another unit; or empty."""
        if not name or len(self.units) >= MOST_UNITS:
            return ""
        if name in _NATIVE or _PLACE_OF_ARRAY.sub("", name) in (*_NATIVE, "field"):
            name = f"developer_{name}"
        if self.units.setdefault(name, unit) != unit:
            name = f"{name} [{unit}]"
            self.units[name] = unit
        return name


def text(value: object) -> str:
    """A string field up to its first NUL, undecodable bytes replaced."""
    return value.split(b"\0")[0].decode("utf-8", "replace").strip() if isinstance(value, bytes) else ""


def _nameless(index: int, number: int) -> str:
    return f"developer_{index}_{number}"

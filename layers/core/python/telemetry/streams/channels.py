"""The vocabulary of channels: canonical names, units and types of every stream.

A reader names its columns by this vocabulary where it can. Any other column keeps its source name, carries its
unit in the field's metadata (`UNIT`), and goes to the `vehicle` stream.
"""

from dataclasses import dataclass
from enum import IntFlag

import pyarrow as pa
import pyarrow.compute as pc

from telemetry.domain.streams import BIOMETRICS, GNSS_PVT, IMU

UNIT = b"unit"
"""Key of a field's metadata: the unit, as a person writes it (`km/h`, `°C`)."""
SOURCE_NAME = b"source_name"
"""Key of a field's metadata: the channel's name in the raw file."""

TIMESTAMP = pa.timestamp("us", tz="UTC")


class Flag(IntFlag):
    """Bits of the column `flags`."""

    OUT_OF_ORDER = 1
    DUPLICATE_TIME = 2
    POSITION_SPIKE = 4
    INTERPOLATED_TIME = 8
    SEGMENT_START = 16

    def of(self, flags: pa.Array) -> pa.Array:
        """Of each row, whether its `flags` have this one."""
        return pc.not_equal(pc.bit_wise_and(flags, pa.scalar(self, pa.uint32())), 0)

    def where(self, rows: pa.Array) -> pa.UInt32Array:
        """Flags that have this one where `rows` is true, and none elsewhere."""
        return pc.multiply(rows.cast(pa.uint32()), pa.scalar(self, pa.uint32()))


@dataclass(frozen=True, slots=True)
class Channel:
    """One canonical column."""

    name: str
    stream: str
    type: pa.DataType
    unit: str
    nullable: bool = True

    @property
    def field(self) -> pa.Field:
        """The Arrow field, with its unit in the metadata."""
        return pa.field(self.name, self.type, self.nullable, {UNIT: self.unit.encode()} if self.unit else None)


FIX_TYPE = pa.dictionary(pa.int8(), pa.string())

_GNSS = (
    Channel("timestamp", GNSS_PVT, TIMESTAMP, "", nullable=False),
    Channel("latitude_deg", GNSS_PVT, pa.float64(), "deg", nullable=False),
    Channel("longitude_deg", GNSS_PVT, pa.float64(), "deg", nullable=False),
    Channel("altitude_m", GNSS_PVT, pa.float64(), "m"),
    Channel("speed_mps", GNSS_PVT, pa.float32(), "m/s"),
    Channel("course_deg", GNSS_PVT, pa.float32(), "deg"),
    Channel("vertical_speed_mps", GNSS_PVT, pa.float32(), "m/s"),
    Channel("horizontal_accuracy_m", GNSS_PVT, pa.float32(), "m"),
    Channel("hdop", GNSS_PVT, pa.float32(), ""),
    Channel("satellites", GNSS_PVT, pa.int16(), ""),
    Channel("fix_type", GNSS_PVT, FIX_TYPE, ""),
    Channel("source_row", GNSS_PVT, pa.int64(), ""),
    Channel("flags", GNSS_PVT, pa.uint32(), "", nullable=False),
)

_IMU = (
    Channel("acceleration_x_mps2", IMU, pa.float32(), "m/s²"),
    Channel("acceleration_y_mps2", IMU, pa.float32(), "m/s²"),
    Channel("acceleration_z_mps2", IMU, pa.float32(), "m/s²"),
    Channel("rotation_rate_x_radps", IMU, pa.float32(), "rad/s"),
    Channel("rotation_rate_y_radps", IMU, pa.float32(), "rad/s"),
    Channel("rotation_rate_z_radps", IMU, pa.float32(), "rad/s"),
)

_BIOMETRICS = (
    Channel("heart_rate_bpm", BIOMETRICS, pa.float32(), "bpm"),
    Channel("cadence_rpm", BIOMETRICS, pa.float32(), "rpm"),
    Channel("power_w", BIOMETRICS, pa.float32(), "W"),
    Channel("temperature_degc", BIOMETRICS, pa.float32(), "°C"),
)

CHANNELS: dict[str, Channel] = {c.name: c for c in (*_GNSS, *_IMU, *_BIOMETRICS)}
"""Canonical channels by name. Every other numeric channel belongs to `vehicle` under its own name."""

GNSS_PVT_SCHEMA = pa.schema([c.field for c in _GNSS])
"""Version 1 of the stream `gnss_pvt`, columns in their order."""

SCHEMA_VERSION = "1"


def channel_field(name: str, unit: str = "", source_name: str = "") -> pa.Field:
    """Field for a channel outside the vocabulary: 64-bit float, its unit and source name in the metadata."""
    metadata = {UNIT: unit.encode(), SOURCE_NAME: (source_name or name).encode()}
    return pa.field(name, pa.float64(), True, {k: v for k, v in metadata.items() if v})

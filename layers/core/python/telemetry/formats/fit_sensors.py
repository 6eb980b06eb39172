"""Camera sensors in FIT files: messages of many samples each, spread into one row a sample. Pure.

Source: Global FIT Profile, messages gyroscope_data, accelerometer_data, magnetometer_data, barometer_data.
"""

import math
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from telemetry.formats.fit_clock import MILLISECONDS
from telemetry.formats.fit_messages import Run
from telemetry.formats.fit_profile import TIMESTAMP_FIELD
from telemetry.streams.channels import CHANNELS, channel_field
from telemetry.streams.units import STANDARD_GRAVITY_MPS2

GYROSCOPE = 164
ACCELEROMETER = 165
MAGNETOMETER = 208
BAROMETER = 209
SENSORS = frozenset({GYROSCOPE, ACCELEROMETER, MAGNETOMETER, BAROMETER})
UNREAD = {
    55: "monitoring",
    78: "hrv",
    132: "hr",
    174: "obdii_data",
    177: "nmea_sentence",
    178: "aviation_attitude",
}
"""Messages of measurements that are not read."""

TIMESTAMP_MS_FIELD = 0
SAMPLE_OFFSET_FIELD = 1


_WHOLE = frozenset("bBhHiI")
"""Base types of times and offsets; a damaged definition may say anything."""


@dataclass(frozen=True, slots=True)
class _Axis:
    channel: str
    unit: str
    factor: float = 1.0


def _axes(sensor: str, unit: str, canonical: str | None, factor: float) -> dict[int, _Axis]:
    """Fields 2 to 4 are raw counts, 5 to 7 calibrated."""
    raw = {2 + i: _Axis(f"{sensor}_{axis}_counts", "counts") for i, axis in enumerate("xyz")}
    named = canonical or sensor + "_{}"
    return raw | {5 + i: _Axis(named.format(axis), unit, factor) for i, axis in enumerate("xyz")}


_AXES: dict[int, dict[int, _Axis]] = {
    GYROSCOPE: _axes("gyroscope", "rad/s", "rotation_rate_{}_radps", math.pi / 180),
    ACCELEROMETER: _axes("accelerometer", "m/s²", "acceleration_{}_mps2", STANDARD_GRAVITY_MPS2)
    | {8 + i: _Axis(f"acceleration_{axis}_mps2", "m/s²", STANDARD_GRAVITY_MPS2 / 1000) for i, axis in enumerate("xyz")},
    MAGNETOMETER: _axes("magnetometer", "G", None, 1.0),
    BAROMETER: {2: _Axis("barometer_pressure", "Pa")},
}


def sensor_batch(run: Run) -> pa.RecordBatch | None:
    """One row a sample: `timestamp` (int64 milliseconds of FIT time), `source_row` (null) and the axes."""
    definition = run.definition
    fields = {f.number: f for f in definition.fields if f.developer is None}
    whole = {number: field for number, field in fields.items() if field.base.code in _WHOLE}
    stamp, fraction, offsets = (whole.get(n) for n in (TIMESTAMP_FIELD, TIMESTAMP_MS_FIELD, SAMPLE_OFFSET_FIELD))
    if stamp is None or offsets is None:
        return None
    axes: dict[int, _Axis] = {}
    for number, axis in _AXES[definition.number].items():
        # Where a message has both, the calibrated values win over their compressed form.
        known = any(axis.channel == other.channel for other in axes.values())
        if number in fields and fields[number].base.code != "s" and not known:
            axes[number] = axis
    times: list[int | None] = []
    columns: dict[str, list[float | None]] = {axis.channel: [] for axis in axes.values()}
    for row in run.rows:
        start = int(row[stamp.column]) * 1000 + (int(row[fraction.column]) if fraction else 0)  # type: ignore[call-overload]
        for sample in range(offsets.count):
            offset = row[offsets.column + sample]
            if offset == offsets.base.invalid:
                continue
            times.append(start + int(offset))  # type: ignore[call-overload]
            for number, axis in axes.items():
                item = fields[number]
                value = row[item.column + sample] if sample < item.count else None
                missing = value is None or value == item.base.invalid
                columns[axis.channel].append(None if missing else float(value) * axis.factor)  # type: ignore[arg-type]
    if not times or not columns:
        return None
    schema = [MILLISECONDS, pa.field("source_row", pa.int64())]
    arrays = [pa.array(times, pa.int64()), pa.nulls(len(times), pa.int64())]
    for axis in axes.values():
        values = pa.array(columns[axis.channel], pa.float64())
        values = pc.if_else(pc.is_nan(values), None, values)
        canonical = CHANNELS.get(axis.channel)
        schema.append(canonical.field if canonical else channel_field(axis.channel, axis.unit))
        arrays.append(values.cast(schema[-1].type))
    return pa.record_batch(arrays, schema=pa.schema(schema))

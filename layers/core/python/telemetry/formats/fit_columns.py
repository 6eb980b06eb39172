"""Runs of FIT messages to Arrow columns in their channels' units, and the joining of split records. Pure.

Source: Global FIT Profile, messages record and gps_metadata.
"""

from bisect import bisect_left

import pyarrow as pa
import pyarrow.compute as pc

from telemetry.formats.fit_developer import DeveloperFields
from telemetry.formats.fit_messages import Definition, FitStream, MessageField, Run
from telemetry.formats.fit_profile import (
    COMPRESSED_SPEED_DISTANCE,
    GPS_METADATA,
    GPS_METADATA_FIELDS,
    RECORD,
    RECORD_FIELDS,
    TIMESTAMP_FIELD,
    ProfileField,
)
from telemetry.streams.channels import CHANNELS, Flag, channel_field

MAX_UNREAD = 20
NO_TIMESTAMP = 0xFFFFFFFF
NO_UINT16 = 0xFFFF
_UNITS = {f.channel: f.unit for f in (*RECORD_FIELDS.values(), *GPS_METADATA_FIELDS.values())}


def columns_of(runs: list[Run], profile: dict[int, ProfileField], stream: FitStream) -> dict[str, pa.Array]:
    """Columns of all runs in file order, `timestamp` as int64 milliseconds of FIT time."""
    by_definition: dict[Definition, list[Run]] = {}
    for run in runs:
        by_definition.setdefault(run.definition, []).append(run)
    tables = []
    order: list[int] = []
    starts = {}
    at = 0
    for definition, group in by_definition.items():
        tables.append(pa.table(_definition_columns(definition, group, profile, stream)))
        for run in group:
            starts[id(run)] = at
            at += len(run.rows)
    table = pa.concat_tables(tables, promote_options="default")
    if len(by_definition) > 1:
        for run in runs:
            start = starts[id(run)]
            order.extend(range(start, start + len(run.rows)))
        table = table.take(pa.array(order, pa.int64()))
    return {name: table.column(name).combine_chunks() for name in table.column_names}


def _definition_columns(
    definition: Definition, runs: list[Run], profile: dict[int, ProfileField], stream: FitStream
) -> dict[str, pa.Array]:
    rows = [row for run in runs for row in run.rows]
    raw = list(zip(*rows, strict=True))
    columns: dict[str, pa.Array] = {"timestamp": _timestamps(definition, runs, raw, len(rows))}
    for item in definition.fields:
        if item.developer is None and item.number == TIMESTAMP_FIELD:
            continue
        if item.developer is None and definition.number == GPS_METADATA and item.number in (0, 6):
            continue  # fraction of the timestamp, and the same time again
        if item.base.code == "s":
            if item.number == COMPRESSED_SPEED_DISTANCE and item.developer is None and definition.number == RECORD:
                columns["compressed_speed"] = _compressed_speed(raw[item.column])
            else:
                _note_unread(item, raw[item.column], profile, stream)
            continue
        known = _profile_field(item, profile)
        for index in range(item.count):
            channel = known.channel if item.count == 1 else f"{known.channel}_{index + 1}"
            values = _scaled(raw[item.column + index], item, known)
            if values.null_count < len(values):
                columns[channel if channel not in columns else f"{channel}_{item.number}"] = values
    return columns


def _note_unread(
    item: MessageField, values: tuple[object, ...], profile: dict[int, ProfileField], stream: FitStream
) -> None:
    """Remembers a field of text or bytes, or a developer's without a description, that holds anything."""
    name = _profile_field(item, profile).channel
    if name in stream.unread or len(stream.unread) >= MAX_UNREAD:
        return
    if any(isinstance(value, bytes) and value.strip(b"\xff") and value.strip(b"\0") for value in values):
        stream.unread.add(name)


def _profile_field(item: MessageField, profile: dict[int, ProfileField]) -> ProfileField:
    if item.developer is not None:
        return ProfileField(item.developer.channel, "", item.developer.scale, item.developer.offset)
    return profile.get(item.number) or ProfileField(f"field_{item.number}")


def _timestamps(definition: Definition, runs: list[Run], raw: list[tuple[object, ...]], rows: int) -> pa.Array:
    if any(run.compressed_time is not None for run in runs):
        seconds = pa.array([run.compressed_time for run in runs for _ in run.rows], pa.int64())
    elif definition.timestamp_column is None:
        return pa.nulls(rows, pa.int64())
    else:
        seconds = _without(pa.array(raw[definition.timestamp_column], pa.int64()), NO_TIMESTAMP)
    milliseconds = pc.multiply(seconds, 1000)
    if definition.number == GPS_METADATA:
        fraction = next((f for f in definition.fields if f.number == 0 and f.developer is None), None)
        if fraction is not None and fraction.base.code == "H":
            parts = _without(pa.array(raw[fraction.column], pa.int64()), NO_UINT16)
            milliseconds = pc.add(milliseconds, pc.fill_null(parts, 0))
    return milliseconds


def _without(values: pa.Array, invalid: object) -> pa.Array:
    return pc.if_else(pc.equal(values, invalid), None, values)


def _scaled(raw: tuple[object, ...], item: MessageField, known: ProfileField) -> pa.Array:
    if item.base.size == 8 and item.base.invalid is not None:
        # Arrow turns only such integers into doubles as a double holds exactly.
        values = pa.array([float(value) if isinstance(value, int) else None for value in raw], pa.float64())
    else:
        values = pa.array(raw, pa.float64())
    if item.base.invalid is None:
        values = pc.if_else(pc.is_nan(values), None, values)
    elif item.base.invalid in raw:
        values = _without(values, float(item.base.invalid))
    if known.scale != 1.0:
        values = pc.divide(values, known.scale)
    return pc.subtract(values, known.offset) if known.offset else values


def _compressed_speed(raw: tuple[object, ...]) -> pa.Array:
    """Field 8: 12 bits of speed in 1/100 m/s, then 12 bits of distance, least significant first."""
    speeds: list[float | None] = []
    for value in raw:
        whole = isinstance(value, bytes) and len(value) == 3 and value != b"\xff\xff\xff"
        speeds.append((value[0] | (value[1] & 0x0F) << 8) / 100 if whole else None)  # type: ignore[index]
    return pa.array(speeds, pa.float64())


def prefer(columns: dict[str, pa.Array], name: str, *candidates: str) -> None:
    """Replaces the candidates by one column: the first candidate's value where it has one."""
    present = [columns.pop(candidate) for candidate in candidates if candidate in columns]
    if present:
        columns[name] = present[0] if len(present) == 1 else pc.coalesce(*present)


def fill_natives(columns: dict[str, pa.Array], developer: DeveloperFields) -> list[str]:
    """Fills canonical channels, where records have no value of their own, with what developer fields measure of the
    same; gives a sentence for each."""
    said = []
    for channel, (canonical, conversion) in developer.natives.items():
        if channel not in columns:
            continue
        given, own = conversion.apply(columns[channel]), columns.get(canonical)
        filled = given if own is None else pc.coalesce(own, given)
        if own is None or filled.null_count < own.null_count:
            columns[canonical] = filled
            said.append(f"{canonical}, where records have none, is the developer field {channel[:40]!r}")
    return said


def batch_of(columns: dict[str, pa.Array], stream: FitStream, timestamp: pa.Field) -> pa.RecordBatch:
    """The columns as one batch, whose times are of the kind that `timestamp` says."""
    units = _UNITS | stream.developer.units
    fields, arrays = [], []
    for name, values in columns.items():
        if name in ("timestamp", "source_row"):
            fields.append(timestamp if name == "timestamp" else pa.field(name, pa.int64()))
            arrays.append(values)
        elif name in CHANNELS:
            fields.append(pa.field(name, CHANNELS[name].type, True, CHANNELS[name].field.metadata))
            arrays.append(values.cast(CHANNELS[name].type))
        else:
            # The values of an array are channels of one unit, named by their places.
            unit = units.get(name) or units.get(name.rpartition("_")[0], "")
            fields.append(channel_field(name, unit))
            arrays.append(values)
    return pa.record_batch(arrays, schema=pa.schema(fields))


def with_segment_starts(batch: pa.RecordBatch, starts: list[int]) -> pa.RecordBatch:
    """The batch with flags: a segment starts at the first row from each of these numbers on."""
    rows = batch.column("source_row").to_pylist()
    flags = [0] * len(rows)
    for at in {bisect_left(rows, start) for start in starts} - {len(rows)}:
        flags[at] = int(Flag.SEGMENT_START)
    return batch.append_column(CHANNELS["flags"].field, pa.array(flags, pa.uint32()))


def merge_split_records(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Joins neighbours of one time that some writers split a record into. A record has one position, and ends at a
    message that adds nothing to it: that one is a sample of its own."""
    rows = batch.num_rows
    names = batch.schema.names
    if rows < 2 or "latitude_deg" not in names:
        return batch
    time, placed = batch.column("timestamp"), pc.is_valid(batch.column("latitude_deg"))
    same = pc.fill_null(pc.equal(time.slice(1), time.slice(0, rows - 1)), False)
    if not pc.any(pc.and_(same, pc.xor(placed.slice(1), placed.slice(0, rows - 1)))).as_py():
        return batch
    channels = [name for name in names if name not in ("timestamp", "source_row", "latitude_deg")]
    filled = _filled([batch.column(name) for name in ("latitude_deg", *channels)])
    records: list[int] = []
    held = 0
    for goes_on, message in zip([False, *same.to_pylist()], filled, strict=True):
        if goes_on and not message & held & 1 and (message & ~held or not message):
            records.append(records[-1])
            held |= message
        else:
            records.append(len(records))
            held = message
    table = pa.table(batch.columns, names=names).append_column("record", pa.array(records, pa.int64()))
    merged = table.group_by("record", use_threads=False).aggregate([(name, "first") for name in names])
    columns = [merged.column(f"{name}_first").combine_chunks() for name in names]
    return pa.record_batch(columns, schema=batch.schema)


def _filled(columns: list[pa.Array]) -> list[int]:
    """For each row the columns that have a value, as bits; the first column's is the lowest."""
    filled = [0] * len(columns[0])
    for start in range(0, len(columns), 62):
        word = pa.scalar(0, pa.int64())
        for bit, column in enumerate(columns[start : start + 62]):
            word = pc.bit_wise_or(word, pc.if_else(pc.is_valid(column), 1 << bit, 0))
        filled = [bits | more << start for bits, more in zip(filled, word.to_pylist(), strict=True)]
    return filled

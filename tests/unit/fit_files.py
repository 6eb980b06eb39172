"""FIT files, made message by message."""

import io
import struct
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

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


def faster_since_power_on(at_ms: int) -> bytes:
    values = struct.pack("<IHiiIH", at_ms // 1000, at_ms % 1000, 5, 5, 0, 0)
    return definition(160, FASTER_LAYOUT, local=1) + b"\1" + values


FASTER_LAYOUT = ((253, 4, 0x86), (0, 2, 0x84), (1, 4, 0x85), (2, 4, 0x85), (4, 4, 0x86), (5, 2, 0x84))


def faster(at_ms: int, lat: float, lon: float, speed: int = 20_000, heading: int = 9_000) -> bytes:
    position = [round(lat * DEGREE), round(lon * DEGREE)]
    return b"\1" + struct.pack("<IHiiIH", START + at_ms // 1000, at_ms % 1000, *position, speed, heading)


CAMERA = definition(20, RECORD_LAYOUT) + definition(160, FASTER_LAYOUT, local=1)


def camera_second(second: int) -> bytes:
    fixes = b"".join(faster(1000 * second + ms, 47 + second / 1e4, 8 + ms / 1e6) for ms in range(0, 1000, 100))
    return record(second, 48.0, 9.0, heart_rate=120 + second) + fixes


def track_of(table: pa.Table) -> pa.Table:
    return table.filter(pc.is_valid(table["latitude_deg"]))

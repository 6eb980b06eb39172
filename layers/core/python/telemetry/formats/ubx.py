"""UBX logs of u-blox receivers: NAV-PVT, one row for each; where a stream has none, its NMEA sentences.

Source: "u-blox M8 Receiver Description / Protocol Specification", UBX-NAV-PVT (92 bytes; 84 in protocol 14).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from telemetry.errors import Code, TelemetryError
from telemetry.formats.nmea import READER as NMEA
from telemetry.formats.reader import ByteSource, FileDevice, Findings, Origin, Recognition
from telemetry.formats.ubx_frames import NAV_PVT, SYNC, Frame, FrameStream
from telemetry.streams.channels import CHANNELS, TIMESTAMP, channel_field

BATCH_ROWS = 8192
MAX_NMEA_BYTES = 8 << 20
"""NMEA that waits for the first fix of NAV-PVT: at most this much, then the stream is read as NMEA."""

# year, month, day, hour, minute, second, valid, (tAcc), nano, fixType, flags, (flags2), numSV, lon, lat, height, hMSL,
# hAcc, vAcc, velN, velE, velD, gSpeed, headMot, sAcc, headAcc, pDOP, flags3
_PVT = struct.Struct("<4xH5BB4xi2BxB4i2I5i2IHB")
_VALID_DATE, _VALID_TIME = 1, 2
_FIX_OK, _DIFFERENTIAL = 1, 2
_INVALID_POSITION = 1
_WITH_FLAGS_3 = 92
_FIX_NAMES = {1: "estimated", 2: "2d", 3: "3d", 4: "3d", 5: "time"}
"""A timing receiver that knows where it stands (5) gives that position, and says that its fix is good."""
_UNREAD = {
    (0x01, 0x01): "NAV-POSECEF",
    (0x01, 0x02): "NAV-POSLLH",
    (0x01, 0x06): "NAV-SOL",
    (0x01, 0x12): "NAV-VELNED",
    (0x01, 0x14): "NAV-HPPOSLLH",
    (0x01, 0x21): "NAV-TIMEUTC",
}
"""Messages of positions and times that are not read."""
_CARRIER = {1: "rtk_float", 2: "rtk_fixed"}

_EXTRA = (
    channel_field("vertical_accuracy", "m", "vAcc"),
    channel_field("speed_accuracy", "m/s", "sAcc"),
    channel_field("course_accuracy", "deg", "headAcc"),
    channel_field("pdop", "", "pDOP"),
    channel_field("height_above_ellipsoid", "m", "height"),
    channel_field("velocity_north", "m/s", "velN"),
    channel_field("velocity_east", "m/s", "velE"),
)
_NUMBERS = ("altitude_m", "speed_mps", "course_deg", "vertical_speed_mps", "horizontal_accuracy_m", "satellites")
SCHEMA = pa.schema(
    [
        pa.field("timestamp", TIMESTAMP),
        pa.field("latitude_deg", pa.float64()),
        pa.field("longitude_deg", pa.float64()),
        *(pa.field(name, pa.float64(), metadata=CHANNELS[name].field.metadata) for name in _NUMBERS),
        *_EXTRA,
        CHANNELS["fix_type"].field,
        pa.field("source_row", pa.int64()),
    ]
)
Row = tuple[object, ...]


def read_pvt(payload: bytes) -> Row | str:
    """The columns of `SCHEMA` but the last, or the reason why this message is no fix."""
    (
        year, month, day, hour, minute, second, valid, nano, fix, flags, satellites, longitude, latitude, height,
        altitude, h_acc, v_acc, north, east, down, speed, course, s_acc, course_acc, pdop, flags3,
    ) = _PVT.unpack_from(payload)  # fmt: skip
    if not (valid & _VALID_DATE and valid & _VALID_TIME):
        return "no_time"
    # Protocol 14 keeps that byte for itself.
    withdrawn = len(payload) >= _WITH_FLAGS_3 and flags3 & _INVALID_POSITION
    if not flags & _FIX_OK or fix not in _FIX_NAMES or withdrawn:
        return "no_fix"
    try:
        # A leap second (60) and a negative `nano` are why the seconds are added.
        at = datetime(year, month, day, hour, minute, tzinfo=UTC) + timedelta(
            seconds=second, microseconds=round(nano / 1000)
        )
    except (ValueError, OverflowError):
        return "no_time"
    name = _CARRIER.get(flags >> 6) or ("dgnss" if flags & _DIFFERENTIAL else _FIX_NAMES[fix])
    return (
        at, latitude / 1e7, longitude / 1e7, altitude / 1000, speed / 1000, course / 1e5 % 360.0, -down / 1000,
        h_acc / 1000, float(satellites), v_acc / 1000, s_acc / 1000, course_acc / 1e5, pdop / 100, height / 1000,
        north / 1000, east / 1000, name,
    )  # fmt: skip


def _batch(rows: list[Row]) -> pa.RecordBatch:
    columns = zip(*rows, strict=True)
    arrays = [
        pa.array(values, pa.string()).dictionary_encode().cast(f.type)
        if f.name == "fix_type"
        else pa.array(values, f.type)
        for values, f in zip(columns, SCHEMA, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


@dataclass(slots=True)
class _Messages:
    """NAV-PVT messages to batches; `source_row` is the message's number among them."""

    findings: Findings
    count: int = 0
    fixes: int = 0
    unread: set[str] = field(default_factory=set)
    _rows: list[Row] = field(default_factory=list)

    def push(self, frames: list[Frame]) -> Iterator[pa.RecordBatch]:
        for frame in frames:
            if frame.kind != NAV_PVT:
                if frame.kind in _UNREAD:
                    self.unread.add(_UNREAD[frame.kind])
                continue
            self.count += 1
            self.findings.rows_read += 1
            row = read_pvt(frame.payload)
            if isinstance(row, str):
                self.findings.reject(row, self.count)
            else:
                self.fixes += 1
                self._rows.append((*row, self.count))
        if len(self._rows) >= BATCH_ROWS:
            yield from self.finish()

    def why_none(self) -> str:
        """What stands in place of fixes."""
        if self.count:
            return f"none of {self.count} NAV-PVT messages has a date, a time and a fix"
        return (
            f"no NAV-PVT message; positions are read from these alone, and there are {', '.join(sorted(self.unread))}"
        )

    def finish(self) -> Iterator[pa.RecordBatch]:
        if self._rows:
            rows, self._rows = self._rows, []
            yield _batch(rows)


@dataclass(slots=True)
class _Outside:
    """A stream's bytes outside of UBX frames, as a source for the NMEA reader."""

    stream: FrameStream
    blocks: Iterator[list[Frame]]
    ready: bytes

    def read(self, size: int, /) -> bytes:
        while not self.ready:
            if next(self.blocks, None) is None:
                return b""
            self.ready = self.stream.take_between()
        part, self.ready = self.ready[:size], self.ready[size:]
        return part


class UbxReader:
    """UBX."""

    name = "ubx"
    title = "u-blox UBX"

    def recognise(self, head: bytes, origin: Origin) -> Recognition | None:
        """By a frame with a right checksum."""
        if SYNC not in head:
            return None
        stream = FrameStream(_Bytes(head))
        kinds = [frame.kind for frames in stream.frames() for frame in frames]
        if not kinds:
            return None
        nmea = NMEA.recognise(stream.take_between(), origin)
        beside = " and NMEA" if nmea else ""
        if NAV_PVT in kinds:
            return Recognition(self.name, 0.99, f"u-blox UBX with NAV-PVT{beside}")
        return Recognition(self.name, 0.96 if len(kinds) > 1 else 0.7, f"u-blox UBX{beside}")

    def read(self, source: ByteSource, origin: Origin, findings: Findings) -> Iterator[pa.RecordBatch]:
        """One row for each NAV-PVT with date, time and fix; from a stream without any such, its NMEA.

        Raises
        ------
        TelemetryError : NO_POSITION_DATA; NO_TIME_DATA where only NMEA without a date is there.
        """
        findings.format = self.name
        stream = FrameStream(source)
        blocks = stream.frames()
        messages = _Messages(findings)
        waiting: list[bytes] = []
        for frames in blocks:
            yield from messages.push(frames)
            between = stream.take_between()
            if not messages.fixes:
                waiting.append(between)
                if sum(map(len, waiting)) > MAX_NMEA_BYTES:
                    break
            else:
                waiting.clear()
        if messages.fixes:
            findings.dialect = "NAV-PVT"
            findings.device = FileDevice(manufacturer="u-blox")
            yield from messages.finish()
        else:
            yield from self._nmea(_Outside(stream, blocks, b"".join(waiting)), origin, findings, messages)
        if stream.damaged_count:
            findings.inferred.append(
                f"{stream.damaged_count} damaged frames were passed over, the first at byte {stream.damaged[0]}."
            )

    def _nmea(
        self, source: ByteSource, origin: Origin, findings: Findings, messages: _Messages
    ) -> Iterator[pa.RecordBatch]:
        try:
            yield from NMEA.read(source, origin, findings)
        except TelemetryError as error:
            if not (messages.count or messages.unread) or error.code is not Code.NO_POSITION_DATA:
                raise
            raise TelemetryError(Code.NO_POSITION_DATA, messages.why_none()) from None
        findings.format = self.name
        findings.dialect = f"no NAV-PVT with a fix; NMEA: {findings.dialect}"


class _Bytes:
    """Some bytes as a source."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, size: int, /) -> bytes:
        part, self._data = self._data[:size], self._data[size:]
        return part


READER = UbxReader()

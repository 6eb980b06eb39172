"""Which of the two kinds of fixes in a FIT file are its track: those of records, or a camera's faster messages. Pure.

Source: Global FIT Profile, messages record and gps_metadata.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from telemetry.domain.streams import GNSS_PVT
from telemetry.formats.reader import Findings
from telemetry.streams.channels import CHANNELS, channel_field

_PLACE = ("latitude_deg", "longitude_deg")
_FASTER_PLACE = ("gps_metadata_latitude", "gps_metadata_longitude")
_FASTER_NAMES = dict(zip(_FASTER_PLACE, _PLACE, strict=True)) | {
    "gps_metadata_altitude": "altitude_m",
    "gps_metadata_speed": "speed_mps",
    "gps_metadata_heading": "course_deg",
    "gps_metadata_velocity_3": "vertical_speed_mps",
}
_CORE = ("timestamp", "source_row", "flags")
MOST_HELD_ROWS = 1 << 17


@dataclass(slots=True)
class TrackChoice:
    """The records' fixes are the track, as every program takes them; where they have none, it is `gps_metadata`'s.

    So the faster messages are held back until a record has a fix, `MOST_HELD_ROWS` of them are there, or the file ends.
    Whatever is not the track is kept as channels.
    """

    findings: Findings
    _faster_is_track: bool | None = None
    _held: list[pa.RecordBatch] = field(default_factory=list)
    _held_rows: int = 0
    _faster_fixes: int = 0
    """Of what has been held, and perhaps given since."""

    def batches(self, records: pa.RecordBatch | None, faster: pa.RecordBatch | None) -> list[pa.RecordBatch]:
        """What of a block of the file is ready to go on; the track's batches have a column `latitude_deg`."""
        if faster is not None:
            self._held.append(faster)
            self._held_rows += faster.num_rows
            self._faster_fixes += _fixes(faster, _FASTER_PLACE)
        if self._faster_is_track is None and records is not None and _fixes(records, _PLACE):
            self._faster_is_track = False
        if self._faster_is_track is None and self._held_rows >= MOST_HELD_ROWS:
            self._faster_is_track = self._faster_fixes > 0
        given = []
        if records is not None:
            aside = self._faster_is_track or (self._faster_is_track is None and self._faster_fixes > 0)
            given.append(self._set_aside(records) if aside else records)
        return given if self._faster_is_track is None else [*given, *self._released()]

    def settle(self, settled: Callable[[pa.RecordBatch], pa.RecordBatch]) -> None:
        """Settles the times of what is held back."""
        self._held = [settled(batch) for batch in self._held]

    def rest(self) -> list[pa.RecordBatch]:
        """What was held back, at the end of the file; and says so where the track is not that of the records."""
        if self._faster_is_track is None:
            self._faster_is_track = self._faster_fixes > 0
        given = self._released()
        if self._faster_is_track:
            self.findings.inferred.append(
                f"{self._faster_fixes} fixes are those of gps_metadata messages, as the records have none"
            )
        return given

    def _released(self) -> list[pa.RecordBatch]:
        held, self._held, self._held_rows = self._held, [], 0
        if not self._faster_is_track:
            return held
        self.findings.rows_read += sum(batch.num_rows for batch in held)
        return [_as_track(batch) for batch in held]

    def _set_aside(self, records: pa.RecordBatch) -> pa.RecordBatch:
        self.findings.rows_read -= records.num_rows
        return _as_channels(records)


def _fixes(batch: pa.RecordBatch, place: tuple[str, str]) -> int:
    """How many rows have a position."""
    if not set(place) <= set(batch.schema.names):
        return 0
    return pc.sum(pc.and_(*(pc.is_valid(batch.column(name)) for name in place))).as_py() or 0


def _as_track(faster: pa.RecordBatch) -> pa.RecordBatch:
    fields = [
        CHANNELS[_FASTER_NAMES[field.name]].field.with_nullable(True) if field.name in _FASTER_NAMES else field
        for field in faster.schema
    ]
    columns = [column.cast(field.type) for column, field in zip(faster.columns, fields, strict=True)]
    return pa.record_batch(columns, schema=pa.schema(fields))


def _as_channels(records: pa.RecordBatch) -> pa.RecordBatch:
    """What a track would hold under names of its own, for no row here is a fix of it."""
    fields = [_aside(field) for field in records.schema]
    columns = [column.cast(field.type) for column, field in zip(records.columns, fields, strict=True)]
    return pa.record_batch(columns, schema=pa.schema(fields))


def _aside(field: pa.Field) -> pa.Field:
    channel = CHANNELS.get(field.name)
    if channel is None or channel.stream != GNSS_PVT or field.name in _CORE:
        return field
    return channel_field(f"record_{field.name}", channel.unit)

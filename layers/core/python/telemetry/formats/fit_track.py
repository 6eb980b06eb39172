"""One track from the two kinds of fixes in a FIT file: records, once a second, and a camera's faster messages. Pure.

Source: Global FIT Profile, messages record and gps_metadata.
"""

from dataclasses import dataclass

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
LAG_MS = 3_000
MOST_LAG_MS = 10_000
"""How far the faster messages may stand behind the records of their time: usually, and before they are given up."""


@dataclass(slots=True)
class TrackChoice:
    """Decides, block by block, which messages are fixes of the track; the others are kept as channels.

    Where `gps_metadata` holds more fixes than the records, it is the track, and records of the same seconds are none,
    so that no place comes twice. Times are FIT milliseconds.
    """

    findings: Findings
    faster: int = 0
    aside: int = 0
    """Fixes that `gps_metadata` gave to the track, and positions of records that stand aside for them."""
    _records_until: int | None = None
    _faster_span: tuple[int, int] | None = None

    def batches(self, records: pa.RecordBatch | None, faster: pa.RecordBatch | None) -> list[pa.RecordBatch]:
        """Both messages of a block of the file, those of the track with a column `latitude_deg`."""
        fixes = _times_of_fixes(faster, _FASTER_PLACE)
        own = _times_of_fixes(records, _PLACE)
        first = pc.min(fixes).as_py()
        if faster is None or not self._is_track(len(fixes), len(own), first):
            fixes = fixes.slice(0, 0)
            given = self._records(records, fixes, None)
            return given if faster is None else [*given, faster]
        self.faster += len(fixes)
        self.findings.rows_read += faster.num_rows
        given = self._records(records, fixes, _as_track(faster), first)
        last = pc.max(fixes).as_py()
        span = self._faster_span or (first, last)
        self._faster_span = (min(span[0], first), max(span[1], last))
        return given

    def describe(self) -> None:
        """Says so where the track is not that of the records."""
        if self.faster:
            aside = (
                f", which are denser than the records: {self.aside} positions of these are kept as channels"
                if self.aside
                else ""
            )
            self.findings.inferred.append(f"{self.faster} fixes are those of gps_metadata messages{aside}")

    def _is_track(self, fixes: int, own: int, first: int | None) -> bool:
        if first is None or fixes <= own:
            return False
        # Files that hold all records first: their places have been given.
        return self._records_until is None or first >= self._records_until - MOST_LAG_MS

    def _records(
        self, records: pa.RecordBatch | None, fixes: pa.Int64Array, track: pa.RecordBatch | None, first: int = 0
    ) -> list[pa.RecordBatch]:
        """`track` between the records before and after it, then those that stand aside for it."""
        if records is None:
            return [] if track is None else [track]
        aside = self._covered(records, fixes)
        if aside is None:
            own, rest = _with_place(records), None
        elif track is not None and _PLACE[0] not in records.schema.names:
            own, rest = records.slice(0, 0), records
        else:
            own, rest = _with_place(records.filter(pc.invert(aside))), records.filter(aside)
        given = _times_of_fixes(own, _PLACE)
        if len(given):
            last = pc.max(given).as_py()
            self._records_until = last if self._records_until is None else max(last, self._records_until)
        parts = [own]
        if track is not None:
            early = pc.fill_null(pc.less(own.column("timestamp"), first), True)
            parts = [own.filter(early), track, own.filter(pc.invert(early))]
        if rest is not None:
            self.findings.rows_read -= rest.num_rows
            self.aside += len(_times_of_fixes(rest, _PLACE))
            parts.append(_as_channels(rest))
        return [part for part in parts if part.num_rows]

    def _covered(self, records: pa.RecordBatch, fixes: pa.Int64Array) -> pa.BooleanArray | None:
        """Which records lie in the second of a fix of `gps_metadata` or the next, or None without such fixes.

        Behind the last fix of a block more may follow in the next one for the seconds of this.
        """
        if not len(fixes) and self._faster_span is None:
            return None
        times = records.column("timestamp")
        seconds = pc.unique(pc.divide(fixes, 1000))
        near = pa.concat_arrays([seconds, pc.add(seconds, 1)])
        covered = pc.is_in(pc.divide(times, 1000), value_set=near)
        spans = [] if self._faster_span is None else [self._faster_span]
        if len(fixes):
            spans.append((pc.max(fixes).as_py(),) * 2)
        for first, last in spans:
            within = pc.and_(pc.greater_equal(times, first), pc.less_equal(times, last + LAG_MS))
            covered = pc.or_(covered, pc.fill_null(within, False))
        return covered


def _times_of_fixes(batch: pa.RecordBatch | None, place: tuple[str, str]) -> pa.Int64Array:
    """The times of the rows that have one, and a position."""
    if batch is None or not set(place) <= set(batch.schema.names):
        return pa.array([], pa.int64())
    placed = pc.and_(*(pc.is_valid(batch.column(name)) for name in place))
    return batch.column("timestamp").filter(placed).drop_null()


def _with_place(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The same, with columns of a position also where no record has one."""
    for name in _PLACE:
        if name not in batch.schema.names:
            batch = batch.append_column(
                CHANNELS[name].field.with_nullable(True), pa.nulls(batch.num_rows, pa.float64())
            )
    return batch


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

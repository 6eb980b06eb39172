"""FIT recordings: record messages to batches; laps, device and camera sensors beside them. Pure.

Source: FIT Protocol D00001275 and Global FIT Profile. An own decoder rather than fitdecode or garmin-fit-sdk: it
unpacks runs of equal messages at once and never holds the file; `make bench` shows the ratio.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from telemetry.domain.laps import MOST_LAPS
from telemetry.errors import TelemetryError
from telemetry.formats.fit_clock import (
    MILLISECONDS,
    WHOLE_SECONDS,
    PowerOnClock,
    counts_from_power_on,
    in_utc,
    is_relative,
    uint32,
)
from telemetry.formats.fit_columns import (
    NO_TIMESTAMP,
    NO_UINT16,
    batch_of,
    columns_of,
    fill_natives,
    merge_split_records,
    prefer,
    with_segment_starts,
)
from telemetry.formats.fit_developer import text
from telemetry.formats.fit_messages import Definition, FitStream, Run
from telemetry.formats.fit_profile import (
    COURSE,
    DEVICE_INFO,
    FILE_ID,
    FIT_EPOCH_S,
    GPS_METADATA,
    GPS_METADATA_FIELDS,
    LAP,
    MANUFACTURERS,
    RECORD,
    RECORD_FIELDS,
    TIMESTAMP_CORRELATION,
    TIMESTAMP_FIELD,
)
from telemetry.formats.fit_sensors import SENSORS, UNREAD, sensor_batch
from telemetry.formats.fit_track import MOST_HELD_ROWS, TrackChoice
from telemetry.formats.reader import ByteSource, FileDevice, FileLap, Findings, Origin, Recognition, TimeBasis

BATCH_ROWS = 1 << 15
_COURSE_SAID = "a course: a program may have computed its times instead of recording them"


class FitReader:
    """Reader of `.fit` files, also chained ones and those that a device could not finish."""

    name = "fit"
    title = "FIT"

    def recognise(self, head: bytes, origin: Origin) -> Recognition | None:
        """By the signature `.FIT` at bytes 8 to 11."""
        del origin
        if head[8:12] != b".FIT" or head[0] < 12:
            return None
        return Recognition(self.name, 1.0, f"FIT, protocol {head[1] >> 4}.{head[1] & 0x0F}")

    def read(self, source: ByteSource, origin: Origin, findings: Findings) -> Iterator[pa.RecordBatch]:
        """See `Reader.read`. `source_row` counts record messages from 1; in `gps_metadata`'s fixes, those.

        Raises
        ------
        TelemetryError : FIT_CORRUPT, naming the byte, after the whole messages before it were given.
        """
        del origin
        stream = FitStream(source)
        recording = _Recording(stream, findings, TrackChoice(findings), PowerOnClock(findings))
        damage: TelemetryError | None = None
        try:
            for run in stream.runs():
                yield from recording.take(run)
        except TelemetryError as error:
            damage = error
        yield from recording.rest()
        recording.describe()
        if damage is not None:
            raise damage


@dataclass(slots=True)
class _Recording:
    """What has been met so far; batches leave as soon as they are full and their time is known."""

    stream: FitStream
    findings: Findings
    track: TrackChoice
    clock: PowerOnClock
    """Of the file that is being read, as all that waits."""
    file: int = 1
    file_at: int = 0
    """Where that file begins in `pending`; -1 where a part of it has gone on."""
    pending: list[Run] = field(default_factory=list)
    pending_rows: int = 0
    held: list[pa.RecordBatch] = field(default_factory=list)
    records: int = 0
    """Those that went on."""
    met: int = 0
    """These and those that wait."""
    file_starts: list[int] = field(default_factory=list)
    """The numbers of the records, of those that wait, with which a further file begins."""
    faster_fixes: int = 0
    laps: list[tuple[int, int]] = field(default_factory=list)
    """In milliseconds of FIT time."""
    file_laps: list[tuple[int, int]] = field(default_factory=list)
    """The same, of the file that is being read."""
    untimed_laps: int = 0
    devices: Counter[FileDevice] = field(default_factory=Counter)
    product_name: str = ""
    unread: Counter[str] = field(default_factory=Counter)

    def take(self, run: Run) -> Iterator[pa.RecordBatch]:
        if self.stream.files > self.file:
            yield from self._end_file()
            self.file, self.file_at, self.clock = self.stream.files, len(self.pending), PowerOnClock(self.findings)
            if self.file_starts[-1:] != [self.met + 1]:
                self.file_starts.append(self.met + 1)
        number = run.definition.number
        if number == GPS_METADATA and not self.clock.is_known:
            self.clock.take_fixes(run)
        if number in (RECORD, GPS_METADATA) or number in SENSORS:
            self.met += len(run.rows) if number == RECORD else 0
            self.pending.append(run)
            self.pending_rows += len(run.rows)
            if self.pending_rows >= BATCH_ROWS:
                yield from self.flush()
        elif number in UNREAD:
            self.unread[UNREAD[number]] += len(run.rows)
        elif number == LAP:
            self._laps(run)
        elif number == TIMESTAMP_CORRELATION and not self.clock.is_known:
            for row in run.rows:
                self.clock.correlate(_values(run.definition, row))
            if self.clock.is_known:
                yield from self._release()
        elif number == FILE_ID:
            self._file_id(run)
        elif number == DEVICE_INFO:
            self._device_info(run)

    def rest(self) -> Iterator[pa.RecordBatch]:
        yield from self._end_file()
        yield from self.flush()
        yield from self._timed(self.track.rest())
        if self.untimed_laps:
            self.findings.inferred.append(
                f"{self.untimed_laps} laps count from a power-on whose time the file does not tell: they were left out"
            )
        if self.unread:
            counts = ", ".join(f"{count} {name}" for name, count in sorted(self.unread.items()))
            self.findings.inferred.append(f"messages of other measurements were not read: {counts}")
        if self.stream.unread:
            names = ", ".join(sorted(self.stream.unread))
            self.findings.inferred.append(f"fields of text, or of bytes that nothing describes, are not kept: {names}")

    def _end_file(self) -> Iterator[pa.RecordBatch]:
        """Leaves nothing behind that counts from power-on: a file's times are its own."""
        self.clock.fall_back()
        # Of many small files with times of their own, none makes a batch alone.
        if self.file_at < 0 or any(counts_from_power_on(run) for run in self.pending[self.file_at :]):
            yield from self.flush()
            # Never correlated: rows without a time, which are counted as such further on.
            yield from self._release()
            self.track.settle(self.clock.settled)
        for start, end in self.file_laps:
            settled = self.clock.settled_ms(start)
            if settled is None:
                self.untimed_laps += 1
            else:
                self.laps.append((settled, settled + end - start))
        self.file_laps.clear()

    def flush(self) -> Iterator[pa.RecordBatch]:
        runs, self.pending, self.pending_rows, self.file_at = self.pending, [], 0, -1
        records = [run for run in runs if run.definition.number == RECORD]
        faster = [run for run in runs if run.definition.number == GPS_METADATA]
        sensors = [sensor_batch(run) for run in runs if run.definition.number in SENSORS]
        given = self.track.batches(self._records(records), self._gps_metadata(faster))
        yield from self._timed([*given, *(batch for batch in sensors if batch is not None)])

    def _timed(self, batches: list[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The batches in UTC; those of system time are held until it is known when that began."""
        for batch in batches:
            if is_relative(batch) and not self.clock.is_known:
                self.held.append(batch)
                if sum(held.num_rows for held in self.held) >= MOST_HELD_ROWS:
                    self.clock.fall_back()
                    if self.clock.is_known:
                        yield from self._release()
            else:
                yield in_utc(self.clock.settled(batch))

    def _release(self) -> Iterator[pa.RecordBatch]:
        held, self.held = self.held, []
        for batch in held:
            yield in_utc(self.clock.settled(batch))

    def _records(self, runs: list[Run]) -> pa.RecordBatch | None:
        if not runs:
            return None
        columns = columns_of(runs, RECORD_FIELDS, self.stream)
        rows = len(next(iter(columns.values())))
        self.findings.rows_read += rows
        prefer(columns, "speed_mps", "enhanced_speed", "speed", "compressed_speed")
        prefer(columns, "altitude_m", "enhanced_altitude", "altitude")
        if "fractional_cadence" in columns and "cadence" in columns:
            columns["cadence"] = pc.add(columns["cadence"], pc.fill_null(columns.pop("fractional_cadence"), 0.0))
        prefer(columns, "cadence_rpm", "cadence256", "cadence")
        for said in fill_natives(columns, self.stream.developer):
            if said not in self.findings.inferred:
                self.findings.inferred.append(said)
        columns["source_row"] = pa.arange(self.records + 1, self.records + rows + 1)
        self.records += rows
        starts = [number for number in self.file_starts if number <= self.records]
        self.file_starts = [number for number in self.file_starts if number > self.records]
        batch = merge_split_records(batch_of(columns, self.stream, WHOLE_SECONDS))
        return with_segment_starts(batch, starts) if starts else batch

    def _gps_metadata(self, runs: list[Run]) -> pa.RecordBatch | None:
        if not runs:
            return None
        columns = columns_of(runs, GPS_METADATA_FIELDS, self.stream)
        rows = len(next(iter(columns.values())))
        columns["source_row"] = pa.arange(self.faster_fixes + 1, self.faster_fixes + rows + 1)
        self.faster_fixes += rows
        return batch_of(columns, self.stream, MILLISECONDS)

    def _laps(self, run: Run) -> None:
        for row in run.rows:
            values = _values(run.definition, row)
            start, elapsed_ms, end = (uint32(values.get(number)) for number in (2, 7, TIMESTAMP_FIELD))
            if start is None:
                continue
            if len(self.laps) + len(self.file_laps) >= MOST_LAPS:
                self.findings.laps_left_out += 1
                continue
            if elapsed_ms is not None:
                self.file_laps.append((start * 1000, start * 1000 + elapsed_ms))
            elif end is not None:
                self.file_laps.append((start * 1000, end * 1000))

    def _file_id(self, run: Run) -> None:
        for row in run.rows:
            values = _values(run.definition, row)
            if values.get(0) == COURSE and _COURSE_SAID not in self.findings.inferred:
                self.findings.inferred.append(_COURSE_SAID)
            self._device(values.get(1), values.get(2), values.get(3), text(values.get(8)))

    def _device_info(self, run: Run) -> None:
        for row in run.rows:
            values = _values(run.definition, row)
            # Index 0 is the recorder itself; the others are its sensors.
            if values.get(0) == 0 and not self.product_name:
                self.product_name = text(values.get(27))

    def _device(self, maker: object, product: object, serial: object, name: str) -> None:
        if not isinstance(maker, int) or maker == NO_UINT16:
            return
        model = name or (f"product {product}" if isinstance(product, int) and product != NO_UINT16 else None)
        self.devices[
            FileDevice(
                manufacturer=MANUFACTURERS.get(maker, f"manufacturer {maker}"),
                model=model,
                serial_number=str(serial) if isinstance(serial, int) and serial not in (0, NO_TIMESTAMP) else None,
            )
        ] += 1

    def describe(self) -> None:
        """Fills the findings with what the whole file told."""
        self.findings.format = "fit"
        self.findings.dialect = "FIT" if self.stream.files <= 1 else f"FIT, {self.stream.files} files in one"
        self.findings.time_basis = TimeBasis.GNSS_UTC
        self.findings.inferred.extend(self.stream.notes)
        if self.devices:
            device = self.devices.most_common(1)[0][0]
            if self.product_name and (device.model or "").startswith("product "):
                device = FileDevice(device.manufacturer, self.product_name, device.serial_number)
            self.findings.device = device
        # One lap over everything is the recording itself, not a lap.
        if len(self.laps) > 1:
            for number, (start, end) in enumerate(self.laps, 1):
                self.findings.laps.append(FileLap(number, _utc(start), _utc(end)))


def _utc(fit_ms: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=fit_ms + FIT_EPOCH_S * 1000)


def _values(definition: Definition, row: tuple[object, ...]) -> dict[int, object]:
    return {f.number: row[f.column] for f in definition.fields if f.developer is None}


READER = FitReader()

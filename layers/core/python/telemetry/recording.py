"""One recording from its bytes to canonical Parquet files: the two functions behind the pipeline and the command.

Knows no AWS and no database. `classify` looks at the first bytes; `canonicalise` reads the whole once, in bounded
memory.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from telemetry import PIPELINE_VERSION
from telemetry.domain.streams import GNSS_PVT, STREAMS
from telemetry.errors import Code, TelemetryError
from telemetry.formats.containers import ContainerLimits, Recording, open_recording, peek
from telemetry.formats.dates import date_in_name
from telemetry.formats.reader import (
    ByteSource,
    FileDevice,
    FileGate,
    FileLap,
    Findings,
    Origin,
    Reader,
    Recognition,
)
from telemetry.formats.recognition import HEAD_BYTES, reader_named, recognise
from telemetry.streams.channels import SCHEMA_VERSION
from telemetry.streams.judgement import Judgement
from telemetry.streams.normalise import Normaliser
from telemetry.streams.ordering import OrderedStream
from telemetry.streams.quality import ChannelQuality, Timing, TrackQuality, iso_time
from telemetry.streams.tally import Tally

METADATA_KEY = "telemetry"
"""Key in each file's Parquet metadata; its value is JSON."""

FATAL_AT_ANY_POINT = frozenset(
    {Code.XML_FORBIDDEN, Code.ARCHIVE_TOO_LARGE, Code.ARCHIVE_UNSUPPORTED, Code.FILE_TOO_LARGE}
)
"""Refused for what they are, also when good rows were read before. Any other damage ends the recording there."""


@dataclass(frozen=True, slots=True)
class Classification:
    """What a recording is, from its first bytes.

    Attributes
    ----------
    format : a reader's name; empty where the first bytes of a zip do not tell yet.
    compression : ``gzip``, ``zip`` or None.
    """

    format: str
    compression: str | None
    confidence: float
    reason: str


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose rows these are; goes into the files' metadata."""

    session_id: str = ""
    run_id: str = ""
    artifact_id: str = ""


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """The raw file that rows come from: its format and dialect, and what its times rest on (`TimeBasis`)."""

    format: str
    dialect: str
    time_basis: str


@dataclass(frozen=True, slots=True)
class CanonicalFile:
    """One stream's Parquet file. Times are aware; `quality` is ready for JSON."""

    stream: str
    path: Path
    row_count: int
    byte_size: int
    sha256: str
    start_time: datetime
    end_time: datetime
    schema_version: str
    quality: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Canonical:
    """What a recording became. `gnss_pvt` is always there and stands first."""

    format: str
    compression: str | None
    reason: str
    files: tuple[CanonicalFile, ...]
    device: FileDevice | None
    laps: tuple[FileLap, ...]
    gates: tuple[FileGate, ...]


OnProgress = Callable[[int, int], None]
"""Called with raw bytes and rows read so far, at least once per batch; may raise to stop."""


def classify(head: bytes, origin: Origin) -> Classification:
    """What the recording is.

    Parameters
    ----------
    head : the raw file's first 64 KiB, or all of it.

    Raises
    ------
    TelemetryError : FILE_EMPTY, FORMAT_UNRECOGNISED.
    """
    compression, inner = peek(head, HEAD_BYTES)
    if compression is not None and not inner:
        return Classification("", compression, 0.0, f"{compression} archive, recognised when it is unpacked")
    claim = recognise(inner, _inner_origin(origin, compression, ""))
    return Classification(claim.format, compression, claim.confidence, claim.reason)


def canonicalise(
    source: ByteSource,
    origin: Origin,
    *,
    directory: Path,
    classification: Classification | None = None,
    identity: Identity | None = None,
    on_progress: OnProgress | None = None,
) -> Canonical:
    """Reads the recording once and writes its streams to `directory` as `<stream>.parquet`.

    Equal bytes, origin and identity give equal files, byte for byte, within one pipeline version.

    Raises
    ------
    TelemetryError : a permanent code when no row can be used or the file is refused; what `source` raises, and
        what `on_progress` raises, passes through. No file stays behind then.
    """
    counted = _Counted(source)
    recording = open_recording(counted, directory, ContainerLimits(), HEAD_BYTES)
    try:
        inner = _inner_origin(origin, recording.compression, recording.name)
        reader = reader_named(classification.format) if classification and classification.format else None
        claim = reader.recognise(recording.head, inner) if reader is not None else None
        if claim is None:
            claim = recognise(recording.head, inner)
            reader = reader_named(claim.format)
        if reader is None:
            raise TelemetryError(Code.FORMAT_UNRECOGNISED, "no reader for this format")
        work = _Work(directory)
        try:
            work.read(recording, reader, inner, lambda rows: on_progress(counted.count, rows) if on_progress else None)
            return work.finished(claim, recording, identity or Identity())
        except BaseException:
            work.abandon()
            raise
    finally:
        recording.close()


class _Counted:
    """The raw source, its bytes counted."""

    def __init__(self, source: ByteSource) -> None:
        self.count = 0
        self._source = source

    def read(self, size: int, /) -> bytes:
        piece = self._source.read(size)
        self.count += len(piece)
        return piece


class _Work:
    """The streams of one recording while they are written."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._track = OrderedStream(directory / f"{GNSS_PVT}.parquet", TrackQuality)
        self._others: dict[str, OrderedStream[ChannelQuality]] = {}
        self._normaliser = Normaliser()
        self._findings = Findings()
        self._damage: TelemetryError | None = None

    def read(self, recording: Recording, reader: Reader, origin: Origin, on_rows: Callable[[int], None]) -> None:
        findings = self._findings
        findings.format = reader.name
        on_rows(0)
        batches: Iterator[Any] = iter(reader.read(recording, origin, findings))
        while True:
            try:
                batch = next(batches, None)
            except TelemetryError as error:
                if error.retryable or error.code in FATAL_AT_ANY_POINT:
                    raise
                self._damage = error
                break
            if batch is None:
                break
            for streams in self._normaliser.push(batch):
                self._write(streams)
            on_rows(self._normaliser.judgement.rows)
        for streams in self._normaliser.finish():
            self._write(streams)
        judgement = self._normaliser.judgement
        if not judgement.kept:
            raise self._damage or _nothing_usable(findings, judgement)
        on_rows(judgement.rows)

    def _write(self, streams: dict[str, Any]) -> None:
        for name in streams:
            if name != GNSS_PVT and name not in self._others:
                self._others[name] = OrderedStream(self._directory / f"{name}.parquet", ChannelQuality)
                self._share_memory()
        for name, batch in streams.items():
            (self._track if name == GNSS_PVT else self._others[name]).write(batch)

    def _share_memory(self) -> None:
        streams: list[OrderedStream[Any]] = [self._track, *self._others.values()]
        for stream in streams:
            stream.share_memory(len(streams))

    def finished(self, claim: Recognition, recording: Recording, identity: Identity) -> Canonical:
        findings, judgement = self._findings, self._normaliser.judgement
        self._track.finish()
        track = self._track.observer
        report = {
            **_source_report(findings, judgement, self._damage, recording.damage),
            "recognition": {"reason": claim.reason, "confidence": claim.confidence},
            **_stream_report(self._track.rows, track.timing),
            **track.report(),
        }
        self._track.close(_metadata(GNSS_PVT, findings, identity, track))
        files = [self._file(GNSS_PVT, track.timing, report)]
        for name in STREAMS:
            if name in self._others:
                stream = self._others[name]
                stream.finish()
                timing = stream.observer.timing
                report = {
                    "timeBasis": str(findings.time_basis),
                    **_stream_report(stream.rows, timing),
                    **stream.observer.report(),
                }
                stream.close(_metadata(name, findings, identity, track))
                files.append(self._file(name, timing, report))
        return Canonical(
            format=findings.format,
            compression=recording.compression,
            reason=claim.reason,
            files=tuple(files),
            device=findings.device,
            laps=tuple(findings.laps),
            gates=tuple(findings.gates),
        )

    def _file(self, name: str, timing: Timing, quality: dict[str, Any]) -> CanonicalFile:
        path = self._directory / f"{name}.parquet"
        return CanonicalFile(
            stream=name,
            path=path,
            row_count=timing.rows,
            byte_size=path.stat().st_size,
            sha256=_sha256(path),
            start_time=_moment(timing.first),
            end_time=_moment(timing.last),
            schema_version=SCHEMA_VERSION,
            quality=quality,
        )

    def abandon(self) -> None:
        self._track.abandon()
        for stream in self._others.values():
            stream.abandon()
        for name in (GNSS_PVT, *self._others):
            (self._directory / f"{name}.parquet").unlink(missing_ok=True)


def _nothing_usable(findings: Findings, judgement: Judgement) -> TelemetryError:
    """Which code says best why no row was kept."""
    rejected: dict[str, Tally] = {**findings.rejected, **judgement.rejected}
    counts = ", ".join(f"{name.replace('_', ' ')} {tally.count}" for name, tally in sorted(rejected.items()))
    rows = max(findings.rows_read, judgement.rows)
    detail = f"{rows} rows read" + (f": {counts}" if counts else "")
    if rejected and not judgement.rows:
        return TelemetryError(Code.NO_VALID_ROWS, detail)
    if not judgement.placed and "position_out_of_range" in rejected:
        return TelemetryError(Code.NO_VALID_ROWS, f"{detail}; latitude and longitude may be swapped")
    if not judgement.placed:
        return TelemetryError(Code.NO_POSITION_DATA, detail)
    if not judgement.timed:
        return TelemetryError(Code.NO_TIME_DATA, detail)
    return TelemetryError(Code.NO_VALID_ROWS, detail)


def _stream_report(rows: int, timing: Timing) -> dict[str, Any]:
    return {"rowsKept": rows, "startTime": iso_time(timing.first), "endTime": iso_time(timing.last)}


def _source_report(
    findings: Findings, judgement: Judgement, damage: TelemetryError | None, archive_damage: str
) -> dict[str, Any]:
    left_out = {"lapsLeftOut": findings.laps_left_out} if findings.laps_left_out else {}
    return {
        **left_out,
        "format": findings.format,
        "dialect": findings.dialect,
        "timeBasis": str(findings.time_basis),
        "inferred": [*findings.inferred, *judgement.inferred],
        "rowsRead": max(findings.rows_read, judgement.rows),
        "rejected": _tallies(findings.rejected, judgement.rejected),
        "badCells": _tallies(findings.bad_cells, judgement.bad_cells),
        "backwardTimes": judgement.backward_times,
        "outOfOrderRows": judgement.out_of_order,
        "zeroPositions": judgement.zero_positions,
        "interpolatedTimes": judgement.interpolated_times,
        "damage": {"code": str(damage.code), "detail": damage.detail} if damage else None,
        "archiveDamage": archive_damage or None,
    }


def _tallies(*groups: Mapping[str, Tally]) -> dict[str, Any]:
    merged: dict[str, Tally] = {}
    for group in groups:
        for name, tally in group.items():
            into = merged.setdefault(name, Tally())
            into.count += tally.count
            into.first_rows = sorted({*into.first_rows, *tally.first_rows})[:5]
    return {
        name: {"count": tally.count, "firstRows": tally.first_rows}
        for name, tally in sorted(merged.items())
        if tally.count
    }


def facts_of_file(stream: str, identity: Identity, source: SourceFacts) -> dict[str, Any]:
    """What every canonical file says of itself in its metadata; ready for JSON."""
    return {
        "stream": stream,
        "schemaVersion": SCHEMA_VERSION,
        "pipelineVersion": PIPELINE_VERSION,
        "sessionId": identity.session_id,
        "runId": identity.run_id,
        "artifactId": identity.artifact_id,
        "sourceFormat": source.format,
        "dialect": source.dialect,
        "timeBasis": source.time_basis,
    }


def _metadata(stream: str, findings: Findings, identity: Identity, track: TrackQuality) -> dict[str, str]:
    """What a file says of itself. Laps, gates and device stand in `gnss_pvt`, so that laps can be found again
    without the raw file."""
    west_south_east_north = track.geographic_box()
    origin = SourceFacts(findings.format, findings.dialect, str(findings.time_basis))
    common = {**facts_of_file(stream, identity, origin), "bbox": west_south_east_north}
    if stream != GNSS_PVT:
        return {METADATA_KEY: json.dumps(common, ensure_ascii=False, sort_keys=True)}
    device = findings.device
    whole = {
        **common,
        "device": device
        and {
            "manufacturer": device.manufacturer,
            "model": device.model,
            "serialNumber": device.serial_number,
            "name": device.name,
        },
        "laps": [
            {"number": lap.number, "startTime": _iso(lap.start_time), "endTime": _iso(lap.end_time)}
            for lap in findings.laps
        ],
        "gates": [
            {
                "name": gate.name,
                "latitude1Deg": gate.latitude_1_deg,
                "longitude1Deg": gate.longitude_1_deg,
                "latitude2Deg": gate.latitude_2_deg,
                "longitude2Deg": gate.longitude_2_deg,
            }
            for gate in findings.gates
        ],
    }
    return {METADATA_KEY: json.dumps(whole, ensure_ascii=False, sort_keys=True)}


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _moment(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


def _iso(moment: datetime) -> str:
    return iso_time((moment.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _inner_origin(origin: Origin, compression: str | None, name: str) -> Origin:
    """What is known of the recording itself, where the raw file is an archive of it."""
    if compression is None:
        return origin
    lowered = origin.file_name.lower()
    stripped = origin.file_name[:-3] if lowered.endswith(".gz") else origin.file_name
    if name and date_in_name(name) is None and date_in_name(origin.file_name) is not None:
        # The date of an entry's times of day may stand in the archive's name.
        name = f"{origin.file_name}/{name}"
    return Origin(name or stripped, origin.uploaded_at)

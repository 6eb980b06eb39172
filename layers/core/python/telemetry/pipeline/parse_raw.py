"""Step 3: the recording becomes canonical Parquet files. Reads the raw object once, in bounded memory, and uploads.

Each attempt writes under paths that no other attempt ever writes; the dataset rows of the attempt that completes say
which of them count. Those of the others are orphans, which the janitor sweeps.
"""

import hashlib
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from telemetry import PIPELINE_VERSION, recording
from telemetry.database.connection import Transaction
from telemetry.database.queries import load
from telemetry.database.storable import storable_json, storable_text
from telemetry.domain.streams import GNSS_PVT
from telemetry.formats.reader import FileDevice
from telemetry.pipeline import canonical_file
from telemetry.pipeline.artifact_classify import origin_of
from telemetry.pipeline.step import Artifact, Completion, Heartbeat, Work, changed, concerning
from telemetry.pipeline.working_directory import working_directory
from telemetry.services import Services
from telemetry.storage.paths import track_path
from telemetry.streams import map_track
from telemetry.streams.parquet import open_file, read_columns

_PIPELINE = load("pipeline")
_DATASETS = load("datasets")
_TRACK_CONTENT_TYPE = "application/geo+json"
_LONGEST_NAME = 200


def perform(services: Services, work: Work, heartbeat: Heartbeat) -> Completion:
    """Parses every artifact, uploads its streams, and leaves their dataset rows for the completion.

    Raises
    ------
    TelemetryError : whatever is wrong with the recording, by its code.
    """
    rows: list[dict[str, Any]] = []
    formats: list[tuple[Artifact, str, str | None]] = []
    devices: list[tuple[FileDevice, datetime, datetime]] = []
    for artifact in work.artifacts:
        # One file's canonical files at a time on disk, however many the session has.
        with working_directory() as directory:
            with concerning(work, artifact):
                canonical = _canonicalise(services, work, artifact, directory, heartbeat)
            heartbeat()
            formats.append((artifact, canonical.format, canonical.compression))
            rows.extend(_upload(services, work, artifact, file, heartbeat) for file in canonical.files)
        if canonical.device is not None:
            devices.append(
                (
                    canonical.device,
                    min(file.start_time for file in canonical.files),
                    max(file.end_time for file in canonical.files),
                )
            )

    def complete(transaction: Transaction) -> None:
        changed(transaction.run(_PIPELINE["parsed_by"], run_id=work.job.run_id, pipeline_version=PIPELINE_VERSION))
        transaction.run(
            _DATASETS["insert_datasets"],
            session_id=work.session_id,
            run_id=work.job.run_id,
            files=storable_json(rows),
        )
        # In one order for all sessions: two that name the same devices would wait for each other otherwise.
        device_ids = {
            device: _record_device(transaction, work, device, start_time, end_time)
            for device, start_time, end_time in sorted(devices, key=lambda named: _device_key(named[0]))
        }
        if devices:
            changed(
                transaction.run(
                    _PIPELINE["set_session_device"], session_id=work.session_id, device_id=device_ids[devices[0][0]]
                )
            )
        for artifact, name, compression in formats:
            changed(
                transaction.run(
                    _PIPELINE["parse_artifact"], artifact_id=artifact.id, format=name, compression=compression
                )
            )

    return complete


def _canonicalise(
    services: Services, work: Work, artifact: Artifact, directory: Path, heartbeat: Heartbeat
) -> recording.Canonical:
    # The ETag pins the bytes that were validated: others answer CHECKSUM_MISMATCH.
    with services.raw.open(artifact.storage_path, etag=artifact.object_etag) as source:
        return recording.canonicalise(
            source,
            origin_of(artifact),
            classification=recording.Classification(
                format=artifact.format or "", compression=artifact.compression, confidence=1.0, reason=""
            ),
            identity=recording.Identity(
                session_id=str(work.session_id), run_id=str(work.job.run_id), artifact_id=str(artifact.id)
            ),
            directory=directory,
            on_progress=heartbeat,
        )


def _upload(
    services: Services, work: Work, artifact: Artifact, file: recording.CanonicalFile, heartbeat: Heartbeat
) -> dict[str, Any]:
    """Writes one canonical file to the store, a track for the map before it, and gives its dataset row."""
    path = canonical_file.dataset_path(services, work, artifact.id, file.stream)
    if file.stream == GNSS_PVT:
        # First, so that no dataset is there without its track.
        _upload_track(services, file, track_path(path), map_track.MOST_POINTS // len(work.artifacts), heartbeat)
    row = canonical_file.write(services, work, artifact.id, path, file)
    heartbeat()
    return row


def _upload_track(
    services: Services, file: recording.CanonicalFile, path: str, most_points: int, heartbeat: Heartbeat
) -> None:
    """Writes the track for a map: what the API hands out, which reads no Parquet."""
    with open_file(file.path) as parquet:
        batches = read_columns(parquet, map_track.COLUMNS, heartbeat)
        points = map_track.map_track(batches, file.row_count, most_points)
    track = map_track.geojson(points)
    written = file.path.with_suffix(".track.geojson")
    written.write_bytes(track)
    canonical_file.put(services, path, written, hashlib.sha256(track).hexdigest(), _TRACK_CONTENT_TYPE)


def _record_device(
    transaction: Transaction, work: Work, device: FileDevice, start_time: datetime, end_time: datetime
) -> UUID:
    row = changed(
        transaction.run(
            _PIPELINE["upsert_device"],
            owner_user_id=work.owner_user_id,
            manufacturer=_named(device.manufacturer),
            model=_named(device.model),
            serial_number=_named(device.serial_number),
            name=_named(device.name),
            first_seen_at=start_time,
            last_seen_at=end_time,
        )
    )
    device_id: UUID = row["id"]
    return device_id


def _device_key(device: FileDevice) -> tuple[str, ...]:
    """What makes it one device of its owner, in an order to lock by."""
    return tuple(_named(text) or "" for text in (device.manufacturer, device.model, device.serial_number))


def _named(text: str | None) -> str | None:
    return storable_text(text).strip()[:_LONGEST_NAME] or None if text else None

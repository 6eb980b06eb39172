"""Step 4: the laps that the recording brings, the session's true bounds and its summary. Reads canonical files only.

Its completion ends the run: session READY, laps and datasets visible at once.
"""

import dataclasses
import hashlib
import json
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from telemetry import recording
from telemetry.database.connection import Row, Transaction
from telemetry.database.queries import load
from telemetry.database.storable import storable_json
from telemetry.errors import Code, TelemetryError
from telemetry.laps.file_laps import laps_of_file
from telemetry.laps.lap import GivenLap, Lap, best_lap_ms
from telemetry.laps.track import COLUMNS
from telemetry.pipeline.step import Completion, Progress, Work, changed
from telemetry.services import Services
from telemetry.streams.channels import GNSS_PVT

_PIPELINE = load("pipeline")
_DATASETS = load("datasets")
_LAPS = load("laps")

_READ_BYTES = 1 << 20


def perform(services: Services, work: Work, progress: Progress) -> Completion:
    """Finds laps on each `gnss_pvt` file of the run."""
    datasets = services.database.run(_DATASETS["streams_of_run"], run_id=work.job.run_id, stream_name=GNSS_PVT)
    if not datasets:
        raise TelemetryError(Code.INTERNAL_ERROR, "the run has no gnss_pvt dataset")
    found: list[Lap] = []
    for dataset in datasets:
        with tempfile.TemporaryDirectory(prefix="telemetry-") as directory:
            file = Path(directory) / "gnss_pvt.parquet"
            _download(services, dataset, file, progress)
            found.extend(_laps(file, progress))
    found.sort(key=lambda lap: (lap.start_time, lap.end_time))
    laps = tuple(dataclasses.replace(lap, lap_number=number) for number, lap in enumerate(found, 1))
    start_time = min(dataset["start_time_utc"] for dataset in datasets)
    end_time = max(dataset["end_time_utc"] for dataset in datasets)
    summary = summarise(datasets, laps, start_time, end_time)

    def complete(transaction: Transaction) -> None:
        changed(transaction.run(_PIPELINE["succeed_run"], run_id=work.job.run_id))
        changed(
            transaction.run(
                _PIPELINE["ready_session"],
                session_id=work.session_id,
                start_time_utc=start_time,
                end_time_utc=end_time,
                summary=storable_json(summary),
            )
        )
        if laps:
            transaction.run(
                _LAPS["insert_laps"],
                session_id=work.session_id,
                run_id=work.job.run_id,
                laps=storable_json([_row(lap) for lap in laps]),
            )

    return complete


def summarise(datasets: list[Row], laps: tuple[Lap, ...], start_time: datetime, end_time: datetime) -> dict[str, Any]:
    """The session in brief, from the quality reports of its `gnss_pvt` datasets; camelCase, as the API passes it on."""
    distances = [quality["distanceM"] for quality in _qualities(datasets) if quality.get("distanceM") is not None]
    return {
        "distanceM": sum(distances) if distances else None,
        "durationMs": (end_time - start_time).total_seconds() * 1000,
        "points": sum(dataset["row_count"] for dataset in datasets),
        "boundingBox": _around([box for quality in _qualities(datasets) if (box := quality.get("boundingBox"))]),
        "lapCount": len(laps),
        "bestLapMs": best_lap_ms(laps),
    }


def _qualities(datasets: list[Row]) -> Iterator[dict[str, Any]]:
    return (dataset["quality"] or {} for dataset in datasets)


def _around(boxes: list[Any]) -> Any:
    """The box around all boxes, in their own order: two minima, then two maxima."""
    if not boxes:
        return None
    low_1, low_2, high_1, high_2 = zip(*boxes, strict=True)
    return [min(low_1), min(low_2), max(high_1), max(high_2)]


def _download(services: Services, dataset: Row, file: Path, progress: Progress) -> None:
    digest = hashlib.sha256()
    try:
        with services.canonical.open(dataset["storage_path"]) as source, file.open("wb") as target:
            while block := source.read(_READ_BYTES):
                digest.update(block)
                target.write(block)
                progress()
    except TelemetryError as error:
        if error.code is Code.RAW_DISCARDED:
            raise TelemetryError(Code.INTERNAL_ERROR, "a canonical file of this run is missing") from error
        raise
    if digest.hexdigest() != dataset["sha256"]:
        raise TelemetryError(Code.STORAGE_UNAVAILABLE, "a canonical file arrived changed")


def _laps(file: Path, progress: Progress) -> tuple[Lap, ...]:
    with pq.ParquetFile(file) as parquet:
        given = _given_laps(parquet.metadata.metadata or {})
        return laps_of_file(given, _batches(parquet, progress)) if given else ()


def _given_laps(metadata: dict[bytes, bytes]) -> list[GivenLap]:
    return [
        GivenLap(lap["number"], datetime.fromisoformat(lap["startTime"]), datetime.fromisoformat(lap["endTime"]))
        for lap in json.loads(metadata.get(recording.METADATA_KEY.encode(), b"{}")).get("laps", [])
    ]


def _batches(parquet: pq.ParquetFile, progress: Progress) -> Iterator[pa.RecordBatch]:
    for batch in parquet.iter_batches(columns=list(COLUMNS)):
        yield batch
        progress()


def _row(lap: Lap) -> dict[str, Any]:
    return {
        "lap_number": lap.lap_number,
        "kind": lap.kind,
        "start_time_utc": lap.start_time,
        "end_time_utc": lap.end_time,
        "duration_ms": lap.duration_ms,
        "duration_uncertainty_ms": lap.duration_uncertainty_ms,
        "distance_m": lap.distance_m,
        "max_speed_mps": lap.max_speed_mps,
        "source": lap.source,
    }

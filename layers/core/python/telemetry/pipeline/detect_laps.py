"""Step 4: laps, the session's true bounds and its summary, and the lap deltas: each lap against the best. Reads
canonical files only.

Its completion ends the run: session READY, laps and datasets visible at once. It also runs again on a run that has
succeeded, when the owner gives another line: then its completion replaces the laps in one transaction.
"""

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq

from telemetry import queue, recording
from telemetry.database.connection import Row, Transaction
from telemetry.database.queries import load
from telemetry.database.storable import storable_json
from telemetry.domain.laps import MOST_LAPS
from telemetry.domain.states import JobType, RunStatus
from telemetry.domain.streams import GNSS_PVT, LAP_DELTA
from telemetry.errors import Code, TelemetryError
from telemetry.laps import delta
from telemetry.laps.found import LinesGiven, find_laps, lines_of_owner, metadata_of
from telemetry.laps.lap import Lap, LapSource, best_lap, comparable_laps, theoretical_best_ms
from telemetry.laps.motion import COLUMNS, Motion
from telemetry.pipeline import canonical_file
from telemetry.pipeline.step import Completion, Heartbeat, Work, changed
from telemetry.pipeline.working_directory import working_directory
from telemetry.services import Services
from telemetry.storage.protocol import ObjectMissing
from telemetry.streams.channels import SCHEMA_VERSION
from telemetry.streams.parquet import COMPRESSION, COMPRESSION_LEVEL, open_file, read_columns

_PIPELINE = load("pipeline")
_DATASETS = load("datasets")
_LAPS = load("laps")
_GATE = load("gate")

_READ_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True, slots=True)
class _Track:
    """A `gnss_pvt` dataset and what was found on it. `laps_left_out`: laps that its file has beyond those."""

    dataset: Row
    laps: tuple[Lap, ...]
    motion: Motion | None
    laps_left_out: int = 0


def perform(services: Services, work: Work, heartbeat: Heartbeat) -> Completion:
    """Finds laps on each `gnss_pvt` file of the run."""
    datasets = services.database.run(_DATASETS["streams_of_run"], run_id=work.job.run_id, stream_name=GNSS_PVT)
    if not datasets:
        raise TelemetryError(Code.INTERNAL_ERROR, "the run has no gnss_pvt dataset")
    gate = _gate(services.database.run(_GATE["gate_of_session"], session_id=work.session_id))
    found = [_track(services, dataset, lines_of_owner(gate), heartbeat) for dataset in datasets]
    tracks = _numbered(found)
    laps = tuple(sorted((lap for track in tracks for lap in track.laps), key=lambda lap: lap.lap_number))
    lap_deltas = _write_lap_deltas(services, work, tracks, heartbeat)
    start_time = min(dataset["start_time_utc"] for dataset in datasets)
    end_time = max(dataset["end_time_utc"] for dataset in datasets)
    left_out = sum(track.laps_left_out + len(track.laps) for track in found) - len(laps)
    summary = summarise(datasets, laps, start_time, end_time, left_out)
    rows = storable_json([_row(lap) for lap in laps])

    def complete(transaction: Transaction) -> None:
        mine: dict[str, Any] = {"session_id": work.session_id, "run_id": work.job.run_id}
        if work.run_status is RunStatus.SUCCEEDED:
            # The session is locked before the look at its line, so that a line given meanwhile is not overlooked.
            now = transaction.run(_GATE["lock_gate_of_session"], session_id=work.session_id)
            if not now:
                raise queue.LeaseLost("the session is gone")
            if _gate(now) != gate:
                queue.enqueue(transaction, work.job.run_id, JobType.DETECT_LAPS, work.job.payload)
            transaction.run(_LAPS["delete_laps"], run_id=work.job.run_id)
            transaction.run(_DATASETS["delete_stream_of_run"], run_id=work.job.run_id, stream_name=LAP_DELTA)
            transaction.run(_LAPS["set_summary"], session_id=work.session_id, summary=storable_json(summary))
        else:
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
            transaction.run(_LAPS["insert_laps"], **mine, laps=rows)
        if lap_deltas:
            transaction.run(_DATASETS["insert_datasets"], **mine, files=storable_json(lap_deltas))

    return complete


def _gate(rows: list[Row]) -> dict[str, Any] | None:
    return rows[0]["gate"] if rows else None


def _track(services: Services, dataset: Row, owner_lines: LinesGiven | None, heartbeat: Heartbeat) -> _Track:
    with working_directory() as directory:
        file = directory / "gnss_pvt.parquet"
        _download(services, dataset, file, heartbeat)
        with open_file(file) as parquet:
            found = find_laps(
                metadata_of(parquet.metadata.metadata, recording.METADATA_KEY),
                lambda: read_columns(parquet, COLUMNS, heartbeat),
                parquet.metadata.num_rows,
                owner_lines,
            )
    heartbeat()
    of_file = any(lap.source is LapSource.FILE for lap in found.laps)
    left_out = (dataset["quality"] or {}).get("lapsLeftOut", 0) if of_file else 0
    return _Track(dataset, found.laps, found.motion if found.laps else None, left_out)


def _numbered(tracks: list[_Track]) -> list[_Track]:
    """The laps of all files numbered as one sequence in order of time, the first `MOST_LAPS` of them."""
    order = sorted(
        ((lap.start_time, lap.end_time, i, k) for i, track in enumerate(tracks) for k, lap in enumerate(track.laps))
    )
    numbers = {(i, k): number for number, (_, _, i, k) in enumerate(order, 1)}
    return [
        dataclasses.replace(
            track,
            laps=tuple(
                dataclasses.replace(lap, lap_number=number)
                for k, lap in enumerate(track.laps)
                if (number := numbers[i, k]) <= MOST_LAPS
            ),
        )
        for i, track in enumerate(tracks)
    ]


def _write_lap_deltas(
    services: Services, work: Work, tracks: Sequence[_Track], heartbeat: Heartbeat
) -> list[dict[str, Any]]:
    """Writes every comparable lap of each track against the best of the session, and gives the dataset rows."""
    laps = [lap for track in tracks for lap in track.laps]
    best, comparable = best_lap(laps), set(comparable_laps(laps))
    if best is None:
        return []
    home = next(track for track in tracks if best in track.laps)
    against = delta.reference(home.motion, best) if home.motion is not None else None
    if against is None:
        return []
    written = []
    for track in tracks:
        against_best = [lap for lap in track.laps if lap in comparable]
        if track.motion is None or not against_best:
            continue
        rows = delta.lap_deltas(track.motion, against_best, against)
        if rows.num_rows:
            written.append(_write_lap_delta(services, work, track.dataset, rows, best.lap_number))
            heartbeat()
    return written


def _write_lap_delta(
    services: Services, work: Work, dataset: Row, rows: pa.RecordBatch, best_lap_number: int
) -> dict[str, Any]:
    """`dataset` is the `gnss_pvt` that the laps were driven in."""
    artifact_id: UUID = dataset["artifact_id"]
    with working_directory() as directory:
        file = directory / f"{LAP_DELTA}.parquet"
        identity = recording.Identity(str(work.session_id), str(work.job.run_id), str(artifact_id))
        quality = dataset["quality"] or {}
        source = recording.SourceFacts(*(quality.get(key, "") for key in ("format", "dialect", "timeBasis")))
        told = {**recording.facts_of_file(LAP_DELTA, identity, source), "bestLapNumber": best_lap_number}
        table = pa.Table.from_batches([rows]).replace_schema_metadata({recording.METADATA_KEY: storable_json(told)})
        pq.write_table(table, file, compression=COMPRESSION, compression_level=COMPRESSION_LEVEL)
        content = file.read_bytes()
        stamps = rows.column("timestamp")
        written = recording.CanonicalFile(
            stream=LAP_DELTA,
            path=file,
            row_count=rows.num_rows,
            byte_size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            start_time=stamps[0].as_py(),
            end_time=stamps[-1].as_py(),
            schema_version=SCHEMA_VERSION,
            quality={"bestLapNumber": best_lap_number, "rowsKept": rows.num_rows},
        )
        path = canonical_file.dataset_path(services, work, artifact_id, LAP_DELTA)
        return canonical_file.write(services, work, artifact_id, path, written)


def summarise(
    datasets: list[Row], laps: tuple[Lap, ...], start_time: datetime, end_time: datetime, laps_left_out: int = 0
) -> dict[str, Any]:
    """The session in brief, from the quality reports of its `gnss_pvt` datasets; camelCase, as the API passes it on.

    `lapCount` is of all laps that were found; `lapsLeftOut`, where there are any, of those that were not recorded.
    """
    best = best_lap(laps)
    distances = [quality["distanceM"] for quality in _qualities(datasets) if quality.get("distanceM") is not None]
    return {
        "distanceM": sum(distances) if distances else None,
        "durationMs": (end_time - start_time).total_seconds() * 1000,
        "points": sum(dataset["row_count"] for dataset in datasets),
        "boundingBox": _enclosing_box([box for quality in _qualities(datasets) if (box := quality.get("boundingBox"))]),
        "lapCount": len(laps) + laps_left_out,
        **({"lapsLeftOut": laps_left_out} if laps_left_out else {}),
        "bestLapMs": best.duration_ms if best else None,
        "bestLapNumber": best.lap_number if best else None,
        "theoreticalBestMs": theoretical_best_ms(laps),
    }


def _qualities(datasets: list[Row]) -> Iterator[dict[str, Any]]:
    return (dataset["quality"] or {} for dataset in datasets)


def _enclosing_box(boxes: list[Any]) -> Any:
    """The box around all boxes, in their own order: two minima, then two maxima."""
    if not boxes:
        return None
    low_1, low_2, high_1, high_2 = zip(*boxes, strict=True)
    return [min(low_1), min(low_2), max(high_1), max(high_2)]


def _download(services: Services, dataset: Row, file: Path, heartbeat: Heartbeat) -> None:
    digest = hashlib.sha256()
    try:
        with services.canonical.open(dataset["storage_path"]) as source, file.open("wb") as target:
            while block := source.read(_READ_BYTES):
                digest.update(block)
                target.write(block)
                heartbeat()
    except ObjectMissing as error:
        raise TelemetryError(Code.INTERNAL_ERROR, "a canonical file of this run is missing") from error
    if digest.hexdigest() != dataset["sha256"]:
        raise TelemetryError(Code.STORAGE_UNAVAILABLE, "a canonical file arrived changed")


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
        "sectors_ms": list(lap.sectors_ms),
    }

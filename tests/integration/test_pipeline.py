"""The job chain on real parts: what a session, its artifacts and its objects are after each way through."""

import bisect
import dataclasses
import hashlib
import io
import itertools
import json
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from telemetry import PIPELINE_VERSION, recording
from telemetry.errors import Code, TelemetryError
from telemetry.formats.reader import FileDevice
from telemetry.laps.lap import COVERAGE
from telemetry.pipeline import parse_raw
from telemetry.pipeline.drain import drain
from telemetry.pipeline.outcome import Outcome
from telemetry.storage.paths import track_path
from telemetry.streams.map_track import MOST_POINTS
from tests.plugins.harness import LIFE_MS, SAMPLES, Harness, with_settings

CHAIN = ["artifact_validate", "artifact_classify", "parse_raw", "detect_laps", "discard_raw"]
CSV = (SAMPLES / "sample_gnss_10hz.csv").read_bytes()


@pytest.fixture(params=["harness", "s3_harness"])
def any_harness(request: pytest.FixtureRequest) -> Harness:
    """The same over both backends."""
    harness: Harness = request.getfixturevalue(request.param)
    return harness


@pytest.mark.parametrize("sample", ["sample_gnss_10hz.csv", "sample_track.gpx"])
def test_recording_becomes_canonical_and_raw_goes(any_harness: Harness, sample: str) -> None:
    harness = any_harness
    made = harness.sample(sample)

    drained = harness.drain()

    assert drained.outcomes == {Outcome.SUCCEEDED: 5}
    jobs = harness.jobs(made)
    assert [job["job_type"] for job in jobs] == CHAIN
    assert {job["status"] for job in jobs} == {"SUCCEEDED"}
    run, session, (artifact,) = harness.run(made), harness.session(made), harness.artifacts(made)
    assert run["status"] == "SUCCEEDED"
    assert run["created_at"] <= run["started_at"] <= run["finished_at"]
    assert session["status"] == "READY"
    assert artifact["status"] == "DISCARDED"
    assert artifact["discarded_at"] is not None
    assert artifact["format"] == sample.rpartition(".")[2]
    assert harness.raw_paths() == set()

    datasets = harness.datasets(made)
    gnss = next(one for one in datasets if one["stream"] == "gnss_pvt")
    assert harness.canonical_paths() == harness.kept_paths(made)
    with harness.services.canonical.open(gnss["storage_path"]) as stream:
        content = stream.read(1 << 24)
    assert hashlib.sha256(content).hexdigest() == gnss["sha256"]
    assert len(content) == gnss["byte_size"]
    assert f"/{made.run_id}/" in gnss["storage_path"]

    assert session["start_time_utc"] == gnss["start_time_utc"]
    assert session["end_time_utc"] == gnss["end_time_utc"]
    assert session["start_time_utc"] < session["end_time_utc"] < session["created_at"]
    summary = session["summary"]
    assert summary["points"] == gnss["row_count"]
    assert summary["distanceM"] == gnss["quality"]["distanceM"] > 0
    assert summary["boundingBox"] == gnss["quality"]["boundingBox"]
    length = session["end_time_utc"] - session["start_time_utc"]
    assert summary["durationMs"] == pytest.approx(length.total_seconds() * 1000)


def test_the_run_names_the_version_that_wrote_its_files(harness: Harness) -> None:
    """Not the one that enqueued it, which a deployment may have followed."""
    made = harness.sample("sample_gnss_10hz.csv")
    harness.sql("UPDATE telemetry_processing_runs SET pipeline_version = 'older'")
    harness.drain()
    (dataset,) = [one for one in harness.datasets(made) if one["stream"] == "gnss_pvt"]
    with harness.services.canonical.open(dataset["storage_path"]) as stream:
        metadata = pq.read_metadata(io.BytesIO(stream.read(1 << 24))).metadata
    written_by = json.loads(metadata[recording.METADATA_KEY.encode()])["pipelineVersion"]
    assert harness.run(made)["pipeline_version"] == written_by == PIPELINE_VERSION


def test_parquet_rows_are_those_the_row_counts(harness: Harness, tmp_path: Any) -> None:
    made = harness.finalised(CSV)
    harness.drain()
    (dataset,) = [one for one in harness.datasets(made) if one["stream"] == "gnss_pvt"]
    file = tmp_path / "gnss.parquet"
    with harness.services.canonical.open(dataset["storage_path"]) as stream:
        file.write_bytes(stream.read(1 << 24))
    times = pq.read_table(file)["timestamp"]
    assert len(times) == dataset["row_count"] == len(CSV.splitlines()) - 1
    assert times[0].as_py() == dataset["start_time_utc"]
    assert times[-1].as_py() == dataset["end_time_utc"]


def test_bad_recording_fails_at_once_with_its_code_and_raw_is_kept(harness: Harness) -> None:
    made = harness.sample("csv_no_time.csv")
    raw = harness.raw_paths()

    drained = harness.drain()

    assert drained.outcomes[Outcome.FAILED] == 1
    assert drained.outcomes[Outcome.RETRIED] == 0
    run, (artifact,) = harness.run(made), harness.artifacts(made)
    assert (run["status"], run["error_code"]) == ("FAILED", "CSV_NO_TIME_COLUMN")
    assert run["error_detail"]
    assert run["finished_at"] is not None
    assert harness.session(made)["status"] == "FAILED"
    assert artifact["status"] == "REJECTED"
    assert harness.raw_paths() == raw != set()
    assert harness.datasets(made) == []
    job = harness.jobs(made)[-1]
    assert (job["status"], job["attempt_count"], job["last_error_code"]) == ("FAILED", 1, "CSV_NO_TIME_COLUMN")


@pytest.mark.parametrize(
    ("content", "announced", "code"),
    [
        (b"a,b\n1,2\n", {"sha256": "0" * 64}, Code.CHECKSUM_MISMATCH),
        (b"a,b\n1,2\n", {"byte_size": 7}, Code.SIZE_MISMATCH),
        (b"", {}, Code.FILE_EMPTY),
    ],
)
def test_wrong_bytes_are_refused_by_both_stores(
    any_harness: Harness, content: bytes, announced: dict[str, Any], code: Code
) -> None:
    made = any_harness.finalise(any_harness.upload(content, **announced))
    any_harness.drain()
    assert any_harness.run(made)["error_code"] == code
    assert [job["job_type"] for job in any_harness.jobs(made)] == ["artifact_validate"]
    assert any_harness.artifacts(made)[0]["status"] == "REJECTED"


def test_bytes_that_vanished_fail_without_blaming_the_file(any_harness: Harness) -> None:
    made = any_harness.finalise(any_harness.upload(None, byte_size=10))
    any_harness.drain()
    assert any_harness.run(made)["error_code"] == Code.RAW_DISCARDED
    assert any_harness.session(made)["status"] == "FAILED"
    assert any_harness.artifacts(made)[0]["status"] == "UPLOADED"


@pytest.mark.parametrize(("steps", "status"), [(1, "VALIDATED"), (2, "CLASSIFIED")])
def test_bytes_that_vanish_on_the_way_fail_without_blaming_the_file(
    any_harness: Harness, steps: int, status: str
) -> None:
    made = any_harness.finalised(CSV)
    for _ in range(steps):
        drain_one(any_harness)
    any_harness.services.raw.delete(any_harness.artifacts(made)[0]["storage_path"])
    any_harness.drain()
    assert any_harness.run(made)["error_code"] == Code.RAW_DISCARDED
    assert any_harness.jobs(made)[-1]["attempt_count"] == 1
    assert any_harness.artifacts(made)[0]["status"] == status


def test_a_canonical_file_that_vanished_is_an_internal_matter(any_harness: Harness) -> None:
    made = any_harness.finalised(CSV)
    for _ in range(3):
        drain_one(any_harness)
    for dataset in any_harness.datasets(made):
        any_harness.services.canonical.delete(dataset["storage_path"])
    any_harness.drain()
    job = any_harness.jobs(made)[-1]
    assert (job["job_type"], job["status"], job["last_error_code"]) == ("detect_laps", "QUEUED", Code.INTERNAL_ERROR)
    assert job["last_error_message"] == "a canonical file of this run is missing"


def test_bytes_replaced_after_validation_are_never_parsed(harness: Harness) -> None:
    made = harness.finalised(CSV)
    drain_one(harness)
    path = harness.artifacts(made)[0]["storage_path"]
    harness.services.raw.delete(path)
    harness.store(path, CSV.replace(b"5", b"6"))
    harness.drain()
    assert harness.run(made)["error_code"] == Code.CHECKSUM_MISMATCH
    assert harness.datasets(made) == []


def test_validation_reads_no_byte_where_s3_vouches_for_them(
    s3_harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = s3_harness.finalised(CSV)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("read")

    monkeypatch.setattr(s3_harness.services.raw, "open", refuse)
    monkeypatch.setattr(s3_harness.services.raw, "read_range", refuse)
    drain_one(s3_harness)
    artifact = s3_harness.artifacts(made)[0]
    assert artifact["status"] == "VALIDATED"
    assert artifact["object_etag"]


def test_classification_reads_the_first_64_kib_in_one_request(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.finalised(CSV)
    drain_one(harness)
    read_range, asked = harness.services.raw.read_range, []

    def spy(path: str, start: int, length: int) -> bytes:
        asked.append((start, length))
        return read_range(path, start, length)

    monkeypatch.setattr(harness.services.raw, "read_range", spy)
    monkeypatch.setattr(harness.services.raw, "open", None)
    drain_one(harness)
    assert asked == [(0, 65536)]


def test_two_files_make_one_session(harness: Harness) -> None:
    later = CSV.replace(b"2026-", b"2027-") if b"2026-" in CSV else CSV.replace(b"2025-", b"2026-")
    assert later != CSV
    made = harness.finalise(harness.upload(CSV, "one.csv"), harness.upload(later, "two.csv"))
    harness.drain()
    session, datasets = harness.session(made), harness.datasets(made)
    assert session["status"] == "READY"
    gnss = [one for one in datasets if one["stream"] == "gnss_pvt"]
    assert {one["artifact_id"] for one in gnss} == set(made.artifact_ids)
    assert session["summary"]["points"] == sum(one["row_count"] for one in gnss)
    assert session["start_time_utc"] == min(one["start_time_utc"] for one in gnss)
    assert session["end_time_utc"] == max(one["end_time_utc"] for one in gnss)
    assert session["end_time_utc"] - session["start_time_utc"] > timedelta(days=300)


def faster(begin_s: float, factor: float) -> bytes:
    """The sample begun later and driven in less time."""
    header, *lines = CSV.decode().splitlines()
    start = datetime.fromisoformat(lines[0].partition(",")[0])
    kept = [header]
    for line in lines:
        moment, latitude, longitude, altitude, speed = line.split(",")
        at = start + timedelta(seconds=begin_s) + factor * (datetime.fromisoformat(moment) - start)
        kept.append(f"{at:%Y-%m-%dT%H:%M:%S.%f}Z,{latitude},{longitude},{altitude},{float(speed) / factor:.3f}")
    return "\n".join([*kept, ""]).encode()


def test_laps_of_files_that_overlap_are_one_sequence_against_the_best_of_all(harness: Harness) -> None:
    """The second file ends first, and has the best lap."""
    files = (CSV, faster(5, 0.9))
    made = harness.finalise(*(harness.upload(content, f"{i}.csv") for i, content in enumerate(files)))
    harness.drain()
    session, datasets = harness.session(made), harness.datasets(made)
    assert session["status"] == "READY"
    tracks = [one for one in datasets if one["stream"] == "gnss_pvt"]
    early, late = sorted(tracks, key=lambda one: one["start_time_utc"])
    assert early["start_time_utc"] < late["start_time_utc"] < late["end_time_utc"] < early["end_time_utc"]
    assert session["start_time_utc"] == early["start_time_utc"]
    assert session["end_time_utc"] == early["end_time_utc"]

    laps = harness.sql("SELECT * FROM telemetry_laps WHERE run_id = :id ORDER BY lap_number", id=made.run_id)
    assert [lap["lap_number"] for lap in laps] == list(range(1, len(laps) + 1))
    assert [lap["start_time_utc"] for lap in laps] == sorted(lap["start_time_utc"] for lap in laps)
    durations = {lap["lap_number"]: lap["duration_ms"] for lap in laps if lap["kind"] == "TIMED"}
    assert len(durations) == 4
    best = min(durations, key=durations.__getitem__)
    assert session["summary"]["bestLapNumber"] == best

    ends: dict[int, float] = {}
    of_best: set[Any] = set()
    for dataset in datasets:
        if dataset["stream"] != "lap_delta":
            continue
        with harness.services.canonical.open(dataset["storage_path"]) as stream:
            rows = pq.read_table(pa.py_buffer(stream.read(1 << 24))).to_pylist()
        ends.update({row["lap_number"]: row["delta_ms"] for row in rows})
        of_itself = [row["delta_ms"] for row in rows if row["lap_number"] == best]
        of_best |= {dataset["artifact_id"] for _ in of_itself}
        assert of_itself == pytest.approx([0.0] * len(of_itself), abs=2e-3), "the best lap against itself"
    assert of_best == {late["artifact_id"]}
    assert ends == pytest.approx({number: ms - durations[best] for number, ms in durations.items()}, abs=2e-3)

    points = 0
    for dataset in (early, late):
        with harness.services.canonical.open(track_path(dataset["storage_path"])) as stream:
            features = json.loads(stream.read(1 << 24))["features"]
        points += sum(len(feature["geometry"]["coordinates"]) for feature in features)
    assert 500 < points <= MOST_POINTS < early["row_count"] + late["row_count"]


def test_one_bad_file_of_two_is_named_and_alone_rejected(harness: Harness) -> None:
    bad = (SAMPLES / "csv_no_time.csv").read_bytes()
    made = harness.finalise(harness.upload(CSV, "good.csv"), harness.upload(bad, "bad.csv"))
    harness.drain()
    run = harness.run(made)
    assert run["error_code"] == Code.CSV_NO_TIME_COLUMN
    assert run["error_detail"].startswith("bad.csv")
    assert [one["status"] for one in harness.artifacts(made)] == ["CLASSIFIED", "REJECTED"]
    assert len(harness.raw_paths()) == 2


def test_retry_runs_the_whole_chain_over_artifacts_that_came_further(harness: Harness) -> None:
    made = harness.finalised(CSV)
    for _ in range(3):
        drain_one(harness)
    assert harness.artifacts(made)[0]["status"] == "PARSED"
    harness.sql(
        "UPDATE telemetry_jobs SET status = 'CANCELLED' WHERE run_id = :id AND status = 'QUEUED'", id=made.run_id
    )
    harness.sql(
        """UPDATE telemetry_processing_runs SET status = 'FAILED', error_code = 'WORKER_LOST', finished_at = now()
           WHERE id = :id""",
        id=made.run_id,
    )
    again = dataclasses.replace(made, run_id=harness.start_run(made.session_id, *made.artifact_ids))
    harness.drain()
    assert harness.run(again)["status"] == "SUCCEEDED"
    assert harness.session(again)["status"] == "READY"
    assert harness.artifacts(again)[0]["status"] == "DISCARDED"


def test_raw_kept_for_days_leaves_no_discard_job(harness: Harness) -> None:
    made = harness.finalised(CSV)
    drain(with_settings(harness, raw_retention_days=3), lambda: LIFE_MS)
    assert [job["job_type"] for job in harness.jobs(made)] == CHAIN[:-1]
    assert harness.session(made)["status"] == "READY"
    assert harness.artifacts(made)[0]["status"] == "PARSED"
    assert len(harness.raw_paths()) == 1


def test_raw_is_deleted_only_after_the_canonical_files_are_committed(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = harness.finalised(CSV)
    delete, seen = harness.services.raw.delete, []

    def spy(path: str) -> None:
        # By another connection, so only what is committed counts.
        seen.append((harness.run(made)["status"], harness.session(made)["status"]))
        assert harness.canonical_paths() == harness.kept_paths(made) != set()
        delete(path)

    monkeypatch.setattr(harness.services.raw, "delete", spy)
    harness.drain()
    assert seen == [("SUCCEEDED", "READY")]


def test_no_store_is_called_inside_a_transaction(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []

    def guarded(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            (state,) = harness.sql(
                "SELECT count(*) AS open FROM pg_stat_activity "
                "WHERE datname = current_database() AND state LIKE 'idle in transaction%'"
            )
            assert state["open"] == 0, name
            called.append(name)
            return call(*arguments, **named)

        return wrapped

    for store in (harness.services.raw, harness.services.canonical):
        for name in ("head", "open", "read_range", "put_file", "delete"):
            monkeypatch.setattr(store, name, guarded(name, getattr(store, name)))
    made = harness.finalised(CSV)
    harness.drain()
    assert harness.session(made)["status"] == "READY"
    assert {"head", "open", "read_range", "put_file", "delete"} <= set(called)


def test_devices_are_one_row_per_real_device(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    devices = iter(
        [
            FileDevice(manufacturer="Racelogic", model="VBOX Mini", serial_number="0042"),
            FileDevice(manufacturer="Racelogic", model="VBOX Mini", serial_number="0042", name="Left\x00 car"),
            FileDevice(manufacturer="Racelogic", model="VBOX Mini"),
            FileDevice(manufacturer="Racelogic", model="VBOX Mini"),
        ]
    )
    canonicalise = recording.canonicalise

    def with_device(*arguments: Any, **named: Any) -> recording.Canonical:
        return dataclasses.replace(canonicalise(*arguments, **named), device=next(devices))

    monkeypatch.setattr(recording, "canonicalise", with_device)
    made = [harness.finalised(CSV + b"\n" * count) for count in range(4)]
    harness.drain()
    sessions = [harness.session(one) for one in made]
    assert {one["status"] for one in sessions} == {"READY"}
    assert sessions[0]["device_id"] == sessions[1]["device_id"] != sessions[2]["device_id"] == sessions[3]["device_id"]
    rows = harness.sql("SELECT * FROM telemetry_devices ORDER BY serial_number NULLS LAST")
    assert len(rows) == 2
    assert rows[0]["first_seen_at"] == sessions[0]["start_time_utc"]
    assert rows[0]["last_seen_at"] == sessions[0]["end_time_utc"]
    assert "car" in rows[0]["name"]
    assert "\x00" not in rows[0]["name"]


def test_a_device_is_seen_from_its_first_recording_to_the_end_of_its_last_stream(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    canonicalise, names = recording.canonicalise, iter(["First", "Second"])
    longer = timedelta(minutes=1)

    def with_device(*arguments: Any, **named: Any) -> recording.Canonical:
        made = canonicalise(*arguments, **named)
        (track,) = made.files
        later = dataclasses.replace(track, stream="imu", end_time=track.end_time + longer)
        device = FileDevice(model="Mini", serial_number="0001", name=next(names))
        return dataclasses.replace(made, device=device, files=(track, later))

    monkeypatch.setattr(recording, "canonicalise", with_device)
    first, second = (harness.finalised(CSV.replace(b"2026-", year)) for year in (b"2024-", b"2025-"))
    harness.drain()
    (device,) = harness.sql("SELECT * FROM telemetry_devices")
    assert device["name"] == "First"
    assert device["first_seen_at"] == harness.session(first)["start_time_utc"]
    assert device["last_seen_at"] == harness.session(second)["end_time_utc"] + longer


def test_sessions_write_their_devices_in_one_order(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that name the same devices in different order would wait for each other for good."""
    left, right = (FileDevice(model="Mini", serial_number=number) for number in ("0001", "0002"))
    named: dict[str, FileDevice] = {}
    canonicalise, record = recording.canonicalise, parse_raw._record_device
    written: list[FileDevice] = []

    def with_device(*arguments: Any, **keywords: Any) -> recording.Canonical:
        device = named[keywords["identity"].artifact_id]
        return dataclasses.replace(canonicalise(*arguments, **keywords), device=device)

    def recorded(transaction: Any, work: Any, device: FileDevice, *times: Any) -> Any:
        written.append(device)
        return record(transaction, work, device, *times)

    monkeypatch.setattr(recording, "canonicalise", with_device)
    monkeypatch.setattr(parse_raw, "_record_device", recorded)
    for first, second in ((left, right), (right, left)):
        uploads = [harness.upload(CSV + b"\n" * number) for number in range(2)]
        named.update({str(uploads[0]): first, str(uploads[1]): second})
        made = harness.finalise(*uploads)
        harness.drain()
        assert harness.session(made)["status"] == "READY"
        (device,) = harness.sql("SELECT * FROM telemetry_devices WHERE id = :id", id=harness.session(made)["device_id"])
        assert device["serial_number"] == first.serial_number, "the first file's"
    assert written == [left, right, left, right]


def with_laps(*rows_each: int) -> bytes:
    """The sample as Harry's LapTimer writes it, every lap with its LAPINDEX; the last lap takes what is left."""
    ends = list(itertools.accumulate(rows_each))
    lines = ["LAPINDEX,TIME_LAP,DATE,TIME,LATITUDE,LONGITUDE,SPEED_KPH"]
    for number, line in enumerate(CSV.decode().splitlines()[1:]):
        moment, latitude, longitude, _, speed = line.split(",")
        date, time = moment.removesuffix("Z").split("T")
        index = 1 + bisect.bisect_right(ends, number)
        lines.append(f"{index},0.0,{date},{time},{latitude},{longitude},{float(speed) * 3.6:.3f}")
    return "\n".join([*lines, ""]).encode()


@pytest.mark.parametrize(
    ("rows_each", "kinds", "compared"),
    [
        ((410, 410, 410), ["TIMED", "TIMED", "TIMED", "IN"], {1, 2, 3}),
        ((100, 200, 600), ["TIMED"] * 4, set()),
    ],
)
def test_the_best_lap_and_the_deltas_are_of_laps_of_about_the_same_length(
    harness: Harness, rows_each: tuple[int, ...], kinds: list[str], compared: set[int]
) -> None:
    made = harness.finalised(with_laps(*rows_each))
    harness.drain()
    laps = harness.sql("SELECT * FROM telemetry_laps WHERE run_id = :id ORDER BY lap_number", id=made.run_id)
    assert [lap["kind"] for lap in laps] == kinds
    summary = harness.session(made)["summary"]
    assert summary["lapCount"] == 4
    deltas = [dataset for dataset in harness.datasets(made) if dataset["stream"] == "lap_delta"]
    if not compared:
        assert (summary["bestLapMs"], summary["bestLapNumber"], deltas) == (None, None, [])
        return
    assert summary["bestLapNumber"] in compared
    assert summary["bestLapMs"] > 30_000
    with harness.services.canonical.open(deltas[0]["storage_path"]) as stream:
        table = pq.read_table(pa.py_buffer(stream.read(1 << 24)))
    assert set(table.column("lap_number").to_pylist()) == compared
    said = json.loads(table.schema.metadata[b"telemetry"])
    assert said["bestLapNumber"] == summary["bestLapNumber"]
    facts = ("stream", "runId", "pipelineVersion", "sourceFormat", "timeBasis")
    assert [said[name] for name in facts] == ["lap_delta", str(made.run_id), PIPELINE_VERSION, "csv", "device_local"]


def test_laps_that_the_file_brings_become_rows(harness: Harness) -> None:
    third = (len(CSV.splitlines()) - 1) // 3
    made = harness.finalised(with_laps(third, third))
    harness.drain()
    session = harness.session(made)
    assert session["status"] == "READY"
    laps = harness.sql("SELECT * FROM telemetry_laps WHERE run_id = :id ORDER BY lap_number", id=made.run_id)
    assert len(laps) == 3
    assert session["summary"]["lapCount"] == len(laps)
    assert session["summary"]["bestLapMs"] == min(lap["duration_ms"] for lap in laps)
    for lap in laps:
        length = lap["end_time_utc"] - lap["start_time_utc"]
        assert lap["duration_ms"] == pytest.approx(length.total_seconds() * 1000) == pytest.approx(third * 100, abs=200)
        assert (lap["source"], lap["kind"]) == ("FILE", "TIMED")
        assert 0 < lap["distance_m"] < session["summary"]["distanceM"]
        assert lap["max_speed_mps"] > lap["distance_m"] / length.total_seconds() > 1
        assert lap["duration_uncertainty_ms"] == pytest.approx(COVERAGE * 100 / math.sqrt(6), rel=1e-6)
    assert [lap["lap_number"] for lap in laps] == list(range(1, len(laps) + 1))


def test_numbers_that_json_lacks_become_null(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    canonicalise = recording.canonicalise

    def with_nan(*arguments: Any, **named: Any) -> recording.Canonical:
        made = canonicalise(*arguments, **named)
        files = tuple(
            dataclasses.replace(file, quality={**file.quality, "jitterMs": math.nan, "note": "a\x00b\ud800"})
            for file in made.files
        )
        return dataclasses.replace(made, files=files)

    monkeypatch.setattr(recording, "canonicalise", with_nan)
    made = harness.finalised(CSV)
    harness.drain()
    assert harness.session(made)["status"] == "READY"
    assert harness.datasets(made)[0]["quality"]["jitterMs"] is None


@pytest.mark.parametrize("with_mine", [False, True])
def test_another_owners_artifact_in_the_payload_is_never_touched(harness: Harness, *, with_mine: bool) -> None:
    theirs = harness.upload(CSV, owner="somebody-else")
    mine = harness.finalised(CSV)
    harness.sql(
        """UPDATE telemetry_jobs SET payload = jsonb_build_object('artifactIds', to_jsonb(CAST(:ids AS text[])))
           WHERE run_id = :run""",
        ids=[str(theirs), *(str(one) for one in mine.artifact_ids[: 1 if with_mine else 0])],
        run=mine.run_id,
    )
    drained = harness.drain()
    assert drained.outcomes == {Outcome.RETRIED: 1}
    assert harness.artifact(theirs)["status"] == "UPLOADED"
    assert harness.artifacts(mine)[0]["status"] == "UPLOADED", "not some of the files that the job names"


def drain_one(harness: Harness) -> None:
    """Executes one job: the loop's second look at the clock finds less than half of its life left."""
    ticks = iter([LIFE_MS, LIFE_MS])
    drain(harness.services, lambda: next(ticks, LIFE_MS // 3))


def test_placeholder_times_stay_until_the_run_succeeds(harness: Harness) -> None:
    made = harness.finalised(CSV)
    for _ in range(3):
        drain_one(harness)
        session = harness.session(made)
        assert session["status"] == "PROCESSING"
        assert session["start_time_utc"] == session["end_time_utc"] == session["created_at"]
    drain_one(harness)
    assert harness.session(made)["end_time_utc"] < datetime.now(UTC)
    assert harness.session(made)["status"] == "READY"


def test_discarding_refuses_while_the_run_has_not_succeeded(harness: Harness) -> None:
    made = harness.finalised(CSV)
    harness.sql("UPDATE telemetry_jobs SET job_type = 'discard_raw' WHERE run_id = :id", id=made.run_id)
    with pytest.raises(TelemetryError, match="INTERNAL_ERROR"):
        raise_failure(harness)
    assert len(harness.raw_paths()) == 1


def raise_failure(harness: Harness) -> None:
    """Drains and raises what the job says went wrong."""
    harness.drain()
    (job,) = harness.sql("SELECT last_error_code FROM telemetry_jobs")
    if job["last_error_code"]:
        raise TelemetryError(Code(job["last_error_code"]))

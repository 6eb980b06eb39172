"""The janitor on real parts: what it takes away, and what it must leave."""

import os
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest

from telemetry import gate, janitor, queue, session_changes, sessions
from telemetry.database.queries import Query
from telemetry.domain.owner import Owner
from telemetry.domain.streams import LAP_DELTA
from telemetry.errors import Code, TelemetryError
from telemetry.janitor import Task, clean
from telemetry.pipeline import detect_laps
from telemetry.pipeline.drain import drain
from telemetry.services import Services
from telemetry.storage.local_path import serve_get
from telemetry.storage.paths import run_of_lap_delta, track_path
from tests.plugins.harness import LIFE_MS, OWNER, SAMPLES, TENANT, Finalised, Harness, with_settings

CSV = (SAMPLES / "sample_gnss_10hz.csv").read_bytes()
AN_HOUR = timedelta(hours=1)
NO_AGE = timedelta(seconds=-5)
# A lock that is waited for fails the test, instead of holding it up.
_IMPATIENT = Query("impatient", "Waits for no lock.", "SELECT set_config('lock_timeout', '500ms', false)")


def life() -> int:
    return LIFE_MS


def silent_worker(harness: Harness) -> queue.Job:
    """A job claimed by a worker that then fell silent for longer than a lease."""
    job = queue.claim(harness.database, "silent")
    assert job is not None
    harness.sql("UPDATE telemetry_jobs SET locked_at = now() - interval '1 day' WHERE id = :id", id=job.id)
    return job


def test_lapsed_lease_goes_back_to_the_queue_and_the_session_is_finished(harness: Harness) -> None:
    made = harness.finalised(CSV)
    silent_worker(harness)
    assert clean(harness.services, life, [Task.RESCUE]) == {Task.RESCUE: 1}
    (job,) = harness.jobs(made)
    assert (job["status"], job["attempt_count"], job["locked_by"]) == ("QUEUED", 1, None)
    assert job["next_retry_at"] is not None
    harness.hurry()
    harness.drain()
    assert harness.session(made)["status"] == "READY"


def test_three_silent_deaths_fail_run_and_session_with_worker_lost(harness: Harness) -> None:
    made = harness.finalised(CSV)
    for _ in range(3):
        silent_worker(harness)
        clean(harness.services, life, [Task.RESCUE])
        harness.hurry()
    assert harness.jobs(made)[0]["status"] == "FAILED"
    assert (harness.run(made)["status"], harness.run(made)["error_code"]) == ("FAILED", "WORKER_LOST")
    assert harness.session(made)["status"] == "FAILED"
    assert harness.artifacts(made)[0]["status"] == "UPLOADED"
    assert len(harness.raw_paths()) == 1
    assert harness.drain().outcomes == {}


def test_a_worker_within_its_lease_is_left_alone(harness: Harness) -> None:
    harness.finalised(CSV)
    job = queue.claim(harness.database, "busy")
    assert job is not None
    assert clean(harness.services, life, [Task.RESCUE]) == {Task.RESCUE: 0}
    queue.heartbeat(harness.database, job)


def test_rescue_of_a_lost_discard_leaves_the_session_ready(harness: Harness) -> None:
    made = harness.finalised(CSV)
    with pytest.MonkeyPatch.context() as broken:
        broken.setattr(harness.services.raw, "delete", _down)
        harness.drain()
    for _ in range(2):
        harness.hurry()
        silent_worker(harness)
        clean(harness.services, life, [Task.RESCUE])
    assert harness.jobs(made)[-1]["status"] == "FAILED"
    assert harness.session(made)["status"] == "READY"
    assert harness.run(made)["status"] == "SUCCEEDED"

    assert clean(harness.services, life, [Task.DISCARD_RETAINED]) == {Task.DISCARD_RETAINED: 1}
    assert harness.raw_paths() == set()
    assert harness.artifacts(made)[0]["status"] == "DISCARDED"


def test_uploads_never_finalised_expire_with_their_bytes(harness: Harness) -> None:
    late, fresh, finalised = harness.upload(CSV), harness.upload(CSV), harness.upload(CSV)
    missing = harness.upload(None, byte_size=3)
    made = harness.finalise(finalised)
    harness.sql(
        "UPDATE telemetry_artifacts SET expires_at = now() - interval '1 s' WHERE id = ANY (CAST(:ids AS uuid[]))",
        ids=[str(late), str(finalised), str(missing)],
    )
    assert clean(harness.services, life, [Task.EXPIRE_UPLOADS]) == {Task.EXPIRE_UPLOADS: 2}
    assert [harness.artifact(one)["status"] for one in (late, missing, fresh, finalised)] == [
        "EXPIRED",
        "EXPIRED",
        "UPLOADED",
        "UPLOADED",
    ]
    assert harness.raw_paths() == {harness.artifact(one)["storage_path"] for one in (fresh, finalised)}
    assert harness.session(made)["status"] == "PROCESSING"


def test_failed_raw_is_kept_until_its_retention_passes(harness: Harness) -> None:
    made = harness.sample("csv_no_time.csv")
    harness.drain()
    assert clean(harness.services, life, [Task.DISCARD_RETAINED]) == {Task.DISCARD_RETAINED: 0}
    _age(harness, made, "6 days")
    assert clean(harness.services, life, [Task.DISCARD_RETAINED]) == {Task.DISCARD_RETAINED: 0}
    assert len(harness.raw_paths()) == 1
    _age(harness, made, "8 days")
    assert clean(harness.services, life, [Task.DISCARD_RETAINED]) == {Task.DISCARD_RETAINED: 1}
    artifact = harness.artifacts(made)[0]
    assert (artifact["status"], artifact["discarded_at"] is None) == ("REJECTED", False)
    assert harness.raw_paths() == set()


def test_failed_raw_is_kept_from_the_end_of_the_latest_run(harness: Harness) -> None:
    made = harness.sample("csv_no_time.csv")
    harness.drain()
    _age(harness, made, "8 days")
    session_changes.retry_session(harness.services, Owner(OWNER, TENANT), made.session_id)
    harness.drain()
    assert harness.session(made)["status"] == "FAILED"
    assert clean(harness.services, life, [Task.DISCARD_RETAINED]) == {Task.DISCARD_RETAINED: 0}
    assert len(harness.raw_paths()) == 1


@pytest.mark.parametrize("table", ["telemetry_sessions", "telemetry_artifacts"])
def test_raw_that_somebody_holds_is_stepped_over(harness: Harness, table: str) -> None:
    """As a retry does, which needs the bytes."""
    made = harness.sample("csv_no_time.csv")
    harness.drain()
    _age(harness, made, "8 days")
    harness.database.run(_IMPATIENT)
    harness.sql("BEGIN")
    harness.sql(f"SELECT id FROM {table} FOR UPDATE")
    assert clean(harness.services, life, [Task.DISCARD_RETAINED]) == {Task.DISCARD_RETAINED: 0}
    harness.sql("ROLLBACK")
    assert clean(harness.services, life, [Task.DISCARD_RETAINED]) == {Task.DISCARD_RETAINED: 1}


def test_an_upload_that_is_being_finalised_is_stepped_over(harness: Harness) -> None:
    harness.upload(CSV)
    harness.sql("UPDATE telemetry_artifacts SET expires_at = now() - interval '1 s'")
    harness.database.run(_IMPATIENT)
    harness.sql("BEGIN")
    harness.sql("SELECT id FROM telemetry_artifacts FOR UPDATE")
    assert clean(harness.services, life, [Task.EXPIRE_UPLOADS]) == {Task.EXPIRE_UPLOADS: 0}
    harness.sql("ROLLBACK")
    assert clean(harness.services, life, [Task.EXPIRE_UPLOADS]) == {Task.EXPIRE_UPLOADS: 1}


def test_ready_raw_is_kept_for_its_days(harness: Harness) -> None:
    services = with_settings(harness, raw_retention_days=30)
    made = harness.finalised(CSV)
    drain(services, life)
    _age(harness, made, "29 days")
    assert clean(services, life, [Task.DISCARD_RETAINED]) == {Task.DISCARD_RETAINED: 0}
    _age(harness, made, "31 days")
    assert clean(services, life, [Task.DISCARD_RETAINED]) == {Task.DISCARD_RETAINED: 1}
    assert harness.artifacts(made)[0]["status"] == "DISCARDED"
    assert harness.raw_paths() == set()
    assert len(harness.canonical_paths()) >= 1


def test_raw_of_a_retry_at_work_is_never_discarded(harness: Harness) -> None:
    made = harness.sample("csv_no_time.csv")
    harness.drain()
    _age(harness, made, "8 days")
    harness.sql("UPDATE telemetry_sessions SET status = 'PROCESSING' WHERE id = :id", id=made.session_id)
    harness.start_run(made.session_id, *made.artifact_ids)
    assert clean(harness.services, life, [Task.DISCARD_RETAINED]) == {Task.DISCARD_RETAINED: 0}
    assert len(harness.raw_paths()) == 1


def test_raw_waiting_for_its_discard_job_is_left_to_it(harness: Harness) -> None:
    made = harness.finalised(CSV)
    with pytest.MonkeyPatch.context() as broken:
        broken.setattr(harness.services.raw, "delete", _down)
        harness.drain()
    assert harness.jobs(made)[-1]["status"] == "QUEUED"
    assert clean(harness.services, life, [Task.DISCARD_RETAINED]) == {Task.DISCARD_RETAINED: 0}


@pytest.mark.parametrize("listed", [1, janitor._LISTED])
def test_objects_that_no_row_wants_are_swept_on_both_stores(
    any_harness: Harness, monkeypatch: pytest.MonkeyPatch, listed: int
) -> None:
    harness = any_harness
    monkeypatch.setattr(janitor, "_LISTED", listed)
    ready, failed, waiting = harness.finalised(CSV), harness.sample("csv_no_time.csv"), harness.upload(CSV)
    harness.drain()
    orphan = harness.services.canonical.dataset_path(
        tenant_id=TENANT,
        session_id=str(ready.session_id),
        run_id=str(ready.run_id),
        artifact_id=str(ready.artifact_ids[0]),
        attempt=1,
        unique="lost",
        stream="gnss_pvt",
    )
    _put_canonical(harness, orphan)
    unknown = harness.services.raw.upload_path(TENANT, str(uuid4()))
    harness.store(unknown, b"nobody knows")
    kept_raw = {harness.artifacts(failed)[0]["storage_path"], harness.artifact(waiting)["storage_path"]}
    _put_canonical(harness, track_path(orphan))
    kept_canonical = harness.kept_paths(ready)
    sweeps = [Task.SWEEP_UPLOADS, Task.SWEEP_DATASETS]

    assert clean(harness.services, life, sweeps).total() == 0, "young objects may be about to be recorded"
    assert clean(harness.services, life, sweeps, safe_age=NO_AGE) == {Task.SWEEP_UPLOADS: 1, Task.SWEEP_DATASETS: 2}
    assert harness.raw_paths() == kept_raw
    assert harness.canonical_paths() == kept_canonical


def test_what_broken_off_writes_left_is_swept_once_no_upload_of_its_time_is_open(harness: Harness) -> None:
    """The janitor was killed between the row and the parts, a writer between the file and its place."""
    services = harness.services
    root = services.settings.local_storage.root
    begun = services.raw.begin_parts("uploads/x", content_type="text/csv")
    harness.store(f".parts/{begun}/1", CSV)
    incoming = root / ".incoming" / uuid4().hex
    incoming.write_bytes(CSV)
    parts = root / "raw/.parts" / begun
    now = harness.sql("SELECT extract(epoch FROM now())::float8 AS now")[0]["now"]
    hours = services.settings.upload_expiry_hours
    for age_h, swept in ((hours + 0.9, 0), (hours + 1.1, 2), (hours + 1.1, 0)):
        for left in (incoming, parts):
            if left.exists():
                os.utime(left, (now - age_h * 3600,) * 2)
        assert clean(services, life, [Task.SWEEP_UPLOADS]) == {Task.SWEEP_UPLOADS: swept}
        assert (incoming.exists(), parts.exists()) == (age_h < hours + 1,) * 2


def test_raw_bytes_revived_after_discard_are_deleted_again_at_once(harness: Harness) -> None:
    made = harness.finalised(CSV)
    harness.drain()
    path = harness.artifacts(made)[0]["storage_path"]
    harness.store(path, CSV)
    expired = harness.upload(CSV)
    harness.sql("UPDATE telemetry_artifacts SET expires_at = now() - interval '1 s' WHERE id = :id", id=expired)
    clean(harness.services, life, [Task.EXPIRE_UPLOADS])
    harness.store(harness.artifact(expired)["storage_path"], CSV)
    assert clean(harness.services, life, [Task.SWEEP_UPLOADS]) == {Task.SWEEP_UPLOADS: 2}
    assert harness.raw_paths() == set()


def test_recorded_files_of_a_running_and_of_a_ready_session_stay(harness: Harness) -> None:
    made = harness.finalised(CSV)
    with pytest.MonkeyPatch.context() as broken:
        broken.setattr(detect_laps, "find_laps", _down)
        harness.drain()
    assert harness.run(made)["status"] == "RUNNING"
    kept = harness.canonical_paths()
    assert kept == harness.kept_paths(made) != set()
    assert clean(harness.services, life, [Task.SWEEP_DATASETS], safe_age=NO_AGE) == {Task.SWEEP_DATASETS: 0}
    assert harness.canonical_paths() == kept

    harness.hurry()
    harness.drain()
    assert harness.session(made)["status"] == "READY"
    kept = harness.kept_paths(made)
    assert clean(harness.services, life, [Task.SWEEP_DATASETS], safe_age=NO_AGE) == {Task.SWEEP_DATASETS: 0}
    assert harness.canonical_paths() == kept
    harness.sql("DELETE FROM telemetry_sessions WHERE id = :id", id=made.session_id)
    assert clean(harness.services, life, [Task.SWEEP_DATASETS], safe_age=NO_AGE)[Task.SWEEP_DATASETS] == len(kept)
    assert harness.canonical_paths() == set()


def test_a_lap_delta_that_was_replaced_stays_while_its_address_is_valid(harness: Harness) -> None:
    made, me = harness.finalised(CSV), Owner(OWNER, TENANT)
    harness.drain()
    (old,) = [one for one in sessions.get_datasets(harness.services, me, made.session_id) if one.stream == LAP_DELTA]
    line = {"latitude1Deg": 1.0, "longitude1Deg": 1.0, "latitude2Deg": 1.1, "longitude2Deg": 1.1, "sectors": []}
    gate.set_gate(harness.services, me, made.session_id, line)
    harness.drain()
    kept = harness.kept_paths(made)
    (replaced,) = harness.canonical_paths() - kept
    assert replaced.endswith("lap_delta.parquet")
    assert run_of_lap_delta(replaced) == made.run_id
    lost = replaced.replace("lap_delta", "gnss_pvt")
    assert run_of_lap_delta(lost) is None
    _put_canonical(harness, lost)

    assert clean(harness.services, life, [Task.SWEEP_DATASETS], safe_age=NO_AGE) == {Task.SWEEP_DATASETS: 1}
    assert harness.canonical_paths() == {*kept, replaced}
    local, address = harness.services.settings.local_storage, urlsplit(old.download.url)
    assert serve_get(local, address.path.lstrip("/"), address.query).file.exists()

    valid_s = harness.services.settings.download_url_seconds + 60
    harness.sql("ALTER TABLE telemetry_jobs DISABLE TRIGGER USER")  # they keep updated_at
    harness.sql("UPDATE telemetry_jobs SET updated_at = now() - make_interval(secs => :s)", s=float(valid_s))
    assert clean(harness.services, life, [Task.SWEEP_DATASETS], safe_age=NO_AGE) == {Task.SWEEP_DATASETS: 1}
    assert harness.canonical_paths() == kept


@pytest.mark.parametrize(("worker_timeout_s", "kept_s", "swept_s"), [(60, 3500, 3700), (1940, 7900, 8100)])
def test_old_objects_are_swept_by_the_default_age(
    harness: Harness, worker_timeout_s: int, kept_s: int, swept_s: int
) -> None:
    """An hour, or four leases where that is more."""
    services = with_settings(harness, worker_timeout_s=worker_timeout_s)
    path = services.raw.upload_path(TENANT, str(uuid4()))
    harness.store(path, b"nobody knows")
    file = services.settings.local_storage.root / "raw" / path
    for age_s, swept in ((kept_s, 0), (swept_s, 1)):
        moment = harness.sql("SELECT extract(epoch FROM now())::float8 AS now")[0]["now"] - age_s
        os.utime(file, (moment, moment))
        assert clean(services, life, [Task.SWEEP_UPLOADS]) == {Task.SWEEP_UPLOADS: swept}
    services.database.close()


def test_batches_are_bounded_and_all_are_done(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    uploads = [harness.upload(CSV) for _ in range(5)]
    harness.sql("UPDATE telemetry_artifacts SET expires_at = now() - interval '1 s'")
    assert janitor.expire_uploads(harness.services, batch=2) == 2
    statuses = [harness.artifact(one)["status"] for one in uploads]
    assert statuses.count("EXPIRED") == 2
    assert clean(harness.services, life, [Task.EXPIRE_UPLOADS]) == {Task.EXPIRE_UPLOADS: 3}


def test_time_that_runs_out_ends_it_between_batches(harness: Harness) -> None:
    harness.upload(CSV)
    harness.sql("UPDATE telemetry_artifacts SET expires_at = now() - interval '1 s'")
    left = iter([1000])
    assert clean(harness.services, lambda: next(left, 100)) == {}
    assert clean(harness.services, life, [Task.EXPIRE_UPLOADS]) == {Task.EXPIRE_UPLOADS: 1}


@pytest.mark.parametrize("begin", ["first", "last", "beyond"])
def test_a_sweep_goes_once_around_from_any_place(
    any_harness: Harness, monkeypatch: pytest.MonkeyPatch, begin: str
) -> None:
    harness = any_harness
    monkeypatch.setattr(janitor, "_LISTED", 2)
    known = sorted(harness.upload(CSV) for _ in range(3))
    orphans = {harness.services.raw.upload_path(TENANT, str(UUID(int=number))) for number in (1, 2**128 - 1)}
    for path in orphans:
        harness.store(path, b"nobody knows")
    begin_at = {"first": UUID(int=0), "last": known[-1], "beyond": UUID(int=2**128 - 1)}[begin]
    assert janitor.sweep_uploads(harness.services, NO_AGE, lambda: True, begin_at) == 2
    assert harness.raw_paths() == {harness.artifact(one)["storage_path"] for one in known}


def test_sweeps_too_short_for_everything_still_reach_everything(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Orphans behind more objects than one pass gets through: each pass begins at another place."""
    monkeypatch.setattr(janitor, "_LISTED", 2)
    known = sorted(harness.upload(CSV) for _ in range(10))
    harness.store(harness.services.raw.upload_path("zz", str(UUID(int=1))), b"nobody knows")
    drawn = iter(known)
    monkeypatch.setattr(janitor, "uuid4", lambda: next(drawn))
    swept = [janitor.sweep_uploads(harness.services, NO_AGE, lambda: False) for _ in known]
    assert swept == [0] * 8 + [1, 0], "the pass that begins behind the last but one object gets to the orphan"
    assert len(harness.raw_paths()) == 10


def test_the_first_sweep_leaves_time_for_the_second(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(janitor, "_LISTED", 1)
    for number in range(4):
        harness.store(harness.services.raw.upload_path(TENANT, str(UUID(int=number))), b"nobody knows")
    _put_canonical(harness, "datasets/x/y/z/a/1-b/gnss_pvt.parquet")
    left = iter([1000, 1000, 1000, 1000, 550])
    sweeps = [Task.SWEEP_UPLOADS, Task.SWEEP_DATASETS]
    assert clean(harness.services, lambda: next(left, 500), sweeps, safe_age=NO_AGE) == {
        Task.SWEEP_UPLOADS: 2,
        Task.SWEEP_DATASETS: 1,
    }


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (TelemetryError(Code.STORAGE_UNAVAILABLE, "503"), "STORAGE_UNAVAILABLE"),
        (KeyError("51.1,-1.8"), "INTERNAL_ERROR"),
    ],
    ids=["foreseen", "unforeseen"],
)
def test_one_task_that_fails_keeps_no_other_from_running(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, error: Exception, code: str
) -> None:
    made = harness.finalised(CSV)
    silent_worker(harness)
    orphan = "datasets/x/y/z/a/1-b/gnss_pvt.parquet"
    _put_canonical(harness, orphan)

    def fail(*_: object, **__: object) -> Any:
        raise error

    monkeypatch.setattr(harness.services.raw, "list", fail)
    with pytest.raises(TelemetryError, match=code) as caught:
        clean(harness.services, life, safe_age=NO_AGE)
    assert "51.1" not in str(caught.value)
    assert harness.jobs(made)[0]["status"] == "QUEUED"
    assert harness.canonical_paths() == set()


def test_two_janitors_share_the_work(harness: Harness) -> None:
    finalised = [harness.finalised(CSV + b"\n" * number) for number in range(10)]
    for _ in finalised:
        silent_worker(harness)
    harness.sql("UPDATE telemetry_jobs SET attempt_count = 3")
    uploads = [harness.upload(CSV) for _ in range(20)]
    harness.sql("UPDATE telemetry_artifacts SET expires_at = now() - interval '1 s' WHERE session_id IS NULL")
    handled, failures = [], []

    def work() -> None:
        services = Services(harness.services.settings)
        try:
            for _ in range(30):
                handled.append(janitor.rescue(services, batch=1) + janitor.expire_uploads(services, batch=1))
        except Exception as error:
            failures.append(error)
        services.database.close()

    janitors = [threading.Thread(target=work, daemon=True) for _ in range(2)]
    for one in janitors:
        one.start()
    for one in janitors:
        one.join(60)
    assert not any(one.is_alive() for one in janitors)
    assert failures == []
    assert sum(handled) == 30
    assert {harness.run(one)["error_code"] for one in finalised} == {"WORKER_LOST"}
    assert {harness.artifact(one)["status"] for one in uploads} == {"EXPIRED"}


@pytest.fixture(params=["harness", "s3_harness"])
def any_harness(request: pytest.FixtureRequest) -> Harness:
    """The same over both backends."""
    harness: Harness = request.getfixturevalue(request.param)
    return harness


def _down(*_: object, **__: object) -> Any:
    raise TelemetryError(Code.STORAGE_UNAVAILABLE, "503")


def _age(harness: Harness, made: Finalised, age: str) -> None:
    """Makes the run have finished `age` ago."""
    harness.sql(
        "UPDATE telemetry_processing_runs SET finished_at = now() - CAST(:age AS interval) WHERE id = :id",
        age=age,
        id=made.run_id,
    )


def _put_canonical(harness: Harness, path: str) -> None:
    raw = harness.services.raw
    put: Callable[..., None] = harness.services.canonical.put_file
    with pytest.MonkeyPatch.context() as swap:
        swap.setattr(raw, "put_file", put)
        harness.store(path, b"PAR1")

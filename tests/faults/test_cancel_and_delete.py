"""Cancel while running; delete while running: fenced, CANCELLED; nothing left behind."""

import threading
from collections.abc import Callable

import pytest

from telemetry import queue, session_changes
from telemetry.database.queries import Query, load
from telemetry.domain.owner import Owner
from telemetry.errors import Code, TelemetryError
from telemetry.janitor import Task, clean
from telemetry.pipeline.failure import record_failure
from telemetry.services import Services
from telemetry.uploads import start_run
from tests.faults.conftest import at_rest
from tests.faults.worker_pool import NO_AGE, WorkerPool, wait_until
from tests.plugins.harness import LIFE_MS, OWNER, SAMPLES, TENANT
from tests.plugins.postgres import connect

CSV = (SAMPLES / "sample_gnss_10hz.csv").read_bytes()
ME = Owner(OWNER, TENANT)
STEPS = [
    "after_claim@artifact_validate",
    "before_parquet_put@parse_raw",
    "after_parquet_put@parse_raw",
    "after_claim@detect_laps",
]


@pytest.mark.parametrize("failpoint", STEPS)
def test_cancel_while_running(pool: WorkerPool, failpoint: str) -> None:
    made = pool.harness.finalised(CSV)
    worker = pool.stopped_at(failpoint)
    session_changes.cancel_session(pool.harness.services, ME, made.session_id)
    worker.go_on()
    worker.wait_done()
    assert worker.outcomes()["lost"] == 1
    at_rest(pool)
    assert pool.harness.session(made)["status"] == pool.harness.run(made)["status"] == "CANCELLED"
    assert pool.harness.jobs(made)[-1]["status"] == "CANCELLED"
    assert pool.harness.datasets(made) == []
    assert pool.harness.canonical_paths() == set()
    assert len(pool.harness.raw_paths()) == 1, "until its retention has passed"
    pool.harness.sql("UPDATE telemetry_processing_runs SET finished_at = now() - interval '8 days'")
    clean(pool.harness.services, lambda: LIFE_MS, [Task.DISCARD_RETAINED])
    at_rest(pool)
    assert pool.harness.raw_paths() == set()


@pytest.mark.parametrize("failpoint", [*STEPS, "after_raw_delete@discard_raw"])
def test_delete_while_running(pool: WorkerPool, failpoint: str) -> None:
    made = pool.harness.finalised(CSV)
    worker = pool.stopped_at(failpoint)
    session_changes.delete_session(pool.harness.services, ME, made.session_id)
    worker.go_on()
    worker.wait_done()
    assert worker.outcomes()["lost"] == 1
    for table in ("sessions", "processing_runs", "jobs", "datasets", "laps", "artifacts"):
        assert pool.harness.sql(f"SELECT * FROM telemetry_{table}") == []
    at_rest(pool)
    assert pool.harness.raw_paths() == pool.harness.canonical_paths() == set()


def test_delete_of_a_worker_that_puts_its_file_afterwards_leaves_an_orphan_that_is_swept(pool: WorkerPool) -> None:
    made = pool.harness.finalised(CSV)
    worker = pool.stopped_at("before_parquet_put@parse_raw")
    session_changes.delete_session(pool.harness.services, ME, made.session_id)
    worker.go_on()
    worker.wait_done()
    assert pool.harness.canonical_paths() != set()
    assert clean(pool.harness.services, lambda: LIFE_MS, [Task.SWEEP_DATASETS]).total() == 0, "too young to judge"
    clean(pool.harness.services, lambda: LIFE_MS, [Task.SWEEP_DATASETS], safe_age=NO_AGE)
    assert pool.harness.canonical_paths() == set()


def test_a_delete_that_a_retry_overtakes_never_deadlocks(pool: WorkerPool) -> None:
    """The retry's new run is there when the delete comes to the session, and a worker is about to complete its job."""
    harness = pool.harness
    made = harness.finalise(harness.upload(CSV), harness.upload(CSV + b"\n"))
    job = queue.claim(harness.database, "test")
    assert job is not None
    record_failure(harness.database, job, TelemetryError(Code.CSV_MALFORMED, "line 1"))
    others = [Services(harness.services.settings) for _ in range(2)]
    errors: list[Exception] = []

    def start(act: Callable[[], object]) -> threading.Thread:
        def attempt() -> None:
            try:
                act()
            except Exception as error:
                errors.append(error)

        thread = threading.Thread(target=attempt, daemon=True)
        thread.start()
        return thread

    def wait_for_one_behind(pid: int) -> None:
        behind = "SELECT pid FROM pg_stat_activity WHERE :pid = ANY (pg_blocking_pids(pid))"
        wait_until(lambda: harness.sql(behind, pid=pid), "somebody waits")

    def complete(taken: queue.Job) -> None:
        with harness.database.transaction() as transaction:
            queue.complete_and_claim(transaction, taken)
            transaction.run(load("pipeline")["start_run"], run_id=taken.run_id)
            transaction.run(load("pipeline")["fail_session"], session_id=made.session_id)

    with connect(harness.services.settings.database) as holder:
        holder.run("BEGIN")
        holder.run("SELECT id FROM telemetry_artifacts WHERE id = :id FOR UPDATE", id=made.artifact_ids[1])
        with others[0].database.transaction() as retry:
            retry.run(load("sessions")["reopen_session"], id=made.session_id, owner_user_id=OWNER)
            start_run(retry, made.session_id, made.artifact_ids)
            (backend,) = retry.run(Query("backend", "Who asks.", "SELECT pg_backend_pid() AS pid"))
            threads = [start(lambda: session_changes.delete_session(others[1], ME, made.session_id))]
            wait_for_one_behind(backend["pid"])
        wait_for_one_behind(holder.run("SELECT pg_backend_pid()")[0][0])
        taken = queue.claim(harness.database, "test")
        if taken is not None:
            threads.append(start(lambda: complete(taken)))
            wait_until(lambda: len(harness.sql("SELECT pid FROM pg_locks WHERE NOT granted")) > 1, "it waits as well")
        holder.run("ROLLBACK")
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    for services in others:
        services.database.close()
    assert errors == []
    for table in ("sessions", "processing_runs", "jobs", "artifacts"):
        assert harness.sql(f"SELECT * FROM telemetry_{table}") == []


def test_a_cancelled_session_stays_so(pool: WorkerPool) -> None:
    made = pool.harness.finalised(CSV)
    session_changes.cancel_session(pool.harness.services, ME, made.session_id)
    pool.start().wait_done()
    with pytest.raises(TelemetryError, match="SESSION_STATE_CONFLICT"):
        session_changes.retry_session(pool.harness.services, ME, made.session_id)
    at_rest(pool)
    assert pool.harness.session(made)["status"] == "CANCELLED"

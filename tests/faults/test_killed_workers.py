"""kill -9 after claim; before/after Parquet PUT; inside the completing transaction; after commit, before the SQS ack;
between raw DELETE and its commit."""

import hashlib
from pathlib import Path

import pytest

from tests.faults.conftest import at_rest
from tests.faults.invariants import violations
from tests.faults.worker_pool import WorkerPool
from tests.plugins.harness import SAMPLES

CSV = (SAMPLES / "sample_gnss_10hz.csv").read_bytes()
SOURCES = {hashlib.sha256(CSV).hexdigest(): CSV}


@pytest.mark.parametrize(
    "failpoint",
    [
        "after_claim@artifact_validate",
        "after_claim@parse_raw",
        "before_parquet_put@parse_raw",
        "after_parquet_put@parse_raw",
        "in_completing_transaction@artifact_validate",
        "in_completing_transaction@artifact_classify",
        "in_completing_transaction@parse_raw",
        "in_completing_transaction@detect_laps",
        "after_commit@parse_raw",
        "after_commit@detect_laps",
        "after_raw_delete@discard_raw",
        "in_completing_transaction@discard_raw",
    ],
)
def test_kill_9_at_any_step(pool: WorkerPool, failpoint: str) -> None:
    made = pool.harness.finalised(CSV)
    pool.stopped_at(failpoint).kill()
    assert violations(pool.harness, settled=False) == []
    pool.lapse()
    at_rest(pool, SOURCES)
    assert pool.harness.session(made)["status"] == "READY"
    assert pool.harness.artifacts(made)[0]["status"] == "DISCARDED"
    assert pool.harness.raw_paths() == set()


def test_kill_9_over_s3_with_nobody_helping(s3_pool: WorkerPool) -> None:
    """The lease passes by itself, and what the dead worker wrote is swept."""
    made = s3_pool.harness.finalised(CSV)
    s3_pool.stopped_at("after_parquet_put@parse_raw").kill()
    orphans = s3_pool.harness.canonical_paths()
    assert orphans
    at_rest(s3_pool, SOURCES)
    assert s3_pool.harness.session(made)["status"] == "READY"
    assert s3_pool.harness.canonical_paths().isdisjoint(orphans)


def test_what_killed_workers_leave_on_the_disk_goes_and_what_others_work_on_stays(
    pool: WorkerPool, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    shared = {"TMPDIR": str(disk)}
    first = pool.harness.finalised(CSV)
    pool.stopped_at("before_parquet_put@parse_raw", environment=shared).kill()
    (left_behind,) = disk.iterdir()
    assert list(left_behind.iterdir())
    second = pool.harness.finalised(CSV + b"\n", "second.csv")
    busy = pool.stopped_at("before_parquet_put@parse_raw", environment=shared)
    (in_use,) = disk.iterdir()
    assert in_use != left_behind
    pool.start(environment=shared).wait_done()
    assert list(disk.iterdir()) == [in_use]
    busy.go_on()
    busy.wait_done()
    assert list(disk.iterdir()) == []
    assert pool.harness.session(second)["status"] == "READY"
    pool.lapse()
    at_rest(pool)
    assert pool.harness.session(first)["status"] == "READY"


def test_the_invariants_see_what_is_missing(pool: WorkerPool) -> None:
    """The check itself: it names each kind of loss that is put before it."""
    harness = pool.harness
    made = harness.finalised(CSV)
    harness.drain()
    assert violations(harness, sources=SOURCES) == []
    path = harness.datasets(made)[0]["storage_path"]
    harness.sql("UPDATE telemetry_datasets SET sha256 = repeat('0', 64) WHERE stream = 'gnss_pvt'")
    assert {one[0] for one in violations(harness, sources=SOURCES)} == {"C", "H"}
    harness.services.canonical.delete(path)
    assert any("has no object" in one for one in violations(harness))
    harness.sql("UPDATE telemetry_sessions SET owner_user_id = 'a stranger'")
    assert {one[0] for one in violations(harness)} == {"C", "F"}
    waiting = harness.finalised(CSV + b"\n")
    assert {one[0] for one in violations(harness, objects=False)} == {"E", "F"}
    harness.services.raw.delete(harness.artifacts(waiting)[0]["storage_path"])
    assert any(one.startswith("D") for one in violations(harness, settled=False))
    harness.sql("DELETE FROM telemetry_jobs WHERE run_id = :run", run=waiting.run_id)
    assert any("live jobs []" in one for one in violations(harness, settled=False))
    harness.sql("ALTER TABLE telemetry_sessions DISABLE TRIGGER telemetry_sessions_transition")
    harness.sql("UPDATE telemetry_sessions SET status = 'PROCESSING' WHERE id = :id", id=made.session_id)
    assert any("went from READY" in one for one in violations(harness, settled=False))

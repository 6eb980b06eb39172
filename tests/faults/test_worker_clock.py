"""A worker whose clock is an hour off: only the database's clock counts."""

import hashlib

import pytest

from tests.faults.conftest import at_rest
from tests.faults.worker_pool import WorkerPool
from tests.plugins.harness import SAMPLES

CSV = (SAMPLES / "sample_gnss_10hz.csv").read_bytes()
SOURCES = {hashlib.sha256(CSV).hexdigest(): CSV}
AN_HOUR = 3600.0


@pytest.mark.parametrize("clock_s", [AN_HOUR, -AN_HOUR], ids=["an hour ahead", "an hour behind"])
def test_a_worker_whose_clock_is_an_hour_off(pool: WorkerPool, clock_s: float) -> None:
    made, broken = pool.harness.finalised(CSV), pool.harness.finalised(CSV + b"\n")
    pool.harness.services.raw.delete(pool.harness.artifacts(broken)[0]["storage_path"])
    (pool.harness.services.settings.local_storage.root / "raw").chmod(0o700)
    worker = pool.start(clock_s=clock_s)
    worker.wait_done()
    assert pool.harness.session(made)["status"] == "READY"
    rows = pool.harness.sql(
        """SELECT abs(extract(epoch FROM now() - updated_at)) AS off_s FROM telemetry_jobs
           UNION ALL SELECT abs(extract(epoch FROM now() - finished_at)) FROM telemetry_processing_runs"""
    )
    assert max(row["off_s"] for row in rows) < 60
    assert pool.harness.session(broken)["status"] == "FAILED"


@pytest.mark.parametrize("clock_s", [AN_HOUR, -AN_HOUR], ids=["an hour ahead", "an hour behind"])
def test_its_lease_and_its_retries_are_the_databases(pool: WorkerPool, clock_s: float) -> None:
    made = pool.harness.finalised(CSV)
    worker = pool.stopped_at("after_claim@parse_raw", clock_s=clock_s)
    assert pool.rescue() == 0, "its lease is fresh"
    worker.kill()
    pool.lapse()
    assert pool.rescue() == 1
    pool.harness.hurry()
    finishing = pool.start(clock_s=clock_s)
    finishing.wait_done()
    assert finishing.outcomes() == {"succeeded": 3}, "a job is due when the database says so"
    assert pool.harness.session(made)["status"] == "READY"
    at_rest(pool, SOURCES)

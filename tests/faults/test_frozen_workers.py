"""SIGSTOP longer than the lease, then SIGCONT; stale FAIL after a newer success; rescue while a completion is open.

And the proof that the fence is what holds: without it the same scenes break the invariants.
"""

import hashlib

import pytest

from telemetry import queue
from tests.faults.conftest import at_rest
from tests.faults.invariants import violations
from tests.faults.worker_pool import Worker, WorkerPool
from tests.plugins.harness import SAMPLES

CSV = (SAMPLES / "sample_gnss_10hz.csv").read_bytes()
SOURCES = {hashlib.sha256(CSV).hexdigest(): CSV}


@pytest.mark.parametrize(
    "failpoint",
    [
        "after_claim@artifact_validate",
        "before_parquet_put@parse_raw",
        "after_parquet_put@parse_raw",
        "after_claim@detect_laps",
        "after_raw_delete@discard_raw",
    ],
)
def test_frozen_for_longer_than_its_lease_while_another_finishes(pool: WorkerPool, failpoint: str) -> None:
    made = pool.harness.finalised(CSV)
    frozen = pool.stopped_at(failpoint)
    pool.lapse()
    at_rest(pool, SOURCES)
    before = pool.harness.jobs(made), pool.harness.datasets(made)
    assert pool.harness.session(made)["status"] == "READY"
    frozen.go_on()
    frozen.wait_done()
    assert frozen.outcomes()["lost"] == 1
    assert (pool.harness.jobs(made), pool.harness.datasets(made)) == before
    at_rest(pool, SOURCES)


def test_frozen_for_longer_than_its_lease_while_another_is_at_it(pool: WorkerPool) -> None:
    made = pool.harness.finalised(CSV)
    stale, newer = _two_at_the_same_job(pool)
    stale.go_on()
    stale.wait_done()
    assert stale.outcomes()["lost"] == 1
    assert pool.harness.jobs(made)[-1]["status"] == "RUNNING", "the newer attempt's"
    newer.go_on()
    newer.wait_done()
    assert newer.outcomes() == {"succeeded": 3}
    at_rest(pool, SOURCES)
    assert pool.harness.session(made)["status"] == "READY"


def test_frozen_for_real_until_the_lease_has_passed(pool: WorkerPool) -> None:
    """No hand on the clock: a lease of a second, a freeze in the midst of the work, a janitor."""
    made = pool.harness.finalised(CSV)
    frozen = pool.stopped_at("before_parquet_put@parse_raw", lease_s=1)
    at_rest(pool, SOURCES)
    frozen.go_on()
    frozen.wait_done()
    assert frozen.outcomes()["lost"] == 1
    at_rest(pool, SOURCES)
    assert pool.harness.session(made)["status"] == "READY"


def test_stale_fail_after_a_newer_success(pool: WorkerPool) -> None:
    """Its life is over when it wakes, so it means to fail the job with PROCESSING_TIMEOUT."""
    made = pool.harness.finalised(CSV)
    frozen = pool.stopped_at("after_parquet_put@parse_raw", ends_at_failpoint=True)
    pool.lapse()
    pool.settle()
    frozen.go_on()
    frozen.wait_done()
    assert frozen.outcomes()["lost"] == 1
    assert pool.harness.session(made)["status"] == "READY"
    assert pool.harness.run(made)["error_code"] is None
    at_rest(pool, SOURCES)


@pytest.mark.parametrize("job_type", ["parse_raw", "detect_laps"])
def test_rescue_while_a_completion_is_open(pool: WorkerPool, job_type: str) -> None:
    made = pool.harness.finalised(CSV)
    completing = pool.stopped_at(f"in_completing_transaction@{job_type}")
    assert queue.rescue(pool.harness.database, lease_s=0) == [], "stepped over, not waited for"
    completing.go_on()
    completing.wait_done()
    assert completing.outcomes() == {"succeeded": 5}
    at_rest(pool, SOURCES)
    assert [job["attempt_count"] for job in pool.harness.jobs(made)] == [1] * 5


def test_without_the_fence_the_invariants_break(pool: WorkerPool) -> None:
    pool.harness.finalised(CSV)
    stale, newer = _two_at_the_same_job(pool, fenced=False)
    stale.go_on()
    stale.wait_done()
    assert stale.outcomes()["lost"] == 0
    newer.go_on()
    newer.wait_done()
    pool.settle()
    assert any("was not written by attempt [2]" in one for one in violations(pool.harness))


def test_without_the_fence_a_stale_fail_ends_the_session_under_another_worker(pool: WorkerPool) -> None:
    made = pool.harness.finalised(CSV)
    stale, newer = _two_at_the_same_job(pool, fenced=False, ends_at_failpoint=True)
    stale.go_on()
    stale.wait_done()
    assert pool.harness.session(made)["status"] == "FAILED"
    assert pool.harness.run(made)["error_code"] == "PROCESSING_TIMEOUT"
    newer.kill()


def test_with_the_fence_a_stale_fail_ends_nothing(pool: WorkerPool) -> None:
    """The same scene as before."""
    made = pool.harness.finalised(CSV)
    stale, newer = _two_at_the_same_job(pool, ends_at_failpoint=True)
    stale.go_on()
    stale.wait_done()
    assert stale.outcomes()["lost"] == 1
    assert pool.harness.session(made)["status"] == "PROCESSING"
    newer.go_on()
    newer.wait_done()
    at_rest(pool, SOURCES)
    assert pool.harness.session(made)["status"] == "READY"


def _two_at_the_same_job(
    pool: WorkerPool, *, fenced: bool = True, ends_at_failpoint: bool = False
) -> tuple[Worker, Worker]:
    """A worker frozen past its lease after its PUT, and the one that was given the job since, stopped there as well."""
    stale = pool.stopped_at("after_parquet_put@parse_raw", fenced=fenced, ends_at_failpoint=ends_at_failpoint)
    pool.lapse()
    assert pool.rescue() == 1
    pool.harness.hurry()
    newer = pool.stopped_at("after_parquet_put@parse_raw", fenced=fenced)
    return stale, newer

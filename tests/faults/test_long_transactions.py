"""One transaction left open for an hour; a million finished jobs: claim time stays bounded.

The hour is what the open transaction costs: dead versions that no vacuum may take away. The short form has ten
thousand finished jobs; FAULTS_LONG=1 makes it a million.
"""

import os
import statistics
import time

import pytest

from telemetry import queue
from tests.faults.conftest import at_rest
from tests.faults.worker_pool import WorkerPool
from tests.plugins.harness import SAMPLES
from tests.plugins.postgres import connect

CSV = (SAMPLES / "sample_gnss_10hz.csv").read_bytes()
FINISHED = 1_000_000 if os.environ.get("FAULTS_LONG") else 10_000
CLAIMS = 400


@pytest.mark.parametrize("open_transaction", [False, True], ids=["vacuum may work", "a transaction left open"])
def test_claim_time_stays_bounded(pool: WorkerPool, open_transaction: bool) -> None:
    empty = _median_claim_s(pool)
    batch = min(FINISHED, 50_000)
    for _ in range(0, FINISHED, batch):  # each within a statement's time
        pool.harness.sql(
            """INSERT INTO telemetry_jobs (run_id, job_type, payload, status, attempt_count, created_at)
               SELECT (SELECT id FROM telemetry_processing_runs LIMIT 1), 'discard_raw', '{}', 'SUCCEEDED', 1,
                      now() - make_interval(secs => n)
               FROM generate_series(1, :count) AS n""",
            count=batch,
        )
    pool.harness.sql("ANALYZE telemetry_jobs")
    with connect(pool.harness.services.settings.database) as idle:
        if open_transaction:
            idle.run("BEGIN ISOLATION LEVEL REPEATABLE READ")
            idle.run("SELECT count(*) FROM telemetry_jobs")
        full = _median_claim_s(pool)
        idle.run("ROLLBACK")
    # Five times what an empty table takes: a scan of ten thousand rows takes thirty times as long.
    assert full < 5 * empty + 0.002, f"{empty * 1e3:.2f} ms empty, {full * 1e3:.2f} ms"


def test_a_transaction_left_open_holds_nobody_up(pool: WorkerPool) -> None:
    made = pool.harness.finalised(CSV)
    with connect(pool.harness.services.settings.database) as idle:
        idle.run("BEGIN ISOLATION LEVEL REPEATABLE READ")
        idle.run("SELECT count(*) FROM telemetry_jobs")
        at_rest(pool)
        assert pool.harness.session(made)["status"] == "READY"
        idle.run("ROLLBACK")


def _median_claim_s(pool: WorkerPool) -> float:
    """Of completions that each claim the next, as a worker's do, over a queue of waiting runs."""
    harness = pool.harness
    harness.sql(
        """WITH made AS (
               INSERT INTO telemetry_sessions (tenant_id, owner_user_id, name)
               SELECT 't', 'o', 'load' FROM generate_series(1, :count) RETURNING id
           ), runs AS (
               INSERT INTO telemetry_processing_runs (session_id, pipeline_version)
               SELECT id, '1' FROM made RETURNING id
           )
           INSERT INTO telemetry_jobs (run_id, job_type, payload) SELECT id, 'parse_raw', '{}' FROM runs""",
        count=CLAIMS + 1,
    )
    taken = []
    claims = queue.Claims("load")
    job = claims.take(harness.database)
    assert job is not None
    for _ in range(CLAIMS):
        begun = time.perf_counter()
        job = queue.complete_and_claim(harness.database, job, wanted=claims.next())
        taken.append(time.perf_counter() - begun)
        assert job is not None
        claims.took(job)
    queue.complete_and_claim(harness.database, job)
    return statistics.median(taken)

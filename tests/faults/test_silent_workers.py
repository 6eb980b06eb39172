"""Three silent out-of-memory deaths; a parser that hangs while a timer thread still beats: FAILED with a code, raw
kept. And a job that does not fit into one worker's life."""

from functools import partial

from tests.faults.conftest import at_rest
from tests.faults.worker_pool import Worker, WorkerPool, wait_until
from tests.plugins.harness import SAMPLES

CSV = (SAMPLES / "sample_gnss_10hz.csv").read_bytes()


def test_three_silent_deaths(pool: WorkerPool) -> None:
    made = pool.harness.finalised(CSV)
    for _ in range(3):
        pool.start(parser="dies").wait_done()
        pool.lapse()
        assert pool.rescue() == 1
        pool.harness.hurry()
    assert pool.harness.session(made)["status"] == "FAILED"
    assert pool.harness.run(made)["error_code"] == "WORKER_LOST"
    assert pool.harness.jobs(made)[-1]["attempt_count"] == 3
    assert len(pool.harness.raw_paths()) == 1
    assert pool.harness.artifacts(made)[0]["status"] == "CLASSIFIED", "the file is not to blame"
    at_rest(pool)


def test_a_parser_that_hangs_while_a_timer_thread_still_beats(pool: WorkerPool) -> None:
    made = pool.harness.finalised(CSV)
    hanging = []
    for attempt in (1, 2, 3):
        worker = pool.start(parser="hangs", lease_s=1)
        hanging.append(worker)
        wait_until(partial(_ticks, worker), "the thread beats")
        assert pool.harness.jobs(made)[-1]["attempt_count"] == attempt
        wait_until(lambda: _lapsed(pool), "its lease passes all the same")
        pool.lapse()
        pool.rescue()
        pool.harness.hurry()
    assert all(worker.alive for worker in hanging)
    assert pool.harness.run(made)["error_code"] == "WORKER_LOST"
    assert pool.harness.session(made)["status"] == "FAILED"
    assert len(pool.harness.raw_paths()) == 1
    at_rest(pool)


def test_more_than_one_life_of_work_ends_and_does_not_loop(pool: WorkerPool) -> None:
    """The job had a worker's whole life, and no later one will be longer."""
    made = pool.harness.finalised(CSV)
    worker = pool.stopped_at("after_claim@parse_raw", ends_at_failpoint=True)
    worker.go_on()
    worker.wait_done()
    assert worker.outcomes() == {"succeeded": 2, "failed": 1}
    job = pool.harness.jobs(made)[-1]
    assert (job["status"], job["attempt_count"], job["last_error_code"]) == ("FAILED", 1, "PROCESSING_TIMEOUT")
    assert pool.harness.session(made)["status"] == "FAILED"
    assert len(pool.harness.raw_paths()) == 1
    at_rest(pool)


def _ticks(worker: Worker) -> bool:
    return worker.text().count("tick") > 3


def _lapsed(pool: WorkerPool) -> bool:
    rows = pool.harness.sql(
        """SELECT id FROM telemetry_jobs
           WHERE status = 'RUNNING' AND locked_at < clock_timestamp() - interval '1 second'"""
    )
    return bool(rows)

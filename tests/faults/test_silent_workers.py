"""Three silent out-of-memory deaths; a parser that hangs while a timer thread still beats: FAILED with a code, raw
kept. And a job that does not fit into one worker's life."""

from functools import partial

from tests.faults.conftest import at_rest
from tests.faults.crew import Crew, Worker, wait_until
from tests.house import SAMPLES

CSV = (SAMPLES / "sample_gnss_10hz.csv").read_bytes()


def test_three_silent_deaths(crew: Crew) -> None:
    made = crew.house.finalised(CSV)
    for _ in range(3):
        crew.start(parser="dies").wait_done()
        crew.lapse()
        assert crew.rescue() == 1
        crew.house.hurry()
    assert crew.house.session(made)["status"] == "FAILED"
    assert crew.house.run(made)["error_code"] == "WORKER_LOST"
    assert crew.house.jobs(made)[-1]["attempt_count"] == 3
    assert len(crew.house.raw_paths()) == 1
    assert crew.house.artifacts(made)[0]["status"] == "CLASSIFIED", "the file is not to blame"
    at_rest(crew)


def test_a_parser_that_hangs_while_a_timer_thread_still_beats(crew: Crew) -> None:
    made = crew.house.finalised(CSV)
    hanging = []
    for attempt in (1, 2, 3):
        worker = crew.start(parser="hangs", lease_s=1)
        hanging.append(worker)
        wait_until(partial(_ticks, worker), "the thread beats")
        assert crew.house.jobs(made)[-1]["attempt_count"] == attempt
        wait_until(lambda: _lapsed(crew), "its lease passes all the same")
        crew.lapse()
        crew.rescue()
        crew.house.hurry()
    assert all(worker.alive for worker in hanging)
    assert crew.house.run(made)["error_code"] == "WORKER_LOST"
    assert crew.house.session(made)["status"] == "FAILED"
    assert len(crew.house.raw_paths()) == 1
    at_rest(crew)


def test_more_than_one_life_of_work_ends_and_does_not_loop(crew: Crew) -> None:
    """The job had a worker's whole life, and no later one will be longer."""
    made = crew.house.finalised(CSV)
    worker = crew.stopped_at("after_claim@parse_raw", ends_at_failpoint=True)
    worker.go_on()
    worker.wait_done()
    assert worker.outcomes() == {"succeeded": 2, "failed": 1}
    job = crew.house.jobs(made)[-1]
    assert (job["status"], job["attempt_count"], job["last_error_code"]) == ("FAILED", 1, "PROCESSING_TIMEOUT")
    assert crew.house.session(made)["status"] == "FAILED"
    assert len(crew.house.raw_paths()) == 1
    at_rest(crew)


def _ticks(worker: Worker) -> bool:
    return worker.text().count("tick") > 3


def _lapsed(crew: Crew) -> bool:
    rows = crew.house.sql(
        """SELECT id FROM telemetry_jobs
           WHERE status = 'RUNNING' AND locked_at < clock_timestamp() - interval '1 second'"""
    )
    return bool(rows)

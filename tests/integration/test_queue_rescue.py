"""Jobs that nobody works on any more: rescued after their lease, or cancelled with their run."""

import threading
import time
from datetime import timedelta

from telemetry import queue
from telemetry.database.connection import Database
from telemetry.domain.backoff import backoff
from telemetry.domain.states import JobStatus, JobType
from telemetry.settings import DatabaseSettings
from tests.integration.queue_jobs import age, claimed, make_due, new_job, new_run, query, row_of
from tests.plugins.postgres import connect


def test_only_jobs_past_their_lease_are_rescued(database: Database) -> None:
    lost, alive = new_job(database, artifactIds=["a"]), new_job(database)
    job = claimed(database)
    claimed(database)
    age(database, job, 61)
    (rescued_job,) = queue.rescue(database, 60)
    assert (rescued_job.id, rescued_job.run_id, rescued_job.job_type) == (lost, job.run_id, JobType.PARSE_RAW)
    assert (rescued_job.status, rescued_job.attempt_count) == (JobStatus.QUEUED, 1)
    assert rescued_job.payload == {"artifactIds": ["a"]}
    row = row_of(database, lost)
    assert (row["status"], row["last_error_code"], row["locked_by"]) == ("QUEUED", "WORKER_LOST", None)
    assert row["last_error_message"] == "no sign of life for 60 s"
    assert row["next_retry_at"] == rescued_job.next_retry_at
    now = database.run(query("SELECT now() AS now"))[0]["now"]
    assert timedelta() < row["next_retry_at"] - now <= backoff(1, 1.0)
    assert row_of(database, alive)["status"] == "RUNNING"
    assert queue.rescue(database, 60) == []


def test_three_silent_deaths_end_in_worker_lost(database: Database) -> None:
    job_id = new_job(database)
    states = []
    for _ in range(3):
        age(database, claimed(database), 100)
        with database.transaction() as transaction:
            states += [(job.status, job.next_retry_at is None) for job in queue.rescue(transaction, 60)]
        make_due(database)
    assert states == [(JobStatus.QUEUED, False), (JobStatus.QUEUED, False), (JobStatus.FAILED, True)]
    row = row_of(database, job_id)
    assert (row["status"], row["attempt_count"], row["last_error_code"]) == ("FAILED", 3, "WORKER_LOST")
    assert queue.claim(database, "worker") is None


def test_a_rescue_is_bounded_and_takes_the_longest_silent_first(database: Database) -> None:
    jobs = []
    for silent_s in (100, 300, 200):
        new_job(database)
        jobs.append(claimed(database))
        age(database, jobs[-1], silent_s)
    assert {job.id for job in queue.rescue(database, 60, limit=2)} == {jobs[1].id, jobs[2].id}
    assert [job.id for job in queue.rescue(database, 60, limit=2)] == [jobs[0].id]


def test_jobs_rescued_together_do_not_come_back_together(database: Database) -> None:
    for _ in range(5):
        new_job(database)
        age(database, claimed(database), 100)
    rescued = queue.rescue(database, 60)
    assert len(rescued) == len({job.next_retry_at for job in rescued}) == 5


def test_two_rescuers_share_the_work_without_waiting(database: Database, other_database: Database) -> None:
    for _ in range(6):
        new_job(database)
        age(database, claimed(database), 100)
    with database.transaction() as first, other_database.transaction() as second:
        mine = queue.rescue(first, 60, limit=4)
        theirs = queue.rescue(second, 60, limit=4)
        assert queue.rescue(second, 60) == []
    assert (len(mine), len(theirs)) == (4, 2)
    assert {job.id for job in mine}.isdisjoint({job.id for job in theirs})


def test_a_rescue_steps_over_a_completion_that_is_open(database: Database, other_database: Database) -> None:
    job_id = new_job(database)
    job = claimed(database)
    age(database, job, 100)
    with other_database.transaction() as completion:
        queue.complete_and_claim(completion, job)
        assert queue.rescue(database, 60) == []
    assert row_of(database, job_id)["status"] == "SUCCEEDED"


def test_cancelling_a_run_ends_its_jobs_and_no_others(database: Database) -> None:
    untouched = new_job(database)
    run_id = new_run(database)
    with database.transaction() as transaction:
        for job_type in (JobType.ARTIFACT_VALIDATE, JobType.PARSE_RAW):
            queue.enqueue(transaction, run_id, job_type, {})
    with database.transaction() as transaction:
        assert queue.cancel_jobs(transaction, run_id) == 2
        assert queue.cancel_jobs(transaction, run_id) == 0
    assert claimed(database).id == untouched
    assert queue.claim(database, "worker") is None


def test_a_cancel_also_ends_the_successor_that_a_completion_enqueues_meanwhile(
    database: Database, other_database: Database, database_settings: DatabaseSettings
) -> None:
    new_job(database)
    job = claimed(database)
    outcome: list[int] = []

    def cancel() -> None:
        with other_database.transaction() as transaction:
            outcome.append(queue.cancel_jobs(transaction, job.run_id))

    thread = threading.Thread(target=cancel)
    with connect(database_settings) as watcher, database.transaction() as completion:
        queue.complete_and_claim(completion, job)
        queue.enqueue(completion, job.run_id, JobType.DETECT_LAPS, {})
        thread.start()
        deadline = time.monotonic() + 60
        while not watcher.run("SELECT 1 FROM pg_locks WHERE NOT granted"):
            assert time.monotonic() < deadline, "the cancel never came to wait for the completion"
    thread.join(60)
    assert outcome == [1]
    statuses = database.run(query("SELECT job_type, status FROM telemetry_jobs ORDER BY job_type"))
    assert [(row["job_type"], row["status"]) for row in statuses] == [
        ("detect_laps", "CANCELLED"),
        ("parse_raw", "SUCCEEDED"),
    ]

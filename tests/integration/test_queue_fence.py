"""The fence: who lost a job changes nothing. And what its holder may do with it: renew, end, put off."""

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import uuid4

import pytest

from telemetry import queue
from telemetry.database.connection import Database, Transaction
from telemetry.domain.backoff import backoff
from telemetry.domain.states import JobType
from telemetry.errors import Code, TelemetryError
from telemetry.queue import Job, LeaseLost
from telemetry.settings import DatabaseSettings
from tests.integration.queue_jobs import ERROR, age, claim_of, claimed, make_due, new_job, query, row_of
from tests.plugins.postgres import connect

VERBS: dict[str, Callable[[Transaction, Job], object]] = {
    "heartbeat": queue.heartbeat,
    "complete_and_claim": lambda transaction, job: queue.complete_and_claim(
        transaction, job, successor=JobType.DETECT_LAPS, wanted=claim_of("worker")
    ),
    "retry_later": lambda transaction, job: queue.retry_later(transaction, job, ERROR),
    "fail": lambda transaction, job: queue.fail(transaction, job, ERROR),
}


def rescued_and_claimed_again(database: Database, job: Job) -> None:
    age(database, job, 100)
    assert len(queue.rescue(database, 60)) == 1
    make_due(database)
    claimed(database, "another")


def rescued(database: Database, job: Job) -> None:
    age(database, job, 100)
    assert len(queue.rescue(database, 60)) == 1


def cancelled(database: Database, job: Job) -> None:
    with database.transaction() as transaction:
        assert queue.cancel_jobs(transaction, job.run_id) == 1


def completed(database: Database, job: Job) -> None:
    with database.transaction() as transaction:
        queue.complete_and_claim(transaction, job)


def deleted(database: Database, job: Job) -> None:
    database.run(query("DELETE FROM telemetry_jobs WHERE id = :id"), id=job.id)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("lost_by", [rescued_and_claimed_again, rescued, cancelled, completed, deleted])
def test_a_worker_that_lost_its_job_changes_nothing(
    database: Database, verb: str, lost_by: Callable[[Database, Job], None]
) -> None:
    new_job(database)
    job = claimed(database)
    lost_by(database, job)
    new_job(database)
    everything = query("SELECT * FROM telemetry_jobs")
    before = database.run(everything)
    with pytest.raises(LeaseLost, match=str(job.id)), database.transaction() as transaction:
        VERBS[verb](transaction, job)
    assert database.run(everything) == before


@pytest.mark.parametrize("part", ["locked_by", "attempt_count", "id"])
def test_every_part_of_the_fence_counts(database: Database, part: str) -> None:
    new_job(database)
    job = claimed(database)
    waiting = new_job(database)
    wrong: dict[str, Any] = {"locked_by": "worker/another-claim", "attempt_count": 2, "id": uuid4()}
    for act in VERBS.values():
        with pytest.raises(LeaseLost), database.transaction() as transaction:
            act(transaction, replace(job, **{part: wrong[part]}))
    assert row_of(database, waiting)["status"] == "QUEUED"
    with database.transaction() as transaction:
        queue.complete_and_claim(transaction, job)


def test_a_heartbeat_renews_the_lease(database: Database) -> None:
    new_job(database)
    job = claimed(database)
    age(database, job, 100)
    queue.heartbeat(database, job)
    assert queue.rescue(database, 60) == []


@pytest.mark.parametrize(
    ("end", "status", "error"),
    [
        ("complete_and_claim", "SUCCEEDED", (None, None)),
        ("fail", "FAILED", ("STORAGE_UNAVAILABLE", "GET answered 503")),
    ],
)
def test_a_job_that_ended_is_no_longer_held(
    database: Database, end: str, status: str, error: tuple[str | None, str | None]
) -> None:
    job_id = new_job(database)
    job = claimed(database)
    with database.transaction() as transaction:
        VERBS[end](transaction, job)
    row = row_of(database, job_id)
    assert row["status"] == status
    assert (row["last_error_code"], row["last_error_message"]) == error
    assert (row["locked_at"], row["locked_by"], row["next_retry_at"]) == (None, None, None)


@pytest.mark.parametrize("commits", [True, False])
def test_a_completion_whose_commit_is_on_its_way_is_waited_for(
    database: Database, other_database: Database, database_settings: DatabaseSettings, commits: bool
) -> None:
    new_job(database)
    job = claimed(database)
    found: list[bool] = []
    thread = threading.Thread(target=lambda: found.append(queue.completed(other_database, job)))
    with contextlib.suppress(KeyError), connect(database_settings) as watcher, database.transaction() as completion:
        queue.complete_and_claim(completion, job)
        thread.start()
        deadline = time.monotonic() + 60
        while not watcher.run("SELECT 1 FROM pg_locks WHERE NOT granted"):
            assert time.monotonic() < deadline, "nobody waited for the completion"
        if not commits:
            raise KeyError
    thread.join(60)
    assert found == [commits]
    assert not queue.completed(database, replace(job, attempt_count=2))
    assert not queue.completed(database, replace(job, id=uuid4()))


def test_completion_and_successor_are_one(database: Database) -> None:
    new_job(database)
    job = claimed(database)
    with pytest.raises(KeyError), database.transaction() as transaction:
        queue.complete_and_claim(transaction, job)
        queue.enqueue(transaction, job.run_id, JobType.DETECT_LAPS, job.payload)
        raise KeyError
    assert row_of(database, job.id)["status"] == "RUNNING"
    with database.transaction() as transaction:
        queue.complete_and_claim(transaction, job)
        queue.enqueue(transaction, job.run_id, JobType.DETECT_LAPS, job.payload)
    assert claimed(database).job_type is JobType.DETECT_LAPS


def test_a_retry_waits_and_says_why(database: Database) -> None:
    job_id = new_job(database)
    for attempt in (1, 2):
        job = claimed(database)
        assert job.attempt_count == attempt
        with database.transaction() as transaction:
            due_at = queue.retry_later(transaction, job, ERROR)
            now: datetime = transaction.run(query("SELECT now() AS now"))[0]["now"]
        assert backoff(attempt, 0.0) <= due_at - now <= backoff(attempt, 1.0)
        row = row_of(database, job_id)
        assert (row["status"], row["next_retry_at"], row["locked_by"]) == ("QUEUED", due_at, None)
        assert (row["last_error_code"], row["last_error_message"]) == ("STORAGE_UNAVAILABLE", "GET answered 503")
        assert queue.claim(database, "worker") is None
        make_due(database)
    job = claimed(database)
    assert job.is_last_attempt
    with pytest.raises(ValueError, match="last of 3"), database.transaction() as transaction:
        queue.retry_later(transaction, job, ERROR)
    assert row_of(database, job_id)["status"] == "RUNNING"


def test_the_database_and_the_domain_agree_on_backoff(database: Database) -> None:
    sql = query("SELECT extract(epoch FROM telemetry_backoff(:attempt::int, :fraction::float8))::float8 AS seconds")
    for attempt in (1, 2, 3, 4, 5, 6, 7, 11, 12, 1000, 2_000_000_000):
        for fraction in (0.0, 0.25, 0.5, 0.999999):
            seconds = database.run(sql, attempt=attempt, fraction=fraction)[0]["seconds"]
            assert seconds == pytest.approx(backoff(attempt, fraction).total_seconds(), abs=2e-6)


def test_jitter_differs_from_job_to_job(database: Database) -> None:
    waits = set()
    for _ in range(5):
        new_job(database)
        job = claimed(database)
        with database.transaction() as transaction:
            now: datetime = transaction.run(query("SELECT now() AS now"))[0]["now"]
            waits.add(queue.retry_later(transaction, job, ERROR) - now)
    assert len(waits) > 1


def test_an_error_text_that_cannot_be_stored_does_not_stop_the_failure(database: Database) -> None:
    job_id = new_job(database)
    job = claimed(database)
    with database.transaction() as transaction:
        queue.fail(transaction, job, TelemetryError(Code.CSV_MALFORMED, "line 3: '\0' in column \udcff"))
    assert row_of(database, job_id)["last_error_message"] == "line 3: '�' in column �"

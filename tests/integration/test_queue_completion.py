"""Completing a job and claiming the next in one statement."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from telemetry import queue
from telemetry.database.connection import Database
from telemetry.domain.states import JobType
from telemetry.queue import Job, LeaseLost
from telemetry.settings import DatabaseSettings
from tests.integration.queue_jobs import (
    claim_of,
    claimed,
    complete_and_claim,
    make_due,
    new_job,
    put_off,
    query,
    row_of,
)


def test_a_completion_enqueues_the_successor_and_claims_the_oldest_due_job(database: Database) -> None:
    new_job(database, artifactIds=["a"])
    job = claimed(database)
    waiting, younger, older = (new_job(database) for _ in range(3))
    put_off(database, waiting)
    database.run(
        query("UPDATE telemetry_jobs SET created_at = created_at - interval '1 hour' WHERE id = :id"), id=older
    )
    taken = complete_and_claim(database, job, JobType.DETECT_LAPS, "worker-7")
    assert taken is not None
    assert (taken.id, taken.job_type, taken.attempt_count, taken.max_attempts) == (older, JobType.PARSE_RAW, 1, 3)
    worker, _, claim_id = taken.locked_by.partition("/")
    assert worker == "worker-7"
    assert UUID(claim_id)
    row = row_of(database, older)
    assert (row["status"], row["locked_by"], row["attempt_count"]) == ("RUNNING", taken.locked_by, 1)
    assert row["locked_at"] is not None
    ended = row_of(database, job.id)
    assert (ended["status"], ended["locked_at"], ended["locked_by"]) == ("SUCCEEDED", None, None)
    assert row_of(database, younger)["status"] == "QUEUED"
    after_younger, successor = claimed(database), claimed(database)
    assert after_younger.id == younger
    assert (successor.run_id, successor.job_type, successor.payload) == (
        job.run_id,
        JobType.DETECT_LAPS,
        {"artifactIds": ["a"]},
    )
    assert queue.claim(database, "worker") is None


@pytest.mark.parametrize("worker", [None, "worker"])
def test_a_completion_with_nothing_to_claim_gives_none(database: Database, worker: str | None) -> None:
    new_job(database)
    assert complete_and_claim(database, claimed(database), JobType.DETECT_LAPS, worker) is None
    job = claimed(database)
    assert job.job_type is JobType.DETECT_LAPS
    assert complete_and_claim(database, job, None, worker) is None
    assert queue.depth(database) == queue.Depth(due=0, waiting=0, running=0, oldest_due_s=0.0)


def test_a_completion_that_names_no_worker_claims_nothing(database: Database) -> None:
    new_job(database)
    job = claimed(database)
    waiting = new_job(database)
    assert complete_and_claim(database, job, worker=None) is None
    row = row_of(database, waiting)
    assert (row["status"], row["attempt_count"]) == ("QUEUED", 0)


@pytest.mark.parametrize("part", ["locked_by", "attempt_count", "id"])
def test_a_lost_completion_does_nothing_even_without_a_transaction_to_undo_it(database: Database, part: str) -> None:
    new_job(database)
    job = claimed(database)
    new_job(database)
    everything = query("SELECT * FROM telemetry_jobs ORDER BY created_at")
    before = database.run(everything)
    wrong: dict[str, Any] = {"locked_by": "worker/another-claim", "attempt_count": 2, "id": uuid4()}
    with pytest.raises(LeaseLost):
        queue.complete_and_claim(
            database, replace(job, **{part: wrong[part]}), successor=JobType.DETECT_LAPS, wanted=claim_of("worker")
        )
    assert database.run(everything) == before


def test_a_completion_rolled_back_hands_out_nothing(database: Database) -> None:
    new_job(database)
    job = claimed(database)
    waiting = new_job(database)
    everything = query("SELECT * FROM telemetry_jobs ORDER BY created_at")
    before = database.run(everything)
    with pytest.raises(KeyError), database.transaction() as transaction:
        taken = queue.complete_and_claim(transaction, job, successor=JobType.DETECT_LAPS, wanted=claim_of("worker"))
        assert taken is not None
        raise KeyError
    assert database.run(everything) == before
    assert claimed(database).id == waiting


def test_a_completion_passes_over_a_job_that_waits_for_its_retry(database: Database) -> None:
    claims = queue.Claims("worker")
    new_job(database)
    waiting = new_job(database)
    job = claims.take(database)
    assert job is not None
    assert job.id != waiting
    put_off(database, waiting)
    assert complete_and_claim(database, job, wanted=claims.next()) is None
    row = row_of(database, waiting)
    assert (row["status"], row["attempt_count"]) == ("QUEUED", 0)
    make_due(database)
    due = claims.take(database)
    assert due is not None
    assert due.id == waiting


def test_a_job_claimed_by_an_open_completion_is_stepped_over(database: Database, other_database: Database) -> None:
    new_job(database)
    new_job(database)
    job, theirs = claimed(database), claimed(other_database)
    first, second = new_job(database), new_job(database)
    with other_database.transaction() as transaction:
        taken = queue.complete_and_claim(transaction, theirs, wanted=claim_of("slow"))
        assert taken is not None
        assert taken.id == first
        mine = complete_and_claim(database, job)
        assert mine is not None
        assert mine.id == second


def test_workers_that_complete_and_claim_at_once_never_share_a_job(
    database: Database, database_settings: DatabaseSettings
) -> None:
    for _ in range(40):
        new_job(database)
    start = threading.Barrier(6)

    def drain(name: str) -> list[Job]:
        own = Database(database_settings)
        own.run(query("SELECT 1"))
        start.wait(60)
        jobs = []
        job = queue.claim(own, name)
        while job is not None:
            jobs.append(job)
            successor = JobType.DETECT_LAPS if job.job_type is JobType.PARSE_RAW else None
            job = complete_and_claim(own, job, successor, name) or queue.claim(own, name)
        own.close()
        return jobs

    with ThreadPoolExecutor(6) as pool:
        taken = [job for jobs in pool.map(drain, [f"worker-{number}" for number in range(6)]) for job in jobs]
    assert len({job.id for job in taken}) == len(taken) == 80
    assert {job.attempt_count for job in taken} == {1}
    assert len({job.locked_by for job in taken}) == 80
    ended = database.run(
        query("SELECT job_type, status, count(*) AS jobs FROM telemetry_jobs GROUP BY 1, 2 ORDER BY 1")
    )
    assert [tuple(row.values()) for row in ended] == [("detect_laps", "SUCCEEDED", 40), ("parse_raw", "SUCCEEDED", 40)]

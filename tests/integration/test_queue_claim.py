"""Claims: the oldest due job, never one job twice, and what they cost when a million jobs have finished."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest

from telemetry import queue
from telemetry.database.connection import Database, UniqueViolation
from telemetry.database.queries import Query, load
from telemetry.domain.states import JobType
from telemetry.queue import Job
from telemetry.settings import DatabaseSettings
from tests.integration.queue_jobs import (
    ERROR,
    claimed,
    complete_and_claim,
    make_due,
    new_job,
    new_run,
    put_off,
    query,
    row_of,
)
from tests.plugins.postgres import connect


def test_an_empty_queue_gives_nothing(database: Database) -> None:
    assert queue.claim(database, "worker") is None


def test_a_claim_counts_the_attempt_and_names_worker_and_claim(database: Database) -> None:
    job_id = new_job(database, artifactIds=["a"])
    before = database.run(query("SELECT now() AS now"))[0]["now"]
    job = claimed(database, "worker-7")
    assert (job.id, job.job_type, job.payload) == (job_id, JobType.PARSE_RAW, {"artifactIds": ["a"]})
    assert (job.attempt_count, job.max_attempts) == (1, 3)
    worker, _, claim_id = job.locked_by.partition("/")
    assert worker == "worker-7"
    assert UUID(claim_id)
    row = row_of(database, job_id)
    assert (row["status"], row["locked_by"], row["attempt_count"]) == ("RUNNING", job.locked_by, 1)
    assert row["locked_at"] >= before
    assert queue.claim(database, "worker-8") is None


def test_the_oldest_due_job_comes_first(database: Database) -> None:
    jobs = [new_job(database) for _ in range(4)]
    database.run(
        query("UPDATE telemetry_jobs SET next_retry_at = now() + interval '1 hour' WHERE id = :id"), id=jobs[0]
    )
    database.run(
        query("UPDATE telemetry_jobs SET created_at = created_at - interval '1 hour' WHERE id = :id"), id=jobs[3]
    )
    assert [claimed(database).id for _ in range(3)] == [jobs[3], jobs[1], jobs[2]]
    assert queue.claim(database, "worker") is None


def test_a_job_that_another_worker_is_claiming_is_stepped_over(database: Database, other_database: Database) -> None:
    first, second = new_job(database), new_job(database)
    with other_database.transaction() as transaction:
        taken = queue.claim(transaction, "slow")
        assert taken is not None
        assert taken.id == first
        assert claimed(database).id == second


def test_workers_that_claim_at_once_never_share_a_job(database: Database, database_settings: DatabaseSettings) -> None:
    expected = {new_job(database) for _ in range(60)}
    start = threading.Barrier(6)

    def drain(name: str) -> list[Job]:
        own = Database(database_settings)
        own.run(query("SELECT 1"))
        start.wait(60)
        jobs = []
        while (job := queue.claim(own, name)) is not None:
            jobs.append(job)
        own.close()
        return jobs

    with ThreadPoolExecutor(6) as pool:
        taken = [job for jobs in pool.map(drain, [f"worker-{number}" for number in range(6)]) for job in jobs]
    assert len(taken) == 60
    assert {job.id for job in taken} == expected
    assert {job.attempt_count for job in taken} == {1}
    assert len({job.locked_by for job in taken}) == 60


def test_a_run_has_at_most_one_live_job_of_a_type(database: Database) -> None:
    run_id = new_run(database)
    with database.transaction() as transaction:
        queue.enqueue(transaction, run_id, JobType.PARSE_RAW, {})
        queue.enqueue(transaction, run_id, JobType.DETECT_LAPS, {})
    with pytest.raises(UniqueViolation) as caught, database.transaction() as transaction:
        queue.enqueue(transaction, run_id, JobType.PARSE_RAW, {})
    assert caught.value.constraint == "telemetry_jobs_one_live_per_run_and_type"
    job = claimed(database)
    with database.transaction() as transaction:
        queue.complete_and_claim(transaction, job)
        queue.enqueue(transaction, run_id, job.job_type, {})


def test_completions_go_on_from_the_last_job_and_begin_at_the_oldest_now_and_then(database: Database) -> None:
    now = 100.0
    claims = queue.Claims("worker", clock=lambda: now)
    older, first, second, third = (new_job(database) for _ in range(4))
    put_off(database, older)
    job = claims.take(database)
    assert job is not None
    assert job.id == first
    make_due(database)
    for share, expected in ((0.9, second), (0.2, older), (0.2, third)):
        now += queue.FULL_LOOK_S * share
        job = complete_and_claim(database, job, wanted=claims.next())
        assert job is not None
        assert job.id == expected
        claims.took(job)


def test_a_claim_by_itself_takes_the_oldest_whatever_was_taken_last(database: Database) -> None:
    claims = queue.Claims("worker", clock=lambda: 0.0)
    older, newer, newest = (new_job(database) for _ in range(3))
    put_off(database, older)
    for expected in (newer, older, newest):
        job = claims.take(database)
        assert job is not None
        assert job.id == expected
        make_due(database)
    assert claims.take(database) is None


def test_a_claim_by_itself_finds_what_a_completion_left_behind(database: Database) -> None:
    claims = queue.Claims("worker", clock=lambda: 0.0)
    older, newer = new_job(database), new_job(database)
    put_off(database, older)
    job = claims.take(database)
    assert job is not None
    assert job.id == newer
    make_due(database)
    assert complete_and_claim(database, job, wanted=claims.next()) is None
    job = claims.take(database)
    assert job is not None
    assert job.id == older


def test_a_transaction_left_open_does_not_slow_the_claims_of_a_worker(
    database: Database, database_settings: DatabaseSettings
) -> None:
    """Blocks touched instead of time measured: every job claimed meanwhile keeps its entry in the index."""
    claims = queue.Claims("worker", clock=lambda: 0.0)
    claim, complete_and_claim = (load("jobs")[name] for name in ("claim", "complete_and_claim"))
    with connect(database_settings) as held, connect(database_settings) as sql:
        # In another order than they lie in, so that each entry leads to another block.
        sql.run(
            """WITH session AS (
                   INSERT INTO telemetry_sessions (tenant_id, owner_user_id, name)
                   SELECT 'anna', 'anna', 'a' FROM generate_series(1, 2000) RETURNING id
               ), run AS (
                   INSERT INTO telemetry_processing_runs (session_id, pipeline_version) SELECT id, '1' FROM session
                   RETURNING id
               )
               INSERT INTO telemetry_jobs (run_id, job_type, created_at)
               SELECT id, 'parse_raw', now() - random() * interval '1 hour' FROM run"""
        )
        sql.run("VACUUM ANALYZE telemetry_jobs")
        held.run("BEGIN ISOLATION LEVEL REPEATABLE READ")
        held.run("SELECT count(*) FROM telemetry_jobs")
        job = claims.take(database)
        assert job is not None
        blocks(sql, complete_and_claim, completion_of(job, claims.next()))
        at_first = blocks(sql, complete_and_claim, completion_of(job, claims.next()))
        sql.run(
            """UPDATE telemetry_jobs SET status = 'RUNNING', locked_at = now(), locked_by = 'others'
               WHERE id IN (SELECT id FROM telemetry_jobs WHERE status = 'QUEUED' ORDER BY created_at LIMIT 1900)"""
        )
        job = claims.take(database)
        assert job is not None
        assert blocks(sql, claim, {"locked_by": "a new worker"}) > at_first + 1000, "what completions are spared"
        assert blocks(sql, complete_and_claim, completion_of(job, claims.next())) <= at_first + 8
        held.run("ROLLBACK")


def completion_of(job: Job, claim: queue.Claim) -> dict[str, Any]:
    """A completion that claims the next, as the query's parameters."""
    return {
        "id": job.id,
        "locked_by": job.locked_by,
        "attempt_count": job.attempt_count,
        "successor": None,
        "next_locked_by": claim.locked_by,
        "since": claim.since,
    }


def test_a_retry_is_near_only_once_it_is_due(database: Database) -> None:
    new_job(database)
    with database.transaction() as transaction:
        queue.retry_later(transaction, claimed(database), ERROR)
    assert not queue.retry_is_near(database)
    make_due(database)
    assert queue.retry_is_near(database)


def test_depth_tells_due_waiting_and_running_apart(database: Database) -> None:
    assert queue.depth(database) == queue.Depth(due=0, waiting=0, running=0, oldest_due_s=0.0)
    for _ in range(4):
        new_job(database)
    job = claimed(database)
    with database.transaction() as transaction:
        queue.retry_later(transaction, job, ERROR)
    claimed(database)
    database.run(query("UPDATE telemetry_jobs SET created_at = now() - interval '90 s' WHERE next_retry_at IS NULL"))
    depth = queue.depth(database)
    assert (depth.due, depth.waiting, depth.running) == (2, 1, 1)
    assert 90 <= depth.oldest_due_s < 120


def test_depth_counts_a_retry_from_when_it_came_due(database: Database) -> None:
    job_id = new_job(database)
    put_off(database, job_id)
    database.run(query("UPDATE telemetry_jobs SET created_at = now() - interval '1 day'"))
    assert queue.depth(database) == queue.Depth(due=0, waiting=1, running=0, oldest_due_s=0.0)
    make_due(database)
    depth = queue.depth(database)
    assert (depth.due, depth.waiting, depth.running) == (1, 0, 0)
    assert 1 <= depth.oldest_due_s < 60


FINISHED_ROWS = 40_000


def test_finished_jobs_cost_nothing(database: Database, database_settings: DatabaseSettings) -> None:
    """Blocks touched instead of time measured: the same on every machine."""
    run_id = new_run(database)
    new_job(database)
    running = claimed(database)
    new_job(database)
    jobs = load("jobs")
    fence = {"id": running.id, "locked_by": running.locked_by, "attempt_count": running.attempt_count}
    with connect(database_settings) as sql:
        cost_before = {name: blocks(sql, jobs[name], fence) for name in PLANNED}
        sql.run(
            "INSERT INTO telemetry_jobs (run_id, job_type, status, attempt_count, created_at) "
            "SELECT CAST(:run_id AS uuid), 'parse_raw', 'SUCCEEDED', 1, now() - interval '1 day' "
            "FROM generate_series(1, CAST(:rows AS int))",
            run_id=run_id,
            rows=FINISHED_ROWS,
        )
        sql.run("VACUUM ANALYZE telemetry_jobs")
        for name, index in PLANNED.items():
            used = indexes(plan(sql, jobs[name], fence))
            assert index in used, name
            # Every job that ran since the last vacuum is still in it.
            assert "telemetry_jobs_rescue_idx" not in used - {index} or name == "depth", name
            # A tree over more rows is a level or two deeper, in each index that a written row enters.
            deeper = 8 * WRITTEN_ROWS.get(name, 1)
            assert blocks(sql, jobs[name], fence) <= cost_before[name] + deeper, name


FENCED = "telemetry_jobs_pkey"
PLANNED = {
    "heartbeat": FENCED,
    "retry_later": FENCED,
    "fail": FENCED,
    "state": FENCED,
    "claim": "telemetry_jobs_claim_idx",
    "claimed": "telemetry_jobs_rescue_idx",
    "complete_and_claim": "telemetry_jobs_claim_idx",
    "rescue": "telemetry_jobs_rescue_idx",
    "depth": "telemetry_jobs_claim_idx",
    "cancel_live": "telemetry_jobs_run_idx",
    "count_live": "telemetry_jobs_run_idx",
}
WRITTEN_ROWS = {"complete_and_claim": 3}
PARAMETERS: dict[str, Any] = {
    "next_locked_by": "worker/claim",
    "since": None,
    "successor": "detect_laps",
    "lease_s": 60.0,
    "batch": 100,
    "error_code": "WORKER_LOST",
    "error_message": "",
    "run_id": UUID(int=0),
}


def plan(sql: Any, planned: Query, fence: dict[str, Any]) -> dict[str, Any]:
    """What PostgreSQL did for the query, rolled back."""
    given = {name: value for name, value in (PARAMETERS | fence).items() if f":{name}" in planned.sql}
    sql.run("BEGIN")
    (answer,) = sql.run("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + planned.sql, **given)
    sql.run("ROLLBACK")
    root: dict[str, Any] = answer[0][0]["Plan"]
    return root


def indexes(node: dict[str, Any]) -> set[str]:
    """Every index that a plan uses."""
    return {node.get("Index Name", "")}.union(*(indexes(child) for child in node.get("Plans", [])))


def blocks(sql: Any, planned: Query, fence: dict[str, Any]) -> int:
    root = plan(sql, planned, fence)
    return int(root["Shared Hit Blocks"] + root["Shared Read Blocks"])

"""The queue: claims, fences, retries, rescues, and what they cost when a million jobs have finished."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from telemetry import queue
from telemetry.database.connection import Database, Transaction, UniqueViolation
from telemetry.database.queries import Query, load
from telemetry.domain.backoff import backoff
from telemetry.domain.states import JobStatus, JobType
from telemetry.errors import Code, TelemetryError
from telemetry.queue import Job, LeaseLost
from telemetry.settings import DatabaseSettings
from tests.plugins.postgres import connect

ERROR = TelemetryError(Code.STORAGE_UNAVAILABLE, "GET answered 503")


def query(sql: str) -> Query:
    return Query("test", "A test's own.", sql)


def new_run(database: Database) -> UUID:
    """A session and its run, with nothing queued."""
    run_id: UUID = database.run(
        query(
            "WITH session AS (INSERT INTO telemetry_sessions (tenant_id, owner_user_id, name) "
            "VALUES ('anna', 'anna', 'a') RETURNING id) "
            "INSERT INTO telemetry_processing_runs (session_id, pipeline_version) SELECT id, '1' FROM session "
            "RETURNING id"
        )
    )[0]["id"]
    return run_id


def new_job(database: Database, **payload: Any) -> UUID:
    """A job that is due, in a run of its own."""
    run_id = new_run(database)
    with database.transaction() as transaction:
        return queue.enqueue(transaction, run_id, JobType.PARSE_RAW, payload)


def claim_of(worker: str) -> queue.Claim:
    """A claim of its own."""
    return queue.Claims(worker).next()


def claimed(database: Database, worker: str = "worker") -> Job:
    job = queue.claim(database, worker)
    assert job is not None
    return job


def row_of(database: Database, job_id: UUID) -> dict[str, Any]:
    return database.run(query("SELECT * FROM telemetry_jobs WHERE id = :id"), id=job_id)[0]


def age(database: Database, job: Job, seconds: float) -> None:
    """Moves the job's latest sign of life into the past."""
    database.run(
        query("UPDATE telemetry_jobs SET locked_at = now() - make_interval(secs => :seconds) WHERE id = :id"),
        id=job.id,
        seconds=seconds,
    )


def make_due(database: Database) -> None:
    database.run(query("UPDATE telemetry_jobs SET next_retry_at = now() - interval '1 s' WHERE next_retry_at > now()"))


@pytest.fixture
def other(database_settings: DatabaseSettings) -> Iterator[Database]:
    """A second connection."""
    connected = Database(database_settings)
    yield connected
    connected.close()


# Claim


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


def test_a_job_that_another_worker_is_claiming_is_stepped_over(database: Database, other: Database) -> None:
    first, second = new_job(database), new_job(database)
    with other.transaction() as transaction:
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


# Fence

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


# The claims of one worker, one after the other


def put_off(database: Database, job_id: UUID) -> None:
    """As after a failed attempt, until `make_due`."""
    database.run(query("UPDATE telemetry_jobs SET next_retry_at = now() + interval '1 hour' WHERE id = :id"), id=job_id)


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


# Completing and claiming the next in one


def complete_and_claim(
    database: Database,
    job: Job,
    successor: JobType | None = None,
    worker: str | None = "worker",
    wanted: queue.Claim | None = None,
) -> Job | None:
    with database.transaction() as transaction:
        return queue.complete_and_claim(
            transaction, job, successor=successor, wanted=wanted or (None if worker is None else claim_of(worker))
        )


def test_a_completion_enqueues_the_successor_and_claims_the_oldest_due_job(database: Database) -> None:
    new_job(database, artifactIds=["a"])
    job = claimed(database)
    waiting, younger, older = (new_job(database) for _ in range(3))
    database.run(
        query("UPDATE telemetry_jobs SET next_retry_at = now() + interval '1 hour' WHERE id = :id"), id=waiting
    )
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


def test_a_job_claimed_by_an_open_completion_is_stepped_over(database: Database, other: Database) -> None:
    new_job(database)
    new_job(database)
    job, theirs = claimed(database), claimed(other)
    first, second = new_job(database), new_job(database)
    with other.transaction() as transaction:
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


# Heartbeat, end, retry


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
    database: Database, other: Database, database_settings: DatabaseSettings, commits: bool
) -> None:
    new_job(database)
    job = claimed(database)
    found: list[bool] = []
    thread = threading.Thread(target=lambda: found.append(queue.completed(other, job)))
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


# Rescue


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


def test_two_rescuers_share_the_work_without_waiting(database: Database, other: Database) -> None:
    for _ in range(6):
        new_job(database)
        age(database, claimed(database), 100)
    with database.transaction() as first, other.transaction() as second:
        mine = queue.rescue(first, 60, limit=4)
        theirs = queue.rescue(second, 60, limit=4)
        assert queue.rescue(second, 60) == []
    assert (len(mine), len(theirs)) == (4, 2)
    assert {job.id for job in mine}.isdisjoint({job.id for job in theirs})


def test_a_rescue_steps_over_a_completion_that_is_open(database: Database, other: Database) -> None:
    job_id = new_job(database)
    job = claimed(database)
    age(database, job, 100)
    with other.transaction() as completion:
        queue.complete_and_claim(completion, job)
        assert queue.rescue(database, 60) == []
    assert row_of(database, job_id)["status"] == "SUCCEEDED"


# Cancel


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
    database: Database, other: Database, database_settings: DatabaseSettings
) -> None:
    new_job(database)
    job = claimed(database)
    outcome: list[int] = []

    def cancel() -> None:
        with other.transaction() as transaction:
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


# Figures


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

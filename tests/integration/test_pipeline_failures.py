"""What the worker leaves when something goes wrong: retries, codes, fences, and nothing half done."""

import errno
import json
import logging
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from telemetry import queue, recording, session_changes, sessions
from telemetry.database.connection import Database, Row, Transaction
from telemetry.database.queries import Query
from telemetry.domain.owner import Owner
from telemetry.errors import Code, TelemetryError
from telemetry.pipeline import artifact_validate, failpoints, parse_raw
from telemetry.pipeline.drain import drain
from telemetry.pipeline.outcome import Outcome
from telemetry.pipeline.step import Heartbeat, OutOfTime, Work, load_work
from telemetry.services import Services
from tests.plugins.harness import LIFE_MS, OWNER, SAMPLES, TENANT, Finalised, Harness

CSV = (SAMPLES / "sample_gnss_10hz.csv").read_bytes()


def down(*_: object, **__: object) -> Any:
    """Any call of a store that cannot be reached."""
    raise TelemetryError(Code.STORAGE_UNAVAILABLE, "GET answered 503")


def before_parsing(monkeypatch: pytest.MonkeyPatch, happen: Callable[[], None]) -> None:
    """Lets something happen when `parse_raw` begins to parse."""
    canonicalise = recording.canonicalise

    def disturbed(*arguments: Any, **named: Any) -> recording.Canonical:
        happen()
        return canonicalise(*arguments, **named)

    monkeypatch.setattr(recording, "canonicalise", disturbed)


def at_failpoint(monkeypatch: pytest.MonkeyPatch, name: str, happen: Callable[[], None]) -> None:
    """Lets something happen in place of the stop."""
    monkeypatch.setenv(failpoints.VARIABLE, name)
    monkeypatch.setattr(failpoints, "_reached", set())
    monkeypatch.setattr(failpoints, "stop", happen)


def test_unreachable_store_is_tried_again_with_backoff_then_failed(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = harness.finalised(CSV)
    monkeypatch.setattr(harness.services.raw, "read_range", down)
    for attempt, (shortest, longest) in enumerate([(15, 30), (30, 60)], 1):
        drained = harness.drain()
        assert drained.outcomes[Outcome.RETRIED] == 1
        job = harness.jobs(made)[-1]
        assert (job["job_type"], job["status"], job["attempt_count"]) == ("artifact_classify", "QUEUED", attempt)
        assert job["last_error_code"] == Code.STORAGE_UNAVAILABLE
        wait = (job["next_retry_at"] - datetime.now(UTC)).total_seconds()
        assert shortest - 5 < wait <= longest
        assert harness.session(made)["status"] == "PROCESSING"
        assert harness.drain().outcomes == {}
        harness.hurry()
    assert harness.drain().outcomes == {Outcome.FAILED: 1}
    assert harness.jobs(made)[-1]["attempt_count"] == 3
    assert harness.run(made)["error_code"] == Code.STORAGE_UNAVAILABLE
    assert harness.session(made)["status"] == "FAILED"
    assert harness.artifacts(made)[0]["status"] == "VALIDATED", "the file is not to blame"
    assert len(harness.raw_paths()) == 1


def test_a_retry_that_succeeds_leaves_no_trace_in_the_session(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = harness.finalised(CSV)
    with monkeypatch.context() as broken:
        broken.setattr(harness.services.canonical, "put_file", down)
        harness.drain()
    harness.hurry()
    harness.drain()
    assert harness.session(made)["status"] == "READY"
    assert harness.run(made)["error_code"] is None


def test_a_full_disk_is_named_and_tried_again(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    made = harness.finalised(CSV)

    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        before_parsing(broken, full)
        assert harness.drain().outcomes[Outcome.RETRIED] == 1
    job = harness.jobs(made)[-1]
    assert (job["last_error_code"], job["last_error_message"]) == ("STORAGE_UNAVAILABLE", "the worker's disk is full")
    harness.hurry()
    harness.drain()
    assert harness.session(made)["status"] == "READY"


def test_unexpected_errors_are_retried_and_never_quoted(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made = harness.finalised(CSV)
    secret = "51.178800,-1.826200 X-Amz-Signature=abc"

    def explode() -> None:
        raise ZeroDivisionError(secret)

    before_parsing(monkeypatch, explode)
    with caplog.at_level(logging.DEBUG):
        for _ in range(3):
            harness.drain()
            harness.hurry()
    job = harness.jobs(made)[-1]
    assert (job["status"], job["attempt_count"]) == ("FAILED", 3)
    assert (job["last_error_code"], job["last_error_message"].split()[0]) == ("INTERNAL_ERROR", "ZeroDivisionError")
    run = harness.run(made)
    assert (run["error_code"], run["error_detail"]) == ("INTERNAL_ERROR", None)
    unexpected = [record for record in caplog.records if record.message == "unexpected error"]
    assert len(unexpected) == 3
    assert any("explode" in frame for frame in unexpected[0].__dict__["frames"])
    for record in caplog.records:
        assert "51.17" not in json.dumps(record.__dict__, default=str)
        assert "Signature" not in json.dumps(record.__dict__, default=str)


def test_the_write_of_a_failure_succeeds_whatever_its_text(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    made = harness.finalised(CSV)

    def refuse() -> None:
        raise TelemetryError(Code.CSV_MALFORMED, "line 3: column `a\x00b` \ud800 " + "x" * 100_000)

    before_parsing(monkeypatch, refuse)
    assert harness.drain().outcomes[Outcome.FAILED] == 1
    run = harness.run(made)
    assert run["error_code"] == Code.CSV_MALFORMED
    assert run["error_detail"].startswith("line 3: column `a")
    assert len(run["error_detail"]) < 5000
    assert len(harness.jobs(made)[-1]["last_error_message"]) < 5000


def lose_lease(harness: Harness, made: Finalised) -> None:
    """What a rescue and the claim of another worker leave."""
    harness.sql(
        """UPDATE telemetry_jobs SET locked_by = 'another', attempt_count = attempt_count + 1, locked_at = now()
           WHERE run_id = :run AND status = 'RUNNING'""",
        run=made.run_id,
    )


def test_lease_lost_while_parsing_writes_nothing(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    made, other = harness.finalised(CSV), harness.finalised(CSV + b"\n")
    victims = iter([made])

    def lose_the_first() -> None:
        for victim in victims:
            lose_lease(harness, victim)

    before_parsing(monkeypatch, lose_the_first)

    drained = harness.drain()

    assert drained.outcomes[Outcome.LOST] == 1
    assert harness.datasets(made) == []
    assert harness.session(made)["status"] == "PROCESSING"
    assert harness.artifacts(made)[0]["status"] == "CLASSIFIED"
    job = harness.jobs(made)[-1]
    assert (job["status"], job["locked_by"], job["last_error_code"]) == ("RUNNING", "another", None)
    assert harness.session(other)["status"] == "READY", "the worker goes on"


def test_of_two_retries_the_one_made_last_is_the_latest(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """One begins first and stalls; meanwhile the other runs and fails."""
    made, me = harness.finalised(CSV), Owner(OWNER, TENANT)
    first, second = (Services(harness.services.settings) for _ in range(2))
    run = Transaction.run

    def fail_at_once() -> None:
        harness.sql("UPDATE telemetry_jobs SET max_attempts = 1")
        with monkeypatch.context() as broken:
            broken.setattr(harness.services.raw, "head", down)
            assert harness.drain().outcomes[Outcome.FAILED] == 1

    def stalled(transaction: Transaction, query: Query, /, **parameters: Any) -> list[Row]:
        if query.name == "reopen_session":
            undo.undo()
            session_changes.retry_session(second, me, made.session_id)
            fail_at_once()
        return run(transaction, query, **parameters)

    fail_at_once()
    with pytest.MonkeyPatch.context() as undo:
        undo.setattr(Transaction, "run", stalled)
        detail = session_changes.retry_session(first, me, made.session_id)
    assert detail.status == "PROCESSING"
    assert detail.progress is not None
    harness.drain()
    detail = sessions.get_session(harness.services, me, made.session_id)
    latest = harness.sql("SELECT status FROM telemetry_processing_runs WHERE id = :id", id=detail.run_id)
    assert (detail.status, latest) == ("READY", [{"status": "SUCCEEDED"}])
    for services in (first, second):
        services.database.close()


def test_stale_failure_after_another_worker_took_over_writes_nothing(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = harness.finalised(CSV)

    def lose_and_fail() -> None:
        lose_lease(harness, made)
        raise TelemetryError(Code.CSV_MALFORMED, "line 1")

    before_parsing(monkeypatch, lose_and_fail)
    assert harness.drain().outcomes[Outcome.LOST] == 1
    assert harness.run(made)["status"] == "RUNNING"
    assert harness.artifacts(made)[0]["status"] == "CLASSIFIED"
    assert harness.jobs(made)[-1]["last_error_code"] is None


def test_cancel_while_parsing_keeps_the_cancel(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    made = harness.finalised(CSV)
    beside = Database(harness.services.settings.database)

    def cancel() -> None:
        with beside.transaction() as transaction:
            assert queue.cancel_jobs(transaction, made.run_id) == 1
        harness.sql(
            "UPDATE telemetry_processing_runs SET status = 'CANCELLED', finished_at = now() WHERE id = :id",
            id=made.run_id,
        )
        harness.sql("UPDATE telemetry_sessions SET status = 'CANCELLED' WHERE id = :id", id=made.session_id)

    before_parsing(monkeypatch, cancel)
    assert harness.drain().outcomes[Outcome.LOST] == 1
    beside.close()
    assert harness.session(made)["status"] == "CANCELLED"
    assert {job["status"] for job in harness.jobs(made)} == {"SUCCEEDED", "CANCELLED"}
    assert harness.datasets(made) == []


def test_delete_while_parsing_leaves_no_row(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    made = harness.finalised(CSV)

    def delete() -> None:
        harness.sql("DELETE FROM telemetry_sessions WHERE id = :id", id=made.session_id)

    before_parsing(monkeypatch, delete)
    assert harness.drain().outcomes[Outcome.LOST] == 1
    for table in ("sessions", "processing_runs", "jobs", "datasets", "laps", "artifacts"):
        assert harness.sql(f"SELECT * FROM telemetry_{table}") == []


def test_rescue_steps_over_a_completion_that_is_open(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    made = harness.finalised(CSV)
    rescued: list[list[queue.RescuedJob]] = []

    def rescue() -> None:
        beside = Database(harness.services.settings.database)
        rescued.append(queue.rescue(beside, lease_s=0))
        beside.close()

    at_failpoint(monkeypatch, "in_completing_transaction@parse_raw", rescue)
    harness.drain()
    assert rescued == [[]]
    assert harness.session(made)["status"] == "READY"


@pytest.mark.parametrize("job_type", ["artifact_validate", "parse_raw", "detect_laps"])
def test_completing_is_all_or_nothing(harness: Harness, monkeypatch: pytest.MonkeyPatch, job_type: str) -> None:
    made = harness.finalised(CSV)

    def crash() -> None:
        raise RuntimeError

    at_failpoint(monkeypatch, f"in_completing_transaction@{job_type}", crash)
    drained = harness.drain()
    assert drained.outcomes[Outcome.RETRIED] == 1
    assert harness.jobs(made)[-1]["job_type"] == job_type, "no successor"
    assert harness.session(made)["status"] == "PROCESSING"
    assert harness.sql("SELECT * FROM telemetry_laps") == []
    if job_type == "parse_raw":
        assert harness.datasets(made) == []
        assert len(harness.canonical_paths()) >= 1, "an orphan, which the janitor sweeps"
    harness.hurry()
    harness.drain()
    assert harness.session(made)["status"] == "READY"
    assert harness.artifacts(made)[0]["status"] == "DISCARDED"


def test_lost_answer_to_a_commit_repeats_nothing(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    made = harness.finalised(CSV)
    command = Database._command
    lost = iter([True])

    def lose_answer(database: Database, text: str) -> None:
        command(database, text)
        if text == "COMMIT" and harness.artifacts(made)[0]["status"] == "PARSED" and next(lost, False):
            database.close()
            raise TelemetryError(Code.DATABASE_UNAVAILABLE, "the connection was lost")

    monkeypatch.setattr(Database, "_command", lose_answer)
    drained = harness.drain()
    assert drained.outcomes == {Outcome.SUCCEEDED: 5}
    assert harness.session(made)["status"] == "READY"
    assert [job["attempt_count"] for job in harness.jobs(made)] == [1] * 5


@pytest.mark.parametrize("first", [True, False], ids=["a whole life", "part of a life"])
def test_out_of_time(harness: Harness, monkeypatch: pytest.MonkeyPatch, first: bool) -> None:
    """A job that had a worker's whole life ends; one that began late gets another chance."""
    made = harness.finalised(CSV)
    for _ in range(2):
        ticks = iter([LIFE_MS, LIFE_MS])
        drain(harness.services, partial(next, ticks, LIFE_MS // 3))
    left = iter([LIFE_MS, LIFE_MS if first else int(0.8 * LIFE_MS)])

    drain(harness.services, lambda: next(left, 0))

    job = harness.jobs(made)[-1]
    assert job["job_type"] == "parse_raw"
    assert job["last_error_code"] == Code.PROCESSING_TIMEOUT
    assert (job["status"], job["attempt_count"]) == (("FAILED", 1) if first else ("QUEUED", 1))
    assert harness.session(made)["status"] == ("FAILED" if first else "PROCESSING")
    assert harness.artifacts(made)[0]["status"] == "CLASSIFIED", "the file is not to blame"


def test_a_failed_discard_never_unreadies_the_session(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    made = harness.finalised(CSV)
    monkeypatch.setattr(harness.services.raw, "delete", down)
    for _ in range(3):
        harness.drain()
        harness.hurry()
    assert harness.jobs(made)[-1]["status"] == "FAILED"
    assert harness.run(made)["status"] == "SUCCEEDED"
    assert harness.session(made)["status"] == "READY"
    assert harness.artifacts(made)[0]["status"] == "PARSED"
    assert len(harness.datasets(made)) >= 1


def test_failure_between_raw_delete_and_its_commit_is_made_good(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = harness.finalised(CSV)

    def crash() -> None:
        raise RuntimeError

    at_failpoint(monkeypatch, "after_raw_delete", crash)
    harness.drain()
    assert harness.raw_paths() == set()
    assert harness.artifacts(made)[0]["status"] == "PARSED"
    harness.hurry()
    harness.drain()
    assert harness.artifacts(made)[0]["status"] == "DISCARDED"


def test_datasets_of_a_failed_run_go_with_it(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    made = harness.finalised(CSV)
    monkeypatch.setattr(harness.services.canonical, "open", down)
    for _ in range(3):
        harness.drain()
        harness.hurry()
    assert harness.jobs(made)[-1]["job_type"] == "detect_laps"
    assert harness.run(made)["status"] == "FAILED"
    assert harness.datasets(made) == []


def test_canonical_bytes_that_arrive_changed_are_not_measured(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = harness.finalised(CSV)
    put_file = harness.services.canonical.put_file

    def corrupt(path: str, *arguments: Any, **named: Any) -> None:
        put_file(path, *arguments, **named)
        stored = harness.services.settings.local_storage.root / "canonical" / path
        stored.chmod(0o644)
        stored.write_bytes(b"PAR1" + stored.read_bytes()[4:-1] + b"x")

    monkeypatch.setattr(harness.services.canonical, "put_file", corrupt)
    drained = harness.drain()
    assert drained.outcomes[Outcome.RETRIED] == 1
    assert harness.jobs(made)[-1]["last_error_code"] == Code.STORAGE_UNAVAILABLE
    assert harness.session(made)["status"] == "PROCESSING"


def test_workers_side_by_side_execute_every_job_once(harness: Harness) -> None:
    made = [harness.finalised(CSV + b"\n" * number) for number in range(6)]
    totals: list[int] = []

    def work() -> None:
        services = Services(harness.services.settings)
        for _ in range(3):  # nudges come doubled
            totals.append(drain(services, lambda: LIFE_MS).outcomes[Outcome.SUCCEEDED])
        services.database.close()

    workers = [threading.Thread(target=work, daemon=True) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert not any(worker.is_alive() for worker in workers)
    harness.drain()
    for one in made:
        assert harness.session(one)["status"] == "READY"
        assert [job["attempt_count"] for job in harness.jobs(one)] == [1] * 5


def test_hands_over_with_a_nudge_when_work_is_left(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    harness.finalised(CSV)
    sent: list[bool] = []
    monkeypatch.setattr(harness.services.nudges, "send", lambda: sent.append(True))
    left = iter([1000, 1000, 900, 900])
    drained = drain(harness.services, lambda: next(left, 499))
    assert drained.outcomes == {Outcome.SUCCEEDED: 1}
    assert drained.due == 1
    assert drained.oldest_due_s >= 0
    assert sent == [True]
    drained = harness.drain()
    assert drained.due == 0
    assert sent == [True]


def test_an_unreachable_database_ends_the_drain(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    made = harness.finalised(CSV)

    def cut() -> None:
        monkeypatch.setattr(Database, "_connect", lost)
        harness.database.close()

    def lost(_: Database) -> None:
        raise TelemetryError(Code.DATABASE_UNAVAILABLE, "the connection was lost")

    with monkeypatch.context() as broken:
        before_parsing(broken, cut)
        with pytest.raises(TelemetryError, match="DATABASE_UNAVAILABLE"):
            harness.drain()
    monkeypatch.undo()
    assert harness.jobs(made)[-1]["status"] == "RUNNING", "its lease lapses, and it is rescued"


@pytest.fixture(autouse=True)
def no_failpoint_outside_its_test() -> Iterator[None]:
    """A failpoint reached once is not reached again in the same process."""
    yield
    failpoints._reached.clear()


def test_heartbeat_renews_the_lease_after_a_third_of_it(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    made = harness.finalised(CSV)
    job = queue.claim(harness.database, "test")
    assert job is not None
    now, left = [0.0], [1000]
    heartbeat = Heartbeat(harness.database, job, lease_s=90, remaining_ms=lambda: left[0], clock=lambda: now[0])
    harness.sql("UPDATE telemetry_jobs SET locked_at = locked_at - interval '1 hour'")
    claimed_at = harness.jobs(made)[0]["locked_at"]
    now[0] = 29.9
    heartbeat(1, 2)
    assert harness.jobs(made)[0]["locked_at"] == claimed_at
    now[0] = 30.0
    heartbeat()
    assert harness.jobs(made)[0]["locked_at"] - claimed_at > timedelta(minutes=59)
    left[0] = 0
    with pytest.raises(OutOfTime):
        heartbeat()
    left[0] = 1
    lose_lease(harness, made)
    heartbeat()
    now[0] = 60.0
    with pytest.raises(queue.LeaseLost):
        heartbeat()


class CountedHeartbeat(Heartbeat):
    """Counts how often its step gets on."""

    beats = 0

    def __call__(self, *done: object) -> None:
        self.beats += 1
        super().__call__(*done)


def claimed(harness: Harness) -> tuple[Work, CountedHeartbeat]:
    """The next job's work, and a heartbeat for it."""
    job = queue.claim(harness.database, "test")
    assert job is not None
    heartbeat = CountedHeartbeat(harness.database, job, lease_s=90, remaining_ms=lambda: LIFE_MS)
    return load_work(harness.database, job), heartbeat


def test_parsing_beats_at_all_progress_of_the_reader(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long file would be taken for a dead worker's, and never be stopped when its time is over."""
    made = harness.finalised(CSV)
    harness.sql("UPDATE telemetry_jobs SET job_type = 'parse_raw' WHERE run_id = :run", run=made.run_id)
    work, heartbeat = claimed(harness)
    reading: list[int] = []

    def slow(*_: Any, on_progress: Callable[..., None], **__: Any) -> recording.Canonical:
        before = heartbeat.beats
        for row in range(10):
            on_progress(row)
        reading.append(heartbeat.beats - before)
        raise TelemetryError(Code.CSV_MALFORMED, "enough read")

    monkeypatch.setattr(recording, "canonicalise", slow)
    with pytest.raises(TelemetryError, match="enough read"):
        parse_raw.perform(harness.services, work, heartbeat)
    assert reading == [10]


def test_hashing_beats_at_every_block(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    harness.finalised(b"x" * (3 << 20))
    work, heartbeat = claimed(harness)
    hashed, beats = artifact_validate._hash, []

    def counted(*arguments: Any) -> str:
        before = heartbeat.beats
        found = hashed(*arguments)
        beats.append(heartbeat.beats - before)
        return found

    monkeypatch.setattr(artifact_validate, "_hash", counted)
    artifact_validate.perform(harness.services, work, heartbeat)
    assert beats[0] >= 3


def test_upload_paths_of_attempts_never_meet(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    made = harness.finalised(CSV)

    def crash() -> None:
        raise RuntimeError

    at_failpoint(monkeypatch, "after_parquet_put", crash)
    harness.drain()
    first = harness.canonical_paths()
    assert len(first) == 2, "a Parquet file and its track"
    harness.hurry()
    harness.drain()
    assert harness.session(made)["status"] == "READY"
    assert harness.kept_paths(made).isdisjoint(first)

"""The drain loop claims the next job in the transaction that completes the last one, and only there and then."""

from typing import Any

import pytest

from telemetry import queue
from telemetry.database.connection import Transaction
from telemetry.domain.states import JobType
from telemetry.pipeline import execute
from telemetry.pipeline.drain import drain
from telemetry.pipeline.outcome import Outcome
from telemetry.pipeline.step import Completion, Heartbeat, Work
from telemetry.pipeline.steps import STEPS
from telemetry.services import Services
from tests.plugins.harness import LIFE_MS, Finalised, Harness

CSV = b"timestamp,lat,lon\n" + b"".join(b"2024-05-01T10:00:%02dZ,52.0%d,-1.0\n" % (i, i) for i in range(10, 40))


@pytest.fixture
def counted_claims(monkeypatch: pytest.MonkeyPatch) -> list[queue.Claims]:
    """Whose claims are statements of their own, one for each."""
    claims: list[queue.Claims] = []
    take = queue.Claims.take

    def counted(mine: queue.Claims, runner: Any) -> queue.Job | None:
        claims.append(mine)
        return take(mine, runner)

    monkeypatch.setattr(queue.Claims, "take", counted)
    return claims


def statuses(harness: Harness, made: Finalised) -> list[tuple[str, str, int]]:
    return [(job["job_type"], job["status"], job["attempt_count"]) for job in harness.jobs(made)]


def test_completions_claim_while_others_wait(harness: Harness, counted_claims: list[queue.Claims]) -> None:
    made = [harness.finalised(CSV + b"\n" * number) for number in range(4)]
    assert harness.drain().outcomes == {Outcome.SUCCEEDED: 20}
    for one in made:
        assert harness.session(one)["status"] == "READY"
        assert {attempts for _, _, attempts in statuses(harness, one)} == {1}
    # The first, and those that found nothing due but the successor of the job just completed.
    assert len(counted_claims) <= 3


def test_a_completion_that_fails_hands_out_nothing(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = harness.finalised(CSV), harness.finalised(CSV + b"\n")
    seen: list[queue.Job | None] = []
    complete_and_claim = queue.complete_and_claim

    def watched(*arguments: Any, **named: Any) -> queue.Job | None:
        seen.append(complete_and_claim(*arguments, **named))
        return seen[-1]

    def refused(_services: Services, _work: Work, _heartbeat: Heartbeat) -> Completion:
        def complete(_transaction: Transaction) -> None:
            raise KeyError

        return complete

    monkeypatch.setattr(queue, "complete_and_claim", watched)
    monkeypatch.setattr(execute, "STEPS", {**STEPS, JobType.ARTIFACT_VALIDATE: refused})
    job = queue.claim(harness.database, "test")
    assert job is not None
    executed = execute.execute(
        harness.services, job, remaining_ms=lambda: LIFE_MS, whole_life=True, next_claim=queue.Claims("test").next
    )
    assert (executed.outcome, executed.next_job) == (Outcome.RETRIED, None)
    assert [taken.run_id for taken in seen if taken] == [second.run_id]
    assert statuses(harness, first) == [("artifact_validate", "QUEUED", 1)]
    assert statuses(harness, second) == [("artifact_validate", "QUEUED", 0)]


def test_a_worker_whose_time_is_up_claims_nothing_more(harness: Harness) -> None:
    first, second = harness.finalised(CSV), harness.finalised(CSV + b"\n")
    ticks = iter([LIFE_MS, LIFE_MS])
    drained = drain(harness.services, lambda: next(ticks, LIFE_MS // 3))
    assert drained.outcomes == {Outcome.SUCCEEDED: 1}
    assert drained.due == 2
    assert statuses(harness, first) == [("artifact_validate", "SUCCEEDED", 1), ("artifact_classify", "QUEUED", 0)]
    assert statuses(harness, second) == [("artifact_validate", "QUEUED", 0)]


class Life:
    """A worker's life, whose time passes only where a step says so."""

    def __init__(self) -> None:
        self.left_ms = LIFE_MS

    def __call__(self) -> int:
        return self.left_ms

    def spend(self, percent: int, heartbeat: Heartbeat) -> None:
        for _ in range(percent):
            self.left_ms -= LIFE_MS // 100
            heartbeat()


def test_a_recording_that_a_life_suffices_for_is_finished_behind_whatever_other_work(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It needs 60 % of a life, and stands behind a job that takes 45 % each time; the first attempt is in vain."""
    long, life = harness.finalised(CSV), Life()
    begun: list[float] = []

    def parse(services: Services, work: Work, heartbeat: Heartbeat) -> Completion:
        if work.session_id == long.session_id:
            begun.append(life.left_ms / LIFE_MS)
            life.spend(60, heartbeat)
        return STEPS[JobType.PARSE_RAW](services, work, heartbeat)

    def validate(services: Services, work: Work, heartbeat: Heartbeat) -> Completion:
        if work.session_id != long.session_id:
            life.spend(45, heartbeat)
        return STEPS[JobType.ARTIFACT_VALIDATE](services, work, heartbeat)

    changed = {**STEPS, JobType.PARSE_RAW: parse, JobType.ARTIFACT_VALIDATE: validate}
    monkeypatch.setattr(execute, "STEPS", changed)
    for number in range(6):
        if number < 3:
            other = harness.finalised(CSV + b"\n" * (number + 1))
            harness.sql(
                "UPDATE telemetry_jobs SET created_at = now() - interval '1 h' WHERE run_id = :r", r=other.run_id
            )
        life.left_ms = LIFE_MS
        drain(harness.services, life, worker=f"worker {number}")
        harness.hurry()
    assert begun == [0.55, 1.0]
    assert harness.session(long)["status"] == "READY"
    assert {job["status"] for job in harness.sql("SELECT status FROM telemetry_jobs")} == {"SUCCEEDED"}


def test_a_retry_nearby_ends_a_worker_past_its_beginning_and_is_the_next_ones(harness: Harness) -> None:
    made = [harness.finalised(CSV + b"\n" * number) for number in range(3)]
    harness.sql(
        "UPDATE telemetry_jobs SET attempt_count = 1, last_error_code = 'PROCESSING_TIMEOUT' WHERE run_id = :run",
        run=made[1].run_id,
    )
    first = iter([LIFE_MS, LIFE_MS])
    drained = drain(harness.services, lambda: next(first, LIFE_MS * 8 // 10))
    assert drained.outcomes == {Outcome.SUCCEEDED: 1}
    assert drained.due == 3
    assert statuses(harness, made[1]) == [("artifact_validate", "QUEUED", 1)]
    assert queue.retry_is_near(harness.database)
    (young,) = harness.sql("SELECT max(created_at) AS newest FROM telemetry_jobs")
    assert not queue.retry_is_near(harness.database, young["newest"])
    second = iter([LIFE_MS, LIFE_MS])
    assert drain(harness.services, lambda: next(second, LIFE_MS * 8 // 10)).outcomes[Outcome.SUCCEEDED] > 1
    assert statuses(harness, made[1])[0] == ("artifact_validate", "SUCCEEDED", 2)
    assert not queue.retry_is_near(harness.database)

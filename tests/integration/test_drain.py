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

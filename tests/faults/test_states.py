"""The state machine of jobs, runs and sessions as a whole, against the real database: any order of verbs by any worker,
owner and janitor keeps the invariants, and a fence never lets a stale worker through."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from telemetry import queue, session_changes
from telemetry.database.connection import Transaction
from telemetry.database.queries import load
from telemetry.database.storable import storable_json
from telemetry.domain.owner import Owner
from telemetry.domain.states import JobType
from telemetry.errors import Code, TelemetryError
from telemetry.gate import set_gate
from telemetry.janitor import Task, clean
from telemetry.pipeline.failure import record_failure
from telemetry.pipeline.step import ArtifactError
from telemetry.pipeline.steps import following
from tests.faults.invariants import violations
from tests.faults.worker_pool import WorkerPool
from tests.plugins.harness import LIFE_MS, OWNER, TENANT, Harness

_PIPELINE = load("pipeline")
ME, STRANGER = Owner(OWNER, TENANT), Owner("a stranger", TENANT)
_REFUSALS = {Code.NOT_FOUND, Code.SESSION_STATE_CONFLICT, Code.SESSION_NOT_READY, Code.RAW_DISCARDED}
LONG = bool(os.environ.get("FAULTS_LONG"))


class Machine(RuleBasedStateMachine):
    """Verbs of the queue and of the owner, as workers, janitor and API use them; no file is read."""

    harness: Harness
    reached: Counter[str]
    made = Bundle("made")
    held = Bundle("held")

    def __init__(self) -> None:
        super().__init__()
        self.harness.sql(
            """TRUNCATE telemetry_sessions, telemetry_artifacts, telemetry_processing_runs, telemetry_jobs,
                        telemetry_datasets, telemetry_laps, telemetry_devices, faults_history"""
        )
        self.numbers: Iterator[int] = iter(range(1_000_000))

    @rule(target=made)
    def finalise(self) -> UUID:
        """A new session with its first job."""
        return self.harness.finalise(
            self.harness.upload(None, sha256=f"{next(self.numbers):064x}", byte_size=1)
        ).session_id

    @rule(target=held)
    def claim(self) -> Any:
        """A worker takes what is due; its run begins."""
        return self._claimed() or multiple()

    @rule(target=held, job=consumes(held))
    def complete(self, job: queue.Job) -> Any:
        """It succeeds, with all that its step writes about states, and takes the next."""
        return self._completed(job) or multiple()

    @rule(target=held, jobs=st.integers(2, 12))
    def work(self, jobs: int) -> Any:
        """A worker whom nothing disturbs for so many jobs; the last it still holds."""
        claims = queue.Claims("diligent")
        job = self._claimed(claims)
        for _ in range(jobs):
            if job is None:
                return multiple()
            job = self._completed(job, claims) or self._claimed(claims)
        return job or multiple()

    @rule(job=held)
    def heartbeat(self, job: queue.Job) -> None:
        """It gets on."""
        self._fenced(job, lambda transaction: queue.heartbeat(transaction, job))

    @rule(job=consumes(held), code=st.sampled_from([Code.STORAGE_UNAVAILABLE, Code.CSV_MALFORMED, Code.INTERNAL_ERROR]))
    def fail(self, job: queue.Job, code: Code) -> None:
        """It fails, in passing or for good."""
        mine = self._is_held(job)
        try:
            record_failure(
                self.harness.database, job, ArtifactError(UUID(job.payload["artifactIds"][0]), code, "line 1")
            )
        except queue.LeaseLost:
            assert not mine
        else:
            assert mine

    @rule()
    def lapse_and_rescue(self) -> None:
        """Everyone falls silent for longer than a lease."""
        self.harness.sql("UPDATE telemetry_jobs SET locked_at = now() - interval '1 day' WHERE status = 'RUNNING'")
        clean(self.harness.services, lambda: LIFE_MS, [Task.RESCUE])

    @rule()
    def hurry(self) -> None:
        """Time passes."""
        self.harness.hurry()

    @rule(session_id=made)
    def cancel(self, session_id: UUID) -> None:
        """The owner thinks better of it."""
        self._by_the_owner(session_changes.cancel_session, session_id)

    @rule(session_id=made)
    def retry(self, session_id: UUID) -> None:
        """The owner tries again."""
        self._by_the_owner(session_changes.retry_session, session_id)

    @rule(session_id=made)
    def give_line(self, session_id: UUID) -> None:
        """The owner gives a start/finish line of theirs."""
        self._by_the_owner(lambda services, owner, one: set_gate(services, owner, one, {"sectors": []}), session_id)

    @rule(session_id=consumes(made))
    def delete(self, session_id: UUID) -> None:
        """The owner takes everything away."""
        self._by_the_owner(session_changes.delete_session, session_id)

    @rule(session_id=made, verb=st.sampled_from(["cancel_session", "retry_session", "delete_session"]))
    def meddle(self, session_id: UUID, verb: str) -> None:
        """A stranger tries the same."""
        with pytest.raises(TelemetryError, match="NOT_FOUND") as refused:
            getattr(session_changes, verb)(self.harness.services, STRANGER, session_id)
        assert refused.value.code is Code.NOT_FOUND, "not even whether it is there"

    @invariant()
    def everything_holds(self) -> None:
        """A, B, E, F, G at any moment."""
        assert violations(self.harness, settled=False, objects=False) == []
        for row in self.harness.sql("SELECT new_status FROM faults_history"):
            self.reached[row["new_status"]] += 1

    def _claimed(self, claims: queue.Claims | None = None) -> queue.Job | None:
        job = (claims or queue.Claims("worker")).take(self.harness.database)
        if job is not None:
            self.harness.database.run(_PIPELINE["start_run"], run_id=job.run_id)
        return job

    def _completed(self, job: queue.Job, claims: queue.Claims | None = None) -> queue.Job | None:
        """The next job, when there is one and this one was still held."""
        claims = claims or queue.Claims("worker")
        taken: list[queue.Job | None] = []

        def write(transaction: Transaction) -> None:
            chained = self._work(transaction, job)["run_status"] != "SUCCEEDED"
            successor = following(job.job_type, self.harness.services.settings) if chained else None
            taken.append(queue.complete_and_claim(transaction, job, successor=successor, wanted=claims.next()))
            self._step(transaction, job)

        self._fenced(job, write)
        if not taken or taken[0] is None:
            return None
        claims.took(taken[0])
        self.harness.database.run(_PIPELINE["start_run"], run_id=taken[0].run_id)
        return taken[0]

    def _work(self, transaction: Transaction, job: queue.Job) -> Any:
        rows = transaction.run(_PIPELINE["work_of_job"], run_id=job.run_id, artifact_ids=job.payload["artifactIds"])
        if not rows:
            raise queue.LeaseLost("deleted")
        return rows[0]

    def _is_held(self, job: queue.Job) -> bool:
        rows = self.harness.sql("SELECT status, locked_by, attempt_count FROM telemetry_jobs WHERE id = :id", id=job.id)
        expected = {"status": "RUNNING", "locked_by": job.locked_by, "attempt_count": job.attempt_count}
        return rows == [expected]

    def _fenced(self, job: queue.Job, write: Callable[[Transaction], None]) -> None:
        """The write takes effect exactly when the job is still this worker's."""
        mine = self._is_held(job)
        before = self.harness.sql("SELECT * FROM telemetry_jobs ORDER BY id")
        try:
            with self.harness.database.transaction() as transaction:
                write(transaction)
        except queue.LeaseLost:
            assert not mine
            assert self.harness.sql("SELECT * FROM telemetry_jobs ORDER BY id") == before
        else:
            assert mine

    def _step(self, transaction: Transaction, job: queue.Job) -> None:
        (artifact_id,) = job.payload["artifactIds"]
        run: dict[str, Any] = {"run_id": job.run_id}
        if job.job_type is JobType.ARTIFACT_VALIDATE:
            transaction.run(
                _PIPELINE["validate_artifact"], artifact_id=artifact_id, object_etag="e", object_version=None
            )
        elif job.job_type is JobType.ARTIFACT_CLASSIFY:
            transaction.run(_PIPELINE["classify_artifact"], artifact_id=artifact_id, format="csv", compression=None)
        elif job.job_type is JobType.PARSE_RAW:
            self._record_track(transaction, job)
            transaction.run(_PIPELINE["parse_artifact"], artifact_id=artifact_id, format="csv", compression=None)
        elif job.job_type is JobType.DETECT_LAPS:
            session = self._work(transaction, job)
            if session["run_status"] == "SUCCEEDED":
                self.reached["laps found again"] += 1
                return
            transaction.run(_PIPELINE["succeed_run"], **run)
            now = self.harness.sql("SELECT now() AS now")[0]["now"]
            transaction.run(
                _PIPELINE["ready_session"],
                session_id=session["session_id"],
                start_time_utc=now,
                end_time_utc=now,
                summary="{}",
            )
        else:
            transaction.run(_PIPELINE["discard_artifact"], artifact_id=artifact_id)

    def _record_track(self, transaction: Transaction, job: queue.Job) -> None:
        session_id = self._work(transaction, job)["session_id"]
        track = {
            "artifact_id": job.payload["artifactIds"][0],
            "stream": "gnss_pvt",
            "storage_path": f"datasets/{TENANT}/{session_id}/{job.run_id}/gnss_pvt.parquet",
            "schema_version": 1,
            "row_count": 1,
            "byte_size": 1,
            "sha256": "0" * 64,
            "start_time_utc": "2026-01-01T00:00:00Z",
            "end_time_utc": "2026-01-01T00:00:00Z",
            "quality": {},
        }
        transaction.run(
            load("datasets")["insert_datasets"],
            session_id=session_id,
            run_id=job.run_id,
            files=storable_json([track]),
        )

    def _by_the_owner(self, verb: Callable[[Any, Owner, UUID], Any], session_id: UUID) -> None:
        try:
            verb(self.harness.services, ME, session_id)
        except TelemetryError as error:
            assert error.code in _REFUSALS, error.code


def over(pool: WorkerPool) -> type[Machine]:
    """The machine over a pool's database."""
    # What a claim finds then follows from the verbs, not from how long they took.
    pool.hold_retries()
    return type("OverThePool", (Machine,), {"harness": pool.harness, "reached": Counter()})


def test_any_order_of_verbs_keeps_the_invariants(pool: WorkerPool) -> None:
    run_state_machine_as_test(
        over(pool),
        settings=settings(
            max_examples=300 if LONG else 15,
            stateful_step_count=60 if LONG else 30,
            derandomize=not LONG,
            # To shrink or explain what it found takes minutes over a database; the verbs as they came say enough.
            phases=tuple(Phase) if LONG else (Phase.explicit, Phase.generate),
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            print_blob=False,
        ),
    )


def test_the_verbs_lead_everywhere(pool: WorkerPool) -> None:
    """Else any order of them would hold because none comes that far. Led by hand: how far chance comes is chance."""
    machine = over(pool)()
    ready = machine.finalise()
    machine.work(jobs=12)
    machine.give_line(ready)
    machine.work(jobs=12)
    failed = machine.finalise()
    machine.fail(machine.claim(), Code.CSV_MALFORMED)
    machine.everything_holds()
    machine.retry(failed)
    machine.cancel(failed)
    machine.everything_holds()
    everything = {"SUCCEEDED", "READY", "DISCARDED", "FAILED", "REJECTED", "CANCELLED", "laps found again"}
    assert everything <= set(machine.reached)


def test_no_verb_lets_a_stale_worker_through(pool: WorkerPool) -> None:
    """Led by hand too: chance seldom keeps a job that long in the short form."""
    machine = over(pool)()
    machine.finalise()
    stale: Any = machine.claim()
    machine.lapse_and_rescue()
    machine.hurry()
    held: Any = machine.claim()
    assert (held.id, held.attempt_count) == (stale.id, stale.attempt_count + 1)
    machine.heartbeat(stale)
    machine.complete(stale)
    for code in (Code.STORAGE_UNAVAILABLE, Code.CSV_MALFORMED):
        machine.fail(stale, code)
    machine.everything_holds()
    machine.complete(held)
    machine.everything_holds()
    assert machine.reached["SUCCEEDED"] > 0

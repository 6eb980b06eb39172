"""Two rescuers together; pg_terminate_backend mid-statement; commit done but its answer lost; Postgres immediate
restart; connections exhausted; deadlock cancel against complete. The API answers 503 with Retry-After."""

import contextlib
import hashlib
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pg8000.exceptions
import pytest

from functions.object_created import app as object_created
from functions.sessions import app as sessions
from functions.uploads import app as uploads
from infra.local.postgres import Postgres, named_url
from migrations.run import migrate
from telemetry import janitor, queue
from telemetry.services import Services
from telemetry.settings import DatabaseSettings, Settings
from tests.faults.conftest import at_rest
from tests.faults.proxy import DatabaseProxy
from tests.faults.worker_pool import ForkServer, Worker, WorkerPool, wait_until
from tests.plugins.api import Answer, ApiClient
from tests.plugins.harness import SAMPLES, Harness
from tests.plugins.postgres import connect, environment_of, settings_of

CSV = (SAMPLES / "sample_gnss_10hz.csv").read_bytes()
SOURCES = {hashlib.sha256(CSV).hexdigest(): CSV}

pytestmark = pytest.mark.skipif(named_url() is not None, reason="needs a PostgreSQL of its own, not a named one")


@pytest.fixture
def proxy(database_settings: DatabaseSettings) -> Iterator[DatabaseProxy]:
    """Before the database of `harness`."""
    made = DatabaseProxy(database_settings.host, database_settings.port)
    yield made
    made.close()


def behind(proxy: DatabaseProxy) -> dict[str, str]:
    """The variables that lead a worker through the proxy."""
    return {"TELEMETRY_DATABASE_HOST": "127.0.0.1", "TELEMETRY_DATABASE_PORT": str(proxy.port)}


@pytest.fixture
def distant_api(pool: WorkerPool, proxy: DatabaseProxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiClient]:
    """The API, whose database lies behind the proxy."""
    services = Services(Settings.from_environment({**pool.environment, **behind(proxy)}))
    yield _api(pool.harness, services, monkeypatch)
    services.database.close()


def _api(harness: Harness, services: Services, monkeypatch: pytest.MonkeyPatch) -> ApiClient:
    for function in (uploads, sessions, object_created):
        monkeypatch.setattr(function, "services", services)
    for function in (uploads, sessions):
        monkeypatch.setattr(function.api, "_services", services)
    return ApiClient(harness)


def unavailable(answer: Answer) -> bool:
    """True for 503 with Retry-After."""
    after = {name.lower(): value for name, value in answer.headers.items()}.get("retry-after", "")
    return answer.status == 503 and answer.json["code"] == "DATABASE_UNAVAILABLE" and after.isdigit()


def test_two_rescuers_together(pool: WorkerPool) -> None:
    made = [pool.harness.finalised(CSV + b"\n" * number) for number in range(4)]
    for _ in made:
        assert pool.harness.sql(
            """UPDATE telemetry_jobs SET status = 'RUNNING', attempt_count = attempt_count + 1, locked_by = 'silent',
                   locked_at = now() - interval '1 day'
               WHERE id = (SELECT id FROM telemetry_jobs WHERE status = 'QUEUED' LIMIT 1) RETURNING id"""
        )
    rescued: list[int] = []
    start = threading.Barrier(2)

    def rescue() -> None:
        services = Services(pool.harness.services.settings)
        start.wait()
        while count := janitor.rescue(services, batch=1):
            rescued.append(count)
        services.database.close()

    rescuers = [threading.Thread(target=rescue, daemon=True) for _ in range(2)]
    for one in rescuers:
        one.start()
    for one in rescuers:
        one.join(60)
    assert not any(one.is_alive() for one in rescuers)
    assert sum(rescued) == len(made)
    at_rest(pool, SOURCES)
    assert {pool.harness.session(one)["status"] for one in made} == {"READY"}


@pytest.mark.parametrize("job_type", ["parse_raw", "detect_laps"])
def test_pg_terminate_backend_mid_statement(pool: WorkerPool, job_type: str) -> None:
    made = pool.harness.finalised(CSV)
    worker = pool.stopped_at(f"after_claim@{job_type}")
    with connect(pool.harness.services.settings.database) as other:
        other.run("BEGIN")
        other.run("SELECT id FROM telemetry_jobs WHERE status = 'RUNNING' FOR UPDATE")
        worker.go_on()
        wait_until(lambda: _waiting(pool), "the completion waits for the row")
        assert pool.harness.sql("SELECT pg_terminate_backend(:pid) AS done", pid=_waiting(pool)[0])[0]["done"]
        other.run("ROLLBACK")
    worker.wait_done()
    at_rest(pool, SOURCES)
    assert pool.harness.session(made)["status"] == "READY"


@pytest.mark.parametrize("job_type", ["artifact_validate", "parse_raw", "detect_laps", "discard_raw"])
@pytest.mark.parametrize("done", [True, False], ids=["commit done", "commit not done"])
def test_answer_to_a_commit_lost(pool: WorkerPool, proxy: DatabaseProxy, job_type: str, done: bool) -> None:
    made = pool.harness.finalised(CSV)
    worker = pool.stopped_at(f"in_completing_transaction@{job_type}", environment=behind(proxy))
    (proxy.lose_answer if done else proxy.cut_before)(b"COMMIT")
    worker.go_on()
    worker.wait_done()
    assert proxy.injected.total() == 1
    assert worker.outcomes()["retried"] == (0 if done else 1)
    assert worker.outcomes()["lost"] == 0
    at_rest(pool, SOURCES)
    assert pool.harness.session(made)["status"] == "READY"
    attempts = {job["job_type"]: job["attempt_count"] for job in pool.harness.jobs(made)}
    assert attempts.pop(job_type) == (1 if done else 2)
    assert set(attempts.values()) == {1}


def test_the_job_that_a_commit_claimed_is_taken_up_though_its_answer_was_lost(
    pool: WorkerPool, proxy: DatabaseProxy
) -> None:
    made = [pool.harness.finalised(CSV + b"\n" * number) for number in range(3)]
    worker = pool.stopped_at("in_completing_transaction@artifact_validate", environment=behind(proxy))
    proxy.lose_answer(b"COMMIT")
    worker.go_on()
    worker.wait_done()
    assert proxy.injected.total() == 1
    assert worker.outcomes() == {"succeeded": 15}
    at_rest(pool, SOURCES)
    for one in made:
        assert pool.harness.session(one)["status"] == "READY"
        assert {job["attempt_count"] for job in pool.harness.jobs(one)} == {1}


def test_a_claim_whose_answer_was_lost_is_taken_up(pool: WorkerPool, proxy: DatabaseProxy) -> None:
    made = pool.harness.finalised(CSV)
    distant = Services(Settings.from_environment({**pool.environment, **behind(proxy)})).database
    proxy.lose_answer(b"a worker of its own/")
    job = queue.claim(distant, "a worker of its own")
    distant.close()
    assert proxy.injected.total() == 1
    assert job is not None
    (row,) = pool.harness.jobs(made)
    assert (row["status"], row["locked_by"], row["attempt_count"]) == ("RUNNING", job.locked_by, 1)


def test_a_finalise_whose_commit_was_answered_to_nobody_is_asked_again(
    pool: WorkerPool, proxy: DatabaseProxy, distant_api: ApiClient
) -> None:
    upload_id = distant_api.uploaded(CSV)
    proxy.lose_answer(b"COMMIT")
    assert unavailable(distant_api.call("uploads_finalise", upload_id, body={}))
    again = distant_api.call("uploads_finalise", upload_id, body={})
    assert again.status == 202
    assert [row["id"] for row in pool.harness.sql("SELECT id FROM telemetry_sessions")] == [
        UUID(again.json["sessionId"])
    ]
    at_rest(pool, SOURCES)


@pytest.mark.parametrize("call", ["sessions_cancel", "sessions_delete"])
def test_a_cancel_or_delete_whose_commit_was_answered_to_nobody_is_asked_again(
    pool: WorkerPool, proxy: DatabaseProxy, distant_api: ApiClient, call: str
) -> None:
    session_id = distant_api.session_of(CSV)
    proxy.lose_answer(b"COMMIT")
    assert unavailable(distant_api.call(call, session_id))
    assert distant_api.call(call, session_id).status == (200 if call == "sessions_cancel" else 404)
    at_rest(pool)


def test_the_database_out_of_reach(pool: WorkerPool, proxy: DatabaseProxy, distant_api: ApiClient) -> None:
    made = pool.harness.finalised(CSV)
    worker = pool.stopped_at("after_parquet_put@parse_raw", environment=behind(proxy))
    proxy.refusing = True
    proxy.cut_all()
    for call in ("sessions_get", "sessions_cancel", "sessions_delete", "uploads_get", "uploads_finalise"):
        assert unavailable(distant_api.call(call, str(made.session_id)))
    worker.go_on()
    worker.wait_done()
    assert {"message": "ended", "code": "DATABASE_UNAVAILABLE"} in worker.lines()
    proxy.heal()
    assert distant_api.call("sessions_list").status == 200
    at_rest(pool, SOURCES)
    assert pool.harness.session(made)["status"] == "READY"


def test_deadlock_cancel_against_complete(pool: WorkerPool) -> None:
    """Somebody takes the locks in the wrong order: the completion is the victim, is told so, and is tried again."""
    made = pool.harness.finalised(CSV)
    with connect(pool.harness.services.settings.database) as other:
        worker = pool.stopped_at("after_claim@detect_laps")
        other.run("BEGIN")
        other.run("SELECT id FROM telemetry_sessions FOR UPDATE")
        worker.go_on()
        wait_until(lambda: _waiting(pool), "the completion waits for the session")
        try:
            other.run("UPDATE telemetry_jobs SET updated_at = now() WHERE status = 'RUNNING'")
        except pg8000.exceptions.DatabaseError as error:
            assert error.args[0]["C"] == "40P01"  # whoever looked first; then the completion just went on
        other.run("ROLLBACK")
    worker.wait_done()
    at_rest(pool, SOURCES)
    assert pool.harness.session(made)["status"] == "READY"


def test_a_real_cancel_waits_for_a_completion_and_never_deadlocks(
    pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = _api(pool.harness, Services(pool.harness.services.settings), monkeypatch)
    made = pool.harness.finalised(CSV)
    worker = pool.stopped_at("in_completing_transaction@parse_raw", ends_at_failpoint=True)
    answers: list[Answer] = []
    cancelling = threading.Thread(
        target=lambda: answers.append(api.call("sessions_cancel", str(made.session_id))), daemon=True
    )
    cancelling.start()
    wait_until(lambda: _waiting(pool), "the cancel waits")
    worker.go_on()
    cancelling.join(60)
    assert not cancelling.is_alive()
    worker.wait_done()
    assert (answers[0].status, answers[0].json["status"]) == (200, "cancelled")
    at_rest(pool)
    assert pool.harness.session(made)["status"] == "CANCELLED"
    assert pool.harness.datasets(made) == []


class OwnServer:
    """A PostgreSQL that may be stopped, behind a proxy that keeps its address."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._server = Postgres(directory, keep=True)
        self._server.wait()
        self.settings = settings_of(self._server.url)
        with connect(self.settings) as connection:
            # An immediate stop loses what was not flushed; the tests' servers do not flush by themselves.
            connection.run(f"ALTER DATABASE {self.settings.name} SET synchronous_commit = on")
        migrate(self.settings)
        self.proxy = DatabaseProxy(self.settings.host, self.settings.port)

    def stop_at_once(self) -> None:
        """As `pg_ctl stop -m immediate`."""
        assert self._server.pid is not None
        os.kill(self._server.pid, signal.SIGQUIT)
        wait_until(lambda: self._server.exit_code is not None, "PostgreSQL ends")

    def start(self) -> None:
        """Comes back from its log."""
        self._server = Postgres(self._directory, keep=True)
        self._server.wait()
        settings = settings_of(self._server.url)
        self.proxy.upstream = (settings.host, settings.port)

    def settings_now(self) -> DatabaseSettings:
        """Its own address, past the proxy."""
        return settings_of(self._server.url)

    def close(self) -> None:
        """Ends it for good."""
        self.proxy.close()
        self._server.stop()
        place = self._directory / "place"
        if place.exists():
            shutil.rmtree(place.read_text(), ignore_errors=True)


@pytest.fixture
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnServer]:
    """A server of the test's own."""
    made = OwnServer(tmp_path_factory.mktemp("own-postgres"))
    yield made
    made.close()


@pytest.fixture
def own_pool(fork_server: ForkServer, own: OwnServer, tmp_path: Path) -> Iterator[WorkerPool]:
    """A pool and its harness behind that server's proxy."""
    environment = {
        **environment_of(own.settings),
        **behind(own.proxy),
        "TELEMETRY_STORAGE_BACKEND": "local",
        "TELEMETRY_LOCAL_STORAGE_ROOT": str(tmp_path / "store"),
        "TELEMETRY_LOCAL_STORAGE_URL": "http://localhost:1",
        "TELEMETRY_LOCAL_STORAGE_SECRET": "a secret of the test",
    }
    harness = Harness(Settings.from_environment(environment))
    made = WorkerPool(fork_server, harness, environment, tmp_path / "pool")
    yield made
    made.close()
    made.harness.close()


def test_postgres_immediate_restart_and_connections_exhausted(
    own: OwnServer, own_pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = own_pool
    api = _api(pool.harness, pool.harness.services, monkeypatch)
    made = pool.harness.finalised(CSV)
    completing = pool.stopped_at("in_completing_transaction@parse_raw")
    other = pool.harness.finalised(CSV + b"\n")
    parsing = pool.stopped_at("after_claim@parse_raw")
    own.stop_at_once()
    assert unavailable(api.call("sessions_list"))
    completing.go_on()
    completing.wait_done()
    own.start()
    parsing.go_on()
    parsing.wait_done()
    pool.harness = Harness(pool.harness.services.settings)
    api = _api(pool.harness, pool.harness.services, monkeypatch)
    assert api.call("sessions_list").status == 200

    pool.harness.services.database.close()
    with contextlib.ExitStack() as held:
        with pytest.raises(pg8000.exceptions.DatabaseError):
            while True:
                held.enter_context(contextlib.closing(connect(own.settings_now())))
        assert unavailable(api.call("sessions_list"))
        starved: Worker = pool.start()
        starved.wait_done()
        assert {"message": "ended", "code": "DATABASE_UNAVAILABLE"} in starved.lines()
    at_rest(pool, SOURCES)
    assert {pool.harness.session(one)["status"] for one in (made, other)} == {"READY"}


def _waiting(pool: WorkerPool) -> list[Any]:
    rows = pool.harness.sql(
        """SELECT pid FROM pg_stat_activity
           WHERE datname = current_database() AND wait_event_type = 'Lock' AND pid <> pg_backend_pid()"""
    )
    return [row["pid"] for row in rows]

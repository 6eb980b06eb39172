"""A soak: random uploads, kills, freezes, restarts, lost answers, cancels, deletes and doubled events, for minutes.

`python -m tests.faults.soak --minutes 30 --seed 7`. Several worker processes over a PostgreSQL and a LocalStack of its
own, both behind fault proxies. It goes in rounds: each ends with the faults switched off, and from there everything
must come to its end with nobody helping, and every invariant must hold. Prints counts, and 0 violations at best.
"""

import argparse
import gzip
import hashlib
import logging
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from infra.local.localstack import LocalStack
from infra.local.postgres import Postgres
from migrations.run import migrate
from telemetry import gate, session_changes, uploads
from telemetry.domain.owner import Owner
from telemetry.errors import TelemetryError
from telemetry.janitor import clean
from telemetry.services import Services
from telemetry.settings import DatabaseSettings, Settings
from telemetry.storage.protocol import SignedRequest
from tests.faults.invariants import violations
from tests.faults.proxy import DatabaseProxy, StorageProxy
from tests.faults.worker import with_lease
from tests.faults.worker_pool import NO_AGE, ForkServer, Worker, WorkerPool, wait_until
from tests.plugins.harness import LIFE_MS, SAMPLES, Harness
from tests.plugins.postgres import connect, environment_of, settings_of

WORKERS = 4
LEASE_S = 3
ROUND_S = 120.0
REST_S = 90.0
"""Within this time after the last fault everything must have ended."""

OWNERS = tuple(Owner(f"owner-{number}", f"tenant-{number % 2}") for number in range(4))
FAILPOINTS = (
    "after_claim",
    "after_claim@parse_raw",
    "before_parquet_put",
    "after_parquet_put",
    "in_completing_transaction",
    "in_completing_transaction@parse_raw",
    "in_completing_transaction@detect_laps",
    "after_commit",
    "after_raw_delete",
)
_LINES = (SAMPLES / "sample_gnss_10hz.csv").read_bytes().splitlines(keepends=True)
_GPX = (SAMPLES / "sample_track.gpx").read_bytes()
_NO_TIME = (SAMPLES / "csv_no_time.csv").read_bytes()
# A plain opener: a proxy of the environment must not come in between.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass
class Report:
    """What happened."""

    faults: Counter[str] = field(default_factory=Counter)
    deeds: Counter[str] = field(default_factory=Counter)
    sessions: Counter[str] = field(default_factory=Counter)
    fenced: int = 0
    rescued: int = 0
    rounds: int = 0
    violations: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        def listed(counts: Counter[str]) -> str:
            return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "none"

        return "\n".join(
            [
                f"rounds {self.rounds}",
                f"faults injected {self.faults.total()}: {listed(self.faults)}",
                f"deeds {self.deeds.total()}: {listed(self.deeds)}",
                f"jobs rescued {self.rescued}",
                f"stale writers fenced {self.fenced}",
                f"sessions {self.sessions.total()}: {listed(self.sessions)}",
                f"violations {len(self.violations)}",
                *(f"  {one}" for one in self.violations[:50]),
            ]
        )


class Soak:
    """One database, two buckets, a pool of workers, and a client that does its worst."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.report = Report()
        self._random = random.Random(seed)
        self._directory = directory
        self._closing: list[Callable[[], None]] = []
        self._sources: dict[str, bytes] = {}
        self._frozen: list[tuple[float, Worker]] = []
        self._signed: list[tuple[SignedRequest, bytes]] = []
        self._announced: list[tuple[Owner, UUID]] = []
        self._finalised: list[tuple[Owner, UUID]] = []

    def open(self) -> None:
        """Starts the servers and the first workers."""
        self._postgres = Postgres(self._directory / "postgres", keep=True)
        self._closing.append(self._remove_postgres)
        self._postgres.wait()
        direct = settings_of(self._postgres.url)
        # An immediate stop loses what was not flushed; the tests' servers do not flush by themselves.
        with connect(direct) as connection:
            connection.run(f"ALTER DATABASE {direct.name} SET synchronous_commit = on")
        migrate(direct)
        localstack = LocalStack(self._directory / "localstack")
        self._closing.append(localstack.stop)
        localstack.wait()
        os.environ.update({k: v for k, v in localstack.environment.items() if k.startswith("AWS_")})
        buckets = (f"raw-{uuid4().hex[:8]}", f"canonical-{uuid4().hex[:8]}")
        for name in buckets:
            localstack.client("s3").create_bucket(Bucket=name)
        self._storage = StorageProxy(localstack.endpoint, delay_s=1.0)
        self._database = DatabaseProxy(direct.host, direct.port)
        fork_server = ForkServer()
        self._closing += [self._storage.close, self._database.close, fork_server.close]
        shared = {
            **localstack.environment,
            "TELEMETRY_STORAGE_BACKEND": "s3",
            "TELEMETRY_OBJECT_STORAGE_RAW_BUCKET": buckets[0],
            "TELEMETRY_OBJECT_STORAGE_CANONICAL_BUCKET": buckets[1],
        }
        self._environment = {
            **shared,
            **environment_of(direct),
            "TELEMETRY_DATABASE_PORT": str(self._database.port),
            "TELEMETRY_DATABASE_STATEMENT_TIMEOUT_SECONDS": "5",
            "TELEMETRY_OBJECT_STORAGE_ENDPOINT": self._storage.url,
        }
        self._shared = shared
        self._fork_server = fork_server
        self._connect(direct)
        self._pool = WorkerPool(fork_server, self._harness, self._environment, self._directory / "workers")
        # The API's side goes through the same broken connections.
        self._client = Services(Settings.from_environment(self._environment))

    def close(self) -> None:
        """Ends everything."""
        for close in reversed(self._closing):
            close()

    def run(self, seconds: float) -> Report:
        """Rounds until the time is up, or one shows a violation."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.report.violations:
            self._round(min(ROUND_S, end - time.monotonic()))
            print(
                f"round {self.report.rounds}: {self.report.sessions.total()} sessions, "
                f"{self.report.faults.total()} faults, {len(self.report.violations)} violations",
                flush=True,
            )
        return self.report

    def _round(self, seconds: float) -> None:
        self._pool.workers.clear()
        for _ in range(WORKERS):
            self._worker()
        self._storage.fail_at_random(0.03, self._random.randrange(1 << 30))
        end = time.monotonic() + seconds
        checked = time.monotonic()
        deeds = [
            (30, self._upload), (6, self._finalise_again), (5, self._event), (4, self._cancel), (4, self._delete),
            (4, self._retry), (4, self._gate), (3, self._abandon), (4, self._revive),
            (5, self._kill), (5, self._freeze), (6, self._failpoint), (3, self._terminate), (4, self._lose_commit),
            (2, self._cut), (0.4, self._restart),
        ]  # fmt: skip
        while time.monotonic() < end:
            (deed,) = self._random.choices([deed for _, deed in deeds], [weight for weight, _ in deeds])
            try:
                deed()
            except TelemetryError as error:
                self.report.deeds[f"answered {error.code}"] += 1
            self._thaw()
            if time.monotonic() - checked > 5:
                self._check(settled=False, objects=False)
                checked = time.monotonic()
            time.sleep(self._random.random() * 0.1)
        self._rest()
        self.report.rounds += 1

    def _rest(self) -> None:
        """No more faults. From here on everything must end by itself."""
        self._storage.fail_at_random(0.0)
        self._database.heal()
        self._thaw(everyone=True)
        live = """SELECT id FROM telemetry_jobs WHERE status IN ('QUEUED', 'RUNNING')
                  UNION ALL SELECT id FROM telemetry_sessions WHERE status = 'PROCESSING'"""
        if not any(worker.alive for worker in self._pool.workers):
            self._worker()
        try:
            wait_until(lambda: not self._harness.sql(live), "everything has ended", REST_S)
        except AssertionError as error:
            self.report.violations.append(f"E: {error}")
        for worker in self._pool.workers:
            worker.kill()
        self._harness.sql("UPDATE telemetry_artifacts SET expires_at = now() WHERE status = 'UPLOADED'")
        janitor = Services(with_lease(self._harness.services.settings, LEASE_S))
        clean(janitor, lambda: LIFE_MS, safe_age=NO_AGE)
        janitor.database.close()
        self._check(settled=True, objects=True)
        self._count()

    def _check(self, *, settled: bool, objects: bool) -> None:
        self.report.violations += violations(self._harness, settled=settled, sources=self._sources, objects=objects)

    def _count(self) -> None:
        """Counts the round, and clears the tables and buckets for the next one."""
        for row in self._harness.sql("SELECT status, count(*) AS n FROM telemetry_sessions GROUP BY status"):
            self.report.sessions[row["status"].lower()] += row["n"]
        for worker in self._pool.workers:
            for line in worker.lines():
                self.report.fenced += line["message"] == "job lost"
                self.report.rescued += line["message"] == "job rescued"
                if line["message"] == "unexpected error":
                    self.report.deeds[f"unexpected {line['error']} at {line['frames'][-1]}"] += 1
        self.report.faults += self._storage.injected + self._database.injected
        self._storage.injected.clear()
        self._database.injected.clear()
        if self.report.violations:
            return
        for store, paths in (
            (self._harness.services.raw, self._harness.raw_paths()),
            (self._harness.services.canonical, self._harness.canonical_paths()),
        ):
            for path in paths:
                store.delete(path)
        self._harness.sql(
            """TRUNCATE telemetry_sessions, telemetry_artifacts, telemetry_processing_runs, telemetry_jobs,
                        telemetry_datasets, telemetry_laps, telemetry_devices, faults_history"""
        )
        for known in (self._sources, self._signed, self._announced, self._finalised):
            known.clear()

    # What a client does.

    def _upload(self) -> None:
        owner, content, name = self._random.choice(OWNERS), *self._recording()
        self._sources[hashlib.sha256(content).hexdigest()] = content
        on_receipt = self._random.random() < 0.3
        created = uploads.create_upload(
            self._client,
            owner,
            uploads.Announcement(
                name, "text/csv", len(content), hashlib.sha256(content).hexdigest(), finalise_on_receipt=on_receipt
            ),
        )
        self._announced.append((owner, created.upload_id))
        self.report.deeds["uploads announced"] += 1
        if self._random.random() < 0.05:
            return
        self._put(created.upload, content)
        self._signed.append((created.upload, content))
        path = self._client.raw.upload_path(owner.tenant_id, str(created.upload_id))
        if on_receipt:
            for _ in range(self._random.choice((1, 2, 3))):
                made = uploads.record_receipt(self._client, path)
                if made:
                    self._finalised.append((owner, made.session_id))
        elif self._random.random() < 0.9:
            self._finalised.append((owner, uploads.finalise(self._client, owner, created.upload_id).session_id))

    def _recording(self) -> tuple[bytes, str]:
        kind = self._random.random()
        start = self._random.randrange(1, 400)
        rows = _LINES[start : start + self._random.randrange(20, 300)]
        table = _LINES[0] + b"".join(rows)
        if kind < 0.6:
            return table, "lap.csv"
        if kind < 0.75:
            return gzip.compress(table, mtime=start), "lap.csv.gz"
        if kind < 0.85:
            return _GPX + b"\n" * start, "track.gpx"
        if kind < 0.95:
            return _NO_TIME + b"\n" * start, "no time\u00fc+ \x00.csv"
        return os.urandom(1000), "noise.bin"

    def _put(self, signed: SignedRequest, content: bytes) -> int:
        request = urllib.request.Request(signed.url, data=content, headers=signed.headers, method="PUT")  # noqa: S310
        try:
            with _OPENER.open(request, timeout=20) as answer:
                status: int = answer.status
        except urllib.error.HTTPError as error:
            status = error.code
        except OSError:
            status = 0
        self.report.deeds[f"PUT {status or 'lost'}"] += 1
        return status

    def _finalise_again(self) -> None:
        if self._announced:
            owner, upload_id = self._random.choice(self._announced)
            made = uploads.finalise(self._client, owner, upload_id)
            self._finalised.append((owner, made.session_id))
            self.report.deeds["finalised again"] += 1

    def _event(self) -> None:
        owner, upload_id = self._random.choice(self._announced) if self._announced else (OWNERS[0], uuid4())
        unknown = self._random.random() < 0.3
        path = self._client.raw.upload_path(owner.tenant_id, str(uuid4() if unknown else upload_id))
        for _ in range(2):
            uploads.record_receipt(self._client, path)
        self.report.deeds["events doubled"] += 1

    def _of_a_session(self, name: str, deed: Callable[[Services, Owner, UUID], Any]) -> None:
        if self._finalised:
            owner, session_id = self._random.choice(self._finalised[-30:])
            self.report.deeds[name] += 1
            deed(self._client, owner, session_id)

    def _cancel(self) -> None:
        self._of_a_session("cancels", session_changes.cancel_session)

    def _delete(self) -> None:
        self._of_a_session("deletes", session_changes.delete_session)

    def _retry(self) -> None:
        self._of_a_session("retries", session_changes.retry_session)

    def _gate(self) -> None:
        line = {
            "latitude1Deg": 51.0,
            "longitude1Deg": self._random.random(),
            "latitude2Deg": 51.1,
            "longitude2Deg": 1.0,
        }
        self._of_a_session(
            "gates", lambda services, owner, one: gate.set_gate(services, owner, one, {**line, "sectors": []})
        )

    def _abandon(self) -> None:
        if self._announced:
            owner, upload_id = self._random.choice(self._announced[-10:])
            uploads.abandon_upload(self._client, owner, upload_id)
            self.report.deeds["uploads abandoned"] += 1

    def _revive(self) -> None:
        """A second PUT through an address that is still valid: refused, or swept again."""
        if self._signed:
            self._put(*self._random.choice(self._signed))

    # What goes wrong.

    def _fault(self, name: str) -> None:
        self.report.faults[name] += 1

    def _worker(self, failpoint: str = "") -> Worker:
        return self._pool.start(
            failpoint,
            forever=True,
            lease_s=LEASE_S,
            delay_ms=300,
            seconds=self._random.choice((900.0, 20.0)),
            clock_s=self._random.choice((0.0, 0.0, 0.0, 3600.0, -3600.0)),
        )

    def _any(self) -> Worker:
        frozen = {worker.pid for _, worker in self._frozen}
        running = [one for one in self._pool.workers if one.alive and one.pid not in frozen]
        return self._random.choice(running) if running else self._worker()

    def _kill(self) -> None:
        self._any().kill()
        self._worker()
        self._fault("kill -9")

    def _freeze(self) -> None:
        worker = self._any()
        os.kill(worker.pid, signal.SIGSTOP)
        self._frozen.append((time.monotonic() + self._random.choice((0.5, LEASE_S * 2.5)), worker))
        self._fault("frozen")
        self._fill_up()

    def _failpoint(self) -> None:
        name = self._random.choice(FAILPOINTS)
        self._worker(name)
        self._fault("failpoint")
        for worker in self._pool.workers[:-1]:
            if worker.state == "T" and all(one is not worker for _, one in self._frozen):
                if self._random.random() < 0.4:
                    worker.kill()
                else:  # stopped at its failpoint; goes on when its lease has long passed
                    self._frozen.append((time.monotonic() + LEASE_S * 2.5, worker))
        self._fill_up()

    def _fill_up(self) -> None:
        running = [one for one in self._pool.workers if one.alive and one.state != "T"]
        for _ in range(WORKERS - len(running)):
            self._worker()
        for worker in running[WORKERS + 2 :]:
            worker.kill()

    def _thaw(self, *, everyone: bool = False) -> None:
        now = time.monotonic()
        for due, worker in list(self._frozen):
            if everyone or due <= now:
                self._frozen.remove((due, worker))
                if worker.alive:
                    worker.go_on()
        if everyone:
            for worker in self._pool.workers:
                if worker.state == "T":
                    worker.go_on()

    def _terminate(self) -> None:
        self._harness.sql(
            """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE application_name = 'telemetry' AND pid <> pg_backend_pid() AND random() < 0.5"""
        )
        self._fault("pg_terminate_backend")

    def _lose_commit(self) -> None:
        (self._database.lose_answer if self._random.random() < 0.6 else self._database.cut_before)(b"COMMIT")

    def _cut(self) -> None:
        self._database.cut_all()

    def _restart(self) -> None:
        """PostgreSQL is stopped at once and comes back from its log."""
        self._harness.close()
        pid = self._postgres.pid
        assert pid is not None
        os.kill(pid, signal.SIGQUIT)
        wait_until(lambda: self._postgres.exit_code is not None, "PostgreSQL ends")
        self._postgres = Postgres(self._directory / "postgres", keep=True)
        self._postgres.wait()
        direct = settings_of(self._postgres.url)
        self._database.upstream = (direct.host, direct.port)
        self._connect(direct)
        self._pool.harness = self._harness
        self._fault("PostgreSQL restarted")

    def _connect(self, direct: DatabaseSettings) -> None:
        """The test's own look into database and stores, past the proxies."""
        self._harness = Harness(Settings.from_environment({**self._shared, **environment_of(direct)}))

    def _remove_postgres(self) -> None:
        self._postgres.stop()
        note = self._directory / "postgres" / "place"
        if note.exists():
            shutil.rmtree(note.read_text(), ignore_errors=True)


def soak(seconds: float, seed: int) -> Report:
    """One soak from start to end."""
    logging.getLogger("telemetry").setLevel(logging.CRITICAL)
    directory = Path(tempfile.mkdtemp(prefix="telemetry-soak-"))
    made = Soak(directory, seed)
    try:
        made.open()
        return made.run(seconds)
    finally:
        made.close()
        if made.report.violations:
            print(f"the workers' logs are in {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)


def main() -> int:
    """Entry point; 1 when an invariant was violated."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    given = parser.parse_args()
    print(f"soak of {given.minutes:g} minutes, seed {given.seed}", flush=True)
    report = soak(given.minutes * 60, given.seed)
    print(report)
    return 1 if report.violations or not report.sessions else 0


if __name__ == "__main__":
    sys.exit(main())

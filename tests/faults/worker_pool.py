"""Starts, stops, freezes and kills worker processes, and takes the service back to rest after a fault."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

from infra.local.process import ROOT, base_environment
from telemetry.errors import TelemetryError
from telemetry.janitor import Task, clean
from telemetry.pipeline.drain import drain
from telemetry.pipeline.failpoints import VARIABLE
from telemetry.services import Services
from tests.faults.invariants import record_history
from tests.faults.worker import Order, with_lease
from tests.plugins.harness import LIFE_MS, Harness

NO_AGE = timedelta(seconds=-5)
PATIENCE_S = 20.0


def wait_until(true: Callable[[], object], what: str | Callable[[], str], seconds: float = PATIENCE_S) -> None:
    """Returns once it is true; fails when that takes too long, and says `what` it waited for, as it is then."""
    limit = time.monotonic() + seconds
    while not true():
        if time.monotonic() > limit:
            raise AssertionError(f"not within {seconds:g} s: {what if isinstance(what, str) else what()}")
        time.sleep(0.01)


class ForkServer:
    """The process that forks workers. They end with it, and it ends with us."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.worker"],
            cwd=ROOT,
            env=base_environment(PYTHONPATH=f"{ROOT / 'layers/core/python'}{os.pathsep}{ROOT}"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        if self._answer() != "ready":
            raise AssertionError("the fork server does not start")

    def start(self, order: Order) -> int:
        """Forks a worker and gives its process id."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asdict(order)).encode() + b"\n")
        self._process.stdin.flush()
        return int(self._answer())

    def close(self) -> None:
        """Ends it and every worker."""
        self._process.kill()
        self._process.communicate()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().decode().strip()


class Worker:
    """One worker process."""

    def __init__(self, pid: int, log: Path) -> None:
        self.pid = pid
        self.log = log
        self._started = self._status()[1]

    def _status(self) -> tuple[str, str]:
        """State and start, as `man 5 proc` has them in `stat`; empty once there is no such process."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return "", ""
        return fields[0], fields[19]

    @property
    def state(self) -> str:
        """As the kernel names it: `R`, `S`, `T` stopped; empty once it is gone, whoever has its number since."""
        state, started = self._status()
        return state if started == self._started else ""

    @property
    def alive(self) -> bool:
        """False once it has ended."""
        return self.state not in ("", "Z", "X")

    def wait_stopped(self) -> None:
        """Returns once it has stopped at its failpoint."""
        wait_until(lambda: self.state == "T" or not self.alive, lambda: f"worker stops; its log: {self.text()}")
        assert self.alive, f"ended before its failpoint; its log: {self.text()}"

    def wait_done(self) -> None:
        """Returns once it has ended by itself."""
        wait_until(lambda: not self.alive, lambda: f"worker ends; its log: {self.text()}")

    def freeze(self) -> None:
        """As a machine that is suspended."""
        os.kill(self.pid, signal.SIGSTOP)
        wait_until(lambda: self.state == "T", "worker stops")

    def go_on(self) -> None:
        """Continues it."""
        if self.alive:
            os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """`kill -9`; no error when it is gone."""
        if self.alive:
            os.kill(self.pid, signal.SIGKILL)
        wait_until(lambda: not self.alive, "worker dies")

    def text(self) -> str:
        """Its whole log."""
        return self.log.read_text() if self.log.exists() else ""

    def lines(self) -> list[dict[str, Any]]:
        """Its log's records."""
        return [json.loads(line) for line in self.text().splitlines() if line.startswith("{")]

    def peak_mb(self) -> float:
        """The most memory that it held, from its log's last line; it must have ended by itself."""
        return float(self.lines()[-1]["peak_mb"])

    def cpu_s(self) -> float:
        """The processor time that it took, from its log's last line; it must have ended by itself."""
        return float(self.lines()[-1]["cpu_s"])

    def outcomes(self) -> Counter[str]:
        """How its jobs ended."""
        return Counter(line["outcome"] for line in self.lines() if line["message"] == "job ended")


class WorkerPool:
    """The worker processes over one harness's database and stores.

    Every retry in that database comes a thousand times sooner, so that a test sees a job through to its end
    with nobody helping; and all changes of state are recorded for `invariants`.
    """

    def __init__(
        self, fork_server: ForkServer, harness: Harness, environment: Mapping[str, str], directory: Path
    ) -> None:
        self.harness = harness
        self._fork_server = fork_server
        self.environment = dict(environment)
        self._directory = directory
        self.workers: list[Worker] = []
        directory.mkdir(parents=True, exist_ok=True)
        record_history(harness)
        harness.sql(
            """CREATE OR REPLACE FUNCTION telemetry_backoff(attempt integer, random_fraction double precision)
               RETURNS interval LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN
               (0.5 + 0.5 * random_fraction) * least(900.0, 30.0 * power(2.0, least(attempt - 1, 10)))
               * interval '1 millisecond'"""
        )

    def start(self, failpoint: str = "", *, environment: Mapping[str, str] | None = None, **order: Any) -> Worker:
        """Starts a worker that drains once, or stops at the failpoint."""
        log = self._directory / f"worker-{len(self.workers)}.log"
        variables = {**self.environment, **(environment or {}), VARIABLE: failpoint}
        worker = Worker(self._fork_server.start(Order(environment=variables, log=str(log), **order)), log)
        self.workers.append(worker)
        return worker

    def stopped_at(self, failpoint: str, **order: Any) -> Worker:
        """A worker that has stopped there."""
        worker = self.start(failpoint, **order)
        worker.wait_stopped()
        return worker

    def hold_retries(self) -> None:
        """From now on a retry comes due by the harness's `hurry` alone, never within the time that a test takes."""
        self.harness.sql(
            """CREATE OR REPLACE FUNCTION telemetry_backoff(attempt integer, random_fraction double precision)
               RETURNS interval LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN interval '1 hour'"""
        )

    def lapse(self) -> None:
        """Lets every lease that is held now pass, by the only clock that counts."""
        self.harness.sql("UPDATE telemetry_jobs SET locked_at = locked_at - interval '1 hour' WHERE status = 'RUNNING'")

    def rescue(self) -> int:
        """One janitor's rescue; gives how many jobs it took."""
        return clean(self.harness.services, lambda: LIFE_MS, [Task.RESCUE])[Task.RESCUE]

    def settle(self, *, lease_s: int = 1, seconds: float = PATIENCE_S) -> None:
        """A worker and a janitor go about their work until everything has ended, then the janitor sweeps.

        Nothing helps them but time: leases of a second pass by themselves.
        """
        services = Services(with_lease(self.harness.services.settings, lease_s))
        live = "SELECT id FROM telemetry_jobs WHERE status IN ('QUEUED', 'RUNNING')"
        limit = time.monotonic() + seconds
        try:
            while True:
                try:
                    clean(services, lambda: LIFE_MS, [Task.RESCUE])
                    drain(services, lambda: LIFE_MS, worker="settle")
                except TelemetryError as error:
                    if time.monotonic() > limit:
                        raise AssertionError(f"still failing: {error}") from error
                if not self.harness.sql(live):
                    break
                assert time.monotonic() < limit, f"not at rest after {seconds:g} s"
                time.sleep(0.02)
            clean(services, lambda: LIFE_MS, safe_age=NO_AGE)
        finally:
            services.database.close()

    def close(self) -> None:
        """Kills whoever is left."""
        for worker in self.workers:
            worker.kill()

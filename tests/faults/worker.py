"""Worker processes for the fault tests: a fork server that has everything imported, and forks one for each order.

The worker is the service's own `drain`. What a test changes about it (a short lease, a shifted clock, no fence, a
parser that hangs) is changed here, inside the process that was started for it, never in the service. Started as
``python -m tests.faults.worker``; orders come as JSON lines on standard input, process ids go back on standard output.
"""

import ctypes
import dataclasses
import json
import logging
import os
import random
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

from telemetry import janitor, recording
from telemetry.database.queries import load
from telemetry.errors import TelemetryError
from telemetry.pipeline import failpoints
from telemetry.pipeline.drain import drain
from telemetry.services import Services
from telemetry.settings import Settings

_PR_SET_PDEATHSIG = 1
_FENCE = re.compile(r"AND status = 'RUNNING' AND locked_by = :locked_by AND attempt_count = :attempt_count")
_NO_FENCE = "AND CAST(:locked_by AS text) IS NOT NULL AND CAST(:attempt_count AS integer) IS NOT NULL"
_FENCED_VERBS = {"heartbeat", "complete_and_claim", "retry_later", "fail"}


@dataclasses.dataclass(frozen=True)
class Order:
    """One process to be started.

    Attributes
    ----------
    environment : its settings, and `TELEMETRY_FAILPOINT` where it shall stop.
    log : file that takes its log as JSON lines.
    seconds : a worker's life as Lambda would give it.
    lease_s : instead of the settings' one, which is never below a minute.
    forever : drains again and again, with the janitor now and then, until it is killed.
    fenced : False takes the fence out of every statement.
    clock_s : how far its clock is off.
    ends_at_failpoint : its life is over when it goes on from its failpoint.
    parser : what becomes of it when it begins to parse: nothing, `hangs` or `dies`.
    delay_ms : makes each parsing last a random time up to this.
    """

    environment: dict[str, str]
    log: str
    seconds: float = 900.0
    lease_s: int | None = None
    forever: bool = False
    fenced: bool = True
    clock_s: float = 0.0
    ends_at_failpoint: bool = False
    parser: str = ""
    delay_ms: int = 0


def with_lease(settings: Settings, lease_s: int) -> Settings:
    """The same settings with a lease as short as a test can wait for."""
    short = type("ShortLease", (Settings,), {"lease_s": lease_s})
    values = {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}
    made: Settings = short(**values)
    return made


def take_fence_out() -> None:
    """Replaces every fence in this process's statements by a condition that always holds."""
    queries = load("jobs")
    opened = set()
    for name, query in queries.items():
        sql, count = _FENCE.subn(_NO_FENCE, query.sql)
        if count:
            queries[name] = dataclasses.replace(query, sql=sql)
            opened.add(name)
    if not opened >= _FENCED_VERBS:
        raise RuntimeError(f"no fence found in {_FENCED_VERBS - opened}")


def shift_clock(seconds: float) -> None:
    """Puts this process's idea of the time of day off."""
    clock, clock_ns = time.time, time.time_ns

    class AnyDatetime(type):
        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, datetime)

    class Shifted(datetime, metaclass=AnyDatetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Shifted":
            moment = datetime.now(tz or UTC) + timedelta(seconds=seconds)
            return cls.fromtimestamp(moment.timestamp(), tz)

    time.time = lambda: clock() + seconds
    time.time_ns = lambda: clock_ns() + int(seconds * 1e9)
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in ("telemetry", "pg8000") and module.__dict__.get("datetime") is datetime:
            module.__dict__["datetime"] = Shifted


def _spoil_parser(kind: str, delay_ms: int) -> None:
    canonicalise = recording.canonicalise

    def spoiled(*arguments: Any, **named: Any) -> recording.Canonical:
        if kind == "dies":
            os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does when memory is out
        if kind == "hangs":
            threading.Thread(target=_tick, daemon=True).start()
            time.sleep(3600)
        time.sleep(random.random() * delay_ms / 1000)
        return canonicalise(*arguments, **named)

    recording.canonicalise = spoiled


def _tick() -> None:
    while True:
        logging.getLogger("telemetry").info("tick")
        time.sleep(0.05)


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        kept = ("outcome", "job_id", "job_type", "attempt", "status", "code", "task", "error", "frames")
        facts = {name: record.__dict__[name] for name in kept if name in record.__dict__}
        return json.dumps({"message": record.getMessage(), **facts})


def work(order: Order) -> int:
    """What the process does; gives its exit code."""
    os.environ.update(order.environment)
    logger = logging.getLogger("telemetry")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    random.seed(os.getpid())
    if not order.fenced:
        take_fence_out()
    if order.parser or order.delay_ms:
        _spoil_parser(order.parser, order.delay_ms)
    if order.clock_s:
        shift_clock(order.clock_s)
    settings = Settings.from_environment()
    services = Services(with_lease(settings, order.lease_s) if order.lease_s else settings)
    over: list[bool] = []
    if order.ends_at_failpoint:
        stop = failpoints.stop

        def stop_for_good() -> None:
            stop()
            over.append(True)

        failpoints.stop = stop_for_good
    if not order.forever:
        return _attempt(lambda: drain(services, _life(order.seconds, over)))
    while True:
        _attempt(lambda: drain(services, _life(order.seconds)))
        if random.random() < 0.3:
            _attempt(lambda: janitor.clean(services, _life(10.0), safe_age=timedelta(minutes=1)))
        time.sleep(random.random() * 0.2)


def _life(seconds: float, over: Sequence[bool] = ()) -> Callable[[], int]:
    end = time.monotonic() + seconds
    return lambda: 0 if any(over) else int((end - time.monotonic()) * 1000)


def _attempt(do: Callable[[], object]) -> int:
    try:
        do()
    except TelemetryError as error:
        logging.getLogger("telemetry").error("ended", extra={"code": str(error.code)})
        return 1
    return 0


def _peak_mb() -> float:
    # Not getrusage: a forked process inherits its parent's maximum.
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1000
    return 0.0


def _begin(order: Order) -> None:
    """In the forked child."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    code = 70
    try:
        log = os.open(order.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        for stream in (1, 2):
            os.dup2(log, stream)
        sys.stdout = sys.stderr = os.fdopen(2, "w", buffering=1)
        code = work(order)
        print(
            json.dumps({"message": "exit", "code": code, "peak_mb": _peak_mb(), "cpu_s": time.process_time()}),
            file=sys.stderr,
        )
    except BaseException:
        logging.exception("worker process")
    finally:
        os._exit(code)


def main() -> None:
    """The fork server: forks a worker per line, until its input ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them; a dead one is gone at once
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    print("ready", file=answers)
    # Unbuffered: a child must not inherit half a line.
    with Path("/dev/stdin").open("rb", buffering=0) as orders:
        buffer = b""
        while block := orders.read(65536):
            *lines, buffer = (buffer + block).split(b"\n")
            for line in lines:
                order = Order(**json.loads(line))
                pid = os.fork()
                if pid == 0:
                    _begin(order)
                print(pid, file=answers)


if __name__ == "__main__":
    main()

"""The workers that bench_queue.py measures, each a process of its own: `python -m tests.benchmarks.queue_workers NAME`.

A worker connects to the database that TELEMETRY_DATABASE_* names, says that it is ready, waits for a line, empties the
queue, and prints when it began and ended (the system's monotonic clock, in seconds) and how many jobs it ended.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from telemetry.settings import Settings

LIFE_MS = 900_000
Work = Callable[[], int]


def settings() -> Settings:
    """The service's, over the named database and files in a temporary folder."""
    return Settings.from_environment(
        {
            **{name: value for name, value in os.environ.items() if name.startswith("TELEMETRY_DATABASE_")},
            "TELEMETRY_STORAGE_BACKEND": "local",
            "TELEMETRY_LOCAL_STORAGE_ROOT": tempfile.gettempdir(),
            "TELEMETRY_LOCAL_STORAGE_URL": "http://localhost",
            "TELEMETRY_LOCAL_STORAGE_SECRET": "not used",
        }
    )


def apart() -> Work:
    """Claim, then complete in a transaction: two commits a job."""
    from telemetry import queue
    from telemetry.database.connection import Database

    database = Database(settings().database)
    queue.depth(database)  # connects

    def work() -> int:
        ended = 0
        while (job := queue.claim(database, "bench")) is not None:
            with database.transaction() as transaction:
                queue.complete_and_claim(transaction, job)
            ended += 1
        return ended

    return work


def fused() -> Work:
    """Complete and claim the next in one statement, as the drain loop does, without writes of a step's own."""
    from telemetry import queue
    from telemetry.database.connection import Database

    database = Database(settings().database)
    queue.depth(database)

    def work() -> int:
        ended = 0
        claims = queue.Claims("bench")
        job = claims.take(database)
        while job is not None:
            claims.took(job)
            job = queue.complete_and_claim(database, job, wanted=claims.next()) or claims.take(database)
            ended += 1
        return ended

    return work


def drain() -> Work:
    """The worker function's own loop and transactions, its steps replaced by ones that do nothing."""
    from telemetry import queue
    from telemetry.domain.states import JobType
    from telemetry.pipeline import drain as loop
    from telemetry.pipeline import execute
    from telemetry.services import Services

    services = Services(settings())
    queue.depth(services.database)
    vars(execute)["STEPS"] = dict.fromkeys(JobType, lambda *_: lambda _transaction: None)

    def work() -> int:
        # The chain's jobs become due while others work, so a worker may find nothing for a moment.
        return sum(loop.drain(services, lambda: LIFE_MS).outcomes.values())

    return work


def procrastinate() -> Work:
    """procrastinate's worker, one task at a time, with a task that does nothing."""
    import asyncio
    import logging

    logging.disable()
    app = procrastinate_app()

    @app.task(name="nothing")  # type: ignore[untyped-decorator]  # lies in .bench-venv
    async def nothing(**_: object) -> None: ...

    loop = asyncio.new_event_loop()
    loop.run_until_complete(app.open_async())

    def work() -> int:
        loop.run_until_complete(
            app.run_worker_async(wait=False, concurrency=1, listen_notify=False, install_signal_handlers=False)
        )
        return 0  # it does not say

    return work


def procrastinate_app() -> Any:
    """Its application, connected with psycopg to the named database."""
    import procrastinate as library

    database = settings().database
    return library.App(
        connector=library.PsycopgConnector(
            kwargs={
                "host": database.host,
                "port": database.port,
                "dbname": database.name,
                "user": database.user,
                "password": database.password,
            }
        )
    )


WORKERS: dict[str, Callable[[], Work]] = {
    "apart": apart,
    "fused": fused,
    "drain": drain,
    "procrastinate": procrastinate,
}


def main() -> None:
    """Works once, at the word of the process that started this one."""
    work = WORKERS[sys.argv[1]]()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    begin = time.monotonic()
    ended = work()
    sys.stdout.write(json.dumps({"begin": begin, "end": time.monotonic(), "ended": ended}) + "\n")
    sys.stdout.flush()
    os._exit(0)  # no goodbyes: they are not what is measured


if __name__ == "__main__":
    main()

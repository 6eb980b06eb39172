"""Jobs per second of the queue beside procrastinate's worker, and what a claim costs once a million jobs have finished.

    python -m tests.benchmarks.bench_queue [--finished 0 100000 1000000] [--workers 1 2 4 8] [--jobs 1000] [--rounds 3]

Both queues lie in the same database, on the server that TELEMETRY_DATABASE_URL names or on an embedded one, which does
not wait for the disk. A task does nothing, so what is measured is claim and completion; workers are processes.
The comparison needs `procrastinate`, which `make bench` brings; without it our own are measured alone. Figures of one
run are interleaved: compare them with each other only.
"""

import argparse
import asyncio
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from infra.local.postgres import Postgres
from migrations.run import migrate
from telemetry import queue
from telemetry.database.connection import Database
from telemetry.database.queries import Query
from telemetry.domain.states import JobType
from telemetry.settings import DatabaseSettings
from tests.benchmarks.measure import ROOT, verdict
from tests.plugins.postgres import connect, environment_of, settings_of

LEAST_AT_ONE, GOAL_AT_ONE = 3, 4
LEAST_AT_EIGHT, GOAL_AT_EIGHT = 6, 10
MOST_GROWTH = 1.3
MOST_HELD = 2.0

NAMES = {
    "fused": "complete and claim in one",
    "apart": "claim, then complete",
    "drain": "worker's drain loop, empty steps",
    "procrastinate": "procrastinate's worker",
}
STEPS = len(JobType)
CLAIMS = 300

# Five jobs a run, all of them long over.
_FINISHED = """
WITH session AS (
    INSERT INTO telemetry_sessions (tenant_id, owner_user_id, name, status) VALUES ('a', 'a', 'finished', 'READY')
    RETURNING id
),
run AS (
    INSERT INTO telemetry_processing_runs (session_id, pipeline_version, status, started_at, finished_at, created_at)
    SELECT id, '1', 'SUCCEEDED', now(), now(), now() - make_interval(secs => number)
    FROM session, generate_series(1, CAST(:rows AS int) / 5) AS number
    RETURNING id, created_at
)
INSERT INTO telemetry_jobs (run_id, job_type, status, payload, attempt_count, created_at)
SELECT id, job_type, 'SUCCEEDED', jsonb_build_object('artifactIds', jsonb_build_array(gen_random_uuid())), 1, created_at
FROM run, unnest(ARRAY['artifact_validate', 'artifact_classify', 'parse_raw', 'detect_laps', 'discard_raw']) AS job_type
"""
# A session with its artifact, run and first job, as finalising leaves them: each at a time of its own.
_DUE = """
WITH session AS (
    INSERT INTO telemetry_sessions (tenant_id, owner_user_id, name)
    SELECT 'a', 'a', 'bench' FROM generate_series(1, CAST(:sessions AS int))
    RETURNING id
),
artifact AS (
    INSERT INTO telemetry_artifacts (session_id, tenant_id, owner_user_id, original_file_name, content_type, byte_size,
        sha256, storage_path, expires_at)
    SELECT id, 'a', 'a', 'a.csv', 'text/csv', 1, repeat('0', 64), 'a', now() FROM session
    RETURNING id, session_id
),
run AS (
    INSERT INTO telemetry_processing_runs (session_id, pipeline_version) SELECT id, '1' FROM session
    RETURNING id, session_id
)
INSERT INTO telemetry_jobs (run_id, job_type, payload, created_at)
SELECT run.id, 'artifact_validate', jsonb_build_object('artifactIds', jsonb_build_array(artifact.id)), clock_timestamp()
FROM run JOIN artifact USING (session_id)
"""
_THEIR_FINISHED = """
INSERT INTO procrastinate_jobs (queue_name, task_name, args, status, attempts)
SELECT 'default', 'nothing', '{"artifactIds": ["a"]}', 'succeeded', 1 FROM generate_series(1, CAST(:rows AS int))
"""
_THEIR_DUE = """
INSERT INTO procrastinate_jobs (queue_name, task_name, args, status)
SELECT 'default', 'nothing', '{"artifactIds": ["a"]}', 'todo' FROM generate_series(1, CAST(:rows AS int))
"""
_TOUCH = Query("touch", "One row, one commit.", "UPDATE telemetry_sessions SET name = name WHERE id = :id")


class Bench:
    """One database per number of finished rows, each with both queues."""

    def __init__(self, server: DatabaseSettings, finished: list[int], jobs: int) -> None:
        self.theirs = importlib.util.find_spec("procrastinate") is not None
        self.jobs = jobs
        self.databases = {rows: replace(server, name=f"bench_queue_{os.getpid()}_{rows}") for rows in finished}
        self._server = server
        for rows, settings in self.databases.items():
            with connect(server) as sql:
                sql.run(f'CREATE DATABASE "{settings.name}"')
            migrate(settings)
            if self.theirs:
                asyncio.run(_their_schema(settings))
            with connect_patiently(settings) as sql:
                sql.run(_FINISHED, rows=rows)
                if self.theirs:
                    # Their events of finished jobs are left out, in their favour.
                    sql.run("ALTER TABLE procrastinate_jobs DISABLE TRIGGER USER")
                    sql.run(_THEIR_FINISHED, rows=rows)
                    sql.run("ALTER TABLE procrastinate_jobs ENABLE TRIGGER USER")
                sql.run("VACUUM ANALYZE")

    def drop(self) -> None:
        """Takes the databases away again."""
        with connect(self._server) as sql:
            for settings in self.databases.values():
                sql.run(f'DROP DATABASE "{settings.name}" WITH (FORCE)')

    def clear(self, settings: DatabaseSettings) -> None:
        """Leaves the finished rows alone, and no dead ones."""
        with connect_patiently(settings) as sql:
            sql.run("DELETE FROM telemetry_sessions WHERE name = 'bench'")
            sql.run("VACUUM telemetry_jobs")
            if self.theirs:
                sql.run("VACUUM procrastinate_jobs")

    def rate(self, contender: str, settings: DatabaseSettings, workers: int) -> float:
        """Jobs per second, from the first worker's begin to the last one's end."""
        self.clear(settings)
        with connect_patiently(settings) as sql:
            if contender == "procrastinate":
                sql.run(_THEIR_DUE, rows=self.jobs)
            else:
                sql.run(_DUE, sessions=self.jobs // STEPS if contender == "drain" else self.jobs)
        processes = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.benchmarks.queue_workers", contender],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=ROOT,
                env={
                    **os.environ,
                    **environment_of(settings),
                    "PYTHONPATH": os.pathsep.join(
                        [str(ROOT / "layers/core/python"), str(ROOT), os.environ.get("PYTHONPATH", "")]
                    ),
                },
            )
            for _ in range(workers)
        ]
        for process in processes:
            if _line(process) != "ready\n":
                raise RuntimeError(f"a worker of {contender} did not start")
        for process in processes:
            _say(process, "go\n")
        answers = [json.loads(_line(process)) for process in processes]
        for process in processes:
            process.communicate()
        with connect_patiently(settings) as sql:
            table = "procrastinate_jobs" if contender == "procrastinate" else "telemetry_jobs"
            ((left,),) = sql.run(
                f"SELECT count(*) FROM {table} WHERE status::text IN ('todo', 'doing', 'QUEUED', 'RUNNING')"
            )
        if left:
            raise RuntimeError(f"{contender} left {left} jobs")
        ended = sum(answer["ended"] for answer in answers) or self.jobs
        return float(ended / (max(answer["end"] for answer in answers) - min(answer["begin"] for answer in answers)))

    def claims_ms(self, settings: DatabaseSettings) -> float:
        """The median claim, in milliseconds."""
        self.clear(settings)
        with connect_patiently(settings) as sql:
            sql.run(_DUE, sessions=CLAIMS)
        database = Database(settings)
        queue.depth(database)
        spent = [_ms(lambda: queue.claim(database, "bench")) for _ in range(CLAIMS)]
        database.close()
        return statistics.median(spent)


async def _their_schema(settings: DatabaseSettings) -> None:
    from tests.benchmarks.queue_workers import procrastinate_app

    os.environ.update(environment_of(settings))
    async with procrastinate_app().open_async() as app:
        await app.schema_manager.apply_schema_async()


def connect_patiently(settings: DatabaseSettings) -> Any:
    """A connection on which a million rows may take their time."""
    return connect(replace(settings, statement_timeout_s=600))


@contextmanager
def held_open(settings: DatabaseSettings) -> Iterator[None]:
    """Somebody's transaction that sees the database as it was, and so keeps every dead row."""
    with connect_patiently(settings) as sql:
        sql.run("SET idle_in_transaction_session_timeout = 0")
        sql.run("BEGIN ISOLATION LEVEL REPEATABLE READ")
        sql.run("SELECT count(*) FROM telemetry_sessions WHERE id = gen_random_uuid()")
        yield
        sql.run("ROLLBACK")


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def _say(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line)
    process.stdin.flush()


def _ms(act: Callable[[], object]) -> float:
    begin = time.perf_counter()
    act()
    return (time.perf_counter() - begin) * 1000


def throughput(bench: Bench, workers: list[int], rounds: int, *, held: bool) -> dict[tuple[int, int], dict[str, float]]:
    """Medians of jobs per second by finished rows and workers, printed as one table."""
    contenders = [name for name in NAMES if name != "procrastinate" or bench.theirs]
    measured: dict[tuple[int, int], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for _ in range(rounds):
        for rows, settings in bench.databases.items():
            for count in workers:
                for contender in contenders:
                    with held_open(settings) if held else nullcontext():
                        measured[rows, count][contender].append(bench.rate(contender, settings, count))
    medians = {
        cell: {name: statistics.median(rates) for name, rates in by_name.items()} for cell, by_name in measured.items()
    }
    sys.stdout.write(
        f"jobs per second{', one transaction held open' if held else ''} (in brackets: times procrastinate's)\n"
        f"  {'finished':>9} {'workers':>7}" + "".join(f"  {NAMES[name]:>32}" for name in contenders) + "\n"
    )
    for (rows, count), rates in medians.items():
        theirs = rates.get("procrastinate")
        cells = [f"{rate:.0f}" + (f" ({rate / theirs:4.1f})" if theirs else "") for rate in rates.values()]
        sys.stdout.write(f"  {rows:>9} {count:>7}" + "".join(f"  {cell:>32}" for cell in cells) + "\n")
    sys.stdout.flush()
    return medians


def growth(bench: Bench, rounds: int) -> list[bool]:
    """The median claim over finished rows; what a held transaction makes of it; what enqueueing costs."""
    by_rows: dict[int, list[float]] = defaultdict(list)
    for _ in range(max(rounds, 5)):
        for rows, settings in bench.databases.items():
            by_rows[rows].append(bench.claims_ms(settings))
    claims = {rows: statistics.median(medians) for rows, medians in by_rows.items()}
    for rows, median in claims.items():
        sys.stdout.write(f"  claim, median, {rows} finished rows: {median:.2f} ms\n")
    few, many = min(claims), max(claims)
    return [verdict(f"claim at {many} finished rows / at {few}", claims[many] / claims[few], MOST_GROWTH)]


def held_growth(bench: Bench, held_claims: int) -> list[bool]:
    """How claims slow down while one transaction stays open: those of a worker's completions, which go on from its
    last job, and beside them claims by themselves, which begin at the oldest each time."""
    settings = next(iter(bench.databases.values()))
    bench.clear(settings)
    with connect_patiently(settings) as sql:
        sql.run(_DUE, sessions=held_claims + 5 * CLAIMS)
        sql.run("VACUUM ANALYZE telemetry_jobs")
    database = Database(settings)
    claims = queue.Claims("bench")
    job = claims.take(database)

    def complete() -> None:
        nonlocal job
        assert job is not None
        job = queue.complete_and_claim(database, job, wanted=claims.next())
        assert job is not None
        claims.took(job)

    def medians() -> list[float]:
        # One kind after the other: where cores are few, a server that just walked a long index is made to wait.
        kinds = (complete, lambda: queue.claim(database, "bench"))
        return [statistics.median(_ms(claim) for _ in range(CLAIMS)) for claim in kinds]

    with held_open(settings):
        first = medians()
        for _ in range(held_claims - 2 * CLAIMS):
            complete()
        last = medians()
    after = medians()
    for name, *figures in zip(("by a completion", "by itself"), first, last, after, strict=True):
        sys.stdout.write(
            f"  claim {name}, median, one transaction held: {figures[0]:.2f} ms at first, {figures[1]:.2f} ms after"
            f" {held_claims} claims ({figures[1] / figures[0]:.1f} times), {figures[2]:.2f} ms once it has ended\n"
        )
    database.close()
    return [verdict(f"claim after {held_claims} under a held transaction / at first", last[0] / first[0], MOST_HELD)]


def enqueueing(bench: Bench) -> None:
    """Jobs enqueued per second, and completions beside bare one-row updates: figures only."""
    settings = next(iter(bench.databases.values()))
    bench.clear(settings)
    database = Database(settings)
    with connect_patiently(settings) as sql:
        sql.run(_DUE, sessions=bench.jobs * 2)
        sql.run("DELETE FROM telemetry_jobs WHERE status = 'QUEUED'")
        runs = [row[0] for row in sql.run("SELECT id FROM telemetry_processing_runs WHERE status = 'QUEUED'")]
        ((session_id,),) = sql.run("SELECT id FROM telemetry_sessions WHERE name = 'bench' LIMIT 1")
    payload = {"artifactIds": [str(uuid4())]}

    def single() -> None:
        for run_id in runs[: bench.jobs]:
            with database.transaction() as transaction:
                queue.enqueue(transaction, run_id, JobType.ARTIFACT_VALIDATE, payload)

    def batched() -> None:
        with database.transaction() as transaction:
            for run_id in runs[bench.jobs :]:
                queue.enqueue(transaction, run_id, JobType.ARTIFACT_VALIDATE, payload)

    def emptied() -> None:
        claims = queue.Claims("bench")
        job = claims.take(database)
        for _ in range(bench.jobs):
            assert job is not None
            job = queue.complete_and_claim(database, job, wanted=claims.next())

    def committed() -> None:
        for _ in range(bench.jobs):
            database.run(_TOUCH, id=session_id)

    rates = {act.__name__: bench.jobs / _ms(act) * 1000 for act in (single, batched, emptied, committed)}
    database.close()
    sys.stdout.write(
        f"  enqueued per second: {rates['single']:.0f} one a transaction, {rates['batched']:.0f} in one transaction\n"
        f"  complete and claim per second: {rates['emptied']:.0f}, one-row updates: {rates['committed']:.0f}\n"
    )


def verdicts(medians: dict[tuple[int, int], dict[str, float]]) -> list[bool]:
    """The worst ratio to procrastinate at one and at eight workers, beside what it must be and what it should be."""
    reached = []
    for workers, least, goal in ((1, LEAST_AT_ONE, GOAL_AT_ONE), (8, LEAST_AT_EIGHT, GOAL_AT_EIGHT)):
        ratios = [
            rates["fused"] / rates["procrastinate"]
            for (_, count), rates in medians.items()
            if count == workers and "procrastinate" in rates
        ]
        if ratios:
            reached.append(verdict(f"times procrastinate, workers: {workers}", min(ratios), least, at_most=False))
            sys.stdout.write(f"         hoped for: {goal}\n")
    return reached


def main() -> int:
    """Prints the figures; 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--finished", type=int, nargs="+", default=[0, 100_000, 1_000_000])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--held-claims", type=int, default=25_000, help="claims made while one transaction stays open")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        server = Postgres(Path(directory))
        try:
            server.wait()
            bench = Bench(settings_of(server.url), options.finished, options.jobs)
            sys.stdout.write("queue\n")
            if not bench.theirs:
                sys.stdout.write("  left out: procrastinate (not installed)\n")
            try:
                reached = verdicts(throughput(bench, options.workers, options.rounds, held=False))
                throughput(bench, [min(options.workers), max(options.workers)], 1, held=True)
                reached += growth(bench, options.rounds)
                reached += held_growth(bench, options.held_claims)
                enqueueing(bench)
            finally:
                bench.drop()
        finally:
            server.stop()
    return 0 if all(reached) else 1


if __name__ == "__main__":
    sys.exit(main())

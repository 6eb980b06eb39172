"""The first page of an owner's sessions, and one session in detail: an owner with a million beside one with a thousand.

    python -m tests.benchmarks.bench_sessions [--rows 1000000]

Both owners' sessions stand in one table of an embedded PostgreSQL. Each call goes through the use case as the API calls
it, row-level security included, on one warm connection; medians of interleaved calls. Goal: at most twice the time.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from infra.local.postgres import Postgres
from migrations.run import migrate
from telemetry import sessions
from telemetry.domain.owner import Owner
from telemetry.domain.states import SessionStatus
from telemetry.services import Services
from telemetry.settings import Settings
from tests.plugins.postgres import connect, environment_of, settings_of

GOAL = 2.0
CALLS = 200
SMALL = 1000

# Sessions are days apart for the small owner and minutes for the large one, both up to now, with a run each.
FILL = """
WITH made AS (
    INSERT INTO telemetry_sessions (tenant_id, owner_user_id, name, status, start_time_utc, end_time_utc, created_at)
    SELECT :owner, :owner, 'Session ' || n, CASE WHEN n % 50 = 0 THEN 'FAILED' ELSE 'READY' END,
           now() - n * CAST(:apart AS interval), now() - n * CAST(:apart AS interval),
           now() - n * CAST(:apart AS interval)
    FROM generate_series(1, :rows) AS n
    RETURNING id
)
INSERT INTO telemetry_processing_runs (session_id, status, pipeline_version, started_at, finished_at)
SELECT id, 'SUCCEEDED', '1', now(), now() FROM made
"""


def main() -> int:
    """Prints the figures; 1 when the goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory(prefix="telemetry-bench-") as directory:
        server = Postgres(Path(directory) / "postgres")
        try:
            server.wait()
            return _measure(server.url, rows, directory)
        finally:
            server.stop()


def _measure(url: str, rows: int, directory: str) -> int:
    database = replace(settings_of(url), statement_timeout_s=0)
    migrate(database)
    with connect(database) as connection:
        for owner, count, apart in (("small", SMALL, "1 day"), ("large", rows, "1 minute")):
            connection.run(FILL, owner=owner, rows=count, apart=apart)
        connection.run("VACUUM ANALYZE")
    services = Services(
        Settings.from_environment(
            {
                **environment_of(settings_of(url)),
                "TELEMETRY_STORAGE_BACKEND": "local",
                "TELEMETRY_LOCAL_STORAGE_ROOT": directory,
                "TELEMETRY_LOCAL_STORAGE_URL": "http://localhost",
                "TELEMETRY_LOCAL_STORAGE_SECRET": "of the benchmark",
            }
        )
    )
    worst = 0.0
    for name, call in _calls(services).items():
        seconds = _interleaved(call)
        ratio = seconds["large"] / seconds["small"]
        worst = max(worst, ratio)
        sys.stdout.write(
            f"{name}: {seconds['small'] * 1000:.2f} ms with {SMALL} sessions, {seconds['large'] * 1000:.2f} ms with "
            f"{rows}: {ratio:.2f} times (goal {GOAL})\n"
        )
    services.database.close()
    return int(worst > GOAL)


def _calls(services: Services) -> dict[str, Callable[[Owner], object]]:
    middle = {name: _middle(services, Owner(name, name)) for name in ("small", "large")}
    return {
        "first page": lambda owner: sessions.list_sessions(services, owner),
        "page in the middle": lambda owner: sessions.list_sessions(services, owner, after=middle[owner.user_id]),
        "first page of the failed": lambda owner: sessions.list_sessions(
            services, owner, matching=sessions.Filter(status=SessionStatus.FAILED), limit=10
        ),
        "one session": lambda owner: sessions.get_session(services, owner, middle[owner.user_id].session_id),
    }


def _middle(services: Services, owner: Owner) -> sessions.Position:
    position = sessions.NEWEST
    for _ in range(5):
        end = sessions.list_sessions(services, owner, after=position, limit=100).end
        if end is None:
            break
        position = end
    return position


def _interleaved(call: Callable[[Owner], object]) -> dict[str, float]:
    taken: dict[str, list[float]] = {"small": [], "large": []}
    for _ in range(CALLS):
        for name, seconds in taken.items():
            start = time.perf_counter()
            call(Owner(name, name))
            seconds.append(time.perf_counter() - start)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


if __name__ == "__main__":
    sys.exit(main())

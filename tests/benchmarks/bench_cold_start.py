"""First invocation of built functions under the runtime emulator, beside a handler that returns a constant."""

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from infra.build.interpreter import RUNTIME
from infra.runtime.emulator import Emulator, RuntimeFailure, host_target, python_path
from tests.benchmarks.measure import verdict

ROOT = Path(__file__).resolve().parents[2]
RUNS = 11
EVENTS = {
    "uploads": "uploads_get",
    "sessions": "sessions_list",
    "object_created": "object_created",
    "worker": "worker_schedule",
}
GOALS = {"uploads": 4.0, "sessions": 4.0, "object_created": 4.0, "worker": 7.0}
# A database that refuses at once: what counts is what the function does until its first query.
ENVIRONMENT = {
    "TELEMETRY_DATABASE_HOST": "127.0.0.1",
    "TELEMETRY_DATABASE_PORT": "1",
    "TELEMETRY_OBJECT_STORAGE_RAW_BUCKET": "raw",
    "TELEMETRY_OBJECT_STORAGE_CANONICAL_BUCKET": "canonical",
    "POWERTOOLS_METRICS_NAMESPACE": "Telemetry",
}
CONSTANT = "constant"


def main() -> int:
    """Prints medians and ratios; 1 when a goal is missed."""
    target = host_target()
    if target.python != RUNTIME:
        sys.stdout.write(f"no Python {RUNTIME} here: built for and run by {target.python}\n")
    with tempfile.TemporaryDirectory() as directory:
        constant = Path(directory)
        (constant / "app.py").write_text('def handler(event, context):\n    return {"statusCode": 200}\n')
        paths = {CONSTANT: [constant], **{function: python_path(function, target) for function in EVENTS}}
        measured: dict[str, list[float]] = {name: [] for name in paths}
        for _ in range(RUNS):
            for name, path in paths.items():
                event = json.loads((ROOT / "fixtures/events" / f"{EVENTS.get(name, 'uploads_get')}.json").read_text())
                measured[name].append(_first_invocation(path, event, name, target))
    medians = {name: statistics.median(times) for name, times in measured.items()}
    for name, seconds in medians.items():
        sys.stdout.write(f"  {name:<16} {seconds * 1000:6.0f} ms\n")
    reached = [verdict(f"{name} / constant", medians[name] / medians[CONSTANT], goal) for name, goal in GOALS.items()]
    return 0 if all(reached) else 1


def _first_invocation(path: list[Path], event: Any, name: str, target: Any) -> float:
    with Emulator(path, target=target, environment=ENVIRONMENT, name=name) as emulator:
        started = time.perf_counter()
        try:
            emulator.invoke(event)
        except RuntimeFailure as error:
            if "DATABASE_UNAVAILABLE" not in str(error):
                raise
        return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())

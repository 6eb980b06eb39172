"""First invocation of built functions under the runtime emulator, beside a handler that returns a constant."""

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from infra.build.interpreter import RUNTIME
from infra.build.parts import functions, host_target
from infra.runtime.emulator import Emulator, RuntimeFailure, python_path
from tests.benchmarks.measure import verdict

ROOT = Path(__file__).resolve().parents[2]
RUNS = 11
GOALS = {
    "uploads_get": 4.0,
    "uploads_create": 4.0,
    "sessions_list": 4.0,
    "object_created": 4.0,
    "worker_schedule": 7.0,
}
"""By event in fixtures/events."""
# As deployed, to the token and the certificates; only that the database refuses at once. What counts is what the
# function does until its first query.
ENVIRONMENT = {
    "TELEMETRY_DATABASE_AUTH": "iam",
    "TELEMETRY_DATABASE_TLS": "require",
    "TELEMETRY_DATABASE_CA_FILE": str(ROOT / "layers/core/certificates/rds/us-east-1.pem"),
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
        paths = {CONSTANT: [constant], **{event: python_path(_function(event), target) for event in GOALS}}
        events = {name: _event("uploads_get" if name == CONSTANT else name) for name in paths}
        measured: dict[str, list[float]] = {name: [] for name in paths}
        for _ in range(RUNS):
            for name, path in paths.items():
                measured[name].append(_first_invocation(path, events[name], name, target))
    medians = {name: statistics.median(times) for name, times in measured.items()}
    for name, seconds in medians.items():
        sys.stdout.write(f"  {name:<16} {seconds * 1000:6.0f} ms\n")
    reached = [verdict(f"{name} / constant", medians[name] / medians[CONSTANT], goal) for name, goal in GOALS.items()]
    return 0 if all(reached) else 1


def _function(event: str) -> str:
    return next(name for name in functions() if event.startswith(name))


def _event(name: str) -> Any:
    return json.loads((ROOT / "fixtures/events" / f"{name}.json").read_text())


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

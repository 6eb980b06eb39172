"""`make invoke FUNCTION=worker EVENT=fixtures/events/worker_schedule.json`: one event through a built function.

Its settings are those of the stack that `make up` keeps running, or what the environment says instead.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from infra.build.interpreter import RUNTIME
from infra.build.parts import ROOT, functions, host_target
from infra.build.wheels import BuildError
from infra.runtime.emulator import Emulator, RuntimeFailure, python_path

# Written by `make up`, in the form that `sam local invoke --env-vars` takes, too.
VARIABLES = ROOT / ".stack" / "env.json"


def main() -> int:
    """Exit code 0 with the answer on standard output, 1 with the error; the function's log goes to standard error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("function", choices=functions())
    parser.add_argument("event", type=Path)
    parser.add_argument("--env-vars", type=Path, default=VARIABLES)
    chosen = parser.parse_args()
    target = host_target()
    if target.python != RUNTIME:
        _say(f"no Python {RUNTIME} here; built for and run by {target.python}")
    environment = {name: value for name, value in os.environ.items() if name.startswith(("TELEMETRY_", "AWS_"))}
    if chosen.env_vars.exists():
        environment = json.loads(chosen.env_vars.read_text())["Parameters"] | environment
    elif not any(name.startswith("TELEMETRY_") for name in environment):
        _say(f"{chosen.env_vars} is missing, so the function has no settings; start the stack first: make up")
    try:
        path = python_path(chosen.function, target)
        with Emulator(path, target=target, environment=environment, name=chosen.function) as emulator:
            try:
                answer = emulator.invoke(json.loads(chosen.event.read_text()))
            finally:
                sys.stderr.write(emulator.log())
    except (BuildError, RuntimeFailure) as error:
        _say(str(error))
        return 1
    sys.stdout.write(json.dumps(answer, indent=2) + "\n")
    return 0


def _say(message: str) -> None:
    sys.stderr.write(f"invoke: {message}\n")


if __name__ == "__main__":
    sys.exit(main())

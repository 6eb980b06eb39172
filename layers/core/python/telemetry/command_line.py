"""What `python -m telemetry.formats` and `python -m telemetry.laps` share: files in, one outcome each out.

Touches the standard streams alone. An outcome is ready for JSON and says ``file`` and ``outcome``: ``ok`` or a code of
the catalogue, then with ``message``.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any


def parser(module: str, description: str) -> argparse.ArgumentParser:
    """The arguments that both take: `files`, and `--json`."""
    made = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    made.add_argument("files", nargs="+", type=Path, metavar="FILE")
    made.add_argument("--json", action="store_true", help="one JSON object a line and file")
    return made


def tell(
    options: argparse.Namespace,
    examine: Callable[[Path], dict[str, Any]],
    readable: Callable[[dict[str, Any]], Iterable[str]],
) -> int:
    """Writes the outcome of each file as soon as it is known; the exit status, 1 where a file could not be read.

    Parameters
    ----------
    examine : gives a file's outcome.
    readable : gives the lines that tell an outcome that is ``ok``.
    """
    status = 0
    for path in options.files:
        try:
            outcome = examine(path)
        except OSError as error:
            sys.stderr.write(f"{path}: {error.strerror or error}\n")
            status = 1
            continue
        if options.json:
            lines = [json.dumps(outcome, ensure_ascii=False)]
        elif outcome["outcome"] == "ok":
            lines = [outcome["file"], *(f"  {line}" for line in readable(outcome))]
        else:
            lines = [outcome["file"], f"  {outcome['outcome']}: {outcome['message']}"]
        sys.stdout.write("\n".join([*lines, ""]))
        sys.stdout.flush()
    return status

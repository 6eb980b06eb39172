"""What a start of a function is spared: passes of the garbage collector, and compiling what is known when it is built.

Called by `telemetry/__init__.py`, so that it comes before whatever is imported next. Touches nothing but the file that
the build put beside the function (`infra/build/record_generated.py`).
"""

import dataclasses
import gc
import importlib.util
import marshal
import os
from pathlib import Path
from types import CodeType
from typing import Any

GENERATED = "generated.bin"
"""In the function's folder: the magic number of the bytecode that follows, then {source text: bytecode}, marshalled."""

# What modules are made of stays as long as the process does: looking for garbage in it takes 11 ms of a start.
_MOST_YOUNG_OBJECTS = 50_000


def prepare(folder: str | None = os.environ.get("LAMBDA_TASK_ROOT")) -> None:
    """Makes what is imported from now on start faster; `folder` is the function's."""
    gc.set_threshold(_MOST_YOUNG_OBJECTS, *gc.get_threshold()[1:])
    if folder:
        use_generated(Path(folder) / GENERATED)


def begins_ahead() -> bool:
    """Whether Lambda starts this environment before there is a request: for a snapshot, or as provisioned.

    Then nobody waits for what is loaded, and what is loaded later is loaded in front of somebody.
    """
    return os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") in ("snap-start", "provisioned-concurrency")


def use_generated(file: Path) -> None:
    """Lets `dataclasses` take the bytecode of the methods that it writes from `file`, where it holds the same text.

    Each class costs half a millisecond without: its methods are text to be compiled. Other text, another Python, and a
    file that is not there change nothing.
    """
    try:
        content = file.read_bytes()
    except OSError:
        return
    magic = importlib.util.MAGIC_NUMBER
    if not content.startswith(magic):
        return
    known: dict[str, CodeType] = marshal.loads(memoryview(content)[len(magic) :])  # noqa: S302

    def run(source: str, *scopes: Any) -> None:
        exec(known.get(source, source), *scopes)  # noqa: S102

    # The module's own name, found before the built-in one.
    vars(dataclasses)["exec"] = run

"""Run by the runtime's Python with a function and its layers on its path: `… record_generated.py FOLDER`.

Imports the function, and writes into its folder the bytecode of every text that `dataclasses` compiled meanwhile, as
`telemetry/cold_start.py` reads it.
"""

import dataclasses
import importlib
import importlib.util
import marshal
import sys
from pathlib import Path
from types import CodeType
from typing import Any

from telemetry.cold_start import GENERATED


def main() -> None:
    """Imports `app`."""
    compiled: dict[str, CodeType] = {}

    def run(source: str, *scopes: Any) -> None:
        compiled[source] = compile(source, "<string>", "exec")
        exec(compiled[source], *scopes)  # noqa: S102

    vars(dataclasses)["exec"] = run
    importlib.import_module("app")
    content = marshal.dumps(dict(sorted(compiled.items())))
    Path(sys.argv[1], GENERATED).write_bytes(importlib.util.MAGIC_NUMBER + content)


if __name__ == "__main__":
    main()

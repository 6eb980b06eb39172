"""How the stack's own processes start: they import everything first, then take their settings from standard input.

So their imports run while PostgreSQL and S3 are still starting. Standard input stays open for as long as the stack
lives; its end tells a process that the stack is gone, on every operating system.
"""

import json
import os
import sys
import threading
from collections.abc import Callable
from typing import Any


def take_over(gone: Callable[[], None]) -> dict[str, Any]:
    """Waits for the one line of settings, puts its `environment` into ours and returns all of it.

    Parameters
    ----------
    gone : called from a thread once the stack is gone.
    """
    line = sys.stdin.readline()
    if not line:
        sys.exit(0)  # the stack ended before it was up
    settings: dict[str, Any] = json.loads(line)
    os.environ.update(settings["environment"])

    def watch() -> None:
        while sys.stdin.readline():
            pass
        gone()

    threading.Thread(target=watch, name="stack-watch", daemon=True).start()
    return settings

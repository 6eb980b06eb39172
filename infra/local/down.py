"""`make down`: ends the stack that runs in the stack's directory, and waits until it is gone."""

import os
import signal
import sys
import time

from infra.local.lock import holder
from infra.local.process import default_directory

PATIENCE_S = 60.0


def main() -> int:
    """Exit code: 0 when no stack runs any more, 1 when it does not end."""
    lock = default_directory() / "lock"
    facts = holder(lock)
    if facts is None:
        sys.stdout.write("No local stack is running.\n")
        return 0
    pid = facts.get("pid")
    if not isinstance(pid, int):
        sys.stderr.write("A local stack is starting just now; try again.\n")
        return 1
    try:
        os.kill(pid, signal.SIGTERM)  # as Ctrl-C; and a background job, which ignores Ctrl-C, hears it
    except ProcessLookupError:
        pass  # it ended by itself meanwhile
    except PermissionError:
        sys.stderr.write(f"Process {pid} belongs to somebody else.\n")
        return 1
    limit = time.monotonic() + PATIENCE_S
    while (now := holder(lock)) is not None and now.get("pid") in (pid, None):
        if time.monotonic() > limit:
            sys.stderr.write(f"Process {pid} has not ended after {PATIENCE_S:.0f} s.\n")
            return 1
        time.sleep(0.05)
    sys.stdout.write(f"Ended `{facts.get('purpose', 'unknown')}`, process {pid}.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

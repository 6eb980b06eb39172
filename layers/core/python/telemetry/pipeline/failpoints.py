"""Named places where a test stops a worker, to kill, freeze or cut it at that very step. Touches the process only.

`TELEMETRY_FAILPOINT=name` or `name@job_type` stops the process (SIGSTOP to itself) the first time it gets there;
SIGCONT lets it go on. A deployed function ignores the variable.
"""

import os
import signal
from typing import Literal

from telemetry.domain.states import JobType

Name = Literal[
    "after_claim",
    "before_parquet_put",
    "after_parquet_put",
    "in_completing_transaction",
    "after_commit",
    "after_raw_delete",
]

VARIABLE = "TELEMETRY_FAILPOINT"
_reached: set[str] = set()


def failpoint(name: Name, job_type: JobType) -> None:
    """Stops here if a test asked for this place; otherwise costs one look at the environment."""
    wanted = os.environ.get(VARIABLE)
    if not wanted or wanted not in (name, f"{name}@{job_type}") or wanted in _reached or _deployed():
        return
    _reached.add(wanted)
    stop()


def stop() -> None:
    """Stops this process until somebody continues it. In-process tests put their own fault in its place."""
    os.kill(os.getpid(), signal.SIGSTOP)


def _deployed() -> bool:
    return "AWS_LAMBDA_FUNCTION_NAME" in os.environ and "AWS_SAM_LOCAL" not in os.environ

"""One stack per directory: a lock that the kernel drops when its holder ends, however it ends."""

import contextlib
import fcntl
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.local.process import StackError


class StackLock:
    """Holds `path` until released. The file says who holds it, and is gone afterwards."""

    def __init__(self, path: Path, *, purpose: str) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                facts = _facts(os.read(self._descriptor, 4096))
                os.close(self._descriptor)
                raise StackError(_who(path, facts)) from None
            # A holder that just ended may have removed the file that we opened: then ours locks nothing.
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_ino == os.fstat(self._descriptor).st_ino:
                    break
            os.close(self._descriptor)
        self._facts = {"purpose": purpose, "pid": os.getpid(), "since": datetime.now(UTC).isoformat(timespec="seconds")}
        self.tell()

    def tell(self, **facts: str) -> None:
        """Adds facts for whoever finds the lock held."""
        self._facts |= facts
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, json.dumps(self._facts).encode(), 0)

    def release(self) -> None:
        """Safe to repeat."""
        if self._descriptor >= 0:
            self._path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = -1


def holder(path: Path) -> dict[str, Any] | None:
    """What the lock's holder says of itself; None when nobody holds it, whatever the file says."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _facts(os.read(descriptor, 4096))
    finally:
        os.close(descriptor)
    return None


def _facts(content: bytes) -> dict[str, Any]:
    try:
        facts = json.loads(content)
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}


def _who(path: Path, facts: dict[str, Any]) -> str:
    address = f", API at {facts['api']}" if "api" in facts else ""
    pid = facts.get("pid", "unknown")
    return (
        f"A local stack is running already in {path.parent}: `{facts.get('purpose', 'unknown')}`, process {pid}, "
        f"since {facts.get('since', 'just now')}{address}.\n"
        "End it with Ctrl-C where it runs, or with: make down"
    )

"""The directory of one piece of work on the worker's own disk, and the end of those that killed workers left behind.

A directory is held by a lock that the kernel takes back when its process ends, however it ends. So whatever nobody
holds is left over: in Lambda's environment, whose disk outlives a process that was killed, and on a machine where
several workers share one.
"""

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from telemetry.errors import Code, TelemetryError

_PREFIX = "telemetry-work-"
_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextlib.contextmanager
def working_directory() -> Iterator[Path]:
    """A new directory, which goes with all that is in it.

    Raises
    ------
    TelemetryError : STORAGE_UNAVAILABLE when the disk is full.
    """
    with _disk_full_told(), contextlib.ExitStack() as stack:
        yield _made(stack)


def remove_leftovers() -> int:
    """Removes the directories of workers that are no more; gives how many. Those in use are left alone."""
    removed = 0
    for directory in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        # Another user's, or gone meanwhile.
        with contextlib.suppress(OSError), _opened(directory) as number:
            if os.fstat(number).st_uid == os.geteuid() and _locked(number):
                shutil.rmtree(directory, ignore_errors=True)
                removed += 1
    return removed


def _made(stack: contextlib.ExitStack) -> Path:
    while True:
        directory = Path(tempfile.mkdtemp(prefix=_PREFIX))
        with contextlib.suppress(FileNotFoundError):  # taken for a leftover before it was locked
            number = stack.enter_context(_opened(directory))
            if _locked(number) and directory.exists():
                stack.callback(shutil.rmtree, directory, ignore_errors=True)
                return directory


@contextlib.contextmanager
def _opened(directory: Path) -> Iterator[int]:
    number = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield number
    finally:
        os.close(number)


def _locked(number: int) -> bool:
    """True when nobody else holds the lock; it is ours then until the file is closed."""
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def _disk_full_told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise TelemetryError(Code.STORAGE_UNAVAILABLE, "the worker's disk is full") from error
        raise

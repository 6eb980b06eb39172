"""Child processes that end with us: on exit, on Ctrl-C, and even when we are killed outright."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOOPBACK = "127.0.0.1"
KILLED = "killed: it was asked to end and had not done so after"
"""What the log of a part says that did not listen."""
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

# Ours are on the loopback: a proxy meant for the outside must not come in between.
_PROXIES = {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}


class StackError(Exception):
    """The local stack cannot do its work; the message says what to do."""


def default_directory() -> Path:
    """Where the stack keeps what it keeps: `.stack/`, or where STACK_DIRECTORY says."""
    return Path(os.environ.get("STACK_DIRECTORY", "").strip() or ROOT / ".stack").resolve()


def base_environment(**more: str) -> dict[str, str]:
    """Our environment without proxies, and without any AWS or telemetry setting that was meant for something else."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.lower() not in _PROXIES and not name.startswith(("AWS_", "TELEMETRY_", "PYTEST_"))
    }
    return {**kept, "NO_PROXY": "*", **more}


def _end_with_parent(parent: int, with_signal: signal.Signals) -> None:
    """Runs in the child between fork and exec."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, int(with_signal))
        if os.getppid() != parent:
            os._exit(1)


class ChildProcess:
    """One process in a session of its own, its output in `log`.

    Linux ends it when the *thread* that started it ends, so start it from a thread that lives as long as the stack.

    Parameters
    ----------
    stop_signal : what asks it to end; SIGKILL follows when it does not.
    orphan_signal : what the kernel sends it when we are gone.
    user : number of the user to run as, when we are root.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        environment: Mapping[str, str],
        log: Path,
        directory: Path = ROOT,
        stop_signal: signal.Signals = signal.SIGTERM,
        orphan_signal: signal.Signals = signal.SIGKILL,
        user: int | None = None,
        group: int | None = None,
        stdin: int = subprocess.DEVNULL,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self.name = name
        self.log = log
        self._stop_signal = stop_signal
        parent = os.getpid()
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            try:
                self._process = subprocess.Popen(
                    [str(part) for part in command],
                    env=dict(environment),
                    cwd=directory,
                    stdin=stdin,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    user=user,
                    group=group,
                    extra_groups=None if user is None else [],
                    pass_fds=pass_fds,
                    preexec_fn=lambda: _end_with_parent(parent, orphan_signal),  # noqa: PLW1509 only calls prctl
                )
            except OSError as error:
                raise StackError(f"{name} does not start: {error}") from error

    @property
    def pid(self) -> int:
        """The process's id, which is its group's as well."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def send(self, line: str) -> None:
        """Writes one line to its standard input."""
        if self._process.stdin is None:
            raise StackError(f"{self.name} takes no input")
        with contextlib.suppress(BrokenPipeError):  # it has ended; whoever waits for it says why
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()

    def wait_until(self, ready: Callable[[], bool], *, seconds: float) -> None:
        """Waits until `ready()`; raises StackError with the log's end when it ends first or takes longer."""
        limit = time.monotonic() + seconds
        while not ready():
            if self.exit_code is not None:
                raise StackError(f"{self.name} ended with code {self.exit_code}. {self.log_end()}")
            if time.monotonic() > limit:
                raise StackError(f"{self.name} was not ready after {seconds:.0f} s. {self.log_end()}")
            time.sleep(0.02)

    def wait_until_done(self, *, seconds: float) -> None:
        """Waits until it ends by itself; raises StackError with the log's end when it fails or takes longer."""
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise StackError(f"{self.name} was not done after {seconds:.0f} s. {self.log_end()}") from None
        if code != 0:
            raise StackError(f"{self.name} ended with code {code}. {self.log_end()}")

    def log_end(self, lines: int = 12) -> str:
        """Where the log is, and its last lines."""
        try:
            tail = self.log.read_text(errors="replace").strip().splitlines()[-lines:]
        except OSError:
            tail = []
        return "\n  ".join([f"Its log, {self.log}, ends so:", *tail])

    def stop(self, *, patience_s: float = 8.0) -> None:
        """Ends it and everything it started; safe to repeat."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()  # what still waits for its settings ends by this
        if self.exit_code is None:
            self._process.send_signal(self._stop_signal)
            try:
                self._process.wait(patience_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
                with self.log.open("a") as log:
                    log.write(f"{KILLED} {patience_s:g} s\n")
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

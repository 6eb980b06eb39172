"""One built function under AWS's runtime interface emulator, which ships in the SAM CLI's wheel (.sam-venv).

The function sees its own package, its layers and the runtime client, in Lambda's order, and nothing of this project's
own environment.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from infra.build.interpreter import find_python
from infra.build.parts import ROOT, Target, build, layers_of
from infra.build.wheels import BuildError

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_PORTS = threading.Lock()


class RuntimeFailure(Exception):
    """The function could not start, or its handler raised; the message is what Lambda would answer."""


def python_path(function: str, target: Target) -> list[Path]:
    """Builds the function and its layers where needed; the folders that its imports are looked for in, in order."""
    package = build(target, f"functions/{function}")
    return [package, *(build(target, f"layers/{layer}") / "python" for layer in layers_of(function))]


def runtime_client(target: Target) -> Path:
    """Folder of awslambdaric, built where needed."""
    return build(target, "runtime/client")


def interpreter(target: Target) -> str:
    """The target's Python."""
    python = find_python(target.python)
    if python is None:
        raise BuildError(f"No Python {target.python} on this machine.")
    return python


def emulator_program(target: Target) -> Path:
    """The emulator for this machine."""
    found = sorted((ROOT / ".sam-venv").glob(f"lib/python*/site-packages/samcli/local/rapid/*-{target.architecture}"))
    if not found:
        raise BuildError("The runtime emulator is not installed in .sam-venv. Run: make .sam-venv/.ready")
    return found[0]


class Emulator:
    """A function's execution environment; use as a context manager. Cold until its first event.

    Parameters
    ----------
    path : folders to import from; the first holds `handler`'s module.
    environment : the function's variables; nothing else of this process' environment reaches it.
    """

    def __init__(
        self,
        path: Sequence[Path],
        *,
        target: Target,
        handler: str = "app.handler",
        environment: Mapping[str, str] | None = None,
        name: str = "function",
        timeout_s: int = 900,
        memory_mb: int = 1769,
    ) -> None:
        self._lock = threading.Lock()  # two events at once crash the emulator
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        package = path[0]
        with _PORTS:
            self._port, api_port = _free_ports()
            self._process = subprocess.Popen(
                [
                    emulator_program(target),
                    *("--log-level", "error"),
                    *("--runtime-interface-emulator-address", f"127.0.0.1:{self._port}"),
                    *("--runtime-api-address", f"127.0.0.1:{api_port}"),
                    # Without `site`, so that only the path below counts.
                    *(interpreter(target), "-s", "-S", "-m", "awslambdaric", handler),
                ],
                cwd=package,
                env={
                    "PATH": os.environ.get("PATH", os.defpath),
                    "LANG": "C.UTF-8",
                    "TZ": ":UTC",
                    "AWS_REGION": "us-east-1",
                    "AWS_DEFAULT_REGION": "us-east-1",
                    "AWS_ACCESS_KEY_ID": "test",
                    "AWS_SECRET_ACCESS_KEY": "test",
                    **(environment or {}),
                    "AWS_EXECUTION_ENV": f"AWS_Lambda_python{target.python}",
                    "AWS_LAMBDA_FUNCTION_NAME": name,
                    "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
                    "AWS_LAMBDA_FUNCTION_TIMEOUT": str(timeout_s),
                    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(memory_mb),
                    "AWS_LAMBDA_LOG_FORMAT": "JSON",
                    "LAMBDA_TASK_ROOT": str(package),
                    "PYTHONPATH": os.pathsep.join(map(str, (*path, runtime_client(target)))),
                    "PYTHONDONTWRITEBYTECODE": "1",
                },
                stdout=self._log,
                stderr=self._log,
                start_new_session=True,
            )
            self._wait()

    def __enter__(self) -> "Emulator":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def invoke(self, event: Any, *, seconds: float = 900.0) -> Any:
        """The handler's answer.

        Raises
        ------
        RuntimeFailure : the handler raised, or the function did not start.
        """
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._port}/2015-03-31/functions/function/invocations",
            data=json.dumps(event).encode(),
            method="POST",
        )
        with self._lock:
            try:
                with _OPENER.open(request, timeout=seconds) as response:
                    answer = json.loads(response.read() or b"null")
            except (OSError, ValueError) as error:
                raise RuntimeFailure(f"{error}\n{self.log()}") from error
        if isinstance(answer, dict) and "errorType" in answer:
            raise RuntimeFailure(json.dumps(answer, indent=2))
        return answer

    def log(self) -> str:
        """What the function has logged so far."""
        self._log.seek(0)
        text = self._log.read()
        self._log.seek(0, os.SEEK_END)
        return text

    def stop(self) -> None:
        """Ends it; safe to repeat."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _wait(self) -> None:
        limit = time.monotonic() + 20
        while time.monotonic() < limit and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port), timeout=1):
                return
            time.sleep(0.005)
        self.stop()
        raise RuntimeFailure(f"the emulator did not start\n{self.log()}")


def _free_ports() -> tuple[int, int]:
    with socket.socket() as first, socket.socket() as second:
        for probe in (first, second):
            probe.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]

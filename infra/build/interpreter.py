"""Finds the Python that Lambda runs, and compiles with it: bytecode is good for one version of Python only."""

import functools
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from infra.build.wheels import BuildError

RUNTIME = "3.13"  # the template's Runtime, as Python calls itself


@functools.cache
def find_python(version: str = RUNTIME) -> str | None:
    """Path of a Python of this version that starts, or None.

    Looks on PATH, where pyenv may have only a shim that refuses, then where pyenv and uv keep their own.
    """
    probe = "import sys; print('%d.%d' % sys.version_info[:2], sys.base_exec_prefix)"
    for candidate in _candidates(version):
        try:
            run = subprocess.run(
                [candidate, "-I", "-c", probe], check=False, capture_output=True, text=True, timeout=20
            )
        except OSError:
            continue
        if run.returncode == 0 and run.stdout.split(" ", 1)[0] == version:
            return candidate
    return None


def _candidates(version: str) -> Iterator[str]:
    named = os.environ.get("RUNTIME_PYTHON", "")
    if named:
        yield named
    on_path = shutil.which(f"python{version}")
    if on_path:
        yield on_path
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    uv = Path.home() / ".local" / "share" / "uv" / "python"
    for folder in (*sorted(pyenv.glob(f"versions/{version}*")), *sorted(uv.glob(f"cpython-{version}*"))):
        yield str(folder / "bin" / f"python{version}")


def compile_folder(folder: Path, *, python: str, mounted_at: str) -> None:
    """Writes `__pycache__` beside every module of `folder`, with the paths that tracebacks will show on Lambda.

    Unchecked hashes: such bytecode is taken whatever the files' times are after zipping and unzipping.
    """
    subprocess.run(
        [
            *(python, "-I", "-m", "compileall", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash"),
            *("-s", str(folder), "-p", mounted_at, str(folder)),
        ],
        check=True,
    )


def record_generated(folder: Path, layers: Sequence[Path], *, python: str) -> None:
    """Writes into a function's folder the bytecode that its import generates, for `telemetry/cold_start.py`.

    Raises
    ------
    BuildError : the function cannot be imported.
    """
    done = subprocess.run(
        [python, "-s", "-S", "-P", str(Path(__file__).with_name("record_generated.py")), str(folder)],
        check=False,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": os.pathsep.join(map(str, (folder, *layers))), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    if done.returncode:
        raise BuildError(f"functions/{folder.name} cannot be imported:\n{done.stderr}")

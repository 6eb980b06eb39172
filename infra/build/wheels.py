"""Installs parts of a hashed lock file as wheels of another platform. Needs uv and a package index, no compiler."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

# Lambda's name of an architecture → the wheels' one. Amazon Linux 2023 has glibc 2.34, so 2.28 wheels run there.
PLATFORMS = {"arm64": "aarch64-manylinux_2_28", "x86_64": "x86_64-manylinux_2_28"}


class BuildError(Exception):
    """The build cannot go on; the message says why and what to do."""


def requirements(lock: Path) -> dict[str, str]:
    """The lock's entries, by name: requirement, markers and hashes as they stand in the file."""
    entries: dict[str, str] = {}
    for entry in re.split(r"\n(?=\S)", lock.read_text().strip()):
        name = re.match(r"[A-Za-z0-9._-]+(?===)", entry)
        if name is None:
            raise BuildError(f"{lock.name}: not a locked requirement: {entry.splitlines()[0]}")
        entries[name[0].lower()] = entry
    return entries


def install(lock: Path, wanted: Callable[[str], bool], target: Path, *, architecture: str, python: str) -> None:
    """Puts the lock's packages for which `wanted(name)` holds into `target`.

    Parameters
    ----------
    architecture : arm64 or x86_64.
    python : version that will run them, for example 3.13.
    """
    chosen = "\n".join(entry for name, entry in requirements(lock).items() if wanted(name))
    with TemporaryDirectory() as directory:
        file = Path(directory) / "requirements.txt"
        file.write_text(chosen + "\n")
        command = [
            *(find_uv(), "pip", "install", "--quiet", "--no-config"),
            *("--target", str(target), "--python", sys.executable),
            *("--python-version", python, "--python-platform", PLATFORMS[architecture]),
            *("--only-binary", ":all:", "--no-deps", "--require-hashes", "--link-mode", "copy", "-r", str(file)),
        ]
        run = subprocess.run(command, check=False, text=True, stderr=subprocess.PIPE)
    if run.returncode:
        raise BuildError(f"{lock.name} could not be installed for {architecture}:\n{run.stderr}")


def find_uv() -> str:
    """uv's path: the one of the development requirements, or one on PATH."""
    beside = str(Path(sys.executable).parent)
    found = shutil.which("uv", path=os.pathsep.join((beside, os.environ.get("PATH", ""))))
    if found is None:
        raise BuildError("uv is not installed here. It is one of the development requirements: make setup")
    return found

"""The parts that are deployed, each a folder under .build/, made anew only when what it is made of has changed.

`.build/<architecture>-<python>/layers/<name>` is a layer's content (Lambda mounts it at /opt), `functions/<name>` a
function's own package (at /var/task).
"""

import fcntl
import hashlib
import os
import platform
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from infra.build.interpreter import RUNTIME, compile_folder, find_python, record_generated
from infra.build.lazy import make_lazy
from infra.build.settled import settle
from infra.build.slim import slim
from infra.build.wheels import BuildError, install, requirements

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / ".build"
LAYERS = ("core", "dependencies", "arrow")
# One date for every file, so that the same content gives the same archive, and nothing is uploaded twice.
_TIME = 946_684_800
_MOUNTED_AT = {"layers": "/opt", "functions": "/var/task", "runtime": "/var/runtime"}
_CLIENT = ("awslambdaric", "simplejson", "snapshot-restore-py")
_LEFT_OUT = ("__pycache__", ".pyc")


@dataclass(frozen=True, slots=True)
class Target:
    """What is built for: `arm64` or `x86_64`, and the Python that will run it."""

    architecture: str
    python: str = RUNTIME

    @property
    def folder(self) -> Path:
        """Where its parts lie."""
        return BUILD / f"{self.architecture}-{self.python}"


def host_target() -> Target:
    """What this machine can run: its own architecture, and Lambda's Python where there is one, else any it has."""
    python = RUNTIME if find_python() else ".".join(platform.python_version_tuple()[:2])
    return Target(_host_architecture(), python)


def functions() -> tuple[str, ...]:
    """Names of all functions."""
    return tuple(sorted(path.parent.name for path in (ROOT / "functions").glob("*/app.py")))


def build(target: Target, part: str) -> Path:
    """The part's folder (`layers/core`, `functions/worker`), built when it is not there as it should be."""
    folder = target.folder / part
    folder.parent.mkdir(parents=True, exist_ok=True)
    # SAM and the tests build from several processes at once.
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _build(target, part, folder)


def _build(target: Target, part: str, folder: Path) -> Path:
    stamp = folder.with_name(f"{folder.name}.hash")
    python = find_python(target.python)
    wanted = _hash(target, part, compiled=python is not None)
    if stamp.exists() and stamp.read_text() == wanted and folder.is_dir():
        return folder
    fresh = folder.with_name(f"{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    kind, name = part.split("/")
    try:
        if kind == "layers":
            _layer(name, fresh, target)
        elif kind == "runtime":
            _client(fresh, target)
        elif name in functions():
            _function(name, fresh, target)
        else:
            raise BuildError(f"There is no function {name}; there are {', '.join(functions())}.")
        if python is not None:
            compile_folder(fresh, python=python, mounted_at=_MOUNTED_AT[kind])
        for path in (fresh, *fresh.rglob("*")):
            os.utime(path, (_TIME, _TIME))
        stamp.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        fresh.rename(folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    stamp.write_text(wanted)
    return folder


def layers_of(function: str) -> tuple[str, ...]:
    """Names of a function's layers. A test holds this to template.yaml."""
    return LAYERS if function == "worker" else LAYERS[:2]


def unzipped_size(folder: Path) -> int:
    """Bytes of all files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def zipped_size(folder: Path) -> int:
    """Bytes of the archive that a deployment would upload."""
    archive = folder.with_name(f"{folder.name}.zip")
    stamp = folder.with_name(f"{folder.name}.hash")
    if not archive.exists() or archive.stat().st_mtime < stamp.stat().st_mtime:
        fresh = archive.with_suffix(f".{os.getpid()}.tmp")
        with zipfile.ZipFile(fresh, "w", zipfile.ZIP_DEFLATED) as file:
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    file.write(path, path.relative_to(folder))
        fresh.replace(archive)
    return archive.stat().st_size


def _layer(name: str, folder: Path, target: Target) -> None:
    if name == "core":
        _copy(ROOT / "layers" / "core", folder)
        return
    base = requirements(ROOT / "requirements" / "base.txt")
    lock, others = ("base.txt", {}) if name == "dependencies" else ("arrow.txt", base)
    packages = folder / "python"
    install(
        ROOT / "requirements" / lock,
        lambda package: package not in others,
        packages,
        architecture=target.architecture,
        python=target.python,
    )
    slim(packages)
    make_lazy(packages)
    settle(packages)


def _client(folder: Path, target: Target) -> None:
    """AWS's runtime client, which is not deployed: Lambda has it, and whoever plays Lambda here needs it."""
    lock = ROOT / "requirements" / "sam.txt"
    install(lock, _CLIENT.__contains__, folder, architecture=target.architecture, python=target.python)


def _function(name: str, folder: Path, target: Target) -> None:
    _copy(ROOT / "functions" / name, folder)
    # SAM publishes a version when a function's own package changes, and overlooks its layers: so they are told here.
    hashes = (f"{layer} {_hash(target, f'layers/{layer}', compiled=False)}\n" for layer in layers_of(name))
    (folder / "layers.txt").write_text("".join(hashes))
    if name != "migrate":
        _record_generated(name, folder, target)
        return
    base = requirements(ROOT / "requirements" / "base.txt")
    install(
        ROOT / "requirements" / "migrate.txt",
        lambda package: package not in base,
        folder,
        architecture=target.architecture,
        python=target.python,
    )
    slim(folder)
    _copy(ROOT / "migrations", folder / "migrations")


def _record_generated(name: str, folder: Path, target: Target) -> None:
    """What the function's import generates is the same on every architecture, so this machine's own layers serve."""
    python = find_python(target.python)
    if python is None:
        return
    here = Target(_host_architecture(), target.python)
    layers = [build(here, f"layers/{layer}") / "python" for layer in layers_of(name)]
    record_generated(folder, layers, python=python)


def _host_architecture() -> str:
    return {"aarch64": "arm64", "arm64": "arm64"}.get(platform.machine(), "x86_64")


def _copy(source: Path, target: Path) -> None:
    for path in _files(source):
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not any(path.name.endswith(end) or end in path.parts for end in _LEFT_OUT):
            yield path


def _hash(target: Target, part: str, *, compiled: bool) -> str:
    """Of everything that the part is made of, this program included."""
    kind, name = part.split("/")
    sources = {
        "core": [ROOT / "layers" / "core"],
        "dependencies": [ROOT / "requirements" / "base.txt"],
        "arrow": [ROOT / "requirements" / "base.txt", ROOT / "requirements" / "arrow.txt"],
        "client": [ROOT / "requirements" / "sam.txt"],
        "migrate": [ROOT / "functions" / name, ROOT / "migrations", ROOT / "requirements"],
    }.get(name, [ROOT / kind / name])
    digest = hashlib.sha256(f"{target} {part} {compiled}".encode())
    if kind == "functions":
        digest.update(
            "".join(_hash(target, f"layers/{layer}", compiled=compiled) for layer in layers_of(name)).encode()
        )
    for source in (*sources, Path(__file__).parent):
        for path in _files(source) if source.is_dir() else (source,):
            digest.update(f"\n{path.relative_to(ROOT)} ".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()

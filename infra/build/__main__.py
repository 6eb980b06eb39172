"""`python -m infra.build`: every part for both architectures. SAM calls it with `--part ID --into DIR` for one."""

import argparse
import re
import shutil
import sys
from pathlib import Path

from infra.build.interpreter import RUNTIME, find_python
from infra.build.parts import LAYERS, Target, build, functions, layers_of, unzipped_size, zipped_size
from infra.build.wheels import PLATFORMS, BuildError

MIB = 2**20


def main() -> int:
    """Exit code 1 when something cannot be built; what and why goes to standard error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--architecture", choices=PLATFORMS, help="one only")
    parser.add_argument("--part", help="logical id of a function or layer in template.yaml, for example CoreLayer")
    parser.add_argument("--into", type=Path, help="where to put it")
    chosen = parser.parse_args()
    if (chosen.part is None) != (chosen.into is None):
        parser.error("--part and --into go together")
    if find_python() is None:
        _say(f"No Python {RUNTIME} found: built without bytecode, so cold starts are two to three times as long.")
    try:
        if chosen.part:
            built = build(Target(chosen.architecture or "arm64"), _part(chosen.part))
            shutil.copytree(built, chosen.into, dirs_exist_ok=True)
        else:
            for architecture in [chosen.architecture] if chosen.architecture else PLATFORMS:
                _build_all(Target(architecture))
    except BuildError as error:
        _say(str(error))
        return 1
    return 0


def _build_all(target: Target) -> None:
    sizes = {}
    for part in (*(f"layers/{name}" for name in LAYERS), *(f"functions/{name}" for name in functions())):
        folder = build(target, part)
        sizes[part] = (unzipped_size(folder) / MIB, zipped_size(folder) / MIB)
        print(f"{target.architecture:7} {part:24} {sizes[part][0]:6.1f} MiB {sizes[part][1]:6.1f} MiB zipped")  # noqa: T201
    for function in functions():
        parts = (f"functions/{function}", *(f"layers/{layer}" for layer in layers_of(function)))
        whole = [sum(sizes[part][i] for part in parts) for i in (0, 1)]
        print(f"{target.architecture:7} {function + ' with layers':24} {whole[0]:6.1f} MiB {whole[1]:6.1f} MiB zipped")  # noqa: T201


def _part(logical_id: str) -> str:
    """`CoreLayer` → `layers/core`, `ObjectCreatedFunction` → `functions/object_created`."""
    named = re.fullmatch(r"(\w+?)(Layer|Function)", logical_id)
    if named is None:
        raise BuildError(f"{logical_id!r} is no part: name one as template.yaml does, like CoreLayer or WorkerFunction")
    name, kind = named.groups()
    return f"{kind.lower()}s/{re.sub(r'(?<!^)(?=[A-Z])', '_', name).lower()}"


def _say(message: str) -> None:
    sys.stderr.write(f"build: {message}\n")


if __name__ == "__main__":
    sys.exit(main())

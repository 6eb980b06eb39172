"""Writes into installed packages what is known once they are installed, so that no cold start finds it out again."""

import ast
import re
from pathlib import Path

from infra.build.wheels import BuildError

# They ask the metadata of packages for their own version, with a third of the standard library to read it.
VERSIONED = ("pg8000/core.py", "scramp/__init__.py")
# Its dictionaries describe arguments to type checkers; each field's type is compiled at the start, and never used.
TYPED_DICTS = ("pydantic_core/core_schema.py",)


def settle(packages: Path) -> None:
    """Rewrites the modules of `VERSIONED` and `TYPED_DICTS` that lie in this folder."""
    for place in VERSIONED:
        file = packages / place
        if file.exists():
            file.write_text(with_version(file.read_text("utf-8"), packages), "utf-8")
    for place in TYPED_DICTS:
        file = packages / place
        if file.exists():
            file.write_text(without_fields(file.read_text("utf-8")), "utf-8")


def with_version(source: str, packages: Path) -> str:
    """The source with `version("package")` replaced by what it gives, and nothing imported for it.

    Raises
    ------
    BuildError : it does not ask for a version in this way, or the package is not installed.
    """
    asked = re.compile(r"""\bversion\(["']([\w.-]+)["']\)""")
    made, count = asked.subn(lambda found: repr(_version(found[1], packages)), source)
    made, imports = re.subn(r"^from importlib\.metadata import version\n", "\n", made, flags=re.MULTILINE)
    if not count or imports != 1 or re.search(r"\bversion\(", made):
        raise BuildError("A package asks for its version in another way than before: see infra/build/settled.py.")
    return made


def without_fields(source: str) -> str:
    """The source with every `TypedDict` empty: at run time it is a `dict` with or without them."""
    lines = source.splitlines(keepends=True)
    emptied = 0
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.ClassDef) and any(_is_typed_dict(base) for base in statement.bases):
            first, last = statement.body[0], statement.body[-1]
            lines[first.lineno - 1 : last.end_lineno] = [
                " " * first.col_offset + "pass\n",
                *["\n"] * ((last.end_lineno or last.lineno) - first.lineno),
            ]
            emptied += 1
    if not emptied:
        raise BuildError("There is no TypedDict where there were many: see infra/build/settled.py.")
    return "".join(lines)


def _is_typed_dict(base: ast.expr) -> bool:
    return isinstance(base, ast.Name) and base.id == "TypedDict"


def _version(package: str, packages: Path) -> str:
    found = [folder.name.split("-")[1].removesuffix(".dist") for folder in packages.glob(f"{package}-*.dist-info")]
    if len(found) != 1:
        raise BuildError(f"{package} is installed {len(found)} times.")
    return found[0]

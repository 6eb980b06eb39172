"""Makes installed packages import what they offer or use when it is asked for or used, for the sake of cold starts.

Powertools' packages import every event source and resolver that there is, when a function needs one.
"""

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path

from infra.build.wheels import BuildError

# Packages whose `__init__` offers what their modules define. scramp, with a whole ASN.1 library, is for passwords; a
# token of IAM needs none of it.
PACKAGES = (
    "aws_lambda_powertools",
    "aws_lambda_powertools/event_handler",
    "aws_lambda_powertools/event_handler/openapi",
    "aws_lambda_powertools/utilities/data_classes",
    "aws_lambda_powertools/utilities/batch",
    "pg8000",
    "scramp",
)
# Modules, and what they import for few of their callers: intervals and times in forms that we never ask PostgreSQL for,
# plugins, paths into events, HTTP/2.
LATE = {
    "pg8000/converters.py": "dateutil.parser",
    "pydantic/plugin/_loader.py": "importlib.metadata",
    "aws_lambda_powertools/logging/logger.py": "aws_lambda_powertools.utilities",
    "urllib3/http2/__init__.py": "importlib.metadata",
}

_LOADER = '''
_LAZY = {table!r}


def __getattr__(name):
    """Loads what this package offers when it is asked for."""
    import importlib

    try:
        module, original = _LAZY[name]
    except KeyError:
        raise AttributeError(f"module {{__name__!r}} has no attribute {{name!r}}") from None
    value = globals()[name] = getattr(importlib.import_module(module, __name__), original)
    return value
'''


def make_lazy(packages: Path) -> None:
    """Rewrites the `__init__` of every package of `PACKAGES`, and the modules of `LATE`, that lie in this folder."""
    for package in PACKAGES:
        file = packages / package / "__init__.py"
        if file.exists():
            file.write_text(lazy(file.read_text("utf-8"), package.replace("/", ".")), "utf-8")
    for module, imported in LATE.items():
        file = packages / module
        if file.exists():
            file.write_text(late(file.read_text("utf-8"), imported), "utf-8")


def lazy(source: str, package: str) -> str:
    """The source of an `__init__` with imports from its own package put off until somebody asks for the name.

    Imports of names that the module itself uses, and all that is no such import, stay as they are.
    """
    tree = ast.parse(source)
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    table: dict[str, tuple[str, str]] = {}
    kept = source.splitlines(keepends=True)
    for statement in tree.body:
        if not isinstance(statement, ast.ImportFrom) or not _is_own(statement, package):
            continue
        names = {alias.asname or alias.name: alias.name for alias in statement.names}
        if "*" in names or used & set(names):
            continue
        module = "." * statement.level + (statement.module or "")
        table.update({name: (module, original) for name, original in names.items()})
        for line in range(statement.lineno - 1, statement.end_lineno or statement.lineno):
            kept[line] = ""
    return "".join(kept) + _LOADER.format(table=table) if table else source


def _is_own(statement: ast.ImportFrom, package: str) -> bool:
    return statement.level > 0 or (statement.module or "").startswith(f"{package}.")


def late(source: str, imported: str) -> str:
    """The source with `from {imported} import …` moved from its top to before each statement that uses a name of it.

    Raises
    ------
    BuildError : it imports nothing so, or uses a name of it outside of functions.
    """
    tree = ast.parse(source)
    moved: dict[str, str] = {}
    lines = source.splitlines(keepends=True)
    for statement in tree.body:
        if isinstance(statement, ast.ImportFrom) and statement.module == imported and not statement.level:
            for alias in statement.names:
                renamed = f" as {alias.asname}" if alias.asname else ""
                moved[alias.asname or alias.name] = f"from {imported} import {alias.name}{renamed}"
            for line in range(statement.lineno - 1, statement.end_lineno or statement.lineno):
                lines[line] = "\n"
    if not moved:
        raise BuildError(f"{imported} is imported in another way than before: see infra/build/lazy.py.")
    for line, names in sorted(_uses(tree.body, set(moved)), reverse=True):
        indent = lines[line - 1][: -len(lines[line - 1].lstrip())]
        lines.insert(line - 1, "".join(f"{indent}{moved[name]}\n" for name in names))
    made = "".join(lines)
    ast.parse(made)
    return made


def _uses(block: Sequence[ast.stmt], names: set[str], *, in_function: bool = False) -> Iterator[tuple[int, list[str]]]:
    """Line of each statement that uses some of these names in its own expressions, and which; blocks within it have
    statements of their own."""
    for statement in block:
        used = sorted(names & _own_names(statement))
        if used and not in_function:
            raise BuildError(f"{used[0]} is used when line {statement.lineno} is imported: see infra/build/lazy.py.")
        if used:
            yield statement.lineno, used
        inner = in_function or isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef)
        yield from _uses(list(_inner_statements(statement)), names, in_function=inner)


def _inner_statements(node: ast.AST) -> Iterator[ast.stmt]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            yield child
        elif isinstance(child, ast.ExceptHandler | ast.match_case):
            yield from _inner_statements(child)


def _own_names(node: ast.AST) -> set[str]:
    found = {node.id} if isinstance(node, ast.Name) else set()
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.stmt):
            found |= _own_names(child)
    return found

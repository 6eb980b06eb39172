"""Makes packages load what their `__init__` offers when it is asked for (PEP 562), for the sake of cold starts.

Powertools' packages import every event source and resolver that there is, when a function needs one.
"""

import ast
from pathlib import Path

# Where it pays. scramp, with a whole ASN.1 library, is for passwords; a token of IAM needs none of it.
PACKAGES = (
    "aws_lambda_powertools",
    "aws_lambda_powertools/event_handler",
    "aws_lambda_powertools/event_handler/openapi",
    "aws_lambda_powertools/utilities/data_classes",
    "aws_lambda_powertools/utilities/batch",
    "pg8000",
    "scramp",
)

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
    """Rewrites the `__init__` of every package of `PACKAGES` that lies in this folder."""
    for package in PACKAGES:
        file = packages / package / "__init__.py"
        if file.exists():
            file.write_text(lazy(file.read_text("utf-8"), package.replace("/", ".")), "utf-8")


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

"""Loads named statements from the `.sql` files beside this module.

A file holds statements, each headed by ``-- name: claim`` and a sentence in further ``--`` lines. Comment
lines are dropped before the text reaches pg8000, which would take a colon in them for a parameter.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Query:
    """One statement with its name and the sentence that says what it does. Parameters are `:name`."""

    name: str
    sentence: str
    sql: str


@cache
def load(topic: str) -> dict[str, Query]:
    """The statements of `{topic}.sql` by name.

    Raises
    ------
    ValueError : text before the first name, a name twice, or one without a sentence or a statement.
    """
    queries: dict[str, Query] = {}
    name = ""
    sentence: list[str] = []
    sql: list[str] = []

    def finish() -> None:
        if not name:
            if "".join(sql).strip():
                raise ValueError(f"{topic}.sql: text before the first name")
            return
        statement = "\n".join(sql).strip().removesuffix(";")
        if name in queries or not sentence or not statement:
            raise ValueError(f"{topic}.sql: {name} stands twice, has no sentence, or no statement")
        queries[name] = Query(name, " ".join(sentence), statement)

    for line in (_FOLDER / f"{topic}.sql").read_text("utf-8").splitlines():
        stripped = line.strip()
        if stripped.startswith("-- name:"):
            finish()
            name, sentence, sql = stripped.removeprefix("-- name:").strip(), [], []
        elif stripped.startswith("--"):
            if not sql:
                sentence.append(stripped.removeprefix("--").strip())
        elif stripped:
            sql.append(line)
    finish()
    return queries

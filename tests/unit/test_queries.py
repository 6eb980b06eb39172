"""The loader of named statements, and the statements that exist."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from telemetry.database import queries
from telemetry.database.queries import load

Load = Callable[[str], dict[str, queries.Query]]
TOPICS = sorted(file.stem for file in Path(queries.__file__).parent.glob("*.sql"))


@pytest.fixture
def topic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Writes a topic of its own and loads it."""
    monkeypatch.setattr(queries, "_FOLDER", tmp_path)

    def write(text: str) -> dict[str, queries.Query]:
        (tmp_path / "topic.sql").write_text(text, "utf-8")
        load.cache_clear()
        return load("topic")

    yield write
    load.cache_clear()


@pytest.mark.parametrize("name", TOPICS)
def test_every_statement_of_the_service_is_named_described_and_single(name: str) -> None:
    loaded = load(name)
    assert loaded
    for query in loaded.values():
        assert re.fullmatch(r"[a-z][a-z0-9_]*", query.name)
        assert query.sentence.endswith(".")
        # One statement each: a prepared statement takes no more. Literals may hold a semicolon.
        assert ";" not in re.sub(r"'[^']*'", "", query.sql)
        assert "--" not in query.sql


def test_name_sentence_and_statement_are_told_apart(topic: Load) -> None:
    loaded = topic(
        "-- What the file is about: this is no sentence of a statement.\n\n"
        "-- name: first\n-- Gives one.\n-- Always.\nSELECT 1;\n\n"
        "-- name: second\n-- Gives a parameter.\nSELECT\n    -- a comment: dropped\n    :value;\n"
    )
    assert list(loaded) == ["first", "second"]
    assert (loaded["first"].sentence, loaded["first"].sql) == ("Gives one. Always.", "SELECT 1")
    assert loaded["second"].sql == "SELECT\n    :value"


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1;\n-- name: first\n-- Gives one.\nSELECT 1;",
        "-- name: first\nSELECT 1;",
        "-- name: first\n-- Gives one.\nSELECT 1;\n-- name: first\n-- Gives two.\nSELECT 2;",
        "-- name: first\n-- Gives nothing.\n",
    ],
    ids=["before the first name", "no sentence", "name twice", "no statement"],
)
def test_a_file_that_breaks_the_form_is_refused(topic: Load, text: str) -> None:
    with pytest.raises(ValueError, match=r"^topic\.sql: "):
        topic(text)

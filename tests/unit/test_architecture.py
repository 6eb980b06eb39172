"""The architecture's arrows: imports run downward only, SQL stays in .sql files, no room is called after nothing."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "layers/core/python"

# Rooms from the ground up. A module may import its own room and rooms on lower floors; never a neighbour on the
# same floor unless it is named in NEIGHBOURS.
FLOORS = (
    ("errors", "domain", "cold_start", "command_line"),
    ("settings", "streams", "signature"),
    ("formats", "laps"),
    ("database", "storage", "recording", "nudge"),
    ("queue",),
    ("services",),
    ("parts",),
    ("uploads", "sessions", "session_changes", "pipeline", "janitor", "gate"),
    ("api",),
)
NEIGHBOURS = {
    ("session_changes", "sessions"),
    ("session_changes", "uploads"),
    ("gate", "sessions"),
    ("janitor", "pipeline"),
    ("janitor", "uploads"),
}
# Entry points stand above every room.
ENTRY_POINTS = {"telemetry.formats.__main__", "telemetry.laps.__main__"}

PURE_ROOMS = ("domain", "formats", "streams", "laps")
FORBIDDEN_IN_PURE_ROOMS = {"boto3", "botocore", "pg8000", "aws_lambda_powertools", "moto", "sqlalchemy"}
FORBIDDEN_EVERYWHERE = {"numpy", "pandas"}
SAYS_NOTHING = {"utils", "util", "common", "helpers", "helper", "manager", "misc"}


def _modules() -> list[Path]:
    return sorted(CORE.rglob("*.py"))


def _name(path: Path) -> str:
    parts = path.relative_to(CORE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
            if _within(node.module or "", "telemetry"):
                found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def _within(module: str, package: str) -> bool:
    return f"{module}.".startswith(f"{package}.")


def _room(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "telemetry" and len(parts) > 1 else None


def _floor(room: str) -> int:
    for level, rooms in enumerate(FLOORS):
        if room in rooms:
            return level
    raise AssertionError(f"room `{room}` has no floor: add it to FLOORS, as low as its imports allow")


@pytest.mark.parametrize("path", _modules(), ids=_name)
def test_imports_run_downward(path: Path) -> None:
    module = _name(path)
    room = _room(module)
    if room is None or module in ENTRY_POINTS:
        return
    for imported in _imports(path):
        other = _room(imported)
        if other is None or other == room or imported == "telemetry.PIPELINE_VERSION":
            continue
        assert _floor(other) < _floor(room) or (room, other) in NEIGHBOURS, f"{module} imports {imported}"


def test_every_neighbour_is_visited() -> None:
    visits = {(_room(_name(path)), _room(imported)) for path in _modules() for imported in _imports(path)}
    assert visits >= NEIGHBOURS


def test_the_client_shares_models_and_error_codes_alone() -> None:
    """Whoever takes it along needs no worker, no database and no store."""
    shared = ("infra.local.client", "telemetry.api.models", "telemetry.errors")
    for path in (ROOT / "infra/local/client").rglob("*.py"):
        for imported in _imports(path):
            ours = imported.partition(".")[0] in ("infra", "telemetry")
            leads_there = any(_within(name, imported) for name in shared)
            assert not ours or leads_there or any(_within(imported, name) for name in shared), f"{path}: {imported}"


@pytest.mark.parametrize("path", _modules(), ids=_name)
def test_pure_rooms_know_no_aws_and_no_database(path: Path) -> None:
    roots = {name.split(".")[0] for name in _imports(path)}
    assert not roots & FORBIDDEN_EVERYWHERE
    if _room(_name(path)) in PURE_ROOMS:
        assert not roots & FORBIDDEN_IN_PURE_ROOMS


@pytest.mark.parametrize("path", sorted((ROOT / "functions").glob("*/app.py")), ids=lambda p: p.parent.name)
def test_functions_are_thin(path: Path) -> None:
    roots = {name.split(".")[0] for name in _imports(path)}
    assert not roots & {"pg8000", "boto3", "botocore", "pyarrow"}, "handlers decode, call one use case and encode"
    assert len(path.read_text("utf-8").splitlines()) <= 150


@pytest.mark.parametrize("path", sorted((ROOT / "functions").glob("*/app.py")), ids=lambda p: p.parent.name)
def test_functions_say_what_comes_in_what_is_done_and_what_is_touched(path: Path) -> None:
    told = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    assert re.match(rf"Lambda `{path.parent.name}`: [^\n]+ in → [^\n]+\.", told)
    assert re.search(r"\bTouches ", told)


def test_sql_stands_in_sql_files() -> None:
    words = ("SELECT ", "INSERT INTO ", "UPDATE ", "DELETE FROM ")
    for path in [*_modules(), *(ROOT / "functions").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not node.value.lstrip().startswith(words), f"{path}:{node.lineno} holds SQL"


def test_the_streams_are_named_once() -> None:
    """In a room that the API may import, which never loads Arrow."""
    folders = (CORE, ROOT / "functions", ROOT / "infra")
    named = re.compile(r"""^_?[A-Z_]+ *(?::.*)?= *["'](gnss_pvt|imu|biometrics|vehicle|lap_delta)["']""", re.MULTILINE)
    found = {
        path.relative_to(ROOT).as_posix()
        for folder in folders
        for path in folder.rglob("*.py")
        if named.search(path.read_text("utf-8"))
    }
    assert found == {"layers/core/python/telemetry/domain/streams.py"}


def test_no_room_is_named_after_nothing() -> None:
    for path in [*_modules(), *(ROOT / "functions").rglob("*.py"), *(ROOT / "infra").rglob("*.py")]:
        assert not SAYS_NOTHING & {part.removesuffix(".py") for part in path.relative_to(ROOT).parts}


@pytest.mark.parametrize("path", _modules(), ids=_name)
def test_first_lines_say_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text("utf-8"))), f"{path} has no module docstring"


def _prose(path: Path) -> Iterator[str]:
    """Docstrings and comments."""
    text = path.read_text("utf-8")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value.value
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.string


def test_files_that_docstrings_and_comments_name_are_there() -> None:
    """As from the root, or as modules are named: `infra/build/lazy.py`, `telemetry/cold_start.py`."""
    folders = ("fixtures", "functions", "infra", "layers", "migrations", "tests")
    named = re.compile(rf"(?<![\w/.-])(?:{'|'.join(folders)}|telemetry)/[\w./-]+\.[a-z]\w*")
    stale = [
        f"{path.relative_to(ROOT)} names {name}"
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*.py"))
        for text in _prose(path)
        for name in named.findall(text)
        if not (ROOT / name).exists() and not (CORE / name).exists()
    ]
    assert stale == []


def test_no_test_waits_for_a_thread_for_ever() -> None:
    """A test that hangs tells nothing: a limit, then `assert not thread.is_alive()`."""
    waiting = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if re.search(r"\w\.join\(\)", line)
    ]
    assert waiting == []

"""The page's modules: what the page preloads is what it imports, and each says in its first lines what it is."""

import re
from pathlib import Path

import pytest

from infra.web import PAGE

_STATIC_IMPORT = re.compile(r"""^import\s[^;'"]*?from\s*'([^']+)'|^import\s*'([^']+)'""", re.MULTILINE)
_PRELOAD = re.compile(r'<link rel="modulepreload" href="([^"]+)">')


def imported_from(module: Path, found: set[Path]) -> set[Path]:
    """The modules that one needs before it can run, itself among them."""
    if module not in found:
        found.add(module)
        code = re.sub(r"/\*.*?\*/", "", module.read_text("utf-8"), flags=re.DOTALL)
        for match in _STATIC_IMPORT.finditer(code):
            imported_from((module.parent / (match.group(1) or match.group(2))).resolve(), found)
    return found


def own_modules() -> list[Path]:
    return sorted(path for path in PAGE.rglob("*.js") if "vendor" not in path.relative_to(PAGE).parts)


def test_the_page_preloads_what_it_imports() -> None:
    """Else a browser learns of a module only when it has read the one that imports it, one round trip after another."""
    preloaded = _PRELOAD.findall((PAGE / "index.html").read_text("utf-8"))
    needed = imported_from((PAGE / "main.js").resolve(), set()) - {(PAGE / "main.js").resolve()}
    assert preloaded == sorted(path.relative_to(PAGE.resolve()).as_posix() for path in needed)


@pytest.mark.parametrize("path", own_modules(), ids=lambda path: path.relative_to(PAGE).as_posix())
def test_a_module_says_what_it_holds(path: Path) -> None:
    text = path.read_text("utf-8")
    assert re.match(r"(// @ts-check\n)?/\*\*\s[A-Z\n ]", text), "it begins with a comment that says what it holds"
    assert len(text.splitlines()) < 420

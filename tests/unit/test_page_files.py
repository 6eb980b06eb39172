"""The page's files: vendored libraries are the pinned ones, nothing is imported or asked for from elsewhere."""

import hashlib
import io
import re
import subprocess
import tarfile
from pathlib import Path

import pytest

from infra.local.process import ROOT
from infra.web import PAGE
from infra.web.vendored import (
    MANIFEST,
    VENDOR,
    Package,
    VendorError,
    checked,
    integrity,
    read_manifest,
    repinned,
    write,
    write_manifest,
)

PACKAGES = read_manifest()
_TEXTS = {".html", ".css", ".js", ".mjs", ".json", ".svg", ".webmanifest"}
_IMPORT = re.compile(
    r"""^\s*(?:import|export)\b[^;'"`]*?\bfrom\s*['"]([^'"]+)['"]|\bimport\s*\(\s*['"]([^'"]+)|^\s*import\s*['"]([^'"]+)""",
    re.MULTILINE,
)
# Namespaces are names, not addresses: nothing is fetched from them.
_NAMESPACES = ("http://www.w3.org/2000/svg", "http://www.w3.org/1999/xhtml", "http://www.w3.org/1999/xlink")
_HOST = re.compile(r"""(?:\b(?:https?|wss?|ftp):)?//[a-z0-9-]+(?:\.[a-z0-9-]+)+""", re.IGNORECASE)
_REGISTRY = re.compile(r"registry\.yarnpkg|npmjs\.(?:org|com)|files\.pythonhosted|pypi\.org/simple", re.IGNORECASE)


def own_files() -> list[Path]:
    """Text files of the page that are written here."""
    return sorted(path for path in PAGE.rglob("*") if path.suffix in _TEXTS and VENDOR not in path.parents)


def modules() -> list[Path]:
    return sorted(path for path in PAGE.rglob("*") if path.suffix in {".js", ".mjs"})


def name(path: Path) -> str:
    return str(path.relative_to(PAGE))


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_vendored_files_are_the_pinned_ones(package: Package) -> None:
    folder = VENDOR / package.name
    found = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert found == package.files, "`make vendor` writes them anew"
    assert any(path.startswith("LICENSE") for path in found)
    assert re.fullmatch(r"\d+\.\d+\.\d+", package.version)


def test_the_folder_is_named_once() -> None:
    listed = subprocess.run(["git", "ls-files", "-z", "*.py"], cwd=ROOT, capture_output=True, check=True).stdout
    named = re.compile(r"""["']infra["'] / ["']page["'](?! / )|["']infra/page["']""")
    there = [path for path in listed.decode().split("\0") if path and named.search((ROOT / path).read_text("utf-8"))]
    assert there == ["infra/web/__init__.py"], "import PAGE of infra.web"


def test_nothing_lies_beside_the_vendored_packages() -> None:
    assert {path.name for path in VENDOR.iterdir()} == {MANIFEST.name, *(package.name for package in PACKAGES)}


@pytest.mark.parametrize("path", modules(), ids=name)
def test_every_import_is_a_file_of_the_page(path: Path) -> None:
    # What stands in a comment is no import: vendored modules show in theirs how to use them.
    code = re.sub(r"/\*.*?\*/", "", path.read_text("utf-8"), flags=re.DOTALL)
    for match in _IMPORT.finditer(code):
        target = next(group for group in match.groups() if group)
        assert target.startswith(("./", "../")), f"{target} would need an import map"
        file = (path.parent / target).resolve()
        assert file.is_file(), target
        assert PAGE in file.parents, target


@pytest.mark.parametrize("path", own_files(), ids=name)
def test_no_file_names_a_foreign_host(path: Path) -> None:
    text = path.read_text("utf-8")
    for namespace in _NAMESPACES:
        text = text.replace(namespace, "")
    assert _HOST.findall(text) == []


def test_no_registry_is_named_anywhere() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    named = []
    for line in filter(None, listed.split("\0")):
        file = ROOT / line
        if file == Path(__file__) or not file.is_file():
            continue
        text = file.read_bytes().decode("utf-8", "replace")
        named += [line for match in _REGISTRY.finditer(text)]
    assert named == []


def tarball(files: dict[str, bytes]) -> bytes:
    """A package as npm packs it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path, content in files.items():
            member = tarfile.TarInfo(f"package/{path}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


EMPTY = Package("one", "1.0.0", "MIT", "trying", "", {"LICENSE": "", "src/one.js": ""})
CONTENT = {"LICENSE": b"free", "src/one.js": b"export {};\n", "README.md": b"not asked for"}


def test_a_package_is_written_as_it_was_pinned(tmp_path: Path) -> None:
    packed = tarball(CONTENT)
    pinned = repinned(EMPTY, "1.0.1", packed)
    (tmp_path / "one" / "old").mkdir(parents=True)
    write(pinned, checked(pinned, packed), tmp_path)
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()} == {
        "one/LICENSE",
        "one/src/one.js",
    }
    write_manifest([pinned], tmp_path / "vendored.json")
    assert read_manifest(tmp_path / "vendored.json") == [pinned]


def test_another_tarball_is_refused() -> None:
    pinned = repinned(EMPTY, "1.0.0", tarball(CONTENT))
    with pytest.raises(VendorError, match="pinned is sha512-"):
        checked(pinned, tarball(CONTENT | {"src/one.js": b"import './evil.js';\n"}))


def test_another_file_in_the_pinned_tarball_is_refused() -> None:
    packed = tarball(CONTENT)
    wrong = Package("one", "1.0.0", "MIT", "trying", integrity(packed), {"src/one.js": "0" * 64})
    with pytest.raises(VendorError, match=re.escape("src/one.js is not the pinned one")):
        checked(wrong, packed)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(VendorError, match="does not hold LICENSE"):
        repinned(EMPTY, "1.0.0", tarball({"src/one.js": b""}))

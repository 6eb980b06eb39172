"""The README's tables say what the code says."""

import json
import re
from pathlib import Path

from telemetry import settings
from telemetry.errors import CATALOGUE
from telemetry.formats import recognition

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def test_every_error_code_stands_there_as_the_catalogue_has_it() -> None:
    rows = [
        f"| `{code}` | {entry.http_status or ''} | {'yes' if entry.retryable else ''} | {entry.title}. {entry.remedy} |"
        for code, entry in CATALOGUE.items()
    ]
    assert [row for row in rows if row not in README.splitlines()] == []
    section = README.partition("## Error codes")[2]
    assert len(re.findall(r"^\| `[A-Z_]+` \|", section, re.MULTILINE)) == len(rows)


def test_every_setting_stands_there_and_no_other() -> None:
    read = set(re.findall(r'"(TELEMETRY_[A-Z_]+)"', Path(settings.__file__).read_text("utf-8")))
    section = README.partition("## Settings")[2].partition("\n## ")[0]
    assert set(re.findall(r"TELEMETRY_[A-Z_]+", section)) == read


def test_every_format_is_named() -> None:
    section = README.partition("## What it reads")[2].partition("\n## ")[0]
    for reader in recognition.readers():
        assert reader.title.split()[0] in section


def test_every_command_exists() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in set(re.findall(r"(?:^|`)make ([a-z]+)", README, re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"make {target}"


def test_every_call_of_the_api_stands_in_the_table() -> None:
    section = README.partition("## API in brief")[2].partition("\n## ")[0]
    described = json.loads((ROOT / "infra/openapi.json").read_text("utf-8"))["paths"]
    for path in described:
        last = re.sub(r"\{[^}]+\}", "{id}", path.removeprefix("/api/v1/telemetry"))
        shown = last in section or f"`/{last.rpartition('/')[2]}`" in section
        assert shown, f"{path} is missing"

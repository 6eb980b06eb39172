"""`python -m infra.description`: writes the description anew; `--check` ends with 1 when it is not current."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from functions.sessions import app as sessions
from functions.uploads import app as uploads
from infra.description.page import page
from telemetry.api.openapi import document
from telemetry.api.resolver import PREFIX

ROOT = Path(__file__).resolve().parents[2]
OPENAPI = ROOT / "infra" / "openapi.json"
PAGE = ROOT / "functions" / "docs" / "index.html"
VERSION = "1"


def described() -> dict[str, Any]:
    """The OpenAPI document of the functions' routes."""
    routes = [
        route
        for function in (uploads, sessions)
        for route in (*function.api._static_routes, *function.api._dynamic_routes)
    ]
    return document(routes, prefix=PREFIX, version=VERSION)


def files() -> dict[Path, str]:
    """What belongs in each file."""
    told = described()
    return {OPENAPI: json.dumps(told, indent=1, ensure_ascii=False) + "\n", PAGE: page(told)}


def main() -> int:
    """Writes, or checks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    stale = [path for path, text in files().items() if not path.exists() or path.read_text("utf-8") != text]
    for path in stale:
        if check:
            sys.stderr.write(f"{path.relative_to(ROOT)} is not current: make openapi\n")
        else:
            path.write_text(files()[path], "utf-8")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())

"""Where the tests find recordings of real devices and programs, which are not kept with the code.

The folder holds `manifest.json`, which tells of every file what independent tools read in it, and the files themselves,
below `files/<format>/` and `files_large/<format>/`. Without it the tests of real recordings are skipped.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

_VARIABLE = "TELEMETRY_REAL_RECORDINGS"
_BESIDE_THE_PROJECT = Path(__file__).resolve().parents[2] / "shared" / "realdata"

FOLDER = Path(os.environ.get(_VARIABLE) or _BESIDE_THE_PROJECT)
MANIFEST = FOLDER / "manifest.json"
MISSING = f"no real recordings: {_VARIABLE} must name a folder that holds manifest.json and the files that it lists"

needed = pytest.mark.skipif(not MANIFEST.is_file(), reason=MISSING)
"""Skips a test, or all of a module, where the real recordings are not at hand."""


def find(pattern: str) -> list[Path]:
    """The recordings under a pattern like `files*/gpx/*.gpx`, in order of their paths; none where the folder is not."""
    return sorted(path for path in FOLDER.glob(pattern) if path.is_file()) if MANIFEST.is_file() else []


def cases(paths: Iterable[Path]) -> list[Any]:
    """A parametrised test's cases, one for each path, and a skipped one where the real recordings are not at hand."""
    found = [pytest.param(path, id=path.name) for path in paths]
    return found if MANIFEST.is_file() else [*found, pytest.param(None, id="real recordings", marks=needed)]

"""A client of a made up service, and a recording to send."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.client.service import TOKEN, Handler, Network, Patient


@pytest.fixture
def client_of(tmp_path: Path) -> Callable[..., Patient]:
    def make(handler: Handler, **more: Any) -> Patient:
        made = Patient("https://api.test", TOKEN, state=tmp_path / "state", transport=Network(handler), **more)
        made.pauses = []
        return made

    return make


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "ride.gpx"
    made.write_bytes(b"0123456789" * 300_000)  # three blocks
    return made

"""Every real CSV and GPX recording through the whole service: each ends READY, or FAILED with a catalogued code."""

from pathlib import Path

import pytest

from infra.local.client import Client
from infra.local.stack import Stack
from telemetry.errors import CATALOGUE, Code
from tests import real_recordings


@real_recordings.needed
@pytest.mark.parametrize("format_", ["csv", "gpx"])
def test_every_real_recording_ends_ready_or_with_a_reason(stack: Stack, format_: str, tmp_path: Path) -> None:
    files = real_recordings.find(f"files*/{format_}/*")
    assert files
    with Client(stack.api_url, stack.token(f"real-recordings-{format_}"), state=tmp_path) as client:
        sent = {file: client.send(file).session_id for file in files}
        sessions = {file: client.wait(session_id, seconds=120) for file, session_id in sent.items()}
    for file, session in sessions.items():
        if session.status == "ready":
            assert session.summary["points"] > 0, file.name
        else:
            assert session.failure is not None
            code = Code(session.failure.code)
            assert code is not Code.INTERNAL_ERROR, file.name
            assert CATALOGUE[code].remedy in session.failure.message, file.name
    ready = sum(session.status == "ready" for session in sessions.values())
    assert ready >= len(files) // 2

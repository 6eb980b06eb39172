"""What the README gives to type in, typed in as it stands there, with the two variables that `make up` prints."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet
import pytest

from infra.local import access
from infra.local.client import Client
from infra.local.process import ROOT
from infra.local.stack import Stack

README = (ROOT / "README.md").read_text("utf-8")
MISSING = [program for program in ("curl", "jq") if shutil.which(program) is None]


def _block(language: str, mark: str) -> str:
    """The one block of the README in `language` that holds `mark`."""
    (found,) = (block for block in re.findall(rf"^```{language}\n(.*?)^```$", README, re.M | re.S) if mark in block)
    return str(found)


def _typed(command: list[str], stack: Stack, token: str, folder: Path) -> str:
    """Output of what is typed in a folder that holds recordings and programs, as the root of the tree does."""
    (folder / "fixtures").symlink_to(ROOT / "fixtures")
    (folder / ".venv").symlink_to(sys.prefix)
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "API", "TOKEN")}
    reached = {"API": stack.api_url, access.URL_VARIABLE: stack.api_url, "TOKEN": token, access.TOKEN_VARIABLE: token}
    environment = {**kept, **reached, "no_proxy": "*", "XDG_STATE_HOME": str(folder)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(bool(MISSING), reason=f"the README's calls need {' and '.join(MISSING)}")
def test_the_calls_by_hand_make_a_session(stack: Stack, tmp_path: Path) -> None:
    token = stack.token("by-hand")
    script = _block("sh", "-X PUT").replace("/tmp/upload.json", str(tmp_path / "upload.json"))  # noqa: S108
    answered = _typed(["bash", "-euo", "pipefail", "-c", script], stack, token, tmp_path)
    with Client(stack.api_url, token) as client:
        session = client.wait(json.loads(answered)["sessionId"], seconds=60)
    assert session.status == "ready"
    assert [file.file_name for file in session.files] == ["ride.gpx"]
    assert session.summary["points"] == 600


@pytest.mark.skipif(bool(MISSING), reason=f"the README's calls need {' and '.join(MISSING)}")
def test_the_command_line_looks_at_what_it_sent(stack: Stack, tmp_path: Path) -> None:
    token = stack.token("at-the-terminal")
    sent, _, others = _block("sh", "telemetry upload").partition("\n")
    # One of the recordings has no times: the first command says so, by its exit code too. No other may fail.
    _typed(
        ["bash", "-euo", "pipefail", "-c", f"{sent.partition('#')[0]} || test $? = 1\n{others}"], stack, token, tmp_path
    )
    assert (tmp_path / "results/drive.svg").exists()
    assert (tmp_path / "results/track.geojson").exists()
    with Client(stack.api_url, token) as client:
        assert [session.status for session in client.sessions().sessions].count("ready") == 1


def test_the_client_in_python_fetches_what_became_of_a_recording(stack: Stack, tmp_path: Path) -> None:
    """`-P` as nothing of the folder is wanted: `make setup` tells the environment where the client lies."""
    snippet = _block("python", "import Client")
    _typed([sys.executable, "-P", "-c", snippet], stack, stack.token("from-python"), tmp_path)
    assert pyarrow.parquet.read_metadata(tmp_path / "results/gnss_pvt.parquet").num_rows == 600

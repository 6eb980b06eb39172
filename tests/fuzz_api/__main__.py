"""`python -m tests.fuzz_api`: schemathesis over the local stack, every check, calls that follow one another.

It reads the committed description, so that what it finds is a difference between that and the service. Failures come
with the call that reproduces them.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from infra.description.__main__ import OPENAPI
from infra.local.stack import Stack

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "fixtures" / "telemetry" / "sample_gnss_10hz.csv"
CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
CHECKS = "tests.fuzz_api.checks"


MEETING = """
[[operations]]
include-operation-id = [
    "getSession", "renameSession", "listDatasets", "listLaps", "getTrack", "setGate", "cancelSession", "retrySession",
]
parameters = {{ "path.sessionId" = "{session}" }}

[[operations]]
include-operation-id = "deleteSession"
parameters = {{ "path.sessionId" = "{doomed}" }}

[[operations]]
include-operation-id = ["listParts", "signParts"]
parameters = {{ "path.uploadId" = "{upload}" }}
"""
"""What single calls meet: a session that is ready, one to delete, and an open upload."""
PHASES = {"single": "examples,coverage,fuzzing", "following": "stateful"}
"""Calls by themselves, then calls that follow from answers, each over sessions of their own."""


def fuzz(
    stack: Stack, *, examples: int, seconds: int, seed: int | None = None, sessions: int = 12
) -> list[subprocess.CompletedProcess[str]]:
    """Runs schemathesis against a running stack, once for each of `PHASES`.

    Parameters
    ----------
    examples : the most calls made up for each operation and phase.
    seconds : budget of the whole.
    sessions : made beforehand, for calls that would otherwise mostly meet none; at least two.
    """
    done = []
    for name, phases in PHASES.items():
        token = stack.token(f"fuzz-{name}")
        meeting = _made(stack, token, sessions)
        # What follows from an answer goes where the answer leads.
        added = "" if name == "following" else MEETING.format(**meeting)
        arguments = ["--url", stack.api_url, "--header", f"Authorization: Bearer {token}", "--phases", phases]
        arguments += ["--max-examples", str(examples), "--max-time", str(seconds // len(PHASES)), "--checks", "all"]
        arguments += ["--seed", str(seed)] if seed is not None else []
        done.append(_run(arguments, CONFIGURATION.read_text("utf-8") + added))
    return done


def _made(stack: Stack, token: str, sessions: int) -> dict[str, str]:
    with httpx.Client(headers={"authorization": f"Bearer {token}"}, trust_env=False, timeout=30) as client:
        ready = [_session(client, stack.api_url, number) for number in range(sessions)]
        for session_id in ready:
            _wait_for(client, f"{stack.api_url}/sessions/{session_id}")
        upload = _announce(client, stack.api_url, b"0" * (40 << 20))["uploadId"]
    return {"session": ready[0], "doomed": ready[1], "upload": str(upload)}


def _run(arguments: list[str], configuration: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "SCHEMATHESIS_HOOKS": CHECKS,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "layers/core/python")]),
    }
    with tempfile.TemporaryDirectory(prefix="telemetry-fuzz-") as directory:
        file = Path(directory) / CONFIGURATION.name
        file.write_text(configuration, "utf-8")
        command = [str(Path(sys.executable).with_name("st")), "--config-file", str(file), "run", str(OPENAPI)]
        return subprocess.run(
            [*command, *arguments], cwd=directory, env=environment, check=False, capture_output=True, text=True
        )


def _announce(client: httpx.Client, api_url: str, content: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    told = {"fileName": SAMPLE.name, "contentType": "text/csv", "byteSize": len(content), "sha256": digest}
    created: dict[str, Any] = client.post(f"{api_url}/uploads", json=told).raise_for_status().json()
    return created


def _session(client: httpx.Client, api_url: str, number: int) -> str:
    content = SAMPLE.read_bytes() + b"\n" * number
    created = _announce(client, api_url, content)
    put = created["upload"]
    httpx.put(put["url"], headers=put["headers"], content=content, trust_env=False).raise_for_status()
    made = client.post(f"{api_url}/uploads/{created['uploadId']}/finalise").raise_for_status().json()
    return str(made["sessionId"])


def _wait_for(client: httpx.Client, session_url: str) -> None:
    limit = time.monotonic() + 60
    while client.get(session_url).json()["status"] != "ready":
        if time.monotonic() > limit:
            raise TimeoutError("a session to fuzz was not ready after 60 s")
        time.sleep(0.1)


def main() -> int:
    """The long form; `make fuzz`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=200)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--seed", type=int)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="telemetry-stack-") as directory, Stack(Path(directory)) as stack:
        runs = fuzz(stack, examples=asked.examples, seconds=asked.seconds, seed=asked.seed)
    for done in runs:
        sys.stdout.write(done.stdout + done.stderr)
    return max(done.returncode for done in runs)


if __name__ == "__main__":
    sys.exit(main())

"""`sam local invoke` for every function, and `sam local start-api`, as infra/README.md says: in SAM's own containers.

Needs Docker and Lambda's image; everything else is this machine's.
"""

import contextlib
import hashlib
import json
import os
import re
import runpy
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.build.interpreter import RUNTIME
from infra.build.parts import host_target
from infra.local import function_variables
from infra.local.localstack import free_port, named_endpoint
from infra.local.postgres import named_url
from infra.local.process import LOOPBACK
from infra.local.stack import Stack

ROOT = Path(__file__).resolve().parents[2]
SAM = ROOT / ".sam-venv" / "bin" / "sam"
EVENTS = ROOT / "fixtures" / "events"
TRACK = ROOT / "fixtures" / "telemetry" / "sample_track.gpx"
ARCHITECTURE = host_target().architecture
IMAGE = f"public.ecr.aws/lambda/python:{RUNTIME}-{ARCHITECTURE}"
# SAM asks who the account is; nobody answers, at once.
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_REGION": "us-east-1",
    "AWS_ENDPOINT_URL_STS": "http://127.0.0.1:9",
    "AWS_MAX_ATTEMPTS": "1",
    "SAM_CLI_TELEMETRY": "0",
    "ARCHITECTURE": ARCHITECTURE,
}
LONGEST_ASKED_S = 5
ANSWERS = [
    ("UploadsFunction", "uploads_create", '"statusCode": 201'),
    ("SessionsFunction", "sessions_list", '"statusCode": 200'),
    ("ObjectCreatedFunction", "object_created", '{"batchItemFailures": []}'),
    ("WorkerFunction", "worker_nudge", '{"batchItemFailures": []}'),
    ("JanitorFunction", "janitor_schedule", '"sweep_datasets": 0'),
    ("MigrateFunction", "migrate_status", '"current": "'),
    ("DocsFunction", "docs_openapi", '"statusCode": 200'),
]


def _docker(*arguments: str) -> str | None:
    """What it says, or None."""
    try:
        done = subprocess.run(
            ["docker", *arguments], check=False, capture_output=True, text=True, timeout=LONGEST_ASKED_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _why_not() -> str | None:
    if named_endpoint() or named_url():
        return "a named LocalStack or database may not be seen by containers"
    if not _docker("version", "--format", "{{.Server.Version}}"):
        return "no Docker daemon answers"
    if _docker("image", "inspect", IMAGE) is None:
        return f"Docker has no {IMAGE}; `docker pull` it"
    return None


@pytest.fixture(scope="session")
def docker() -> None:
    """Docker with all that is needed; asked only where a test needs it, as a daemon may hang."""
    if why_not := _why_not():
        pytest.skip(why_not)


@dataclass(frozen=True)
class Local:
    """A stack that containers see, and the built template."""

    template: Path
    variables: Path

    def command(self, *arguments: str) -> list[str | Path]:
        return [
            SAM,
            "local",
            *arguments,
            "--template",
            self.template,
            "--env-vars",
            self.variables,
            *("--parameter-overrides", f"Architecture={ARCHITECTURE}", "--skip-pull-image"),
        ]

    def invoke(self, function: str, event: Any) -> str:
        """The last line that the command prints: the function's answer."""
        done = subprocess.run(
            self.command("invoke", function, "--event", "-"),
            input=json.dumps(event),
            check=False,
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={**os.environ, **ENVIRONMENT},
            timeout=180,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout.strip().splitlines()[-1]


def _seen_by_containers() -> str:
    """The bridge's address where it is this machine's; Docker Desktop's containers see the loopback."""
    bridge = _docker("network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}") or LOOPBACK
    with socket.socket() as probe, contextlib.suppress(OSError):
        probe.bind((bridge, 0))
        return bridge
    return LOOPBACK


@pytest.fixture(scope="module")
def local(docker: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    directory = tmp_path_factory.mktemp("sam")
    built = subprocess.run(
        [SAM, "build", "--build-dir", directory / "build", "--parameter-overrides", f"Architecture={ARCHITECTURE}"],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **ENVIRONMENT},
    )
    assert built.returncode == 0, built.stderr[-3000:]
    files = directory / "stack"
    with (
        Stack(directory=files, purpose="tests", host=_seen_by_containers()) as stack,
        function_variables.written(stack),
    ):
        yield Local(directory / "build" / "template.yaml", files / function_variables.IN_CONTAINERS)


@pytest.mark.parametrize(("function", "event", "answer"), ANSWERS)
def test_every_function_answers_in_its_container(local: Local, function: str, event: str, answer: str) -> None:
    assert answer in local.invoke(function, json.loads((EVENTS / f"{event}.json").read_text()))


def test_docker_is_not_asked_before_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(*_: object, **__: object) -> None:
        raise AssertionError("asked at import")

    monkeypatch.setattr(subprocess, "run", ask)
    assert "ANSWERS" in runpy.run_path(__file__)


def test_a_daemon_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hanging = tmp_path / "docker"
    hanging.write_text("#!/bin/sh\nexec sleep 60\n")
    hanging.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setitem(globals(), "LONGEST_ASKED_S", 0.2)
    begun = time.monotonic()
    assert _docker("version") is None
    assert time.monotonic() - begun < 20


def test_the_readme_says_the_same() -> None:
    text = (ROOT / "infra" / "README.md").read_text()
    documented = re.findall(r"sam local invoke (\w+) -e fixtures/events/(\w+)\.json --env-vars", text)
    assert documented == [(function, event) for function, event, _ in ANSWERS]
    folders = {path.parent.name.replace("_", "") for path in (ROOT / "functions").glob("*/app.py")}
    assert {function.removesuffix("Function").lower() for function, _ in documented} == folders
    assert {path.stem for path in EVENTS.glob("*.json")} <= set(re.findall(r"`(\w+)`", text))


def test_what_a_container_signs_is_good_here(local: Local) -> None:
    """From the announcement in one container over the PUT from this machine to READY in another."""
    content = TRACK.read_bytes()
    event = json.loads((EVENTS / "uploads_create.json").read_text())
    event["body"] = json.dumps(
        {
            "fileName": "track.gpx",
            "contentType": "application/gpx+xml",
            "byteSize": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "finaliseOnReceipt": True,
        }
    )
    upload = json.loads(json.loads(local.invoke("UploadsFunction", event))["body"])["upload"]
    url = httpx.URL(upload["url"])
    headers = {**upload["headers"], "host": url.netloc.decode()}
    here = url.copy_with(host=LOOPBACK) if url.host == "host.docker.internal" else url
    assert httpx.put(here, content=content, headers=headers, trust_env=False).status_code == 200

    event = json.loads((EVENTS / "sessions_list.json").read_text())
    event.update(rawQueryString="", queryStringParameters=None)
    limit = time.monotonic() + 90
    while '"status":"ready"' not in (sessions := json.loads(local.invoke("SessionsFunction", event))["body"]):
        assert time.monotonic() < limit, sessions


def test_start_api_routes_as_the_template_says(local: Local, tmp_path: Path) -> None:
    port = free_port()
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            local.command("start-api", "--port", str(port)),
            stdout=log,
            stderr=log,
            cwd=ROOT,
            env={**os.environ, **ENVIRONMENT},
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120, trust_env=False) as client:
            limit = time.monotonic() + 60
            while True:
                with contextlib.suppress(httpx.ConnectError):
                    described = client.get("/openapi.json")
                    break
                assert time.monotonic() < limit and process.poll() is None, (tmp_path / "log").read_text()
                time.sleep(0.2)
            assert described.json()["openapi"].startswith("3.1")
            # It plays no JWT authorizer, and the functions take nobody's word.
            assert client.get("/api/v1/telemetry/sessions").json()["code"] == "UNAUTHENTICATED"
            assert client.get("/nothing").status_code == 404
    finally:
        process.terminate()
        process.wait(30)

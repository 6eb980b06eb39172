"""`make up` from the outside: what it says, that it is alone, and that nothing outlives it however it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from infra.local import access
from infra.local.process import KILLED, ROOT
from infra.local.stack import Stack

LONGEST_S = 60
"""Whatever takes longer hangs."""


def _command(directory: Path, module: str = "infra.local.up", **more: str) -> dict[str, Any]:
    environment = {**os.environ, "STACK_DIRECTORY": str(directory), "STACK_API_PORT": "0", **more}
    return {"args": [sys.executable, "-m", module], "cwd": ROOT, "env": environment, "text": True}


@contextmanager
def _up(directory: Path, **more: str) -> Iterator[tuple[psutil.Popen, str]]:
    """`make up` in a process of its own, once it says that it is up; and what it said."""
    process = psutil.Popen(**_command(directory, **more), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said: list[str] = []
    try:
        for line in process.stdout:
            said.append(line)
            if "curl" in line:
                break
        else:
            pytest.fail("".join(said))
        yield process, "".join(said)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(LONGEST_S)
        process.stdout.close()


def _gone(processes: list[psutil.Process], *, seconds: float) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    return not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


def test_up_says_how_to_call_it_is_alone_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    directory = tmp_path / "stack"
    with _up(directory) as (process, said):
        words = said.split()
        token, printed = (
            next(word for word in words if word.startswith(name)).removeprefix(name) for name in ("TOKEN=", "API=")
        )
        url = next(line.split()[1] for line in said.splitlines() if line.startswith("  API "))
        assert printed == url
        assert access.find(None, None, environment={}, directory=directory) == access.Access(url, token)
        answer = httpx.get(f"{url}/sessions", headers={"authorization": f"Bearer {token}"}, trust_env=False)
        assert answer.status_code == 200
        for name, machine in (("env.json", "127.0.0.1"), ("container-env.json", "host.docker.internal")):
            variables = json.loads((directory / name).read_text())["Parameters"]
            assert urlsplit(variables["TELEMETRY_NUDGE_QUEUE_URL"]).hostname == machine
            assert urlsplit(variables["TELEMETRY_OBJECT_STORAGE_ENDPOINT"]).hostname == machine
            assert variables["TELEMETRY_DATABASE_HOST"] == machine
            assert (directory / name).stat().st_mode & 0o077 == 0

        for module in ("infra.local.up", "infra.local.demo"):
            second = subprocess.run(**_command(directory, module), capture_output=True, check=False, timeout=LONGEST_S)
            assert second.returncode == 1
            for expected in ("A local stack is running already", str(directory), "make up", str(process.pid), url):
                assert expected in second.stderr

        children = process.children(recursive=True)
        assert len(children) >= 4  # LocalStack, PostgreSQL, gateway, poller
        process.send_signal(signal.SIGINT)
        assert process.wait(LONGEST_S) == 0
        assert _gone(children, seconds=LONGEST_S)
        assert not (directory / "lock").exists()
        assert not list(directory.glob("*.json"))


def _down(directory: Path) -> str:
    done = subprocess.run(
        **_command(directory, "infra.local.down"), capture_output=True, check=False, timeout=LONGEST_S
    )
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


def test_down_ends_what_up_began_and_nothing_else(tmp_path: Path) -> None:
    directory = tmp_path / "stack"
    with _up(directory) as (process, said):
        assert "make down" in said
        children = process.children(recursive=True)
        assert _down(tmp_path / "another") == "No local stack is running.\n"
        assert process.poll() is None
        assert _down(directory) == f"Ended `make up`, process {process.pid}.\n"
        # It waited: only the process itself may have a word left to say.
        assert _gone(children, seconds=0)
        assert process.wait(LONGEST_S) == 0
    assert _down(directory) == "No local stack is running.\n"


def test_down_ends_no_process_for_what_a_dead_holder_left_in_the_lock(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", str(LONGEST_S)]) as another:
        try:
            (tmp_path / "lock").write_text(json.dumps({"purpose": "make up", "pid": another.pid}))
            assert _down(tmp_path) == "No local stack is running.\n"
            assert another.poll() is None
        finally:
            another.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the rest of 127.0.0.0/8")
def test_up_listens_where_it_is_told_besides_the_loopback(tmp_path: Path) -> None:
    directory = tmp_path / "stack"
    with _up(directory, STACK_LISTEN="127.0.0.2") as (process, said):
        here, containers = (
            json.loads((directory / name).read_text())["Parameters"] for name in ("env.json", "container-env.json")
        )
        assert here == containers
        assert here["TELEMETRY_DATABASE_HOST"] == "127.0.0.2"
        assert here["TELEMETRY_DATABASE_TLS"] == "disable"
        api = access.find(None, None, environment={}, directory=directory)
        assert urlsplit(api.url).hostname == "127.0.0.1"
        assert urlsplit(here["TELEMETRY_OBJECT_STORAGE_ENDPOINT"]).netloc in said
        heard = {
            connection.laddr
            for child in process.children(recursive=True)
            for connection in child.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
        }
        assert len(heard) == 6  # PostgreSQL, S3 and SQS, API
        assert {(address, port) for address in ("127.0.0.1", "127.0.0.2") for _, port in heard} == heard
        for host in ("127.0.0.1", "127.0.0.2"):
            url = api.url.replace("127.0.0.1", host)
            answer = httpx.get(f"{url}/sessions", headers={"authorization": f"Bearer {api.token}"}, trust_env=False)
            assert answer.status_code == 200


@pytest.mark.parametrize("address", ["0.0.0.0", "8.8.8.8", "192.0.2.1", "docker0", "::1"])  # noqa: S104  (refused)
def test_up_listens_on_no_address_that_is_not_this_machines_own_and_private(tmp_path: Path, address: str) -> None:
    refused = subprocess.run(
        **_command(tmp_path / "stack", STACK_LISTEN=address), capture_output=True, check=False, timeout=LONGEST_S
    )
    assert refused.returncode == 1
    assert f"STACK_LISTEN is {address}" in refused.stderr.replace("'", "")
    assert not (tmp_path / "stack" / "postgres").exists()


def test_ctrl_c_while_it_starts_ends_at_once(tmp_path: Path) -> None:
    directory = tmp_path / "stack"
    process = psutil.Popen(
        **_command(directory, "infra.local.demo"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    limit = time.monotonic() + 30
    while len(children := process.children()) < 4 and time.monotonic() < limit:
        time.sleep(0.01)
    children = process.children(recursive=True)
    assert len(children) >= 4
    process.send_signal(signal.SIGINT)
    assert process.wait(LONGEST_S) == 130
    assert _gone(children, seconds=LONGEST_S)
    logs = [log.read_text() for log in directory.rglob("*.log")]
    assert logs
    assert not [log for log in logs if KILLED in log], "every part listens"
    assert not (directory / "lock").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children when their parent is killed outright")
def test_kill_9_leaves_no_process_and_no_lock(tmp_path: Path) -> None:
    directory = tmp_path / "stack"
    with _up(directory) as (process, _):
        children = process.children(recursive=True)
        process.kill()
        process.wait(LONGEST_S)
        assert _gone(children, seconds=LONGEST_S)
    with Stack(directory=directory, purpose="tests") as again:
        assert httpx.get(again.api_url + "/sessions", trust_env=False).status_code == 401


def test_a_part_that_dies_ends_the_rest_and_says_which(tmp_path: Path) -> None:
    with _up(tmp_path / "stack") as (process, _):
        children = process.children(recursive=True)
        next(child for child in children if "infra.local.poller" in child.cmdline()).kill()
        assert process.wait(LONGEST_S) == 1
        assert "poller ended with code" in process.stdout.read()
        assert _gone(children, seconds=LONGEST_S)


def test_local_recordings_outlive_a_restart(tmp_path: Path) -> None:
    directory = tmp_path / "stack"

    def sessions(stack: Stack) -> list[str]:
        headers = {"authorization": f"Bearer {stack.token()}"}
        body = httpx.get(f"{stack.api_url}/sessions", headers=headers, trust_env=False).json()
        return [session["sessionId"] for session in body["sessions"]]

    from infra.local.demo import FIXTURES, process

    with Stack(directory=directory, backend="local", keep=True) as first:
        made = process(first, FIXTURES / "sample_track.gpx", lambda _: None)
    with Stack(directory=directory, backend="local", keep=True) as second:
        assert sessions(second) == [str(made.session.session_id)]
        assert Path(made.parquet[0]).is_file()
    with Stack(directory=directory, backend="local") as fresh:
        assert sessions(fresh) == []


def test_a_taken_port_is_said(stack: Stack, tmp_path: Path) -> None:
    port = stack.api_url.split(":")[2].split("/")[0]
    taken = subprocess.run(
        **_command(tmp_path / "stack", STACK_API_PORT=port), capture_output=True, check=False, timeout=LONGEST_S
    )
    assert taken.returncode == 1
    assert f"Port {port} is taken" in taken.stderr
    assert "STACK_API_PORT" in taken.stderr


def test_a_wrong_backend_is_said(tmp_path: Path) -> None:
    wrong = subprocess.run(
        **_command(tmp_path / "stack", TELEMETRY_STORAGE_BACKEND="tape"),
        capture_output=True,
        check=False,
        timeout=LONGEST_S,
    )
    assert wrong.returncode == 1
    assert "it takes s3 or local" in wrong.stderr

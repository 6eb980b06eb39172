"""What the commands share: output that cannot be written, Ctrl-C, and names that would steer a terminal."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from infra.local import access
from telemetry import command_line

ROOT = Path(__file__).resolve().parents[2]
CSV = ROOT / "fixtures/telemetry/sample_gnss_10hz.csv"
FULL = Path("/dev/full")
READS = ("telemetry.formats", "telemetry.laps")
EVIL = "a\x1b]0;b\x07c\x9bd\u202ee\u200ff\x7fg\ud800h\U000e0001i"


def _environment(**more: str) -> dict[str, str]:
    return {"PYTHONPATH": f"{ROOT / 'layers/core/python'}:{ROOT}", "PATH": os.environ["PATH"], **more}


def _run(stdout: int, *arguments: str, **environment: str) -> tuple[int, str]:
    """Exit code and standard error of a module that writes to `stdout`."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=_environment(**environment),
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr


@contextlib.contextmanager
def _an_api() -> Iterator[str]:
    """The address of an API that knows no sessions."""

    class Api(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b'{"sessions": [], "nextCursor": null}'
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing to tell."""

    with HTTPServer(("127.0.0.1", 0), Api) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/api/v1/telemetry"
        finally:
            server.shutdown()
            thread.join(timeout=10)
            assert not thread.is_alive()


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("module", READS)
@pytest.mark.parametrize("environment", [{}, {"PYTHONUNBUFFERED": "1"}], ids=["buffered", "unbuffered"])
def test_a_full_disk_is_said_in_one_line(module: str, environment: dict[str, str]) -> None:
    with FULL.open("wb") as full:
        told = _run(full.fileno(), module, str(CSV), **environment)
    assert told == (1, "standard output: No space left on device\n")


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("environment", [{}, {"PYTHONUNBUFFERED": "1"}], ids=["buffered", "unbuffered"])
def test_a_full_disk_is_said_in_one_line_by_the_client(environment: dict[str, str], tmp_path: Path) -> None:
    with _an_api() as url, FULL.open("wb") as full:
        where = {access.URL_VARIABLE: url, access.TOKEN_VARIABLE: "a.b.c", "XDG_STATE_HOME": str(tmp_path)}
        where |= environment
        told = _run(full.fileno(), "infra.local.command", "sessions", "--json", **where)
    assert told == (1, "standard output: No space left on device\n")


@pytest.mark.parametrize("module", READS)
def test_a_reader_that_has_seen_enough_is_no_failure_to_tell(module: str) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        assert _run(write_end, module, str(CSV)) == (1, "")
    finally:
        os.close(write_end)


@pytest.mark.parametrize("module", READS)
def test_ctrl_c_ends_at_once(module: str, tmp_path: Path) -> None:
    never = tmp_path / "never.csv"
    os.mkfifo(never)  # nobody writes to it
    with subprocess.Popen(
        [sys.executable, "-m", module, "--json", str(CSV), str(never)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=_environment(),
    ) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["outcome"] == "ok"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "Interrupted.\n")


def test_an_error_of_something_else_is_not_blamed_on_the_output() -> None:
    def broken() -> int:
        raise FileNotFoundError(2, "No such file or directory", "rules.txt")

    with pytest.raises(FileNotFoundError):
        command_line.concluded(broken)


def test_text_does_not_steer_the_terminal() -> None:
    shown = command_line.printable(EVIL)
    assert shown == "a\ufffd]0;b\ufffdc\ufffdd\ufffde\ufffdf\ufffdg\ufffdh\ufffdi"
    assert command_line.printable("Nürburg 北京 😀") == "Nürburg 北京 😀"


@pytest.mark.parametrize("indent", [None, 2])
def test_json_does_not_steer_the_terminal_and_loses_nothing(indent: int | None) -> None:
    value = {EVIL: [EVIL, "Nürburg\n北京 😀\u2028"]}
    text = command_line.json_text(value, indent=indent)
    assert all(line.isprintable() for line in text.split("\n"))
    assert json.loads(text) == value
    assert "Nürburg\\n北京 😀" in text

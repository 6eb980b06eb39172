"""`telemetry` from the outside: against the whole stack, and against a store that stalls or breaks."""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pyarrow.parquet
import pytest

from infra.local.client import BrokenOff, Client
from infra.local.command.parser import Exit
from infra.local.demo import FIXTURES
from infra.local.process import ROOT
from infra.local.stack import Stack


class Terminal:
    """Runs the command as a process, in a folder of its own."""

    def __init__(self, url: str, token: str, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.token = token
        self.environment = {
            **os.environ,
            "TELEMETRY_API_URL": url,
            "TELEMETRY_API_TOKEN": token,
            "XDG_STATE_HOME": str(self.state),
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "layers/core/python")]),
        }

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """The command, under way."""
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "infra.local.command", *map(str, arguments)],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str | Path, code: int = Exit.DONE) -> tuple[str, str]:
        """Output and explanations of a command that ends with this exit code."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=60)
        assert process.returncode == code, err
        for hidden in (self.token, "X-Amz-", "signature="):
            assert hidden not in out + err
        return out, err

    @property
    def remembered(self) -> list[Path]:
        """Uploads to go on with."""
        return [*(self.state / "telemetry/uploads").glob("*.json")]


def _sample(name: str, to: Path, ending: bytes = b"\n") -> Path:
    to.write_bytes((FIXTURES / name).read_bytes() + ending)
    return to


def test_upload_look_fetch_and_delete(stack: Stack, tmp_path: Path) -> None:
    terminal = Terminal(stack.api_url, stack.token("command-user"), tmp_path)
    files = [_sample("sample_gnss_10hz.csv", tmp_path / "a.csv"), _sample("csv_no_time.csv", tmp_path / "b.csv")]
    out, err = terminal.run("upload", "--wait", "--jobs", "2", *files, code=Exit.FAILED)
    assert "a.csv  ready" in out
    assert "1,250 points" in out
    assert "b.csv: CSV_NO_TIME_COLUMN: The CSV file has no column that holds time: line 1" in err
    assert "Export it again with a time column" in err
    assert terminal.remembered == []

    out, _ = terminal.run("upload", "--wait", files[0])
    assert "the same bytes were sent before" in out

    listed = json.loads(terminal.run("sessions", "--json")[0])["sessions"]
    assert {session["status"] for session in listed} == {"ready", "failed"}
    assert len(listed) == 2
    ready = next(session["sessionId"] for session in listed if session["status"] == "ready")
    out, _ = terminal.run("show", ready)
    assert "10 Hz, jitter 0 ms" in out
    assert "out" in terminal.run("laps", ready)[0]

    out, _ = terminal.run("download", ready, "-o", "fetched", "--stream", "gnss_pvt")
    assert "SHA-256 verified" in out
    (fetched,) = (tmp_path / "fetched").iterdir()
    assert pyarrow.parquet.read_metadata(fetched).num_rows == 1250
    detail = json.loads(terminal.run("show", ready, "--json")[0])
    sha256 = next(dataset["sha256"] for dataset in detail["datasets"] if dataset["stream"] == "gnss_pvt")
    assert hashlib.sha256(fetched.read_bytes()).hexdigest() == sha256
    _, err = terminal.run("download", ready, "--stream", "imu", code=Exit.FAILED)
    assert "gnss_pvt" in err
    terminal.run("track", ready, "-o", "track.geojson")
    assert json.loads((tmp_path / "track.geojson").read_text())["features"]
    assert "drive.svg  1,250 points, 4 laps" in terminal.run("plot", ready, "-o", "drive.svg")[0]
    picture = (tmp_path / "drive.svg").read_text()
    assert "best 0:43.313 (lap 3)" in picture
    failed = next(session["sessionId"] for session in listed if session["status"] == "failed")
    assert "CSV_NO_TIME_COLUMN" in terminal.run("plot", failed, code=Exit.FAILED)[1]

    assert "Evening [ride]" in terminal.run("rename", ready, "Evening [ride]")[0]
    _, err = terminal.run("cancel", ready, code=Exit.FAILED)
    assert "SESSION_STATE_CONFLICT" in err
    terminal.run("delete", "--yes", *(session["sessionId"] for session in listed))
    assert json.loads(terminal.run("sessions", "--json")[0])["sessions"] == []
    assert "NOT_FOUND" in terminal.run("show", ready, code=Exit.FAILED)[1]


def test_the_service_may_finalise_by_itself(stack: Stack, tmp_path: Path) -> None:
    terminal = Terminal(stack.api_url, stack.token("receipt-user"), tmp_path)
    file = _sample("sample_track.gpx", tmp_path / "c.gpx", b"\n\n")
    out, _ = terminal.run("upload", "--finalise-on-receipt", "--wait", "--name", "By itself", file)
    assert "ready" in out
    assert "By itself" in terminal.run("sessions")[0]


def test_several_files_make_one_session(stack: Stack, tmp_path: Path) -> None:
    terminal = Terminal(stack.api_url, stack.token("joining-user"), tmp_path)
    files = [_sample("sample_gnss_10hz.csv", tmp_path / "1.csv"), _sample("sample_track.gpx", tmp_path / "2.gpx")]
    out, _ = terminal.run("upload", "--session", "Both of them", "--wait", *files)
    lines = out.splitlines()
    assert [line.split("  ")[:2] for line in lines] == [["1.csv", "sent"], ["2.gpx", "sent"], ["Both of them", "ready"]]
    (session_id,) = {line.partition("session ")[2].split()[0] for line in lines}
    detail = json.loads(terminal.run("show", session_id, "--json")[0])
    assert sorted(file["fileName"] for file in detail["files"]) == ["1.csv", "2.gpx"]
    assert detail["name"] == "Both of them"
    assert "2 files" in terminal.run("plot", session_id)[0]

    again, _ = terminal.run("upload", "--session", "Both of them", "--wait", "--json", *files)
    assert {told["sessionId"] for told in json.loads(again)} == {session_id}
    twin = _sample("sample_track.gpx", tmp_path / "3.gpx", b"\n\n\n")
    same = _sample("sample_track.gpx", tmp_path / "4.gpx", b"\n\n\n")
    out, err = terminal.run("upload", "--session", "More", files[0], twin, same, code=Exit.FAILED)
    assert "holds the same bytes as 3.gpx" in err
    assert "There is no session yet" in err
    out, _ = terminal.run("upload", "--session", "More", "--wait", "--json", files[0], twin)
    *each, whole = json.loads(out)
    assert whole["session"]["name"] == "More"
    assert whole["sessionId"] != session_id
    assert [told["file"] for told in each] == [str(files[0]), str(twin)]
    terminal.run("upload", "--session", "x", "--finalise-on-receipt", *files, code=Exit.USAGE)


class _Cut(httpx.HTTPTransport):
    """Sends half of every PUT to the real store, and lets the connection go."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.method != "PUT":
            return super().handle_request(request)
        body = request.read()
        place = urlsplit(str(request.url))
        head = [
            f"PUT {place.path}?{place.query} HTTP/1.1",
            *(f"{name}: {value}" for name, value in request.headers.items()),
        ]
        with socket.create_connection((place.hostname, place.port), timeout=5) as connection:
            connection.sendall("\r\n".join([*head, "", ""]).encode() + body[: len(body) // 2])
        raise httpx.WriteError("cut", request=request)


def test_an_upload_that_broke_off_goes_on(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.local.client.requests._FIRST_PAUSE_S", 0.01)
    terminal = Terminal(stack.api_url, stack.token("resume-user"), tmp_path)
    file = _sample("sample_gnss_10hz.csv", tmp_path / "d.csv")
    state = terminal.state / "telemetry/uploads"
    with (
        Client(stack.api_url, terminal.token, state=state, transport=_Cut()) as cut,
        pytest.raises(BrokenOff),
    ):
        cut.send(file)
    (kept,) = terminal.remembered
    upload_id = json.loads(kept.read_text())["uploadId"]
    (told,) = json.loads(terminal.run("upload", "--wait", "--json", file)[0])
    assert (told["uploadId"], told["resumed"], told["session"]["status"]) == (upload_id, True, "ready")
    assert terminal.remembered == []


class _LosesPartTwo(httpx.HTTPTransport):
    """Notes which parts are sent; the second one does not get through until `mended`."""

    def __init__(self) -> None:
        super().__init__()
        self.mended, self.sent = False, list[str]()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "PUT":
            number = request.url.params["partNumber"]
            if number == "2" and not self.mended:
                raise httpx.WriteError("cut", request=request)
            self.sent.append(number)
        return super().handle_request(request)


def test_a_large_file_goes_in_parts_and_on_with_the_missing_ones(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.local.client.requests._FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr("infra.local.client.upload.PARTS_FROM", 1 << 20)
    file = _sample("sample_gnss_10hz.csv", tmp_path / "e.csv", b"\n" * (17 << 20))
    network = _LosesPartTwo()
    with Client(stack.api_url, stack.token("parts-user"), state=tmp_path / "state", transport=network) as client:
        with pytest.raises(BrokenOff):
            client.send(file)
        network.mended = True
        sent = client.send(file)
        assert (sent.resumed, network.sent) == (True, ["1", "2"])
        session = client.wait(sent.session_id, seconds=60)
    assert (session.status, session.summary["points"]) == ("ready", 1250)
    assert [*(tmp_path / "state").iterdir()] == []


class _Stalling(ThreadingHTTPServer):
    """An API and a store in one that takes half a file and then nothing, until `open` is set."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.stalled, self.open = threading.Event(), threading.Event()
        self.announced: list[dict[str, Any]] = []
        self.received = 0


class _Handler(BaseHTTPRequestHandler):
    server: _Stalling
    UPLOAD, SESSION = "00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b"

    def log_message(self, *_: Any) -> None:
        """Silent."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.path.endswith("/finalise"):
            return self._answer(202, {"sessionId": self.SESSION, "runId": self.SESSION, "pollUrl": "/"})
        self.server.announced.append(json.loads(body))
        return self._answer(
            201, {"uploadId": self.UPLOAD, "status": "uploaded", "expiresAt": _NOW, "upload": self._put()}
        )

    def do_GET(self) -> None:
        announced = self.server.announced[0]
        told = {name: announced[name] for name in ("fileName", "contentType", "byteSize", "sha256")}
        times = {"uploadedAt": _NOW, "receivedAt": None, "expiresAt": _NOW}
        upload = {"uploadId": self.UPLOAD, "status": "uploaded", "sessionId": None, "upload": self._put()}
        self._answer(200, {**told, **times, **upload})

    def do_PUT(self) -> None:
        size = int(self.headers["content-length"])
        if not self.server.open.is_set():
            self.rfile.read(size // 4)
            self.server.stalled.set()
            self.server.open.wait(60)
            self.close_connection = True
            return
        self.server.received = len(self.rfile.read(size))
        self._answer(200, {})

    def _put(self) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self.server.server_address[1]}/store"
        headers = {"content-length": str(self.server.announced[0]["byteSize"])}
        return {"method": "PUT", "url": url, "headers": headers, "expiresAt": _NOW}

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


_NOW = "2026-05-16T09:30:00Z"


@pytest.fixture
def stalling() -> Iterator[_Stalling]:
    server = _Stalling()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server
    server.open.set()
    server.shutdown()
    thread.join(60)
    assert not thread.is_alive()
    server.server_close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_an_upload_to_go_on_with(stalling: _Stalling, tmp_path: Path, number: signal.Signals) -> None:
    terminal = Terminal(f"http://127.0.0.1:{stalling.server_address[1]}", "a-token", tmp_path)
    file = tmp_path / "large.bin"
    file.write_bytes(bytes(64 << 20))  # more than the sockets between them hold
    process = terminal.start("upload", file)
    assert stalling.stalled.wait(60)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == Exit.INTERRUPTED
    assert "goes on where this one stopped" in err
    assert len(terminal.remembered) == 1
    stalling.open.set()
    out, _ = terminal.run("upload", file)
    assert "went on where it broke off" in out
    assert len(stalling.announced) == 1
    assert stalling.received == 64 << 20
    assert terminal.remembered == []

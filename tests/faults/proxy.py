"""Fault proxies: one before S3, one before PostgreSQL. They pass everything on but what they are told to spoil."""

import contextlib
import http.client
import random
import socket
import struct
import threading
import time
from collections import Counter
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import urlsplit

StorageFault = Literal["unavailable", "reset", "lost", "truncated", "delay"]
"""503; cut before the request is passed on; done, but its answer lost; half of the answer's body; a pause."""

_NOT_PASSED_ON = {"connection", "transfer-encoding", "expect", "keep-alive", "content-length"}
_UNAVAILABLE = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Reduce your request rate</Message></Error>"


# By which the server says that it has done what it was asked (PostgreSQL manual, "Message Formats").
_READY_FOR_QUERY = b"Z\x00\x00\x00\x05"


@dataclass
class _Plan:
    fault: StorageFault
    method: str
    path: str
    times: int


class StorageProxy:
    """Between the service and S3, on the loopback."""

    def __init__(self, endpoint: str, *, delay_s: float = 0.5) -> None:
        self.injected: Counter[str] = Counter()
        self.delay_s = delay_s
        self._upstream = urlsplit(endpoint)
        self._plans: list[_Plan] = []
        self._lock = threading.Lock()
        self._chance, self._random = 0.0, random.Random(0)
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Nothing: the service's own log is what counts."""

            def _pass(self) -> None:
                with contextlib.suppress(OSError, http.client.HTTPException):
                    proxy._serve(self)
                    return
                self.close_connection = True

            do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _pass  # noqa: N815 http.server's names

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                """Clients that were killed leave broken connections behind; that is the point."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def fail(self, fault: StorageFault, method: str, *, times: int = 1, path: str = "") -> None:
        """Spoils the next `times` requests of this method whose path contains `path`."""
        with self._lock:
            self._plans.append(_Plan(fault, method, path, times))

    def fail_at_random(self, chance: float, seed: int = 0) -> None:
        """Spoils each request with this probability; 0 heals."""
        with self._lock:
            self._chance, self._random = chance, random.Random(seed)

    def close(self) -> None:
        """Ends it."""
        self._server.shutdown()
        self._server.server_close()

    def _chosen(self, method: str, path: str) -> StorageFault | None:
        with self._lock:
            for plan in self._plans:
                if plan.times and plan.method == method and plan.path in path:
                    plan.times -= 1
                    self.injected[f"S3 {plan.fault}"] += 1
                    return plan.fault
            if self._random.random() < self._chance:
                fault: StorageFault = self._random.choice(["unavailable", "reset", "lost", "truncated", "delay"])
                self.injected[f"S3 {fault}"] += 1
                return fault
        return None

    def _serve(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("content-length") or 0))
        fault = self._chosen(request.command, request.path)
        if fault == "delay":
            time.sleep(self.delay_s)
        if fault == "reset":
            _reset(request)
            return
        if fault == "unavailable":
            _answer(request, 503, [("content-type", "application/xml")], _UNAVAILABLE, len(_UNAVAILABLE))
            return
        upstream = http.client.HTTPConnection(self._upstream.hostname or "", self._upstream.port, timeout=60)
        try:
            upstream.putrequest(request.command, request.path, skip_host=True, skip_accept_encoding=True)
            for name, value in request.headers.items():
                if name.lower() not in _NOT_PASSED_ON:
                    upstream.putheader(name, value)
            upstream.putheader("content-length", str(len(body)))
            upstream.endheaders(body or None)
            answer = upstream.getresponse()
            content = answer.read()
        finally:
            upstream.close()
        if fault == "lost":
            _reset(request)
            return
        headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in _NOT_PASSED_ON]
        length = int(answer.headers.get("content-length") or 0) if request.command == "HEAD" else len(content)
        if fault == "truncated":
            _answer(request, answer.status, headers, content[: len(content) // 2], length)
            _reset(request)
            return
        _answer(request, answer.status, headers, content, length)


def _answer(
    request: BaseHTTPRequestHandler, status: int, headers: list[tuple[str, str]], body: bytes, length: int
) -> None:
    request.send_response_only(status)
    for name, value in headers:
        request.send_header(name, value)
    request.send_header("content-length", str(length))
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(body)
    request.wfile.flush()


def _reset(request: BaseHTTPRequestHandler) -> None:
    request.close_connection = True
    _abort(request.connection)


def _abort(connection: socket.socket) -> None:
    """Ends with RST instead of a goodbye."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RD)
    with contextlib.suppress(OSError):
        connection.close()


class _Pair:
    """One client's connection and the one to the server that stands for it."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = client
        self.server = server
        self.swallow = False

    def cut(self) -> None:
        for one in (self.client, self.server):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            _abort(one)


class DatabaseProxy:
    """Between the service and PostgreSQL, on the loopback. Plain connections only: it looks into the requests."""

    def __init__(self, host: str, port: int) -> None:
        self.injected: Counter[str] = Counter()
        self.upstream = (host, port)
        self.refusing = False
        self._lost: list[bytes] = []
        self._cut: list[bytes] = []
        self._pairs: set[_Pair] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def lose_answer(self, request: bytes, times: int = 1) -> None:
        """The next requests with these bytes in them reach the server; their answers reach nobody."""
        with self._lock:
            self._lost += [request] * times

    def cut_before(self, request: bytes, times: int = 1) -> None:
        """The next requests with these bytes in them do not reach the server."""
        with self._lock:
            self._cut += [request] * times

    def cut_all(self) -> None:
        """Breaks every connection there is."""
        with self._lock:
            pairs = list(self._pairs)
            self.injected["database cut"] += 1
        for pair in pairs:
            pair.cut()

    def heal(self) -> None:
        """Spoils nothing any more."""
        with self._lock:
            self._lost.clear()
            self._cut.clear()
            self.refusing = False

    def close(self) -> None:
        """Ends it."""
        self._listener.close()
        self.cut_all()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                if self.refusing:
                    raise ConnectionRefusedError
                server = socket.create_connection(self.upstream, 5)
            except OSError:
                _abort(client)
                continue
            server.settimeout(None)
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pair = _Pair(client, server)
            with self._lock:
                self._pairs.add(pair)
            threading.Thread(target=self._requests, args=(pair,), daemon=True).start()
            threading.Thread(target=self._answers, args=(pair,), daemon=True).start()

    def _requests(self, pair: _Pair) -> None:
        with contextlib.suppress(OSError):
            while data := pair.client.recv(65536):
                if self._take(self._cut, data, "database reset"):
                    break
                if self._take(self._lost, data, "database answer lost"):
                    pair.swallow = True
                pair.server.sendall(data)
        self._end(pair)

    def _answers(self, pair: _Pair) -> None:
        swallowed = b""
        with contextlib.suppress(OSError):
            while data := pair.server.recv(65536):
                if pair.swallow:
                    swallowed += data
                    if _READY_FOR_QUERY in swallowed:
                        break
                    continue
                pair.client.sendall(data)
        self._end(pair)

    def _take(self, wanted: list[bytes], data: bytes, name: str) -> bool:
        with self._lock:
            for request in wanted:
                if request in data:
                    wanted.remove(request)
                    self.injected[name] += 1
                    return True
        return False

    def _end(self, pair: _Pair) -> None:
        with self._lock:
            self._pairs.discard(pair)
        pair.cut()

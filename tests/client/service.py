"""As much of the service as its client needs, made up in memory."""

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import httpx

from infra.local.client import (
    Client,
    Interrupted,
)

TOKEN = "a.token.of.the.test"
SECRET = "X-Amz-Signature=5ec3e7"
SESSION = UUID("00000000-0000-4000-8000-000000000001")
NOW = "2026-05-16T09:30:00Z"
Handler = Callable[[httpx.Request], httpx.Response]


class Network(httpx.BaseTransport):
    """Like httpx.MockTransport, but leaves it to the handler how much of a request's body to read."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._handler(request)


class Patient(Client):
    """Waits for nothing and notes how long it would have."""

    pauses: list[float]

    def _pause(self, seconds: float) -> None:
        if self._stopping.is_set():
            raise Interrupted
        if seconds:
            self.__dict__.setdefault("pauses", []).append(seconds)


class Service:
    """As much of the service as uploads need, in memory. `break_puts` PUTs end half way."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.uploads: dict[str, dict[str, Any]] = {}
        self.stored: dict[str, bytes] = {}
        self.duplicate_of: str | None = None
        self.duplicate_status = "ready"
        self.break_puts = 0
        self.store_answers: list[httpx.Response] = []
        self.on_put: Callable[[], object] = lambda: None
        self.finalised: list[dict[str, Any]] = []
        self.lose_finalised = False

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/v1/telemetry/")
        if request.url.host == "store.test":
            self.seen.append("PUT store")
            return self._store(request)
        self.seen.append(f"{request.method} {path.split('/')[0]}{'/finalise' if path.endswith('finalise') else ''}")
        assert request.headers["authorization"] == f"Bearer {TOKEN}"
        if request.method == "POST" and path == "uploads":
            upload_id = str(uuid4())
            self.uploads[upload_id] = {**json.loads(request.read()), "sessionId": None, "status": "uploaded"}
            duplicate = {"duplicateOf": self.duplicate_of} if self.duplicate_of else {}
            body = {"uploadId": upload_id, "status": "uploaded", "expiresAt": NOW, "upload": self._signed(upload_id)}
            return httpx.Response(201, json={**body, **duplicate})
        if path.startswith("sessions/"):
            return httpx.Response(200, json=session(status=self.duplicate_status))
        upload_id = path.split("/")[1]
        if upload_id not in self.uploads:
            return problem(404, "NOT_FOUND")
        if request.method == "DELETE":
            del self.uploads[upload_id]
            return httpx.Response(204)
        upload = self.uploads[upload_id]
        if path.endswith("finalise"):
            body = json.loads(request.read())
            ids = {upload_id, *body.get("artifactIds", [])}
            assert ids <= self.stored.keys()
            if len({self.uploads[one]["sessionId"] for one in ids}) > 1:
                return problem(409, "UPLOAD_ALREADY_FINALISED")
            for one in ids:
                self.uploads[one]["sessionId"] = str(SESSION)
            self.finalised.append(body)
            if self.lose_finalised:
                raise httpx.ReadError("gone", request=request)
            return httpx.Response(202, json={"sessionId": str(SESSION), "runId": str(uuid4()), "pollUrl": "/x"})
        told = {name: upload[name] for name in ("fileName", "contentType", "byteSize", "sha256", "sessionId", "status")}
        expected = {} if upload_id in self.stored else {"upload": self._signed(upload_id)}
        received = NOW if upload_id in self.stored else None
        times = {"uploadedAt": NOW, "receivedAt": received, "expiresAt": NOW}
        return httpx.Response(200, json={"uploadId": upload_id, **told, **times, **expected})

    def _signed(self, upload_id: str) -> dict[str, Any]:
        size = str(self.uploads[upload_id]["byteSize"])
        url = f"https://store.test/{upload_id}?{SECRET}&n={len(self.seen)}"
        headers = {"content-length": size, "if-none-match": "*"}
        return {"method": "PUT", "url": url, "headers": headers, "expiresAt": NOW}

    def _store(self, request: httpx.Request) -> httpx.Response:
        assert "authorization" not in request.headers
        assert request.headers["if-none-match"] == "*"
        chunks = iter(request.stream)  # type: ignore[arg-type]
        self.on_put()
        if self.break_puts:
            self.break_puts -= 1
            next(chunks)
            raise httpx.WriteError("gone", request=request)
        if self.store_answers:
            return self.store_answers.pop(0)
        self.stored[request.url.path[1:]] = b"".join(chunks)
        return httpx.Response(200)


def problem(status: int, code: str, *, headers: dict[str, str] | None = None, detail: str = "No.") -> httpx.Response:
    """A refusal as the service words it."""
    body = {"status": status, "code": code, "detail": detail, "requestId": "request-1", "title": "t", "type": "t"}
    return httpx.Response(status, json=body, headers=headers)


def session(**changes: Any) -> dict[str, Any]:
    """A session's JSON."""
    return {
        "sessionId": str(SESSION),
        "name": "A day",
        "status": "ready",
        "startTimeUtc": NOW,
        "endTimeUtc": NOW,
        "deviceId": None,
        "summary": {},
        "createdAt": NOW,
        "updatedAt": NOW,
        "runId": None,
        "files": [],
        "datasets": [],
        "laps": [],
        **changes,
    }


def answers(*given: httpx.Response | Exception) -> tuple[list[httpx.Request], Handler]:
    """A handler that gives one after the other, and the requests it saw."""
    seen: list[httpx.Request] = []
    left = list(given)

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return seen, handle

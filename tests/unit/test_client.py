"""The client against a service that a test makes up: what it repeats, remembers, verifies and tells."""

import hashlib
import json
import logging
import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from infra.local.client import (
    BrokenOff,
    Client,
    ClientError,
    Interrupted,
    Phase,
    ServiceError,
    Step,
    StillProcessing,
    Unreachable,
)
from infra.local.client.parts import send_parts
from telemetry.api import models

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


# Refusals and repetition


def test_a_problem_is_told_with_its_remedy_and_request(client_of: Callable[..., Patient]) -> None:
    detail = "The file is empty. Export or copy the recording again and upload the new file."
    _, handle = answers(problem(422, "FILE_EMPTY", detail=detail))
    with pytest.raises(ServiceError) as caught:
        client_of(handle).session(SESSION)
    error = caught.value
    assert (error.status, error.code, error.request_id) == (422, "FILE_EMPTY", "request-1")
    assert error.message == "The file is empty."
    assert error.remedy == "Export or copy the recording again and upload the new file."
    assert str(error) == f"FILE_EMPTY: {detail}"


@pytest.mark.parametrize(
    ("status", "code"), [(401, "UNAUTHENTICATED"), (403, "FORBIDDEN"), (404, "NOT_FOUND"), (418, "HTTP_418")]
)
def test_the_gateways_own_refusals_have_a_code_too(client_of: Callable[..., Patient], status: int, code: str) -> None:
    _, handle = answers(httpx.Response(status, json={"message": "x"}, headers={"apigw-requestid": "gateway-1"}))
    with pytest.raises(ServiceError) as caught:
        client_of(handle).devices()
    assert (caught.value.code, caught.value.request_id) == (code, "gateway-1")


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_service_is_asked_again_when_it_says(client_of: Callable[..., Patient], status: int) -> None:
    in_20_s = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    seen, handle = answers(
        problem(status, "DATABASE_UNAVAILABLE", headers={"Retry-After": "7"}),
        problem(status, "DATABASE_UNAVAILABLE", headers={"Retry-After": in_20_s}),
        httpx.Response(status),
        httpx.Response(202, json=session(status="processing")),
    )
    client = client_of(handle)
    assert client.retry(SESSION).status == "processing"
    assert len(seen) == 4
    assert client.pauses[0] == 7
    assert 17 < client.pauses[1] <= 20
    assert 0.9 < client.pauses[2] < 2.1


def test_it_neither_asks_for_ever_nor_waits_for_ever(client_of: Callable[..., Patient]) -> None:
    seen, handle = answers(*(problem(503, "STORAGE_UNAVAILABLE") for _ in range(9)))
    with pytest.raises(ServiceError, match="STORAGE_UNAVAILABLE"):
        client_of(handle).devices()
    assert len(seen) == 4
    seen, handle = answers(problem(503, "STORAGE_UNAVAILABLE", headers={"Retry-After": "3600"}))
    with pytest.raises(ServiceError):
        client_of(handle).devices()
    assert len(seen) == 1


def test_a_broken_connection_is_tried_again_where_that_cannot_harm(client_of: Callable[..., Patient]) -> None:
    seen, handle = answers(httpx.ReadTimeout("x"), httpx.ReadError("x"), httpx.Response(200, json={"devices": []}))
    assert client_of(handle).devices() == []
    seen, handle = answers(httpx.ReadTimeout("x"))
    with pytest.raises(Unreachable, match=r"api\.test did not answer in time"):
        client_of(handle).retry(SESSION)  # might be the second run
    assert len(seen) == 1
    seen, handle = answers(httpx.ConnectError("x"), httpx.Response(202, json=session()))
    client_of(handle).retry(SESSION)  # never got there
    assert len(seen) == 2


def test_a_delete_whose_answer_was_lost_is_done(client_of: Callable[..., Patient]) -> None:
    _, handle = answers(httpx.ReadError("x"), problem(404, "NOT_FOUND"))
    client_of(handle).delete_session(SESSION)
    _, handle = answers(problem(503, "STORAGE_UNAVAILABLE"), problem(404, "NOT_FOUND"))
    with pytest.raises(ServiceError, match="NOT_FOUND"):
        client_of(handle).delete_session(SESSION)


def test_a_newer_service_may_say_more(client_of: Callable[..., Patient]) -> None:
    more = session(novel=1, laps=[{"lapNumber": 1, "kind": "timed", "durationMs": 1.5, "source": "file", "novel": 2}])
    _, handle = answers(httpx.Response(200, json=more))
    assert client_of(handle).session(SESSION).laps[0].duration_ms == 1.5


def test_another_server_is_noticed(client_of: Callable[..., Patient]) -> None:
    _, handle = answers(httpx.Response(200, html="<p>Welcome to the hotel</p>"))
    with pytest.raises(Unreachable, match="not one of this API"):
        client_of(handle).session(SESSION)


@pytest.mark.parametrize("url", ["http://api.test", "ftp://api.test", "api.test", "https://", "https://me:pw@api.test"])
def test_a_token_goes_to_no_address_without_tls(url: str) -> None:
    with pytest.raises(ClientError, match="address"):
        Client(url, TOKEN)


@pytest.mark.parametrize("token", ["", "Bearer x", "x\ny", "ü"])
def test_a_token_that_is_none_is_not_sent(token: str) -> None:
    with pytest.raises(ClientError, match="token"):
        Client("https://api.test", token)


def test_the_prefix_may_be_left_out() -> None:
    for url in ("http://127.0.0.1:1", "http://localhost:1/", "https://api.test/api/v1/telemetry/"):
        with Client(url, TOKEN) as client:
            assert client._requests.url.endswith("/api/v1/telemetry")


# Polling


def test_polling_asks_with_the_etag_and_tells_only_what_is_new(client_of: Callable[..., Patient]) -> None:
    step = {"job": "parse_raw", "status": "running", "attempt": 1, "maxAttempts": 3, "nextRetryAt": None}
    working = httpx.Response(200, json=session(status="processing", progress=step), headers={"etag": '"1"'})
    seen, handle = answers(working, httpx.Response(304), httpx.Response(304), httpx.Response(200, json=session()))
    told: list[str] = []
    client = client_of(handle)
    assert client.wait(SESSION, lambda step: told.append(str(step))).status == "ready"
    assert [request.headers.get("if-none-match") for request in seen] == [None, '"1"', '"1"', '"1"']
    assert told == ["parse raw", "ready"]
    assert client.pauses == sorted(client.pauses)


def test_waiting_ends(client_of: Callable[..., Patient]) -> None:
    _, handle = answers(httpx.Response(200, json=session(status="processing")))
    with pytest.raises(StillProcessing, match="still being processed after 0 s"):
        client_of(handle).wait(SESSION, seconds=0)


# Uploads


def test_an_upload_sends_the_announced_bytes_and_forgets_it(
    client_of: Callable[..., Patient], file: Path, tmp_path: Path
) -> None:
    service, told = Service(), list[Step]()
    sent = client_of(service).send(file, told.append, name="Evening")
    assert service.seen == ["POST uploads", "PUT store", "POST uploads/finalise"]
    (announced,) = service.uploads.values()
    assert announced["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert (announced["fileName"], announced["contentType"]) == ("ride.gpx", "application/gpx+xml")
    assert service.stored[str(sent.upload_id)] == file.read_bytes()
    assert (sent.session_id, sent.duplicate, sent.resumed) == (SESSION, False, False)
    assert SECRET not in repr(sent)
    for phase in (Phase.CHECKSUM, Phase.UPLOAD):
        done = [step.done for step in told if step.phase is phase]
        assert len(done) == 3
        assert done == sorted(done)
        assert done[-1] == 3_000_000
    assert list((tmp_path / "state").iterdir()) == []


def test_a_broken_put_goes_on_with_a_fresh_address(client_of: Callable[..., Patient], file: Path) -> None:
    service = Service()
    service.break_puts = 2
    sent = client_of(service).send(file)
    assert service.seen.count("POST uploads") == 1
    assert service.seen.count("GET uploads") == 2
    assert service.stored[str(sent.upload_id)] == file.read_bytes()
    assert sent.url is not None
    assert "n=1" not in sent.url


def test_what_broke_off_goes_on_in_another_process(
    client_of: Callable[..., Patient], file: Path, tmp_path: Path
) -> None:
    service = Service()
    service.break_puts = 4
    with pytest.raises(BrokenOff) as caught:
        client_of(service).send(file)
    assert "it goes on" in caught.value.remedy
    assert SECRET not in str(caught.value)
    (kept,) = (tmp_path / "state").iterdir()
    (upload_id,) = service.uploads
    assert json.loads(kept.read_text()) == {"uploadId": upload_id}
    assert kept.stat().st_mode & 0o077 == 0
    file = file.rename(file.with_name("moved.gpx"))
    sent = client_of(service).send(file)
    assert (str(sent.upload_id), sent.resumed, sent.session_id) == (upload_id, True, SESSION)
    assert service.seen.count("POST uploads") == 1
    assert not kept.exists()


def test_bytes_that_arrived_are_not_sent_twice(client_of: Callable[..., Patient], file: Path) -> None:
    """The answer to the PUT was lost: the store refuses a second one, and that is as good."""
    service = Service()
    service.store_answers = [httpx.Response(412, text="<Error><Code>PreconditionFailed</Code></Error>")]
    service.on_put = lambda: service.stored.update({next(iter(service.uploads)): b"there"})
    assert client_of(service).send(file).session_id == SESSION
    assert service.seen.count("PUT store") == 1


def test_a_session_that_was_made_meanwhile_is_found(
    client_of: Callable[..., Patient], file: Path, tmp_path: Path
) -> None:
    service = Service()
    service.break_puts = 4
    with pytest.raises(BrokenOff):
        client_of(service).send(file)
    next(iter(service.uploads.values()))["sessionId"] = str(SESSION)
    sent = client_of(service).send(file)
    assert (sent.session_id, sent.resumed, sent.url) == (SESSION, True, None)
    assert list((tmp_path / "state").iterdir()) == []


@pytest.mark.parametrize("fate", ["gone", "expired"])
def test_a_remembered_upload_that_is_lost_is_begun_anew(
    client_of: Callable[..., Patient], file: Path, fate: str
) -> None:
    service = Service()
    service.break_puts = 4
    with pytest.raises(BrokenOff):
        client_of(service).send(file)
    if fate == "gone":
        service.uploads.clear()
    else:
        next(iter(service.uploads.values()))["status"] = "expired"
    sent = client_of(service).send(file)
    assert not sent.resumed
    assert service.seen.count("POST uploads") == 2


def test_the_stores_refusal_is_told_without_its_address(client_of: Callable[..., Patient], file: Path) -> None:
    quoted = f"<Error><Code>%s</Code><StringToSign>{SECRET}</StringToSign></Error>"
    service = Service()
    service.store_answers = [httpx.Response(400, text=quoted % "BadDigest")]
    with pytest.raises(ClientError, match="CHECKSUM_MISMATCH") as caught:
        client_of(service).send(file)
    assert SECRET not in str(caught.value)
    service.store_answers = [httpx.Response(403, text=quoted % "AccessDenied") for _ in range(4)]
    with pytest.raises(ClientError, match="403 AccessDenied") as caught:
        client_of(service).send(file)
    assert SECRET not in str(caught.value)


def test_a_file_that_changes_is_not_sent(client_of: Callable[..., Patient], file: Path) -> None:
    service = Service()
    service.on_put = lambda: file.write_bytes(b"other bytes")
    with pytest.raises(ClientError, match="changed while it was being sent"):
        client_of(service).send(file)
    assert service.stored == {}


def test_the_same_bytes_are_not_sent_again(client_of: Callable[..., Patient], file: Path, tmp_path: Path) -> None:
    service = Service()
    service.duplicate_of = str(SESSION)
    sent = client_of(service).send(file, again=False)
    assert (sent.session_id, sent.duplicate) == (SESSION, True)
    assert (service.stored, service.uploads) == ({}, {})
    assert not client_of(service).send(file, again=True).duplicate
    service.duplicate_status = "failed"
    assert not client_of(service).send(file, again=False).duplicate
    assert len(service.stored) == 2


def test_stopping_leaves_an_upload_to_go_on_with(client_of: Callable[..., Patient], file: Path, tmp_path: Path) -> None:
    service, stopping = Service(), threading.Event()
    service.on_put = stopping.set
    with pytest.raises(Interrupted):
        client_of(service, stopping=stopping).send(file)
    assert len(list((tmp_path / "state").iterdir())) == 1
    service.on_put = lambda: None
    assert client_of(service).send(file).resumed


def test_nothing_secret_is_logged(
    client_of: Callable[..., Patient], file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        client_of(Service()).send(file)
    assert SECRET not in caplog.text
    assert TOKEN not in caplog.text


class _AllPartsThere:
    """A service that has every part of a file of one part."""

    def __init__(self, content: bytes) -> None:
        sha256 = hashlib.sha256(content).hexdigest()
        part = models.ReceivedPart(part_number=1, byte_size=len(content), sha256=sha256)
        self._parts = models.PartList(part_size=16 << 20, part_count=1, received=[part])

    def received_parts(self, upload_id: UUID) -> models.PartList:
        return self._parts

    def sign_parts(self, upload_id: UUID, parts: list[models.WantedPart]) -> models.SignedParts:
        raise AssertionError("nothing is to be sent")


def test_parts_that_arrived_are_compared_and_not_sent(client_of: Callable[..., Patient], file: Path) -> None:
    content = file.read_bytes()
    _, handle = answers()

    def send(sha256: str) -> None:
        requests = client_of(handle)._requests
        service = _AllPartsThere(content)
        send_parts(service, requests, SESSION, file, byte_size=len(content), sha256=sha256, progress=lambda _: None)

    send(hashlib.sha256(content).hexdigest())
    with pytest.raises(ClientError, match="changed while it was being sent"):
        send(hashlib.sha256(b"as it was before").hexdigest())


class _InParts:
    """A service and a store of a file in parts, in memory. Parts that are `held` wait for each other in the store."""

    def __init__(self, content: bytes, part_size: int) -> None:
        self.content, self.part_size = content, part_size
        self.count = -(-len(content) // part_size)
        self.stored: dict[int, bytes] = {}
        self.refused: set[int] = set()
        self.held: threading.Barrier | None = None
        self._lock = threading.Lock()
        self._under_way = self.most_under_way = 0

    def received_parts(self, upload_id: UUID) -> models.PartList:
        received = [
            models.ReceivedPart(part_number=number, byte_size=len(part), sha256=hashlib.sha256(part).hexdigest())
            for number, part in self.stored.items()
        ]
        return models.PartList(part_size=self.part_size, part_count=self.count, received=received)

    def sign_parts(self, upload_id: UUID, parts: list[models.WantedPart]) -> models.SignedParts:
        (part,) = parts
        signed = {"method": "PUT", "url": f"https://store.test/{part.part_number}", "headers": {}, "expiresAt": NOW}
        return models.SignedParts.model_validate(
            {
                "partSize": self.part_size,
                "partCount": self.count,
                "parts": [{"partNumber": part.part_number, "byteSize": 1, "upload": signed}],
            }
        )

    def __call__(self, request: httpx.Request) -> httpx.Response:
        number = int(request.url.path[1:])
        with self._lock:
            self._under_way += 1
            self.most_under_way = max(self.most_under_way, self._under_way)
        content = b"".join(request.stream)  # type: ignore[arg-type]
        if self.held is not None:
            self.held.wait(60)
        with self._lock:
            self._under_way -= 1
            if number in self.refused:
                return httpx.Response(400)
            self.stored[number] = content
        return httpx.Response(200)

    def send(self, client: Patient, file: Path, told: list[Step], room: int = 4) -> None:
        sha256 = hashlib.sha256(self.content).hexdigest()
        send_parts(
            self,
            client._requests,
            SESSION,
            file,
            byte_size=len(self.content),
            sha256=sha256,
            progress=told.append,
            room=threading.BoundedSemaphore(room),
        )


@pytest.fixture
def in_parts(file: Path) -> _InParts:
    file.write_bytes(bytes(range(256)) * 40)
    return _InParts(file.read_bytes(), 1000)


def test_parts_go_side_by_side_but_never_more_than_there_is_room_for(
    client_of: Callable[..., Patient], file: Path, in_parts: _InParts
) -> None:
    # 11 parts; each waits in the store until four are there, so that one after the other would never end.
    in_parts.content += b"x" * 1000
    file.write_bytes(in_parts.content)
    in_parts.count += 1
    in_parts.held = threading.Barrier(4)
    told: list[Step] = []
    in_parts.send(client_of(in_parts), file, told)
    assert b"".join(in_parts.stored[number] for number in sorted(in_parts.stored)) == in_parts.content
    assert in_parts.most_under_way == 4
    assert [step.done for step in told] == sorted(step.done for step in told)
    assert (told[-1].done, told[-1].total) == (len(in_parts.content), len(in_parts.content))


@pytest.mark.parametrize("change", [-1, -500, -2000, 1], ids="{:+} bytes".format)
def test_a_file_of_another_size_is_not_sent_to_its_end(
    client_of: Callable[..., Patient], file: Path, in_parts: _InParts, change: int
) -> None:
    now = in_parts.content[:change] if change < 0 else in_parts.content + b"x"
    file.write_bytes(now)
    # As the store does, whose addresses are each for so many bytes.
    in_parts.refused = {len(now) // 1000 + 1, in_parts.count}
    with pytest.raises(ClientError, match="changed while it was being sent"):
        in_parts.send(client_of(in_parts), file, [])


def test_a_part_that_is_refused_ends_it_and_the_others_are_not_sent_again(
    client_of: Callable[..., Patient], file: Path, in_parts: _InParts
) -> None:
    in_parts.refused = {3}
    with pytest.raises(ClientError, match="refused part 3: 400"):
        in_parts.send(client_of(in_parts), file, [])
    assert {1, 2} <= set(in_parts.stored) < set(range(1, 12))
    kept = dict(in_parts.stored)
    in_parts.refused, sent = set(), set[int]()

    def note(request: httpx.Request) -> httpx.Response:
        sent.add(int(request.url.path[1:]))
        return in_parts(request)

    told: list[Step] = []
    in_parts.send(client_of(note), file, told)
    assert sent == set(range(1, 12)) - set(kept)
    assert told[-1].done == len(in_parts.content)


def test_the_room_is_given_back_whatever_becomes_of_a_part(
    client_of: Callable[..., Patient], file: Path, in_parts: _InParts
) -> None:
    in_parts.refused = {1}
    room = threading.BoundedSemaphore(2)
    digest = hashlib.sha256(in_parts.content).hexdigest()
    size = len(in_parts.content)
    for _ in range(3):
        with pytest.raises(ClientError, match="refused part 1"):
            send_parts(
                in_parts,
                client_of(in_parts)._requests,
                SESSION,
                file,
                byte_size=size,
                sha256=digest,
                progress=lambda _: None,
                room=room,
            )
    assert room.acquire(blocking=False)
    assert room.acquire(blocking=False)


# Several files in one session


def _joining(service: Service, client: Patient, files: list[Path]) -> UUID:
    return client.join([client.bring(file, again=False) for file in files], name="A day")


def test_several_files_become_one_session(client_of: Callable[..., Patient], tmp_path: Path) -> None:
    service = Service()
    files = [tmp_path / f"{name}.csv" for name in "abc"]
    for file in files:
        file.write_text(file.name)
    assert _joining(service, client_of(service), files) == SESSION
    assert [line for line in service.seen if "finalise" in line] == ["POST uploads/finalise"]
    (body,) = service.finalised
    first, *others = service.uploads
    assert body == {"artifactIds": others, "sessionName": "A day"}
    assert service.uploads[first]["sessionId"] == str(SESSION)
    assert not list((tmp_path / "state").iterdir())


def test_joining_goes_on_where_it_broke_off(client_of: Callable[..., Patient], tmp_path: Path) -> None:
    service = Service()
    files = [tmp_path / f"{name}.csv" for name in "ab"]
    for file in files:
        file.write_text(file.name)
    brought = client_of(service).bring(files[0])
    assert (brought.session_id, brought.resumed) == (None, False)
    assert _joining(service, client_of(service), files) == SESSION
    assert len(service.uploads) == 2
    assert service.seen.count("PUT store") == 2


def test_a_join_whose_answer_was_lost_is_gone_on_with_when_a_file_is_there_again(
    client_of: Callable[..., Patient], tmp_path: Path
) -> None:
    """A second session of the same bytes would come of forgetting those that have one already."""
    service = Service()
    files = [tmp_path / f"{name}.csv" for name in "ab"]
    for file in files:
        file.write_text(file.name)
    service.lose_finalised = True
    with pytest.raises(Unreachable):
        _joining(service, client_of(service), files)
    service.lose_finalised = False
    away = files[1].rename(tmp_path / "away.csv")
    with pytest.raises(ClientError, match="cannot be read"):
        _joining(service, client_of(service), files)
    away.rename(files[1])
    brought = [client_of(service).bring(file) for file in files]
    assert [(sent.session_id, sent.resumed) for sent in brought] == [(SESSION, True)] * 2
    assert client_of(service).join(brought) == SESSION
    assert (len(service.uploads), service.seen.count("PUT store")) == (2, 2)
    assert not list((tmp_path / "state").iterdir())


def test_files_of_an_earlier_session_are_sent_anew_to_be_joined_with_another(
    client_of: Callable[..., Patient], tmp_path: Path
) -> None:
    service = Service()
    files = [tmp_path / f"{name}.csv" for name in "abc"]
    for file in files:
        file.write_text(file.name)
    service.lose_finalised = True
    with pytest.raises(Unreachable):
        _joining(service, client_of(service), files[:2])
    service.lose_finalised = False
    with pytest.raises(ServiceError, match="UPLOAD_ALREADY_FINALISED"):
        _joining(service, client_of(service), files)
    assert _joining(service, client_of(service), files) == SESSION
    assert (len(service.uploads), service.seen.count("PUT store")) == (5, 5)


# Downloads

CONTENT = b"PAR1" + bytes(range(256)) * 9000


def _dataset() -> models.DownloadableDataset:
    signed = {"method": "GET", "url": f"https://store.test/x?{SECRET}", "headers": {}, "expiresAt": NOW}
    return models.DownloadableDataset.model_validate(
        {
            "datasetId": str(uuid4()),
            "uploadId": str(uuid4()),
            "stream": "gnss_pvt",
            "schemaVersion": 1,
            "rowCount": 1,
            "byteSize": len(CONTENT),
            "sha256": hashlib.sha256(CONTENT).hexdigest(),
            "startTimeUtc": NOW,
            "endTimeUtc": NOW,
            "quality": {},
            "download": signed,
        }
    )


def _serves(content: bytes, *, cut_at: int | None = None) -> tuple[list[str], Handler]:
    """A store with ranges; the first answer is cut."""
    ranges: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        wanted = request.headers.get("range", "")
        ranges.append(wanted)
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted).group(1)) if wanted else 0  # type: ignore[union-attr]
        end = cut_at if cut_at is not None and len(ranges) == 1 else None
        return httpx.Response(206 if wanted else 200, content=iter([content[start:end]]))

    return ranges, handle


def test_a_download_that_breaks_goes_on_and_is_verified(client_of: Callable[..., Patient], tmp_path: Path) -> None:
    ranges, handle = _serves(CONTENT, cut_at=1_500_000)
    to = tmp_path / "a.parquet"
    told: list[int] = []
    client_of(handle).download(_dataset(), to, lambda step: told.append(step.done))
    assert to.read_bytes() == CONTENT
    assert ranges == ["", "bytes=1500000-"]
    assert told[-1] == len(CONTENT)
    client_of(handle).download(_dataset(), to)
    assert len(ranges) == 2  # it is there already


def test_a_spoilt_part_is_thrown_away(client_of: Callable[..., Patient], tmp_path: Path) -> None:
    ranges, handle = _serves(CONTENT)
    dataset, to = _dataset(), tmp_path / "a.parquet"
    part = to.with_name(f".a.parquet.{dataset.sha256[:12]}.part")
    part.write_bytes(b"spoilt")
    client_of(handle).download(dataset, to)
    assert to.read_bytes() == CONTENT
    assert ranges == ["bytes=6-", ""]


@pytest.mark.parametrize("content", [CONTENT[:-1] + b"!", CONTENT + b"!"])
def test_other_bytes_never_get_the_files_name(
    client_of: Callable[..., Patient], tmp_path: Path, content: bytes
) -> None:
    _, handle = _serves(content)
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(ClientError):
        client_of(handle).download(_dataset(), folder / "a.parquet")
    assert not (folder / "a.parquet").exists()


def test_a_download_that_is_refused_is_told_without_its_address(
    client_of: Callable[..., Patient], tmp_path: Path
) -> None:
    _, handle = answers(httpx.Response(403, text=SECRET))
    with pytest.raises(ClientError, match="403") as caught:
        client_of(handle).download(_dataset(), tmp_path / "a.parquet")
    assert SECRET not in str(caught.value)

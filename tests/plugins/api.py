"""Fixtures for the API's side: the committed events, changed for a test, through the real handlers."""

import hashlib
import io
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter

from functions.object_created import app as object_created
from functions.sessions import app as sessions
from functions.uploads import app as uploads
from telemetry.storage.local_path import accept_put
from telemetry.storage.protocol import StoredObject
from tests.plugins.harness import Harness

EVENTS = Path(__file__).parents[2] / "fixtures/events"
UPLOAD_ID = "0c6e0e0e-3b57-4f0e-9a3a-5a1f3a1c0001"
SESSION_ID = "5e551010-7d21-4c52-8b5e-2d1f3a1c0002"
"""The ids that the committed events name; a call puts a real one in their place."""
PREFIX = "/api/v1/telemetry"


@dataclass(frozen=True)
class Answer:
    """An answer as API Gateway would send it."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.text)


def load_event(name: str) -> dict[str, Any]:
    """A committed event."""
    event: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text("utf-8"))
    return event


def http_event(
    name: str,
    *,
    id: str = "",  # noqa: A002
    body: Any = None,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    claims: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A committed HTTP event with an id, body, query, headers or claims of the test's own."""
    text = json.dumps(load_event(name))
    for placeholder in (UPLOAD_ID, SESSION_ID):
        text = text.replace(placeholder, str(id) or placeholder)
    event: dict[str, Any] = json.loads(text)
    if body is not None:
        event["body"] = body if isinstance(body, str) else json.dumps(body)
    if query is not None:
        event["queryStringParameters"] = dict(query)
        event["rawQueryString"] = urlencode(query)
    event["headers"].update(headers or {})
    if claims is not None:
        event["requestContext"]["authorizer"]["jwt"]["claims"] = dict(claims)
    return event


def claims_of(owner: str) -> dict[str, str]:
    """A token's claims as the gateway hands them on."""
    return {"sub": owner, "scope": "openid telemetry", "iss": "https://issuer.example.com", "aud": "telemetry"}


class ApiClient:
    """One owner's view of the API."""

    def __init__(self, harness: Harness, owner: str = "owner-1") -> None:
        self.harness = harness
        self.owner = owner

    def as_owner(self, owner: str) -> "ApiClient":
        """The same service seen by somebody else."""
        return ApiClient(self.harness, owner)

    def call(self, name: str, id: str = "", **changed: Any) -> Answer:  # noqa: A002
        """Sends a committed event, changed, to the function that its name begins with."""
        changed.setdefault("claims", claims_of(self.owner))
        return self.send(http_event(name, id=id, **changed), function=name.partition("_")[0])

    def send(self, event: dict[str, Any], *, function: str) -> Answer:
        """Hands an event to `uploads` or `sessions`."""
        answer = {"uploads": uploads, "sessions": sessions}[function].handler(event, None)
        return Answer(answer["statusCode"], answer["headers"], answer["body"])

    def announce(self, content: bytes, **fields: Any) -> Answer:
        """POST /uploads for these bytes."""
        body = {
            "fileName": "lap.csv",
            "contentType": "text/csv",
            "byteSize": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            **fields,
        }
        return self.call("uploads_create", body=body)

    def put(self, upload: Mapping[str, Any], content: bytes) -> StoredObject:
        """The PUT of the bytes, by way of the local server's own function."""
        url = urlsplit(upload["url"])
        settings = self.harness.services.settings.local_storage
        return accept_put(settings, url.path.lstrip("/"), url.query, upload["headers"], [content])

    def uploaded(self, content: bytes, **fields: Any) -> str:
        """Announced and put; gives the upload's id."""
        created = self.announce(content, **fields)
        assert created.status == 201, created.text
        self.put(created.json["upload"], content)
        upload_id: str = created.json["uploadId"]
        return upload_id

    def session_of(self, content: bytes, **fields: Any) -> str:
        """Announced, put and finalised; gives the session's id."""
        finalised = self.call("uploads_finalise", self.uploaded(content, **fields), body={})
        assert finalised.status == 202, finalised.text
        session_id: str = finalised.json["sessionId"]
        return session_id

    def object_created(self, *paths: str) -> dict[str, Any]:
        """The store's event for objects at these paths; gives the function's answer."""
        event = load_event("object_created")
        record = event["Records"][0]
        body = json.loads(record["body"])
        notified = []
        for path in paths:
            one = json.loads(json.dumps(body["Records"][0]))
            one["s3"]["object"]["key"] = path
            notified.append(one)
        record["body"] = json.dumps({"Records": notified})
        return object_created.handler(event, None)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What the functions and the modules below them log, as JSON lines."""
    written = io.StringIO()
    # The modules' own logger writes through the function that was imported last, whichever that was.
    modules = logging.getLogger("telemetry")
    for logger in (uploads.api.logger, sessions.api.logger, object_created.logger, modules):
        for handler in logger.handlers:
            # pytest's own are among those that Powertools copies to the modules' logger.
            if isinstance(handler, logging.StreamHandler) and isinstance(handler.formatter, LambdaPowertoolsFormatter):
                monkeypatch.setattr(handler, "stream", written)
    return written


@pytest.fixture
def api(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> ApiClient:
    """The API over a fresh database and a directory."""
    return client_of(harness, monkeypatch)


@pytest.fixture
def s3_api(s3_harness: Harness, monkeypatch: pytest.MonkeyPatch) -> ApiClient:
    """The API over a fresh database and S3."""
    return client_of(s3_harness, monkeypatch)


def client_of(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> ApiClient:
    """The functions with a harness's services, and a client of them."""
    for function in (uploads, sessions, object_created):
        monkeypatch.setattr(function, "services", harness.services)
    for function in (uploads, sessions):
        monkeypatch.setattr(function.api, "_services", harness.services)
    return ApiClient(harness)


@pytest.fixture
def nudges(api: ApiClient, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The nudges sent: for each, the types of the jobs that another connection sees waiting at that moment."""
    sent: list[list[str]] = []

    def send() -> None:
        waiting = api.harness.sql("SELECT job_type FROM telemetry_jobs WHERE status = 'QUEUED' ORDER BY created_at")
        sent.append([row["job_type"] for row in waiting])

    monkeypatch.setattr(api.harness.services.nudges, "send", send)
    return sent

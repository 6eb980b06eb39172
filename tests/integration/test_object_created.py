"""The store's events, as the queue delivers them, through the real handler."""

import io
import json
from typing import Any
from uuid import UUID

import httpx
import pytest

from functions.object_created import app
from functions.uploads import app as uploads
from tests.plugins.api import EVENTS, UPLOAD_ID, ApiClient, load_event
from tests.plugins.harness import Harness

CONTENT = b"time,lat,lon\n"


def real(event: dict[str, Any], upload_id: str) -> dict[str, Any]:
    changed: dict[str, Any] = json.loads(json.dumps(event).replace(UPLOAD_ID, upload_id))
    return changed


def test_every_event_is_used_here() -> None:
    assert {path.stem for path in EVENTS.glob("object_created*.json")} == {
        "object_created",
        "object_created_encoded_key",
        "object_created_mixed_batch",
        "object_created_test_event",
    }


def test_an_event_records_the_receipt(api: ApiClient) -> None:
    upload_id = api.uploaded(CONTENT)
    assert app.handler(real(load_event("object_created"), upload_id), None) == {"batchItemFailures": []}
    assert api.harness.artifact(UUID(upload_id))["received_at"] is not None


def test_the_event_that_tests_the_notification_is_accepted(api: ApiClient, log: io.StringIO) -> None:
    assert app.handler(load_event("object_created_test_event"), None) == {"batchItemFailures": []}
    assert "messages left in the queue" not in log.getvalue()


def test_keys_are_decoded(api: ApiClient) -> None:
    upload_id = api.announce(CONTENT).json["uploadId"]
    path = f"uploads/Jürgen a+b/{upload_id}.bin"
    api.harness.sql("UPDATE telemetry_artifacts SET storage_path = :path", path=path)
    api.harness.store(path, CONTENT)
    assert app.handler(real(load_event("object_created_encoded_key"), upload_id), None) == {"batchItemFailures": []}
    assert api.harness.artifact(UUID(upload_id))["received_at"] is not None


def test_one_bad_message_fails_alone(api: ApiClient, log: io.StringIO) -> None:
    upload_id = api.uploaded(CONTENT, finaliseOnReceipt=True)
    event = real(load_event("object_created_mixed_batch"), upload_id)
    failed = app.handler(event, None)
    assert failed == {"batchItemFailures": [{"itemIdentifier": event["Records"][1]["messageId"]}]}
    assert len(api.harness.sql("SELECT 1 AS one FROM telemetry_sessions")) == 1
    assert log.getvalue().count("event for an object of no upload") == 2
    # Also when it is the only one of its batch.
    alone = app.handler({"Records": [event["Records"][1]]}, None)
    assert alone == failed


def test_from_the_signed_put_to_the_session_on_s3(
    s3_harness: Harness, monkeypatch: pytest.MonkeyPatch, api: ApiClient
) -> None:
    """One POST and one PUT, on the real protocol; the event is the one that the store would send."""
    for function in (app, uploads):
        monkeypatch.setattr(function, "services", s3_harness.services)
    client = ApiClient(s3_harness)
    created = client.announce(CONTENT, finaliseOnReceipt=True).json
    upload = created["upload"]
    assert client.call("uploads_finalise", created["uploadId"], body={}).json["code"] == "UPLOAD_NOT_RECEIVED"
    answer = httpx.request(upload["method"], upload["url"], headers=upload["headers"], content=CONTENT)
    assert answer.status_code == 200, answer.text
    assert app.handler(real(load_event("object_created"), created["uploadId"]), None) == {"batchItemFailures": []}
    (session,) = s3_harness.sql("SELECT id FROM telemetry_sessions")
    again = client.call("uploads_finalise", created["uploadId"], body={})
    assert (again.status, again.json["sessionId"]) == (202, str(session["id"]))

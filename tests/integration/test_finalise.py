"""Finalising, as it meets others: who comes between its look and its write, what the store holds, what is kept."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from telemetry import uploads
from telemetry.database.queries import load
from telemetry.domain.owner import Owner
from telemetry.errors import Code, TelemetryError
from telemetry.services import Services
from tests.plugins.api import ApiClient
from tests.plugins.harness import SAMPLES

CONTENT = b"time,lat,lon\n"
OTHER = b"TIME,LAT,LON\n"
NO_TIME = (SAMPLES / "csv_no_time.csv").read_bytes()
OWNER = Owner("owner-1", "owner-1")


def path_of(api: ApiClient, upload_id: str) -> str:
    path: str = api.harness.artifact(UUID(upload_id))["storage_path"]
    return path


def sessions_made(api: ApiClient) -> int:
    return len(api.harness.sql("SELECT 1 AS one FROM telemetry_sessions"))


def comes_between(api: ApiClient, monkeypatch: pytest.MonkeyPatch, other: Callable[[Services], object]) -> None:
    """Has somebody else, over a connection of their own, act once the service has looked at the store."""
    raw, head = api.harness.services.raw, api.harness.services.raw.head

    def head_and_then(path: str) -> Any:
        monkeypatch.setattr(raw, "head", head)
        found = head(path)
        others = Services(api.harness.services.settings)
        other(others)
        others.database.close()
        return found

    monkeypatch.setattr(raw, "head", head_and_then)


def test_finalising_nudges_the_workers_once_the_job_is_there(api: ApiClient, nudges: list[list[str]]) -> None:
    upload_id = api.uploaded(CONTENT)
    assert nudges == []
    assert api.call("uploads_finalise", upload_id, body={}).status == 202
    assert nudges == [["artifact_validate"]]


def test_an_upload_given_up_while_it_is_finalised_makes_no_session(
    api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload_id = api.uploaded(CONTENT)
    comes_between(api, monkeypatch, lambda others: uploads.abandon_upload(others, OWNER, UUID(upload_id)))
    gone = api.call("uploads_finalise", upload_id, body={})
    assert (gone.status, gone.json["code"]) == (410, "UPLOAD_EXPIRED")
    assert sessions_made(api) == 0


def test_an_upload_that_has_a_session_or_was_given_up_is_attached_to_no_other(api: ApiClient) -> None:
    attached, given_up = api.uploaded(CONTENT), api.uploaded(OTHER)
    session_id = UUID(api.call("uploads_finalise", attached, body={}).json["sessionId"])
    assert api.call("uploads_abandon", given_up).status == 204
    seen: dict[str, Any] = {"session_id": session_id, "object_etag": "other", "object_version": None}
    for upload_id in map(UUID, (attached, given_up)):
        before = api.harness.artifact(upload_id)
        assert api.harness.database.run(load("uploads")["attach_upload"], id=upload_id, **seen) == []
        assert api.harness.artifact(upload_id) == before


def test_the_first_moment_of_receipt_is_kept(api: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    upload_id = api.uploaded(CONTENT)
    path = path_of(api, upload_id)
    first: list[Any] = []

    def a_faster_event(others: Services) -> None:
        uploads.record_receipt(others, path)
        first.append(api.harness.artifact(UUID(upload_id))["received_at"])

    comes_between(api, monkeypatch, a_faster_event)
    assert api.object_created(path) == {"batchItemFailures": []}
    (received_at,) = first
    assert received_at is not None
    assert api.harness.artifact(UUID(upload_id))["received_at"] == received_at
    assert api.call("uploads_finalise", upload_id, body={}).status == 202
    assert api.harness.artifact(UUID(upload_id))["received_at"] == received_at


def test_an_event_for_bytes_of_another_size_is_no_receipt(api: ApiClient) -> None:
    upload_id = api.announce(CONTENT).json["uploadId"]
    before = api.harness.artifact(UUID(upload_id))
    api.harness.store(path_of(api, upload_id), CONTENT + b"more")
    assert api.object_created(path_of(api, upload_id)) == {"batchItemFailures": []}
    assert api.harness.artifact(UUID(upload_id)) == before


def test_other_bytes_of_the_same_size_are_no_receipt_and_make_no_session(s3_api: ApiClient) -> None:
    assert len(OTHER) == len(CONTENT)
    upload_id = s3_api.announce(CONTENT).json["uploadId"]
    before = s3_api.harness.artifact(UUID(upload_id))
    s3_api.harness.store(path_of(s3_api, upload_id), OTHER)
    assert s3_api.object_created(path_of(s3_api, upload_id)) == {"batchItemFailures": []}
    assert s3_api.harness.artifact(UUID(upload_id)) == before
    refused = s3_api.call("uploads_finalise", upload_id, body={})
    assert (refused.status, refused.json["code"]) == (409, "CHECKSUM_MISMATCH")
    assert sessions_made(s3_api) == 0


def test_parts_that_cannot_be_dropped_now_do_not_keep_the_session(
    api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload_id = api.uploaded(CONTENT)
    assert api.call("uploads_sign_parts", upload_id, body={"parts": []}).status == 200
    asked: list[str] = []

    def unavailable(path: str, multipart_id: str) -> None:
        asked.append(multipart_id)
        raise TelemetryError(Code.STORAGE_UNAVAILABLE, "DELETE")

    monkeypatch.setattr(api.harness.services.raw, "abort_parts", unavailable)
    assert api.call("uploads_finalise", upload_id, body={}).status == 202
    assert asked == [api.harness.artifact(UUID(upload_id))["multipart_id"]]


@pytest.mark.parametrize(
    ("announced", "given", "kept"),
    [("At first", "At last", "At last"), ("At first", None, "At first"), (None, None, "lap")],
)
def test_the_later_name_of_a_session_counts(
    api: ApiClient, announced: str | None, given: str | None, kept: str
) -> None:
    upload_id = api.uploaded(CONTENT, **({"sessionName": announced} if announced else {}))
    assert api.call("uploads_finalise", upload_id, body={"sessionName": given} if given else {}).status == 202
    assert [row["name"] for row in api.harness.sql("SELECT name FROM telemetry_sessions")] == [kept]


def test_finalising_after_a_retry_gives_the_newest_run(api: ApiClient) -> None:
    upload_id = api.uploaded(NO_TIME)
    first = api.call("uploads_finalise", upload_id, body={}).json
    api.harness.drain()
    retried = api.call("sessions_retry", first["sessionId"]).json
    assert retried["runId"] != first["runId"]
    again = api.call("uploads_finalise", upload_id, body={}).json
    assert (again["sessionId"], again["runId"]) == (first["sessionId"], retried["runId"])


@pytest.mark.parametrize("code", [Code.STORAGE_UNAVAILABLE, Code.DATABASE_UNAVAILABLE])
def test_an_event_that_an_outage_kept_from_finalising_comes_again(
    api: ApiClient, monkeypatch: pytest.MonkeyPatch, code: Code
) -> None:
    upload_id = api.uploaded(CONTENT, finaliseOnReceipt=True)

    def unavailable(*_: object) -> None:
        raise TelemetryError(code)

    with monkeypatch.context() as outage:
        outage.setattr(uploads, "finalise", unavailable)
        assert len(api.object_created(path_of(api, upload_id))["batchItemFailures"]) == 1
    assert sessions_made(api) == 0
    assert api.object_created(path_of(api, upload_id)) == {"batchItemFailures": []}
    assert sessions_made(api) == 1

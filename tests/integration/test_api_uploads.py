"""The uploads routes: real events through the real handler, on a real database and a directory."""

import hashlib
import threading
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from telemetry import uploads
from telemetry.domain.owner import Owner
from telemetry.errors import Code, TelemetryError
from telemetry.janitor import Task, clean
from telemetry.services import Services
from telemetry.storage.local_path import StorageRefusal
from tests.plugins.api import PREFIX, ApiClient, http_event
from tests.plugins.harness import LIFE_MS, Harness

CONTENT = b"time,lat,lon\n"


def test_an_upload_is_announced_put_and_finalised(api: ApiClient) -> None:
    created = api.call("uploads_create")
    assert created.status == 201
    upload_id = created.json["uploadId"]
    assert created.headers["Location"] == f"{PREFIX}/uploads/{upload_id}"
    assert created.headers["Cache-Control"] == "private, no-store"
    assert created.headers["X-Request-Id"] == "JKJaXmPLvHcESHA="
    assert created.json["status"] == "uploaded"
    assert "duplicateOf" not in created.json
    assert created.json["upload"]["method"] == "PUT"
    assert created.json["expiresAt"].endswith("Z")

    row = api.harness.artifact(UUID(upload_id))
    assert (row["status"], row["session_id"], row["received_at"]) == ("UPLOADED", None, None)
    assert row["storage_path"] == f"uploads/owner-1/{upload_id}.bin"
    assert row["original_file_name"] == "evening laps.csv"

    waiting = api.call("uploads_get", upload_id)
    assert (waiting.status, waiting.json["receivedAt"], waiting.json["sessionId"]) == (200, None, None)
    api.put(waiting.json["upload"], CONTENT)

    finalised = api.call("uploads_finalise", upload_id)
    assert finalised.status == 202
    session_id = finalised.json["sessionId"]
    assert finalised.json["pollUrl"] == finalised.headers["Location"] == f"{PREFIX}/sessions/{session_id}"
    session = api.harness.sql("SELECT * FROM telemetry_sessions")[0]
    assert session["start_time_utc"] == session["end_time_utc"] == session["created_at"]
    assert (session["name"], session["status"], str(session["id"])) == ("Evening laps", "PROCESSING", session_id)
    (job,) = api.harness.sql("SELECT * FROM telemetry_jobs")
    assert (job["job_type"], job["payload"]) == ("artifact_validate", {"artifactIds": [upload_id]})
    assert str(job["run_id"]) == finalised.json["runId"]

    done = api.call("uploads_get", upload_id).json
    assert done["sessionId"] == session_id
    assert done["receivedAt"] is not None
    assert "upload" not in done


def test_finalising_again_gives_the_same_session(api: ApiClient) -> None:
    upload_id = api.uploaded(CONTENT)
    first, second = (api.call("uploads_finalise", upload_id, body={}) for _ in range(2))
    assert (first.status, first.json) == (second.status, second.json)
    empty = http_event("uploads_finalise", id=upload_id)
    del empty["body"]
    assert api.send(empty, function="uploads").json == first.json
    assert len(api.harness.sql("SELECT 1 AS one FROM telemetry_sessions")) == 1
    assert len(api.harness.sql("SELECT 1 AS one FROM telemetry_jobs")) == 1


def test_two_finalises_that_race_make_one_session(api: ApiClient, harness: Harness) -> None:
    ids = [UUID(api.uploaded(CONTENT + bytes([n]))) for n in range(2)]
    both_looked = threading.Barrier(2, timeout=60)
    results: list[uploads.Finalised] = []

    def race(first: UUID, second: UUID) -> None:
        services = Services(harness.services.settings)
        head = services.raw.head
        looked = 0

        def head_together(path: str) -> Any:
            nonlocal looked
            looked += 1
            if looked == 2:  # both are past their first look and before their transaction
                both_looked.wait()
            return head(path)

        services.raw.head = head_together  # type: ignore[method-assign]
        results.append(uploads.finalise(services, Owner("owner-1", "owner-1"), first, artifact_ids=[second]))
        services.database.close()

    threads = [threading.Thread(target=race, args=order, daemon=True) for order in (ids, ids[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert len(results) == 2
    assert results[0] == results[1]
    assert len(harness.sql("SELECT 1 AS one FROM telemetry_sessions")) == 1
    assert len(harness.sql("SELECT 1 AS one FROM telemetry_jobs")) == 1
    assert {row["session_id"] for row in harness.sql("SELECT session_id FROM telemetry_artifacts")} == {
        results[0].session_id
    }


def test_several_files_make_one_session(api: ApiClient) -> None:
    ids = [api.uploaded(CONTENT + bytes([n])) for n in range(3)]
    finalised = api.call("uploads_finalise", ids[0], body={"artifactIds": ids[1:], "sessionName": "Day"})
    assert finalised.status == 202
    (job,) = api.harness.sql("SELECT * FROM telemetry_jobs")
    assert job["payload"] == {"artifactIds": ids}
    assert {api.call("uploads_get", one).json["sessionId"] for one in ids} == {finalised.json["sessionId"]}
    # Each of them leads to the same session afterwards.
    assert api.call("uploads_finalise", ids[2], body={}).json == finalised.json


def test_the_same_bytes_twice_in_one_session_are_refused(api: ApiClient) -> None:
    first, second = api.uploaded(CONTENT), api.uploaded(CONTENT)
    refused = api.call("uploads_finalise", first, body={"artifactIds": [second]})
    assert (refused.status, refused.json["code"]) == (409, "DUPLICATE_ARTIFACT")
    assert api.harness.sql("SELECT 1 AS one FROM telemetry_sessions") == []
    assert api.call("uploads_finalise", first, body={}).status == 202


def test_an_upload_of_another_session_is_refused(api: ApiClient) -> None:
    first, second = api.uploaded(CONTENT), api.uploaded(b"other")
    api.call("uploads_finalise", first, body={})
    refused = api.call("uploads_finalise", second, body={"artifactIds": [first]})
    assert (refused.status, refused.json["code"]) == (409, "UPLOAD_ALREADY_FINALISED")


def test_finalise_before_the_bytes_are_there(api: ApiClient) -> None:
    created = api.announce(CONTENT).json
    early = api.call("uploads_finalise", created["uploadId"], body={})
    assert (early.status, early.json["code"]) == (409, "UPLOAD_NOT_RECEIVED")
    assert int(early.headers["Retry-After"]) > 0
    assert api.harness.sql("SELECT 1 AS one FROM telemetry_sessions") == []
    api.put(created["upload"], CONTENT)
    assert api.call("uploads_finalise", created["uploadId"], body={}).status == 202


def test_bytes_that_are_not_the_announced_ones_are_refused(api: ApiClient) -> None:
    created = api.announce(CONTENT).json
    api.harness.store(f"uploads/owner-1/{created['uploadId']}.bin", b"of another size")
    refused = api.call("uploads_finalise", created["uploadId"], body={})
    assert (refused.status, refused.json["code"]) == (409, "SIZE_MISMATCH")


def test_an_upload_that_was_not_finished_in_time_is_gone(api: ApiClient) -> None:
    upload_id = api.uploaded(CONTENT)
    api.harness.sql("UPDATE telemetry_artifacts SET expires_at = now() - interval '1 second'")
    gone = api.call("uploads_finalise", upload_id, body={})
    assert (gone.status, gone.json["code"]) == (410, "UPLOAD_EXPIRED")
    assert "upload" not in api.call("uploads_get", upload_id).json
    # Nobody gave it up: it can be looked at.
    clean(api.harness.services, lambda: LIFE_MS, [Task.EXPIRE_UPLOADS])
    assert api.call("uploads_get", upload_id).json["status"] == "expired"


def test_an_upload_that_is_given_up_is_deleted(api: ApiClient) -> None:
    created = api.announce(CONTENT).json
    upload_id = created["uploadId"]
    api.put(created["upload"], CONTENT)
    assert [api.call("uploads_abandon", upload_id).status for _ in range(2)] == [204, 204]
    assert api.harness.raw_paths() == set()
    for name in ("uploads_get", "uploads_finalise", "uploads_list_parts"):
        gone = api.call(name, upload_id, body={} if name == "uploads_finalise" else None)
        assert (gone.status, gone.json["code"]) == (410, "UPLOAD_EXPIRED"), name
    # The address is still valid: what it revives is deleted when the store tells of it.
    path = api.put(created["upload"], CONTENT).path
    assert api.object_created(path) == {"batchItemFailures": []}
    assert api.harness.raw_paths() == set()


def test_an_upload_with_a_session_cannot_be_given_up(api: ApiClient) -> None:
    upload_id = api.uploaded(CONTENT)
    api.call("uploads_finalise", upload_id, body={})
    refused = api.call("uploads_abandon", upload_id)
    assert (refused.status, refused.json["code"]) == (409, "UPLOAD_ALREADY_FINALISED")
    assert len(api.harness.raw_paths()) == 1


def test_bytes_that_made_a_session_before_are_named(api: ApiClient) -> None:
    first = api.session_of(CONTENT)
    assert api.announce(CONTENT).json["duplicateOf"] == first
    second = api.session_of(CONTENT)
    assert api.announce(CONTENT).json["duplicateOf"] == second, "the newest"
    assert api.announce(CONTENT).json["duplicateOf"] == second, "an upload without a session between hides none"
    assert "duplicateOf" not in api.announce(b"other").json
    assert "duplicateOf" not in api.as_owner("owner-2").announce(CONTENT).json


def test_the_limit_on_size(api: ApiClient) -> None:
    limit = api.harness.services.settings.upload_max_bytes
    assert api.announce(CONTENT, byteSize=limit).status == 201
    refused = api.announce(CONTENT, byteSize=limit + 1)
    assert (refused.status, refused.json["code"]) == (413, "FILE_TOO_LARGE")
    empty = api.announce(b"")
    assert (empty.status, empty.json["code"]) == (422, "FILE_EMPTY")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("C:\\fakepath\\lap.csv", "lap.csv"),
        ("../../etc/passwd", "passwd"),
        ("a\0b\ud800c\x07.csv", "abc.csv"),
        ("\u202egpx.exe", "gpx.exe"),
        ("x" * 400 + ".gpx", "x" * 251 + ".gpx"),
        ("Fähre 🏁.csv", "Fähre 🏁.csv"),
        ("\0", "recording"),
    ],
)
def test_file_names_are_cleaned_and_never_part_of_a_path(api: ApiClient, given: str, kept: str) -> None:
    created = api.announce(CONTENT, fileName=given)
    assert created.status == 201, created.text
    row = api.harness.artifact(UUID(created.json["uploadId"]))
    assert row["original_file_name"] == kept
    assert row["storage_path"] == f"uploads/owner-1/{row['id']}.bin"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"byteSize": "13"}, "byteSize"),
        ({"byteSize": True}, "byteSize"),
        ({"byteSize": -1}, "byteSize"),
        ({"byteSize": 1.5}, "byteSize"),
        ({"sha256": "00"}, "sha256"),
        ({"sha256": None}, "sha256"),
        ({"contentType": "text/csv\r\nx-evil: 1"}, "contentType"),
        ({"contentType": "csv"}, "contentType"),
        ({"fileName": ""}, "fileName"),
        ({"fileName": 7}, "fileName"),
        ({"finaliseOnReceipt": "yes"}, "finaliseOnReceipt"),
        ({"colour": "red"}, "colour"),
        ({"file_name": "snake.csv"}, "file_name"),
        ({"sessionName": "\0"}, "sessionName"),
    ],
)
def test_wrong_fields_are_named(api: ApiClient, fields: dict[str, Any], field: str) -> None:
    refused = api.announce(CONTENT, **fields)
    assert (refused.status, refused.json["code"]) == (422, "REQUEST_INVALID")
    assert [place["field"] for place in refused.json["errors"]] == [field]
    assert api.harness.sql("SELECT 1 AS one FROM telemetry_artifacts") == []


def test_ids_that_nobody_has(api: ApiClient) -> None:
    for name in ("uploads_get", "uploads_abandon", "uploads_finalise"):
        for unknown in (str(uuid4()), "not-an-id", "{" + str(uuid4()) + "}"):
            answer = api.call(name, unknown)
            assert (answer.status, answer.json["code"]) == (404, "NOT_FOUND"), name


def test_one_spelling_of_an_id_is_ours(api: ApiClient) -> None:
    upload_id = api.announce(CONTENT).json["uploadId"]
    assert api.call("uploads_get", upload_id.upper()).status == 200
    for other in (upload_id.replace("-", ""), "{" + upload_id + "}", f"urn:uuid:{upload_id}"):
        answer = api.call("uploads_get", other)
        assert (answer.status, answer.json["code"]) == (404, "NOT_FOUND"), other


# Receipts


def path_of(upload_id: str) -> str:
    return f"uploads/owner-1/{upload_id}.bin"


def test_a_receipt_is_recorded_once(api: ApiClient) -> None:
    upload_id = api.uploaded(CONTENT)
    assert api.object_created(path_of(upload_id)) == {"batchItemFailures": []}
    row = api.harness.artifact(UUID(upload_id))
    assert row["received_at"] is not None
    assert row["object_etag"]
    api.object_created(path_of(upload_id), path_of(upload_id))
    assert api.harness.artifact(UUID(upload_id)) == row
    assert api.harness.sql("SELECT 1 AS one FROM telemetry_sessions") == []


def test_one_post_and_one_put_are_enough(api: ApiClient) -> None:
    upload_id = api.uploaded(CONTENT, finaliseOnReceipt=True, sessionName="From the phone")
    for _ in range(2):
        assert api.object_created(path_of(upload_id)) == {"batchItemFailures": []}
    (session,) = api.harness.sql("SELECT * FROM telemetry_sessions")
    assert (session["name"], session["owner_user_id"]) == ("From the phone", "owner-1")
    assert api.call("uploads_finalise", upload_id, body={}).json["sessionId"] == str(session["id"])
    assert len(api.harness.sql("SELECT 1 AS one FROM telemetry_jobs")) == 1


def test_events_for_what_is_not_there_change_nothing(api: ApiClient) -> None:
    announced = api.announce(CONTENT, finaliseOnReceipt=True).json["uploadId"]
    before = api.harness.sql("SELECT * FROM telemetry_artifacts")
    paths = [path_of(announced), path_of(str(uuid4())), "uploads/owner-1/no-id.bin", f"elsewhere/{announced}.bin", ""]
    assert api.object_created(*paths) == {"batchItemFailures": []}
    assert api.harness.sql("SELECT * FROM telemetry_artifacts") == before


def test_bytes_revived_after_the_raw_file_was_discarded_are_deleted_again(api: ApiClient) -> None:
    upload_id = api.uploaded(CONTENT)
    api.call("uploads_finalise", upload_id, body={})
    api.harness.sql("UPDATE telemetry_artifacts SET discarded_at = now()")
    api.object_created(path_of(upload_id))
    assert api.harness.raw_paths() == set()


def test_an_outage_leaves_the_event_in_the_queue(api: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    upload_id = api.uploaded(CONTENT, finaliseOnReceipt=True)

    def unavailable(path: str) -> None:
        raise TelemetryError(Code.STORAGE_UNAVAILABLE, "HEAD")

    with monkeypatch.context() as outage:
        outage.setattr(api.harness.services.raw, "head", unavailable)
        failed = api.object_created(path_of(upload_id))
        assert len(failed["batchItemFailures"]) == 1
        answer = api.call("uploads_finalise", upload_id, body={})
        assert (answer.status, answer.json["code"]) == (503, "STORAGE_UNAVAILABLE")
        assert "Retry-After" in answer.headers
        assert "HEAD" not in answer.text
    assert api.object_created(path_of(upload_id)) == {"batchItemFailures": []}
    assert len(api.harness.sql("SELECT 1 AS one FROM telemetry_sessions")) == 1


def test_a_second_put_is_refused_also_after_finalising(api: ApiClient) -> None:
    created = api.announce(CONTENT).json
    put: Callable[[], object] = lambda: api.put(created["upload"], CONTENT)  # noqa: E731
    put()
    for _ in range(2):
        with pytest.raises(StorageRefusal) as refused:
            put()
        assert refused.value.status == 412
        api.call("uploads_finalise", created["uploadId"], body={})


def test_the_checksum_may_be_given_in_capitals(api: ApiClient) -> None:
    digest = hashlib.sha256(CONTENT).hexdigest()
    created = api.announce(CONTENT, sha256=digest.upper()).json
    api.put(created["upload"], CONTENT)
    assert api.harness.artifact(UUID(created["uploadId"]))["sha256"] == digest

"""The sessions routes: real events through the real handler, on a real database and a directory, with the worker."""

import json
import threading
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest

from telemetry import queue, session_changes
from telemetry.database.queries import load
from telemetry.domain.owner import Owner
from telemetry.domain.states import JobType
from telemetry.errors import Code, TelemetryError, user_message
from telemetry.pipeline.execute import execute
from telemetry.pipeline.failure import record_failure
from telemetry.services import Services
from telemetry.storage.local_path import serve_get
from tests.plugins.api import ApiClient
from tests.plugins.harness import LIFE_MS, SAMPLES
from tests.plugins.postgres import connect

CSV = (SAMPLES / "sample_gnss_10hz.csv").read_bytes()
NO_TIME = (SAMPLES / "csv_no_time.csv").read_bytes()


def ready_session(api: ApiClient, content: bytes = CSV) -> str:
    session_id = api.session_of(content)
    api.harness.drain()
    return session_id


def ids(page: Any) -> list[str]:
    return [session["sessionId"] for session in page["sessions"]]


# Detail


def test_a_session_being_processed_shows_its_progress(api: ApiClient) -> None:
    session_id = api.session_of(CSV)
    detail = api.call("sessions_get", session_id)
    assert detail.status == 200
    session = detail.json
    assert session["status"] == "processing"
    assert session["startTimeUtc"] == session["endTimeUtc"] == session["createdAt"]
    assert session["progress"] == {
        "job": "artifact_validate",
        "status": "queued",
        "attempt": 0,
        "maxAttempts": 3,
        "nextRetryAt": None,
    }
    assert "failure" not in session
    assert (session["summary"], session["datasets"], session["laps"]) == ({}, [], [])

    job = queue.claim(api.harness.database, "test")
    assert job is not None
    assert api.call("sessions_get", session_id).json["progress"]["status"] == "running"
    record_failure(api.harness.database, job, TelemetryError(Code.STORAGE_UNAVAILABLE, "GET"))
    progress = api.call("sessions_get", session_id).json["progress"]
    assert (progress["status"], progress["attempt"]) == ("queued", 1)
    assert datetime.fromisoformat(progress["nextRetryAt"]) > datetime.now(UTC)


def test_a_ready_session_shows_what_came_out(api: ApiClient) -> None:
    session = api.call("sessions_get", ready_session(api)).json
    assert session["status"] == "ready"
    assert "progress" not in session
    assert "failure" not in session
    assert session["startTimeUtc"] < session["endTimeUtc"] < session["createdAt"]
    assert session["summary"]["points"] > 0
    (file,) = session["files"]
    assert (file["status"], file["format"], file["fileName"]) == ("discarded", "csv", "lap.csv")
    assert file["discardedAt"] is not None
    gnss = next(dataset for dataset in session["datasets"] if dataset["stream"] == "gnss_pvt")
    assert gnss["rowCount"] > 0
    assert gnss["quality"]
    assert "download" not in gnss
    assert "storage" not in json.dumps(session)


def test_a_failed_session_says_why_and_what_to_do(api: ApiClient) -> None:
    session_id = ready_session(api, NO_TIME)
    session = api.call("sessions_get", session_id).json
    assert session["status"] == "failed"
    assert session["failure"]["code"] == "CSV_NO_TIME_COLUMN"
    row = api.harness.sql("SELECT error_detail FROM telemetry_processing_runs")[0]
    assert session["failure"]["message"] == user_message(Code.CSV_NO_TIME_COLUMN, row["error_detail"])
    assert session["files"][0]["status"] == "rejected"
    assert session["files"][0]["discardedAt"] is None
    ready_session(api, CSV)
    ready, failed = api.call("sessions_list", query={}).json["sessions"]
    assert "failure" not in ready
    assert failed["failure"] == session["failure"]


def test_polling_what_has_not_changed_is_cheap(api: ApiClient) -> None:
    session_id = api.session_of(CSV)
    first = api.call("sessions_get", session_id)
    etag = first.headers["ETag"]
    again = api.call("sessions_get", session_id, headers={"if-none-match": f'"other", W/{etag}'})
    assert (again.status, again.text, again.headers["ETag"]) == (304, "", etag)
    anything = api.call("sessions_get", session_id, headers={"if-none-match": "*"})
    assert (anything.status, anything.text, anything.headers["ETag"]) == (304, "", etag)
    assert first.headers["Cache-Control"] == "private, no-cache"
    api.harness.drain()
    changed = api.call("sessions_get", session_id, headers={"if-none-match": etag})
    assert changed.status == 200
    assert changed.headers["ETag"] != etag


def test_datasets_come_with_their_download(api: ApiClient) -> None:
    session_id = ready_session(api)
    answer = api.call("sessions_datasets", session_id)
    assert answer.status == 200
    for dataset in answer.json["datasets"]:
        download = dataset["download"]
        assert download["method"] == "GET"
        url = urlsplit(download["url"])
        served = serve_get(api.harness.services.settings.local_storage, url.path.lstrip("/"), url.query)
        assert served.file.stat().st_size == dataset["byteSize"]
        assert served.file.read_bytes()[:4] == b"PAR1"
        assert f"{session_id}-{dataset['stream']}.parquet" in served.headers["content-disposition"]


def test_the_track_is_a_line_with_a_time_and_a_speed_each_point(api: ApiClient) -> None:
    session_id = ready_session(api)
    answer = api.call("sessions_track", session_id)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/geo+json"
    assert answer.json["type"] == "FeatureCollection"
    detail = api.call("sessions_get", session_id).json
    assert {feature["properties"]["uploadId"] for feature in answer.json["features"]} == {
        detail["files"][0]["uploadId"]
    }
    points = 0
    for feature in answer.json["features"]:
        assert (feature["type"], feature["geometry"]["type"]) == ("Feature", "LineString")
        each = feature["properties"]["coordinateProperties"]
        assert len(feature["geometry"]["coordinates"]) == len(each["times"]) == len(each["speedsMps"]) >= 2
        points += len(each["times"])
    assert points <= 2000
    first, last = answer.json["features"][0], answer.json["features"][-1]
    start, end = (
        datetime.fromisoformat(line["properties"]["coordinateProperties"]["times"][at])
        for line, at in ((first, 0), (last, -1))
    )
    assert (start, end) == (
        datetime.fromisoformat(detail["startTimeUtc"]),
        datetime.fromisoformat(detail["endTimeUtc"]),
    )
    south, west, north, east = detail["summary"]["boundingBox"]
    for longitude, latitude in first["geometry"]["coordinates"]:
        assert west - 1e-7 <= longitude <= east + 1e-7
        assert south - 1e-7 <= latitude <= north + 1e-7
    again = api.call("sessions_track", session_id, headers={"if-none-match": answer.headers["ETag"]})
    assert (again.status, again.text) == (304, "")
    assert answer.headers["Cache-Control"] == "private, no-cache"


def test_the_track_is_empty_until_ready_and_where_none_was_made(api: ApiClient) -> None:
    session_id = api.session_of(CSV)
    empty = {"type": "FeatureCollection", "features": []}
    assert api.call("sessions_track", session_id).json == empty
    api.harness.drain()
    assert api.call("sessions_track", session_id).json != empty
    for path in api.harness.canonical_paths():
        if path.endswith(".track.geojson"):
            api.harness.services.canonical.delete(path)
    assert api.call("sessions_track", session_id).json == empty


def test_datasets_and_laps_stay_unseen_until_their_run_succeeded(api: ApiClient) -> None:
    session_id = api.session_of(CSV)
    run_id = UUID(api.call("sessions_get", session_id).json["runId"])
    artifact = api.harness.sql("SELECT id FROM telemetry_artifacts")[0]["id"]
    api.harness.sql(
        """INSERT INTO telemetry_datasets (session_id, run_id, artifact_id, stream, storage_path, schema_version,
               row_count, byte_size, sha256, start_time_utc, end_time_utc)
           VALUES (:session, :run, :artifact, 'gnss_pvt', 'datasets/x.parquet', 1,
               1, 1, repeat('0', 64), now(), now())""",
        session=session_id,
        run=run_id,
        artifact=artifact,
    )
    api.harness.sql(
        """INSERT INTO telemetry_laps (session_id, run_id, lap_number, kind, start_time_utc, end_time_utc, duration_ms,
               source)
           VALUES (:session, :run, 1, 'TIMED', now(), now(), 90000.5, 'DETECTED')""",
        session=session_id,
        run=run_id,
    )
    detail = api.call("sessions_get", session_id).json
    assert (detail["datasets"], detail["laps"]) == ([], [])
    assert api.call("sessions_datasets", session_id).json == {"datasets": []}
    assert api.call("sessions_laps", session_id).json == {"laps": []}

    api.harness.sql("UPDATE telemetry_jobs SET status = 'CANCELLED'")
    api.harness.sql("UPDATE telemetry_processing_runs SET status = 'RUNNING', started_at = now()")
    api.harness.sql("UPDATE telemetry_processing_runs SET status = 'SUCCEEDED', finished_at = now()")
    api.harness.sql("UPDATE telemetry_sessions SET status = 'READY'")
    (lap,) = api.call("sessions_laps", session_id).json["laps"]
    assert (lap["lapNumber"], lap["kind"], lap["durationMs"], lap["source"]) == (1, "timed", 90000.5, "detected")
    assert len(api.call("sessions_datasets", session_id).json["datasets"]) == 1
    assert len(api.call("sessions_get", session_id).json["laps"]) == 1


# List


def made_at(api: ApiClient, created_at: datetime, owner: str = "owner-1", **columns: Any) -> str:
    session_id = uuid4()
    values = {"status": "READY", "start": created_at, "end": created_at, "device": None, **columns}
    api.harness.sql(
        """INSERT INTO telemetry_sessions (id, tenant_id, owner_user_id, name, status, start_time_utc, end_time_utc,
               device_id, created_at)
           VALUES (:id, 'tenant-1', :owner, 'A day', :status, :start, :end, :device, :created_at)""",
        id=session_id,
        owner=owner,
        created_at=created_at,
        **values,
    )
    return str(session_id)


NOON = datetime(2026, 3, 12, 12, 0, 0, 123456, UTC)


def test_pages_are_newest_first_and_stable_while_sessions_are_added(api: ApiClient) -> None:
    # Several share one time, so that the id decides.
    made = [made_at(api, NOON + timedelta(seconds=n // 3)) for n in range(10)]
    made_at(api, NOON, owner="owner-2")
    order = [
        str(row["id"])
        for row in api.harness.sql(
            "SELECT id FROM telemetry_sessions WHERE owner_user_id = 'owner-1' ORDER BY created_at DESC, id DESC"
        )
    ]
    seen: list[str] = []
    query: dict[str, str] = {"limit": "4"}
    while True:
        page = api.call("sessions_list", query=query).json
        seen += ids(page)
        if page["nextCursor"] is None:
            break
        query["cursor"] = page["nextCursor"]
        made_at(api, NOON + timedelta(days=1))
    assert seen == order
    assert set(seen) == set(made)
    assert ids(api.call("sessions_list", query={"limit": "100"}).json)[-10:] == order


def test_an_exact_page_is_the_last(api: ApiClient) -> None:
    made_at(api, NOON)
    assert api.call("sessions_list", query={"limit": "1"}).json["nextCursor"] is None
    assert api.as_owner("nobody").call("sessions_list", query={}).json == {"sessions": [], "nextCursor": None}


def test_filters(api: ApiClient) -> None:
    device = api.harness.sql(
        """INSERT INTO telemetry_devices (owner_user_id, model, first_seen_at, last_seen_at)
           VALUES ('owner-1', 'Edge', now(), now()) RETURNING id"""
    )[0]["id"]
    early = made_at(api, NOON, status="FAILED")
    late = made_at(api, NOON + timedelta(days=1), device=device)
    assert ids(api.call("sessions_list", query={"status": "failed"}).json) == [early]
    assert ids(api.call("sessions_list", query={"status": "cancelled"}).json) == []
    assert ids(api.call("sessions_list", query={"deviceId": str(device)}).json) == [late]
    assert ids(api.call("sessions_list", query={"from": "2026-03-13T00:00:00Z"}).json) == [late]
    assert ids(api.call("sessions_list", query={"to": "2026-03-13T01:00:00+02:00"}).json) == [early]
    window = {"from": NOON.isoformat(), "to": (NOON + timedelta(microseconds=1)).isoformat()}
    assert ids(api.call("sessions_list", query=window).json) == [early]
    assert api.call("sessions_list").json["sessions"] == []  # the committed event asks for those being processed


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"status": "READY"}, "status"),
        ({"status": "lost"}, "status"),
        ({"limit": "0"}, "limit"),
        ({"limit": "101"}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"to": "0.5"}, "to"),
        ({"from": "yesterday"}, "from"),
        ({"from": "2026-03-13T00:00:00"}, "from"),
        ({"deviceId": "1"}, "deviceId"),
        ({"page": "2"}, "page"),
        ({"from_": "2026-03-13T00:00:00Z"}, "from_"),
    ],
)
def test_wrong_filters_are_named(api: ApiClient, query: dict[str, str], field: str) -> None:
    refused = api.call("sessions_list", query=query)
    assert (refused.status, refused.json["code"]) == (422, "REQUEST_INVALID")
    assert [place["field"] for place in refused.json["errors"]] == [field]


@pytest.mark.parametrize("cursor", ["x", "!!!!", "MjAyNg", "ü", "MjAyNi0wMS0wMVQwMDowMDowMCAx"])
def test_a_cursor_of_our_own_making_only(api: ApiClient, cursor: str) -> None:
    refused = api.call("sessions_list", query={"cursor": cursor})
    assert (refused.status, refused.json["code"]) == (422, "REQUEST_INVALID")


def test_devices(api: ApiClient) -> None:
    api.harness.sql(
        """INSERT INTO telemetry_devices (owner_user_id, manufacturer, model, first_seen_at, last_seen_at)
           VALUES ('owner-1', 'Garmin', 'Edge', now() - interval '1 day', now()),
                  ('owner-2', 'Other', 'X', now(), now())"""
    )
    (device,) = api.call("sessions_devices").json["devices"]
    assert (device["manufacturer"], device["model"], device["serialNumber"]) == ("Garmin", "Edge", None)


# Rename, cancel, retry


def test_rename(api: ApiClient) -> None:
    session_id = api.session_of(CSV)
    renamed = api.call("sessions_rename", session_id)
    assert (renamed.status, renamed.json["name"]) == (200, "Nordschleife, first time")
    assert api.call("sessions_get", session_id).json["name"] == "Nordschleife, first time"
    wrong_ones: list[Any] = [{"name": " \x00 "}, {"name": "x" * 256}, {}, {"name": "a", "status": "ready"}, [], "{"]
    for wrong in wrong_ones:
        refused = api.call("sessions_rename", session_id, body=wrong)
        assert (refused.status, refused.json["code"]) == (422, "REQUEST_INVALID"), wrong


def test_cancel_stops_a_worker_at_its_next_write(api: ApiClient) -> None:
    session_id = api.session_of(CSV)
    job = queue.claim(api.harness.database, "test")
    assert job is not None
    for _ in range(2):
        cancelled = api.call("sessions_cancel", session_id)
        assert (cancelled.status, cancelled.json["status"]) == (200, "cancelled")
    with pytest.raises(queue.LeaseLost), api.harness.database.transaction() as transaction:
        queue.complete_and_claim(transaction, job)
    assert api.harness.drain().outcomes == {}
    assert api.call("sessions_get", session_id).json["status"] == "cancelled"
    assert api.call("sessions_retry", session_id).json["code"] == "SESSION_STATE_CONFLICT"


def test_cancel_takes_the_datasets_recorded_so_far_with_it(api: ApiClient) -> None:
    session_id = api.session_of(CSV)
    for _ in range(3):
        job = queue.claim(api.harness.database, "test")
        assert job is not None
        execute(api.harness.services, job, remaining_ms=lambda: LIFE_MS, whole_life=True)
    assert len(api.harness.sql("SELECT id FROM telemetry_datasets")) >= 1
    assert api.call("sessions_cancel", session_id).json["status"] == "cancelled"
    assert api.harness.sql("SELECT id FROM telemetry_datasets") == []


def test_a_session_that_has_ended_is_not_cancelled(api: ApiClient) -> None:
    session_id = ready_session(api)
    jobs = api.harness.sql("SELECT id, status FROM telemetry_jobs ORDER BY id")
    refused = api.call("sessions_cancel", session_id)
    assert (refused.status, refused.json["code"]) == (409, "SESSION_STATE_CONFLICT")
    assert api.harness.sql("SELECT id, status FROM telemetry_jobs ORDER BY id") == jobs


def test_cancel_that_comes_too_late_leaves_the_later_jobs_alone(
    api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = api.session_of(CSV)
    cancel_jobs = queue.cancel_jobs

    def ended_meanwhile(transaction: Any, run_id: UUID) -> int:
        transaction.run(load("pipeline")["start_run"], run_id=run_id)
        transaction.run(load("pipeline")["succeed_run"], run_id=run_id)
        return cancel_jobs(transaction, run_id)

    monkeypatch.setattr(queue, "cancel_jobs", ended_meanwhile)
    refused = api.call("sessions_cancel", session_id)
    assert (refused.status, refused.json["code"]) == (409, "SESSION_STATE_CONFLICT")
    (job,) = api.harness.sql("SELECT status FROM telemetry_jobs")
    assert job["status"] == "QUEUED"


def test_retry_takes_a_failed_session_up_again(api: ApiClient) -> None:
    session_id = ready_session(api, NO_TIME)
    first_run = api.call("sessions_get", session_id).json["runId"]
    retried = api.call("sessions_retry", session_id)
    assert (retried.status, retried.json["status"]) == (202, "processing")
    assert retried.json["runId"] != first_run
    assert "failure" not in retried.json
    assert retried.json["files"][0]["status"] == "uploaded"
    again = api.call("sessions_retry", session_id)
    assert (again.status, again.json["code"]) == (409, "SESSION_STATE_CONFLICT")
    api.harness.drain()
    assert api.call("sessions_get", session_id).json["failure"]["code"] == "CSV_NO_TIME_COLUMN"
    runs = api.harness.sql("SELECT status FROM telemetry_processing_runs")
    assert [run["status"] for run in runs] == ["FAILED", "FAILED"]


def test_a_retry_nudges_the_workers_once_its_job_is_there(api: ApiClient, nudges: list[list[str]]) -> None:
    session_id = ready_session(api, NO_TIME)
    nudges.clear()
    assert api.call("sessions_retry", session_id).status == 202
    assert nudges == [["artifact_validate"]]
    assert api.call("sessions_retry", session_id).status == 409
    assert len(nudges) == 1


def test_retry_needs_the_raw_file(api: ApiClient) -> None:
    session_id = ready_session(api, NO_TIME)
    api.harness.sql("UPDATE telemetry_artifacts SET discarded_at = now()")
    refused = api.call("sessions_retry", session_id)
    assert (refused.status, refused.json["code"]) == (409, "RAW_DISCARDED")
    assert api.call("sessions_get", session_id).json["status"] == "failed"
    assert len(api.harness.sql("SELECT 1 AS one FROM telemetry_processing_runs")) == 1


def test_retry_needs_every_raw_file(api: ApiClient) -> None:
    harness = api.harness
    kept, gone = harness.upload(NO_TIME, "kept.csv"), harness.upload(NO_TIME + b"\n", "gone.csv")
    made = harness.finalise(kept, gone)
    harness.drain()
    harness.sql("UPDATE telemetry_artifacts SET discarded_at = now() WHERE id = :id", id=gone)
    refused = api.call("sessions_retry", str(made.session_id))
    assert (refused.status, refused.json["code"]) == (409, "RAW_DISCARDED")


def test_retry_waits_for_a_discard_under_way(api: ApiClient) -> None:
    session_id = ready_session(api, NO_TIME)
    others, refused = Services(api.harness.services.settings), list[Exception]()

    def retry() -> None:
        try:
            session_changes.retry_session(others, Owner("owner-1", "owner-1"), UUID(session_id))
        except Exception as error:
            refused.append(error)

    retrying = threading.Thread(target=retry, daemon=True)
    with connect(api.harness.services.settings.database) as sql:
        sql.run("BEGIN")
        sql.run("UPDATE telemetry_artifacts SET discarded_at = now()")
        retrying.start()
        api.harness.await_waiter()
        sql.run("COMMIT")
    retrying.join(60)
    assert not retrying.is_alive()
    others.database.close()
    (error,) = refused
    assert isinstance(error, TelemetryError), error
    assert error.code is Code.RAW_DISCARDED


# Delete


def tables(api: ApiClient) -> dict[str, int]:
    names = ("sessions", "artifacts", "processing_runs", "jobs", "datasets", "laps")
    return {name: api.harness.sql(f"SELECT count(*) AS n FROM telemetry_{name}")[0]["n"] for name in names}


def test_delete_leaves_nothing_behind(api: ApiClient) -> None:
    session_id = ready_session(api)
    failed = ready_session(api, NO_TIME)
    assert api.harness.canonical_paths()
    assert api.harness.raw_paths()
    for one in (session_id, failed):
        assert api.call("sessions_delete", one).status == 204
        assert api.call("sessions_get", one).status == 404
        assert api.call("sessions_delete", one).status == 404
    assert set(tables(api).values()) == {0}
    assert api.harness.canonical_paths() == set()
    assert api.harness.raw_paths() == set()


def test_delete_while_a_worker_holds_the_job(api: ApiClient) -> None:
    session_id = api.session_of(CSV)
    job = queue.claim(api.harness.database, "test")
    assert job is not None
    assert api.call("sessions_delete", session_id).status == 204
    assert set(tables(api).values()) == {0}
    assert api.harness.raw_paths() == set()
    with pytest.raises(queue.LeaseLost), api.harness.database.transaction() as transaction:
        queue.complete_and_claim(transaction, job)
        queue.enqueue(transaction, job.run_id, JobType.ARTIFACT_CLASSIFY, {})
    assert set(tables(api).values()) == {0}


def test_files_that_cannot_be_deleted_now_do_not_keep_the_session(
    api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = api.session_of(CSV)

    def unavailable(path: str) -> None:
        raise TelemetryError(Code.STORAGE_UNAVAILABLE, "DELETE")

    monkeypatch.setattr(api.harness.services.raw, "delete", unavailable)
    assert api.call("sessions_delete", session_id).status == 204
    assert set(tables(api).values()) == {0}


@pytest.mark.parametrize("verb", ["cancel", "delete"])
def test_a_completion_under_way_is_waited_for(api: ApiClient, verb: str) -> None:
    """The worker has its job's row; cancel and delete come, wait, and end the successor that it enqueues."""
    harness = api.harness
    session_id = UUID(api.session_of(CSV))
    owner = Owner("owner-1", "owner-1")
    job = queue.claim(harness.database, "test")
    assert job is not None
    others = Services(harness.services.settings)
    errors: list[Exception] = []

    def come_between() -> None:
        try:
            if verb == "cancel":
                session_changes.cancel_session(others, owner, session_id)
            else:
                session_changes.delete_session(others, owner, session_id)
        except Exception as error:
            errors.append(error)

    comer = threading.Thread(target=come_between, daemon=True)
    with harness.database.transaction() as transaction:
        queue.complete_and_claim(transaction, job)
        comer.start()
        harness.await_waiter()
        transaction.run(load("pipeline")["start_run"], run_id=job.run_id)
        queue.enqueue(transaction, job.run_id, JobType.ARTIFACT_CLASSIFY, dict(job.payload))
    comer.join(60)
    assert not comer.is_alive()
    others.database.close()
    assert errors == []
    if verb == "delete":
        assert set(tables(api).values()) == {0}
    else:
        states = harness.sql("SELECT job_type, status FROM telemetry_jobs ORDER BY created_at")
        assert [(row["job_type"], row["status"]) for row in states] == [
            ("artifact_validate", "SUCCEEDED"),
            ("artifact_classify", "CANCELLED"),
        ]
        assert api.call("sessions_get", str(session_id)).json["status"] == "cancelled"
    assert harness.drain().outcomes == {}

"""S3 event late, doubled, for an unknown key; key with `+`, spaces, non-ASCII: A; ignored and logged."""

import hashlib
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest

from functions.object_created import app as object_created
from telemetry import uploads
from telemetry.domain.owner import Owner
from telemetry.errors import Code, TelemetryError
from tests.faults.conftest import at_rest
from tests.faults.worker_pool import WorkerPool
from tests.plugins.harness import SAMPLES

CSV = (SAMPLES / "sample_gnss_10hz.csv").read_bytes()
SOURCES = {hashlib.sha256(CSV).hexdigest(): CSV}
EVENT = Path(__file__).parents[2] / "fixtures/events/object_created.json"


@pytest.fixture(autouse=True)
def over_the_pool(pool: WorkerPool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The function works on the pool's harness."""
    monkeypatch.setattr(object_created, "services", pool.harness.services)


def send(*keys: str) -> dict[str, Any]:
    """One message with these keys, encoded as S3 encodes them."""
    event: dict[str, Any] = json.loads(EVENT.read_text("utf-8"))
    body = json.loads(event["Records"][0]["body"])
    records = []
    for key in keys:
        record = json.loads(json.dumps(body["Records"][0]))
        record["s3"]["object"]["key"] = quote_plus(key, safe="/")
        records.append(record)
    event["Records"][0]["body"] = json.dumps({"Records": records})
    return object_created.handler(event, None)


def uploaded(pool: WorkerPool, tenant: str = "tenant-1") -> tuple[uploads.CreatedUpload, str]:
    """An upload that is to be finalised on receipt, its bytes there; and its key."""
    services = pool.harness.services
    announcement = uploads.Announcement(
        "lap.csv", "text/csv", len(CSV), hashlib.sha256(CSV).hexdigest(), finalise_on_receipt=True
    )
    created = uploads.create_upload(services, Owner("owner-1", tenant), announcement)
    key = services.raw.upload_path(tenant, str(created.upload_id))
    pool.harness.store(key, CSV)
    return created, key


def wait_in_vain(pool: WorkerPool) -> None:
    """The time passes in which an event should come."""
    pool.harness.sql("UPDATE telemetry_artifacts SET created_at = created_at - interval '6 minutes'")


def test_event_doubled_and_late(pool: WorkerPool) -> None:
    _, key = uploaded(pool)
    for _ in range(3):
        assert send(key, key) == {"batchItemFailures": []}
    at_rest(pool, SOURCES)
    assert send(key) == {"batchItemFailures": []}, "long after the raw bytes are gone"
    at_rest(pool, SOURCES)
    assert [row["status"] for row in pool.harness.sql("SELECT status FROM telemetry_sessions")] == ["READY"]
    assert len(pool.harness.sql("SELECT id FROM telemetry_jobs")) == 5


def test_event_that_never_comes(pool: WorkerPool) -> None:
    """The janitor sees by itself that the bytes are there."""
    created, _ = uploaded(pool)
    pool.settle()
    assert pool.harness.artifact(created.upload_id)["session_id"] is None, "the event has a few minutes to come"
    wait_in_vain(pool)
    pool.settle()
    at_rest(pool, SOURCES)
    assert [row["status"] for row in pool.harness.sql("SELECT status FROM telemetry_sessions")] == ["READY"]


def test_event_given_up_while_the_database_was_down(pool: WorkerPool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every delivery notes the receipt and fails to finalise: then the event lies among the dead letters."""
    created, key = uploaded(pool)

    def down(*_: object, **__: object) -> None:
        raise TelemetryError(Code.DATABASE_UNAVAILABLE)

    with monkeypatch.context() as outage:
        outage.setattr(uploads, "finalise", down)
        for _ in range(5):
            assert send(key)["batchItemFailures"] != []
    assert pool.harness.artifact(created.upload_id)["received_at"] is not None
    wait_in_vain(pool)
    pool.settle()
    at_rest(pool, SOURCES)
    assert pool.harness.artifact(created.upload_id)["status"] == "DISCARDED"
    assert send(key) == {"batchItemFailures": []}, "delivered again from the dead letters"
    assert [row["status"] for row in pool.harness.sql("SELECT status FROM telemetry_sessions")] == ["READY"]


def test_bytes_that_never_come(pool: WorkerPool) -> None:
    created, key = uploaded(pool)
    pool.harness.services.raw.delete(key)
    wait_in_vain(pool)
    pool.settle()
    assert pool.harness.artifact(created.upload_id)["status"] == "UPLOADED"
    pool.harness.sql("UPDATE telemetry_artifacts SET expires_at = now() - interval '1 s'")
    at_rest(pool)
    assert pool.harness.artifact(created.upload_id)["status"] == "EXPIRED"


@pytest.mark.parametrize(
    "key",
    [
        "uploads/tenant-1/5c0ffee5-0000-4000-8000-000000000001.bin",
        "uploads/tenant-1/not an id.bin",
        "uploads/a+b c/ü\u65e5\u672c.bin",
        "uploads/../../etc/passwd",
        "uploads/'; DROP TABLE telemetry_jobs; --.bin",
        "elsewhere/5c0ffee5-0000-4000-8000-000000000002.bin",
        "",
    ],
)
def test_event_for_an_unknown_key_is_ignored_and_logged(
    pool: WorkerPool, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("WARNING", logger="telemetry"):
        assert send(key) == {"batchItemFailures": []}
    assert [record.getMessage() for record in caplog.records] == ["event for an object of no upload"]
    assert pool.harness.sql("SELECT id FROM telemetry_sessions") == []


def test_an_upload_of_another_path_is_not_believed(pool: WorkerPool) -> None:
    """The right id under another tenant's prefix."""
    created, _ = uploaded(pool)
    send(f"uploads/another/{created.upload_id}.bin")
    assert pool.harness.sql("SELECT id FROM telemetry_sessions") == []


@pytest.mark.parametrize("tenant", ["a+b", "with space", "t\u00fcrk\u65e5\u672c", "auth0|5f7c", "100%25"])
def test_keys_with_signs_that_events_encode(pool: WorkerPool, tenant: str) -> None:
    _, key = uploaded(pool, tenant)
    assert send(key) == {"batchItemFailures": []}
    at_rest(pool, SOURCES)
    assert [row["status"] for row in pool.harness.sql("SELECT status FROM telemetry_sessions")] == ["READY"]

"""Two finalises racing; finalise before upload; never uploaded; second PUT; PUT after finalise; PUT after raw deletion;
changed bytes; wrong size: one session; 409; EXPIRED; refused; refused; deleted again; refused; refused."""

import hashlib
import threading
import urllib.error
import urllib.request
from typing import Any
from uuid import UUID

import pytest

from telemetry import uploads
from telemetry.domain.owner import Owner
from telemetry.errors import TelemetryError
from telemetry.services import Services
from telemetry.storage.protocol import SignedRequest
from tests.faults.conftest import at_rest
from tests.faults.worker_pool import WorkerPool
from tests.plugins.harness import SAMPLES

CSV = (SAMPLES / "sample_gnss_10hz.csv").read_bytes()
SOURCES = {hashlib.sha256(CSV).hexdigest(): CSV}
OWNER = Owner("owner-1", "tenant|1 +ü")
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def announce(pool: WorkerPool, **fields: Any) -> uploads.CreatedUpload:
    """An upload of CSV, with its signed PUT."""
    announcement = uploads.Announcement("lap.csv", "text/csv", len(CSV), hashlib.sha256(CSV).hexdigest(), **fields)
    return uploads.create_upload(pool.harness.services, OWNER, announcement)


def put(signed: SignedRequest, content: bytes, **changed: str) -> int:
    """The client's PUT straight to S3; gives the status."""
    headers = {**signed.headers, **{name.replace("_", "-"): value for name, value in changed.items()}}
    try:
        with _OPENER.open(urllib.request.Request(signed.url, content, headers, method="PUT")) as answer:  # noqa: S310
            status: int = answer.status
    except urllib.error.HTTPError as error:
        status = error.code
    return status


def test_two_finalises_racing(s3_pool: WorkerPool) -> None:
    created = announce(s3_pool)
    assert put(created.upload, CSV) == 200
    made: list[uploads.Finalised] = []
    start = threading.Barrier(4)

    def finalise() -> None:
        services = Services(s3_pool.harness.services.settings)
        start.wait()
        made.append(uploads.finalise(services, OWNER, created.upload_id))
        services.database.close()

    racing = [threading.Thread(target=finalise, daemon=True) for _ in range(4)]
    for one in racing:
        one.start()
    for one in racing:
        one.join(60)
    assert not any(one.is_alive() for one in racing)
    assert len(made) == 4
    assert len(set(made)) == 1
    assert len(s3_pool.harness.sql("SELECT id FROM telemetry_sessions")) == 1
    at_rest(s3_pool, SOURCES)


def test_finalise_before_upload_and_never_uploaded(s3_pool: WorkerPool) -> None:
    created = announce(s3_pool)
    with pytest.raises(TelemetryError, match="UPLOAD_NOT_RECEIVED"):
        uploads.finalise(s3_pool.harness.services, OWNER, created.upload_id)
    s3_pool.harness.sql("UPDATE telemetry_artifacts SET expires_at = now() - interval '1 s'")
    at_rest(s3_pool)
    assert s3_pool.harness.artifact(created.upload_id)["status"] == "EXPIRED"
    with pytest.raises(TelemetryError, match="UPLOAD_EXPIRED"):
        uploads.finalise(s3_pool.harness.services, OWNER, created.upload_id)


def test_second_put_and_put_after_finalise_are_refused(s3_pool: WorkerPool) -> None:
    created = announce(s3_pool)
    assert put(created.upload, CSV) == 200
    assert put(created.upload, CSV) == 412
    uploads.finalise(s3_pool.harness.services, OWNER, created.upload_id)
    assert put(created.upload, CSV) == 412
    at_rest(s3_pool, SOURCES)


@pytest.mark.parametrize("event", [True, False], ids=["the event tells", "no event, the sweep finds them"])
def test_put_after_raw_deletion_is_deleted_again(s3_pool: WorkerPool, event: bool) -> None:
    """A still valid address cannot revive discarded bytes unnoticed."""
    created = announce(s3_pool)
    put(created.upload, CSV)
    uploads.finalise(s3_pool.harness.services, OWNER, created.upload_id)
    at_rest(s3_pool, SOURCES)
    assert s3_pool.harness.raw_paths() == set()
    assert put(created.upload, CSV) == 200
    (path,) = s3_pool.harness.raw_paths()
    if event:
        uploads.record_receipt(s3_pool.harness.services, path)
        assert s3_pool.harness.raw_paths() == set()
    at_rest(s3_pool, SOURCES)
    assert s3_pool.harness.raw_paths() == set()
    assert s3_pool.harness.artifact(created.upload_id)["status"] == "DISCARDED"


def test_put_after_a_session_was_deleted_is_swept(s3_pool: WorkerPool) -> None:
    from telemetry.session_changes import delete_session

    created = announce(s3_pool)
    put(created.upload, CSV)
    made = uploads.finalise(s3_pool.harness.services, OWNER, created.upload_id)
    delete_session(s3_pool.harness.services, OWNER, made.session_id)
    assert put(created.upload, CSV) == 200
    at_rest(s3_pool)
    assert s3_pool.harness.raw_paths() == set()


def test_changed_bytes_and_wrong_size_are_refused(s3_pool: WorkerPool) -> None:
    created = announce(s3_pool)
    changed = CSV[:-2] + b"9\n"
    assert put(created.upload, changed) >= 400
    for other in (CSV[:-1], CSV + b"\n"):
        assert put(created.upload, other, content_length=str(len(other))) >= 400
    assert s3_pool.harness.raw_paths() == set()
    with pytest.raises(TelemetryError, match="UPLOAD_NOT_RECEIVED"):
        uploads.finalise(s3_pool.harness.services, OWNER, created.upload_id)


@pytest.mark.parametrize(
    ("stored", "code"),
    [(CSV[:-2] + b"9\n", "CHECKSUM_MISMATCH"), (CSV[:-1], "SIZE_MISMATCH"), (b"", "FILE_EMPTY")],
)
def test_other_bytes_that_got_there_all_the_same_are_found_out_by_the_worker(
    s3_pool: WorkerPool, stored: bytes, code: str
) -> None:
    upload_id: UUID = s3_pool.harness.upload(None, sha256=hashlib.sha256(CSV).hexdigest(), byte_size=len(CSV))
    s3_pool.harness.store(s3_pool.harness.artifact(upload_id)["storage_path"], stored)
    made = s3_pool.harness.finalise(upload_id)
    at_rest(s3_pool)
    assert s3_pool.harness.run(made)["error_code"] == code
    assert s3_pool.harness.jobs(made)[0]["attempt_count"] == 1

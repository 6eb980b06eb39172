"""S3 503, timeout, reset; truncated GET; PUT done but its answer lost (412: the hash decides). Backoff, and C."""

import hashlib
from collections.abc import Iterator

import boto3
import pytest
from botocore.config import Config

from telemetry.pipeline.drain import drain
from telemetry.services import Services
from telemetry.settings import Settings
from tests.faults.conftest import at_rest
from tests.faults.proxy import StorageFault, StorageProxy
from tests.faults.worker_pool import WorkerPool
from tests.plugins.harness import LIFE_MS, SAMPLES

CSV = (SAMPLES / "sample_gnss_10hz.csv").read_bytes()
SOURCES = {hashlib.sha256(CSV).hexdigest(): CSV}
# As often as the client tries one call by itself.
TRIES = 3


@pytest.fixture
def proxy(s3_pool: WorkerPool) -> Iterator[StorageProxy]:
    """Before the pool's S3."""
    made = StorageProxy(s3_pool.harness.services.settings.object_storage.endpoint)
    yield made
    made.close()


def through(proxy: StorageProxy) -> dict[str, str]:
    """The variable that leads a worker through the proxy."""
    return {"TELEMETRY_OBJECT_STORAGE_ENDPOINT": proxy.url}


@pytest.mark.parametrize(("method", "fault"), [("GET", "unavailable"), ("PUT", "reset")])
def test_s3_away_for_longer_than_the_client_tries(
    s3_pool: WorkerPool, proxy: StorageProxy, method: str, fault: StorageFault
) -> None:
    made = s3_pool.harness.finalised(CSV)
    proxy.fail(fault, method, times=TRIES)
    worker = s3_pool.start(environment=through(proxy))
    worker.wait_done()
    assert proxy.injected == {f"S3 {fault}": TRIES}
    assert worker.outcomes()["retried"] == 1
    job = s3_pool.harness.sql("SELECT * FROM telemetry_jobs WHERE last_error_code IS NOT NULL")[0]
    assert job["last_error_code"] == "STORAGE_UNAVAILABLE"
    at_rest(s3_pool, SOURCES)
    assert s3_pool.harness.session(made)["status"] == "READY"


@pytest.mark.parametrize("fault", ["unavailable", "reset", "lost", "delay"])
def test_a_short_trouble_is_over_before_the_job_knows(
    s3_pool: WorkerPool, proxy: StorageProxy, fault: StorageFault
) -> None:
    """PUT done but its answer lost: the second one is refused with 412, and the hash of what is there decides."""
    made = s3_pool.harness.finalised(CSV)
    for method in ("HEAD", "GET", "PUT", "DELETE"):
        proxy.fail(fault, method)
    worker = s3_pool.start(environment=through(proxy))
    worker.wait_done()
    assert proxy.injected == {f"S3 {fault}": 4}
    assert worker.outcomes() == {"succeeded": 5}
    at_rest(s3_pool, SOURCES)
    assert s3_pool.harness.session(made)["status"] == "READY"
    assert s3_pool.harness.raw_paths() == set()


def test_truncated_get(s3_pool: WorkerPool, proxy: StorageProxy) -> None:
    """Half of the recording is not a shorter recording."""
    made = s3_pool.harness.finalised(CSV)
    proxy.fail("truncated", "GET", times=2)
    worker = s3_pool.start(environment=through(proxy))
    worker.wait_done()
    assert worker.outcomes()["retried"] >= 1
    assert worker.outcomes()["failed"] == 0
    at_rest(s3_pool, SOURCES)
    assert s3_pool.harness.session(made)["status"] == "READY"
    rows = s3_pool.harness.sql("SELECT row_count FROM telemetry_datasets WHERE stream = 'gnss_pvt'")
    assert rows[0]["row_count"] == CSV.count(b"\n") - 1


def test_timeout(s3_pool: WorkerPool, proxy: StorageProxy) -> None:
    """An answer that takes longer than the client waits."""
    made = s3_pool.harness.finalised(CSV)
    services = Services(Settings.from_environment({**s3_pool.environment, **through(proxy)}))
    impatient = boto3.client(
        "s3",
        endpoint_url=proxy.url,
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}, read_timeout=0.2, retries={"total_max_attempts": 1}),
    )
    services.raw.__dict__["_client"] = impatient
    s3_pool.hold_retries()
    proxy.delay_s = 0.6
    proxy.fail("delay", "HEAD")
    assert drain(services, lambda: LIFE_MS).outcomes == {"retried": 1}
    services.database.close()
    assert s3_pool.harness.jobs(made)[0]["last_error_code"] == "STORAGE_UNAVAILABLE"
    s3_pool.harness.hurry()
    at_rest(s3_pool, SOURCES)
    assert s3_pool.harness.session(made)["status"] == "READY"


def test_s3_away_for_good_fails_with_a_code_and_keeps_the_raw_bytes(s3_pool: WorkerPool, proxy: StorageProxy) -> None:
    made = s3_pool.harness.finalised(CSV)
    proxy.fail("reset", "GET", times=1000)
    for _ in range(3):
        s3_pool.start(environment=through(proxy)).wait_done()
        s3_pool.harness.hurry()
    assert s3_pool.harness.run(made)["error_code"] == "STORAGE_UNAVAILABLE"
    assert s3_pool.harness.session(made)["status"] == "FAILED"
    assert len(s3_pool.harness.raw_paths()) == 1
    at_rest(s3_pool)

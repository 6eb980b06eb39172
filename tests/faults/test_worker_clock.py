"""A worker whose clock is an hour off: only the database's clock counts."""

import hashlib

import pytest

from tests.faults.conftest import at_rest
from tests.faults.crew import Crew
from tests.house import SAMPLES

CSV = (SAMPLES / "sample_gnss_10hz.csv").read_bytes()
SOURCES = {hashlib.sha256(CSV).hexdigest(): CSV}
AN_HOUR = 3600.0


@pytest.mark.parametrize("clock_s", [AN_HOUR, -AN_HOUR], ids=["an hour ahead", "an hour behind"])
def test_a_worker_whose_clock_is_an_hour_off(crew: Crew, clock_s: float) -> None:
    made, broken = crew.house.finalised(CSV), crew.house.finalised(CSV + b"\n")
    crew.house.services.raw.delete(crew.house.artifacts(broken)[0]["storage_path"])
    (crew.house.services.settings.local_storage.root / "raw").chmod(0o700)
    worker = crew.start(clock_s=clock_s)
    worker.wait_done()
    assert crew.house.session(made)["status"] == "READY"
    rows = crew.house.sql(
        """SELECT abs(extract(epoch FROM now() - updated_at)) AS off_s FROM telemetry_jobs
           UNION ALL SELECT abs(extract(epoch FROM now() - finished_at)) FROM telemetry_processing_runs"""
    )
    assert max(row["off_s"] for row in rows) < 60
    assert crew.house.session(broken)["status"] == "FAILED"


@pytest.mark.parametrize("clock_s", [AN_HOUR, -AN_HOUR], ids=["an hour ahead", "an hour behind"])
def test_its_lease_and_its_retries_are_the_databases(crew: Crew, clock_s: float) -> None:
    made = crew.house.finalised(CSV)
    worker = crew.stopped_at("after_claim@parse_raw", clock_s=clock_s)
    assert crew.rescue() == 0, "its lease is fresh"
    worker.kill()
    crew.lapse()
    assert crew.rescue() == 1
    crew.house.hurry()
    finishing = crew.start(clock_s=clock_s)
    finishing.wait_done()
    assert finishing.outcomes() == {"succeeded": 3}, "a job is due when the database says so"
    assert crew.house.session(made)["status"] == "READY"
    at_rest(crew, SOURCES)

"""Cancel while running; delete while running: fenced, CANCELLED; nothing left behind."""

import pytest

from telemetry import sessions
from telemetry.domain.owner import Owner
from telemetry.errors import TelemetryError
from telemetry.janitor import Task, clean
from tests.faults.conftest import at_rest
from tests.faults.crew import NO_AGE, Crew
from tests.house import LIFE_MS, OWNER, SAMPLES, TENANT

CSV = (SAMPLES / "sample_gnss_10hz.csv").read_bytes()
ME = Owner(OWNER, TENANT)
STEPS = [
    "after_claim@artifact_validate",
    "before_parquet_put@parse_raw",
    "after_parquet_put@parse_raw",
    "after_claim@detect_laps",
]


@pytest.mark.parametrize("failpoint", STEPS)
def test_cancel_while_running(crew: Crew, failpoint: str) -> None:
    made = crew.house.finalised(CSV)
    worker = crew.stopped_at(failpoint)
    sessions.cancel_session(crew.house.services, ME, made.session_id)
    worker.go_on()
    worker.wait_done()
    assert worker.outcomes()["lost"] == 1
    at_rest(crew)
    assert crew.house.session(made)["status"] == crew.house.run(made)["status"] == "CANCELLED"
    assert crew.house.jobs(made)[-1]["status"] == "CANCELLED"
    assert crew.house.datasets(made) == []
    assert crew.house.canonical_paths() == set()
    assert len(crew.house.raw_paths()) == 1, "until its retention has passed"
    crew.house.sql("UPDATE telemetry_processing_runs SET finished_at = now() - interval '8 days'")
    clean(crew.house.services, lambda: LIFE_MS, [Task.DISCARD_RETAINED])
    at_rest(crew)
    assert crew.house.raw_paths() == set()


@pytest.mark.parametrize("failpoint", [*STEPS, "after_raw_delete@discard_raw"])
def test_delete_while_running(crew: Crew, failpoint: str) -> None:
    made = crew.house.finalised(CSV)
    worker = crew.stopped_at(failpoint)
    sessions.delete_session(crew.house.services, ME, made.session_id)
    worker.go_on()
    worker.wait_done()
    assert worker.outcomes()["lost"] == 1
    for table in ("sessions", "processing_runs", "jobs", "datasets", "laps", "artifacts"):
        assert crew.house.sql(f"SELECT * FROM telemetry_{table}") == []
    at_rest(crew)
    assert crew.house.raw_paths() == crew.house.canonical_paths() == set()


def test_delete_of_a_worker_that_puts_its_file_afterwards_leaves_an_orphan_that_is_swept(crew: Crew) -> None:
    made = crew.house.finalised(CSV)
    worker = crew.stopped_at("before_parquet_put@parse_raw")
    sessions.delete_session(crew.house.services, ME, made.session_id)
    worker.go_on()
    worker.wait_done()
    assert crew.house.canonical_paths() != set()
    assert clean(crew.house.services, lambda: LIFE_MS, [Task.SWEEP_DATASETS]).total() == 0, "too young to judge"
    clean(crew.house.services, lambda: LIFE_MS, [Task.SWEEP_DATASETS], safe_age=NO_AGE)
    assert crew.house.canonical_paths() == set()


def test_a_cancelled_session_stays_so(crew: Crew) -> None:
    made = crew.house.finalised(CSV)
    sessions.cancel_session(crew.house.services, ME, made.session_id)
    crew.start().wait_done()
    with pytest.raises(TelemetryError, match="SESSION_STATE_CONFLICT"):
        sessions.retry_session(crew.house.services, ME, made.session_id)
    at_rest(crew)
    assert crew.house.session(made)["status"] == "CANCELLED"

"""Row 1: kill -9 at every step; and the row of the worker that is frozen for longer than its lease."""

import hashlib

import pytest

from tests.faults.conftest import at_rest
from tests.faults.crew import Crew
from tests.faults.invariants import violations
from tests.house import SAMPLES

CSV = (SAMPLES / "sample_gnss_10hz.csv").read_bytes()
SOURCES = {hashlib.sha256(CSV).hexdigest(): CSV}


@pytest.mark.parametrize(
    "failpoint",
    [
        "after_claim@artifact_validate",
        "after_claim@parse_raw",
        "before_parquet_put@parse_raw",
        "after_parquet_put@parse_raw",
        "in_completing_transaction@artifact_validate",
        "in_completing_transaction@parse_raw",
        "in_completing_transaction@detect_laps",
        "after_commit@parse_raw",
        "after_commit@detect_laps",
        "after_raw_delete@discard_raw",
        "in_completing_transaction@discard_raw",
    ],
)
def test_kill_9_at_any_step(crew: Crew, failpoint: str) -> None:
    made = crew.house.finalised(CSV)
    crew.stopped_at(failpoint).kill()
    assert violations(crew.house, settled=False) == []
    at_rest(crew, SOURCES)
    assert crew.house.session(made)["status"] == "READY"
    assert crew.house.artifacts(made)[0]["status"] == "DISCARDED"
    assert crew.house.raw_paths() == set()

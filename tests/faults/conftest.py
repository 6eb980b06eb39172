"""Fixtures of the fault tests: crews over a directory and over S3."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from telemetry.settings import DatabaseSettings
from tests.faults.crew import Crew, Nursery
from tests.faults.invariants import violations
from tests.house import House
from tests.postgres import environment_of


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Forks workers."""
    made = Nursery()
    yield made
    made.close()


@pytest.fixture
def crew(nursery: Nursery, house: House, local_environment: Mapping[str, str], tmp_path: Path) -> Iterator[Crew]:
    """Workers over a fresh database and a directory."""
    made = Crew(nursery, house, local_environment, tmp_path / "crew")
    yield made
    made.close()


@pytest.fixture
def s3_crew(
    nursery: Nursery,
    s3_house: House,
    database_settings: DatabaseSettings,
    storage_environment: Mapping[str, str],
    tmp_path: Path,
) -> Iterator[Crew]:
    """Workers over a fresh database and S3."""
    made = Crew(nursery, s3_house, {**environment_of(database_settings), **storage_environment}, tmp_path / "crew")
    yield made
    made.close()


def at_rest(crew: Crew, sources: Mapping[str, bytes] | None = None) -> None:
    """Everything comes to its end with nobody helping, and every invariant holds."""
    crew.settle()
    assert violations(crew.house, sources=sources) == []

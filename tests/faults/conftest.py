"""Fixtures of the fault tests: worker pools over a directory and over S3."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from telemetry.settings import DatabaseSettings
from tests.faults.invariants import violations
from tests.faults.worker_pool import ForkServer, WorkerPool
from tests.plugins.harness import Harness
from tests.plugins.postgres import environment_of


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer]:
    """Forks workers."""
    made = ForkServer()
    yield made
    made.close()


@pytest.fixture
def pool(
    fork_server: ForkServer, harness: Harness, local_environment: Mapping[str, str], tmp_path: Path
) -> Iterator[WorkerPool]:
    """Workers over a fresh database and a directory."""
    made = WorkerPool(fork_server, harness, local_environment, tmp_path / "pool")
    yield made
    made.close()


@pytest.fixture
def s3_pool(
    fork_server: ForkServer,
    s3_harness: Harness,
    database_settings: DatabaseSettings,
    storage_environment: Mapping[str, str],
    tmp_path: Path,
) -> Iterator[WorkerPool]:
    """Workers over a fresh database and S3."""
    made = WorkerPool(
        fork_server, s3_harness, {**environment_of(database_settings), **storage_environment}, tmp_path / "pool"
    )
    yield made
    made.close()


def at_rest(pool: WorkerPool, sources: Mapping[str, bytes] | None = None) -> None:
    """Everything comes to its end with nobody helping, and every invariant holds."""
    pool.settle()
    assert violations(pool.harness, sources=sources) == []

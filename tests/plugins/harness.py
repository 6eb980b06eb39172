"""The harness for tests of the worker: services over a fresh database and a store, uploads finalised by plain SQL."""

import hashlib
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pg8000.native
import pytest

from telemetry.database.connection import Database
from telemetry.pipeline.drain import Drained, drain
from telemetry.services import Services
from telemetry.settings import DatabaseSettings, Settings
from telemetry.storage.paths import track_path
from tests.plugins.postgres import connect, environment_of

_WAITING = "SELECT 1 AS one FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"

SAMPLES = Path(__file__).parents[2] / "fixtures/telemetry"
OWNER = "owner-1"
TENANT = "tenant-1"
LIFE_MS = 900_000


@dataclass(frozen=True, slots=True)
class Finalised:
    """A session as finalising made it."""

    session_id: UUID
    run_id: UUID
    artifact_ids: tuple[UUID, ...]


class Harness:
    """Drives the service without its API: makes what a finalised upload leaves, runs the worker, reads every table."""

    def __init__(self, settings: Settings) -> None:
        self.services = Services(settings)
        self._sql: pg8000.native.Connection = connect(settings.database)

    @property
    def database(self) -> Database:
        """The worker's connection."""
        return self.services.database

    def close(self) -> None:
        """Closes both connections."""
        self.services.database.close()
        self._sql.close()

    def upload(
        self,
        content: bytes | None,
        file_name: str = "lap.csv",
        *,
        sha256: str | None = None,
        byte_size: int | None = None,
        owner: str = OWNER,
    ) -> UUID:
        """An artifact row, and its object unless `content` is None."""
        artifact_id = uuid4()
        path = self.services.raw.upload_path(TENANT, str(artifact_id))
        if content is not None:
            self.store(path, content)
        self.sql(
            """INSERT INTO telemetry_artifacts (id, tenant_id, owner_user_id, original_file_name, content_type,
                   byte_size, sha256, storage_path, received_at, expires_at)
               VALUES (:id, :tenant, :owner, :name, 'text/csv',
                   :size, :sha256, :path, now(), now() + interval '1 day')""",
            id=artifact_id,
            tenant=TENANT,
            owner=owner,
            name=file_name,
            size=len(content or b"") if byte_size is None else byte_size,
            sha256=sha256 or hashlib.sha256(content or b"").hexdigest(),
            path=path,
        )
        return artifact_id

    def store(self, path: str, content: bytes) -> None:
        """An object in the raw store, whatever a row says of it."""
        with tempfile.NamedTemporaryFile() as file:
            file.write(content)
            file.flush()
            self.services.raw.put_file(
                path,
                Path(file.name),
                sha256=hashlib.sha256(content).hexdigest(),
                content_type="application/octet-stream",
            )

    def finalise(self, *artifact_ids: UUID, owner: str = OWNER) -> Finalised:
        """Session, run and first job."""
        session_id = self.sql(
            """INSERT INTO telemetry_sessions (tenant_id, owner_user_id, name)
               VALUES (:tenant, :owner, 'A day') RETURNING id""",
            tenant=TENANT,
            owner=owner,
        )[0]["id"]
        self.sql(
            "UPDATE telemetry_artifacts SET session_id = :session WHERE id = ANY (CAST(:ids AS uuid[]))",
            session=session_id,
            ids=[str(one) for one in artifact_ids],
        )
        return Finalised(session_id, self.start_run(session_id, *artifact_ids), artifact_ids)

    def start_run(self, session_id: UUID, *artifact_ids: UUID) -> UUID:
        """A run with its first job, as finalising and a retry make it."""
        run_id: UUID = self.sql(
            "INSERT INTO telemetry_processing_runs (session_id, pipeline_version) VALUES (:session, '1') RETURNING id",
            session=session_id,
        )[0]["id"]
        self.sql(
            """INSERT INTO telemetry_jobs (run_id, job_type, payload)
               VALUES (:run, 'artifact_validate', jsonb_build_object('artifactIds', to_jsonb(CAST(:ids AS text[]))))""",
            run=run_id,
            ids=[str(one) for one in artifact_ids],
        )
        return run_id

    def finalised(self, content: bytes, file_name: str = "lap.csv") -> Finalised:
        """A session of one file."""
        return self.finalise(self.upload(content, file_name))

    def sample(self, file_name: str) -> Finalised:
        """A session of one of the committed samples."""
        return self.finalised((SAMPLES / file_name).read_bytes(), file_name)

    def drain(self) -> Drained:
        """One worker with a whole life before it."""
        return drain(self.services, lambda: LIFE_MS, worker="test")

    def hurry(self) -> None:
        """Makes every waiting retry due."""
        self.sql("UPDATE telemetry_jobs SET next_retry_at = now() WHERE next_retry_at IS NOT NULL")

    def await_waiter(self) -> None:
        """Returns once a connection waits for a row that another holds. Not asked over the one that holds it: inside a
        transaction PostgreSQL shows the activity as it was at the first look."""
        deadline = time.monotonic() + 60
        while not self.sql(_WAITING):
            assert time.monotonic() < deadline, "nobody waits"
            time.sleep(0.01)

    def sql(self, statement: str, **parameters: Any) -> list[dict[str, Any]]:
        """Rows by way of a connection of the test's own."""
        rows = self._sql.run(statement, **parameters) or []
        names = [column["name"] for column in self._sql.columns or []]
        return [dict(zip(names, row, strict=True)) for row in rows]

    def session(self, made: Finalised) -> dict[str, Any]:
        """The session's row."""
        return self.sql("SELECT * FROM telemetry_sessions WHERE id = :id", id=made.session_id)[0]

    def run(self, made: Finalised) -> dict[str, Any]:
        """The run's row."""
        return self.sql("SELECT * FROM telemetry_processing_runs WHERE id = :id", id=made.run_id)[0]

    def artifact(self, artifact_id: UUID) -> dict[str, Any]:
        """An artifact's row."""
        return self.sql("SELECT * FROM telemetry_artifacts WHERE id = :id", id=artifact_id)[0]

    def artifacts(self, made: Finalised) -> list[dict[str, Any]]:
        """The session's artifacts, in the order in which they were finalised."""
        return [self.artifact(one) for one in made.artifact_ids]

    def jobs(self, made: Finalised) -> list[dict[str, Any]]:
        """The run's jobs, oldest first."""
        return self.sql("SELECT * FROM telemetry_jobs WHERE run_id = :id ORDER BY created_at", id=made.run_id)

    def datasets(self, made: Finalised) -> list[dict[str, Any]]:
        """The run's datasets."""
        return self.sql("SELECT * FROM telemetry_datasets WHERE run_id = :id ORDER BY stream", id=made.run_id)

    def kept_paths(self, made: Finalised) -> set[str]:
        """Every canonical object that the run's datasets want: their files, and the track for a map."""
        datasets = self.datasets(made)
        tracks = {track_path(one["storage_path"]) for one in datasets if one["stream"] == "gnss_pvt"}
        return {one["storage_path"] for one in datasets} | tracks

    def canonical_paths(self) -> set[str]:
        """Every canonical object there is."""
        return {found.path for found in self.services.canonical.list("datasets/")}

    def raw_paths(self) -> set[str]:
        """Every raw object there is."""
        return {found.path for found in self.services.raw.list("uploads/")}


@pytest.fixture
def harness(local_environment: dict[str, str]) -> Iterator[Harness]:
    """Over a directory."""
    made = Harness(Settings.from_environment(local_environment))
    yield made
    made.close()


@pytest.fixture
def local_environment(database_settings: DatabaseSettings, tmp_path: Path) -> dict[str, str]:
    """The variables that lead to a fresh database and a store in a directory."""
    return {
        **environment_of(database_settings),
        "TELEMETRY_STORAGE_BACKEND": "local",
        "TELEMETRY_LOCAL_STORAGE_ROOT": str(tmp_path / "store"),
        "TELEMETRY_LOCAL_STORAGE_URL": "http://localhost:1",
        "TELEMETRY_LOCAL_STORAGE_SECRET": "a secret of the test",
    }


@pytest.fixture
def s3_harness(database_settings: DatabaseSettings, storage_environment: dict[str, str]) -> Iterator[Harness]:
    """Over S3."""
    made = Harness(Settings.from_environment({**environment_of(database_settings), **storage_environment}))
    yield made
    made.close()


def with_settings(harness: Harness, **changes: Any) -> Services:
    """Services beside the harness's own, with other settings over the same database and store."""
    return Services(replace(harness.services.settings, **changes))

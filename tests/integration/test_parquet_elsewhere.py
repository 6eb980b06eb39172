"""The canonical files open elsewhere as they are: DuckDB over many sessions' Parquet, as infra/README.md shows it."""

import re
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from fixtures.generator import Recipe, write
from telemetry.formats.__main__ import examine
from telemetry.storage.paths import dataset_path

ROOT = Path(__file__).resolve().parents[2]
FORMATS = ("csv", "gpx", "nmea", "vbo")


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The canonical streams of four sessions of two tenants, where they would lie in S3."""
    directory = tmp_path_factory.mktemp("bucket")
    for number, name in enumerate(FORMATS):
        raw = directory / f"lap.{name}"
        write(Recipe(format=name, rows=1200, sensors=True), raw)
        outcome = examine(raw, directory / "made", uploaded_at=datetime(2026, 5, 1, tzinfo=UTC))
        assert outcome["outcome"] == "ok", outcome
        for file in (directory / "made" / raw.name).glob("*.parquet"):
            path = directory / dataset_path(
                tenant_id=f"tenant-{number % 2}",
                session_id=f"session-{number}",
                run_id="run",
                artifact_id="artifact",
                attempt=1,
                unique="u",
                stream=file.stem,
            )
            path.parent.mkdir(parents=True, exist_ok=True)
            file.rename(path)
    return directory


def test_the_readmes_query_over_every_session(bucket: Path) -> None:
    text = (ROOT / "infra" / "README.md").read_text()
    (query,) = re.findall(r"```sql\n(SELECT.+?)```", text, re.DOTALL)
    found = duckdb.sql(query.replace("s3://BUCKET", str(bucket)))
    assert found is not None
    rows = found.to_arrow_table().to_pylist()
    assert [row["session"] for row in rows] == [f"session-{number}" for number in range(len(FORMATS))]
    for row in rows:
        assert 1190 <= row["points"] <= 1200
        assert (row["last"] - row["first"]).total_seconds() == pytest.approx(120, abs=1)
        assert 15 < row["fastest"] < 70


def test_types_and_units_arrive(bucket: Path) -> None:
    files = f"{bucket}/datasets/*/*/*/*/*/gnss_pvt.parquet"
    types = dict(
        duckdb.execute(
            f"SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM read_parquet('{files}'))"
        ).fetchall()
    )
    assert types["timestamp"] == "TIMESTAMP WITH TIME ZONE"
    assert types["latitude_deg"] == "DOUBLE"
    assert types["speed_mps"] == "FLOAT"
    assert types["flags"] == "UINTEGER"
    schema = duckdb.execute(f"SELECT DISTINCT decode(key) FROM parquet_kv_metadata('{files}')").fetchall()
    assert ("telemetry",) in schema

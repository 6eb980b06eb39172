"""The schema: up, down to empty, and up again; its guards; and its mirror for Prisma."""

import itertools
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pg8000.exceptions
import pg8000.native
import pytest
from sqlalchemy.exc import DBAPIError

from functions.migrate import app
from migrations import run as migrations
from migrations.run import VERSION_TABLE, migrate, migrate_down, schema_status
from telemetry.domain.states import (
    ARTIFACT_TRANSITIONS,
    JOB_TRANSITIONS,
    RUN_TRANSITIONS,
    SESSION_TRANSITIONS,
    JobType,
)
from telemetry.errors import TelemetryError
from telemetry.services import Services
from telemetry.settings import DatabaseSettings
from tests.plugins.postgres import connect, environment_of

TABLES = {
    "telemetry_artifacts",
    "telemetry_sessions",
    "telemetry_processing_runs",
    "telemetry_jobs",
    "telemetry_datasets",
    "telemetry_laps",
    "telemetry_devices",
}
REVISIONS = [
    "0001_recordings",
    "0002_processing",
    "0003_guards",
    "0004_gate",
    "0005_owners_rows",
    "0006_parts",
    "0007_fence_by_key",
    "0008_unused_indexes",
]


@pytest.fixture
def sql(database_settings: DatabaseSettings) -> Iterator[pg8000.native.Connection]:
    with connect(database_settings) as connection:
        yield connection


def left_behind(settings: DatabaseSettings) -> list[str]:
    """Everything in the schema `public`, by name."""
    with connect(settings) as connection:
        rows = connection.run(
            "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace "
            "UNION ALL SELECT proname::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace "
            "UNION ALL SELECT typname::text FROM pg_type WHERE typnamespace = 'public'::regnamespace"
        )
    return [row[0] for row in rows]


def test_up_down_to_empty_and_up_again(empty_database_settings: DatabaseSettings) -> None:
    assert schema_status(empty_database_settings).current is None
    first = migrate(empty_database_settings)
    assert first.current == first.head == REVISIONS[-1]
    schema = sorted(left_behind(empty_database_settings))
    assert set(schema) >= TABLES
    assert migrate(empty_database_settings) == first

    assert migrate_down(empty_database_settings).current is None
    assert left_behind(empty_database_settings) == []

    migrate(empty_database_settings)
    assert sorted(left_behind(empty_database_settings)) == schema


def test_every_revision_goes_up_and_down_alone(empty_database_settings: DatabaseSettings) -> None:
    before = []
    for revision in REVISIONS:
        before.append(sorted(left_behind(empty_database_settings)))
        assert migrate(empty_database_settings, revision).current == revision
    for below, names in reversed(list(zip([None, *REVISIONS[:-1]], before, strict=True))):
        assert migrate_down(empty_database_settings, below or "base").current == below
        assert sorted(left_behind(empty_database_settings)) == names


def test_migrators_that_race_wait_for_each_other(empty_database_settings: DatabaseSettings) -> None:
    reached: list[str | None] = []
    threads = [
        threading.Thread(target=lambda: reached.append(migrate(empty_database_settings).current)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert reached == [REVISIONS[-1]] * 4


def test_a_migration_that_fails_changes_nothing(
    empty_database_settings: DatabaseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = migrations.statements
    monkeypatch.setattr(
        migrations,
        "statements",
        lambda revision, direction: real(revision, direction) + ("SELECT 1 / 0;" if revision == REVISIONS[-1] else ""),
    )
    with pytest.raises(DBAPIError, match="division by zero"):
        migrate(empty_database_settings)
    assert left_behind(empty_database_settings) == []


def test_the_function_upgrades_reports_and_downgrades(
    empty_database_settings: DatabaseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment_of(empty_database_settings).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TELEMETRY_OBJECT_STORAGE_RAW_BUCKET", "raw")
    monkeypatch.setenv("TELEMETRY_OBJECT_STORAGE_CANONICAL_BUCKET", "canonical")
    monkeypatch.setattr(app, "services", Services())
    context: Any = SimpleNamespace(
        function_name="migrate", memory_limit_in_mb=256, invoked_function_arn="arn:migrate", aws_request_id="1"
    )

    def invoke(event: dict[str, Any]) -> dict[str, str | None]:
        answer: dict[str, str | None] = app.handler(event, context)
        return answer

    head = REVISIONS[-1]
    assert invoke({"action": "status"}) == {"current": None, "head": head}
    assert invoke({"action": "upgrade", "revision": REVISIONS[0]})["current"] == REVISIONS[0]
    assert invoke({}) == {"current": head, "head": head}
    for event in ({"action": "downgrade"}, {"action": "drop"}, {"action": None}):
        with pytest.raises(TelemetryError, match="action: "):
            invoke(event)
    assert invoke({"action": "status"})["current"] == head
    assert invoke({"action": "downgrade", "revision": "base"}) == {"current": None, "head": head}


def test_the_function_finds_the_migrations_beside_itself(
    empty_database_settings: DatabaseSettings, tmp_path: Path
) -> None:
    root = Path(migrations.__file__).parents[1]
    shutil.copy(root / "functions" / "migrate" / "app.py", tmp_path)
    shutil.copytree(root / "migrations", tmp_path / "migrations", ignore=shutil.ignore_patterns("__pycache__"))
    script = (
        "import app, migrations, types; print(migrations.__file__); "
        "app.handler({}, types.SimpleNamespace(function_name='', memory_limit_in_mb=1, invoked_function_arn='', "
        "aws_request_id=''))"
    )
    layer = root / "layers" / "core" / "python"
    environment = environment_of(empty_database_settings) | {
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{layer}",
        "TELEMETRY_OBJECT_STORAGE_RAW_BUCKET": "raw",
        "TELEMETRY_OBJECT_STORAGE_CANONICAL_BUCKET": "canonical",
    }
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(tmp_path))
    assert schema_status(empty_database_settings).current == REVISIONS[-1]


def test_the_seven_tables_and_no_other(sql: pg8000.native.Connection) -> None:
    tables = {row[0] for row in sql.run("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'")}
    assert tables == TABLES | {VERSION_TABLE}


def test_jobs_have_exactly_their_fourteen_columns(sql: pg8000.native.Connection) -> None:
    assert {name: kind for name, (kind, _) in live_columns(sql)["telemetry_jobs"].items()} == {
        "id": "uuid",
        "run_id": "uuid",
        "job_type": "text",
        "status": "text",
        "payload": "jsonb",
        "attempt_count": "integer",
        "max_attempts": "integer",
        "locked_at": "timestamp with time zone",
        "locked_by": "text",
        "last_error_code": "text",
        "last_error_message": "text",
        "next_retry_at": "timestamp with time zone",
        "created_at": "timestamp with time zone",
        "updated_at": "timestamp with time zone",
    }


def test_everything_says_what_it_is_for(sql: pg8000.native.Connection) -> None:
    silent = sql.run(
        "SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid "
        "WHERE c.relname LIKE 'telemetry%' AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped "
        f"AND c.relname <> '{VERSION_TABLE}' AND col_description(c.oid, a.attnum) IS NULL "
        "UNION ALL SELECT relname, '' FROM pg_class WHERE relname LIKE 'telemetry%' AND relkind = 'r' "
        f"AND relname <> '{VERSION_TABLE}' AND obj_description(oid, 'pg_class') IS NULL "
        # An index that a constraint made is described at the constraint; a primary key needs no words.
        "UNION ALL SELECT i.indexrelid::regclass::text, 'index' FROM pg_index i "
        "LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u') "
        "WHERE i.indrelid::regclass::text LIKE 'telemetry%' AND NOT i.indisprimary "
        "AND coalesce(obj_description(k.oid, 'pg_constraint'), obj_description(i.indexrelid, 'pg_class')) IS NULL"
    )
    assert silent == []


def test_every_check_has_a_name_of_its_own(sql: pg8000.native.Connection) -> None:
    names = [
        row[0]
        for row in sql.run(
            "SELECT conname::text FROM pg_constraint WHERE contype = 'c' AND connamespace = 'public'::regnamespace"
        )
    ]
    assert len(names) > 25
    # PostgreSQL itself would have named them <table>_<column>_check.
    assert [name for name in names if name.endswith("_check") or re.search(r"_check\d+$", name)] == []


def test_every_foreign_key_has_an_index_to_serve_it(sql: pg8000.native.Connection) -> None:
    unserved = sql.run(
        "SELECT conname::text FROM pg_constraint k WHERE contype = 'f' AND NOT EXISTS ("
        "SELECT 1 FROM pg_index i WHERE i.indrelid = k.conrelid AND i.indkey[0] = k.conkey[1] "
        # A partial index serves only when all it leaves out is null.
        "AND (i.indpred IS NULL OR pg_get_expr(i.indpred, i.indrelid) LIKE '%IS NOT NULL%'))"
    )
    assert unserved == []


# One row of each kind, enough to hang the others on. Triggers are off while a state is set up.
SESSION = (
    "INSERT INTO telemetry_sessions (tenant_id, owner_user_id, name, status) "
    "VALUES ('anna', 'anna', 'a', 'PROCESSING') RETURNING id"
)
ARTIFACT = (
    "INSERT INTO telemetry_artifacts (tenant_id, owner_user_id, original_file_name, content_type, byte_size, sha256, "
    "storage_path, expires_at, discarded_at) "
    "VALUES ('anna', 'anna', 'a.csv', 'text/csv', 1, repeat('a', 64), 'uploads/a', now(), now()) RETURNING id"
)
RUN = (
    "INSERT INTO telemetry_processing_runs (session_id, pipeline_version) "
    "SELECT id, '1' FROM telemetry_sessions RETURNING id"
)
JOB = "INSERT INTO telemetry_jobs (run_id, job_type) SELECT id, 'parse_raw' FROM telemetry_processing_runs RETURNING id"
DATASET = (
    "INSERT INTO telemetry_datasets (session_id, run_id, artifact_id, stream, storage_path, schema_version, "
    "row_count, byte_size, sha256, start_time_utc, end_time_utc) "
    "SELECT r.session_id, r.id, a.id, 'gnss_pvt', 'p', 1, 1, 1, repeat('a', 64), now(), now() "
    "FROM telemetry_processing_runs r, telemetry_artifacts a"
)
LAP = (
    "INSERT INTO telemetry_laps (session_id, run_id, lap_number, kind, start_time_utc, end_time_utc, duration_ms, "
    "source) SELECT session_id, id, 1, 'TIMED', now(), now(), 1.5, 'FILE' FROM telemetry_processing_runs"
)
DEVICE = (
    "INSERT INTO telemetry_devices (owner_user_id, model, first_seen_at, last_seen_at) "
    "VALUES ('anna', 'Mini', now(), now())"
)


def of_status(status: str) -> dict[str, str]:
    """What else must be set in a row, by table, so that its CHECKs allow the status."""
    running = "now()" if status == "RUNNING" else "NULL"
    code = "'INTERNAL_ERROR'" if status == "FAILED" else "NULL"
    return {
        "telemetry_artifacts": "",
        "telemetry_sessions": "",
        "telemetry_processing_runs": (
            f", started_at = now(), error_code = {code}, "
            f"finished_at = {'NULL' if status in ('QUEUED', 'RUNNING') else 'now()'}"
        ),
        "telemetry_jobs": f", locked_at = {running}, locked_by = {running}::text, last_error_code = {code}",
    }


@pytest.mark.parametrize(
    ("table", "transitions"),
    [
        ("telemetry_artifacts", ARTIFACT_TRANSITIONS),
        ("telemetry_sessions", SESSION_TRANSITIONS),
        ("telemetry_processing_runs", RUN_TRANSITIONS),
        ("telemetry_jobs", JOB_TRANSITIONS),
    ],
)
def test_exactly_the_transitions_of_the_state_maps_exist(
    sql: pg8000.native.Connection, table: str, transitions: Mapping[StrEnum, frozenset[StrEnum]]
) -> None:
    for statement in (SESSION, ARTIFACT, RUN, JOB):
        sql.run(statement)
    existing: dict[StrEnum, set[StrEnum]] = {status: set() for status in transitions}
    for before, after in itertools.product(transitions, repeat=2):
        sql.run(f"ALTER TABLE {table} DISABLE TRIGGER {table}_transition")
        sql.run(f"UPDATE {table} SET status = '{before}'{of_status(before)[table]}")
        sql.run(f"ALTER TABLE {table} ENABLE TRIGGER {table}_transition")
        try:
            sql.run(f"UPDATE {table} SET status = '{after}'{of_status(after)[table]}")
        except pg8000.exceptions.DatabaseError as error:
            assert (error.args[0]["C"], error.args[0]["n"]) == ("23514", f"{table}_transition")
            continue
        if before is not after:
            existing[before].add(after)
    assert existing == transitions


def test_every_status_of_the_maps_is_known_to_its_check_and_no_other(sql: pg8000.native.Connection) -> None:
    for table, members in (
        ("telemetry_artifacts", ARTIFACT_TRANSITIONS),
        ("telemetry_sessions", SESSION_TRANSITIONS),
        ("telemetry_processing_runs", RUN_TRANSITIONS),
        ("telemetry_jobs", JOB_TRANSITIONS),
    ):
        assert values_of_check(sql, f"{table}_status_known") == set(members)
    assert values_of_check(sql, "telemetry_jobs_job_type_known") == set(JobType)


def values_of_check(sql: pg8000.native.Connection, name: str) -> set[str]:
    definition = sql.run("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = :name", name=name)[0][0]
    return set(re.findall(r"'(\w+)'::text", definition))


def refused_by(sql: pg8000.native.Connection, statement: str, **parameters: Any) -> str:
    """The name of the constraint or trigger that refuses the statement."""
    with pytest.raises(pg8000.exceptions.DatabaseError) as caught:
        sql.run(statement, **parameters)
    return str(caught.value.args[0].get("n") or caught.value.args[0])


def test_attempts_never_fall_and_never_pass_their_maximum(sql: pg8000.native.Connection) -> None:
    for statement in (SESSION, RUN, JOB):
        sql.run(statement)
    sql.run("UPDATE telemetry_jobs SET attempt_count = 2")
    assert refused_by(sql, "UPDATE telemetry_jobs SET attempt_count = 1") == "telemetry_jobs_attempt_count"
    assert refused_by(sql, "UPDATE telemetry_jobs SET attempt_count = 4") in (
        "telemetry_jobs_attempt_count_in_range",
        "telemetry_jobs_queued_has_attempt_left",
    )


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("UPDATE telemetry_sessions SET end_time_utc = start_time_utc - interval '1 us'", "sessions_start_before_end"),
        ("UPDATE telemetry_sessions SET status = 'DONE'", "sessions_transition"),
        ("UPDATE telemetry_sessions SET summary = '[]'", "sessions_summary_is_object"),
        ("UPDATE telemetry_artifacts SET storage_path = NULL", "artifacts_uploaded_has_storage_path"),
        ("UPDATE telemetry_artifacts SET byte_size = -1", "artifacts_byte_size_not_negative"),
        ("UPDATE telemetry_artifacts SET sha256 = upper(sha256)", "artifacts_sha256_is_hex"),
        ("UPDATE telemetry_artifacts SET sha256 = sha256 || 'a'", "artifacts_sha256_is_hex"),
        ("UPDATE telemetry_jobs SET locked_at = now()", "jobs_locked_at_iff_running"),
        ("UPDATE telemetry_jobs SET locked_by = 'w'", "jobs_locked_by_iff_running"),
        ("UPDATE telemetry_jobs SET status = 'RUNNING'", "jobs_locked_at_iff_running"),
        ("UPDATE telemetry_jobs SET job_type = 'parse'", "jobs_job_type_known"),
        ("UPDATE telemetry_jobs SET payload = '[]'", "jobs_payload_is_object"),
        ("UPDATE telemetry_jobs SET status = 'CANCELLED', next_retry_at = now()", "jobs_retry_only_queued"),
        ("UPDATE telemetry_processing_runs SET status = 'FAILED', finished_at = now()", "runs_failed_has_error_code"),
        ("UPDATE telemetry_processing_runs SET status = 'CANCELLED'", "runs_finished_has_time"),
        ("UPDATE telemetry_processing_runs SET status = 'RUNNING'", "runs_started_has_time"),
        (JOB.removesuffix(" RETURNING id"), "jobs_one_live_per_run_and_type"),
        (RUN.removesuffix(" RETURNING id"), "runs_one_live_per_session"),
        (
            "INSERT INTO telemetry_laps (session_id, run_id, lap_number, kind, start_time_utc, end_time_utc, "
            "duration_ms, source) SELECT session_id, id, 1, 'TIMED', now(), now(), 'NaN', 'FILE' "
            "FROM telemetry_processing_runs",
            "laps_duration_not_negative",
        ),
    ],
)
def test_what_must_not_be_is_refused_by_name(sql: pg8000.native.Connection, statement: str, constraint: str) -> None:
    for setup in (SESSION, ARTIFACT, RUN, JOB):
        sql.run(setup)
    assert refused_by(sql, statement).endswith(constraint)


def test_the_same_bytes_are_once_in_a_session_but_any_number_of_times_before(sql: pg8000.native.Connection) -> None:
    sql.run(SESSION)
    for _ in range(2):
        sql.run(ARTIFACT)
    statement = "UPDATE telemetry_artifacts SET session_id = (SELECT id FROM telemetry_sessions)"
    assert refused_by(sql, statement) == "telemetry_artifacts_same_bytes_once_per_session"


def test_updated_at_follows_every_change(sql: pg8000.native.Connection) -> None:
    for setup in (SESSION, ARTIFACT, RUN, JOB, DATASET, LAP, DEVICE):
        sql.run(setup)
    guarded = [row[0] for row in sql.run("SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname LIKE '%_touch'")]
    assert set(guarded) == TABLES
    for table in sorted(TABLES):
        sql.run(f"UPDATE {table} SET created_at = created_at")
        assert sql.run(f"SELECT updated_at > created_at FROM {table}") == [[True]], table


def test_deleting_a_session_leaves_nothing_of_it(sql: pg8000.native.Connection) -> None:
    for setup in (SESSION, ARTIFACT, RUN, JOB):
        sql.run(setup)
    sql.run("UPDATE telemetry_artifacts SET session_id = (SELECT id FROM telemetry_sessions)")
    sql.run(DATASET)
    sql.run(LAP)
    sql.run("DELETE FROM telemetry_sessions")
    for table in TABLES:
        assert sql.run(f"SELECT count(*) FROM {table}") == [[0]]


# The mirror for Prisma.

SCHEMA = (Path(migrations.__file__).parent / "schema.prisma").read_text("utf-8")
KINDS = {
    ("String", "Uuid"): "uuid",
    ("String", "Text"): "text",
    ("DateTime", "Timestamptz(6)"): "timestamp with time zone",
    ("Json", "JsonB"): "jsonb",
    ("Int", "Integer"): "integer",
    ("BigInt", "BigInt"): "bigint",
    ("Float", "DoublePrecision"): "double precision",
    ("Boolean", "Boolean"): "boolean",
}


@dataclass(frozen=True)
class Model:
    """One model: columns by database name as (type, nullable), defaults, keys and relations by database names."""

    columns: dict[str, tuple[str, bool]]
    defaults: set[str]
    keys: set[tuple[str, bool, tuple[str, ...]]]
    relations: set[tuple[str, str, str]]
    fields: dict[str, str]


def models(schema: str) -> dict[str, Model]:
    """The models of a Prisma schema by table name."""
    bodies = dict(re.findall(r"^model (\w+) \{\n(.*?)^\}", schema, re.DOTALL | re.MULTILINE))
    tables = {name: re.search(r'@@map\("(\w+)"\)', body)[1] for name, body in bodies.items()}  # type: ignore[index]
    parsed = {}
    for name, body in bodies.items():
        columns, defaults, fields = {}, set(), {}
        for field, kind, optional, attributes in re.findall(r"^  (\w+) +(\w+)(\??) +(.*@db\..*)$", body, re.MULTILINE):
            mapped = re.search(r'(?<!@)@map\("(\w+)"\)', attributes)
            column = mapped[1] if mapped else field
            native = re.search(r"@db\.(\w+(?:\(\d+\))?)", attributes)[1]  # type: ignore[index]
            columns[column] = (KINDS[kind, native], optional == "?")
            fields[field] = column
            if "@default(" in attributes:
                defaults.add(column)
        keys = {
            (index, kind == "unique", tuple(fields[part.split("(")[0]] for part in parts.split(", ")))
            for kind, parts, index in re.findall(r'^  @@(unique|index)\(\[(.*?)\], map: "(\w+)"\)', body, re.MULTILINE)
        }
        relations = {
            (fields[field], tables[target], action)
            for target, field, action in re.findall(
                r"^  \w+ +(\w+)\?? +@relation\(fields: \[(\w+)\], references: \[id\], onDelete: (\w+), "
                r"onUpdate: NoAction\)",
                body,
                re.MULTILINE,
            )
        }
        parsed[tables[name]] = Model(columns, defaults, keys, relations, fields)
    return parsed


def live_columns(sql: pg8000.native.Connection) -> dict[str, dict[str, tuple[str, bool]]]:
    """Type and nullability by table and column, from the catalogue."""
    columns: dict[str, dict[str, tuple[str, bool]]] = {}
    for table, column, kind, nullable in sql.run(
        "SELECT table_name::text, column_name::text, data_type::text, is_nullable = 'YES' "
        "FROM information_schema.columns WHERE table_schema = 'public'"
    ):
        columns.setdefault(table, {})[column] = (kind, nullable)
    columns.pop(VERSION_TABLE)
    return columns


def test_the_prisma_schema_mirrors_the_live_catalogue(sql: pg8000.native.Connection) -> None:
    mirrored = models(SCHEMA)
    assert {table: model.columns for table, model in mirrored.items()} == live_columns(sql)
    for table, model in mirrored.items():
        defaults = sql.run(
            "SELECT column_name::text FROM information_schema.columns "
            "WHERE table_name = :table AND column_default IS NOT NULL",
            table=table,
        )
        assert model.defaults == {row[0] for row in defaults}
        keys = sql.run(
            "SELECT i.indexrelid::regclass::text, i.indisunique, "
            "array(SELECT a.attname::text FROM unnest(i.indkey) WITH ORDINALITY AS k(number, place) "
            "JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number ORDER BY k.place) "
            "FROM pg_index i WHERE i.indrelid = CAST(:table AS regclass) AND NOT i.indisprimary AND i.indpred IS NULL",
            table=table,
        )
        assert model.keys == {(name, unique, tuple(columns)) for name, unique, columns in keys}
        relations = sql.run(
            "SELECT a.attname::text, k.confrelid::regclass::text, "
            "CASE k.confdeltype WHEN 'c' THEN 'Cascade' WHEN 'n' THEN 'SetNull' ELSE k.confdeltype::text END "
            "FROM pg_constraint k JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1] "
            "WHERE k.contype = 'f' AND k.conrelid = CAST(:table AS regclass)",
            table=table,
        )
        assert model.relations == {tuple(row) for row in relations}


def test_prisma_fields_are_the_columns_in_camel_case() -> None:
    for model in models(SCHEMA).values():
        for field, column in model.fields.items():
            assert field == re.sub(r"_(\w)", lambda letter: letter[1].upper(), column)


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE telemetry_laps ADD COLUMN colour text",
        "ALTER TABLE telemetry_laps DROP COLUMN distance_m",
        "ALTER TABLE telemetry_laps ALTER COLUMN distance_m SET NOT NULL",
        "ALTER TABLE telemetry_laps ALTER COLUMN distance_m TYPE real",
        "CREATE TABLE telemetry_segments (id uuid)",
        "DROP TABLE telemetry_laps",
    ],
)
def test_the_comparison_notices_every_kind_of_drift(sql: pg8000.native.Connection, change: str) -> None:
    sql.run(change)
    assert {table: model.columns for table, model in models(SCHEMA).items()} != live_columns(sql)

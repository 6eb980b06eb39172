"""The second wall between owners: row-level security, whatever the queries say."""

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pg8000.exceptions
import pytest

from migrations.run import deploy
from telemetry.database.connection import Database
from telemetry.database.queries import Query, load
from telemetry.services import Services
from telemetry.settings import DatabaseSettings
from tests.integration.test_api_errors import HTTP_EVENTS, snapshot
from tests.plugins.api import ApiClient, http_event
from tests.plugins.harness import SAMPLES, Harness
from tests.plugins.postgres import connect

CSV = (SAMPLES / "sample_gnss_10hz.csv").read_bytes()
TABLES = ("sessions", "artifacts", "devices", "processing_runs", "jobs", "datasets", "laps")
# Run for an event of the store, which knows no owner, and by the worker: never for a caller of the API.
NOT_OF_THE_API = {"upload_of_object", "record_receipt"} | {
    *("gate_of_session", "lock_gate_of_session"),
    *("claim", "claimed", "state", "complete_and_claim", "heartbeat", "retry_later", "fail", "rescue", "depth"),
    "retry_is_near",
}
API_QUERIES = {
    query.name: query
    for topic in ("uploads", "sessions", "gate", "jobs")
    for query in load(topic).values()
    if query.name not in NOT_OF_THE_API
}


@pytest.fixture
def occupied(api: ApiClient) -> dict[str, Any]:
    """What owner-1 has: an upload, a ready and a waiting session; every parameter that a query of the API takes."""
    upload_id = api.uploaded(b"time,lat,lon\n")
    ready = api.session_of(CSV)
    api.harness.drain()
    api.harness.sql(
        """INSERT INTO telemetry_devices (owner_user_id, model, first_seen_at, last_seen_at)
           VALUES ('owner-1', 'Mini', now(), now())"""
    )
    api.harness.sql(
        """INSERT INTO telemetry_laps (session_id, run_id, lap_number, kind, start_time_utc, end_time_utc, duration_ms,
               source)
           SELECT session_id, id, 99, 'TIMED', now(), now(), 1, 'FILE' FROM telemetry_processing_runs"""
    )
    waiting = api.session_of(CSV + b"\n")
    run_id = api.harness.sql("SELECT id FROM telemetry_processing_runs WHERE session_id = :id", id=UUID(waiting))[0][
        "id"
    ]
    return {
        "ready": UUID(ready),
        "waiting": UUID(waiting),
        "upload": UUID(upload_id),
        "run": run_id,
        "owner_user_id": "owner-1",
        "tenant_id": "owner-1",
    }


def parameters(query: Query, occupied: dict[str, Any], one: UUID) -> dict[str, Any]:
    given = {
        "id": one,
        "ids": [str(one)],
        "session_id": one,
        "run_id": occupied["run"],
        "owner_user_id": "owner-1",
        "tenant_id": "owner-1",
        "after_created_at": "9999-12-31T00:00:00Z",
        "after_id": UUID(int=2**128 - 1),
        "page_size": 10,
        "most": 1,
        "byte_size": 1,
        "sha256": "0" * 64,
        "finalise_on_receipt": False,
        "expiry_hours": 1,
        "gate": "{}",
        "name": "x",
        "job_type": "parse_raw",
        "payload": {},
    }
    names = set(re.findall(r"(?<!:):([a-z_0-9]+)", query.sql))
    optional = {"status", "device_id", "from_time", "to_time", "session_name"}
    return {name: given.get(name, None if name in optional else "x") for name in names}


def test_no_query_of_the_api_reaches_another_owners_rows(api: ApiClient, occupied: dict[str, Any]) -> None:
    """Each query asks for owner-1's rows by owner-1's name and ids, while the transaction acts for owner-2."""
    before = snapshot(api)
    stranger = api.harness.database.of_owner("owner-2")
    refused = set()
    for name, query in API_QUERIES.items():
        for one in (occupied["ready"], occupied["waiting"], occupied["upload"], occupied["run"], uuid4()):
            try:
                rows = stranger.run(query, **parameters(query, occupied, one))
            except pg8000.exceptions.DatabaseError as error:
                assert "row-level security" in str(error), name
                refused.add(name)
            else:
                assert rows in ([], [{"live": 0}], [{"entered": 1}]), (name, rows)
    assert refused == {"create_upload", "create_session", "create_run", "enqueue"}
    assert snapshot(api) == before


def test_the_role_of_the_api_has_these_rights_and_no_others(database_settings: DatabaseSettings) -> None:
    with connect(database_settings) as connection:
        granted: dict[str, set[str]] = {}
        for table, right in connection.run(
            "SELECT table_name::text, privilege_type::text FROM information_schema.role_table_grants "
            "WHERE grantee IN ('telemetry_api', 'PUBLIC') AND table_schema = 'public'"
        ):
            granted.setdefault(table, set()).add(right)
        columns = connection.run(
            "SELECT attrelid::regclass::text, attname::text FROM pg_attribute WHERE attacl IS NOT NULL "
            "AND attrelid::regclass::text LIKE 'telemetry%'"
        )
    assert granted == {
        "telemetry_sessions": {"SELECT", "INSERT", "UPDATE", "DELETE"},
        "telemetry_artifacts": {"SELECT", "INSERT", "UPDATE"},
        "telemetry_processing_runs": {"SELECT", "INSERT", "UPDATE"},
        "telemetry_jobs": {"SELECT", "INSERT", "UPDATE"},
        "telemetry_datasets": {"SELECT", "DELETE"},
        "telemetry_laps": {"SELECT"},
        "telemetry_devices": {"SELECT"},
    }
    assert columns == [], "no right on a column alone"


@pytest.mark.parametrize("table", TABLES)
def test_each_table_shows_the_owners_rows_and_no_other(api: ApiClient, occupied: dict[str, Any], table: str) -> None:
    count = Query("count", "Counts.", f"SELECT count(*) AS n FROM telemetry_{table}")
    everything = api.harness.database.run(count)[0]["n"]
    assert everything > 0
    assert api.harness.database.of_owner("owner-1").run(count) == [{"n": everything}]
    assert api.harness.database.of_owner("owner-2").run(count) == [{"n": 0}]
    assert api.harness.database.of_owner("").run(count) == [{"n": 0}]
    role_alone = Query("role", "Takes the role.", "SELECT set_config('role', 'telemetry_api', true)")
    with api.harness.database.transaction() as transaction:
        transaction.run(role_alone)
        assert transaction.run(count) == [{"n": 0}], "no owner, no rows"
    assert api.harness.database.run(count)[0]["n"] == everything, "nothing of it outlasts the transaction"
    named = Query("named", "The owner.", "SELECT current_setting('telemetry.owner_user_id', true) AS owner")
    api.harness.database.of_owner("owner-2").run(count)
    assert api.harness.database.run(named) == [{"owner": ""}]


def test_every_call_of_the_api_acts_for_its_owner(
    api: ApiClient, occupied: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, str, str]] = []
    run = Database._run

    def spy(database: Database, query: Query, given: dict[str, Any]) -> Any:
        if query.name != "act_for_owner":
            (row,) = database._connection.run("SELECT current_user, current_setting('telemetry.owner_user_id', true)")
            seen.append((query.name, *row))
        return run(database, query, given)

    # The connection must be there before the first look at it.
    api.harness.database.run(load("janitor")["database_now"])
    monkeypatch.setattr(Database, "_run", spy)
    for name in sorted(HTTP_EVENTS, key=lambda name: name in ("sessions_delete", "uploads_abandon")):
        seen.clear()
        for one in ("ready", "waiting", "upload"):
            assert api.call(name, str(occupied[one])).status < 500
        assert seen, name
        assert [entry for entry in seen if entry[1:] != ("telemetry_api", "owner-1")] == [], name


def test_finalising_on_receipt_acts_for_the_uploads_owner(api: ApiClient) -> None:
    upload_id = api.uploaded(CSV, finaliseOnReceipt=True)
    api.object_created(f"uploads/owner-1/{upload_id}.bin")
    (session,) = api.harness.sql("SELECT owner_user_id, status FROM telemetry_sessions")
    assert session == {"owner_user_id": "owner-1", "status": "PROCESSING"}
    api.harness.drain()
    assert api.call("sessions_get", api.call("uploads_get", upload_id).json["sessionId"]).json["status"] == "ready"


@pytest.fixture
def application_role(harness: Harness, database_settings: DatabaseSettings) -> Iterator[DatabaseSettings]:
    """Settings of the role that the deployed functions sign in as: not the tables' owner."""
    role = f"telemetry_application_{os.getpid()}"
    deploy(database_settings, role)
    with connect(database_settings) as connection:
        connection.run(f"ALTER ROLE \"{role}\" PASSWORD 'of the test'")
    yield replace(database_settings, user=role, password="of the test")
    harness.services.database.close()
    with connect(database_settings) as connection:
        connection.run(f'DROP OWNED BY "{role}"')
        connection.run(f'DROP ROLE "{role}"')


def test_the_functions_role_serves_and_works(
    api: ApiClient, application_role: DatabaseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = Services(replace(api.harness.services.settings, database=application_role))
    monkeypatch.setattr(api.harness, "services", services)
    for function in ("uploads", "sessions", "object_created"):
        monkeypatch.setattr(f"functions.{function}.app.services", services)
    for function in ("uploads", "sessions"):
        monkeypatch.setattr(f"functions.{function}.app.api._services", services)
    session_id = api.session_of(CSV)
    api.harness.drain()
    assert api.call("sessions_get", session_id).json["status"] == "ready"
    assert api.as_owner("owner-2").call("sessions_get", session_id).status == 404
    assert api.send(http_event("sessions_list"), function="sessions").status == 200
    assert api.call("sessions_delete", session_id).status == 204
    services.database.close()

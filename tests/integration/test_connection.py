"""The one connection to PostgreSQL: types, transactions, and what it makes of a server that goes away."""

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pg8000.exceptions
import pg8000.native
import pytest

from telemetry.database import connection as module
from telemetry.database.connection import Database, UniqueViolation, connect_arguments
from telemetry.database.queries import Query
from telemetry.errors import Code, TelemetryError
from telemetry.settings import DatabaseSettings
from tests.plugins.postgres import connect


def query(sql: str) -> Query:
    return Query("test", "A test's own.", sql)


PID = query("SELECT pg_backend_pid() AS pid")
INSERT_DEVICE = query(
    "INSERT INTO telemetry_devices (owner_user_id, model, first_seen_at, last_seen_at) "
    "VALUES (:owner, :model, now(), now()) RETURNING id"
)
COUNT_DEVICES = query("SELECT count(*)::int AS devices FROM telemetry_devices")


@pytest.fixture
def terminate(database: Database, database_settings: DatabaseSettings) -> Callable[[], None]:
    """Ends the server's side of the connection, as a failover does."""

    def end() -> None:
        pid = database.run(PID)[0]["pid"]
        with connect(database_settings) as other:
            assert other.run("SELECT pg_terminate_backend(:pid, 5000)", pid=pid) == [[True]]

    return end


def devices(database: Database) -> int:
    return int(database.run(COUNT_DEVICES)[0]["devices"])


def test_rows_are_dicts_of_python_types(database: Database) -> None:
    sql = (
        "SELECT :id::uuid AS id, :at::timestamptz AS at, :facts::jsonb AS facts, :texts::text[] AS texts, "
        ":none::text AS none"
    )
    given = {
        "id": uuid4(),
        "at": datetime(2026, 2, 18, 12, 30, 15, 123456, tzinfo=UTC),
        "facts": {"rows": 3, "nested": {"time": None}},
        "texts": ['a, "b"', "c"],
        "none": None,
    }
    assert database.run(query(sql), **given) == [given]
    row = database.run(query("SELECT now() AS now, 1.5::float8 AS number WHERE :yes"), yes=True)[0]
    assert row["now"].tzinfo is UTC
    assert database.run(query("SELECT 1 AS one WHERE :yes"), yes=False) == []


def test_times_are_utc_whatever_zone_they_came_in(database: Database) -> None:
    row = database.run(query("SELECT '2026-07-01 12:00:00.5+02'::timestamptz AS at"))[0]
    assert row["at"] == datetime(2026, 7, 1, 10, 0, 0, 500_000, tzinfo=UTC)
    assert row["at"].utcoffset().total_seconds() == 0


def test_text_that_cannot_be_stored_does_not_make_a_write_fail(database: Database) -> None:
    row = database.run(
        query("SELECT :text::text AS text, :json::jsonb AS json, :texts::text[] AS texts"),
        text="NUL \0 and half \ud83d",
        json={"quality\0": float("nan"), "name": "\udc80"},
        texts=["\0", "fine"],
    )[0]
    assert row == {
        "text": "NUL � and half �",
        "json": {"quality�": None, "name": "�"},
        "texts": ["�", "fine"],
    }


def test_a_unique_violation_names_its_constraint(database: Database) -> None:
    database.run(INSERT_DEVICE, owner="anna", model=None)
    with pytest.raises(UniqueViolation) as caught:
        database.run(INSERT_DEVICE, owner="anna", model=None)
    assert caught.value.constraint == "telemetry_devices_one_per_real_device"
    assert devices(database) == 1


def test_other_refusals_pass_unchanged_and_leave_the_connection_usable(database: Database) -> None:
    before = database.run(PID)
    with pytest.raises(pg8000.exceptions.DatabaseError) as caught:
        database.run(query("SELECT 1 / :zero::int"), zero=0)
    assert caught.value.args[0]["C"] == "22012"
    with pytest.raises(pg8000.exceptions.InterfaceError, match="no matching"):
        database.run(INSERT_DEVICE, owner="anna")
    assert database.run(PID) == before


def test_a_transaction_commits_together_or_not_at_all(database: Database) -> None:
    with database.transaction() as transaction:
        transaction.run(INSERT_DEVICE, owner="anna", model="one")
        transaction.run(INSERT_DEVICE, owner="anna", model="two")
    assert devices(database) == 2
    with pytest.raises(KeyError), database.transaction() as transaction:
        transaction.run(INSERT_DEVICE, owner="anna", model="three")
        raise KeyError
    assert devices(database) == 2


def test_a_transaction_cannot_be_misused(database: Database) -> None:
    with pytest.raises(RuntimeError, match="do not nest"), database.transaction(), database.transaction():
        pass
    with database.transaction() as transaction:
        transaction.run(INSERT_DEVICE, owner="anna", model="one")
    with pytest.raises(RuntimeError, match="has ended"):
        transaction.run(INSERT_DEVICE, owner="anna", model="two")
    assert devices(database) == 1


def test_a_transaction_begins_with_its_first_statement_even_if_that_fails(database: Database) -> None:
    database.run(INSERT_DEVICE, owner="anna", model="one")
    before = database.run(PID)
    for _ in range(2):  # the statement is new to the transaction at first, then known
        with pytest.raises(UniqueViolation), database.transaction() as transaction:
            transaction.run(INSERT_DEVICE, owner="anna", model="one")
        with pytest.raises(KeyError), database.transaction() as transaction:
            transaction.run(INSERT_DEVICE, owner="anna", model="two")
            raise KeyError
    with database.transaction():
        pass
    assert devices(database) == 1
    assert database.run(PID) == before


def test_a_transaction_of_one_statement_takes_two_round_trips(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def insert(model: str) -> None:
        with database.transaction() as transaction:
            transaction.run(INSERT_DEVICE, owner="anna", model=model)

    insert("one")
    waits: list[object] = []
    handle_messages = pg8000.native.Connection.handle_messages

    def watched(connection: pg8000.native.Connection, context: object) -> object:
        waits.append(context)
        return handle_messages(connection, context)

    monkeypatch.setattr(pg8000.native.Connection, "handle_messages", watched)
    insert("two")
    assert len(waits) == 2


def test_an_error_swallowed_inside_a_transaction_is_not_taken_for_success(database: Database) -> None:
    with pytest.raises(RuntimeError, match="swallowed"), database.transaction() as transaction:
        transaction.run(INSERT_DEVICE, owner="anna", model="one")
        with contextlib.suppress(UniqueViolation):
            transaction.run(INSERT_DEVICE, owner="anna", model="one")
    assert devices(database) == 0


def test_a_lost_connection_is_reported_and_the_next_call_works(
    database: Database, terminate: Callable[[], None]
) -> None:
    terminate()
    with pytest.raises(TelemetryError) as caught:
        database.run(INSERT_DEVICE, owner="anna", model="one")
    assert caught.value.code is Code.DATABASE_UNAVAILABLE
    assert devices(database) == 0
    database.run(INSERT_DEVICE, owner="anna", model="one")
    assert devices(database) == 1


@pytest.mark.parametrize("before", [[], ["one"]], ids=["first statement", "second statement"])
def test_a_connection_lost_before_a_statement_ends_the_whole_transaction(
    database: Database, terminate: Callable[[], None], before: list[str]
) -> None:
    with pytest.raises(TelemetryError) as caught, database.transaction() as transaction:
        for model in before:
            transaction.run(INSERT_DEVICE, owner="anna", model=model)
        terminate()
        for model in ("two", "three"):
            # The latter must not slip through on a new connection, alone and outside the transaction.
            with pytest.raises(TelemetryError) as refused:
                transaction.run(INSERT_DEVICE, owner="anna", model=model)
            assert refused.value.code is Code.DATABASE_UNAVAILABLE
        transaction.run(INSERT_DEVICE, owner="anna", model="four")
    assert caught.value.code is Code.DATABASE_UNAVAILABLE
    assert devices(database) == 0


def test_a_statement_whose_answer_was_lost_is_not_repeated(
    database: Database, database_settings: DatabaseSettings
) -> None:
    with connect(database_settings) as other:
        other.run("CREATE SEQUENCE attempts")
    with pytest.raises(TelemetryError) as caught:
        database.run(query("SELECT nextval('attempts'), pg_terminate_backend(pg_backend_pid())"))
    assert caught.value.code is Code.DATABASE_UNAVAILABLE
    assert database.run(query("SELECT nextval('attempts')::int AS attempt")) == [{"attempt": 2}]


def test_a_connection_that_died_while_idle_is_renewed_unnoticed(
    database: Database, terminate: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminate()
    monkeypatch.setattr(module, "IDLE_TRUSTED_S", 0.0)
    database.run(INSERT_DEVICE, owner="anna", model="one")
    assert devices(database) == 1


def test_a_statement_that_takes_too_long_is_cancelled_and_its_connection_discarded(
    database_settings: DatabaseSettings,
) -> None:
    database = Database(replace(database_settings, statement_timeout_s=0.2))
    before = database.run(PID)
    with pytest.raises(TelemetryError) as caught:
        database.run(query("SELECT pg_sleep(5)"))
    assert caught.value.code is Code.DATABASE_UNAVAILABLE
    assert database.run(PID) != before
    database.close()


def test_a_server_that_only_reads_is_given_up(database: Database, database_settings: DatabaseSettings) -> None:
    """After a failover: the connection still leads to what was the writer."""
    name = database_settings.name
    with connect(database_settings) as other:
        other.run(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        before = database.run(PID)
        database.close()
        refused = database.run(PID)
        other.run("SET default_transaction_read_only = off")
        other.run(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
    with pytest.raises(TelemetryError) as caught, database.transaction() as transaction:
        transaction.run(INSERT_DEVICE, owner="anna", model="one")
    assert caught.value.code is Code.DATABASE_UNAVAILABLE
    database.run(INSERT_DEVICE, owner="anna", model="one")
    assert database.run(PID) not in (before, refused)
    assert devices(database) == 1


def test_a_server_that_falls_silent_is_given_up(
    database_settings: DatabaseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SOCKET_GRACE_S", -0.8)  # the socket gives up before the statement's own second
    database = Database(replace(database_settings, statement_timeout_s=1.0))
    before = database.run(PID)
    with pytest.raises(TelemetryError) as caught:
        database.run(query("SELECT pg_sleep(0.5)"))
    assert caught.value.code is Code.DATABASE_UNAVAILABLE
    assert database.run(PID) != before
    database.close()


def test_a_deadlock_is_reported_as_passing_and_the_connection_kept(
    database: Database, database_settings: DatabaseSettings
) -> None:
    first, second = (database.run(INSERT_DEVICE, owner="anna", model=model)[0]["id"] for model in ("one", "two"))
    touch = query("UPDATE telemetry_devices SET name = 'x' WHERE id = :id")
    both_hold_one = threading.Barrier(2)

    def cross(mine: UUID, theirs: UUID) -> Code | None:
        own = Database(database_settings)
        before = own.run(PID)
        refused = None
        try:
            with own.transaction() as transaction:
                transaction.run(touch, id=mine)
                both_hold_one.wait(60)
                transaction.run(touch, id=theirs)
        except TelemetryError as error:
            refused = error.code
        assert own.run(PID) == before
        own.close()
        return refused

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(cross, (first, second), (second, first)))
    assert sorted(outcomes, key=str) == [Code.DATABASE_UNAVAILABLE, None]


def test_a_schema_that_changed_meanwhile_asks_to_try_again(
    database: Database, database_settings: DatabaseSettings
) -> None:
    everything = query("SELECT * FROM telemetry_devices")
    assert database.run(everything) == []
    with connect(database_settings) as other:
        other.run("ALTER TABLE telemetry_devices ADD COLUMN colour text")
    with pytest.raises(TelemetryError) as caught:
        database.run(everything)
    assert caught.value.code is Code.DATABASE_UNAVAILABLE
    assert database.run(everything) == []


def test_a_server_that_is_not_there_is_unavailable(database_settings: DatabaseSettings, unused_tcp_port: int) -> None:
    for settings in (
        replace(database_settings, host="/nowhere"),
        replace(database_settings, host="127.0.0.1", port=unused_tcp_port),
    ):
        with pytest.raises(TelemetryError) as caught:
            Database(settings).run(PID)
        assert caught.value.code is Code.DATABASE_UNAVAILABLE
        assert str(unused_tcp_port) not in caught.value.detail


def test_a_session_names_itself_and_may_not_idle_inside_a_transaction(database: Database) -> None:
    row = database.run(
        query(
            "SELECT current_setting('application_name') AS name, current_setting('TimeZone') AS zone, "
            "current_setting('statement_timeout') AS statement, "
            "current_setting('idle_in_transaction_session_timeout') AS idle"
        )
    )[0]
    assert row == {"name": "telemetry", "zone": "UTC", "statement": "20s", "idle": "1min"}


@pytest.fixture
def unused_tcp_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_prepared_statements_are_kept(database: Database) -> None:
    for _ in range(3):
        database.run(COUNT_DEVICES)
    rows = database.run(
        query("SELECT count(*)::int AS kept FROM pg_prepared_statements WHERE statement LIKE '%AS devices%'")
    )
    # This statement itself names it too.
    assert rows == [{"kept": 2}]


def test_tls_verifies_the_server_and_its_context_is_built_once() -> None:
    import ssl

    context = module._tls("")
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert module._tls("") is context


def test_without_tls_pg8000_is_told_so(database_settings: DatabaseSettings) -> None:
    arguments = connect_arguments(replace(database_settings, tls=False))
    arguments["sock"].close()
    assert arguments["ssl_context"] is False


def test_an_iam_token_is_signed_for_this_host_and_user(
    database_settings: DatabaseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "eu-central-1",
    }.items():
        monkeypatch.setenv(name, value)
    settings = replace(database_settings, auth="iam", host="db.example.com", port=5432, user="worker")
    user, token = module._credentials(settings)
    assert user == "worker"
    assert token.startswith("db.example.com:5432/?")
    assert "Action=connect" in token
    assert "DBUser=worker" in token


def test_a_rotated_secret_is_read_again(database_settings: DatabaseSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    passwords = iter(["old", database_settings.password])
    read: list[str] = []

    class Secrets:
        def get_secret_value(self, **request: str) -> dict[str, str]:
            read.append(request["SecretId"])
            return {"SecretString": f'{{"username": "{database_settings.user}", "password": "{next(passwords)}"}}'}

    monkeypatch.setattr("boto3.client", lambda service, config: Secrets())
    real = pg8000.native.Connection

    def refuse_the_old(**arguments: object) -> object:
        if arguments["password"] == "old":
            raise pg8000.exceptions.DatabaseError({"C": "28P01", "M": "password authentication failed"})
        return real(**arguments)

    monkeypatch.setattr("pg8000.native.Connection", refuse_the_old)
    module._secret.cache_clear()
    database = Database(replace(database_settings, auth="secret", secret_id="arn:secret"))
    assert len(database.run(PID)) == 1
    assert read == ["arn:secret", "arn:secret"]
    database.close()
    module._secret.cache_clear()


def test_a_secret_that_cannot_be_read_leaves_the_database_unavailable(
    database_settings: DatabaseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("ACCESS_KEY_ID", "a"), ("SECRET_ACCESS_KEY", "b"), ("DEFAULT_REGION", "eu-central-1")):
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", "http://127.0.0.1:9")
    module._secret.cache_clear()
    database = Database(replace(database_settings, auth="secret", secret_id="arn:secret"))
    with pytest.raises(TelemetryError, match="secret cannot be read: EndpointConnectionError") as caught:
        database.run(PID)
    assert caught.value.code is Code.DATABASE_UNAVAILABLE

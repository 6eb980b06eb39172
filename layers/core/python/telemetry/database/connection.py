"""One PostgreSQL connection per execution environment: opened late, prepared statements kept, renewed when broken.

Uses pg8000.native, which commits by itself outside `transaction()`, so that a frozen environment never holds a
transaction open.
"""

import contextlib
import functools
import json
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeAlias
from urllib.parse import urlencode

import pg8000.converters
import pg8000.exceptions
import pg8000.native

from telemetry import signature
from telemetry.database.queries import Query, load
from telemetry.database.storable import storable_json, storable_text
from telemetry.errors import Code, TelemetryError
from telemetry.settings import DatabaseSettings

__all__ = [
    "Database",
    "OwnersRows",
    "Row",
    "Runner",
    "Transaction",
    "UniqueViolation",
    "connect_arguments",
    "storable_text",
]

Row: TypeAlias = dict[str, Any]

APPLICATION_NAME = "telemetry"
CONNECT_TIMEOUT_S = 5.0
# The server gives a statement up first and says so; the socket's own timeout is for a server that is gone.
SOCKET_GRACE_S = 5.0
# A connection idle for longer is asked for a sign of life before it is trusted: an environment that was frozen
# wakes with a dead socket.
IDLE_TRUSTED_S = 5.0
IDLE_IN_TRANSACTION_S = 60
_TOKEN_S = 900

# SQLSTATE classes and codes after which the same work may succeed: connection lost, shutdown, out of resources,
# serialisation failure, deadlock, statement cancelled, lock not available, and a server that only reads: after a
# failover the connection may lead to what was the writer, and a new one leads to what is.
_PASSING = ("08", "53", "57P", "40001", "40P01", "57014", "55P03", "25006")
# Of those, the ones that leave the connection fit for use.
_CONNECTION_SURVIVES = ("40001", "40P01", "55P03")
_UNIQUE_VIOLATION = "23505"
_SIGN_IN_REFUSED = "28P01"
# "Cached plan must not change result type" and "no such prepared statement": a migration ran meanwhile.
_STALE_STATEMENT = ("0A000", "26000")


class UniqueViolation(Exception):
    """A row with the same key exists. `constraint` is the constraint's (or unique index's) name."""

    def __init__(self, constraint: str) -> None:
        super().__init__(f"unique constraint {constraint}")
        self.constraint = constraint


class Runner(Protocol):
    """What runs named queries: a `Database` (each commits by itself) or an open `Transaction`."""

    def run(self, query: Query, /, **parameters: Any) -> list[Row]:
        """Runs one query and gives its rows."""
        ...


@dataclass(frozen=True, slots=True)
class _Prepared:
    statement: Any
    columns: tuple[str, ...]


class Transaction:
    """An open transaction. Ends with the block of `Database.transaction()` that gave it."""

    def __init__(self, database: "Database") -> None:
        self._database: Database | None = database

    def run(self, query: Query, /, **parameters: Any) -> list[Row]:
        """Runs one query in this transaction; rows, parameters and errors as with `Database.run`."""
        if self._database is None:
            raise RuntimeError("the transaction has ended")
        return self._database.run(query, **parameters)

    def _end(self) -> None:
        self._database = None


class Database:
    """Runs named queries. Not for several threads at once: a Lambda environment serves one event at a time."""

    def __init__(self, settings: DatabaseSettings) -> None:
        self._settings = settings
        self._connection: Any = None
        self._prepared: dict[str, _Prepared] = {}
        self._used_at = 0.0
        self._transaction: Transaction | None = None
        self._begin: Any = None
        self._begun = False
        self._transaction_failed = False

    def run(self, query: Query, /, **parameters: Any) -> list[Row]:
        """Runs one query and gives its rows as dicts, in the open transaction if there is one.

        uuid comes and goes as `UUID`, timestamptz as aware UTC `datetime`, jsonb as Python objects (a parameter for
        jsonb is a dict), arrays as lists. Texts are made storable (`storable_text`).
        A statement whose answer was lost is never repeated here: it may have taken effect.

        Raises
        ------
        UniqueViolation : a unique constraint refused the row.
        TelemetryError : DATABASE_UNAVAILABLE when the database cannot be reached or asks to try again.
        pg8000.exceptions.DatabaseError : anything else that PostgreSQL refuses.
        """
        try:
            return self._run(query, parameters)
        except BaseException:
            self._transaction_failed = True
            raise

    def of_owner(self, owner_user_id: str) -> "OwnersRows":
        """The same database as far as it is this owner's: PostgreSQL itself shows and changes no other rows."""
        return OwnersRows(self, owner_user_id)

    @contextlib.contextmanager
    def transaction(self, *, owner_user_id: str | None = None) -> Iterator[Transaction]:
        """Everything run inside commits together, or not at all when an exception leaves the block.

        It begins with its first statement, in the same round trip.

        Parameters
        ----------
        owner_user_id : only this owner's rows are seen and changed inside (row-level security); None for all.

        Raises
        ------
        TelemetryError : DATABASE_UNAVAILABLE, also when the answer to COMMIT was lost: whether it took effect is
            then unknown, and only asking again tells.
        RuntimeError : a transaction is open already, or an error inside the block was swallowed.
        """
        if self._transaction is not None:
            raise RuntimeError("transactions do not nest")
        self._ready_connection()
        transaction = self._transaction = Transaction(self)
        self._begun = self._transaction_failed = False
        try:
            if owner_user_id is not None:
                self.run(load("owner")["act_for_owner"], owner_user_id=owner_user_id)
            yield transaction
            if self._transaction_failed:
                raise RuntimeError("an error inside the transaction was swallowed; PostgreSQL has undone all of it")
            if self._begun:
                self._command("COMMIT")
        except BaseException:
            self._roll_back()
            raise
        finally:
            transaction._end()
            self._transaction = None

    def close(self) -> None:
        """Closes the connection; the next query opens a new one."""
        connection, self._connection = self._connection, None
        self._prepared.clear()
        self._begin = None
        if connection is not None:
            # A connection that is being given up may fail in any way while it says goodbye.
            with contextlib.suppress(Exception):
                connection.close()

    def _run(self, query: Query, parameters: dict[str, Any]) -> list[Row]:
        connection = self._ready_connection()
        prepared = self._prepared.get(query.sql)
        known = prepared is not None
        if prepared is None:
            with self._translated(statement_known=False):
                statement = connection.prepare(query.sql)
            prepared = _Prepared(statement, tuple(column["name"] for column in statement.cols or ()))
            self._prepared[query.sql] = prepared
        # A parameter that is missing is our mistake and must not look like a broken connection.
        prepared.statement.make_vals(parameters)
        with self._translated(statement_known=known):
            if self._transaction is not None and not self._begun:
                self._begin_with_the_next(connection)
            rows = prepared.statement.run(**parameters)
        self._used_at = time.monotonic()
        return [dict(zip(prepared.columns, row, strict=True)) for row in rows or ()]

    def _begin_with_the_next(self, connection: Any) -> None:
        """Writes BEGIN before the statement that follows; the server reads, and answers, both at once."""
        if self._begin is None:
            self._begin = connection.prepare("BEGIN")
        self._begun = True
        connection.send_BIND(self._begin.name_bin, ())
        connection.send_EXECUTE()

    def _command(self, command: str) -> None:
        connection = self._ready_connection()
        with self._translated(statement_known=False):
            connection.run(command)
        self._used_at = time.monotonic()

    def _roll_back(self) -> None:
        if self._connection is None or not self._begun:
            return
        try:
            self._connection.run("ROLLBACK")
        except Exception:
            # The server rolls back what it no longer hears of.
            self.close()

    def _ready_connection(self) -> Any:
        if self._transaction is not None:
            if self._connection is None:
                raise TelemetryError(Code.DATABASE_UNAVAILABLE, "the connection was lost inside the transaction")
            return self._connection
        if self._connection is not None and time.monotonic() - self._used_at > IDLE_TRUSTED_S:
            try:
                self._connection.run("")  # the empty query: one round trip, nothing done
            except Exception:
                self.close()
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    @contextlib.contextmanager
    def _translated(self, *, statement_known: bool) -> Iterator[None]:
        """Turns pg8000's errors into ours, and gives up a connection whose state is no longer known."""
        try:
            yield
        except pg8000.exceptions.DatabaseError as error:
            fields = _fields(error)
            state = fields.get("C", "")
            if state == _UNIQUE_VIOLATION:
                raise UniqueViolation(fields.get("n", "")) from error
            if statement_known and state in _STALE_STATEMENT:
                self.close()
                raise TelemetryError(Code.DATABASE_UNAVAILABLE, "the schema changed meanwhile") from error
            if state.startswith(_PASSING):
                if state not in _CONNECTION_SURVIVES:
                    self.close()
                raise TelemetryError(Code.DATABASE_UNAVAILABLE, f"SQLSTATE {state}") from error
            raise
        except (pg8000.exceptions.InterfaceError, OSError) as error:
            self.close()
            raise TelemetryError(Code.DATABASE_UNAVAILABLE, "the connection was lost") from error
        except BaseException:
            # Interrupted in the middle of an exchange: the next answer would belong to the wrong question.
            self.close()
            raise

    def _connect(self) -> Any:
        try:
            with self._translated(statement_known=False):
                connection = _open(self._settings)
        except pg8000.exceptions.DatabaseError as error:
            if self._settings.auth != "secret" or _fields(error).get("C") != _SIGN_IN_REFUSED:
                raise
            # The secret was rotated since it was read.
            _secret.cache_clear()
            with self._translated(statement_known=False):
                connection = _open(self._settings)
        self._used_at = time.monotonic()
        return connection


class OwnersRows:
    """A database behind the wall of row-level security; use `Database.of_owner`."""

    def __init__(self, database: Database, owner_user_id: str) -> None:
        self._database = database
        self._owner_user_id = owner_user_id

    def run(self, query: Query, /, **parameters: Any) -> list[Row]:
        """Runs one query in a transaction of its own; otherwise as `Database.run`."""
        with self.transaction() as transaction:
            return transaction.run(query, **parameters)

    def transaction(self) -> contextlib.AbstractContextManager[Transaction]:
        """As `Database.transaction`."""
        return self._database.transaction(owner_user_id=self._owner_user_id)


def connect_arguments(settings: DatabaseSettings, *, statement_timeout_s: float | None = None) -> dict[str, Any]:
    """What pg8000 needs to connect: credentials, TLS, a socket that is connected already, and the session's settings.

    Parameters
    ----------
    statement_timeout_s : instead of the settings' one; 0 for none.

    Raises
    ------
    OSError : the server's address does not answer.
    """
    timeout_s = settings.statement_timeout_s if statement_timeout_s is None else statement_timeout_s
    user, password = _credentials(settings)
    return {
        "user": user,
        "password": password,
        "host": settings.host,
        "database": settings.name,
        # False: pg8000 takes None for "TLS if the server happens to offer it, unverified".
        "ssl_context": _tls(settings.ca_file) if settings.tls else False,
        "application_name": APPLICATION_NAME,
        "startup_params": {
            "TimeZone": "UTC",
            "DateStyle": "ISO",
            "statement_timeout": str(int(timeout_s * 1000)),
            "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_S * 1000),
        },
        "sock": _socket(settings, timeout_s),
    }


def _open(settings: DatabaseSettings) -> Any:
    arguments = connect_arguments(settings)
    try:
        connection = pg8000.native.Connection(**arguments)
    except BaseException:
        arguments["sock"].close()
        raise
    connection.register_in_adapter(pg8000.converters.TIMESTAMPTZ, _timestamptz)
    connection.register_out_adapter(str, storable_text)
    connection.register_out_adapter(dict, storable_json)
    connection.register_out_adapter(list, _array)
    return connection


def _socket(settings: DatabaseSettings, statement_timeout_s: float) -> socket.socket:
    """Connects within seconds, then waits for an answer as long as a statement may take.

    pg8000 knows one timeout for both, and one long enough for a statement outlasts an API request.
    """
    if settings.host.startswith("/"):
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connected.settimeout(CONNECT_TIMEOUT_S)
            connected.connect(f"{settings.host}/.s.PGSQL.{settings.port}")
        except BaseException:
            connected.close()
            raise
    else:
        connected = socket.create_connection((settings.host, settings.port), CONNECT_TIMEOUT_S)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            # A server that is gone without a goodbye is noticed in seconds, however long a statement may take.
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(CONNECT_TIMEOUT_S * 1000))
    connected.settimeout(statement_timeout_s + SOCKET_GRACE_S if statement_timeout_s else None)
    return connected


@functools.cache
def _tls(ca_file: str) -> ssl.SSLContext:
    # Built once: pg8000 would build one per connect, which costs nine tenths of the time of connecting.
    return ssl.create_default_context(cafile=ca_file or None)


def _credentials(settings: DatabaseSettings) -> tuple[str, str]:
    """User and password, token or secret, as `auth` says."""
    if settings.auth == "iam":
        return settings.user, _iam_token(settings)
    if settings.auth == "secret":
        return _secret(settings.secret_id, settings.user)
    return settings.user, settings.password


def _iam_token(settings: DatabaseSettings) -> str:
    """A token of RDS, good for 15 minutes and for connecting only; signed here, without a call."""
    # As boto3's `generate_db_auth_token`, without the model of RDS, whose megabytes no function carries.
    query = urlencode({"Action": "connect", "DBUser": settings.user})
    url = signature.signed_url(
        "GET",
        f"https://{settings.host}:{settings.port}/?{query}",
        headers={},
        service="rds-db",
        region=settings.region,
        payload=signature.EMPTY_PAYLOAD,
        seconds=_TOKEN_S,
        credentials=signature.credentials(missing=Code.DATABASE_UNAVAILABLE),
        at=signature.now(),
    )
    return url.removeprefix("https://")


@functools.cache
def _secret(secret_id: str, user: str) -> tuple[str, str]:
    """User and password from Secrets Manager: RDS's own JSON form, or a bare password for `user`.

    Raises
    ------
    TelemetryError : DATABASE_UNAVAILABLE when it does not give the secret.
    """
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    impatient = Config(connect_timeout=3, read_timeout=5, retries={"mode": "standard", "max_attempts": 2})
    try:
        answer = boto3.client("secretsmanager", config=impatient).get_secret_value(SecretId=secret_id)
    except (BotoCoreError, ClientError) as error:
        said = f"the database's secret cannot be read: {type(error).__name__}"
        raise TelemetryError(Code.DATABASE_UNAVAILABLE, said) from error
    text = answer["SecretString"]
    if not text.lstrip().startswith("{"):
        return user, text
    secret = json.loads(text)
    return secret.get("username", user), secret["password"]


def _fields(error: Exception) -> dict[str, str]:
    """The error's fields by their protocol letter (PostgreSQL documentation, section 54.8)."""
    fields = error.args[0] if error.args else None
    return fields if isinstance(fields, dict) else {}


def _timestamptz(text: str) -> datetime | str:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return text  # infinity, or a year that Python's datetime cannot hold


def _array(values: list[Any]) -> Any:
    return pg8000.converters.array_out([storable_text(value) if isinstance(value, str) else value for value in values])

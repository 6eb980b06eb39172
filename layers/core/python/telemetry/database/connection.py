"""One PostgreSQL connection per execution environment: opened late, prepared statements kept, renewed when broken.

Uses pg8000.native, which commits by itself outside `transaction()`, so that a frozen environment never holds a
transaction open.
"""

import contextlib
import functools
import ssl
from collections.abc import Iterator
from typing import Any, TypeAlias

import pg8000.exceptions
import pg8000.native

from telemetry.database.queries import Query
from telemetry.errors import Code, TelemetryError
from telemetry.settings import DatabaseSettings

Row: TypeAlias = dict[str, Any]

# SQLSTATE classes and codes after which the same work may succeed: connection lost, shutdown, too many
# connections, deadlock, serialisation failure, statement cancelled by timeout.
_PASSING = ("08", "57P", "53", "40001", "40P01", "57014", "55P03")


class UniqueViolation(Exception):
    """A row with the same key exists. `constraint` is the constraint's name."""

    def __init__(self, constraint: str) -> None:
        super().__init__(f"unique constraint {constraint}")
        self.constraint = constraint


@functools.cache
def _tls(ca_file: str) -> ssl.SSLContext:
    # Built once: pg8000 would build one per connect, which costs nine tenths of the time of connecting.
    return ssl.create_default_context(cafile=ca_file or None)


class Database:
    """Runs named queries. Not for several threads at once: a Lambda environment serves one event at a time."""

    def __init__(self, settings: DatabaseSettings) -> None:
        self._settings = settings
        self._connection: pg8000.native.Connection | None = None
        self._prepared: dict[str, Any] = {}
        self._in_transaction = False

    def run(self, query: Query, **parameters: Any) -> list[Row]:
        """Runs one query and gives its rows, in the open transaction if there is one.

        Outside a transaction a connection that broke while idle is renewed once.

        Raises
        ------
        UniqueViolation : a unique constraint refused the row.
        TelemetryError : DATABASE_UNAVAILABLE when the database cannot be reached or asks to try again.
        """
        fresh = self._connection is None
        try:
            return self._run(query, parameters)
        except TelemetryError as error:
            # A frozen environment wakes with a dead socket: once more, unless this connection is new, or the
            # statement may already have taken effect inside a transaction.
            if fresh or self._in_transaction or self._connection is not None or error.detail != _LOST:
                raise
        return self._run(query, parameters)

    @contextlib.contextmanager
    def transaction(self) -> Iterator["Database"]:
        """Everything run inside commits together, or not at all when an exception leaves the block."""
        if self._in_transaction:
            raise RuntimeError("transactions do not nest")
        self._command("BEGIN")
        self._in_transaction = True
        try:
            yield self
            self._command("COMMIT")
        except BaseException:
            with contextlib.suppress(Exception):
                if self._connection is not None:
                    self._command("ROLLBACK")
            raise
        finally:
            self._in_transaction = False

    def close(self) -> None:
        """Closes the connection; the next query opens a new one."""
        connection, self._connection = self._connection, None
        self._prepared.clear()
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.close()

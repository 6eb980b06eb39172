"""Applies the migrations: `migrate(settings, "head")`. The only room that imports SQLAlchemy and alembic.

The files lie beside this module, in the repository as in the migrate function's bundle.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pg8000.dbapi
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, Table, create_engine, func, select
from sqlalchemy.pool import NullPool

from telemetry.database.connection import connect_arguments
from telemetry.settings import DatabaseSettings

FOLDER = Path(__file__).parent
VERSION_TABLE = "telemetry_schema_version"


@dataclass(frozen=True, slots=True)
class SchemaStatus:
    """Revision the database is at (None: empty), and the newest one known here."""

    current: str | None
    head: str


def statements(revision: str, direction: Literal["up", "down"]) -> str:
    """The SQL of one revision; its `.sql` file stands beside its module."""
    return (FOLDER / "versions" / f"{revision}.{direction}.sql").read_text("utf-8")


def migrate(settings: DatabaseSettings, revision: str = "head") -> SchemaStatus:
    """Takes the database up to `revision`, in one transaction; nothing is done when it is there already.

    Migrators that run at once wait for each other. Raises whatever PostgreSQL or alembic refuses.
    """
    with _locked(settings) as connection:
        command.upgrade(_config(connection), revision)
        return _status(connection)


def deploy(settings: DatabaseSettings, application_role: str = "") -> SchemaStatus:
    """What a deployment does: up to the newest revision, and the functions' own role given its rights.

    A database that is ahead of this code stays as it is: a deployment that failed later on is being taken back, and
    every revision keeps the code before it working.

    Parameters
    ----------
    application_role : made where it is missing; empty where somebody else sees to roles.
    """
    with _locked(settings) as connection:
        if not _is_ahead(connection):
            command.upgrade(_config(connection), "head")
        if application_role:
            connection.execute(select(func.set_config("telemetry.application_role", application_role, True)))
            connection.exec_driver_sql((FOLDER / "application_role.sql").read_text("utf-8"))
        return _status(connection)


def migrate_down(settings: DatabaseSettings, revision: str = "base") -> SchemaStatus:
    """Takes the database down to `revision`, in one transaction; `base` leaves nothing of ours."""
    with _locked(settings) as connection:
        command.downgrade(_config(connection), revision)
        if _status(connection).current is None:
            Table(VERSION_TABLE, MetaData()).drop(connection, checkfirst=True)
        return _status(connection)


def schema_status(settings: DatabaseSettings) -> SchemaStatus:
    """Where the database stands, without changing it."""
    with _connected(settings) as connection:
        return _status(connection)


@contextlib.contextmanager
def _connected(settings: DatabaseSettings) -> Iterator[Connection]:
    def connect() -> pg8000.dbapi.Connection:
        arguments = connect_arguments(settings, statement_timeout_s=0)
        try:
            return pg8000.dbapi.connect(**arguments)
        except BaseException:
            arguments["sock"].close()
            raise

    engine = create_engine("postgresql+pg8000://", creator=connect, poolclass=NullPool)
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


@contextlib.contextmanager
def _locked(settings: DatabaseSettings) -> Iterator[Connection]:
    """One transaction that no other migrator shares."""
    with _connected(settings) as connection:
        connection.exec_driver_sql((FOLDER / "lock.sql").read_text("utf-8"))
        yield connection


def _is_ahead(connection: Connection) -> bool:
    """Whether the database is at a revision that this code does not know."""
    current = _status(connection).current
    known = {script.revision for script in ScriptDirectory(str(FOLDER)).walk_revisions()}
    return current is not None and current not in known


def _config(connection: Connection) -> Config:
    config = Config()
    # ConfigParser reads a percent sign as the start of a placeholder.
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _status(connection: Connection) -> SchemaStatus:
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    head = ScriptDirectory(str(FOLDER)).get_current_head()
    return SchemaStatus(context.get_current_revision(), head or "")

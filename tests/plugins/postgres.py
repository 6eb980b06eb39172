"""Fixtures over a real PostgreSQL: embedded, or the one that TELEMETRY_DATABASE_URL names."""

import itertools
import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace

import pg8000.native
import pytest

from infra.local.postgres import Postgres
from telemetry.database.connection import Database, connect_arguments
from telemetry.settings import DatabaseSettings, Settings

_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabaseSettings]:
    """Settings of a server's maintenance database, signed in as a role that may create databases."""
    server = Postgres(tmp_path_factory.mktemp("postgres"))
    try:
        server.wait()
        yield settings_of(server.url)
    finally:
        server.stop()


@pytest.fixture(scope="session")
def migrated_template(postgres_server: DatabaseSettings) -> Iterator[DatabaseSettings]:
    """A database migrated once, to copy from. Nobody may stay connected to it."""
    from migrations.run import migrate

    template = replace(postgres_server, name=f"telemetry_template_{os.getpid()}")
    _create(postgres_server, template.name)
    migrate(template)
    yield template
    _drop(postgres_server, template.name)


@pytest.fixture
def empty_database_settings(postgres_server: DatabaseSettings) -> Iterator[DatabaseSettings]:
    """A fresh database without any table."""
    fresh = replace(postgres_server, name=f"telemetry_test_{os.getpid()}_{next(_numbers)}")
    _create(postgres_server, fresh.name)
    yield fresh
    _drop(postgres_server, fresh.name)


@pytest.fixture
def database_settings(
    postgres_server: DatabaseSettings, migrated_template: DatabaseSettings
) -> Iterator[DatabaseSettings]:
    """A fresh migrated database."""
    fresh = replace(postgres_server, name=f"telemetry_test_{os.getpid()}_{next(_numbers)}")
    _create(postgres_server, fresh.name, template=migrated_template.name)
    yield fresh
    _drop(postgres_server, fresh.name)


@pytest.fixture
def database(database_settings: DatabaseSettings) -> Iterator[Database]:
    """The service's own connection to a fresh migrated database."""
    connected = Database(database_settings)
    yield connected
    connected.close()


@pytest.fixture
def other_database(database_settings: DatabaseSettings) -> Iterator[Database]:
    """A second connection to the same database."""
    connected = Database(database_settings)
    yield connected
    connected.close()


def settings_of(url: str) -> DatabaseSettings:
    """The settings that the service would make of a URL."""
    return Settings.from_environment(
        {
            "TELEMETRY_DATABASE_URL": url,
            "TELEMETRY_STORAGE_BACKEND": "local",
            "TELEMETRY_LOCAL_STORAGE_ROOT": tempfile.gettempdir(),
            "TELEMETRY_LOCAL_STORAGE_URL": "http://localhost",
            "TELEMETRY_LOCAL_STORAGE_SECRET": "not used",
        }
    ).database


def environment_of(settings: DatabaseSettings) -> dict[str, str]:
    """The variables that lead another process to the same database."""
    return {
        "TELEMETRY_DATABASE_HOST": settings.host,
        "TELEMETRY_DATABASE_PORT": str(settings.port),
        "TELEMETRY_DATABASE_NAME": settings.name,
        "TELEMETRY_DATABASE_USER": settings.user,
        "TELEMETRY_DATABASE_PASSWORD": settings.password,
        "TELEMETRY_DATABASE_TLS": "require" if settings.tls else "disable",
    }


def connect(settings: DatabaseSettings) -> pg8000.native.Connection:
    """A bare connection, for SQL that the service itself has no query for."""
    return pg8000.native.Connection(**connect_arguments(settings))


def _administer(settings: DatabaseSettings, statement: str) -> None:
    with connect(settings) as connection:
        connection.run(statement)


def _create(server: DatabaseSettings, name: str, template: str = "template1") -> None:
    _administer(server, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')


def _drop(server: DatabaseSettings, name: str) -> None:
    # FORCE: a test may have left a connection open on purpose, to kill it.
    _administer(server, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

"""What a deployment asks of the `migrate` function: CloudFormation's custom resource, told how it ended, and roles."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pg8000.exceptions
import pytest

from migrations import run as migrations
from migrations.custom_resource import answer
from migrations.run import deploy, schema_status
from telemetry.settings import DatabaseSettings
from tests.plugins.postgres import connect

ROLE = 'app"role'


class _Answers(BaseHTTPRequestHandler):
    told: list[dict[str, Any]]

    def do_PUT(self) -> None:
        self.told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@pytest.fixture
def cloudformation() -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """A custom resource's event without its type, and what was answered to it."""
    told: list[dict[str, Any]] = []
    server = HTTPServer(("127.0.0.1", 0), type("Answers", (_Answers,), {"told": told}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    event = {
        "ResponseURL": f"http://127.0.0.1:{server.server_port}/answer",
        "StackId": "stack",
        "RequestId": "request",
        "LogicalResourceId": "Migrations",
        "ResourceProperties": {"ApplicationRole": ""},
    }
    yield event, told
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("kind", ["Create", "Update"])
def test_success_is_told(cloudformation: tuple[dict[str, Any], list[dict[str, Any]]], kind: str) -> None:
    event, told = cloudformation
    answer({**event, "RequestType": kind}, lambda: {"current": "7", "head": "7"})
    assert told == [
        {
            "Status": "SUCCESS",
            "Reason": "",
            "PhysicalResourceId": "telemetry-migrations",
            "StackId": "stack",
            "RequestId": "request",
            "LogicalResourceId": "Migrations",
            "Data": {"current": "7", "head": "7"},
        }
    ]


def test_failure_is_told_and_raised(cloudformation: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
    event, told = cloudformation

    def work() -> dict[str, str | None]:
        raise ValueError("row (52.07, -1.015) violates")

    with pytest.raises(ValueError, match="violates"):
        answer({**event, "RequestType": "Update"}, work)
    assert told[0]["Status"] == "FAILED"
    assert told[0]["Reason"].startswith("ValueError")
    assert "52.07" not in json.dumps(told)


def test_deleting_the_resource_keeps_the_data(cloudformation: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
    event, told = cloudformation
    answer({**event, "RequestType": "Delete"}, lambda: pytest.fail("nothing is to be done"))
    assert told[0]["Status"] == "SUCCESS"


def test_a_schema_that_is_ahead_is_left_alone(empty_database_settings: DatabaseSettings) -> None:
    deploy(empty_database_settings)
    with connect(empty_database_settings) as connection:
        connection.run(f"UPDATE {migrations.VERSION_TABLE} SET version_num = '9999_later'")
    assert deploy(empty_database_settings).current == "9999_later"


def test_the_functions_role_reads_and_writes_rows_and_nothing_else(empty_database_settings: DatabaseSettings) -> None:
    for _ in range(2):  # a second deployment finds the role
        assert deploy(empty_database_settings, ROLE).current == schema_status(empty_database_settings).head
    with connect(empty_database_settings) as connection:
        try:
            connection.run('SET ROLE "app""role"')
            connection.run(
                "INSERT INTO telemetry_devices (id, owner_user_id, first_seen_at, last_seen_at) "
                "VALUES (gen_random_uuid(), 'owner', now(), now())"
            )
            assert connection.run("SELECT count(*) FROM telemetry_devices") == [[1]]
            connection.run("DELETE FROM telemetry_devices")
            for refused in (
                "DROP TABLE telemetry_devices",
                "TRUNCATE telemetry_devices CASCADE",
                "CREATE TABLE mine (id int)",
                f"UPDATE {migrations.VERSION_TABLE} SET version_num = ''",
            ):
                with pytest.raises(pg8000.exceptions.DatabaseError) as error:
                    connection.run(refused)
                assert error.value.args[0]["C"] == "42501", refused
        finally:
            connection.run("RESET ROLE")
            connection.run('DROP OWNED BY "app""role"')
            connection.run('DROP ROLE "app""role"')

"""Applies the migrations on deploy: event in, `migrations.run` called, where the schema stands out.

A failure raises, so that the deployment that invoked the function fails with it.
"""

from dataclasses import asdict
from typing import Any

from migrations.run import migrate, migrate_down, schema_status
from telemetry.errors import Code, TelemetryError
from telemetry.settings import Settings


def handler(event: dict[str, Any], context: object) -> dict[str, str | None]:
    """`{"action": "upgrade" | "downgrade" | "status", "revision"?}`; nothing said means upgrade to the newest.

    A downgrade must name its revision (`base` empties the schema): nobody loses data by leaving a word out.

    Raises
    ------
    TelemetryError : REQUEST_INVALID for another action, or a downgrade without a revision.
    """
    database = Settings.from_environment().database
    action, revision = event.get("action", "upgrade"), event.get("revision")
    match action:
        case "upgrade":
            status = migrate(database, revision or "head")
        case "downgrade" if revision:
            status = migrate_down(database, revision)
        case "status":
            status = schema_status(database)
        case _:
            raise TelemetryError(Code.REQUEST_INVALID, "action: upgrade, downgrade with its revision, or status")
    return asdict(status)

"""Applies the migrations on deploy: event in, `migrations.run` called, where the schema stands out.

A failure raises, so that the deployment that invoked the function fails with it.
"""

from dataclasses import asdict
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from migrations.run import migrate, migrate_down, schema_status
from telemetry.errors import Code, TelemetryError
from telemetry.services import Services

logger = Logger(service="migrate")
services = Services()


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, str | None]:
    """`{"action": "upgrade" | "downgrade" | "status", "revision"?}`; nothing said means upgrade to the newest.

    A downgrade must name its revision (`base` empties the schema): nobody loses data by leaving a word out.

    Raises
    ------
    TelemetryError : REQUEST_INVALID for another action, or a downgrade without a revision.
    """
    database = services.settings.database
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
    logger.info("schema", extra={"action": action, **asdict(status)})
    return asdict(status)

"""Lambda `migrate`: custom resource or `{"action": …}` in → applies the migrations. Touches the database's schema.

CloudFormation invokes it as the custom resource `Migrations` of template.yaml, and fails the deployment when it fails;
an operator invokes it with an action, and is told where the schema stands.
"""

from dataclasses import asdict
from typing import Any

from migrations.custom_resource import answer
from migrations.run import deploy, migrate, migrate_down, schema_status
from telemetry.errors import Code, TelemetryError
from telemetry.services import Services

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

logger = Logger(service="migrate")
services = Services()


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """`{"action": "upgrade" | "downgrade" | "status", "revision"?}`; nothing said means upgrade to the newest.

    A downgrade must name its revision (`base` empties the schema): nobody loses data by leaving a word out.

    Raises
    ------
    TelemetryError : REQUEST_INVALID for another action, or a downgrade without a revision.
    """
    if "RequestType" in event:
        return answer(event, lambda: _deploy(event["ResourceProperties"].get("ApplicationRole", "")))
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


def _deploy(application_role: str) -> dict[str, str | None]:
    status = asdict(deploy(services.settings.database, application_role))
    logger.info("schema", extra={"action": "deploy", **status})
    return status

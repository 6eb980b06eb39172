"""Lambda `janitor`: schedules in → rescues lapsed jobs, finalises and expires uploads, discards raw files, sweeps.

Touches database, both stores and the nudge queue.
"""

from typing import Any

from telemetry.janitor import Task, clean
from telemetry.services import Services

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.logging.utils import copy_config_to_registered_loggers
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

logger = Logger(service="janitor")
metrics = Metrics(service="janitor")
services = Services()

# The service's own modules log through the standard library; this gives their lines the same JSON form.
copy_config_to_registered_loggers(source_logger=logger, include={"telemetry"})


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """Does the event's `tasks`, or all of them, and answers how much each handled."""
    tasks = [Task(name) for name in event.get("tasks", Task)]
    handled = clean(services, context.get_remaining_time_in_millis, tasks)
    for task in tasks:
        metrics.add_metric("".join(word.title() for word in task.split("_")), MetricUnit.Count, handled[task])
    return {str(task): handled[task] for task in tasks}

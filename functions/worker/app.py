"""Lambda `worker`: SQS nudge or one-minute schedule in → drains the job queue within the time that it has.

Touches database, both stores and the nudge queue.
"""

from typing import Any

from telemetry.nudge import is_nudge
from telemetry.pipeline.drain import Drained, drain
from telemetry.pipeline.outcome import Outcome
from telemetry.services import Services

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.logging.utils import copy_config_to_registered_loggers
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

logger = Logger(service="worker")
metrics = Metrics(service="worker")
processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
services = Services()

# The service's own modules log through the standard library; this gives their lines the same JSON form.
copy_config_to_registered_loggers(source_logger=logger, include={"telemetry"})


def record_handler(record: SQSRecord) -> None:
    """Accepts a nudge. Any other message is reported as failed, so that it ends in the dead-letter queue."""
    if not is_nudge(record.body):
        raise ValueError("not a nudge")


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Drains once, however many nudges came; answers which messages were none."""
    answer: dict[str, Any] = {}
    if "Records" in event:
        answer = dict(process_partial_response(event, record_handler, processor, context))
    drained = drain(services, context.get_remaining_time_in_millis, worker=context.aws_request_id)
    _measure(drained)
    return answer


def _measure(drained: Drained) -> None:
    for outcome in Outcome:
        metrics.add_metric(f"Jobs{outcome.name.title()}", MetricUnit.Count, drained.outcomes[outcome])
    metrics.add_metric("QueueDepth", MetricUnit.Count, drained.due)
    metrics.add_metric("OldestJobAge", MetricUnit.Seconds, drained.oldest_due_s)

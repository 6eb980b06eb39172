"""Lambda `object_created`: S3 events out of SQS in → records an upload's receipt, finalises it where asked for.

Touches database, raw store and the nudge queue.
"""

from typing import Any

from telemetry import uploads
from telemetry.services import Services
from telemetry.storage.object_events import created_paths

from aws_lambda_powertools import Logger
from aws_lambda_powertools.logging.utils import copy_config_to_registered_loggers
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

services = Services()
logger = Logger(service="object_created")
metrics = EphemeralMetrics(service="object_created")
# One bad message of ten fails alone, also when it comes alone.
processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)

# The service's own modules log through the standard library; this gives their lines the same JSON form.
copy_config_to_registered_loggers(source_logger=logger, include={"telemetry"})


def record_handler(record: SQSRecord) -> None:
    """One message; an exception leaves it in the queue to come again, and in the end to the dead letters."""
    logger.thread_safe_append_keys(message_id=record.message_id)
    for path in created_paths(record.body):
        finalised = uploads.record_receipt(services, path)
        logger.info("object created", extra={"finalised": str(finalised.session_id) if finalised else None})
        metrics.add_metric("ObjectsCreated", MetricUnit.Count, 1)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Entry point."""
    answer = process_partial_response(event, record_handler, processor, context)
    failed = len(answer["batchItemFailures"])
    if failed:
        logger.error("messages left in the queue", extra={"failed": failed})
    metrics.add_metric("MessagesFailed", MetricUnit.Count, failed)
    metrics.flush_metrics()
    return dict(answer)

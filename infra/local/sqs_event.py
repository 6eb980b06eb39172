"""SQS and EventBridge events as Lambda delivers them, and which messages a function's answer says are done. Pure.

Source: AWS Lambda Developer Guide, "Using Lambda with Amazon SQS" and "Handling errors for an SQS event source".
"""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from infra.local.lambda_environment import ACCOUNT


def sqs_event(messages: Sequence[Mapping[str, Any]], *, queue_arn: str) -> dict[str, Any]:
    """The event of one batch of messages, as `ReceiveMessage` gave them."""
    return {
        "Records": [
            {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": dict(message.get("Attributes", {})),
                "messageAttributes": {
                    name: {
                        "stringValue": attribute.get("StringValue"),
                        "stringListValues": [],
                        "binaryListValues": [],
                        "dataType": attribute["DataType"],
                    }
                    for name, attribute in message.get("MessageAttributes", {}).items()
                },
                "md5OfBody": message["MD5OfBody"],
                "eventSource": "aws:sqs",
                "eventSourceARN": queue_arn,
                "awsRegion": queue_arn.split(":")[3],
            }
            for message in messages
        ]
    }


def done_messages(
    messages: Sequence[Mapping[str, Any]], answer: Any, *, report_failures: bool
) -> list[Mapping[str, Any]]:
    """The messages to delete after the function returned `answer`; the rest come again after their visibility.

    Without ReportBatchItemFailures a return means that all are done. With it, an answer that Lambda cannot make sense
    of (an unknown, empty or missing identifier) means that none is.
    """
    if not report_failures or not answer:
        return list(messages)
    if not isinstance(answer, dict):
        return []
    failures = answer.get("batchItemFailures")
    if not failures:
        return list(messages)
    known = {message["MessageId"] for message in messages}
    try:
        failed = {failure["itemIdentifier"] for failure in failures}
    except (TypeError, KeyError):
        return []
    if not failed <= known:
        return []
    return [message for message in messages if message["MessageId"] not in failed]


def scheduled_event(rule: str, *, time: datetime, region: str) -> dict[str, Any]:
    """The event of an EventBridge rule with a schedule."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": ACCOUNT,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": region,
        "resources": [f"arn:aws:events:{region}:{ACCOUNT}:rule/{rule}"],
        "detail": {},
    }

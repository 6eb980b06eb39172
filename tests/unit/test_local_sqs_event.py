"""Events of SQS and EventBridge against the documented ones, and which messages of a batch are done."""

from datetime import UTC, datetime
from typing import Any

import pytest

from infra.local.sqs_event import done_messages, scheduled_event, sqs_event

MESSAGES = [
    {
        "MessageId": name,
        "ReceiptHandle": f"handle-{name}",
        "Body": "Test message.",
        "MD5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
        "Attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": "1545082649183",
            "SenderId": "AIDAIENQZJOLO23YVJ4VO",
            "ApproximateFirstReceiveTimestamp": "1545082649185",
        },
    }
    for name in ("a", "b", "c")
]


def test_a_record_equals_the_documented_example() -> None:
    """Lambda Developer Guide, "Using Lambda with Amazon SQS", standard queue message event."""
    arn = "arn:aws:sqs:us-east-2:123456789012:my-queue"
    assert sqs_event(MESSAGES[:1], queue_arn=arn) == {
        "Records": [
            {
                "messageId": "a",
                "receiptHandle": "handle-a",
                "body": "Test message.",
                "attributes": {
                    "ApproximateReceiveCount": "1",
                    "SentTimestamp": "1545082649183",
                    "SenderId": "AIDAIENQZJOLO23YVJ4VO",
                    "ApproximateFirstReceiveTimestamp": "1545082649185",
                },
                "messageAttributes": {},
                "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
                "eventSource": "aws:sqs",
                "eventSourceARN": arn,
                "awsRegion": "us-east-2",
            }
        ]
    }


@pytest.mark.parametrize(
    ("answer", "done"),
    [
        (None, "abc"),
        ({}, "abc"),
        ({"batchItemFailures": []}, "abc"),
        ({"batchItemFailures": None}, "abc"),
        ({"batchItemFailures": [{"itemIdentifier": "b"}]}, "ac"),
        ({"batchItemFailures": [{"itemIdentifier": "a"}, {"itemIdentifier": "c"}]}, "b"),
        # What Lambda documents as complete failures:
        ({"batchItemFailures": [{"itemIdentifier": ""}]}, ""),
        ({"batchItemFailures": [{"itemIdentifier": None}]}, ""),
        ({"batchItemFailures": [{"wrong": "b"}]}, ""),
        ({"batchItemFailures": [{"itemIdentifier": "unknown"}]}, ""),
        ({"batchItemFailures": "b"}, ""),
        ("done", ""),
    ],
)
def test_only_good_messages_are_done(answer: Any, done: str) -> None:
    found = done_messages(MESSAGES, answer, report_failures=True)
    assert "".join(message["MessageId"] for message in found) == done


def test_without_the_report_a_return_is_a_success() -> None:
    answer = {"batchItemFailures": [{"itemIdentifier": "b"}]}
    assert done_messages(MESSAGES, answer, report_failures=False) == MESSAGES


def test_a_scheduled_event_equals_the_documented_one() -> None:
    """EventBridge User Guide, "Scheduled Event"."""
    event = scheduled_event("my-rule", time=datetime(2026, 5, 16, 9, 30, tzinfo=UTC), region="us-east-1")
    identity = event.pop("id")
    assert len(identity) == 36
    assert event == {
        "version": "0",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "000000000000",
        "time": "2026-05-16T09:30:00Z",
        "region": "us-east-1",
        "resources": ["arn:aws:events:us-east-1:000000000000:rule/my-rule"],
        "detail": {},
    }

"""The local poller over a real queue: only good messages are deleted, the rest come again and end in the DLQ."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.local.lambda_environment import LambdaFunction
from infra.local.localstack import LocalStack
from infra.local.poller import QueuePoller
from infra.local.process import StackError
from infra.local.template import Function, QueueSource, read_outputs, read_template

HANDLER = """
import json
def handler(event, context):
    bodies = [record["body"] for record in event["Records"]]
    if "raise" in bodies:
        raise RuntimeError
    failed = [r["messageId"] for r in event["Records"] if r["body"] == "bad"]
    return {"batchItemFailures": [{"itemIdentifier": identity} for identity in failed]}
"""


@pytest.fixture
def dead_letters(localstack: LocalStack, queue_url: str) -> Iterator[str]:
    """The dead-letter queue of `queue_url`, whose messages are visible again at once and tried twice."""
    sqs = localstack.client("sqs")
    url = sqs.create_queue(QueueName=queue_url.rsplit("/", 1)[1] + "-dead")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 2})
    sqs.set_queue_attributes(QueueUrl=queue_url, Attributes={"VisibilityTimeout": "0", "RedrivePolicy": redrive})
    yield url
    sqs.delete_queue(QueueUrl=url)


@pytest.fixture
def poller(localstack: LocalStack, queue_url: str, tmp_path: Path) -> QueuePoller:
    """Feeds `queue_url` to a function made for these tests."""
    (tmp_path / "app.py").write_text(HANDLER)
    function = Function("Sorter", tmp_path, "app.handler", 30, 128, (), (), ())
    sqs = localstack.client("sqs")
    arn = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    source = QueueSource("unused", batch_size=10, report_failures=True)
    return QueuePoller(source, LambdaFunction(function, environments=1), sqs=sqs, url=queue_url, arn=arn)


def _poll_until_empty(poller: QueuePoller) -> int:
    handled, limit = 0, time.monotonic() + 10
    while (count := poller.poll(wait_s=1)) and time.monotonic() < limit:
        handled += count
    return handled


def _bodies(sqs: Any, url: str) -> list[str]:
    answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=2)
    return sorted(message["Body"] for message in answer.get("Messages", []))


def test_only_the_failed_message_comes_again(
    localstack: LocalStack, queue_url: str, dead_letters: str, poller: QueuePoller
) -> None:
    sqs = localstack.client("sqs")
    for body in ("good", "bad", "fine"):
        sqs.send_message(QueueUrl=queue_url, MessageBody=body)
    assert _poll_until_empty(poller) == 4  # three, and the bad one a second time
    assert _bodies(sqs, dead_letters) == ["bad"]


def test_a_function_that_raises_keeps_its_whole_batch(
    localstack: LocalStack, queue_url: str, dead_letters: str, poller: QueuePoller
) -> None:
    sqs = localstack.client("sqs")
    entries = [{"Id": body, "MessageBody": body} for body in ("good", "raise")]
    sqs.send_message_batch(QueueUrl=queue_url, Entries=entries)
    assert poller.poll(wait_s=2) >= 1
    _poll_until_empty(poller)
    assert "raise" in _bodies(sqs, dead_letters)


def test_a_message_under_way_is_invisible_to_others(
    localstack: LocalStack, queue_url: str, poller: QueuePoller
) -> None:
    sqs = localstack.client("sqs")
    sqs.set_queue_attributes(QueueUrl=queue_url, Attributes={"VisibilityTimeout": "60"})
    sqs.send_message(QueueUrl=queue_url, MessageBody="bad")
    assert poller.poll(wait_s=2) == 1
    assert poller.poll(wait_s=0) == 0


def test_a_missing_handler_is_said(tmp_path: Path) -> None:
    function = Function("Nothing", tmp_path, "app.handler", 30, 128, (), (), ())
    with pytest.raises(StackError, match="Nothing: there is no handler"):
        LambdaFunction(function, environments=1).warm()


def test_every_queue_of_the_template_is_an_output_of_the_storage_stack() -> None:
    template = read_template()
    outputs = read_outputs()
    queues = {source.queue_output for function in template.functions for source in function.queues}
    assert queues == {"NudgeQueueArn", "UploadEventQueueArn"}
    for name in queues:
        assert {name, name.removesuffix("Arn") + "Url"} <= outputs
    assert {s.interval_s for f in template.functions for s in f.schedules} == {60, 300}


def test_every_route_asks_for_a_token_and_the_scope() -> None:
    routes = [route for function in read_template().functions for route in function.routes]
    assert len(routes) >= 15
    # Which ones are open, and why, stands in the template's own tests.
    assert {route.scopes for route in routes if route.path.startswith("/api/")} == {("telemetry",)}

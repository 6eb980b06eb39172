"""Nudge doubled x10, reordered, never sent; one bad message in a batch of ten; a worker that dies before the ack."""

import hashlib
import importlib.util
import json
import random
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from infra.local.localstack import LocalStack
from telemetry.nudge import BODY
from telemetry.services import Services
from telemetry.settings import Settings
from tests.faults.conftest import at_rest
from tests.faults.worker_pool import WorkerPool
from tests.plugins.harness import LIFE_MS, SAMPLES

ROOT = Path(__file__).parents[2]
CSV = (SAMPLES / "sample_gnss_10hz.csv").read_bytes()
SOURCES = {hashlib.sha256(CSV).hexdigest(): CSV}


class Context:
    """What the handler reads of a Lambda context."""

    function_name = "telemetry-worker"
    memory_limit_in_mb = 1769
    invoked_function_arn = "arn:aws:lambda:eu-central-1:123456789012:function:telemetry-worker"
    aws_request_id = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"

    def get_remaining_time_in_millis(self) -> int:
        """A whole life."""
        return LIFE_MS


@pytest.fixture
def handler(pool: WorkerPool) -> Iterator[ModuleType]:
    """The worker function over the pool's harness."""
    specification = importlib.util.spec_from_file_location("faults_worker_app", ROOT / "functions/worker/app.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    module.__dict__["services"] = pool.harness.services
    yield module


@pytest.fixture
def dead_letters(localstack: LocalStack, queue_url: str) -> Iterator[str]:
    """The dead-letter queue of `queue_url`, whose messages come again at once and at most three times."""
    sqs = localstack.client("sqs")
    url = sqs.create_queue(QueueName=queue_url.rsplit("/", 1)[1] + "-dead")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 3})
    sqs.set_queue_attributes(QueueUrl=queue_url, Attributes={"VisibilityTimeout": "0", "RedrivePolicy": redrive})
    yield url
    sqs.delete_queue(QueueUrl=url)


def test_nudge_doubled_ten_times_and_reordered(pool: WorkerPool, handler: ModuleType) -> None:
    made = [pool.harness.finalised(CSV + b"\n" * number) for number in range(3)]
    messages = [_record(str(number), BODY) for number in range(10)] * 2
    random.Random(3).shuffle(messages)
    for start in range(0, len(messages), 10):
        assert handler.handler({"Records": messages[start : start + 10]}, Context()) == {"batchItemFailures": []}
    for one in made:
        assert [job["attempt_count"] for job in pool.harness.jobs(one)] == [1] * 5
    at_rest(pool, SOURCES)


def test_nudge_never_sent(pool: WorkerPool, handler: ModuleType) -> None:
    """The schedule of a minute finds the work."""
    made = pool.harness.finalised(CSV)
    handler.handler({"source": "aws.scheduler", "detail-type": "Scheduled Event"}, Context())
    assert pool.harness.session(made)["status"] == "READY"
    at_rest(pool, SOURCES)


def test_one_bad_message_in_a_batch_of_ten_ends_in_the_dead_letters(
    pool: WorkerPool, handler: ModuleType, localstack: LocalStack, queue_url: str, dead_letters: str
) -> None:
    made = pool.harness.finalised(CSV)
    sqs = localstack.client("sqs")
    for number in range(10):
        sqs.send_message(QueueUrl=queue_url, MessageBody="rubbish" if number == 4 else BODY)
    acknowledged = 0
    for _ in range(30):
        received = sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10).get("Messages", [])
        if not received:
            break
        answer = handler.handler({"Records": [_record(one["MessageId"], one["Body"]) for one in received]}, Context())
        failed = {one["itemIdentifier"] for one in answer["batchItemFailures"]}
        for one in received:
            if one["MessageId"] not in failed:
                sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=one["ReceiptHandle"])
                acknowledged += 1
    assert acknowledged == 9
    dead = sqs.receive_message(QueueUrl=dead_letters, WaitTimeSeconds=2)["Messages"]
    assert [one["Body"] for one in dead] == ["rubbish"]
    assert pool.harness.session(made)["status"] == "READY"
    at_rest(pool, SOURCES)


def test_a_worker_that_dies_before_the_ack(pool: WorkerPool, handler: ModuleType) -> None:
    """SQS delivers its nudge again; the jobs that it completed stay completed."""
    made = pool.harness.finalised(CSV)
    pool.stopped_at("after_commit@parse_raw").kill()
    done = [job["id"] for job in pool.harness.jobs(made) if job["status"] == "SUCCEEDED"]
    assert len(done) == 3
    handler.handler({"Records": [_record("1", BODY)]}, Context())
    at_rest(pool, SOURCES)
    assert [job["attempt_count"] for job in pool.harness.jobs(made)][:3] == [1] * 3
    assert pool.harness.session(made)["status"] == "READY"


def test_a_queue_that_is_gone_loses_no_work(pool: WorkerPool) -> None:
    made = pool.harness.finalised(CSV)
    settings = pool.harness.services.settings
    environment = {"TELEMETRY_NUDGE_QUEUE_URL": "http://127.0.0.1:9/nowhere", "AWS_REGION": "us-east-1"}
    services = Services(Settings.from_environment({**pool.environment, **environment}))
    services.nudges.send()
    assert services.settings.database == settings.database
    at_rest(pool, SOURCES)
    assert pool.harness.session(made)["status"] == "READY"


def _record(message_id: str, body: str) -> dict[str, Any]:
    return {"messageId": message_id, "body": body, "eventSource": "aws:sqs", "receiptHandle": "r", "attributes": {}}

"""Feeds queues and schedules to the deployed functions, as Lambda's event source mappings and EventBridge do.

A process of its own, so that parsing does not slow the API. Queues and schedules come from template.yaml.
"""

import logging
import os
import signal
import threading
import time
from datetime import UTC, datetime
from typing import Any

from infra.local.handover import take_over
from infra.local.lambda_environment import LambdaFunction
from infra.local.sqs_event import done_messages, scheduled_event, sqs_event
from infra.local.template import QueueSource, Schedule, Template, read_template

LOG = logging.getLogger("poller")
LONG_POLL_S = 20
ENVIRONMENTS = 2
GRACE_S = 3.0


class QueuePoller:
    """One event source mapping: receives batches, calls the function, deletes what is done."""

    def __init__(self, source: QueueSource, function: LambdaFunction, *, sqs: Any, url: str, arn: str) -> None:
        self._source = source
        self._function = function
        self._sqs = sqs
        self._url = url
        self._arn = arn

    def poll(self, *, wait_s: int = LONG_POLL_S) -> int:
        """One batch; returns how many messages it held."""
        messages = self._sqs.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=min(self._source.batch_size, 10),
            WaitTimeSeconds=wait_s,
            AttributeNames=["All"],
            MessageAttributeNames=["All"],
        ).get("Messages", [])
        if not messages:
            return 0
        try:
            answer = self._function.invoke(sqs_event(messages, queue_arn=self._arn))
        except Exception:
            # Nothing is deleted: each message comes again once its visibility timeout has passed.
            LOG.exception("%s failed", self._function.function.name)
            return len(messages)
        done = done_messages(messages, answer, report_failures=self._source.report_failures)
        for message in done:
            self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
        if len(done) < len(messages):
            LOG.warning(
                "%s: %d of %d messages failed", self._function.function.name, len(messages) - len(done), len(messages)
            )
        return len(messages)


class Poller:
    """All queues and schedules of the template, each in a thread."""

    def __init__(self) -> None:
        self._stopping = threading.Event()

    def run(self, template: Template, functions: dict[str, LambdaFunction], settings: dict[str, Any]) -> None:
        """Returns when asked to stop, after what is under way has had a little time to end."""
        import boto3.session

        session: Any = boto3.session.Session()
        region = os.environ["AWS_REGION"]
        outputs: dict[str, str] = settings["outputs"]
        for entry in template.functions:
            function = functions.get(entry.name)
            if function is None:
                continue
            for source in entry.queues:
                poller = QueuePoller(
                    source,
                    function,
                    sqs=session.client("sqs", endpoint_url=settings["sqsEndpoint"]),
                    url=outputs[source.queue_output.removesuffix("Arn") + "Url"],
                    arn=outputs[source.queue_output],
                )
                for _ in range(ENVIRONMENTS):
                    threading.Thread(target=self._poll, args=(poller,), daemon=True).start()
            for schedule in entry.schedules:
                threading.Thread(target=self._tick, args=(schedule, function, region), daemon=True).start()
        self._stopping.wait()
        limit = time.monotonic() + GRACE_S
        while any(function.busy for function in functions.values()) and time.monotonic() < limit:
            time.sleep(0.02)

    def stop(self) -> None:
        """Starts nothing more."""
        self._stopping.set()

    def _poll(self, poller: QueuePoller) -> None:
        while not self._stopping.is_set():
            try:
                poller.poll()
            except Exception:
                if not self._stopping.is_set():
                    LOG.exception("the queue does not answer")
                    self._stopping.wait(1)

    def _tick(self, schedule: Schedule, function: LambdaFunction, region: str) -> None:
        while not self._stopping.wait(schedule.interval_s):
            try:
                function.invoke(scheduled_event(schedule.name, time=datetime.now(UTC), region=region))
            except Exception:
                LOG.exception("%s failed", function.function.name)


def main() -> None:
    """Polls until the stack ends it."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    template = read_template()
    poller = Poller()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: poller.stop())
    functions = {
        entry.name: LambdaFunction(entry, environments=ENVIRONMENTS + len(entry.schedules))
        for entry in template.functions
        if entry.queues or entry.schedules
    }
    for function in functions.values():
        function.warm()
    settings = take_over(gone=poller.stop)
    poller.run(template, functions, settings)
    os._exit(0)  # threads may be in the middle of a long poll, or of work that the queue will give again


if __name__ == "__main__":
    main()

"""The nudge: one SQS message that says "there is work". It carries no truth: lost or doubled, nothing changes."""

import json
import logging
from functools import cached_property
from typing import TYPE_CHECKING

from telemetry.settings import Settings

if TYPE_CHECKING:
    from types_boto3_sqs.client import SQSClient

logger = logging.getLogger(__name__)

BODY = json.dumps({"kind": "work"})
"""The one message body there is."""


def is_nudge(body: str) -> bool:
    """True for a body that `NudgeQueue.send` wrote; anything else came from elsewhere."""
    try:
        message = json.loads(body)
    except ValueError:
        return False
    return isinstance(message, dict) and message.get("kind") == "work"


class NudgeQueue:
    """Sends nudges. Without a queue address every call does nothing: the schedule finds the work."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @cached_property
    def _client(self) -> "SQSClient":
        import boto3
        from botocore.config import Config

        return boto3.client(
            "sqs",
            region_name=self._settings.object_storage.region,
            endpoint_url=self._settings.sqs_endpoint or None,
            # A nudge is worth little waiting: what it would say is in the database already.
            config=Config(connect_timeout=2, read_timeout=3, retries={"mode": "standard", "max_attempts": 2}),
        )

    def send(self) -> None:
        """Sends one nudge. Call after the commit that enqueued work; a failure is logged and swallowed."""
        if not self._settings.nudge_queue_url:
            return
        try:
            self._client.send_message(QueueUrl=self._settings.nudge_queue_url, MessageBody=BODY)
        except Exception as error:  # whatever it is, the schedule drains what this nudge would have told of
            logger.warning("nudge not sent", extra={"error": type(error).__name__})

"""S3 event notifications as they arrive in an SQS message. Pure."""

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus


@dataclass(frozen=True, slots=True)
class CreatedObject:
    """An object that an event says was created. `path` is its key, decoded."""

    bucket: str
    path: str
    byte_size: int
    etag: str | None
    version: str | None


def created_objects(body: str) -> list[CreatedObject]:
    """The objects of one message; none for the test event that S3 sends when a notification is set up.

    Keys are URL-encoded with `+` for a space (Amazon S3 User Guide, "Event message structure").

    Raises
    ------
    ValueError : the message is no S3 event.
    """
    message = json.loads(body)
    if not isinstance(message, dict):
        raise ValueError("not an S3 event")
    if message.get("Event") == "s3:TestEvent":
        return []
    try:
        records = [record for record in message["Records"] if record["eventName"].startswith("ObjectCreated:")]
        return [_created(record["s3"]) for record in records]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("not an S3 event") from error


def _created(s3: dict[str, Any]) -> CreatedObject:
    stored = s3["object"]
    return CreatedObject(
        bucket=s3["bucket"]["name"],
        path=unquote_plus(stored["key"]),
        byte_size=int(stored.get("size", 0)),
        etag=stored.get("eTag"),
        version=stored.get("versionId"),
    )

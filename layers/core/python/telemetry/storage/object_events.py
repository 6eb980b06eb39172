"""S3 event notifications as they arrive in an SQS message. Pure."""

import json
from urllib.parse import unquote_plus


def created_paths(body: str) -> list[str]:
    """Paths (keys, decoded) of the objects that one message says were created.

    None for the test event that S3 sends when a notification is set up. Size, ETag and checksum are asked of the
    store instead: an event may be late. Keys are URL-encoded with `+` for a space (Amazon S3 User Guide, "Event
    message structure").

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
        return [unquote_plus(record["s3"]["object"]["key"]) for record in records]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("not an S3 event") from error

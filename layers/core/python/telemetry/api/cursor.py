"""Page cursors: a position in the list of sessions as opaque text. They grant nothing; each query names the owner."""

import base64
import binascii
from datetime import UTC, datetime
from uuid import UUID

from telemetry.api.problems import RequestInvalid
from telemetry.sessions import Position


def encode(position: Position) -> str:
    """The cursor of a position, to the microsecond."""
    text = f"{position.created_at.isoformat()} {position.session_id}"
    return base64.urlsafe_b64encode(text.encode("ascii")).decode("ascii").rstrip("=")


def decode(cursor: str) -> Position:
    """The position of a cursor.

    Raises
    ------
    RequestInvalid : it is not one.
    """
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
        created_at, _, session_id = text.partition(" ")
        moment = datetime.fromisoformat(created_at)
        if moment.tzinfo is not None:
            # No calendar holds year 1 or 9999 in every zone.
            return Position(moment.astimezone(UTC), UUID(session_id))
    except (binascii.Error, ValueError, OverflowError):
        pass
    raise RequestInvalid([{"field": "cursor", "message": "Give `nextCursor` of a page, unchanged"}])

"""Errors as `application/problem+json` (RFC 9457). Never anything of the service's inside."""

import json
from dataclasses import dataclass
from typing import Any

from telemetry.errors import Code, TelemetryError

CONTENT_TYPE = "application/problem+json"
RETRY_AFTER_S = {
    Code.UPLOAD_NOT_RECEIVED: 2,
    Code.TOO_MANY_UPLOADS: 60,
    Code.SESSION_NOT_READY: 2,
    Code.STORAGE_UNAVAILABLE: 5,
    Code.DATABASE_UNAVAILABLE: 5,
}
"""When asking again may help, in seconds."""


class RequestInvalid(TelemetryError):
    """A request that breaks its model, with every place where it does."""

    def __init__(self, places: list[dict[str, str]]) -> None:
        super().__init__(Code.REQUEST_INVALID, "; ".join(f"{place['field']}: {place['message']}" for place in places))
        self.places = places


@dataclass(frozen=True, slots=True)
class Problem:
    """The answer to a request that failed."""

    status: int
    headers: dict[str, str]
    body: str


def problem(error: TelemetryError, *, instance: str, request_id: str) -> Problem:
    """The answer that tells of an error.

    A code that is not meant for the API (of a recording, say) would be our mistake here and answers as an internal
    error.

    Parameters
    ----------
    instance : the path that was asked for.
    request_id : for people who ask the operators.
    """
    if error.entry.http_status is None:
        error = TelemetryError(Code.INTERNAL_ERROR)
    status = error.entry.http_status or 500
    # What the operator may read of our own failures stays in the log.
    detail = error.message if status < 500 else TelemetryError(error.code).message
    members: dict[str, Any] = {
        "type": f"urn:telemetry:problem:{error.code.lower().replace('_', '-')}",
        "title": error.entry.title,
        "status": status,
        "detail": detail,
        "code": str(error.code),
        "instance": instance,
        "requestId": request_id,
    }
    if isinstance(error, RequestInvalid):
        members["errors"] = error.places
    headers: dict[str, str] = {}
    if error.code in RETRY_AFTER_S:
        headers["Retry-After"] = str(RETRY_AFTER_S[error.code])
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if status == 403:
        headers["WWW-Authenticate"] = 'Bearer error="insufficient_scope"'
    return Problem(status, headers, json.dumps(members, ensure_ascii=False))

"""What can go wrong between a client and the service, told for a person. Never a token, a signed address or a place."""

from typing import Any

import httpx

from telemetry.errors import CATALOGUE, Code

_CODE_OF_STATUS = {
    401: Code.UNAUTHENTICATED,
    403: Code.FORBIDDEN,
    404: Code.NOT_FOUND,
    405: Code.METHOD_NOT_ALLOWED,
    413: Code.REQUEST_TOO_LARGE,
}
"""API Gateway answers some requests itself, with a status and no code."""


class ClientError(Exception):
    """Something did not work.

    Attributes
    ----------
    message : what went wrong.
    remedy : what to do about it; may be empty.
    code : of the service's catalogue, or empty.
    """

    def __init__(self, message: str, *, remedy: str = "", code: str = "") -> None:
        super().__init__(" ".join(part for part in (f"{code}:" if code else "", message, remedy) if part))
        self.message = message
        self.remedy = remedy
        self.code = code


class ServiceError(ClientError):
    """The service refused. `request_id` is what its operators ask for."""

    def __init__(self, message: str, *, code: str, status: int, remedy: str = "", request_id: str = "") -> None:
        super().__init__(message, remedy=remedy, code=code)
        self.status = status
        self.request_id = request_id


class Unreachable(ClientError):
    """No answer, or one of a server that is not the service."""


class BrokenOff(Unreachable):
    """The file store let go of a connection while bytes went over it, time and again."""


class StillProcessing(ClientError):
    """It takes longer than the caller wanted to wait. Nothing is lost."""


class Interrupted(ClientError):
    """The caller wanted to stop."""

    def __init__(self) -> None:
        super().__init__("Interrupted.")


def error_of(answer: httpx.Response) -> ServiceError:
    """What a refusal says: problem+json of the service (RFC 9457), or less of the gateway before it."""
    try:
        body = answer.json()
    except ValueError:
        body = None
    told: dict[str, Any] = body if isinstance(body, dict) else {}
    code = str(told.get("code") or _CODE_OF_STATUS.get(answer.status_code) or f"HTTP_{answer.status_code}")
    entry = CATALOGUE[Code(code)] if code in Code.__members__ else None
    detail = str(told.get("detail") or (entry.title + "." if entry else told.get("title") or _reason(answer)))
    remedy = entry.remedy if entry else ""
    return ServiceError(
        # The service ends its sentence with the remedy; here it stands by itself.
        detail.removesuffix(remedy).rstrip() or detail,
        code=code,
        status=answer.status_code,
        remedy=remedy,
        request_id=str(told.get("requestId") or answer.headers.get("apigw-requestid", "")),
    )


def _reason(answer: httpx.Response) -> str:
    return f"The server answered {answer.status_code} {answer.reason_phrase}".rstrip() + "."

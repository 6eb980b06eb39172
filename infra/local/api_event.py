"""API Gateway HTTP APIs, payload format 2.0: HTTP request to Lambda event, Lambda answer to HTTP response.

Source: Amazon API Gateway Developer Guide, "Create AWS Lambda proxy integrations for HTTP APIs". Pure.
"""

import base64
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, unquote

from infra.local.template import Route

_TEXT = re.compile(r"(text/.*|application/(.*\+)?(json|javascript|xml))\s*(;.*)?", re.IGNORECASE)
_API_ID = "local"


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request as it came in. `path` and `query` are still encoded; header names are lower case."""

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    source_ip: str
    protocol: str


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response; a header may occur more than once."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class InvalidAnswer(Exception):
    """The function's answer cannot be turned into an HTTP response."""


def event_of(
    request: Request,
    *,
    route: Route,
    path_parameters: Mapping[str, str],
    claims: Mapping[str, Any] | None,
    request_id: str,
    time: datetime,
) -> dict[str, Any]:
    """The event of payload format 2.0. Keys without a value are left out, as API Gateway does."""
    headers, cookies = _headers(request.headers)
    is_text = bool(_TEXT.fullmatch(headers.get("content-type", "text/plain")))
    host = headers.get("host", "localhost")
    context: dict[str, Any] = {
        "accountId": "000000000000",
        "apiId": _API_ID,
        "domainName": host,
        "domainPrefix": host.split(".")[0],
        "http": {
            "method": request.method,
            "path": unquote(request.path),
            "protocol": request.protocol,
            "sourceIp": request.source_ip,
            "userAgent": headers.get("user-agent", ""),
        },
        "requestId": request_id,
        "routeKey": route.key,
        "stage": "$default",
        "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000"),
        "timeEpoch": int(time.timestamp() * 1000),
    }
    if claims is not None:
        context["authorizer"] = {
            "jwt": {
                "claims": {name: claim_text(value) for name, value in claims.items()},
                "scopes": list(route.scopes) if route.scopes else None,
            }
        }
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": route.key,
        "rawPath": unquote(request.path),
        "rawQueryString": request.query,
        "headers": headers,
        "requestContext": context,
        "isBase64Encoded": bool(request.body) and not is_text,
    }
    if cookies:
        event["cookies"] = cookies
    if request.query:
        event["queryStringParameters"] = _joined(parse_qsl(request.query, keep_blank_values=True))
    if path_parameters:
        event["pathParameters"] = dict(path_parameters)
    if request.body:
        body = request.body
        event["body"] = body.decode("utf-8", "replace") if is_text else base64.b64encode(body).decode("ascii")
    return event


def response_of(answer: Any) -> Response:
    """The HTTP response that API Gateway makes of a function's answer; raises InvalidAnswer.

    An answer without `statusCode` is the body of a 200, as JSON: API Gateway infers the rest.
    """
    if not isinstance(answer, dict) or "statusCode" not in answer:
        body = answer if isinstance(answer, str) else json.dumps(answer)
        return Response(200, (("content-type", "application/json"),), body.encode())
    try:
        status = int(answer["statusCode"])
        body = answer.get("body") or ""
        raw = base64.b64decode(body, validate=True) if answer.get("isBase64Encoded") else body.encode()
        single = {str(name).lower(): value for name, value in (answer.get("headers") or {}).items()}
        several = {str(name).lower(): values for name, values in (answer.get("multiValueHeaders") or {}).items()}
        headers = [(name, str(value)) for name, value in single.items() if name not in several]
        headers += [(name, str(value)) for name, values in several.items() for value in values]
        headers += [("set-cookie", str(cookie)) for cookie in answer.get("cookies") or []]
    except (ValueError, TypeError, AttributeError) as error:
        raise InvalidAnswer(str(error)) from error
    if not 100 <= status <= 599:
        raise InvalidAnswer(f"statusCode {status}")
    if not any(name == "content-type" for name, _ in headers):
        headers.append(("content-type", "text/plain"))
    return Response(status, tuple(headers), raw)


def claim_text(value: Any) -> str:
    """A claim as API Gateway hands it on: always a string, lists as ``[a b]``."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return f"[{' '.join(claim_text(part) for part in value)}]"
    return json.dumps(value)


def _headers(pairs: Iterable[tuple[str, str]]) -> tuple[dict[str, str], list[str]]:
    """Headers with names in lower case and repeated ones joined by commas; cookies apart."""
    cookies: list[str] = []
    others: list[tuple[str, str]] = []
    for name, value in pairs:
        if name.lower() == "cookie":
            cookies += [part.strip() for part in value.split(";") if part.strip()]
        else:
            others.append((name.lower(), value))
    return _joined(others), cookies


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, value in pairs:
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined

"""Requests signed in their URL (AWS Signature Version 4), for S3 and for RDS's tokens. Reads credentials, calls nobody.

botocore signs alike, and the tests hold this to it; but importing that part of it takes 70 ms, twice what a Lambda
needs to start, and every cold environment signs: an upload's address, or the token that opens the database.
"""

import functools
import hashlib
import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

from telemetry.errors import Code, TelemetryError

UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
"""S3's word for a body that is not known yet."""
EMPTY_PAYLOAD = hashlib.sha256(b"").hexdigest()

_ALGORITHM = "AWS4-HMAC-SHA256"
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Credentials:
    """What is signed with; a token comes with temporary ones."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(repr=False)


def credentials(*, missing: Code) -> Credentials:
    """Lambda's stand in its environment; anywhere else (profiles, containers) botocore finds them.

    Raises
    ------
    TelemetryError : `missing` when there are none, or the one who gives them does not answer.
    """
    access_key, secret_key = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    if access_key and secret_key:
        return Credentials(access_key, secret_key, os.environ.get("AWS_SESSION_TOKEN") or None)
    from botocore.exceptions import BotoCoreError

    try:
        found = _botocore_credentials()
        frozen = found and found.get_frozen_credentials()
    except BotoCoreError as error:
        raise TelemetryError(missing, f"no credentials to sign with: {type(error).__name__}") from error
    if frozen is None:
        raise TelemetryError(missing, "no credentials to sign with")
    return Credentials(*frozen[:3])


def signed_url(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    service: str,
    region: str,
    payload: str,
    seconds: int,
    credentials: Credentials,
    at: datetime,
) -> str:
    """The URL with a signature that is good for `seconds` from `at`, for this method and these headers, all of them.

    Source: AWS General Reference, "Create a signed AWS API request", with authentication in query parameters.

    Parameters
    ----------
    url : its path as it will be sent, percent-encoded once.
    payload : SHA-256 of the body in hexadecimal, or `UNSIGNED_PAYLOAD`.
    at : in UTC.
    """
    parts = urlsplit(url)
    time = at.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{time[:8]}/{region}/{service}/aws4_request"
    signed = {"host": _host(url), **{name.lower(): " ".join(value.split()) for name, value in headers.items()}}
    names = ";".join(sorted(signed))
    query = [
        *parse_qsl(parts.query, keep_blank_values=True),
        ("X-Amz-Algorithm", _ALGORITHM),
        ("X-Amz-Credential", f"{credentials.access_key}/{scope}"),
        ("X-Amz-Date", time),
        ("X-Amz-Expires", str(seconds)),
        ("X-Amz-SignedHeaders", names),
        *([("X-Amz-Security-Token", credentials.token)] if credentials.token is not None else ()),
    ]
    encoded = [(quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in query]
    request = (
        method,
        parts.path or "/",
        _joined(sorted(encoded)),
        *(f"{name}:{signed[name]}" for name in sorted(signed)),
        "",
        names,
        payload,
    )
    digest = hashlib.sha256("\n".join(request).encode()).hexdigest()
    key = f"AWS4{credentials.secret_key}".encode()
    for scoped in scope.split("/"):
        key = hmac.digest(key, scoped.encode(), "sha256")
    signature = hmac.digest(key, f"{_ALGORITHM}\n{time}\n{scope}\n{digest}".encode(), "sha256").hex()
    return urlunsplit(parts._replace(query=f"{_joined(encoded)}&X-Amz-Signature={signature}"))


def now() -> datetime:
    """The clock that signatures are dated by."""
    return datetime.now(UTC)


def _joined(query: list[tuple[str, str]]) -> str:
    return "&".join(f"{name}={value}" for name, value in query)


def _host(url: str) -> str:
    """As an HTTP client sends it: without a port that goes without saying."""
    parts = urlsplit(url)
    host = parts.netloc.lower()
    return host.removesuffix(f":{parts.port}") if parts.port == _DEFAULT_PORTS.get(parts.scheme) else host


@functools.cache
def _botocore_credentials() -> Any:
    # Kept, as it renews itself before it expires.
    from botocore.session import Session

    return Session().get_credentials()

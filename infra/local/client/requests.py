"""Requests to the API and to the file store, tried again where that may help and cannot harm."""

import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx

from infra.local.client.errors import ClientError, Unreachable, error_of
from telemetry.errors import Code

API_PREFIX = "/api/v1/telemetry"
ATTEMPTS = 4
LONGEST_PAUSE_S = 60.0
_FIRST_PAUSE_S = 0.5
_LATER = (429, 503)  # not done: any request may be repeated
_UNKNOWN = (502, 504)  # done or not: only a request that may be done twice is repeated
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")

# They log every address at INFO and DEBUG, signed ones included.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)


@dataclass(frozen=True, slots=True)
class Answer:
    """`lost` is set when an earlier attempt may have been done although its answer never came."""

    response: httpx.Response
    lost: bool = False


class Requests:
    """Sends requests.

    Parameters
    ----------
    url : of the API; its usual prefix may be left out. Only the loopback may go without TLS, as a token goes with it.
    pause : sleeps for some seconds; may raise to stop.
    transport : stands in for the network.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        pause: Callable[[float], None],
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = checked_url(url)
        self.host = urlsplit(self.url).netloc.rpartition("@")[2]
        self.pause = pause
        if not token.isascii() or not token.isprintable() or not token or " " in token:
            raise ClientError(
                "The token is not one.",
                remedy="Give the access token alone, without `Bearer`.",
                code=Code.UNAUTHENTICATED,
            )
        # Proxies of the environment lead outside; what listens on the loopback is not to be reached through them.
        tls = httpx.create_ssl_context()
        direct = None if transport else {f"all://{name}": httpx.HTTPTransport(verify=tls) for name in _LOOPBACK}
        self._api = httpx.Client(
            headers={"authorization": f"Bearer {token}", "accept": "application/json"},
            timeout=httpx.Timeout(35, connect=10),
            transport=transport,
            mounts=direct,
            verify=tls,
        )
        # Without the token: the address itself is what the store trusts.
        self.store = httpx.Client(
            timeout=httpx.Timeout(60, connect=10, read=300), transport=transport, mounts=direct, verify=tls
        )

    def close(self) -> None:
        """Closes every connection."""
        self._api.close()
        self.store.close()

    def send(
        self,
        method: str,
        path: str,
        *,
        idempotent: bool = True,
        json: Any = None,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One call of the API, with its answer if that is a success or a 304.

        Parameters
        ----------
        idempotent : that doing it twice is as good as once, so that it is repeated when a connection breaks.

        Raises
        ------
        ServiceError : when the service refuses.
        Unreachable : when no attempt gets an answer.
        """
        lost = False
        for attempt in range(1, ATTEMPTS + 1):
            pause = backoff(attempt)
            try:
                answer = self._api.request(
                    method, f"{self.url}/{path}", json=json, params=query or None, headers=dict(headers or {})
                )
            except httpx.TransportError as error:
                never_sent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
                if attempt == ATTEMPTS or not (idempotent or never_sent):
                    raise self.unreachable(error) from None
                lost = lost or not never_sent
            else:
                if answer.is_success or answer.status_code == 304:
                    return Answer(answer, lost)
                again = answer.status_code in _LATER or (idempotent and answer.status_code in _UNKNOWN)
                pause = max(pause, retry_after(answer))
                if not again or attempt == ATTEMPTS or pause > LONGEST_PAUSE_S:
                    if lost and method == "DELETE" and answer.status_code == 404:
                        return Answer(answer, lost)  # the attempt whose answer never came has done it
                    raise error_of(answer)
                lost = lost or answer.status_code in _UNKNOWN
            self.pause(pause)
        raise AssertionError("every attempt ends above")

    def unreachable(self, error: httpx.TransportError) -> Unreachable:
        """What a broken connection to the API means to a person."""
        what = "did not answer in time" if isinstance(error, httpx.TimeoutException) else "cannot be reached"
        return Unreachable(
            f"The service at {self.host} {what} ({type(error).__name__}).",
            remedy="Check the address and the network; `make up` starts the local one.",
        )


def checked_url(url: str) -> str:
    """The API's address without a slash at its end, its prefix added where it has no path; raises ClientError."""
    parts = urlsplit(url.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None or parts.query:
        raise ClientError("The API's address is not one.", remedy=f"It looks like https://host{API_PREFIX}.")
    if parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise ClientError(
            "The API's address must begin with https: a token sent without TLS can be read by others.",
            remedy="Only an address of this machine (127.0.0.1, localhost) may begin with http.",
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/') or API_PREFIX}"


def backoff(attempt: int) -> float:
    """Seconds before the attempt after this one: half of them fixed, half random."""
    return float(_FIRST_PAUSE_S * 2 ** (attempt - 1) * (0.5 + 0.5 * random.random()))  # noqa: S311  (spreads clients)


def retry_after(answer: httpx.Response) -> float:
    """Seconds that the server asks to wait: a number or a date (RFC 9110, section 10.2.3); 0 where it says nothing."""
    value = answer.headers.get("retry-after", "").strip()
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return 0.0

"""Where the API is, and the token for it: given, from the environment, or written down by `make up`."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from infra.local.client.errors import ClientError
from infra.local.client.requests import checked_url
from telemetry.errors import Code

URL_VARIABLE = "TELEMETRY_API_URL"
TOKEN_VARIABLE = "TELEMETRY_API_TOKEN"  # noqa: S105  (a variable's name)
_FILE = "api.json"


@dataclass(frozen=True, slots=True)
class Access:
    """An API and a token for it."""

    url: str
    token: str = field(repr=False)


@contextlib.contextmanager
def written(directory: Path, access: Access) -> Iterator[None]:
    """Within it the stack's access stands in its directory, readable by its user alone."""
    file = directory / _FILE
    file.unlink(missing_ok=True)
    file.touch(mode=0o600)
    file.write_text(json.dumps({"url": access.url, "token": access.token}), "utf-8")
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def find(url: str | None, token: str | None, *, environment: Mapping[str, str], directory: Path) -> Access:
    """The API to talk to. What is given wins over the environment, and that over what `make up` wrote in `directory`.

    A token is sent to nobody but the API that it was written down for.

    Raises
    ------
    ClientError : when an address or a token is missing.
    """
    url = (url or environment.get(URL_VARIABLE, "")).strip()
    token = (token or environment.get(TOKEN_VARIABLE, "")).strip()
    local = _read(directory / _FILE)
    if not url and local is None:
        raise ClientError(
            "No address of an API is given.",
            remedy=f"Set {URL_VARIABLE} and {TOKEN_VARIABLE}, or start the local stack with `make up`.",
        )
    if local is not None and not token and (not url or checked_url(url) == checked_url(local.url)):
        return local
    if not token:
        raise ClientError(
            "No token is given.",
            remedy=f"Set {TOKEN_VARIABLE} to an access token for this API.",
            code=Code.UNAUTHENTICATED,
        )
    return Access(url or (local.url if local else ""), token)


def _read(file: Path) -> Access | None:
    try:
        content = json.loads(file.read_text("utf-8"))
        return Access(str(content["url"]), str(content["token"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None

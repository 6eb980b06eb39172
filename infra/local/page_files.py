"""The page at the gateway's own address: its static files, and the `config.json` that tells it where the API is.

A development token stands in that `config.json`, so the page is for this machine alone: whoever comes over a network or
by another name than the loopback's is sent away, which a name that points to the loopback (DNS rebinding) cannot get
around.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response

from infra.web import PAGE
from infra.web.policy import CACHE, CACHE_NEVER, HEADERS, content_security_policy, content_type

_LOOPBACK = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?")


@dataclass(frozen=True, slots=True)
class PageFiles:
    """The page's folder, served.

    Attributes
    ----------
    api_prefix : path of the API on the page's own origin.
    token : of the stack's development user.
    connect : origins that the page may call besides its own.
    """

    api_prefix: str
    token: str
    connect: Sequence[str]
    folder: Path = PAGE

    def answer(self, request: Request) -> Response | None:
        """The response to a GET or HEAD of one of the page's files, or None where the path names none."""
        if request.method not in ("GET", "HEAD"):
            return None
        path = unquote(request.scope.get("raw_path", b"/").decode("latin-1").partition("?")[0]).lstrip("/")
        path = path or "index.html"
        if path == "config.json":
            content, cache = self._configuration(request), CACHE_NEVER
        elif (file := self._file(path)) is not None:
            content, cache = file.read_bytes(), CACHE
        else:
            return None
        by_name = _LOOPBACK.fullmatch(request.headers.get("host", ""))
        if not by_name or request.client is None or not ip_address(request.client.host).is_loopback:
            return Response("Open the page as 127.0.0.1 or localhost.\n", HTTPStatus.MISDIRECTED_REQUEST)
        headers = {
            **HEADERS,
            "content-security-policy": content_security_policy(self.connect),
            "cache-control": cache,
            "content-type": content_type(path) or "",
            "etag": f'"{hashlib.sha256(content).hexdigest()[:32]}"',
        }
        if headers["etag"] in [tag.strip() for tag in request.headers.get("if-none-match", "").split(",")]:
            return Response(None, HTTPStatus.NOT_MODIFIED, headers)
        return Response(content, HTTPStatus.OK, headers)

    def _file(self, path: str) -> Path | None:
        if "\0" in path or content_type(path) is None:
            return None
        file = (self.folder / path).resolve()
        return file if file.is_file() and file.is_relative_to(self.folder.resolve()) else None

    def _configuration(self, request: Request) -> bytes:
        api = f"{request.url.scheme}://{request.headers.get('host', '')}{self.api_prefix}"
        return json.dumps({"api": api, "token": self.token}).encode()

"""The local API gateway: HTTP in, API Gateway events to the deployed handlers, their answers out. An ASGI server.

Routes, scopes, timeouts and CORS come from template.yaml. Run by the stack, which hands over the listening socket.
"""

import argparse
import asyncio
import json
import logging
import os
import re
import signal
import socket
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

import anyio
import anyio.from_thread
import anyio.to_thread
import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse
from starlette.responses import Response as HttpResponse
from starlette.routing import Route as HttpRoute
from starlette.types import Receive, Scope, Send

from infra.local.api_event import InvalidAnswer, Request, Response, event_of, response_of
from infra.local.handover import take_over
from infra.local.issuer import TokenRefused, TokenVerifier, scopes
from infra.local.lambda_environment import LambdaFunction
from infra.local.local_files import LocalFiles
from infra.local.page_files import PageFiles
from infra.local.template import Cors, Route, Template, read_template

LOG = logging.getLogger("gateway")
API_SECONDS = 30.0  # an HTTP API's longest integration
LAMBDA_BYTES = 6 * 1024 * 1024  # Lambda's largest event and answer
ENVIRONMENTS = 4


@dataclass(frozen=True, slots=True)
class _Match:
    route: Route
    function: LambdaFunction
    pattern: re.Pattern[str]


class Gateway:
    """An HTTP API: routes, JWT authorizer, CORS, limits. And before it the page, where there is one."""

    def __init__(
        self,
        template: Template,
        verifier: TokenVerifier,
        functions: list[LambdaFunction],
        page: PageFiles | None = None,
    ) -> None:
        self._cors = template.cors
        self._page = page
        self._verifier = verifier
        # API Gateway prefers literal segments to `{parameter}` (`{` sorts after letters and digits), and any of these
        # to `{rest+}`.
        self._matches = sorted(
            (
                _Match(route, function, _pattern(route.path))
                for function in functions
                for route in function.function.routes
            ),
            key=lambda match: ("+}" in match.route.path, match.route.path),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI entry for every path of the API."""
        http = HttpRequest(scope, receive)
        if self._page is not None and (file := self._page.answer(http)) is not None:
            await file(scope, receive, send)
            return
        request_id = str(uuid.uuid4())
        origin = http.headers.get("origin")
        if http.method == "OPTIONS":
            response = Response(HTTPStatus.NO_CONTENT, _preflight(self._cors, origin), b"")
        else:
            try:
                response = await self._answer(http, request_id)
            except ClientDisconnect:
                return
            response = _with_cors(response, self._cors, origin)
        out = HttpResponse(response.body, status_code=response.status)
        out.raw_headers = [
            (name.encode("latin-1", "replace"), value.encode("latin-1", "replace"))
            for name, value in (
                *((name, value) for name, value in response.headers if name != "content-length"),
                ("content-length", str(len(response.body))),
                ("apigw-requestid", request_id),
            )
        ]
        await out(scope, receive, send)

    async def _answer(self, http: HttpRequest, request_id: str) -> Response:
        path = http.scope.get("raw_path", http.url.path.encode()).decode("latin-1").partition("?")[0]
        found = self._find(http.method, path)
        if found is None:
            return _message(404, "Not Found")
        match, parameters = found
        claims: dict[str, Any] | None = None
        if match.route.scopes is not None:
            try:
                claims = self._verifier.claims(_bearer(http.headers.get("authorization", "")))
            except TokenRefused as refusal:
                LOG.info("%s refused: %s", match.route.key, refusal)
                return _message(401, "Unauthorized", ("www-authenticate", "Bearer"))
            if match.route.scopes and scopes(claims).isdisjoint(match.route.scopes):
                challenge = f'Bearer scope="{" ".join(match.route.scopes)}" error="insufficient_scope"'
                return _message(403, "Forbidden", ("www-authenticate", challenge))
        body = await _body(http)
        if body is None:
            return _message(413, "Request Entity Too Large")
        event = event_of(
            Request(
                method=http.method,
                path=path,
                query=http.scope["query_string"].decode("latin-1"),
                headers=tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in http.headers.raw),
                body=body,
                source_ip=http.client.host if http.client else "127.0.0.1",
                protocol=f"HTTP/{http.scope['http_version']}",
            ),
            route=match.route,
            path_parameters=parameters,
            claims=claims,
            request_id=request_id,
            time=datetime.now(UTC),
        )
        return await _invoke(match.function, event)

    def _find(self, method: str, path: str) -> tuple[_Match, dict[str, str]] | None:
        for match in self._matches:
            if match.route.method in (method, "ANY") and (found := match.pattern.fullmatch(path)):
                return match, {name: unquote(value) for name, value in found.groupdict().items()}
        return None


async def _invoke(function: LambdaFunction, event: dict[str, Any]) -> Response:
    try:
        with anyio.fail_after(min(API_SECONDS, function.function.timeout_s)):
            answer = await anyio.to_thread.run_sync(function.invoke, event, abandon_on_cancel=True)
        response = response_of(answer)
    except TimeoutError:
        LOG.error("%s took too long", function.function.name)
        return _message(503, "Service Unavailable")
    except InvalidAnswer as error:
        LOG.error("%s gave an answer that is none: %s", function.function.name, error)
        return _message(500, "Internal Server Error")
    except Exception:
        LOG.exception("%s failed", function.function.name)
        return _message(500, "Internal Server Error")
    if len(response.body) > LAMBDA_BYTES:
        LOG.error("%s answered more than Lambda passes on", function.function.name)
        return _message(500, "Internal Server Error")
    return response


async def _body(http: HttpRequest) -> bytes | None:
    """The whole body, or None when it is larger than a Lambda event may be."""
    body = bytearray()
    async for chunk in http.stream():
        body += chunk
        if len(body) > LAMBDA_BYTES:
            return None
    return bytes(body)


def _pattern(path: str) -> re.Pattern[str]:
    """`/sessions/{id}` as a regular expression; `{name+}` takes the rest of the path."""
    pieces = []
    for piece in re.split(r"(\{\w+\+?\})", path):
        if piece.endswith("+}"):
            pieces.append(f"(?P<{piece[1:-2]}>.+)")
        elif piece.startswith("{"):
            pieces.append(f"(?P<{piece[1:-1]}>[^/]+)")
        else:
            pieces.append(re.escape(piece))
    return re.compile("".join(pieces), re.DOTALL)


def _bearer(authorization: str) -> str:
    """The token; API Gateway takes it with or without `Bearer`."""
    scheme, _, rest = authorization.strip().partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else authorization.strip()


def _message(status: int, text: str, *headers: tuple[str, str]) -> Response:
    """API Gateway's own answers."""
    return Response(status, (("content-type", "application/json"), *headers), json.dumps({"message": text}).encode())


def _allowed_origin(cors: Cors, origin: str | None) -> str | None:
    if origin is None:
        return None
    return "*" if "*" in cors.origins else origin if origin in cors.origins else None


def _preflight(cors: Cors, origin: str | None) -> tuple[tuple[str, str], ...]:
    allowed = _allowed_origin(cors, origin)
    if allowed is None:
        return ()
    return (
        ("access-control-allow-origin", allowed),
        ("access-control-allow-methods", ",".join(cors.methods)),
        ("access-control-allow-headers", ",".join(cors.headers)),
        ("access-control-max-age", str(cors.max_age_s)),
    )


def _with_cors(response: Response, cors: Cors, origin: str | None) -> Response:
    """API Gateway's CORS headers in place of any that the function set."""
    headers = [pair for pair in response.headers if not pair[0].startswith("access-control-")]
    allowed = _allowed_origin(cors, origin)
    if allowed is not None:
        headers += [
            ("access-control-allow-origin", allowed),
            ("access-control-expose-headers", ",".join(cors.exposed)),
        ]
    return Response(response.status, tuple(headers), response.body)


def api_functions(template: Template) -> list[LambdaFunction]:
    """Every function that has a route, its first environment loaded."""
    functions = [LambdaFunction(f, environments=ENVIRONMENTS) for f in template.functions if f.routes]
    for function in functions:
        function.warm()
    return functions


def application(template: Template, functions: list[LambdaFunction], settings: dict[str, Any]) -> Starlette:
    """The gateway, and below `/_local` what stands in for other parties: the token issuer and the file server."""
    verifier = TokenVerifier(issuer=settings["issuer"]["issuer"], audience=template.audience, key_set=settings["keys"])

    async def health(_: HttpRequest) -> JSONResponse:
        return JSONResponse({"status": "ok"})

    async def keys(_: HttpRequest) -> JSONResponse:
        return JSONResponse(settings["keys"])

    async def discovery(_: HttpRequest) -> JSONResponse:
        return JSONResponse(settings["issuer"])

    routes = [
        HttpRoute("/_local/health", health),
        HttpRoute("/_local/issuer/.well-known/jwks.json", keys),
        HttpRoute("/_local/issuer/.well-known/openid-configuration", discovery),
    ]
    if os.environ.get("TELEMETRY_STORAGE_BACKEND") == "local":
        files = LocalFiles(settings["uploadEventQueueUrl"], template.cors)
        routes.append(HttpRoute("/_local/files/{target:path}", files.serve, methods=["GET", "PUT", "OPTIONS"]))
    application = Starlette(routes=routes)
    # Not as a route, whose pattern would let no line break pass.
    page = PageFiles(**settings["page"]) if "page" in settings else None  # which the gateway's own tests leave out
    application.router.default = Gateway(template, verifier, functions, page)
    return application


def main() -> None:
    """Serves on the sockets whose file descriptors are given, until the stack ends it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sockets", type=int, nargs="+", required=True, help="file descriptors of listening sockets")
    listening = [socket.socket(fileno=descriptor) for descriptor in parser.parse_args().sockets]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    template = read_template()
    functions = api_functions(template)
    settings = take_over(gone=lambda: os.kill(os.getpid(), signal.SIGTERM))
    server = uvicorn.Server(
        uvicorn.Config(
            application(template, functions, settings),
            log_config=None,
            # The handlers log route and status; a whole address may hold a signature.
            access_log=False,
            proxy_headers=False,  # nobody stands before it: who calls is who connects
            lifespan="off",
            timeout_graceful_shutdown=1,
            timeout_keep_alive=75,
        )
    )
    asyncio.run(server.serve(sockets=listening))


if __name__ == "__main__":
    main()

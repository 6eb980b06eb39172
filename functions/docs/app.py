"""Lambda `docs`: HTTP API event in → the API's description, for machines and people, or the answer where no route is.

Needs no token. Touches the files beside it alone; `make openapi` writes them.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

from telemetry.api.resolver import PREFIX, Api
from telemetry.services import Services

from aws_lambda_powertools.event_handler.api_gateway import Response

HERE = Path(__file__).parent
_KEPT = {"Cache-Control": "public, max-age=300", "X-Content-Type-Options": "nosniff"}
_PAGE_ALONE = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"


@cache
def _file(name: str) -> str:
    return (HERE / name).read_text("utf-8")


def _methods() -> dict[str, list[str]]:
    paths: dict[str, dict[str, Any]] = json.loads(_file("openapi.json"))["paths"]
    return {PREFIX + path: [method.upper() for method in methods] for path, methods in paths.items()}


api = Api(Services(), "docs", methods_elsewhere=_methods)


@api.get("/openapi.json", summary="The API's description for machines")
def openapi() -> Response[str]:
    """200 with the OpenAPI document."""
    return Response(status_code=200, content_type="application/json", body=_file("openapi.json"), headers=dict(_KEPT))


@api.get("/docs", summary="The API's description for people")
def docs() -> Response[str]:
    """200 with a page that asks no other host for anything."""
    headers = {**_KEPT, "Content-Security-Policy": _PAGE_ALONE}
    return Response(
        status_code=200, content_type="text/html; charset=utf-8", body=_file("index.html"), headers=dict(headers)
    )


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Entry point."""
    return api.handle(event, context)

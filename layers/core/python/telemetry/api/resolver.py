"""Powertools' event handler for HTTP API events, made strict: who asks, what they sent, and how it is answered.

A handler decodes with `owner`, `path_id`, `body` and `query`, makes one call, and encodes with `answer`. Everything
that goes wrong on the way, foreseen or not, becomes problem+json here.

One `Api` answers one event at a time, as a Lambda environment does. Several in one process, as in the local stack, do
not see each other's: what Powertools keeps for the whole process (event, metrics, log keys) is kept by each here.
"""

import hashlib
import json
import re
import traceback
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar
from uuid import UUID

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler.api_gateway import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.logging.utils import copy_config_to_registered_loggers
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEventV2
from pydantic import ValidationError

from telemetry.api import models
from telemetry.api.models import Model, NoQuery
from telemetry.api.owner import owner_of
from telemetry.api.problems import CONTENT_TYPE, RequestInvalid, problem
from telemetry.cold_start import begins_ahead
from telemetry.domain.owner import Owner
from telemetry.errors import Code, TelemetryError
from telemetry.services import Services

PREFIX = "/api/v1/telemetry"
MOST_BODY_BYTES = 64 * 1024
# What a request may import for itself. A restored snapshot finds no credentials in its variables: botocore gets them.
_LATE = ("boto3", "botocore.session", "telemetry.database.connection", "telemetry.nudge", "telemetry.storage.stores")
_NOT_STORED = {"Cache-Control": "private, no-store"}

AnyModel = TypeVar("AnyModel", bound=Model)


class Api(APIGatewayHttpResolver):
    """The routes of one function.

    Parameters
    ----------
    name : the function's, in logs and metrics.
    methods_elsewhere : the methods of each path (with `{parameter}`s) that other functions answer, for the one that
        answers whatever has no route.
    """

    def __init__(
        self,
        services: Services,
        name: str,
        *,
        methods_elsewhere: Callable[[], Mapping[str, Sequence[str]]] = dict,
    ) -> None:
        super().__init__()
        self._methods_elsewhere = methods_elsewhere
        self._services = services
        self.logger = Logger(service=name)
        # The service's own modules log through the standard library; this gives their lines the same JSON form.
        copy_config_to_registered_loggers(source_logger=self.logger, include={"telemetry"})
        self._metrics = EphemeralMetrics(service=name)
        self.exception_handler(Exception)(self._failed)
        self.not_found(self._no_route)
        if begins_ahead():
            for module in _LATE:
                import_module(module)
            models.build_all()

    def handle(self, event: dict[str, Any], context: Any) -> dict[str, Any]:
        """Answers one HTTP API event (payload 2.0)."""
        started = perf_counter()
        request = event.get("requestContext") or {}
        self.logger.thread_safe_append_keys(correlation_id=request.get("requestId"))
        # On the instance, where it hides the one that `resolve` sets for all resolvers of the process.
        self.current_event = APIGatewayProxyEventV2(event)
        answer = self.resolve(event, context)
        answer["headers"].setdefault("X-Request-Id", str(request.get("requestId", "")))
        # Neither path nor query: the route says what was asked for, without ids and cursors.
        self.logger.info(
            "answered",
            extra={
                "route": event.get("routeKey"),
                "method": (request.get("http") or {}).get("method"),
                "status": answer["statusCode"],
                "duration_ms": round((perf_counter() - started) * 1000, 1),
            },
        )
        self._metrics.add_metric("Requests", MetricUnit.Count, 1)
        self._metrics.add_metric("ServerErrors", MetricUnit.Count, int(answer["statusCode"] >= 500))
        self._metrics.flush_metrics()
        return answer

    @property
    def owner(self) -> Owner:
        """Whom the request acts for; raises UNAUTHENTICATED or FORBIDDEN."""
        settings = self._services.settings
        return owner_of(
            self.current_event.raw_event,
            tenant_claim=settings.auth_tenant_claim,
            required_scope=settings.auth_required_scope,
        )

    def body(self, model: type[AnyModel], *, optional: bool = False) -> AnyModel:
        """The JSON body as a model. With `optional`, no body counts as an empty object. A call with a body takes no
        query.

        Raises
        ------
        TelemetryError : REQUEST_INVALID naming each wrong field, REQUEST_TOO_LARGE.
        """
        self.query(NoQuery)
        raw = self._raw_body()
        if not raw.strip():
            if optional:
                return model()
            raise TelemetryError(Code.REQUEST_INVALID, "the body is missing; it is a JSON object")
        try:
            value = json.loads(raw, parse_constant=_refuse_constant, object_pairs_hook=_object)
        except _TwiceError as error:
            # Half a surrogate pair is a name in JSON, but no text that an answer can carry.
            name = str(error).encode("utf-8", "replace").decode("utf-8")
            raise RequestInvalid([{"field": name, "message": "Given twice"}]) from None
        except (ValueError, RecursionError) as error:
            where = f" at line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
            raise TelemetryError(Code.REQUEST_INVALID, f"the body is not valid JSON{where}") from None
        return _validated(model, value)

    def query(self, model: type[AnyModel]) -> AnyModel:
        """The query parameters as a model; raises REQUEST_INVALID."""
        return _validated(model, self.current_event.query_string_parameters or {})

    def answer(
        self, status: int, content: Model | None = None, *, headers: Mapping[str, str] | None = None
    ) -> Response[str]:
        """A JSON answer that no cache keeps, or one without a body."""
        return Response(
            status_code=status,
            content_type="application/json" if content is not None else None,
            body=content.model_dump_json(by_alias=True) if content is not None else "",
            headers={**_NOT_STORED, **(headers or {})},
        )

    def answer_if_changed(self, content: Model, *, content_type: str = "application/json") -> Response[str]:
        """A JSON answer with an ETag; 304 to a client that has it already (RFC 9110, section 13.1.2)."""
        body = content.model_dump_json(by_alias=True)
        etag = f'"{hashlib.sha256(body.encode()).hexdigest()[:32]}"'
        headers: dict[str, str | list[str]] = {"ETag": etag, "Cache-Control": "private, no-cache"}
        known = (self.current_event.headers.get("if-none-match") or "").split(",")
        if any(tag.strip().removeprefix("W/") in (etag, "*") for tag in known):
            return Response(status_code=304, body="", headers=headers)
        return Response(status_code=200, content_type=content_type, body=body, headers=headers)

    def _raw_body(self) -> bytes:
        event = self.current_event
        # Base64 takes four bytes for three.
        if len(event.body or "") > MOST_BODY_BYTES * (4 / 3 if event.is_base64_encoded else 1) + 4:
            raise TelemetryError(Code.REQUEST_TOO_LARGE, f"{MOST_BODY_BYTES} bytes are accepted")
        try:
            raw = (event.decoded_body or "").encode("utf-8", "surrogatepass")
        except ValueError:
            raise TelemetryError(Code.REQUEST_INVALID, "the body is not UTF-8 text") from None
        if len(raw) > MOST_BODY_BYTES:
            raise TelemetryError(Code.REQUEST_TOO_LARGE, f"{MOST_BODY_BYTES} bytes are accepted")
        return raw

    def _no_route(self, _: NotFoundError) -> Response[str]:
        """Another method's path answers 405 with the methods that it takes, an unknown path 404."""
        path = self.current_event.path
        found = {route.method for route in (*self._static_routes, *self._dynamic_routes) if route.rule.match(path)}
        for template, elsewhere in self._methods_elsewhere().items():
            if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
                found.update(elsewhere)
        methods = sorted(found)
        if not methods:
            return self._problem(TelemetryError(Code.NOT_FOUND))
        allowed = ", ".join(methods)
        return self._problem(TelemetryError(Code.METHOD_NOT_ALLOWED, f"it takes {allowed}"), {"Allow": allowed})

    def _failed(self, error: Exception) -> Response[str]:
        if not isinstance(error, TelemetryError):
            # Type and place only: the text of an unforeseen error may quote anything.
            frames = traceback.extract_tb(error.__traceback__)
            self.logger.error(
                "unexpected error",
                extra={
                    "error": type(error).__name__,
                    "frames": [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames],
                },
            )
            error = TelemetryError(Code.INTERNAL_ERROR)
        elif (error.entry.http_status or 500) >= 500:
            self.logger.error("request failed", extra={"code": str(error.code), "detail": error.detail})
        return self._problem(error)

    def _problem(self, error: TelemetryError, headers: Mapping[str, str] | None = None) -> Response[str]:
        event = self.current_event
        told = problem(error, instance=event.path, request_id=event.request_context.request_id or "")
        return Response(
            status_code=told.status,
            content_type=CONTENT_TYPE,
            body=told.body,
            headers={**_NOT_STORED, **told.headers, **(headers or {})},
        )


def path_id(text: str) -> UUID:
    """An id out of the path. What is no UUID names nothing: NOT_FOUND, like an id that nobody has."""
    try:
        found = UUID(text)
    except ValueError:
        raise TelemetryError(Code.NOT_FOUND) from None
    if str(found) != text.lower():  # other spellings of a UUID are not ours
        raise TelemetryError(Code.NOT_FOUND)
    return found


def _validated(model: type[AnyModel], value: Any) -> AnyModel:
    try:
        return model.model_validate(value, from_attributes=False, by_name=False, by_alias=True)
    except ValidationError as error:
        raise RequestInvalid(
            [
                {"field": ".".join(map(str, wrong["loc"])) or "body", "message": _said(wrong["type"], wrong["msg"])}
                for wrong in error.errors(include_url=False, include_context=False, include_input=False)[:20]
            ]
        ) from None


def _said(kind: str, message: str) -> str:
    """What pydantic says, without its own words for our models."""
    if kind in ("model_type", "model_attributes_type"):
        return "Input should be an object"
    return message.removeprefix("Value error, ")


class _TwiceError(ValueError):
    """An object has a name twice; which of the values counts would be anybody's guess (RFC 8259, section 4)."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _TwiceError(name)
        found[name] = value
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")

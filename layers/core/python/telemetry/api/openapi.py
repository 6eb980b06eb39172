"""The OpenAPI 3.1 document, from the functions' routes, the models and the error catalogue. No function imports it.

A route brings its path, method, summary and description; `OPERATIONS` what a route cannot say: its models, status and
error codes. A route without an operation, or the other way round, is an error.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic.json_schema import models_json_schema

from telemetry.api import models
from telemetry.api.examples import EXAMPLES
from telemetry.api.models import Model
from telemetry.api.problems import CONTENT_TYPE, RETRY_AFTER_S
from telemetry.errors import CATALOGUE, Code, TelemetryError

_SCHEMAS = "#/components/schemas/"
_EVERYWHERE = (
    Code.UNAUTHENTICATED,
    Code.FORBIDDEN,
    Code.REQUEST_INVALID,
    Code.INTERNAL_ERROR,
    Code.SETTINGS_INVALID,
    Code.DATABASE_UNAVAILABLE,
)
_GATEWAYS_OWN = {401: "Unauthorized", 403: "Forbidden", 413: "Request Entity Too Large", 429: "Too Many Requests"}
"""What API Gateway answers by itself, before a function is asked."""


class Route(Protocol):
    """What a function's router keeps of a route."""

    method: str
    path: str
    summary: str | None
    tags: Any
    func: Any


@dataclass(frozen=True, slots=True)
class Operation:
    """What a call takes and gives beyond its route.

    Attributes
    ----------
    codes : errors beside those of every call; a path with an id adds NOT_FOUND, a body REQUEST_TOO_LARGE.
    links : operations that an answer leads to, with the parameter and where in the answer its value stands.
    """

    name: str
    status: int
    answer: type[Model] | None = None
    request: type[Model] | None = None
    request_optional: bool = False
    query: type[Model] | None = None
    media_type: str = "application/json"
    headers: tuple[str, ...] = ()
    conditional: bool = False
    codes: tuple[Code, ...] = ()
    links: tuple[tuple[str, str, str], ...] = ()


_FINALISE_CODES = (
    Code.UPLOAD_NOT_RECEIVED,
    Code.UPLOAD_EXPIRED,
    Code.UPLOAD_ALREADY_FINALISED,
    Code.SIZE_MISMATCH,
    Code.CHECKSUM_MISMATCH,
    Code.DUPLICATE_ARTIFACT,
    Code.STORAGE_UNAVAILABLE,
)
_PARTS_CODES = (
    Code.UPLOAD_EXPIRED,
    Code.UPLOAD_ALREADY_FINALISED,
    Code.UPLOAD_ALREADY_RECEIVED,
    Code.STORAGE_UNAVAILABLE,
)
_TO_SESSION = tuple(
    (name, "sessionId", "/sessionId")
    for name in (
        "getSession",
        "renameSession",
        "cancelSession",
        "retrySession",
        "listDatasets",
        "listLaps",
        "getTrack",
        "setGate",
        "deleteSession",
    )
)
_TO_UPLOAD = tuple(
    (name, "uploadId", "/uploadId")
    for name in ("getUpload", "signParts", "listParts", "finaliseUpload", "abandonUpload")
)

OPERATIONS: dict[str, Operation] = {
    "POST /uploads": Operation(
        "createUpload",
        201,
        models.CreatedUpload,
        models.UploadRequest,
        headers=("Location",),
        codes=(Code.FILE_EMPTY, Code.FILE_TOO_LARGE, Code.TOO_MANY_UPLOADS),
        links=_TO_UPLOAD,
    ),
    "GET /uploads/{uploadId}": Operation("getUpload", 200, models.Upload, codes=(Code.UPLOAD_EXPIRED,)),
    "DELETE /uploads/{uploadId}": Operation(
        "abandonUpload", 204, codes=(Code.UPLOAD_ALREADY_FINALISED, Code.STORAGE_UNAVAILABLE)
    ),
    "POST /uploads/{uploadId}/parts": Operation(
        "signParts", 200, models.SignedParts, models.PartsRequest, codes=_PARTS_CODES
    ),
    "GET /uploads/{uploadId}/parts": Operation("listParts", 200, models.PartList, codes=_PARTS_CODES),
    "POST /uploads/{uploadId}/finalise": Operation(
        "finaliseUpload",
        202,
        models.Finalised,
        models.FinaliseRequest,
        request_optional=True,
        headers=("Location",),
        codes=_FINALISE_CODES,
        links=_TO_SESSION,
    ),
    "GET /sessions": Operation(
        "listSessions",
        200,
        models.SessionPage,
        query=models.SessionsQuery,
        links=tuple((name, parameter, f"/sessions/0{where}") for name, parameter, where in _TO_SESSION),
    ),
    "GET /sessions/{sessionId}": Operation("getSession", 200, models.SessionDetail, conditional=True),
    "PATCH /sessions/{sessionId}": Operation("renameSession", 200, models.SessionDetail, models.RenameRequest),
    "DELETE /sessions/{sessionId}": Operation("deleteSession", 204),
    "POST /sessions/{sessionId}/cancel": Operation(
        "cancelSession",
        200,
        models.SessionDetail,
        models.Empty,
        request_optional=True,
        codes=(Code.SESSION_STATE_CONFLICT,),
    ),
    "POST /sessions/{sessionId}/retry": Operation(
        "retrySession",
        202,
        models.SessionDetail,
        models.Empty,
        request_optional=True,
        codes=(Code.SESSION_STATE_CONFLICT, Code.RAW_DISCARDED),
    ),
    "GET /sessions/{sessionId}/datasets": Operation("listDatasets", 200, models.DatasetList),
    "GET /sessions/{sessionId}/laps": Operation("listLaps", 200, models.LapList),
    "GET /sessions/{sessionId}/track": Operation(
        "getTrack",
        200,
        models.Track,
        media_type="application/geo+json",
        conditional=True,
        codes=(Code.STORAGE_UNAVAILABLE,),
    ),
    "PUT /sessions/{sessionId}/gate": Operation(
        "setGate", 202, models.SessionDetail, models.Gate, codes=(Code.SESSION_NOT_READY, Code.SESSION_STATE_CONFLICT)
    ),
    "GET /devices": Operation("listDevices", 200, models.DeviceList),
}

_HEADERS: dict[str, dict[str, Any]] = {
    "Location": {"description": "Address of what was made.", "schema": {"type": "string"}},
    "ETag": {"description": "Of this answer; send it as `If-None-Match`.", "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds until asking again may help.", "schema": {"type": "string"}},
    "WWW-Authenticate": {"description": "`Bearer`, and what is missing.", "schema": {"type": "string"}},
    "X-Request-Id": {"description": "Names the request to the operators.", "schema": {"type": "string"}},
}


def document(routes: Iterable[Route], *, prefix: str, version: str) -> dict[str, Any]:
    """The OpenAPI document.

    Parameters
    ----------
    routes : of every function that answers calls.
    prefix : of every path; it goes into the server's address.

    Raises
    ------
    ValueError : routes and operations do not match one to one, or an operation's model has no example.
    """
    keys = {_key(route, prefix): route for route in routes}
    if keys.keys() != OPERATIONS.keys():
        raise ValueError(f"routes and operations differ: {sorted(keys.keys() ^ OPERATIONS.keys())}")
    paths: dict[str, dict[str, Any]] = {}
    for key, operation in OPERATIONS.items():
        method, path = key.split(" ")
        paths.setdefault(path, {})[method.lower()] = _operation(path, keys[key], operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Telemetry ingest",
            "version": version,
            "summary": "GNSS recordings in by presigned upload; canonical Parquet streams, laps and tracks out.",
            "description": _INTRODUCTION,
        },
        "servers": [{"url": prefix}],
        "security": [{"bearer": []}],
        "tags": [
            {"name": "Uploads", "description": "Files on their way in."},
            {"name": "Sessions", "description": "What came of them."},
            {"name": "Devices", "description": "What recorded them."},
        ],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "An access token with the scope `telemetry`.",
                }
            },
            "headers": _HEADERS,
            "examples": {
                str(code): {"summary": entry.title, "value": _problem(code)}
                for code, entry in CATALOGUE.items()
                if entry.http_status is not None
            },
            "schemas": _schemas(),
        },
    }


_INTRODUCTION = """\
Announce a file (`POST /uploads`), PUT its bytes to the signed address, finalise, and ask for the session until it is
`ready`. JSON is camelCase, times are UTC, physical quantities carry their unit in their name. Errors are
`application/problem+json` (RFC 9457) with a stable `code`. What belongs to somebody else answers 404, like what does
not exist. Unknown fields and parameters are refused."""


def _key(route: Route, prefix: str) -> str:
    path = re.sub(r"<(\w+)>", lambda found: "{" + _camel(found.group(1)) + "}", route.path.removeprefix(prefix))
    return f"{route.method} {path}"


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)


def _operation(path: str, route: Route, operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": route.summary or "",
        "description": " ".join((route.func.__doc__ or "").split()),
        "tags": [tag if isinstance(tag, str) else tag["name"] for tag in route.tags or ()],
    }
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}}
        for name in re.findall(r"{(\w+)}", path)
    ]
    if operation.query is not None:
        parameters += _query_parameters(operation.query)
    if operation.conditional:
        known = {"type": "string", "examples": ['"0f343b0931126a20f133d67c2b018a3b"']}
        parameters.append({"name": "If-None-Match", "in": "header", "required": False, "schema": known})
    if parameters:
        described["parameters"] = parameters
    if operation.request is not None:
        described["requestBody"] = {
            "required": not operation.request_optional,
            "content": {"application/json": _media(operation.request)},
        }
    described["responses"] = _responses(path, operation)
    return described


def _query_parameters(model: type[Model]) -> list[dict[str, Any]]:
    schema = model.model_json_schema(by_alias=True, mode="validation")
    parameters = []
    for name, told in schema["properties"].items():
        choices = [choice for choice in told.pop("anyOf", [told]) if choice.get("type") != "null"]
        plain = {**choices[0], **{key: value for key, value in told.items() if key not in ("title", "default")}}
        if told.get("default") is not None:
            plain["default"] = told["default"]
        plain.pop("title", None)
        parameters.append({"name": name, "in": "query", "required": False, "schema": plain})
    return parameters


def _responses(path: str, operation: Operation) -> dict[str, Any]:
    headers = [*operation.headers, *(["ETag"] if operation.conditional else []), "X-Request-Id"]
    success: dict[str, Any] = {"description": "Done.", "headers": _header_refs(headers)}
    if operation.answer is not None:
        success["content"] = {operation.media_type: _media(operation.answer)}
    if operation.links:
        success["links"] = {
            name: {
                "operationId": name,
                "parameters": {parameter: f"$response.body#{where}"},
                **({"requestBody": {"artifactIds": []}} if name == "finaliseUpload" else {}),
            }
            for name, parameter, where in operation.links
        }
    responses: dict[str, Any] = {str(operation.status): success}
    if operation.conditional:
        responses["304"] = {"description": "The client has it already.", "headers": _header_refs(headers)}
    codes = set(_EVERYWHERE) | set(operation.codes)
    if "{" in path:
        codes.add(Code.NOT_FOUND)
    if operation.request is not None:
        codes.add(Code.REQUEST_TOO_LARGE)
    statuses = {status for status in _GATEWAYS_OWN if status != 413 or operation.request is not None}
    for status in sorted(statuses | {CATALOGUE[code].http_status or 500 for code in codes}):
        told = sorted(code for code in codes if (CATALOGUE[code].http_status or 500) == status)
        responses[str(status)] = _failure(status, told)
    return responses


def _failure(status: int, codes: list[Code]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if codes:
        content[CONTENT_TYPE] = {
            "schema": {"$ref": _SCHEMAS + models.Problem.__name__},
            "examples": {str(code): {"$ref": f"#/components/examples/{code}"} for code in codes},
        }
    if status in _GATEWAYS_OWN:
        content["application/json"] = {
            "schema": {
                "type": "object",
                "properties": {"message": {"type": ["string", "null"]}},
                "required": ["message"],
            },
            "example": {"message": _GATEWAYS_OWN[status]},
        }
    headers = []
    if status in (401, 403):
        headers.append("WWW-Authenticate")
    if any(code in RETRY_AFTER_S for code in codes):
        headers.append("Retry-After")
    said = ", ".join(f"`{code}`" for code in codes) or "Too many requests: wait, and ask again."
    return {"description": said, "headers": _header_refs(headers), "content": content}


def _problem(code: Code) -> dict[str, Any]:
    entry = CATALOGUE[code]
    return {
        "type": f"urn:telemetry:problem:{code.lower().replace('_', '-')}",
        "title": entry.title,
        "status": entry.http_status,
        "detail": TelemetryError(code).message,
        "code": str(code),
        "instance": "/api/v1/telemetry/uploads",
        "requestId": "JKJaXmPLvHcESHA=",
    }


def _header_refs(names: Iterable[str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _media(model: type[Model]) -> dict[str, Any]:
    if model not in EXAMPLES:
        raise ValueError(f"{model.__name__} has no example")
    return {"schema": {"$ref": _SCHEMAS + model.__name__}, "example": EXAMPLES[model]}


def _schemas() -> dict[str, Any]:
    requests = {operation.request for operation in OPERATIONS.values()} - {None}
    answers = {operation.answer for operation in OPERATIONS.values()} - {None} | {models.Problem}
    _, validation = models_json_schema([(model, "validation") for model in _sorted(requests)], ref_template=_REF)
    _, serialization = models_json_schema([(model, "serialization") for model in _sorted(answers)], ref_template=_REF)
    schemas = {name: _as_answered(schema) for name, schema in serialization.get("$defs", {}).items()}
    schemas |= validation.get("$defs", {})
    schemas[models.Problem.__name__]["properties"]["code"]["enum"] = [
        str(code) for code, entry in CATALOGUE.items() if entry.http_status is not None
    ]
    schemas[models.Failure.__name__]["properties"]["code"]["enum"] = [str(code) for code in CATALOGUE]
    return {name: _plain(schemas[name]) for name in sorted(schemas)}


_REF = _SCHEMAS + "{model}"


def _sorted(found: Iterable[Any]) -> list[Any]:
    return sorted(found, key=lambda model: str(model.__name__))


def _as_answered(schema: dict[str, Any]) -> dict[str, Any]:
    """An answer may gain fields in later versions, so that clients must not refuse unknown ones; a field that is left
    out while it has no value is not required, and never null."""
    answered = {key: value for key, value in schema.items() if key != "additionalProperties"}
    left_out = {name for name, told in schema.get("properties", {}).items() if told.get("default", ...) is None}
    answered["properties"] = {
        name: _never_null(told) if name in left_out else told for name, told in schema.get("properties", {}).items()
    }
    if "required" in schema:
        answered["required"] = [name for name in schema["required"] if name not in left_out]
    return answered


def _never_null(told: Mapping[str, Any]) -> dict[str, Any]:
    choices = [choice for choice in told.get("anyOf", [told]) if choice.get("type") != "null"]
    rest = {key: value for key, value in told.items() if key not in ("anyOf", "default")}
    return {**choices[0], **rest}


def _plain(value: Any) -> Any:
    """Without the titles that only repeat a field's name."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items() if not (key == "title" and isinstance(part, str))}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return value

"""The API's description: current, true to models and catalogue, and served without any other host."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from functions.docs import app as docs
from infra.description.__main__ import OPENAPI, PAGE, described, files
from infra.local.template import read_template
from telemetry.api import models
from telemetry.api.examples import EXAMPLES
from telemetry.api.openapi import OPERATIONS
from telemetry.api.resolver import PREFIX
from telemetry.errors import CATALOGUE
from tests.plugins.api import Answer, load_event

DOCUMENT: dict[str, Any] = json.loads(OPENAPI.read_text("utf-8"))


def ask(name: str, **http: str) -> Answer:
    event = load_event(name)
    event["requestContext"]["http"].update(http)
    event["rawPath"] = event["requestContext"]["http"]["path"]
    answer = docs.handler(event, None)
    return Answer(answer["statusCode"], answer["headers"], answer["body"])


@pytest.mark.parametrize("path", [OPENAPI, PAGE], ids=lambda path: str(path.name))
def test_the_committed_files_are_current(path: Path) -> None:
    assert path.read_text("utf-8") == files()[path], "make openapi"


def test_the_deployed_routes_are_the_described_ones() -> None:
    deployed = {
        route.key.replace(f" {PREFIX}", " ")
        for function in read_template().functions
        for route in function.routes
        if route.path.startswith(PREFIX)
    }
    assert deployed == OPERATIONS.keys()


def test_every_error_code_of_the_api_is_described() -> None:
    answered = {code for code, entry in CATALOGUE.items() if entry.http_status is not None}
    assert set(DOCUMENT["components"]["examples"]) == answered
    shown = set(re.findall(r'"#/components/examples/(\w+)"', json.dumps(DOCUMENT["paths"])))
    # Of a method that no route takes: no call of the document gives it.
    assert answered - shown == {"METHOD_NOT_ALLOWED"}
    assert set(DOCUMENT["components"]["schemas"]["Failure"]["properties"]["code"]["enum"]) == set(CATALOGUE)


def test_every_reference_leads_somewhere() -> None:
    for reference in re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(DOCUMENT)):
        place: Any = DOCUMENT
        for step in reference.split("/"):
            place = place[step]
    names = {operation["operationId"] for methods in DOCUMENT["paths"].values() for operation in methods.values()}
    assert set(re.findall(r'"operationId": "(\w+)"', json.dumps(DOCUMENT))) == names


@pytest.mark.parametrize("model", EXAMPLES, ids=lambda model: str(model.__name__))
def test_examples_are_what_the_models_take(model: type[models.Model]) -> None:
    model.model_validate(EXAMPLES[model], by_name=False, by_alias=True)


def test_a_route_without_an_operation_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(OPERATIONS, "GET /devices")
    with pytest.raises(ValueError, match="GET /devices"):
        described()


def test_the_description_is_served_to_all() -> None:
    answer = ask("docs_openapi")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    assert answer.json == DOCUMENT


def test_the_page_asks_no_other_host_for_anything() -> None:
    answer = ask("docs_page")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert not re.findall(r"<(script|link|img|iframe|object|base)|\bsrc=|url\(|@import", answer.text)
    for target in re.findall(r'href="([^"]*)"', answer.text):
        assert target == "openapi.json" or (target[0] == "#" and f'id="{target[1:]}"' in answer.text), target
    for code in DOCUMENT["components"]["examples"]:
        assert f"<code>{code}</code>" in answer.text


@pytest.mark.parametrize(
    ("method", "path", "status", "allowed"),
    [
        ("PUT", f"{PREFIX}/sessions", 405, "GET"),
        ("GET", f"{PREFIX}/uploads", 405, "POST"),
        ("POST", f"{PREFIX}/sessions/x", 405, "DELETE, GET, PATCH"),
        ("POST", "/docs", 405, "GET"),
        ("GET", f"{PREFIX}/sessions/x/y/z", 404, None),
        ("GET", f"{PREFIX}/sessions/", 404, None),
        ("GET", "/", 404, None),
    ],
)
def test_what_has_no_route_answers_with_a_problem(method: str, path: str, status: int, allowed: str | None) -> None:
    answer = ask("docs_no_route", method=method, path=path)
    assert (answer.status, answer.json["status"]) == (status, status)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers.get("Allow") == allowed

"""The local gateway as a server of HTTP, with functions made for these tests: what API Gateway itself answers."""

import asyncio
import base64
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from infra.local.gateway import LAMBDA_BYTES, api_functions, application
from infra.local.issuer import Issuer
from infra.local.template import Template, read_template

ISSUER = Issuer("http://127.0.0.1/_local/issuer")
TEMPLATE = """
Parameters:
  Origins: {Type: CommaDelimitedList, Default: "https://app.example,https://beta.example"}
Globals:
  Function:
    Handler: app.handler
    MemorySize: 128
    Timeout: 30
    Environment: {Variables: {}}
Resources:
  Api:
    Type: AWS::Serverless::HttpApi
    Properties:
      DefinitionBody:
        paths:
          /things/{thingId}:
            x-amazon-apigateway-any-method: &echo
              x-amazon-apigateway-integration: &echo-integration {uri: !Sub "functions/${Echo.Alias}/invocations"}
          /things/literal: {get: *echo}
          /open/{rest+}: {get: {security: [{NONE: []}], x-amazon-apigateway-integration: *echo-integration}}
          /slow: {get: {x-amazon-apigateway-integration: {uri: !Sub "functions/${Slow.Arn}/invocations"}}}
          /count: {get: {x-amazon-apigateway-integration: {uri: !Sub "functions/${Counter.Arn}/invocations"}}}
      Auth:
        DefaultAuthorizer: Owner
        Authorizers:
          Owner:
            AuthorizationScopes: [telemetry]
            JwtConfiguration: {issuer: unused, audience: [telemetry]}
      CorsConfiguration:
        AllowOrigins: !Ref Origins
        AllowMethods: [GET, POST]
        AllowHeaders: [authorization]
        ExposeHeaders: [etag]
        MaxAge: 60
  Echo:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: echo
  Slow:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: slow
      Timeout: 1
  Counter:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: counter
"""
ECHO = """
import json
def handler(event, context):
    if event["rawPath"].endswith("/fail"):
        raise RuntimeError("secret of the inside")
    if event["rawPath"].endswith("/large"):
        return {"statusCode": 200, "body": "x" * (6 * 1024 * 1024 + 1)}
    assert context.get_remaining_time_in_millis() > 29_000 and context.aws_request_id
    return {"statusCode": 207, "headers": {"access-control-allow-origin": "https://wrong.example"},
            "cookies": ["a=1", "b=2"], "body": json.dumps(event)}
"""
SLOW = "import time\ndef handler(event, context):\n    time.sleep(1.5)\n    return {}\n"
COUNTER = """
import time
running = 0
def handler(event, context):
    global running
    running += 1
    time.sleep(0.1)
    most, running = running, running - 1
    return {"statusCode": 200, "body": f"{__name__} {most}"}
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """A template with functions of its own."""
    root = tmp_path_factory.mktemp("app")
    for name, code in (("echo", ECHO), ("slow", SLOW), ("counter", COUNTER)):
        (root / name).mkdir()
        (root / name / "app.py").write_text(code)
    (root / "template.yaml").write_text(TEMPLATE)
    return read_template(root / "template.yaml")


class Caller:
    """Sends requests into the ASGI application, several at once where asked to."""

    def __init__(self, template: Template) -> None:
        self._application = application(
            template, api_functions(template), {"issuer": ISSUER.discovery(), "keys": ISSUER.key_set()}
        )

    def all(self, *requests: tuple[str, str, dict[str, Any]]) -> list[httpx.Response]:
        async def send() -> list[httpx.Response]:
            transport = httpx.ASGITransport(self._application)
            async with httpx.AsyncClient(transport=transport, base_url="http://api.example") as client:
                return await asyncio.gather(*(client.request(m, url, **more) for m, url, more in requests))

        return asyncio.run(send())

    def __call__(self, method: str, url: str, *, scope: str | None = "telemetry", **more: Any) -> httpx.Response:
        headers = dict(more.pop("headers", {}))
        if scope is not None:
            headers.setdefault("authorization", f"Bearer {ISSUER.token('me', audience='telemetry', scope=scope)}")
        return self.all((method, url, {**more, "headers": headers}))[0]


@pytest.fixture(scope="module")
def call(template: Template) -> Iterator[Caller]:
    """Calls the gateway."""
    yield Caller(template)


def test_a_request_reaches_its_function_as_an_event(call: Caller) -> None:
    answer = call("POST", "/things/a%2Fb?x=1&x=2", content=b"\x00\x01", headers={"content-type": "application/x-thing"})
    assert answer.status_code == 207
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
    event = answer.json()
    assert event["routeKey"] == "ANY /things/{thingId}"
    assert event["pathParameters"] == {"thingId": "a/b"}
    assert event["queryStringParameters"] == {"x": "1,2"}
    assert (event["isBase64Encoded"], base64.b64decode(event["body"])) == (True, b"\x00\x01")
    jwt = event["requestContext"]["authorizer"]["jwt"]
    assert (jwt["claims"]["sub"], jwt["scopes"]) == ("me", ["telemetry"])
    assert event["requestContext"]["requestId"] == answer.headers["apigw-requestid"]


def test_literal_segments_come_before_parameters(call: Caller) -> None:
    assert call("GET", "/things/literal").json()["routeKey"] == "GET /things/literal"


def test_a_route_without_an_authorizer_is_open(call: Caller) -> None:
    event = call("GET", "/open/a/b", scope=None).json()
    assert event["pathParameters"] == {"rest": "a/b"}
    assert "authorizer" not in event["requestContext"]


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer x", "Basic dTpw"])
def test_no_valid_token_is_401(call: Caller, authorization: str | None) -> None:
    headers = {} if authorization is None else {"authorization": authorization}
    answer = call("GET", "/things/1", scope=None, headers=headers)
    assert (answer.status_code, answer.json()) == (401, {"message": "Unauthorized"})
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_token_of_another_issuer_is_401(call: Caller) -> None:
    token = Issuer("http://127.0.0.1/_local/issuer").token("me", audience="telemetry")
    answer = call("GET", "/things/1", headers={"authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()) == (401, {"message": "Unauthorized"})


def test_another_scope_is_403(call: Caller) -> None:
    answer = call("GET", "/things/1", scope="other")
    assert (answer.status_code, answer.json()) == (403, {"message": "Forbidden"})


def test_an_unknown_route_is_404(call: Caller) -> None:
    for method, path in (("GET", "/nowhere"), ("POST", "/things/literal/more"), ("DELETE", "/count")):
        answer = call(method, path)
        assert (answer.status_code, answer.json()) == (404, {"message": "Not Found"})


def test_a_body_beyond_lambdas_limit_is_413(call: Caller) -> None:
    answer = call("POST", "/things/1", content=b"x" * (LAMBDA_BYTES + 1))
    assert (answer.status_code, answer.json()) == (413, {"message": "Request Entity Too Large"})


@pytest.mark.parametrize("thing", ["fail", "large"])
def test_a_function_that_fails_is_500_without_internals(call: Caller, thing: str) -> None:
    answer = call("GET", f"/things/{thing}")
    assert (answer.status_code, answer.json()) == (500, {"message": "Internal Server Error"})


def test_a_function_beyond_its_time_is_503(call: Caller) -> None:
    answer = call("GET", "/slow")
    assert (answer.status_code, answer.json()) == (503, {"message": "Service Unavailable"})


def test_cors_is_the_gateways(call: Caller) -> None:
    preflight = call(
        "OPTIONS",
        "/things/1",
        scope=None,
        headers={"origin": "https://beta.example", "access-control-request-method": "POST"},
    )
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == "https://beta.example"
    assert preflight.headers["access-control-allow-methods"] == "GET,POST"
    assert preflight.headers["access-control-allow-headers"] == "authorization"
    actual = call("GET", "/things/1", headers={"origin": "https://app.example"})
    assert actual.headers["access-control-allow-origin"] == "https://app.example"
    assert actual.headers["access-control-expose-headers"] == "etag"
    for other in ({"origin": "https://evil.example"}, {}):
        assert "access-control-allow-origin" not in call("GET", "/things/1", headers=other).headers
    refused = call("OPTIONS", "/things/1", scope=None, headers={"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in refused.headers


def test_an_environment_has_one_event_at_a_time_and_is_used_again(template: Template) -> None:
    caller = Caller(template)
    headers = {"authorization": f"Bearer {ISSUER.token('me', audience='telemetry')}"}
    answers = caller.all(*[("GET", "/count", {"headers": headers})] * 8)
    names, most = zip(*(answer.text.split() for answer in answers), strict=True)
    assert set(most) == {"1"}
    assert 1 < len(set(names)) <= 4


def test_the_issuer_is_published(call: Caller) -> None:
    discovery = call("GET", "/_local/issuer/.well-known/openid-configuration", scope=None).json()
    keys = call("GET", httpx.URL(discovery["jwks_uri"]).path, scope=None).json()
    assert keys == ISSUER.key_set()

"""The gateway's events against the example that AWS documents for payload format 2.0, and answers to responses."""

import base64
from datetime import UTC, datetime
from typing import Any

import pytest

from infra.local.api_event import InvalidAnswer, Request, claim_text, event_of, response_of
from infra.local.template import Route

NOW = datetime(2020, 3, 12, 19, 3, 58, 390000, tzinfo=UTC)
ROUTE = Route("POST", "/sessions/{sessionId}", ("telemetry",))


def _event(**changes: Any) -> dict[str, Any]:
    request = {
        "method": "POST",
        "path": "/sessions/a%20b",
        "query": "parameter1=value1&parameter1=value2&parameter2=value",
        "headers": (
            ("Host", "id.execute-api.us-east-1.amazonaws.com"),
            ("User-Agent", "agent"),
            ("Header1", "value1"),
            ("Header2", "value1"),
            ("header2", "value2"),
            ("Cookie", "cookie1=a; cookie2=b"),
            ("Content-Type", "application/json"),
        ),
        "body": b'{"name": "\xc3\xbc"}',
        "source_ip": "192.0.2.1",
        "protocol": "HTTP/1.1",
    }
    return event_of(
        Request(**{**request, **changes}),
        route=ROUTE,
        path_parameters={"sessionId": "a b"},
        claims={"sub": "user", "exp": 1583348638, "aud": ["one", "two"], "email_verified": True},
        request_id="id",
        time=NOW,
    )


def test_equals_the_documented_example() -> None:
    """API Gateway Developer Guide, "Create AWS Lambda proxy integrations for HTTP APIs", format 2.0 example."""
    assert _event() == {
        "version": "2.0",
        "routeKey": "POST /sessions/{sessionId}",
        "rawPath": "/sessions/a b",
        "rawQueryString": "parameter1=value1&parameter1=value2&parameter2=value",
        "cookies": ["cookie1=a", "cookie2=b"],
        "headers": {
            "host": "id.execute-api.us-east-1.amazonaws.com",
            "user-agent": "agent",
            "header1": "value1",
            "header2": "value1,value2",
            "content-type": "application/json",
        },
        "queryStringParameters": {"parameter1": "value1,value2", "parameter2": "value"},
        "requestContext": {
            "accountId": "000000000000",
            "apiId": "local",
            "authorizer": {
                "jwt": {
                    "claims": {"sub": "user", "exp": "1583348638", "aud": "[one two]", "email_verified": "true"},
                    "scopes": ["telemetry"],
                }
            },
            "domainName": "id.execute-api.us-east-1.amazonaws.com",
            "domainPrefix": "id",
            "http": {
                "method": "POST",
                "path": "/sessions/a b",
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1",
                "userAgent": "agent",
            },
            "requestId": "id",
            "routeKey": "POST /sessions/{sessionId}",
            "stage": "$default",
            "time": "12/Mar/2020:19:03:58 +0000",
            "timeEpoch": 1584039838390,
        },
        "pathParameters": {"sessionId": "a b"},
        "body": '{"name": "ü"}',
        "isBase64Encoded": False,
    }


def test_what_is_empty_is_left_out() -> None:
    event = _event(query="", headers=(), body=b"")
    assert not {"cookies", "queryStringParameters", "body"} & event.keys()
    assert event["headers"] == {}
    assert event["isBase64Encoded"] is False


@pytest.mark.parametrize(
    ("content_type", "text"),
    [("application/problem+json", True), ("text/csv; charset=utf-8", True), ("application/octet-stream", False)],
)
def test_binary_bodies_are_base64(content_type: str, text: bool) -> None:
    event = _event(headers=(("content-type", content_type),), body=b"abc")
    assert event["isBase64Encoded"] is not text
    assert event["body"] == ("abc" if text else base64.b64encode(b"abc").decode())


def test_claims_are_strings() -> None:
    assert [claim_text(value) for value in ("a", 1, True, ["a", "b"])] == ["a", "1", "true", "[a b]"]


def test_an_answer_becomes_a_response() -> None:
    response = response_of(
        {
            "statusCode": 201,
            "headers": {"Content-Type": "application/octet-stream", "X-Twice": "lost"},
            "multiValueHeaders": {"X-Twice": ["one", "two"]},
            "cookies": ["a=1", "b=2"],
            "body": base64.b64encode(b"\x00\x01").decode(),
            "isBase64Encoded": True,
        }
    )
    assert (response.status, response.body) == (201, b"\x00\x01")
    assert response.headers == (
        ("content-type", "application/octet-stream"),
        ("x-twice", "one"),
        ("x-twice", "two"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
    )


def test_an_answer_without_a_status_is_a_body() -> None:
    response = response_of({"message": "hello"})
    assert (response.status, response.body) == (200, b'{"message": "hello"}')
    assert response.headers == (("content-type", "application/json"),)


@pytest.mark.parametrize(
    "answer",
    [{"statusCode": "x"}, {"statusCode": 42}, {"statusCode": 200, "body": 5}, {"statusCode": 200, "headers": 1}],
)
def test_an_answer_that_is_none_is_refused(answer: dict[str, Any]) -> None:
    with pytest.raises(InvalidAnswer):
        response_of(answer)

"""What the client repeats, what it waits for, and how it tells a refusal."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from infra.local.client import (
    Client,
    ClientError,
    ServiceError,
    StillProcessing,
    Unreachable,
)
from tests.client.service import SESSION, TOKEN, Patient, answers, problem, session


def test_a_problem_is_told_with_its_remedy_and_request(client_of: Callable[..., Patient]) -> None:
    detail = "The file is empty. Export or copy the recording again and upload the new file."
    _, handle = answers(problem(422, "FILE_EMPTY", detail=detail))
    with pytest.raises(ServiceError) as caught:
        client_of(handle).session(SESSION)
    error = caught.value
    assert (error.status, error.code, error.request_id) == (422, "FILE_EMPTY", "request-1")
    assert error.message == "The file is empty."
    assert error.remedy == "Export or copy the recording again and upload the new file."
    assert str(error) == f"FILE_EMPTY: {detail}"


@pytest.mark.parametrize(
    ("status", "code"), [(401, "UNAUTHENTICATED"), (403, "FORBIDDEN"), (404, "NOT_FOUND"), (418, "HTTP_418")]
)
def test_the_gateways_own_refusals_have_a_code_too(client_of: Callable[..., Patient], status: int, code: str) -> None:
    _, handle = answers(httpx.Response(status, json={"message": "x"}, headers={"apigw-requestid": "gateway-1"}))
    with pytest.raises(ServiceError) as caught:
        client_of(handle).devices()
    assert (caught.value.code, caught.value.request_id) == (code, "gateway-1")


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_service_is_asked_again_when_it_says(client_of: Callable[..., Patient], status: int) -> None:
    in_20_s = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    seen, handle = answers(
        problem(status, "DATABASE_UNAVAILABLE", headers={"Retry-After": "7"}),
        problem(status, "DATABASE_UNAVAILABLE", headers={"Retry-After": in_20_s}),
        httpx.Response(status),
        httpx.Response(202, json=session(status="processing")),
    )
    client = client_of(handle)
    assert client.retry(SESSION).status == "processing"
    assert len(seen) == 4
    assert client.pauses[0] == 7
    assert 17 < client.pauses[1] <= 20
    assert 0.9 < client.pauses[2] < 2.1


def test_it_neither_asks_for_ever_nor_waits_for_ever(client_of: Callable[..., Patient]) -> None:
    seen, handle = answers(*(problem(503, "STORAGE_UNAVAILABLE") for _ in range(9)))
    with pytest.raises(ServiceError, match="STORAGE_UNAVAILABLE"):
        client_of(handle).devices()
    assert len(seen) == 4
    seen, handle = answers(problem(503, "STORAGE_UNAVAILABLE", headers={"Retry-After": "3600"}))
    with pytest.raises(ServiceError):
        client_of(handle).devices()
    assert len(seen) == 1


def test_a_broken_connection_is_tried_again_where_that_cannot_harm(client_of: Callable[..., Patient]) -> None:
    seen, handle = answers(httpx.ReadTimeout("x"), httpx.ReadError("x"), httpx.Response(200, json={"devices": []}))
    assert client_of(handle).devices() == []
    seen, handle = answers(httpx.ReadTimeout("x"))
    with pytest.raises(Unreachable, match=r"api\.test did not answer in time"):
        client_of(handle).retry(SESSION)  # might be the second run
    assert len(seen) == 1
    seen, handle = answers(httpx.ConnectError("x"), httpx.Response(202, json=session()))
    client_of(handle).retry(SESSION)  # never got there
    assert len(seen) == 2


def test_a_delete_whose_answer_was_lost_is_done(client_of: Callable[..., Patient]) -> None:
    _, handle = answers(httpx.ReadError("x"), problem(404, "NOT_FOUND"))
    client_of(handle).delete_session(SESSION)
    _, handle = answers(problem(503, "STORAGE_UNAVAILABLE"), problem(404, "NOT_FOUND"))
    with pytest.raises(ServiceError, match="NOT_FOUND"):
        client_of(handle).delete_session(SESSION)


def test_a_newer_service_may_say_more(client_of: Callable[..., Patient]) -> None:
    more = session(novel=1, laps=[{"lapNumber": 1, "kind": "timed", "durationMs": 1.5, "source": "file", "novel": 2}])
    _, handle = answers(httpx.Response(200, json=more))
    assert client_of(handle).session(SESSION).laps[0].duration_ms == 1.5


def test_another_server_is_noticed(client_of: Callable[..., Patient]) -> None:
    _, handle = answers(httpx.Response(200, html="<p>Welcome to the hotel</p>"))
    with pytest.raises(Unreachable, match="not one of this API"):
        client_of(handle).session(SESSION)


@pytest.mark.parametrize("url", ["http://api.test", "ftp://api.test", "api.test", "https://", "https://me:pw@api.test"])
def test_a_token_goes_to_no_address_without_tls(url: str) -> None:
    with pytest.raises(ClientError, match="address"):
        Client(url, TOKEN)


@pytest.mark.parametrize("token", ["", "Bearer x", "x\ny", "ü"])
def test_a_token_that_is_none_is_not_sent(token: str) -> None:
    with pytest.raises(ClientError, match="token"):
        Client("https://api.test", token)


def test_the_prefix_may_be_left_out() -> None:
    for url in ("http://127.0.0.1:1", "http://localhost:1/", "https://api.test/api/v1/telemetry/"):
        with Client(url, TOKEN) as client:
            assert client._requests.url.endswith("/api/v1/telemetry")


def test_polling_asks_with_the_etag_and_tells_only_what_is_new(client_of: Callable[..., Patient]) -> None:
    step = {"job": "parse_raw", "status": "running", "attempt": 1, "maxAttempts": 3, "nextRetryAt": None}
    working = httpx.Response(200, json=session(status="processing", progress=step), headers={"etag": '"1"'})
    seen, handle = answers(working, httpx.Response(304), httpx.Response(304), httpx.Response(200, json=session()))
    told: list[str] = []
    client = client_of(handle)
    assert client.wait(SESSION, lambda step: told.append(str(step))).status == "ready"
    assert [request.headers.get("if-none-match") for request in seen] == [None, '"1"', '"1"', '"1"']
    assert told == ["parse raw", "ready"]
    assert client.pauses == sorted(client.pauses)


def test_waiting_ends(client_of: Callable[..., Patient]) -> None:
    _, handle = answers(httpx.Response(200, json=session(status="processing")))
    with pytest.raises(StillProcessing, match="still being processed after 0 s"):
        client_of(handle).wait(SESSION, seconds=0)

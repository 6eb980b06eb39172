"""The API at its limits: values at the ends of what a type holds are refused or served, never an internal error; and no
answer outgrows what Lambda passes on."""

import base64
import json
from typing import Any

import pytest

from tests.plugins.api import ApiClient
from tests.plugins.harness import SAMPLES

CSV = (SAMPLES / "sample_gnss_10hz.csv").read_bytes()
NO_ID = "ffffffff-ffff-ffff-ffff-ffffffffffff"


def cursor(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


# Times


@pytest.mark.parametrize("name", ["from", "to"])
@pytest.mark.parametrize(
    "time", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+00:01"]
)
def test_times_that_only_another_zones_calendar_holds_are_refused(api: ApiClient, name: str, time: str) -> None:
    refused = api.call("sessions_list", query={name: time})
    assert (refused.status, refused.json["code"]) == (422, "REQUEST_INVALID")
    (wrong,) = refused.json["errors"]
    assert wrong == {"field": name, "message": "a time lies in the years 1 to 9999, in UTC"}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"from": "0001-01-01T00:00:00Z", "to": "9999-12-31T23:59:59.999999Z"}, 1),
        ({"from": "0001-01-01T00:00:00-23:59", "to": "9999-12-31T23:59:59+23:59"}, 1),
        ({"from": "9999-12-31T23:59:59.9999999Z"}, 0),
        ({"to": "0001-01-01T00:00:00Z"}, 0),
        ({"cursor": cursor(f"9999-12-31T23:59:59.999999+00:00 {NO_ID}")}, 1),
        ({"cursor": cursor(f"0001-01-01T00:00:00+00:00 {NO_ID}")}, 0),
    ],
)
def test_the_first_and_the_last_time_of_the_calendar_are_served(
    api: ApiClient, query: dict[str, str], found: int
) -> None:
    api.session_of(CSV)
    answer = api.call("sessions_list", query=query)
    assert (answer.status, len(answer.json.get("sessions", []))) == (200, found), answer.text


@pytest.mark.parametrize(
    "moment",
    ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "9999-12-31T23:59:59-00:00:01", "9999-12-31", "\0"],
)
def test_forged_cursors_are_refused(api: ApiClient, moment: str) -> None:
    refused = api.call("sessions_list", query={"cursor": cursor(f"{moment} {NO_ID}")})
    assert (refused.status, refused.json["code"]) == (422, "REQUEST_INVALID")
    assert [wrong["field"] for wrong in refused.json["errors"]] == ["cursor"]


# Numbers


@pytest.mark.parametrize(
    "number", ["1e999", "-1e999", "1e308", "1" + "0" * 400, "9223372036854775808", "-9223372036854775809", "1e-400"]
)
@pytest.mark.parametrize(
    ("event", "body"),
    [
        ("uploads_create", {"fileName": "a.csv", "contentType": "text/csv", "byteSize": "N", "sha256": "0" * 64}),
        ("uploads_sign_parts", {"parts": [{"partNumber": "N", "sha256": "0" * 64}]}),
        *(
            (
                "sessions_gate",
                {"latitude1Deg": 1, "longitude1Deg": 1, "latitude2Deg": 1.0001, "longitude2Deg": 1, name: "N"},
            )
            for name in ("latitude1Deg", "longitude2Deg")
        ),
    ],
    ids=["byteSize", "partNumber", "latitude1Deg", "longitude2Deg"],
)
def test_numbers_beyond_every_column_are_refused(api: ApiClient, event: str, body: Any, number: str) -> None:
    refused = api.call(event, body=json.dumps(body).replace('"N"', number))
    assert refused.status in (404, 422), refused.text  # 1e-400 is 0: a fine coordinate, of a session that is not there
    assert refused.json["code"] in ("REQUEST_INVALID", "NOT_FOUND", "FILE_EMPTY")


def test_the_largest_size_that_is_read_is_refused_as_a_size(api: ApiClient) -> None:
    refused = api.call(
        "uploads_create",
        body={"fileName": "a.csv", "contentType": "text/csv", "byteSize": 2**53, "sha256": "0" * 64},
    )
    assert (refused.status, refused.json["code"]) == (413, "FILE_TOO_LARGE")


@pytest.mark.parametrize("limit", ["9223372036854775808", "1e2", "NaN", "inf", "-1", "1" + "0" * 5000, "\u0661"])
def test_page_sizes_that_are_none_are_refused(api: ApiClient, limit: str) -> None:
    refused = api.call("sessions_list", query={"limit": limit})
    assert (refused.status, refused.json["code"]) == (422, "REQUEST_INVALID")


@pytest.mark.parametrize("device", ["0" * 32, NO_ID, "{" + NO_ID + "}", "urn:uuid:" + NO_ID])
def test_every_spelling_of_a_device_is_looked_up(api: ApiClient, device: str) -> None:
    answer = api.call("sessions_list", query={"deviceId": device})
    assert (answer.status, answer.json["sessions"]) == (200, [])

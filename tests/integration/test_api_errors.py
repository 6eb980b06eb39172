"""What every route has in common: problem+json for all that goes wrong, tokens, and the wall between owners."""

import base64
import io
import json
import re
import threading
from typing import Any
from uuid import uuid4

import pg8000.exceptions
import pytest

from functions.sessions import app as sessions
from functions.uploads import app as uploads
from telemetry.api.resolver import Api
from telemetry.database.queries import load
from telemetry.errors import CATALOGUE, Code, TelemetryError
from telemetry.services import Services
from tests.plugins.api import EVENTS, PREFIX, Answer, ApiClient, claims_of, http_event, load_event
from tests.plugins.harness import SAMPLES, with_settings

CONTENT = b"time,lat,lon\n"
CSV = (SAMPLES / "sample_gnss_10hz.csv").read_bytes()
HTTP_EVENTS = sorted(path.stem for path in EVENTS.glob("*.json") if path.stem.startswith(("uploads_", "sessions_")))
WITH_ID = [name for name in HTTP_EVENTS if name not in ("uploads_create", "sessions_list", "sessions_devices")]


def assert_problem(answer: Answer, status: int, code: str) -> None:
    assert (answer.status, answer.json["code"]) == (status, code)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Cache-Control"] == "private, no-store"
    problem = answer.json
    assert set(problem) - {"errors"} == {"type", "title", "status", "detail", "code", "instance", "requestId"}
    assert problem["status"] == status
    assert problem["type"] == f"urn:telemetry:problem:{code.lower().replace('_', '-')}"
    assert problem["title"] == CATALOGUE[Code(code)].title
    assert problem["instance"].startswith("/")
    assert problem["requestId"] == "JKJaXmPLvHcESHA="


def function_of(name: str) -> str:
    return name.partition("_")[0]


def test_every_route_has_an_event() -> None:
    routes = {
        f"{route.method} {route.path}".replace("<upload_id>", "{uploadId}").replace("<session_id>", "{sessionId}")
        for function in (uploads, sessions)
        for route in (*function.api._static_routes, *function.api._dynamic_routes)
    }
    assert {load_event(name)["routeKey"] for name in HTTP_EVENTS} == routes


# Owners


@pytest.mark.parametrize("name", WITH_ID)
def test_another_owners_ids_answer_like_unknown_ones(api: ApiClient, name: str) -> None:
    upload_id = api.uploaded(CONTENT)
    ready = api.session_of(CSV)
    api.harness.drain()
    processing = api.session_of(CSV + b"\n")
    finalised = str(
        api.harness.sql("SELECT id FROM telemetry_artifacts WHERE session_id = :id", id=processing)[0]["id"]
    )
    before = snapshot(api)
    stranger = api.as_owner("owner-2")
    body = {"name": "mine now"} if name == "sessions_rename" else None
    answers = [stranger.call(name, one, body=body) for one in (upload_id, finalised, ready, processing, str(uuid4()))]
    for answer in answers:
        assert_problem(answer, 404, "NOT_FOUND")
        assert {**answer.json, "instance": ""} == {**answers[-1].json, "instance": ""}
    assert snapshot(api) == before


def test_another_owners_upload_is_not_taken_along(api: ApiClient) -> None:
    theirs = api.as_owner("owner-2").uploaded(b"theirs")
    mine = api.uploaded(CONTENT)
    assert_problem(api.call("uploads_finalise", mine, body={"artifactIds": [theirs]}), 404, "NOT_FOUND")
    assert api.harness.sql("SELECT 1 AS one FROM telemetry_sessions") == []


def test_lists_show_only_the_owners_own(api: ApiClient) -> None:
    api.session_of(CONTENT)
    stranger = api.as_owner("owner-2")
    assert stranger.call("sessions_list", query={}).json["sessions"] == []
    assert stranger.call("sessions_devices").json == {"devices": []}
    own = api.call("sessions_list", query={}).json
    assert len(own["sessions"]) == 1
    cursor_of_another = {"cursor": api.call("sessions_list", query={"limit": "1"}).json["nextCursor"] or "x"}
    assert stranger.call("sessions_list", query=cursor_of_another).status in (200, 422)


OF_NO_ROW = ("create_upload", "create_session", "list_sessions", "announce_in_turn")


def test_no_query_trusts_another_to_have_looked_at_the_owner(api: ApiClient) -> None:
    upload_id = api.uploaded(CONTENT)
    session_id = api.session_of(CSV)
    api.harness.drain()
    before = snapshot(api)
    tried = 0
    for topic in ("uploads", "sessions"):
        for query in load(topic).values():
            if ":owner_user_id" not in query.sql or query.name in OF_NO_ROW:
                continue
            for one in (upload_id, session_id):
                given: dict[str, Any] = {
                    "id": one,
                    "ids": [one],
                    "session_id": one,
                    "name": "mine now",
                    "owner_user_id": "owner-2",
                }
                given |= {"multipart_id": "mine", "most": 1}
                used = {name: value for name, value in given.items() if re.search(rf":{name}\b", query.sql)}
                assert api.harness.database.run(query, **used) == [], query.name
                tried += 1
    assert tried >= 20
    assert snapshot(api) == before


def snapshot(api: ApiClient) -> dict[str, Any]:
    names = ("sessions", "artifacts", "processing_runs", "jobs", "datasets", "laps", "devices")
    rows = {name: api.harness.sql(f"SELECT * FROM telemetry_{name} ORDER BY id") for name in names}
    return {**rows, "raw": api.harness.raw_paths(), "canonical": api.harness.canonical_paths()}


# Tokens


UNUSABLE_CLAIMS: list[dict[str, Any]] = [
    {},
    {"scope": "telemetry"},
    {**claims_of("x"), "sub": ""},
    {**claims_of("x"), "sub": "a\0b"},
    {**claims_of("x"), "sub": "x" * 256},
    {**claims_of("x"), "sub": 7},
]


def test_no_usable_claims_no_answer(api: ApiClient) -> None:
    for name in HTTP_EVENTS:
        for claims in UNUSABLE_CLAIMS:
            answer = api.call(name, claims=claims)
            assert_problem(answer, 401, "UNAUTHENTICATED")
            assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_no_authorizer_no_answer(api: ApiClient) -> None:
    event = http_event("sessions_list")
    for authorizer in (None, {}, {"jwt": None}, {"lambda": {"sub": "owner-1"}}):
        event["requestContext"]["authorizer"] = authorizer
        assert_problem(api.send(event, function="sessions"), 401, "UNAUTHENTICATED")
    del event["requestContext"]["authorizer"]
    assert_problem(api.send(event, function="sessions"), 401, "UNAUTHENTICATED")


def test_a_token_without_the_scope_is_refused(api: ApiClient) -> None:
    for name in HTTP_EVENTS:
        for scope in ("", "openid", "telemetry.read", "nottelemetry"):
            assert_problem(api.call(name, claims={"sub": "owner-1", "scope": scope}), 403, "FORBIDDEN")
        assert_problem(api.call(name, claims={"sub": "owner-1"}), 403, "FORBIDDEN")


def test_scopes_as_the_issuers_write_them(api: ApiClient) -> None:
    scopes: list[dict[str, Any]] = [
        {"scope": "telemetry"},
        {"scope": "a telemetry b"},
        {"scp": "[openid telemetry]"},
        {"scp": ["telemetry"]},
    ]
    for scope in scopes:
        assert api.call("sessions_list", claims={"sub": "owner-1", **scope}).status == 200


def test_the_tenant_is_a_claim_of_the_settings(api: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    services = with_settings(api.harness, auth_tenant_claim="custom:tenant")
    monkeypatch.setattr(uploads, "services", services)
    monkeypatch.setattr(uploads.api, "_services", services)
    assert_problem(api.call("uploads_create"), 401, "UNAUTHENTICATED")
    created = api.call("uploads_create", claims={**claims_of("owner-1"), "custom:tenant": "../team/ä"})
    assert created.status == 201
    path = api.harness.sql("SELECT storage_path FROM telemetry_artifacts")[0]["storage_path"]
    assert path == f"uploads/~2e.~2fteam~2f~c3~a4/{created.json['uploadId']}.bin"
    services.database.close()


def test_environments_of_one_process_do_not_see_each_others_events(api: ApiClient) -> None:
    together = threading.Barrier(2, timeout=60)
    seen: dict[str, str] = {}

    def serve(owner: str) -> None:
        environment = Api(api.harness.services, "uploads")

        @environment.post(f"{PREFIX}/uploads")
        def create() -> Any:
            together.wait()  # both have their event
            seen[owner] = environment.owner.user_id
            together.wait()
            return environment.answer(204)

        answer = environment.handle(http_event("uploads_create", claims=claims_of(owner)), None)
        assert answer["statusCode"] == 204

    threads = [threading.Thread(target=serve, args=(owner,), daemon=True) for owner in ("owner-1", "owner-2")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert seen == {"owner-1": "owner-1", "owner-2": "owner-2"}


# Requests


def test_unknown_routes_and_methods(api: ApiClient) -> None:
    for path, method, status, allowed in (
        ("/nothing", "GET", 404, None),
        (f"{PREFIX}/uploads/", "POST", 404, None),
        (f"{PREFIX}/uploads", "GET", 405, "POST"),
        (f"{PREFIX}/uploads/{uuid4()}", "PUT", 405, "DELETE, GET"),
        (f"{PREFIX}/uploads/{uuid4()}/finalise", "GET", 405, "POST"),
    ):
        event = http_event("uploads_create")
        event["rawPath"] = event["requestContext"]["http"]["path"] = path
        event["requestContext"]["http"]["method"] = method
        answer = api.send(event, function="uploads")
        assert_problem(answer, status, "NOT_FOUND" if status == 404 else "METHOD_NOT_ALLOWED")
        assert answer.headers.get("Allow") == allowed


@pytest.mark.parametrize(
    "body",
    ["", "{", "null", "[]", '"text"', '{"byteSize": NaN}', "[" * 60_000, '{"a": 1' + "0" * 5000 + "}", "\ud800", "\0"],
    ids=["empty", "cut", "null", "list", "text", "nan", "deep", "huge-number", "surrogate", "nul"],
)
def test_bodies_that_are_no_request(api: ApiClient, body: str) -> None:
    event = http_event("uploads_create")
    event["body"] = body
    assert_problem(api.send(event, function="uploads"), 422, "REQUEST_INVALID")
    del event["body"]
    assert_problem(api.send(event, function="uploads"), 422, "REQUEST_INVALID")


def test_bodies_in_base64(api: ApiClient) -> None:
    event = http_event("uploads_create")
    event["body"], event["isBase64Encoded"] = base64.b64encode(event["body"].encode()).decode(), True
    assert api.send(event, function="uploads").status == 201
    for wrong in (base64.b64encode(b"\xff\xfe{}").decode(), "%%%", "abc"):
        event["body"] = wrong
        assert_problem(api.send(event, function="uploads"), 422, "REQUEST_INVALID")


def test_large_bodies_are_refused_unread(api: ApiClient) -> None:
    event = http_event("uploads_create", body=json.dumps({"fileName": "x" * 70_000}))
    assert_problem(api.send(event, function="uploads"), 413, "REQUEST_TOO_LARGE")
    event["body"], event["isBase64Encoded"] = base64.b64encode(event["body"].encode()).decode(), True
    assert_problem(api.send(event, function="uploads"), 413, "REQUEST_TOO_LARGE")
    event = http_event("uploads_create", body=json.dumps({"fileName": "ä" * 40_000}, ensure_ascii=False))
    assert_problem(api.send(event, function="uploads"), 413, "REQUEST_TOO_LARGE")


def test_too_many_files_for_one_session(api: ApiClient) -> None:
    answer = api.call("uploads_finalise", str(uuid4()), body={"artifactIds": [str(uuid4()) for _ in range(21)]})
    assert_problem(answer, 422, "REQUEST_INVALID")


@pytest.mark.parametrize("name", HTTP_EVENTS)
def test_unknown_query_parameters_are_refused(api: ApiClient, name: str) -> None:
    answer = api.call(name, query={"colour": "red"})
    assert_problem(answer, 422, "REQUEST_INVALID")
    assert [wrong["field"] for wrong in answer.json["errors"]] == ["colour"]


def test_what_is_wrong_with_a_body_is_said_in_the_words_of_the_api(api: ApiClient) -> None:
    def told(body: str) -> str:
        answer = api.call("uploads_create", body=body)
        assert_problem(answer, 422, "REQUEST_INVALID")
        return str(answer.json["detail"])

    assert "the body is missing" in told("  ")
    assert "body: Input should be an object." in told("[]")
    assert "UploadRequest" not in told("[]")
    whole = load_event("uploads_create")["body"]
    twice = whole.replace("{", '{"byteSize": 1, ', 1)
    assert "byteSize: Given twice" in told(twice)
    assert "field\\ud800" not in told('{"field\\ud800": 1}')
    wrong = api.call("sessions_list", query={"cursor": "abc"})
    assert wrong.json["errors"] == [{"field": "cursor", "message": "Give `nextCursor` of a page, unchanged"}]
    wrong = api.call("sessions_list", query={"from": "0.5"})
    assert wrong.json["errors"] == [{"field": "from", "message": "a time is written as 2026-05-16T09:30:00Z"}]


@pytest.mark.parametrize("body", ['{"\\ud800": 1}', '{"\\ud800": 1, "\\ud800": 2}'], ids=["once", "twice"])
@pytest.mark.parametrize("name", ["uploads_create", "uploads_finalise"])
def test_names_that_are_no_text_can_still_be_told(api: ApiClient, name: str, body: str) -> None:
    answer = api.call(name, body=body)
    assert_problem(answer, 422, "REQUEST_INVALID")
    answer.text.encode("utf-8")


# Failures of our own


def test_the_unexpected_tells_nothing_of_the_inside(
    api: ApiClient, monkeypatch: pytest.MonkeyPatch, log: io.StringIO
) -> None:
    def explode(*_: Any, **__: Any) -> None:
        raise pg8000.exceptions.DatabaseError({"M": "secret at 48.1374, 11.5755", "C": "XX000"})

    monkeypatch.setattr(api.harness.services.database, "run", explode)
    monkeypatch.setattr(api.harness.services.database, "_command", explode)
    for name in HTTP_EVENTS:
        answer = api.call(name)
        assert_problem(answer, 500, "INTERNAL_ERROR")
        assert "secret" not in answer.text
    assert log.getvalue().count("DatabaseError") == len(HTTP_EVENTS)
    assert "secret" not in log.getvalue()
    assert "48.1374" not in log.getvalue()


def test_a_database_that_is_away_is_worth_asking_again(api: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise TelemetryError(Code.DATABASE_UNAVAILABLE, "the connection was lost")

    monkeypatch.setattr(api.harness.services.database, "run", away)
    monkeypatch.setattr(api.harness.services.database, "_command", away)
    for name in HTTP_EVENTS:
        answer = api.call(name)
        assert_problem(answer, 503, "DATABASE_UNAVAILABLE")
        assert int(answer.headers["Retry-After"]) > 0
        assert "connection" not in answer.text


def test_wrong_settings_are_the_operators_matter(
    api: ApiClient, monkeypatch: pytest.MonkeyPatch, log: io.StringIO
) -> None:
    for name in ("TELEMETRY_DATABASE_URL", "TELEMETRY_DATABASE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sessions.api, "_services", Services())
    answer = api.call("sessions_list")
    assert_problem(answer, 500, "SETTINGS_INVALID")
    assert "TELEMETRY_DATABASE_HOST" not in answer.text
    assert "TELEMETRY_DATABASE_HOST" in log.getvalue()


def test_a_code_of_a_recording_never_becomes_an_answer(api: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*_: Any, **__: Any) -> None:
        raise TelemetryError(Code.CSV_MALFORMED, "line 3")

    monkeypatch.setattr(api.harness.services.database, "run", wrong)
    assert_problem(api.call("sessions_list"), 500, "INTERNAL_ERROR")


def test_logs_hold_neither_tokens_nor_addresses_nor_ids_of_paths(api: ApiClient, log: io.StringIO) -> None:
    upload_id = api.uploaded(CONTENT)
    api.call("uploads_get", upload_id)
    api.call("uploads_finalise", upload_id, body={"colour": 1})
    logged = log.getvalue()
    assert '"status":200' in logged
    for secret in ("signature=", "Bearer", upload_id, "owner-1", "lap.csv"):
        assert secret not in logged


def test_metrics_count_requests(api: ApiClient, capsys: pytest.CaptureFixture[str]) -> None:
    api.call("sessions_list")
    emitted = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"_aws"' in line]
    assert [(one["Requests"], one["ServerErrors"]) for one in emitted] == [([1.0], [0.0])]

"""Large files in parts, over both stores: signed, resumed, completed by finalise, aborted with the upload."""

import hashlib
import logging
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from functions.uploads import app as uploads
from telemetry import janitor, parts, queue
from telemetry import uploads as use_cases
from telemetry.domain.owner import Owner
from telemetry.errors import Code, TelemetryError
from telemetry.janitor import Task, clean
from telemetry.services import Services
from telemetry.storage.local_path import StorageRefusal
from telemetry.uploads import Announcement, create_upload
from tests.plugins.api import Answer, ApiClient, client_of
from tests.plugins.harness import LIFE_MS, SAMPLES, Harness, with_settings

MIB = 1 << 20
CSV = (SAMPLES / "sample_gnss_10hz.csv").read_bytes()
# A recording of two parts: S3 takes none below 5 MiB, but for the last.
CONTENT = CSV + b"\n" * (5 * MIB)
Put = Callable[[dict[str, Any], bytes], int]


@pytest.fixture(params=["local", "s3"])
def api(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ApiClient:
    harness: Harness = request.getfixturevalue({"local": "harness", "s3": "s3_harness"}[request.param])
    monkeypatch.setattr(parts, "PART_BYTES", 5 * MIB)
    return client_of(harness, monkeypatch)


@pytest.fixture
def put(api: ApiClient) -> Put:
    """Sends a signed part; gives the store's status."""

    def send(signed: dict[str, Any], content: bytes) -> int:
        if api.harness.services.settings.storage_backend == "s3":
            headers = {**signed["headers"], "content-length": str(len(content))}
            answer = httpx.put(signed["url"], headers=headers, content=content, trust_env=False)
            return answer.status_code
        try:
            api.put(signed, content)
        except StorageRefusal as refusal:
            return refusal.status
        return 200

    return send


def cut(content: bytes) -> list[bytes]:
    return [content[at : at + 5 * MIB] for at in range(0, len(content), 5 * MIB)]


def sign(api: ApiClient, upload_id: str, content: bytes, *numbers: int) -> Answer:
    pieces = cut(content)
    wanted = [{"partNumber": number, "sha256": hashlib.sha256(pieces[number - 1]).hexdigest()} for number in numbers]
    return api.call("uploads_sign_parts", upload_id, body={"parts": wanted})


def test_a_file_in_parts_becomes_a_session(api: ApiClient, put: Put) -> None:
    upload_id = api.announce(CONTENT).json["uploadId"]
    empty = api.call("uploads_list_parts", upload_id)
    assert empty.json == {"partSize": 5 * MIB, "partCount": 2, "received": []}

    signed = sign(api, upload_id, CONTENT, 1, 2)
    assert (signed.status, signed.json["partSize"], signed.json["partCount"]) == (200, 5 * MIB, 2)
    first, last = signed.json["parts"]
    assert (first["partNumber"], first["byteSize"], last["byteSize"]) == (1, 5 * MIB, len(CONTENT) - 5 * MIB)
    assert put(last["upload"], cut(CONTENT)[1]) == 200

    # Interrupted: what has arrived is known, what is missing is named, and the rest is signed anew.
    (received,) = api.call("uploads_list_parts", upload_id).json["received"]
    digest = hashlib.sha256(cut(CONTENT)[1]).hexdigest()
    assert received == {"partNumber": 2, "byteSize": last["byteSize"], "sha256": digest}
    early = api.call("uploads_finalise", upload_id, body={})
    assert (early.status, early.json["code"]) == (409, "UPLOAD_NOT_RECEIVED")
    assert "2 parts: 1." in early.json["detail"]
    assert put(sign(api, upload_id, CONTENT, 1).json["parts"][0]["upload"], cut(CONTENT)[0]) == 200

    finalised = api.call("uploads_finalise", upload_id, body={})
    assert finalised.status == 202, finalised.text
    assert api.call("uploads_finalise", upload_id, body={}).json == finalised.json
    api.harness.drain()
    session = api.call("sessions_get", finalised.json["sessionId"]).json
    assert session["status"] == "ready"
    assert session["files"][0]["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    for name in ("uploads_sign_parts", "uploads_list_parts"):
        late = api.call(name, upload_id, body={"parts": []} if name == "uploads_sign_parts" else None)
        assert (late.status, late.json["code"]) == (409, "UPLOAD_ALREADY_FINALISED")


def test_parts_that_nobody_finalises_are_finalised_where_that_was_asked_for(api: ApiClient, put: Put) -> None:
    tasks = [Task.FINALISE_ON_RECEIPT]
    silent, asked = (
        api.announce(CONTENT, finaliseOnReceipt=on_receipt).json["uploadId"] for on_receipt in (False, True)
    )
    for upload_id in (silent, asked):
        first, last = sign(api, upload_id, CONTENT, 1, 2).json["parts"]
        assert put(first["upload"], cut(CONTENT)[0]) == 200
        assert clean(api.harness.services, lambda: LIFE_MS, tasks) == {Task.FINALISE_ON_RECEIPT: 0}
        assert put(last["upload"], cut(CONTENT)[1]) == 200
    assert clean(api.harness.services, lambda: LIFE_MS, tasks) == {Task.FINALISE_ON_RECEIPT: 1}
    assert clean(api.harness.services, lambda: LIFE_MS, tasks) == {Task.FINALISE_ON_RECEIPT: 0}
    assert api.call("uploads_get", silent).json["sessionId"] is None
    session_id = api.call("uploads_get", asked).json["sessionId"]
    assert api.call("uploads_finalise", asked, body={}).json["sessionId"] == session_id
    api.harness.drain()
    assert api.call("sessions_get", session_id).json["status"] == "ready"


@pytest.mark.parametrize("begin", ["before the first", "within", "behind the last"])
def test_the_janitor_goes_once_around_uploads_in_parts_while_there_is_time(
    api: ApiClient, monkeypatch: pytest.MonkeyPatch, begin: str
) -> None:
    made = [api.announce(CONTENT, finaliseOnReceipt=True).json["uploadId"] for _ in range(5)]
    for upload_id in made:
        sign(api, upload_id, CONTENT, 1)
    known = sorted(map(UUID, made))
    at, begin_behind = {
        "before the first": (0, UUID(int=0)),
        "within": (2, known[1]),
        "behind the last": (0, UUID(int=2**128 - 1)),
    }[begin]
    looked_at: list[UUID] = []
    monkeypatch.setattr(use_cases, "finalise", lambda _services, _owner, upload_id: looked_at.append(upload_id))
    services = api.harness.services
    assert janitor.finalise_on_receipt(services, lambda: True, batch=2, begin_behind=begin_behind) == 5
    assert looked_at == known[at:] + known[:at]
    time_left = iter([True, True, True, False])
    assert janitor.finalise_on_receipt(services, lambda: next(time_left), batch=2, begin_behind=begin_behind) == 3


@pytest.mark.parametrize(
    ("code", "level"),
    [
        (Code.SIZE_MISMATCH, logging.INFO),
        (Code.CHECKSUM_MISMATCH, logging.INFO),
        (Code.DUPLICATE_ARTIFACT, logging.WARNING),
        (Code.UPLOAD_NOT_RECEIVED, None),
    ],
)
def test_only_what_an_operator_could_mend_is_a_warning(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, code: Code, level: int | None
) -> None:
    def refuse(*_: object) -> None:
        raise TelemetryError(code)

    monkeypatch.setattr(
        janitor, "_on_receipt", lambda *_: iter([{"id": uuid4(), "owner_user_id": "o", "tenant_id": "o"}])
    )
    monkeypatch.setattr(use_cases, "finalise", refuse)
    with caplog.at_level(logging.DEBUG, logger=janitor.logger.name):
        assert janitor.finalise_on_receipt(harness.services, lambda: True) == 0
    told = [record.levelno for record in caplog.records if record.message == "not finalised on receipt"]
    assert told == ([] if level is None else [level])


@pytest.mark.parametrize("code", [Code.STORAGE_UNAVAILABLE, Code.DATABASE_UNAVAILABLE])
def test_an_outage_ends_the_janitors_round_and_is_told(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, code: Code
) -> None:
    waiting = [{"id": uuid4(), "owner_user_id": "o", "tenant_id": "o"} for _ in range(2)]
    asked: list[UUID] = []

    def refuse(_services: object, _owner: object, upload_id: UUID) -> None:
        asked.append(upload_id)
        raise TelemetryError(code)

    monkeypatch.setattr(janitor, "_on_receipt", lambda *_: iter(waiting))
    monkeypatch.setattr(use_cases, "finalise", refuse)
    with pytest.raises(TelemetryError) as raised:
        janitor.finalise_on_receipt(harness.services, lambda: True)
    assert raised.value.code is code
    assert asked == [waiting[0]["id"]]


def test_the_store_refuses_other_bytes_for_a_part(api: ApiClient, put: Put) -> None:
    upload_id = api.announce(CONTENT).json["uploadId"]
    (first,) = sign(api, upload_id, CONTENT, 1).json["parts"]
    changed = b"X" + cut(CONTENT)[0][1:]
    assert put(first["upload"], changed) == 400
    assert put(first["upload"], cut(CONTENT)[0][:-1]) in (400, 403)
    assert api.call("uploads_list_parts", upload_id).json["received"] == []


def test_parts_of_another_file_are_found_out(api: ApiClient, put: Put) -> None:
    upload_id = api.announce(CONTENT).json["uploadId"]
    other = CONTENT[:-1] + b"0"
    for part, piece in zip(sign(api, upload_id, other, 1, 2).json["parts"], cut(other), strict=True):
        assert put(part["upload"], piece) == 200
    session_id = api.call("uploads_finalise", upload_id, body={}).json["sessionId"]
    api.harness.drain()
    assert api.call("sessions_get", session_id).json["failure"]["code"] == "CHECKSUM_MISMATCH"


def test_parts_that_the_file_does_not_have(api: ApiClient) -> None:
    upload_id = api.announce(CONTENT).json["uploadId"]
    for wrong in ({"partNumber": 3}, {"partNumber": 0}, {"partNumber": "1"}, {"partNumber": 1, "size": 1}):
        part = {"sha256": "0" * 64, **wrong}
        answer = api.call("uploads_sign_parts", upload_id, body={"parts": [part]})
        assert (answer.status, answer.json["code"]) == (422, "REQUEST_INVALID"), wrong
    many = [{"partNumber": 1, "sha256": "0" * 64}] * 101
    assert api.call("uploads_sign_parts", upload_id, body={"parts": many}).status == 422


def multipart_id(api: ApiClient, upload_id: str) -> str:
    found: str = api.harness.artifact(UUID(upload_id))["multipart_id"]
    return found


def left(api: ApiClient, upload_id: str) -> int:
    row = api.harness.artifact(UUID(upload_id))
    return len(api.harness.services.raw.list_parts(row["storage_path"], row["multipart_id"]))


def test_an_upload_that_is_given_up_leaves_no_parts(api: ApiClient, put: Put) -> None:
    upload_id = api.announce(CONTENT).json["uploadId"]
    (first,) = sign(api, upload_id, CONTENT, 1).json["parts"]
    put(first["upload"], cut(CONTENT)[0])
    assert left(api, upload_id) == 1
    assert [api.call("uploads_abandon", upload_id).status for _ in range(2)] == [204, 204]
    assert left(api, upload_id) == 0
    gone = sign(api, upload_id, CONTENT, 1)
    assert (gone.status, gone.json["code"]) == (410, "UPLOAD_EXPIRED")


def test_the_janitor_aborts_what_was_never_finished(api: ApiClient, put: Put) -> None:
    upload_id = api.announce(CONTENT).json["uploadId"]
    (first,) = sign(api, upload_id, CONTENT, 1).json["parts"]
    put(first["upload"], cut(CONTENT)[0])
    api.harness.sql("UPDATE telemetry_artifacts SET expires_at = now() - interval '1 second'")
    assert clean(api.harness.services, lambda: LIFE_MS, [Task.EXPIRE_UPLOADS])[Task.EXPIRE_UPLOADS] == 1
    assert left(api, upload_id) == 0


def test_one_put_after_all_counts_as_well(api: ApiClient, put: Put) -> None:
    created = api.announce(CONTENT).json
    sign(api, created["uploadId"], CONTENT, 1)
    assert put(created["upload"], CONTENT) == 200
    assert api.call("uploads_finalise", created["uploadId"], body={}).status == 202


def test_parts_that_one_put_overtook_do_not_stay(api: ApiClient, put: Put) -> None:
    created = api.announce(CONTENT).json
    first, last = sign(api, created["uploadId"], CONTENT, 1, 2).json["parts"]
    assert put(first["upload"], cut(CONTENT)[0]) == 200
    assert put(created["upload"], CONTENT) == 200
    assert api.call("uploads_finalise", created["uploadId"], body={}).status == 202
    assert left(api, created["uploadId"]) == 0
    assert put(last["upload"], cut(CONTENT)[1]) == 404, "nor does one that comes late"
    assert left(api, created["uploadId"]) == 0
    settings = api.harness.services.settings
    if settings.storage_backend == "local":
        assert list((settings.local_storage.root / "raw" / ".parts").iterdir()) == []


def test_parts_that_one_put_overtakes_while_they_are_put_together_do_not_stay(api: ApiClient, put: Put) -> None:
    created = api.announce(CONTENT).json
    for part, piece in zip(sign(api, created["uploadId"], CONTENT, 1, 2).json["parts"], cut(CONTENT), strict=True):
        assert put(part["upload"], piece) == 200
    row = api.harness.artifact(UUID(created["uploadId"]))
    found = api.harness.services.raw.list_parts(row["storage_path"], row["multipart_id"])
    assert put(created["upload"], CONTENT) == 200
    api.harness.services.raw.complete_parts(row["storage_path"], row["multipart_id"], found)
    assert api.call("uploads_finalise", created["uploadId"], body={}).status == 202
    assert left(api, created["uploadId"]) == 0


def test_parts_begin_once(api: ApiClient) -> None:
    upload_id = api.announce(CONTENT).json["uploadId"]
    sign(api, upload_id, CONTENT)
    begun = multipart_id(api, upload_id)
    sign(api, upload_id, CONTENT, 1)
    assert multipart_id(api, upload_id) == begun
    stranger = api.as_owner("owner-2")
    for one in (upload_id, str(uuid4())):
        assert stranger.call("uploads_sign_parts", one, body={"parts": []}).status == 404
        assert stranger.call("uploads_list_parts", one).status == 404


def while_parts_begin(
    api: ApiClient, monkeypatch: pytest.MonkeyPatch, other: Callable[[Services], object]
) -> list[str]:
    """Has somebody else act once the store has begun an upload in parts; the list takes that one's id."""
    raw, begin = api.harness.services.raw, api.harness.services.raw.begin_parts
    begun: list[str] = []

    def begin_and_then(path: str, *, content_type: str) -> str:
        monkeypatch.setattr(raw, "begin_parts", begin)
        begun.append(begin(path, content_type=content_type))
        others = Services(api.harness.services.settings)
        other(others)
        others.database.close()
        return begun[0]

    monkeypatch.setattr(raw, "begin_parts", begin_and_then)
    return begun


def put_to(api: ApiClient, put: Put, path: str, multipart_id: str) -> int:
    """The store's answer to a part of an upload in parts."""
    digest = hashlib.sha256(b"1").hexdigest()
    signed = api.harness.services.raw.sign_part(path, multipart_id, 1, byte_size=1, sha256=digest, seconds=60)
    return put({"url": signed.url, "headers": signed.headers}, b"1")


def test_of_two_that_begin_parts_at_once_the_later_goes_on_with_the_firsts(
    api: ApiClient, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload_id = api.announce(CONTENT).json["uploadId"]
    firsts: list[str] = []

    def first(others: Services) -> None:
        parts.sign_parts(others, Owner("owner-1", "owner-1"), UUID(upload_id), [])
        firsts.append(multipart_id(api, upload_id))

    begun = while_parts_begin(api, monkeypatch, first)
    signed = sign(api, upload_id, CONTENT, 1).json["parts"][0]["upload"]
    assert [multipart_id(api, upload_id)] == firsts != begun
    assert put(signed, cut(CONTENT)[0]) == 200
    assert left(api, upload_id) == 1
    path = api.harness.artifact(UUID(upload_id))["storage_path"]
    assert put_to(api, put, path, begun[0]) == 404, "the later one's own is not left open in the store"


def test_parts_that_begin_while_the_upload_is_given_up_are_dropped(
    api: ApiClient, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload_id = api.announce(CONTENT).json["uploadId"]
    path = api.harness.artifact(UUID(upload_id))["storage_path"]
    begun = while_parts_begin(
        api,
        monkeypatch,
        lambda others: use_cases.abandon_upload(others, Owner("owner-1", "owner-1"), UUID(upload_id)),
    )
    gone = sign(api, upload_id, CONTENT, 1)
    assert (gone.status, gone.json["code"]) == (410, "UPLOAD_EXPIRED")
    assert api.harness.artifact(UUID(upload_id))["multipart_id"] is None
    assert put_to(api, put, path, begun[0]) == 404


def test_no_parts_of_a_file_that_has_arrived(api: ApiClient, put: Put) -> None:
    created = api.announce(b"1").json
    assert put(created["upload"], b"1") == 200
    api.object_created(api.harness.artifact(UUID(created["uploadId"]))["storage_path"])
    for answer in (sign(api, created["uploadId"], b"1", 1), api.call("uploads_list_parts", created["uploadId"])):
        assert (answer.status, answer.json["code"]) == (409, "UPLOAD_ALREADY_RECEIVED")


def test_announcements_that_race_do_not_pass_the_limit(api: ApiClient) -> None:
    most, racers = 3, 6
    start = threading.Barrier(racers)
    answers: list[Code | None] = []

    def announce(number: int) -> None:
        services = with_settings(api.harness, upload_open_max=most)
        queue.depth(services.database)  # connects
        start.wait(30)
        content = Announcement("a.csv", "text/csv", 1 + number, f"{number:064x}")
        try:
            create_upload(services, Owner("owner-1", "owner-1"), content)
            answers.append(None)
        except TelemetryError as error:
            answers.append(error.code)
        services.database.close()

    threads = [threading.Thread(target=announce, args=(number,)) for number in range(racers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert Counter(answers) == {None: most, Code.TOO_MANY_UPLOADS: racers - most}


def test_an_owner_has_only_so_many_uploads_open(api: ApiClient, put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    services = with_settings(api.harness, upload_open_max=2)
    monkeypatch.setattr(uploads, "services", services)
    first = api.announce(b"1").json["uploadId"]
    assert api.announce(b"2").status == 201
    refused = api.announce(b"3")
    assert (refused.status, refused.json["code"]) == (429, "TOO_MANY_UPLOADS")
    assert int(refused.headers["Retry-After"]) > 0
    assert api.as_owner("owner-2").announce(b"3").status == 201
    api.call("uploads_abandon", first)
    third = api.announce(b"3")
    assert third.status == 201
    assert api.announce(b"4").status == 429
    # One that has a session is not open any more, however far its processing is.
    assert put(third.json["upload"], b"3") == 200
    assert api.call("uploads_finalise", third.json["uploadId"], body={}).status == 202
    assert api.announce(b"4").status == 201
    services.database.close()

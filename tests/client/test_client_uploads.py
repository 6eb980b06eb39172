"""Uploads: what broke off goes on, and nothing is sent twice or told to strangers."""

import hashlib
import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from infra.local.client import (
    BrokenOff,
    ClientError,
    Interrupted,
    Phase,
    Step,
)
from tests.client.service import (
    SECRET,
    SESSION,
    TOKEN,
    Patient,
    Service,
)


def test_an_upload_sends_the_announced_bytes_and_forgets_it(
    client_of: Callable[..., Patient], file: Path, tmp_path: Path
) -> None:
    service, told = Service(), list[Step]()
    sent = client_of(service).send(file, told.append, name="Evening")
    assert service.seen == ["POST uploads", "PUT store", "POST uploads/finalise"]
    (announced,) = service.uploads.values()
    assert announced["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert (announced["fileName"], announced["contentType"]) == ("ride.gpx", "application/gpx+xml")
    assert service.stored[str(sent.upload_id)] == file.read_bytes()
    assert (sent.session_id, sent.duplicate, sent.resumed) == (SESSION, False, False)
    assert SECRET not in repr(sent)
    for phase in (Phase.CHECKSUM, Phase.UPLOAD):
        done = [step.done for step in told if step.phase is phase]
        assert len(done) == 3
        assert done == sorted(done)
        assert done[-1] == 3_000_000
    assert list((tmp_path / "state").iterdir()) == []


def test_a_broken_put_goes_on_with_a_fresh_address(client_of: Callable[..., Patient], file: Path) -> None:
    service = Service()
    service.break_puts = 2
    sent = client_of(service).send(file)
    assert service.seen.count("POST uploads") == 1
    assert service.seen.count("GET uploads") == 2
    assert service.stored[str(sent.upload_id)] == file.read_bytes()
    assert sent.url is not None
    assert "n=1" not in sent.url


def test_what_broke_off_goes_on_in_another_process(
    client_of: Callable[..., Patient], file: Path, tmp_path: Path
) -> None:
    service = Service()
    service.break_puts = 4
    with pytest.raises(BrokenOff) as caught:
        client_of(service).send(file)
    assert "it goes on" in caught.value.remedy
    assert SECRET not in str(caught.value)
    (kept,) = (tmp_path / "state").iterdir()
    (upload_id,) = service.uploads
    assert json.loads(kept.read_text()) == {"uploadId": upload_id}
    assert kept.stat().st_mode & 0o077 == 0
    file = file.rename(file.with_name("moved.gpx"))
    sent = client_of(service).send(file)
    assert (str(sent.upload_id), sent.resumed, sent.session_id) == (upload_id, True, SESSION)
    assert service.seen.count("POST uploads") == 1
    assert not kept.exists()


def test_bytes_that_arrived_are_not_sent_twice(client_of: Callable[..., Patient], file: Path) -> None:
    """The answer to the PUT was lost: the store refuses a second one, and that is as good."""
    service = Service()
    service.store_answers = [httpx.Response(412, text="<Error><Code>PreconditionFailed</Code></Error>")]
    service.on_put = lambda: service.stored.update({next(iter(service.uploads)): b"there"})
    assert client_of(service).send(file).session_id == SESSION
    assert service.seen.count("PUT store") == 1


def test_a_session_that_was_made_meanwhile_is_found(
    client_of: Callable[..., Patient], file: Path, tmp_path: Path
) -> None:
    service = Service()
    service.break_puts = 4
    with pytest.raises(BrokenOff):
        client_of(service).send(file)
    next(iter(service.uploads.values()))["sessionId"] = str(SESSION)
    sent = client_of(service).send(file)
    assert (sent.session_id, sent.resumed, sent.url) == (SESSION, True, None)
    assert list((tmp_path / "state").iterdir()) == []


@pytest.mark.parametrize("fate", ["gone", "expired"])
def test_a_remembered_upload_that_is_lost_is_begun_anew(
    client_of: Callable[..., Patient], file: Path, fate: str
) -> None:
    service = Service()
    service.break_puts = 4
    with pytest.raises(BrokenOff):
        client_of(service).send(file)
    if fate == "gone":
        service.uploads.clear()
    else:
        next(iter(service.uploads.values()))["status"] = "expired"
    sent = client_of(service).send(file)
    assert not sent.resumed
    assert service.seen.count("POST uploads") == 2


def test_the_stores_refusal_is_told_without_its_address(client_of: Callable[..., Patient], file: Path) -> None:
    quoted = f"<Error><Code>%s</Code><StringToSign>{SECRET}</StringToSign></Error>"
    service = Service()
    service.store_answers = [httpx.Response(400, text=quoted % "BadDigest")]
    with pytest.raises(ClientError, match="CHECKSUM_MISMATCH") as caught:
        client_of(service).send(file)
    assert SECRET not in str(caught.value)
    service.store_answers = [httpx.Response(403, text=quoted % "AccessDenied") for _ in range(4)]
    with pytest.raises(ClientError, match="403 AccessDenied") as caught:
        client_of(service).send(file)
    assert SECRET not in str(caught.value)


def test_a_file_that_changes_is_not_sent(client_of: Callable[..., Patient], file: Path) -> None:
    service = Service()
    service.on_put = lambda: file.write_bytes(b"other bytes")
    with pytest.raises(ClientError, match="changed while it was being sent"):
        client_of(service).send(file)
    assert service.stored == {}


def test_the_same_bytes_are_not_sent_again(client_of: Callable[..., Patient], file: Path, tmp_path: Path) -> None:
    service = Service()
    service.duplicate_of = str(SESSION)
    sent = client_of(service).send(file, again=False)
    assert (sent.session_id, sent.duplicate) == (SESSION, True)
    assert (service.stored, service.uploads) == ({}, {})
    assert not client_of(service).send(file, again=True).duplicate
    service.duplicate_status = "failed"
    assert not client_of(service).send(file, again=False).duplicate
    assert len(service.stored) == 2


def test_stopping_leaves_an_upload_to_go_on_with(client_of: Callable[..., Patient], file: Path, tmp_path: Path) -> None:
    service, stopping = Service(), threading.Event()
    service.on_put = stopping.set
    with pytest.raises(Interrupted):
        client_of(service, stopping=stopping).send(file)
    assert len(list((tmp_path / "state").iterdir())) == 1
    service.on_put = lambda: None
    assert client_of(service).send(file).resumed


def test_nothing_secret_is_logged(
    client_of: Callable[..., Patient], file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        client_of(Service()).send(file)
    assert SECRET not in caplog.text
    assert TOKEN not in caplog.text

"""Several files that become one session."""

from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from infra.local.client import (
    ClientError,
    ServiceError,
    Unreachable,
)
from tests.client.service import SESSION, Patient, Service


def _joining(service: Service, client: Patient, files: list[Path]) -> UUID:
    return client.join([client.bring(file, again=False) for file in files], name="A day")


def test_several_files_become_one_session(client_of: Callable[..., Patient], tmp_path: Path) -> None:
    service = Service()
    files = [tmp_path / f"{name}.csv" for name in "abc"]
    for file in files:
        file.write_text(file.name)
    assert _joining(service, client_of(service), files) == SESSION
    assert [line for line in service.seen if "finalise" in line] == ["POST uploads/finalise"]
    (body,) = service.finalised
    first, *others = service.uploads
    assert body == {"artifactIds": others, "sessionName": "A day"}
    assert service.uploads[first]["sessionId"] == str(SESSION)
    assert not list((tmp_path / "state").iterdir())


def test_joining_goes_on_where_it_broke_off(client_of: Callable[..., Patient], tmp_path: Path) -> None:
    service = Service()
    files = [tmp_path / f"{name}.csv" for name in "ab"]
    for file in files:
        file.write_text(file.name)
    brought = client_of(service).bring(files[0])
    assert (brought.session_id, brought.resumed) == (None, False)
    assert _joining(service, client_of(service), files) == SESSION
    assert len(service.uploads) == 2
    assert service.seen.count("PUT store") == 2


def test_a_join_whose_answer_was_lost_is_gone_on_with_when_a_file_is_there_again(
    client_of: Callable[..., Patient], tmp_path: Path
) -> None:
    """A second session of the same bytes would come of forgetting those that have one already."""
    service = Service()
    files = [tmp_path / f"{name}.csv" for name in "ab"]
    for file in files:
        file.write_text(file.name)
    service.lose_finalised = True
    with pytest.raises(Unreachable):
        _joining(service, client_of(service), files)
    service.lose_finalised = False
    away = files[1].rename(tmp_path / "away.csv")
    with pytest.raises(ClientError, match="cannot be read"):
        _joining(service, client_of(service), files)
    away.rename(files[1])
    brought = [client_of(service).bring(file) for file in files]
    assert [(sent.session_id, sent.resumed) for sent in brought] == [(SESSION, True)] * 2
    assert client_of(service).join(brought) == SESSION
    assert (len(service.uploads), service.seen.count("PUT store")) == (2, 2)
    assert not list((tmp_path / "state").iterdir())


def test_files_of_an_earlier_session_are_sent_anew_to_be_joined_with_another(
    client_of: Callable[..., Patient], tmp_path: Path
) -> None:
    service = Service()
    files = [tmp_path / f"{name}.csv" for name in "abc"]
    for file in files:
        file.write_text(file.name)
    service.lose_finalised = True
    with pytest.raises(Unreachable):
        _joining(service, client_of(service), files[:2])
    service.lose_finalised = False
    with pytest.raises(ServiceError, match="UPLOAD_ALREADY_FINALISED"):
        _joining(service, client_of(service), files)
    assert _joining(service, client_of(service), files) == SESSION
    assert (len(service.uploads), service.seen.count("PUT store")) == (5, 5)

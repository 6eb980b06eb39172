"""Object storage at the boto3 edge: what fails there, and what it is called here."""

import dataclasses
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError
from botocore.response import StreamingBody
from botocore.stub import Stubber
from moto import mock_aws
from urllib3.exceptions import ProtocolError

from telemetry.errors import Code, TelemetryError
from telemetry.settings import ObjectStorageSettings
from telemetry.storage.object_storage import ObjectStorage, ObjectStream
from telemetry.storage.protocol import ObjectMissing

SETTINGS = ObjectStorageSettings("raw", "canonical", "", "us-east-1", "", "path")


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStorage]:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="raw")
        yield ObjectStorage(SETTINGS, "raw")


def failing(store: ObjectStorage, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """From now on every call of the client ends so."""

    def call(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(type(store._client), "_make_api_call", call)


@pytest.mark.parametrize(
    "error",
    [
        ClientError({"Error": {"Code": "SlowDown"}, "ResponseMetadata": {"HTTPStatusCode": 503}}, "GetObject"),  # type: ignore[typeddict-item]
        ClientError({"Error": {"Code": "AccessDenied"}}, "GetObject"),
        ClientError({"Error": {"Code": "500"}}, "HeadObject"),
        EndpointConnectionError(endpoint_url="https://secret.example"),
        ReadTimeoutError(endpoint_url="https://secret.example"),
    ],
    ids=["slow-down", "denied", "500", "no-connection", "timeout"],
)
def test_outages_are_one_code_and_quote_nothing(
    store: ObjectStorage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception
) -> None:
    (tmp_path / "file").write_bytes(b"x")
    failing(store, monkeypatch, error)
    for call in (
        lambda: store.head("a"),
        lambda: store.open("a"),
        lambda: store.read_range("a", 0, 1),
        lambda: store.put_file("a", tmp_path / "file", sha256="00" * 32, content_type="a/b"),
        lambda: store.delete("a"),
        lambda: list(store.list("")),
    ):
        with pytest.raises(TelemetryError) as raised:
            call()
        assert raised.value.code is Code.STORAGE_UNAVAILABLE
        assert "secret" not in raised.value.detail


class _Cut(io.BytesIO):
    """A connection that is reset after its bytes."""

    def read(self, size: int | None = -1, /) -> bytes:
        block = super().read(size)
        if not block:
            raise ProtocolError("Connection broken")
        return block


@pytest.mark.parametrize("body", [io.BytesIO(b"half"), _Cut(b"half")], ids=["ends", "reset"])
def test_an_early_end_is_not_the_end(body: io.BytesIO) -> None:
    with ObjectStream(StreamingBody(body, 8), 8) as stream:
        assert stream.read(4) == b"half"
        with pytest.raises(TelemetryError) as raised:
            stream.read(4)
    assert raised.value.code is Code.STORAGE_UNAVAILABLE


def test_an_early_end_that_botocore_does_not_notice() -> None:
    stream = ObjectStream(io.BytesIO(b"half"), 8)
    assert stream.read(100) == b"half"
    with pytest.raises(TelemetryError, match="4 bytes early"):
        stream.read(100)


def test_a_put_whose_answer_was_lost_is_a_success(
    store: ObjectStorage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"content")
    sha256 = "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"
    store.put_file("a", file, sha256=sha256, content_type="a/b")
    with pytest.raises(TelemetryError) as raised:
        store.put_file("a", file, sha256="00" * 32, content_type="a/b")
    assert raised.value.code is Code.CHECKSUM_MISMATCH
    store.put_file("a", file, sha256=sha256, content_type="a/b")


def test_an_object_that_goes_while_it_is_compared_is_not_the_file(
    store: ObjectStorage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The writer learns of its PUT that it failed, not of a read that it never asked for."""
    file = tmp_path / "file"
    file.write_bytes(b"content")
    store.put_file(
        "a", file, sha256="ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73", content_type="a/b"
    )
    found = store.head("a")
    assert found is not None

    def gone(*_: object, **__: object) -> None:
        raise ObjectMissing

    monkeypatch.setattr(store, "head", lambda _: dataclasses.replace(found, sha256=None))
    monkeypatch.setattr(store, "open", gone)
    with pytest.raises(TelemetryError) as raised:
        store.put_file("a", file, sha256="00" * 32, content_type="a/b")
    assert raised.value.code is Code.CHECKSUM_MISMATCH


def test_more_than_one_page(store: ObjectStorage) -> None:
    entry = {"Size": 1, "ETag": '"e"', "LastModified": datetime.now(UTC)}
    with Stubber(store._client) as stub:
        asked: dict[str, Any] = {"Bucket": "raw", "Prefix": "uploads/"}
        first = {"IsTruncated": True, "NextContinuationToken": "next", "Contents": [{"Key": "uploads/a", **entry}]}
        stub.add_response("list_objects_v2", first, asked)
        last = {"IsTruncated": False, "Contents": [{"Key": "uploads/b", **entry}]}
        stub.add_response("list_objects_v2", last, {**asked, "ContinuationToken": "next"})
        assert [found.path for found in store.list("uploads/")] == ["uploads/a", "uploads/b"]
        stub.assert_no_pending_responses()


def test_nothing_to_sign_with_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("telemetry.signature._botocore_credentials", lambda: None)
    with pytest.raises(TelemetryError) as raised:
        ObjectStorage(SETTINGS, "raw").sign_get("a", file_name="a", seconds=60)
    assert raised.value.code is Code.STORAGE_UNAVAILABLE

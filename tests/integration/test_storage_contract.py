"""One contract, both backends: object storage on a real S3 protocol with signatures validated, and a local path."""

import base64
import hashlib
import http.server
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit, urlunsplit

import httpx
import pytest

from infra.local.localstack import LocalStack
from telemetry.errors import Code, TelemetryError
from telemetry.settings import LocalStorageSettings, ObjectStorageSettings
from telemetry.storage.local_path import LocalPath, StorageRefusal, accept_put, serve_get
from telemetry.storage.object_storage import ObjectStorage
from telemetry.storage.protocol import FileStore, ObjectMissing, SignedRequest
from tests.plugins.localstack import Buckets

BYTES = b"time,lat,lon\n" * 1000
SHA256 = hashlib.sha256(BYTES).hexdigest()
SECRET = "only for this test"


@dataclass(frozen=True)
class Backend:
    """A store, and how to put bytes into it behind its back."""

    name: str
    store: FileStore
    replace_bytes: Callable[[str, bytes], None]


class _LocalServer(http.server.BaseHTTPRequestHandler):
    """The smallest server over `accept_put` and `serve_get`."""

    settings: LocalStorageSettings
    extra: dict[str, str]

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        self._answer(
            lambda target, query: (accept_put(self.settings, target, query, dict(self.headers), [body]), b"")[1]
        )

    def do_GET(self) -> None:
        def serve(target: str, query: str) -> bytes:
            stored = serve_get(self.settings, target, query)
            self.extra = stored.headers
            return stored.file.read_bytes()

        self._answer(serve)

    def _answer(self, use: Callable[[str, str], bytes]) -> None:
        self.extra = {}
        url = urlsplit(self.path)
        try:
            status, body = 200, use(url.path.lstrip("/"), url.query)
        except StorageRefusal as refusal:
            status, body = refusal.status, refusal.code.encode()
        self.send_response(status)
        for name, value in {**self.extra, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Backend]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _LocalServer)
    settings = LocalStorageSettings(tmp_path / "storage", f"http://127.0.0.1:{server.server_port}", SECRET)
    server.RequestHandlerClass = type("Server", (_LocalServer,), {"settings": settings})
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()

    def replace_bytes(path: str, data: bytes) -> None:
        file = settings.root / "raw" / path
        file.unlink()
        file.write_bytes(data)

    yield Backend("local", LocalPath(settings, "raw"), replace_bytes)
    server.shutdown()
    thread.join(60)
    assert not thread.is_alive()
    server.server_close()


def object_storage(localstack: LocalStack, bucket: str, prefix: str = "") -> ObjectStorage:
    settings = ObjectStorageSettings(bucket, bucket, localstack.endpoint, "us-east-1", prefix, "path")
    return ObjectStorage(settings, bucket)


@pytest.fixture
def s3(localstack: LocalStack, buckets: Buckets) -> Backend:
    client = localstack.client("s3")
    return Backend(
        "s3",
        object_storage(localstack, buckets.raw),
        lambda path, data: client.put_object(Bucket=buckets.raw, Key=path, Body=data) and None,
    )


@pytest.fixture(params=["s3", "local"])
def backend(request: pytest.FixtureRequest) -> Backend:
    chosen: Backend = request.getfixturevalue(request.param)
    return chosen


@pytest.fixture
def store(backend: Backend) -> FileStore:
    return backend.store


def sign(store: FileStore, path: str = "", *, seconds: int = 60) -> SignedRequest:
    path = path or store.upload_path("tenant", str(uuid.uuid4()))
    return store.sign_put(path, byte_size=len(BYTES), content_type="text/csv", sha256=SHA256, seconds=seconds)


def send(signed: SignedRequest, body: bytes = BYTES, /, **changed: str) -> httpx.Response:
    headers = {**signed.headers, **{name.replace("_", "-"): value for name, value in changed.items()}}
    return httpx.request(signed.method, signed.url, headers={k: v for k, v in headers.items() if v}, content=body)


def put(store: FileStore, path: str, data: bytes, tmp_path: Path) -> None:
    file = tmp_path / uuid.uuid4().hex
    file.write_bytes(data)
    store.put_file(path, file, sha256=hashlib.sha256(data).hexdigest(), content_type="application/octet-stream")


def read_all(store: FileStore, path: str, *, etag: str | None = None) -> bytes:
    with store.open(path, etag=etag) as stream:
        return b"".join(iter(lambda: stream.read(1000), b""))


def code_of(call: Callable[[], object]) -> Code:
    with pytest.raises(TelemetryError) as raised:
        call()
    return raised.value.code


# Signed PUT


def test_a_signed_put_stores_the_bytes(store: FileStore) -> None:
    path = store.upload_path("tenant", "artifact")
    assert path.endswith("uploads/tenant/artifact.bin")
    assert store.head(path) is None
    assert send(sign(store, path)).status_code == 200
    found = store.head(path)
    assert found is not None
    assert (found.path, found.byte_size) == (path, len(BYTES))
    assert found.sha256 in (SHA256, None)
    assert found.etag
    assert found.modified_at.tzinfo is not None
    assert read_all(store, path, etag=found.etag) == BYTES


def test_s3_vouches_for_the_checksum(s3: Backend) -> None:
    path = s3.store.upload_path("tenant", "artifact")
    send(sign(s3.store, path)).raise_for_status()
    found = s3.store.head(path)
    assert found is not None
    assert found.sha256 == SHA256


def test_every_guard_is_a_signed_header(s3: Backend) -> None:
    signed = sign(s3.store)
    query = parse_qs(urlsplit(signed.url).query)
    assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert query["X-Amz-Expires"] == ["60"]
    assert query["X-Amz-SignedHeaders"] == ["content-length;content-type;host;if-none-match;x-amz-checksum-sha256"]
    # None of them as a query parameter instead, where the service would not hold the body to it.
    assert {name.lower() for name in query} == {
        "x-amz-algorithm",
        "x-amz-credential",
        "x-amz-date",
        "x-amz-expires",
        "x-amz-signedheaders",
        "x-amz-signature",
    }
    assert signed.headers == {
        "content-length": str(len(BYTES)),
        "content-type": "text/csv",
        "if-none-match": "*",
        "x-amz-checksum-sha256": base64.b64encode(bytes.fromhex(SHA256)).decode(),
    }


def test_the_address_is_the_regions_and_carries_the_sessions_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "session token")
    for region, host in (("eu-central-1", "amazonaws.com"), ("cn-north-1", "amazonaws.com.cn")):
        settings = ObjectStorageSettings("bucket", "bucket", "", region, "", "virtual")
        signed = sign(ObjectStorage(settings, "bucket"), "uploads/auth0~7c é+/a.bin")
        assert signed.url.startswith(
            f"https://bucket.s3.{region}.{host}/uploads/auth0~7c%20%C3%A9%2B/a.bin?X-Amz-Algorithm=AWS4-HMAC-SHA256&"
        )
        assert parse_qs(urlsplit(signed.url).query)["X-Amz-Security-Token"] == ["session token"]


@pytest.mark.parametrize("path", ["uploads/t/a b+c.bin", "uploads/t/é ü%41~7c.bin", "uploads/t/a=b&c@d.bin"])
def test_unusual_paths_are_signed_right(store: FileStore, path: str) -> None:
    assert send(sign(store, path)).status_code == 200
    assert [found.path for found in store.list("uploads/t/")] == [path]
    answer = httpx.get(store.sign_get(path, file_name="a.bin", seconds=60).url)
    assert answer.content == BYTES


def test_changed_bytes_of_the_same_length_are_refused(store: FileStore) -> None:
    signed = sign(store)
    answer = send(signed, BYTES[:-1] + b"X")
    assert answer.status_code == 400
    assert "BadDigest" in answer.text


@pytest.mark.parametrize(
    "changed",
    [
        {"content_type": "text/plain"},
        {"if_none_match": ""},
        {"x_amz_checksum_sha256": base64.b64encode(hashlib.sha256(b"other").digest()).decode()},
        {"x_amz_checksum_sha256": ""},
    ],
    ids=["type", "no-condition", "checksum", "no-checksum"],
)
def test_changed_headers_are_refused(store: FileStore, changed: dict[str, str]) -> None:
    answer = send(sign(store), **changed)
    assert answer.status_code == 403
    assert "SignatureDoesNotMatch" in answer.text


@pytest.mark.parametrize("body", [BYTES + b"more", BYTES[:-4], b""], ids=["longer", "shorter", "empty"])
def test_another_size_is_refused(store: FileStore, body: bytes) -> None:
    path = store.upload_path("tenant", "artifact")
    assert send(sign(store, path), body, content_length=str(len(body))).status_code == 403
    assert store.head(path) is None


def test_a_second_put_is_refused(store: FileStore) -> None:
    signed = sign(store)
    assert send(signed).status_code == 200
    answer = send(signed)
    assert answer.status_code == 412
    assert "PreconditionFailed" in answer.text


def test_an_expired_address_is_refused(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    earlier = datetime.now(UTC) - timedelta(minutes=2)
    with monkeypatch.context() as clock:
        clock.setattr("telemetry.signature.now", lambda: earlier)
        clock.setattr("telemetry.storage.local_path.time.time", earlier.timestamp)
        signed = sign(store, seconds=60)
    answer = send(signed)
    assert answer.status_code == 403
    assert "AccessDenied" in answer.text


@pytest.mark.parametrize("part", ["path", "expiry", "signature", "method"])
def test_a_tampered_address_is_refused(store: FileStore, part: str) -> None:
    signed = sign(store)
    url = urlsplit(signed.url)
    tampered = {
        "path": url._replace(path=url.path.replace("/tenant/", "/another/")),
        "expiry": url._replace(
            query=url.query.replace("X-Amz-Expires=60", "X-Amz-Expires=61").replace("expires=1", "expires=2")
        ),
        "signature": url._replace(query=url.query[:-1] + ("0" if url.query[-1] != "0" else "1")),
        "method": url,
    }[part]
    assert part == "method" or tampered != url
    changed = replace(signed, url=urlunsplit(tampered), method="GET" if part == "method" else "PUT")
    answer = send(changed)
    assert answer.status_code == 403
    assert "SignatureDoesNotMatch" in answer.text


@pytest.mark.parametrize("target", ["raw/../../etc/passwd", "raw/%2e%2e/%2e%2e/passwd", "/etc/passwd", "other/a"])
def test_the_local_server_stays_inside_its_stores(tmp_path: Path, target: str) -> None:
    settings = LocalStorageSettings(tmp_path, "http://127.0.0.1:1", SECRET)
    with pytest.raises(StorageRefusal) as refused:
        serve_get(settings, target, "expires=9999999999&signature=0")
    assert refused.value.status == 403
    for path in ("../a", "a/../../b", "/a", "a//b", "a\0b", "a\\..\\b", "."):
        assert code_of(lambda path=path: LocalPath(settings, "raw").head(path)) is Code.STORAGE_UNAVAILABLE  # type: ignore[misc]


def test_a_body_cut_off_on_its_way_leaves_nothing(tmp_path: Path) -> None:
    settings = LocalStorageSettings(tmp_path, "http://127.0.0.1:1", SECRET)
    store = LocalPath(settings, "raw")
    signed = sign(store, "uploads/t/a.bin")
    url = urlsplit(signed.url)
    for body, code in (([BYTES[:10]], "IncompleteBody"), ([BYTES, b"x"], "BadDigest")):
        with pytest.raises(StorageRefusal) as refused:
            accept_put(settings, url.path.lstrip("/"), url.query, signed.headers, body)
        assert (refused.value.status, refused.value.code) == (400, code)
        assert [file for file in tmp_path.rglob("*") if file.is_file()] == []


# Signed GET


def test_a_signed_get_saves_under_the_files_name(store: FileStore, tmp_path: Path) -> None:
    put(store, "datasets/a.parquet", BYTES, tmp_path)
    signed = store.sign_get("datasets/a.parquet", file_name='Runde "1"; è.parquet', seconds=60)
    answer = httpx.get(signed.url, headers=signed.headers)
    assert (answer.status_code, answer.content) == (200, BYTES)
    disposition = answer.headers["content-disposition"]
    assert disposition.startswith('attachment; filename="Runde _1__ e.parquet"; ')
    assert unquote(disposition.partition("filename*=UTF-8''")[2]) == 'Runde "1"; è.parquet'
    assert httpx.get(signed.url.replace("a.parquet?", "b.parquet?")).status_code == 403


def test_a_signed_get_of_nothing_is_404(store: FileStore) -> None:
    assert httpx.get(store.sign_get("datasets/none.parquet", file_name="x", seconds=60).url).status_code == 404


# Reading


def test_reading_nothing_says_that_it_is_missing(store: FileStore) -> None:
    with pytest.raises(ObjectMissing):
        store.open("uploads/t/none.bin")
    with pytest.raises(ObjectMissing):
        store.read_range("uploads/t/none.bin", 0, 10)


def test_open_refuses_other_bytes_than_the_etags(backend: Backend, tmp_path: Path) -> None:
    store = backend.store
    put(store, "uploads/t/a.bin", BYTES, tmp_path)
    found = store.head("uploads/t/a.bin")
    assert found is not None
    backend.replace_bytes("uploads/t/a.bin", b"other")
    assert code_of(lambda: store.open("uploads/t/a.bin", etag=found.etag)) is Code.CHECKSUM_MISMATCH
    assert read_all(store, "uploads/t/a.bin") == b"other"


def test_ranges(store: FileStore, tmp_path: Path) -> None:
    put(store, "uploads/t/a.bin", BYTES, tmp_path)
    assert store.read_range("uploads/t/a.bin", 0, 4) == b"time"
    assert store.read_range("uploads/t/a.bin", 5, 3) == b"lat"
    assert store.read_range("uploads/t/a.bin", len(BYTES) - 2, 100) == BYTES[-2:]
    assert store.read_range("uploads/t/a.bin", len(BYTES), 100) == b""
    assert store.read_range("uploads/t/a.bin", 0, 0) == b""
    put(store, "uploads/t/empty.bin", b"", tmp_path)
    assert store.read_range("uploads/t/empty.bin", 0, 100) == b""
    assert read_all(store, "uploads/t/empty.bin") == b""


def test_a_file_cut_short_while_it_is_read_is_no_short_file(local: Backend, tmp_path: Path) -> None:
    data = BYTES * 100  # beyond what is read ahead
    put(local.store, "uploads/t/a.bin", data, tmp_path)
    with local.store.open("uploads/t/a.bin") as stream:
        assert stream.read(1000) == data[:1000]
        (file,) = (tmp_path / "storage" / "raw").rglob("a.bin")
        os.truncate(file, len(data) // 2)
        assert code_of(lambda: [*iter(lambda: stream.read(1000), b"")]) is Code.STORAGE_UNAVAILABLE


# Writing


def test_put_file_never_replaces(store: FileStore, tmp_path: Path) -> None:
    put(store, "datasets/a.parquet", BYTES, tmp_path)
    put(store, "datasets/a.parquet", BYTES, tmp_path)  # the answer to the first was lost
    assert code_of(lambda: put(store, "datasets/a.parquet", b"other", tmp_path)) is Code.CHECKSUM_MISMATCH
    assert read_all(store, "datasets/a.parquet") == BYTES


def test_put_file_compares_bytes_where_the_store_does_not_vouch(backend: Backend, tmp_path: Path) -> None:
    put(backend.store, "datasets/a.parquet", b"first", tmp_path)
    backend.replace_bytes("datasets/a.parquet", BYTES)
    put(backend.store, "datasets/a.parquet", BYTES, tmp_path)
    assert code_of(lambda: put(backend.store, "datasets/a.parquet", b"other", tmp_path)) is Code.CHECKSUM_MISMATCH


def test_delete_and_delete_again(store: FileStore, tmp_path: Path) -> None:
    put(store, "datasets/t/a.parquet", BYTES, tmp_path)
    put(store, "datasets/t/a.parquet.old", BYTES, tmp_path)
    store.delete("datasets/t/a.parquet")
    store.delete("datasets/t/a.parquet")
    assert store.head("datasets/t/a.parquet") is None
    assert [found.path for found in store.list("")] == ["datasets/t/a.parquet.old"]
    store.delete("datasets/t/a.parquet.old")
    assert list(store.list("")) == []


def test_delete_removes_every_version(localstack: LocalStack, buckets: Buckets, tmp_path: Path) -> None:
    client = localstack.client("s3")
    client.put_bucket_versioning(Bucket=buckets.raw, VersioningConfiguration={"Status": "Enabled"})
    store = object_storage(localstack, buckets.raw)
    for data in (b"one", b"two"):
        client.put_object(Bucket=buckets.raw, Key="uploads/a.bin", Body=data)
        client.put_object(Bucket=buckets.raw, Key="uploads/a.bin.neighbour", Body=data)
    found = store.head("uploads/a.bin")
    assert found is not None
    assert found.version
    store.delete("uploads/a.bin")
    store.delete("uploads/never.bin")
    left = client.list_object_versions(Bucket=buckets.raw)
    assert {version["Key"] for version in left["Versions"]} == {"uploads/a.bin.neighbour"}
    assert len(left["Versions"]) == 2
    assert "DeleteMarkers" not in left
    store.delete("uploads/a.bin.neighbour")
    client.put_bucket_versioning(Bucket=buckets.raw, VersioningConfiguration={"Status": "Suspended"})


def test_a_version_that_stays_is_told(
    localstack: LocalStack, buckets: Buckets, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = localstack.client("s3")
    client.put_bucket_versioning(Bucket=buckets.raw, VersioningConfiguration={"Status": "Enabled"})
    store = object_storage(localstack, buckets.raw)
    client.put_object(Bucket=buckets.raw, Key="uploads/a.bin", Body=b"one")
    # S3 answers 200 and names what it did not delete (Amazon S3 API Reference, "DeleteObjects").
    errors = [{"Key": "uploads/a.bin", "Code": "AccessDenied", "Message": "Access Denied"}]
    with monkeypatch.context() as denied:
        denied.setattr(store._client, "delete_objects", lambda **_: {"Errors": errors})
        assert code_of(lambda: store.delete("uploads/a.bin")) is Code.STORAGE_UNAVAILABLE
    store.delete("uploads/a.bin")
    assert "Versions" not in client.list_object_versions(Bucket=buckets.raw)
    client.put_bucket_versioning(Bucket=buckets.raw, VersioningConfiguration={"Status": "Suspended"})


def test_list_tells_only_what_is_below_the_prefix(store: FileStore, tmp_path: Path) -> None:
    assert list(store.list("uploads/")) == []
    for path in ("uploads/t/a.bin", "uploads/t/b.bin", "uploads/tt/c.bin", "datasets/t/d.parquet"):
        put(store, path, BYTES, tmp_path)
    assert [found.path for found in store.list("uploads/t/")] == ["uploads/t/a.bin", "uploads/t/b.bin"]
    assert [found.path for found in store.list("uploads/t")] == [
        "uploads/t/a.bin",
        "uploads/t/b.bin",
        "uploads/tt/c.bin",
    ]
    assert {found.byte_size for found in store.list("uploads/")} == {len(BYTES)}


def test_list_goes_on_behind_a_path_in_order(store: FileStore, tmp_path: Path) -> None:
    paths = ["uploads/t-1/b.bin", "uploads/t/a.bin", "uploads/t/b.bin", "uploads/t0/a.bin"]
    for path in reversed(paths):
        put(store, path, BYTES, tmp_path)
    assert [found.path for found in store.list("uploads/")] == paths
    assert [found.path for found in store.list("uploads/", after="uploads/t/a.bin")] == paths[2:]
    assert [found.path for found in store.list("uploads/", after="uploads/t/")] == paths[1:]
    assert list(store.list("uploads/", after=paths[-1])) == []


def test_the_settings_prefix_is_part_of_every_path(localstack: LocalStack, buckets: Buckets) -> None:
    store = object_storage(localstack, buckets.raw, prefix="telemetry/dev")
    path = store.upload_path("tenant", "artifact")
    assert path == "telemetry/dev/uploads/tenant/artifact.bin"
    send(sign(store, path)).raise_for_status()
    assert [found.path for found in store.list("uploads/")] == [path]
    store.delete(path)
    assert store.head(path) is None

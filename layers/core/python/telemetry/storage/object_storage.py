"""Object storage (S3): presigned requests, reads, writes that never replace, deletes for good.

Signing needs no client (`telemetry.signature`), so that handing out an upload address stays quick in a cold
environment; the boto3 client is built on first use. HEAD of a missing object answers 404 only to a role that may
list the bucket (`s3:ListBucket`), else 403, which reads as a storage failure.
"""

import base64
import contextlib
import functools
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from telemetry import signature
from telemetry.errors import Code, TelemetryError
from telemetry.settings import ObjectStorageSettings
from telemetry.storage import paths
from telemetry.storage.protocol import ObjectMissing, SignedRequest, StoredObject, StoredPart

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

_BLOCK = 1 << 20


class ObjectStorage:
    """One bucket. Paths are whole keys, the settings' prefix included."""

    def __init__(self, settings: ObjectStorageSettings, bucket: str) -> None:
        self._settings = settings
        self._bucket = bucket
        self._prefix = f"{settings.prefix}/" if settings.prefix else ""

    @functools.cached_property
    def _client(self) -> "S3Client":
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self._settings.endpoint or None,
            region_name=self._settings.region,
            config=Config(
                signature_version="s3v4",
                s3={"addressing_style": self._settings.addressing_style},
                retries={"mode": "standard", "total_max_attempts": 3},
                connect_timeout=3,
                read_timeout=20,
            ),
        )

    def upload_path(self, tenant_id: str, artifact_id: str) -> str:
        """See `FileStore`."""
        return self._prefix + paths.upload_path(tenant_id, artifact_id)

    def dataset_path(self, **parts: Any) -> str:
        """See `FileStore`."""
        return self._prefix + paths.dataset_path(**parts)

    def sign_put(self, path: str, *, byte_size: int, content_type: str, sha256: str, seconds: int) -> SignedRequest:
        """See `FileStore`. S3 itself refuses another length, type, other bytes and a second PUT, as all are signed."""
        headers = {
            "content-length": str(byte_size),
            "content-type": content_type,
            "if-none-match": "*",
            "x-amz-checksum-sha256": _base64(sha256),
        }
        return self._sign("PUT", path, headers, {}, seconds)

    def sign_get(self, path: str, *, file_name: str, seconds: int) -> SignedRequest:
        """See `FileStore`."""
        return self._sign("GET", path, {}, {"response-content-disposition": paths.attachment(file_name)}, seconds)

    def begin_parts(self, path: str, *, content_type: str) -> str:
        """See `FileStore`."""
        with _storage_errors("POST"):
            begun = self._client.create_multipart_upload(
                Bucket=self._bucket, Key=path, ContentType=content_type, ChecksumAlgorithm="SHA256"
            )
        return begun["UploadId"]

    def sign_part(
        self, path: str, multipart_id: str, part_number: int, *, byte_size: int, sha256: str, seconds: int
    ) -> SignedRequest:
        """See `FileStore`. S3 itself refuses another length and other bytes, as both are signed."""
        headers = {"content-length": str(byte_size), "x-amz-checksum-sha256": _base64(sha256)}
        return self._sign("PUT", path, headers, {"partNumber": str(part_number), "uploadId": multipart_id}, seconds)

    def list_parts(self, path: str, multipart_id: str) -> Sequence[StoredPart]:
        """See `FileStore`."""
        pages = self._client.get_paginator("list_parts").paginate(Bucket=self._bucket, Key=path, UploadId=multipart_id)
        try:
            with _storage_errors("LIST"):
                return [
                    StoredPart(
                        part_number=part["PartNumber"],
                        byte_size=part["Size"],
                        sha256=_hex(part.get("ChecksumSHA256")) or "",
                        etag=part["ETag"],
                    )
                    for page in pages
                    for part in page.get("Parts", ())
                ]
        except ObjectMissing:
            return []

    def complete_parts(self, path: str, multipart_id: str, parts: Sequence[StoredPart]) -> None:
        """See `FileStore`."""
        told: list[Any] = [
            {"PartNumber": part.part_number, "ETag": part.etag, "ChecksumSHA256": _base64(part.sha256)}
            for part in parts
        ]
        # There already, or ended meanwhile: what lies at the path decides.
        with contextlib.suppress(_ExistsError, ObjectMissing), _storage_errors("PUT"):
            self._client.complete_multipart_upload(
                Bucket=self._bucket,
                Key=path,
                UploadId=multipart_id,
                MultipartUpload={"Parts": told},
                IfNoneMatch="*",
            )

    def abort_parts(self, path: str, multipart_id: str) -> None:
        """See `FileStore`."""
        with contextlib.suppress(ObjectMissing), _storage_errors("DELETE"):
            self._client.abort_multipart_upload(Bucket=self._bucket, Key=path, UploadId=multipart_id)

    def drop_unfinished(self, before: datetime) -> int:
        """See `FileStore`. The bucket's own rule ends uploads in parts after a day."""
        return 0

    def head(self, path: str) -> StoredObject | None:
        """See `FileStore`. `sha256` is S3's own, when the object was stored with a checksum of all its bytes."""
        try:
            with _storage_errors("HEAD"):
                answer = self._client.head_object(Bucket=self._bucket, Key=path, ChecksumMode="ENABLED")
        except ObjectMissing:
            return None
        return StoredObject(
            path=path,
            byte_size=answer["ContentLength"],
            etag=answer["ETag"].strip('"'),
            version=_version(answer.get("VersionId")),
            sha256=_hex(answer.get("ChecksumSHA256")),
            modified_at=answer["LastModified"],
        )

    def open(self, path: str, *, etag: str | None = None) -> "ObjectStream":
        """See `FileStore`."""
        condition: Any = {"IfMatch": f'"{etag}"'} if etag else {}
        with _storage_errors("GET"):
            answer = self._client.get_object(Bucket=self._bucket, Key=path, **condition)
        return ObjectStream(answer["Body"], answer["ContentLength"])

    def read_range(self, path: str, start: int, length: int) -> bytes:
        """See `FileStore`."""
        if length <= 0:
            return b""
        try:
            with _storage_errors("GET"):
                answer = self._client.get_object(
                    Bucket=self._bucket, Key=path, Range=f"bytes={start}-{start + length - 1}"
                )
        except _OutOfRangeError:
            return b""
        with ObjectStream(answer["Body"], answer["ContentLength"]) as stream:
            return stream.read(length)

    def put_file(self, path: str, file: Path, *, sha256: str, content_type: str) -> None:
        """See `FileStore`."""
        try:
            with file.open("rb") as body, _storage_errors("PUT"):
                self._client.put_object(
                    Bucket=self._bucket,
                    Key=path,
                    Body=body,
                    IfNoneMatch="*",
                    ChecksumSHA256=_base64(sha256),
                    ContentType=content_type,
                )
        except _ExistsError:
            # The answer to an earlier PUT of ours may have been lost: what lies there decides.
            if self._stored_sha256(path) != sha256:
                raise TelemetryError(Code.CHECKSUM_MISMATCH, "another file is stored at this path") from None

    def delete(self, path: str) -> None:
        """See `FileStore`. In a versioned bucket every version goes, and the marker that a plain delete leaves."""
        with _storage_errors("DELETE"):
            answer = self._client.delete_object(Bucket=self._bucket, Key=path)
            if answer.get("VersionId") or answer.get("DeleteMarker"):
                self._delete_versions(path)

    def list(self, prefix: str, *, after: str = "") -> Iterator[StoredObject]:
        """See `FileStore`. `sha256` and `version` are not told by a listing."""
        begin: Any = {"StartAfter": after} if after else {}
        with _storage_errors("LIST"):
            pages = iter(
                self._client.get_paginator("list_objects_v2").paginate(
                    Bucket=self._bucket, Prefix=self._prefix + prefix, **begin
                )
            )
        while True:
            with _storage_errors("LIST"):
                page = next(pages, None)
            if page is None:
                return
            for entry in page.get("Contents", ()):
                yield StoredObject(
                    path=entry["Key"],
                    byte_size=entry["Size"],
                    etag=entry["ETag"].strip('"'),
                    version=None,
                    sha256=None,
                    modified_at=entry["LastModified"],
                )

    def _delete_versions(self, path: str) -> None:
        for page in self._client.get_paginator("list_object_versions").paginate(Bucket=self._bucket, Prefix=path):
            versions = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
            doomed: list[Any] = [
                {"Key": path, "VersionId": version["VersionId"]} for version in versions if version["Key"] == path
            ]
            if not doomed:
                continue
            answer = self._client.delete_objects(Bucket=self._bucket, Delete={"Objects": doomed, "Quiet": True})
            if answer.get("Errors"):
                raise TelemetryError(Code.STORAGE_UNAVAILABLE, f"DELETE {answer['Errors'][0].get('Code', '')}")

    def _stored_sha256(self, path: str) -> str | None:
        found = self.head(path)
        if found is None or found.sha256:
            return found.sha256 if found else None
        import hashlib

        digest = hashlib.sha256()
        try:
            with self.open(path, etag=found.etag) as stream:
                while block := stream.read(_BLOCK):
                    digest.update(block)
        except ObjectMissing:
            return None
        return digest.hexdigest()

    def _url(self, path: str) -> str:
        suffix = "amazonaws.com.cn" if self._settings.region.startswith("cn-") else "amazonaws.com"
        endpoint = urlsplit(self._settings.endpoint or f"https://s3.{self._settings.region}.{suffix}")
        key = quote(path, safe="/~")
        if self._settings.addressing_style == "virtual":
            return f"{endpoint.scheme}://{self._bucket}.{endpoint.netloc}{endpoint.path}/{key}"
        return f"{endpoint.scheme}://{endpoint.netloc}{endpoint.path}/{self._bucket}/{key}"

    def _sign(
        self, method: str, path: str, headers: dict[str, str], query: dict[str, str], seconds: int
    ) -> SignedRequest:
        # Every header given here is signed. boto3's own presigner is not used: it leaves content-length out, and in
        # some regions signs with version 2, which covers neither.
        at = signature.now()
        url = signature.signed_url(
            method,
            self._url(path) + (f"?{urlencode(query, quote_via=quote)}" if query else ""),
            headers=headers,
            service="s3",
            region=self._settings.region,
            payload=signature.UNSIGNED_PAYLOAD,
            seconds=seconds,
            credentials=signature.credentials(missing=Code.STORAGE_UNAVAILABLE),
            at=at,
        )
        return SignedRequest(method, url, headers, (at + timedelta(seconds=seconds)).replace(microsecond=0))


class ObjectStream:
    """The body of one GET. Tells an early end from the end: a cut connection must not look like a short file."""

    def __init__(self, body: Any, byte_size: int) -> None:
        self._body = body
        self._left = byte_size

    def read(self, size: int, /) -> bytes:
        """See `ByteStream`."""
        if self._left == 0:
            return b""
        with _storage_errors("GET"):
            block: bytes = self._body.read(size)
        self._left -= len(block)
        if not block and size:
            raise TelemetryError(Code.STORAGE_UNAVAILABLE, f"GET ended {self._left} bytes early")
        return block

    def __enter__(self) -> "ObjectStream":
        return self

    def __exit__(self, *exception: object) -> None:
        self._body.close()


class _ExistsError(Exception):
    """There is an object where none was expected."""


class _OutOfRangeError(Exception):
    """The range begins at or after the end."""


@contextlib.contextmanager
def _storage_errors(operation: str) -> Iterator[None]:
    """botocore's and urllib3's errors as ours. The detail names operation and S3's code, never key or URL."""
    from botocore.exceptions import BotoCoreError, ClientError
    from urllib3.exceptions import HTTPError

    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in ("404", "NoSuchKey", "NotFound", "NoSuchUpload"):
            raise ObjectMissing from None
        if code == "InvalidRange":
            raise _OutOfRangeError from None
        if code == "PreconditionFailed" and operation == "PUT":
            raise _ExistsError from None
        if code == "PreconditionFailed":
            raise TelemetryError(Code.CHECKSUM_MISMATCH, "the stored bytes were replaced") from None
        raise TelemetryError(Code.STORAGE_UNAVAILABLE, f"{operation} {code}") from error
    except (BotoCoreError, HTTPError, OSError) as error:
        raise TelemetryError(Code.STORAGE_UNAVAILABLE, f"{operation} {type(error).__name__}") from error


def _base64(sha256_hex: str) -> str:
    return base64.b64encode(bytes.fromhex(sha256_hex)).decode("ascii")


def _hex(sha256_base64: str | None) -> str | None:
    # A multipart object's checksum of checksums ends in "-N" and says nothing of the whole.
    if not sha256_base64 or "-" in sha256_base64:
        return None
    return base64.b64decode(sha256_base64).hex()


def _version(version: str | None) -> str | None:
    return None if version in (None, "null") else version

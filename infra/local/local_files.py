"""Serves the signed PUT and GET of the local storage backend, and raises the event that S3 would raise."""

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cached_property
from typing import Any
from urllib.parse import quote

import anyio.from_thread
import anyio.to_thread
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from infra.local.template import Cors
from telemetry.errors import TelemetryError
from telemetry.settings import Settings
from telemetry.storage.local_parts import PARTS
from telemetry.storage.local_path import StorageRefusal, accept_put, serve_get
from telemetry.storage.protocol import StoredObject

LOG = logging.getLogger("files")


class LocalFiles:
    """Stands where S3 stands.

    Parameters
    ----------
    queue_url : queue of upload events.
    cors : whose origins may come from a browser.
    """

    def __init__(self, queue_url: str, cors: Cors) -> None:
        self._queue_url = queue_url
        self._cors = cors

    @cached_property
    def _settings(self) -> Settings:
        return Settings.from_environment()

    @cached_property
    def _sqs(self) -> Any:
        import boto3.session

        return boto3.session.Session().client("sqs", endpoint_url=self._settings.sqs_endpoint or None)

    async def serve(self, request: Request) -> Response:
        """One signed request, or its preflight."""
        target = request.scope["raw_path"].decode("latin-1").partition("/_local/files/")[2].partition("?")[0]
        query = request.scope["query_string"].decode("latin-1")
        try:
            if request.method == "OPTIONS":
                response = Response(
                    headers={"access-control-allow-methods": "GET, PUT", "access-control-allow-headers": "*"}
                )
            elif request.method == "PUT":
                response = await self._put(request, target, query)
            else:
                stored = await anyio.to_thread.run_sync(lambda: serve_get(self._settings.local_storage, target, query))
                response = FileResponse(stored.file, headers=stored.headers)
        except StorageRefusal as refusal:
            response = _error(refusal.status, refusal.code)
        except TelemetryError as error:
            LOG.error("%s %s: %s", request.method, target, error)
            response = _error(503, "ServiceUnavailable")
        if request.headers.get("origin") and "*" in self._cors.origins:
            response.headers["access-control-allow-origin"] = "*"
            response.headers["access-control-expose-headers"] = "ETag, Content-Range, Content-Length, Accept-Ranges"
        return response

    async def _put(self, request: Request, target: str, query: str) -> Response:
        stream = aiter(request.stream())

        async def next_chunk() -> bytes | None:
            return await anext(stream, None)

        def chunks() -> Iterator[bytes]:
            while (chunk := anyio.from_thread.run(next_chunk)) is not None:
                yield chunk

        def work() -> StoredObject:
            stored = accept_put(self._settings.local_storage, target, query, request.headers, chunks())
            if not stored.path.startswith(PARTS):  # as S3, which tells of whole objects
                self._tell(stored)
            return stored

        stored = await anyio.to_thread.run_sync(work)
        return Response(headers={"etag": f'"{stored.etag}"'})

    def _tell(self, stored: StoredObject) -> None:
        """The notification that S3 would send, to the same queue."""
        record = {
            "eventVersion": "2.1",
            "eventSource": "aws:s3",
            "awsRegion": self._settings.object_storage.region,
            "eventTime": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "eventName": "ObjectCreated:Put",
            "s3": {
                "s3SchemaVersion": "1.0",
                "bucket": {"name": "raw", "arn": "arn:aws:s3:::raw"},
                "object": {"key": quote(stored.path), "size": stored.byte_size, "eTag": stored.etag},
            },
        }
        try:
            self._sqs.send_message(QueueUrl=self._queue_url, MessageBody=json.dumps({"Records": [record]}))
        except Exception:
            LOG.exception("upload event lost")  # as S3's may be late: finalise looks for the file itself


def _error(status: int, code: str) -> Response:
    """An error as S3 words it."""
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code></Error>'
    return Response(body, status_code=status, media_type="application/xml")

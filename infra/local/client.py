"""A client of the API, as an app would be: announce, PUT straight to the store, finalise, poll, download. HTTP only."""

import hashlib
import mimetypes
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx

_BLOCK = 1 << 20
_TYPES = {".csv": "text/csv", ".gpx": "application/gpx+xml", ".tcx": "application/vnd.garmin.tcx+xml"}
FINAL = frozenset({"ready", "failed", "cancelled"})

Progress = Callable[[str], None]


class ClientError(Exception):
    """The service answered with an error, or not at all; the message is for a person."""


@dataclass(frozen=True, slots=True)
class Sent:
    """An upload that the store took. `url` is the address that the bytes went to."""

    upload_id: str
    url: str
    session_id: str


class Client:
    """Calls the API at `url` with `token`."""

    def __init__(self, url: str, token: str) -> None:
        self._api = httpx.Client(
            base_url=url.rstrip("/") + "/", headers={"authorization": f"Bearer {token}"}, timeout=35, trust_env=False
        )
        self._store = httpx.Client(timeout=httpx.Timeout(30, write=300), trust_env=False)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *exception: object) -> None:
        self._api.close()
        self._store.close()

    def announce(self, file: Path, **more: Any) -> dict[str, Any]:
        """POST /uploads for this file; the answer holds the signed PUT."""
        with file.open("rb") as opened:
            sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
        announced = {"fileName": file.name, "contentType": _content_type(file), "byteSize": file.stat().st_size}
        return self.call("POST", "uploads", json={**announced, "sha256": sha256, **more})

    def send(self, file: Path, progress: Progress) -> Sent:
        """Announces the file, PUTs its bytes to the signed address and finalises."""
        progress("checksum")
        created = self.announce(file)
        upload = created["upload"]
        progress("uploading")
        self._put(upload, file, file.stat().st_size, progress)
        progress("finalising")
        made = self.call("POST", f"uploads/{created['uploadId']}/finalise")
        return Sent(created["uploadId"], upload["url"], made["sessionId"])

    def wait(self, session_id: str, progress: Progress, *, seconds: float) -> dict[str, Any]:
        """Asks for the session until it is ready, failed or cancelled."""

        def final(session: dict[str, Any]) -> bool:
            step = session.get("progress") or {}
            progress(f"{step.get('job', 'processing')} (attempt {step.get('attempt', 0)})")
            return session["status"] in FINAL

        return self.wait_for(f"sessions/{session_id}", final, seconds=seconds)

    def wait_for(self, path: str, done: Callable[[dict[str, Any]], bool], *, seconds: float) -> dict[str, Any]:
        """GETs `path`, ever less often, until `done` says so of the answer; raises ClientError when it takes longer."""
        limit = time.monotonic() + seconds
        pause = 0.05
        while not done(body := self.call("GET", path)):
            if time.monotonic() > limit:
                raise ClientError(f"{path} is still at {body.get('progress') or body['status']} after {seconds:.0f} s.")
            time.sleep(pause)
            pause = min(pause * 1.5, 2.0)
        return body

    def datasets(self, session_id: str) -> list[dict[str, Any]]:
        """The session's Parquet files with the requests that fetch them."""
        found: list[dict[str, Any]] = self.call("GET", f"sessions/{session_id}/datasets")["datasets"]
        return found

    def session(self, session_id: str) -> dict[str, Any]:
        """The session in detail."""
        return self.call("GET", f"sessions/{session_id}")

    def download(self, signed: dict[str, Any], to: Path) -> None:
        """Fetches a signed GET into `to`."""
        with self._store.stream(signed["method"], signed["url"], headers=signed["headers"]) as answer:
            if answer.status_code != 200:
                answer.read()
                raise ClientError(f"The store answered {answer.status_code} to a signed GET: {answer.text[:300]}")
            with to.open("wb") as out:
                for chunk in answer.iter_bytes(_BLOCK):
                    out.write(chunk)

    def call(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        """One call; raises ClientError with the service's own words when it refuses."""
        try:
            answer = self._api.request(method, path, **request)
        except httpx.HTTPError as error:
            raise ClientError(f"{method} {urljoin(str(self._api.base_url), path)}: {error}") from error
        if answer.is_success:
            return dict(answer.json()) if answer.content else {}
        try:
            problem = answer.json()
        except ValueError:
            problem = {}
        code, detail = problem.get("code", answer.status_code), problem.get("detail", problem.get("message", ""))
        raise ClientError(f"{method} {path}: {code}: {detail}")

    def _put(self, upload: dict[str, Any], file: Path, size: int, progress: Progress) -> None:
        def blocks() -> Iterator[bytes]:
            sent = 0
            with file.open("rb") as opened:
                while block := opened.read(_BLOCK):
                    yield block
                    sent += len(block)
                    progress(f"uploading {100 * sent // max(size, 1)} %")

        try:
            answer = self._store.request(upload["method"], upload["url"], headers=upload["headers"], content=blocks())
        except httpx.HTTPError as error:
            raise ClientError(f"The upload did not get through: {error}") from error
        if not answer.is_success:
            raise ClientError(f"The store refused the upload: {answer.status_code} {answer.text[:300]}")


def _content_type(file: Path) -> str:
    suffix = file.suffix.lower()
    return _TYPES.get(suffix) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"

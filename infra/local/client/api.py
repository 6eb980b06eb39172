"""The client: one method for each call of the API, and the whole ways that are made of several."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import httpx
from pydantic import ValidationError

from infra.local.client import download, remembered
from infra.local.client.errors import Interrupted, StillProcessing, Unreachable
from infra.local.client.requests import Answer, Requests
from infra.local.client.steps import Phase, Progress, Step, unheard
from infra.local.client.upload import Brought, Delivered, Sent, Uploader
from telemetry.api import models

FINAL = frozenset({"ready", "failed", "cancelled"})
_SHORTEST_POLL_S, _LONGEST_POLL_S = 0.1, 3.0

AnyModel = TypeVar("AnyModel", bound=models.Model)


class Client:
    """Calls the API at `url` with `token`. May be shared by threads.

    Every call raises ServiceError when the service refuses, and Unreachable when it gives no answer. Answers may hold
    more than the models know: what a newer service adds is left out.

    Parameters
    ----------
    url : with the API's prefix or without; https, but for the loopback.
    token : access token, without `Bearer`.
    state : folder that remembers uploads that were begun; the user's own state directory by default.
    stopping : once set, everything in progress raises Interrupted.
    transport : stands in for the network.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        state: Path | None = None,
        stopping: threading.Event | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._stopping = stopping or threading.Event()
        self._requests = Requests(url, token, pause=self._pause, transport=transport)
        began = remembered.Remembered(state or remembered.default_folder(), self._requests.url)
        self._uploader = Uploader(self, self._requests, began)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes every connection."""
        self._requests.close()

    # Uploads

    def create_upload(self, request: models.UploadRequest) -> models.CreatedUpload:
        """POST /uploads. A repeated call makes another upload; one that is never used expires."""
        body = request.model_dump(mode="json", by_alias=True, exclude_none=True)
        return _read(models.CreatedUpload, self._requests.send("POST", "uploads", json=body))

    def upload(self, upload_id: UUID) -> models.Upload:
        """GET /uploads/{id}, with a fresh signed PUT while bytes are expected."""
        return _read(models.Upload, self._requests.send("GET", f"uploads/{upload_id}"))

    def sign_parts(self, upload_id: UUID, parts: list[models.WantedPart]) -> models.SignedParts:
        """POST /uploads/{id}/parts: a signed PUT for each part of a large file."""
        body = models.PartsRequest(parts=parts).model_dump(mode="json", by_alias=True)
        return _read(models.SignedParts, self._requests.send("POST", f"uploads/{upload_id}/parts", json=body))

    def received_parts(self, upload_id: UUID) -> models.PartList:
        """GET /uploads/{id}/parts: what has arrived of a large file."""
        return _read(models.PartList, self._requests.send("GET", f"uploads/{upload_id}/parts"))

    def abandon_upload(self, upload_id: UUID) -> None:
        """DELETE /uploads/{id}."""
        self._requests.send("DELETE", f"uploads/{upload_id}")

    def finalise(
        self, upload_id: UUID, *, artifact_ids: Sequence[UUID] = (), name: str | None = None
    ) -> models.Finalised:
        """POST /uploads/{id}/finalise; `artifact_ids` are further uploads for the same session."""
        request = models.FinaliseRequest(artifact_ids=list(artifact_ids), session_name=name)
        body = request.model_dump(mode="json", by_alias=True, exclude_none=True)
        return _read(models.Finalised, self._requests.send("POST", f"uploads/{upload_id}/finalise", json=body))

    # Sessions

    def sessions(
        self,
        *,
        status: str | None = None,
        from_time: datetime | None = None,
        to_time: datetime | None = None,
        device_id: UUID | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> models.SessionPage:
        """GET /sessions: a page, newest first; `cursor` is the `next_cursor` of the page before."""
        query: dict[str, Any] = {
            "status": status,
            "from": from_time and from_time.isoformat(),
            "to": to_time and to_time.isoformat(),
            "deviceId": device_id and str(device_id),
            "cursor": cursor,
            "limit": limit,
        }
        given = {name: value for name, value in query.items() if value is not None}
        return _read(models.SessionPage, self._requests.send("GET", "sessions", query=given))

    def session(self, session_id: UUID) -> models.SessionDetail:
        """GET /sessions/{id}."""
        return _read(models.SessionDetail, self._requests.send("GET", f"sessions/{session_id}"))

    def rename(self, session_id: UUID, name: str) -> models.SessionDetail:
        """PATCH /sessions/{id}."""
        return _read(models.SessionDetail, self._requests.send("PATCH", f"sessions/{session_id}", json={"name": name}))

    def delete_session(self, session_id: UUID) -> None:
        """DELETE /sessions/{id}: rows and files, for good."""
        self._requests.send("DELETE", f"sessions/{session_id}")

    def cancel(self, session_id: UUID) -> models.SessionDetail:
        """POST /sessions/{id}/cancel."""
        return _read(models.SessionDetail, self._requests.send("POST", f"sessions/{session_id}/cancel"))

    def retry(self, session_id: UUID) -> models.SessionDetail:
        """POST /sessions/{id}/retry. Not repeated by itself: a second one finds the session at work."""
        answer = self._requests.send("POST", f"sessions/{session_id}/retry", idempotent=False)
        return _read(models.SessionDetail, answer)

    def datasets(self, session_id: UUID) -> list[models.DownloadableDataset]:
        """GET /sessions/{id}/datasets: the canonical files; none until the session is ready."""
        return _read(models.DatasetList, self._requests.send("GET", f"sessions/{session_id}/datasets")).datasets

    def laps(self, session_id: UUID) -> list[models.Lap]:
        """GET /sessions/{id}/laps; none until the session is ready."""
        return _read(models.LapList, self._requests.send("GET", f"sessions/{session_id}/laps")).laps

    def track(self, session_id: UUID) -> models.Track:
        """GET /sessions/{id}/track: GeoJSON for a map; without features until the session is ready."""
        return _read(models.Track, self._requests.send("GET", f"sessions/{session_id}/track"))

    def set_gate(self, session_id: UUID, gate: models.Gate) -> models.SessionDetail:
        """PUT /sessions/{id}/gate: the laps are found again at this line; `progress` is there until they are."""
        body = gate.model_dump(mode="json", by_alias=True)
        return _read(models.SessionDetail, self._requests.send("PUT", f"sessions/{session_id}/gate", json=body))

    def devices(self) -> list[models.Device]:
        """GET /devices."""
        return _read(models.DeviceList, self._requests.send("GET", "devices")).devices

    # Whole ways

    def send(self, file: Path, progress: Progress = unheard, *, name: str | None = None, again: bool = True) -> Sent:
        """Uploads a file and makes a session of it. What broke off before goes on, also in another process.

        Parameters
        ----------
        name : of the session; by default the file's.
        again : also when the same bytes made a session that is ready or at work; else that one is given.
        """
        made = self._uploader.send(file, progress, name=name, finalise_on_receipt=False, again=again)
        if made.session_id is None:
            raise AssertionError("an upload that the client finalises has a session")
        return Sent(made.upload_id, made.session_id, made.duplicate, made.resumed, made.url)

    def deliver(
        self, file: Path, progress: Progress = unheard, *, name: str | None = None, again: bool = True
    ) -> Delivered:
        """As `send`, but the service finalises by itself once it has the bytes: see `wait_for_session`."""
        return self._uploader.send(file, progress, name=name, finalise_on_receipt=True, again=again)

    def bring(self, file: Path, progress: Progress = unheard, *, again: bool = True) -> Brought:
        """Uploads a file that is to be joined with others in one session. What broke off before goes on.

        Parameters
        ----------
        again : also when the same bytes made a session that is ready or at work; else the upload given back has that
            session, and nothing was sent.
        """
        return self._uploader.bring(file, progress, again=again)

    def join(self, brought: Sequence[Brought], *, name: str | None = None) -> UUID:
        """Makes one session of several files; gives its id. Doing it again gives the same session.

        Parameters
        ----------
        name : of the session; by default the first file's.
        """
        return self._uploader.join(brought, name)

    def wait(self, session_id: UUID, progress: Progress = unheard, *, seconds: float = 900) -> models.SessionDetail:
        """Asks for the session until it is ready, failed or cancelled; raises StillProcessing after `seconds`.

        Each question carries the ETag of the answer before, so that an unchanged session costs a few bytes.
        """
        etag = ""
        session: models.SessionDetail | None = None

        def final() -> models.SessionDetail | None:
            nonlocal etag, session
            headers = {"if-none-match": etag} if etag else {}
            answer = self._requests.send("GET", f"sessions/{session_id}", headers=headers)
            if answer.response.status_code != 304 or session is None:
                session = _read(models.SessionDetail, answer)
                etag = answer.response.headers.get("etag", "")
                progress(Step(Phase.PROCESS, note=_at_work(session)))
            return session if session.status in FINAL else None

        return self._poll(final, seconds, f"Session {session_id} is still being processed")

    def wait_for_session(self, upload_id: UUID, *, seconds: float = 60) -> UUID:
        """The session that the service makes of an upload by itself, on receipt of its bytes."""
        return self._poll(
            lambda: self.upload(upload_id).session_id, seconds, f"Upload {upload_id} is not a session yet"
        )

    def download(self, dataset: models.DownloadableDataset, to: Path, progress: Progress = unheard) -> None:
        """Fetches a canonical file into `to`, verified; an existing file of the same content is left as it is."""
        download.download(self._requests, dataset, to, progress)

    def _poll(self, ask: Callable[[], "AnyAnswer | None"], seconds: float, late: str) -> "AnyAnswer":
        limit = time.monotonic() + seconds
        pause = _SHORTEST_POLL_S
        while (found := ask()) is None:
            if time.monotonic() >= limit:
                raise StillProcessing(f"{late} after {seconds:g} s.", remedy="Nothing is lost; look again later.")
            self._pause(min(pause, max(0.01, limit - time.monotonic())))
            pause = min(pause * 1.4, _LONGEST_POLL_S)
        return found

    def _pause(self, seconds: float) -> None:
        if self._stopping.wait(seconds) if seconds > 0 else self._stopping.is_set():
            raise Interrupted


AnyAnswer = TypeVar("AnyAnswer")


def every_session(page_of: Callable[[str | None], models.SessionPage]) -> Iterator[models.Session]:
    """The sessions of all pages; `page_of` gives the page at a cursor."""
    cursor: str | None = None
    while True:
        page = page_of(cursor)
        yield from page.sessions
        if page.next_cursor is None:
            return
        cursor = page.next_cursor


def _read(model: type[AnyModel], answer: Answer) -> AnyModel:
    try:
        return model.model_validate_json(answer.response.content, extra="ignore")
    except ValidationError as error:
        places = sorted({".".join(map(str, wrong["loc"])) or "body" for wrong in error.errors(include_input=False)})
        raise Unreachable(
            f"The answer is not one of this API (see {', '.join(places[:3])}).",
            remedy="Check the address; it may lead to something else, or to a service newer than this client.",
        ) from None


def _at_work(session: models.SessionDetail) -> str:
    step = session.progress
    if session.status != "processing" or step is None:
        return session.status
    return step.job.replace("_", " ") + (f", attempt {step.attempt} of {step.max_attempts}" if step.attempt > 1 else "")

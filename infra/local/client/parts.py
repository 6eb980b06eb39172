"""Sends a large file in parts, several at a time, each signed for its own bytes. Parts that have arrived are not sent
again."""

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import BoundedSemaphore, Event, Lock
from typing import Protocol
from uuid import UUID

import httpx

from infra.local.client.errors import BrokenOff, ClientError, Interrupted, ServiceError
from infra.local.client.requests import ATTEMPTS, LONGEST_PAUSE_S, Requests, backoff, retry_after
from infra.local.client.steps import Phase, Progress, Step
from telemetry.api import models
from telemetry.errors import Code

BLOCK = 1 << 20
AT_ONCE = 4
"""Parts on their way at a time, of all files together; each is held in memory."""
_ROOM_S = 0.2


class Api(Protocol):
    """The calls that parts need."""

    def received_parts(self, upload_id: UUID) -> models.PartList: ...
    def sign_parts(self, upload_id: UUID, parts: list[models.WantedPart]) -> models.SignedParts: ...


def send_parts(
    api: Api,
    requests: Requests,
    upload_id: UUID,
    file: Path,
    *,
    byte_size: int,
    sha256: str,
    progress: Progress,
    room: BoundedSemaphore | None = None,
) -> None:
    """Sends what has not arrived yet of `file`. Besides the parts on their way one is held in memory.

    Parameters
    ----------
    room : holds the parts on their way, where several files share it; `AT_ONCE` of this file alone by default.

    Raises
    ------
    ClientError : when the store refuses, or the file is not the one any more that `sha256` was made of.
    BrokenOff : when a part does not get through; a later call goes on.
    """
    try:
        told = api.received_parts(upload_id)
    except ServiceError as error:
        if error.code == Code.UPLOAD_ALREADY_RECEIVED:
            return
        raise
    arrived = {part.part_number: part.sha256 for part in told.received}
    sender = _Sender(api, requests, upload_id, _Tally(progress, byte_size), room or BoundedSemaphore(AT_ONCE))
    digest = hashlib.sha256()
    changed = ClientError(f"{file.name} changed while it was being sent.", remedy="Send it again when it is whole.")
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        under_way: set[Future[None]] = set()
        try:
            with file.open("rb") as opened:
                for number in range(1, told.part_count + 1):
                    content = opened.read(told.part_size)
                    if len(content) != min(told.part_size, byte_size - (number - 1) * told.part_size):
                        raise changed  # the store takes no other size
                    digest.update(content)
                    part = models.WantedPart(part_number=number, sha256=hashlib.sha256(content).hexdigest())
                    if arrived.get(number) == part.sha256:
                        sender.tally.tell(number, len(content))
                        continue
                    under_way = sender.wait_for_room(under_way)
                    under_way.add(pool.submit(sender.send, part, content))
            while under_way:
                under_way = _all_well(wait(under_way, return_when=FIRST_COMPLETED))
        except OSError as error:
            raise ClientError(f"{file.name} cannot be read: {error.strerror}.", remedy="Check the path.") from None
        except KeyboardInterrupt:
            sender.giving_up.set()
            raise
        # Of a file that did not get through, the parts on their way arrive: the next call has the less to do.
    if digest.hexdigest() != sha256:
        raise changed


def _all_well(waited: tuple[set[Future[None]], set[Future[None]]]) -> set[Future[None]]:
    """Those that go on; raises what those that have ended raised."""
    ended, going_on = waited
    for future in ended:
        future.result()
    return going_on


@dataclass(frozen=True, slots=True)
class _Tally:
    """The bytes of all parts together, told one at a time."""

    progress: Progress
    total: int
    _sent: dict[int, int] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def tell(self, part_number: int, sent: int) -> None:
        with self._lock:
            self._sent[part_number] = sent
            self.progress(Step(Phase.UPLOAD, sum(self._sent.values()), self.total))


@dataclass(frozen=True, slots=True)
class _Sender:
    """Sends the parts of one file. Once `giving_up` is set, those on their way break off."""

    api: Api
    requests: Requests
    upload_id: UUID
    tally: _Tally
    room: BoundedSemaphore
    giving_up: Event = field(default_factory=Event)

    def wait_for_room(self, under_way: set[Future[None]]) -> set[Future[None]]:
        """Until another part may go, which then has a place in `room`; raises what a part on its way raised."""
        while True:
            under_way = _all_well(wait(under_way, timeout=0))
            if self.room.acquire(timeout=_ROOM_S):
                return under_way
            self._check()

    def send(self, part: models.WantedPart, content: bytes) -> None:
        """Sends a part that has a place in `room`, and gives the place back."""
        try:
            self._send(part, content)
        finally:
            self.room.release()

    def _send(self, part: models.WantedPart, content: bytes) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            self._check()
            pause = backoff(attempt)
            # Signed anew for each attempt: an address is valid for some minutes only.
            signed = self.api.sign_parts(self.upload_id, [part]).parts[0].upload
            told = partial(self.tally.tell, part.part_number)
            try:
                answer = self.requests.store.request(
                    signed.method, signed.url, headers=signed.headers, content=self._blocks(content, told)
                )
            except httpx.TransportError as error:
                problem: ClientError = BrokenOff(
                    f"The upload broke off ({type(error).__name__}).", remedy="Upload the same file again: it goes on."
                )
            else:
                if answer.is_success:
                    return
                problem = ClientError(
                    f"The file store refused part {part.part_number}: {answer.status_code} {answer.reason_phrase}.",
                    remedy="Upload the same file again: it goes on.",
                )
                pause = max(pause, retry_after(answer))
                if answer.status_code < 500 and answer.status_code not in (403, 408, 409, 429):
                    raise problem
            told(0)
            if attempt == ATTEMPTS or pause > LONGEST_PAUSE_S:
                raise problem
            self.requests.pause(pause)

    def _blocks(self, content: bytes, told: Callable[[int], None]) -> Iterator[bytes]:
        for start in range(0, len(content), BLOCK):
            self._check()
            yield content[start : start + BLOCK]
            told(min(start + BLOCK, len(content)))

    def _check(self) -> None:
        if self.giving_up.is_set():
            raise Interrupted
        self.requests.pause(0)

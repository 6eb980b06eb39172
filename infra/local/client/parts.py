"""Sends a large file in parts, each signed for its own bytes. Parts that have arrived are not sent again."""

import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Protocol
from uuid import UUID

import httpx

from infra.local.client.errors import BrokenOff, ClientError, ServiceError
from infra.local.client.requests import ATTEMPTS, LONGEST_PAUSE_S, Requests, backoff, retry_after
from infra.local.client.steps import Phase, Progress, Step
from telemetry.api import models
from telemetry.errors import Code

BLOCK = 1 << 20


class Api(Protocol):
    """The calls that parts need."""

    def received_parts(self, upload_id: UUID) -> models.PartList: ...
    def sign_parts(self, upload_id: UUID, parts: list[models.WantedPart]) -> models.SignedParts: ...


def send_parts(
    api: Api, requests: Requests, upload_id: UUID, file: Path, *, byte_size: int, sha256: str, progress: Progress
) -> None:
    """Sends what has not arrived yet of `file`. One part at a time is held in memory.

    Raises
    ------
    ClientError : when the store refuses, or the file is not the one any more that `sha256` was made of.
    BrokenOff : when a part does not get through; a later call goes on.
    """

    def tell(before: int, of_part: int) -> None:
        progress(Step(Phase.UPLOAD, before + of_part, byte_size))

    try:
        told = api.received_parts(upload_id)
    except ServiceError as error:
        if error.code == Code.UPLOAD_ALREADY_RECEIVED:
            return
        raise
    arrived = {part.part_number: part.sha256 for part in told.received}
    digest = hashlib.sha256()
    done = 0
    try:
        with file.open("rb") as opened:
            for number in range(1, told.part_count + 1):
                content = opened.read(told.part_size)
                digest.update(content)
                part = models.WantedPart(part_number=number, sha256=hashlib.sha256(content).hexdigest())
                if arrived.get(number) != part.sha256:
                    _send_part(api, requests, upload_id, part, content, tell=partial(tell, done))
                done += len(content)
                tell(done, 0)
    except OSError as error:
        raise ClientError(f"{file.name} cannot be read: {error.strerror}.", remedy="Check the path.") from None
    if digest.hexdigest() != sha256:
        raise ClientError(f"{file.name} changed while it was being sent.", remedy="Send it again when it is whole.")


def _send_part(
    api: Api,
    requests: Requests,
    upload_id: UUID,
    part: models.WantedPart,
    content: bytes,
    *,
    tell: Callable[[int], None],
) -> None:
    def blocks() -> Iterator[bytes]:
        for start in range(0, len(content), BLOCK):
            requests.pause(0)
            yield content[start : start + BLOCK]
            tell(min(start + BLOCK, len(content)))

    for attempt in range(1, ATTEMPTS + 1):
        pause = backoff(attempt)
        # Signed anew for each attempt: an address is valid for some minutes only.
        signed = api.sign_parts(upload_id, [part]).parts[0].upload
        try:
            answer = requests.store.request(signed.method, signed.url, headers=signed.headers, content=blocks())
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
        if attempt == ATTEMPTS or pause > LONGEST_PAUSE_S:
            raise problem
        requests.pause(pause)

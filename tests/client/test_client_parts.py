"""Uploads in parts, side by side."""

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from infra.local.client import (
    ClientError,
    Step,
)
from infra.local.client.parts import send_parts
from telemetry.api import models
from tests.client.service import (
    NOW,
    SESSION,
    Patient,
    answers,
)


class _AllPartsThere:
    """A service that has every part of a file of one part."""

    def __init__(self, content: bytes) -> None:
        sha256 = hashlib.sha256(content).hexdigest()
        part = models.ReceivedPart(part_number=1, byte_size=len(content), sha256=sha256)
        self._parts = models.PartList(part_size=16 << 20, part_count=1, received=[part])

    def received_parts(self, upload_id: UUID) -> models.PartList:
        return self._parts

    def sign_parts(self, upload_id: UUID, parts: list[models.WantedPart]) -> models.SignedParts:
        raise AssertionError("nothing is to be sent")


def test_parts_that_arrived_are_compared_and_not_sent(client_of: Callable[..., Patient], file: Path) -> None:
    content = file.read_bytes()
    _, handle = answers()

    def send(sha256: str) -> None:
        requests = client_of(handle)._requests
        service = _AllPartsThere(content)
        send_parts(service, requests, SESSION, file, byte_size=len(content), sha256=sha256, progress=lambda _: None)

    send(hashlib.sha256(content).hexdigest())
    with pytest.raises(ClientError, match="changed while it was being sent"):
        send(hashlib.sha256(b"as it was before").hexdigest())


class _InParts:
    """A service and a store of a file in parts, in memory. Parts that are `held` wait for each other in the store."""

    def __init__(self, content: bytes, part_size: int) -> None:
        self.content, self.part_size = content, part_size
        self.count = -(-len(content) // part_size)
        self.stored: dict[int, bytes] = {}
        self.refused: set[int] = set()
        self.held: threading.Barrier | None = None
        self._lock = threading.Lock()
        self._under_way = self.most_under_way = 0

    def received_parts(self, upload_id: UUID) -> models.PartList:
        received = [
            models.ReceivedPart(part_number=number, byte_size=len(part), sha256=hashlib.sha256(part).hexdigest())
            for number, part in self.stored.items()
        ]
        return models.PartList(part_size=self.part_size, part_count=self.count, received=received)

    def sign_parts(self, upload_id: UUID, parts: list[models.WantedPart]) -> models.SignedParts:
        (part,) = parts
        signed = {"method": "PUT", "url": f"https://store.test/{part.part_number}", "headers": {}, "expiresAt": NOW}
        return models.SignedParts.model_validate(
            {
                "partSize": self.part_size,
                "partCount": self.count,
                "parts": [{"partNumber": part.part_number, "byteSize": 1, "upload": signed}],
            }
        )

    def __call__(self, request: httpx.Request) -> httpx.Response:
        number = int(request.url.path[1:])
        with self._lock:
            self._under_way += 1
            self.most_under_way = max(self.most_under_way, self._under_way)
        content = b"".join(request.stream)  # type: ignore[arg-type]
        if self.held is not None:
            self.held.wait(60)
        with self._lock:
            self._under_way -= 1
            if number in self.refused:
                return httpx.Response(400)
            self.stored[number] = content
        return httpx.Response(200)

    def send(self, client: Patient, file: Path, told: list[Step], room: int = 4) -> None:
        sha256 = hashlib.sha256(self.content).hexdigest()
        send_parts(
            self,
            client._requests,
            SESSION,
            file,
            byte_size=len(self.content),
            sha256=sha256,
            progress=told.append,
            room=threading.BoundedSemaphore(room),
        )


@pytest.fixture
def in_parts(file: Path) -> _InParts:
    file.write_bytes(bytes(range(256)) * 40)
    return _InParts(file.read_bytes(), 1000)


def test_parts_go_side_by_side_but_never_more_than_there_is_room_for(
    client_of: Callable[..., Patient], file: Path, in_parts: _InParts
) -> None:
    # 11 parts; each waits in the store until four are there, so that one after the other would never end.
    in_parts.content += b"x" * 1000
    file.write_bytes(in_parts.content)
    in_parts.count += 1
    in_parts.held = threading.Barrier(4)
    told: list[Step] = []
    in_parts.send(client_of(in_parts), file, told)
    assert b"".join(in_parts.stored[number] for number in sorted(in_parts.stored)) == in_parts.content
    assert in_parts.most_under_way == 4
    assert [step.done for step in told] == sorted(step.done for step in told)
    assert (told[-1].done, told[-1].total) == (len(in_parts.content), len(in_parts.content))


@pytest.mark.parametrize("change", [-1, -500, -2000, 1], ids="{:+} bytes".format)
def test_a_file_of_another_size_is_not_sent_to_its_end(
    client_of: Callable[..., Patient], file: Path, in_parts: _InParts, change: int
) -> None:
    now = in_parts.content[:change] if change < 0 else in_parts.content + b"x"
    file.write_bytes(now)
    # As the store does, whose addresses are each for so many bytes.
    in_parts.refused = {len(now) // 1000 + 1, in_parts.count}
    with pytest.raises(ClientError, match="changed while it was being sent"):
        in_parts.send(client_of(in_parts), file, [])


def test_a_part_that_is_refused_ends_it_and_the_others_are_not_sent_again(
    client_of: Callable[..., Patient], file: Path, in_parts: _InParts
) -> None:
    in_parts.refused = {3}
    with pytest.raises(ClientError, match="refused part 3: 400"):
        in_parts.send(client_of(in_parts), file, [])
    assert {1, 2} <= set(in_parts.stored) < set(range(1, 12))
    kept = dict(in_parts.stored)
    in_parts.refused, sent = set(), set[int]()

    def note(request: httpx.Request) -> httpx.Response:
        sent.add(int(request.url.path[1:]))
        return in_parts(request)

    told: list[Step] = []
    in_parts.send(client_of(note), file, told)
    assert sent == set(range(1, 12)) - set(kept)
    assert told[-1].done == len(in_parts.content)


def test_the_room_is_given_back_whatever_becomes_of_a_part(
    client_of: Callable[..., Patient], file: Path, in_parts: _InParts
) -> None:
    in_parts.refused = {1}
    room = threading.BoundedSemaphore(2)
    digest = hashlib.sha256(in_parts.content).hexdigest()
    size = len(in_parts.content)
    for _ in range(3):
        with pytest.raises(ClientError, match="refused part 1"):
            send_parts(
                in_parts,
                client_of(in_parts)._requests,
                SESSION,
                file,
                byte_size=size,
                sha256=digest,
                progress=lambda _: None,
                room=room,
            )
    assert room.acquire(blocking=False)
    assert room.acquire(blocking=False)

"""Large files in parts."""

from typing import Annotated

from pydantic import Field

from telemetry.api.models.fields import Model, Sha256, SignedRequest, Whole

MOST_PARTS = 100


class WantedPart(Model):
    """A part of a large file; numbers count from 1."""

    part_number: Annotated[Whole, Field(ge=1, le=10_000)]
    sha256: Sha256


class PartsRequest(Model):
    """Parts to be sent. Each has the size that the answer names, the last what is left."""

    parts: Annotated[list[WantedPart], Field(max_length=MOST_PARTS)] = []  # noqa: RUF012 pydantic copies it


class SignedPart(Model):
    """A part, and the request that sends its bytes."""

    part_number: int
    byte_size: int
    upload: SignedRequest


class SignedParts(Model):
    """How to cut the file, and the requests that send the parts asked for."""

    part_size: int
    part_count: int
    parts: list[SignedPart]


class ReceivedPart(Model):
    """A part that has arrived."""

    part_number: int
    byte_size: int
    sha256: str


class PartList(Model):
    """How to cut the file, and what has arrived of it: an interrupted sender goes on with the rest."""

    part_size: int
    part_count: int
    received: list[ReceivedPart]

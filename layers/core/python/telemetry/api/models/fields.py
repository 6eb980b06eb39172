"""What every model is made of: the base, the annotated types that they share, and the smallest of them."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from telemetry.domain.names import LONGEST_NAME, clean_file_name, clean_name
from telemetry.domain.states import ArtifactStatus, JobStatus, JobType, SessionStatus

_LONGEST_RAW_NAME = 4096


class Model(BaseModel):
    """The base of all: camelCase outside, our names inside."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        from_attributes=True,
        extra="forbid",
        defer_build=True,  # cold start: a function builds only the models that it uses
    )


def absent(value: object) -> bool:
    return value is None


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _written_as_time(value: Any) -> Any:
    # Left alone, pydantic takes `0.5` for seconds since 1970.
    if isinstance(value, str) and not re.match(r"\d{4}-\d{2}-\d{2}[Tt ]", value):
        raise ValueError("a time is written as 2026-05-16T09:30:00Z")
    return value


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:  # its zone carries it past the calendar's first or last year
        raise ValueError("a time lies in the years 1 to 9999, in UTC") from None


def _cleaned_file_name(value: Any) -> Any:
    # Before the text is validated as one: half a surrogate pair is no valid text, and no reason to refuse a file.
    return clean_file_name(value) if isinstance(value, str) and 0 < len(value) <= _LONGEST_RAW_NAME else value


def _cleaned_name(value: Any) -> Any:
    # A long one is refused rather than cut: it was written by a person, who can write a shorter one.
    return clean_name(value) if isinstance(value, str) and len(value) <= LONGEST_NAME else value


Moment = Annotated[AwareDatetime, BeforeValidator(_written_as_time), AfterValidator(_in_utc)]
"""A time with its zone, as RFC 3339 writes it; in UTC from here on."""
FileName = Annotated[
    str,
    BeforeValidator(_cleaned_file_name),
    Field(
        min_length=1,
        max_length=LONGEST_NAME,
        description=f"Kept without folders and control characters, at most {LONGEST_NAME} of it.",
        examples=["lap.csv"],
        json_schema_extra={"maxLength": _LONGEST_RAW_NAME},
    ),
]
SessionName = Annotated[
    str,
    BeforeValidator(_cleaned_name),
    Field(min_length=1, max_length=LONGEST_NAME, examples=["Nordschleife, evening"]),
]
ContentType = Annotated[
    str,
    Field(
        max_length=127,
        pattern=r"^[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+(; ?[A-Za-z0-9_.+-]+=[A-Za-z0-9_.+-]+)*$",
        examples=["text/csv"],
    ),
]
Whole = Annotated[int, BeforeValidator(_whole), Field(strict=True)]
"""A whole number; JSON writes 3 and 3.0 for the same one. No text and no truth value passes for a number."""
Sha256 = Annotated[
    str,
    Field(pattern=r"^[0-9A-Fa-f]{64}$", description="SHA-256 of the file in hex.", examples=["9f86d081884c7d65" * 4]),
    AfterValidator(str.lower),
]
Lower = Annotated[str, BeforeValidator(_lower)]
"""A value of one of our enums as the API shows it."""
UploadState = Annotated[Lower, Field(json_schema_extra={"enum": [status.lower() for status in ArtifactStatus]})]
SessionState = Annotated[Lower, Field(json_schema_extra={"enum": [status.lower() for status in SessionStatus]})]
JobState = Annotated[Lower, Field(json_schema_extra={"enum": [status.lower() for status in JobStatus]})]
JobName = Annotated[Lower, Field(json_schema_extra={"enum": [str(job_type) for job_type in JobType]})]
LapKind = Annotated[Lower, Field(json_schema_extra={"enum": ["out", "timed", "in"]})]
LapSource = Annotated[Lower, Field(json_schema_extra={"enum": ["file", "detected"]})]


class SignedRequest(Model):
    """A request to send as it is: every header is signed."""

    method: str
    url: str
    headers: dict[str, str]
    expires_at: datetime


class Empty(Model):
    """No fields."""


class NoQuery(Model):
    """No parameters."""


class Problem(Model):
    """An error (RFC 9457). `code` is stable; `errors` names each wrong field of a request."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    instance: str
    request_id: str
    errors: Annotated[list[dict[str, str]] | None, Field(exclude_if=absent)] = None

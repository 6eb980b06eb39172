"""The API's JSON: camelCase names, lower-case enum values, UTC times; unknown fields refused."""

import math
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from telemetry.domain.names import LONGEST_NAME, clean_file_name, clean_name
from telemetry.domain.states import ArtifactStatus, JobStatus, JobType, SessionStatus
from telemetry.settings import DEFAULT_UPLOAD_MAX_BYTES

if TYPE_CHECKING:
    from telemetry.sessions import TrackLine

_LONGEST_RAW_NAME = 4096
MOST_ARTIFACTS = 20
MOST_SESSIONS = 100
MOST_PARTS = 100
MOST_SECTOR_LINES = 20
_SHORTEST_LINE_M, _LONGEST_LINE_M = 1, 1000


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


def _absent(value: object) -> bool:
    return value is None


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _cleaned_file_name(value: Any) -> Any:
    # Before the text is validated as one: half a surrogate pair is no valid text, and no reason to refuse a file.
    return clean_file_name(value) if isinstance(value, str) and 0 < len(value) <= _LONGEST_RAW_NAME else value


def _cleaned_name(value: Any) -> Any:
    # A long one is refused rather than cut: it was written by a person, who can write a shorter one.
    return clean_name(value) if isinstance(value, str) and len(value) <= LONGEST_NAME else value


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


# Requests


class UploadRequest(Model):
    """A file to be uploaded: what it is, exactly."""

    file_name: FileName
    content_type: ContentType
    # What is too small or too large has codes of its own; the description names the limits all the same.
    byte_size: Annotated[
        Whole, Field(ge=0, le=2**53, json_schema_extra={"minimum": 1, "maximum": DEFAULT_UPLOAD_MAX_BYTES})
    ]
    sha256: Sha256
    finalise_on_receipt: Annotated[bool, Field(strict=True)] = False
    session_name: SessionName | None = None


class WantedPart(Model):
    """A part of a large file; numbers count from 1."""

    part_number: Annotated[Whole, Field(ge=1, le=10_000)]
    sha256: Sha256


class PartsRequest(Model):
    """Parts to be sent. Each has the size that the answer names, the last what is left."""

    parts: Annotated[list[WantedPart], Field(max_length=MOST_PARTS)] = []


class FinaliseRequest(Model):
    """Further uploads for the same session, and its name. The body may be left out."""

    artifact_ids: Annotated[list[UUID], Field(max_length=MOST_ARTIFACTS)] = []
    session_name: SessionName | None = None


class RenameRequest(Model):
    """A session's new name."""

    name: SessionName


class Line(Model):
    """A line across the track, between two points."""

    latitude_1_deg: Annotated[float, Field(alias="latitude1Deg", ge=-90, le=90, examples=[52.0711])]
    longitude_1_deg: Annotated[float, Field(alias="longitude1Deg", ge=-180, le=180, examples=[-1.0171])]
    latitude_2_deg: Annotated[float, Field(alias="latitude2Deg", ge=-90, le=90, examples=[52.0713])]
    longitude_2_deg: Annotated[float, Field(alias="longitude2Deg", ge=-180, le=180, examples=[-1.0167])]

    @model_validator(mode="after")
    def _across_a_track(self) -> Self:
        north = (self.latitude_2_deg - self.latitude_1_deg) * 111_320
        turn = (self.longitude_2_deg - self.longitude_1_deg + 180) % 360 - 180
        length = math.hypot(north, turn * 111_320 * math.cos(math.radians(self.latitude_1_deg)))
        if not _SHORTEST_LINE_M <= length <= _LONGEST_LINE_M:
            raise PydanticCustomError("line_length", "A line is 1 to 1000 m long")
        return self


class Gate(Line):
    """The start/finish line, and the lines that divide a lap into sectors, in any order."""

    sectors: Annotated[list[Line], Field(max_length=MOST_SECTOR_LINES)] = []


class SessionsQuery(Model):
    """Filters and page of a list of sessions."""

    status: Literal["processing", "ready", "failed", "cancelled"] | None = None
    from_: Annotated[AwareDatetime | None, Field(alias="from")] = None
    to: AwareDatetime | None = None
    device_id: UUID | None = None
    cursor: Annotated[str | None, Field(max_length=200)] = None
    limit: Annotated[int, Field(ge=1, le=MOST_SESSIONS)] = 25


class Empty(Model):
    """No fields."""


class NoQuery(Model):
    """No parameters."""


# Answers


class SignedRequest(Model):
    """A request to send as it is: every header is signed."""

    method: str
    url: str
    headers: dict[str, str]
    expires_at: datetime


class CreatedUpload(Model):
    """An announced upload. `duplicateOf` is the session that the same bytes made before."""

    upload_id: UUID
    status: UploadState
    expires_at: datetime
    upload: SignedRequest
    duplicate_of: Annotated[UUID | None, Field(exclude_if=_absent)] = None


class Upload(Model):
    """An upload as it stands. `upload` is there while bytes are expected."""

    upload_id: UUID
    status: UploadState
    file_name: str
    content_type: str
    byte_size: int
    sha256: str
    uploaded_at: datetime
    received_at: datetime | None
    expires_at: datetime
    session_id: UUID | None
    upload: Annotated[SignedRequest | None, Field(exclude_if=_absent)] = None


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


class Finalised(Model):
    """The session that is being made, and where to ask for its state."""

    session_id: UUID
    run_id: UUID
    poll_url: str


class Session(Model):
    """A session. `startTimeUtc` and `endTimeUtc` equal `createdAt` until it is ready."""

    session_id: UUID
    name: str
    status: SessionState
    start_time_utc: datetime
    end_time_utc: datetime
    device_id: UUID | None
    summary: dict[str, Any]
    created_at: datetime
    updated_at: datetime


class SessionPage(Model):
    """A page of sessions, newest first. `nextCursor` is null on the last."""

    sessions: list[Session]
    next_cursor: str | None


class Failure(Model):
    """Why a session failed, and what to do."""

    code: str
    message: str


class Progress(Model):
    """The step at work, or waiting until `nextRetryAt`."""

    job: JobName
    status: JobState
    attempt: int
    max_attempts: int
    next_retry_at: datetime | None


class SessionFile(Model):
    """An uploaded file of a session. `discardedAt` says since when its raw bytes are gone."""

    upload_id: UUID
    file_name: str
    byte_size: int
    sha256: str
    status: UploadState
    format: str | None
    compression: str | None
    received_at: datetime | None
    discarded_at: datetime | None


class Dataset(Model):
    """A canonical Parquet file with its quality report."""

    dataset_id: UUID
    upload_id: UUID
    stream: str
    schema_version: int
    row_count: int
    byte_size: int
    sha256: str
    start_time_utc: datetime
    end_time_utc: datetime
    quality: dict[str, Any]


class DownloadableDataset(Dataset):
    """A canonical file and the request that fetches it."""

    download: SignedRequest


class DatasetList(Model):
    """A session's canonical files; none until it is ready."""

    datasets: list[DownloadableDataset]


class LapInBrief(Model):
    """A lap's number and time."""

    lap_number: int
    kind: LapKind
    duration_ms: float
    source: LapSource


class Lap(Model):
    """A lap; times are interpolated at the line. `durationUncertaintyMs` is expanded: more than nine of ten true
    durations lie within it. `sectorsMs` is empty without sector lines, null where a line was missed."""

    lap_number: int
    kind: LapKind
    start_time_utc: datetime
    end_time_utc: datetime
    duration_ms: float
    duration_uncertainty_ms: float | None
    distance_m: float | None
    max_speed_mps: float | None
    source: LapSource
    sectors_ms: list[float | None]


class LapList(Model):
    """A session's laps in order; none until it is ready."""

    laps: list[Lap]


class LineString(Model):
    """Longitude and latitude in degrees, WGS 84."""

    type: Literal["LineString"] = "LineString"
    coordinates: Annotated[list[Annotated[list[float], Field(min_length=2, max_length=2)]], Field(min_length=2)]


class CoordinateProperties(Model):
    """One entry for each position of the line."""

    times: list[Annotated[str, Field(json_schema_extra={"format": "date-time"})]]
    speeds_mps: list[float | None]


class TrackProperties(Model):
    """What belongs to a line, and to each of its positions."""

    upload_id: UUID
    coordinate_properties: CoordinateProperties


class TrackFeature(Model):
    """An unbroken stretch of the track."""

    type: Literal["Feature"] = "Feature"
    geometry: LineString
    properties: TrackProperties


class Track(Model):
    """A session's track for a map (GeoJSON, RFC 7946), simplified; without features until it is ready."""

    type: Literal["FeatureCollection"] = "FeatureCollection"
    features: list[TrackFeature]

    @staticmethod
    def of(lines: Iterable["TrackLine"]) -> "Track":
        """The collection of some lines."""
        features = [
            {
                "geometry": {"coordinates": line.coordinates},
                "properties": {
                    "uploadId": line.upload_id,
                    "coordinateProperties": {"times": line.times, "speedsMps": line.speeds_mps},
                },
            }
            for line in lines
        ]
        return Track.model_validate({"features": features})


class SessionDetail(Session):
    """A session with `failure` when it failed, `progress` while something is at work on it, `gate` where the owner gave
    one."""

    run_id: UUID | None
    gate: Annotated[Gate | None, Field(exclude_if=_absent)] = None
    failure: Annotated[Failure | None, Field(exclude_if=_absent)] = None
    progress: Annotated[Progress | None, Field(exclude_if=_absent)] = None
    files: list[SessionFile]
    datasets: list[Dataset]
    laps: list[LapInBrief]


class Device(Model):
    """A recording device."""

    device_id: UUID
    manufacturer: str | None
    model: str | None
    serial_number: str | None
    name: str | None
    first_seen_at: datetime
    last_seen_at: datetime


class DeviceList(Model):
    """The owner's devices, the one used last first."""

    devices: list[Device]


class Problem(Model):
    """An error (RFC 9457). `code` is stable; `errors` names each wrong field of a request."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    instance: str
    request_id: str
    errors: Annotated[list[dict[str, str]] | None, Field(exclude_if=_absent)] = None

"""One session in detail: gate, failure, progress, files, datasets, laps; and devices."""

import math
from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from telemetry.api.models.fields import JobName, JobState, LapKind, LapSource, Model, SignedRequest, UploadState, absent
from telemetry.api.models.sessions import Failure, Session
from telemetry.domain.laps import MOST_LAPS, MOST_SECTOR_LINES

_SHORTEST_LINE_M, _LONGEST_LINE_M = 1, 1000


class Line(Model):
    """A line across the track, between two points."""

    latitude_1_deg: Annotated[float, Field(strict=True, alias="latitude1Deg", ge=-90, le=90, examples=[52.0711])]
    longitude_1_deg: Annotated[float, Field(strict=True, alias="longitude1Deg", ge=-180, le=180, examples=[-1.0171])]
    latitude_2_deg: Annotated[float, Field(strict=True, alias="latitude2Deg", ge=-90, le=90, examples=[52.0713])]
    longitude_2_deg: Annotated[float, Field(strict=True, alias="longitude2Deg", ge=-180, le=180, examples=[-1.0167])]

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

    sectors: Annotated[list[Line], Field(max_length=MOST_SECTOR_LINES)] = []  # noqa: RUF012 pydantic copies it


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
    """A canonical Parquet file with its quality report. `quality.leftOut` names lists by channel that are not in this
    answer: the reports of a session with very many channels together are longer than one may be."""

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
    durations lie within it. `sectorsMs` is empty without sector lines that at least half of the laps pass, null where a
    line was missed."""

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
    """A session's laps in order of time; none until it is ready. Of more than fit here these are the first, and the
    session's `summary` says in `lapsLeftOut` how many were not recorded."""

    laps: Annotated[list[Lap], Field(max_length=MOST_LAPS)]


class SessionDetail(Session):
    """A session with `progress` while something is at work on it, `gate` where the owner gave
    one, and `gateFailure` when the laps could not be found again at that line: they are still the ones from before."""

    run_id: UUID | None
    gate: Annotated[Gate | None, Field(exclude_if=absent)] = None
    gate_failure: Annotated[Failure | None, Field(exclude_if=absent)] = None
    progress: Annotated[Progress | None, Field(exclude_if=absent)] = None
    files: list[SessionFile]
    datasets: list[Dataset]
    laps: Annotated[list[LapInBrief], Field(max_length=MOST_LAPS)]


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

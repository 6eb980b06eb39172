"""A session's track for a map (GeoJSON)."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Literal
from uuid import UUID

from pydantic import Field

from telemetry.api.models.fields import Model

if TYPE_CHECKING:
    from telemetry.sessions import TrackLine


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

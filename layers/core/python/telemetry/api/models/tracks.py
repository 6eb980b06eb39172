"""A session's track for a map (GeoJSON)."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from telemetry.api.models.fields import Model

if TYPE_CHECKING:
    from telemetry.sessions import TrackLine


Position = Annotated[list[float], Field(min_length=2, max_length=2)]
"""Longitude and latitude in degrees, WGS 84."""
Positions = Annotated[list[Position], Field(min_length=2)]
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]


class LineString(Model):
    """An unbroken stretch of the track."""

    type: Literal["LineString"] = "LineString"
    coordinates: Positions


class MultiLineString(Model):
    """An unbroken stretch of the track across the antimeridian, cut there."""

    type: Literal["MultiLineString"] = "MultiLineString"
    coordinates: list[Positions]


class CoordinateProperties(Model):
    """One entry for each position; of a MultiLineString, a list for each of its lines."""

    times: list[Time] | list[list[Time]]
    speeds_mps: list[float | None] | list[list[float | None]]


class TrackProperties(Model):
    """What belongs to a stretch, and to each of its positions."""

    upload_id: UUID
    coordinate_properties: CoordinateProperties


class TrackFeature(Model):
    """An unbroken stretch of the track."""

    type: Literal["Feature"] = "Feature"
    geometry: Annotated[LineString | MultiLineString, Field(discriminator="type")]
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
                "geometry": {"type": _geometry(line.coordinates), "coordinates": line.coordinates},
                "properties": {
                    "uploadId": line.upload_id,
                    "coordinateProperties": {"times": line.times, "speedsMps": line.speeds_mps},
                },
            }
            for line in lines
        ]
        return Track.model_validate({"features": features})


def _geometry(coordinates: list[Any]) -> str:
    return "MultiLineString" if isinstance(coordinates[0][0], list) else "LineString"

"""The track as the API gives it: lines, and lines cut at the antimeridian, each position with its time and speed."""

import json
from itertools import product
from uuid import UUID

import pytest
from pydantic import ValidationError

from telemetry.api.models import Track
from telemetry.sessions import TrackLine
from telemetry.streams.map_track import MapPoint, geojson

UPLOAD = UUID("3f0c6a52-8e0b-4d0e-9a57-5c1f2b7d0001")


def track_of(longitudes: list[list[float]]) -> Track:
    """By way of what the pipeline stores."""
    points = [
        MapPoint(1_000_000 * number, 1.0, longitude, 5.0, segment)
        for segment, stretch in enumerate(longitudes)
        for number, longitude in enumerate(stretch)
    ]
    return Track.of(
        TrackLine(
            UPLOAD,
            feature["geometry"]["coordinates"],
            feature["properties"]["coordinateProperties"]["times"],
            feature["properties"]["coordinateProperties"]["speedsMps"],
        )
        for feature in json.loads(geojson(points))["features"]
    )


def test_a_stretch_is_a_line_and_one_across_the_antimeridian_several() -> None:
    track = json.loads(track_of([[179.0, 179.5], [179.5, -179.5]]).model_dump_json(by_alias=True))
    line, cut = track["features"]
    assert line["geometry"] == {"type": "LineString", "coordinates": [[179.0, 1.0], [179.5, 1.0]]}
    assert cut["geometry"] == {
        "type": "MultiLineString",
        "coordinates": [[[179.5, 1.0], [180.0, 1.0]], [[-180.0, 1.0], [-179.5, 1.0]]],
    }
    assert line["properties"]["coordinateProperties"]["speedsMps"] == [5.0, 5.0]
    assert cut["properties"] == {
        "uploadId": str(UPLOAD),
        "coordinateProperties": {
            "times": [
                ["1970-01-01T00:00:00.000Z", "1970-01-01T00:00:00.500Z"],
                ["1970-01-01T00:00:00.500Z", "1970-01-01T00:00:01.000Z"],
            ],
            "speedsMps": [[5.0, 5.0], [5.0, 5.0]],
        },
    }
    assert Track.model_validate(track).model_dump(mode="json", by_alias=True) == track


@pytest.mark.parametrize(
    ("kind", "coordinates"),
    [*product(["LineString"], [[[[1.0, 2.0], [1.0, 2.0]]], [[1.0, 2.0]]]), ("MultiLineString", [[[1.0, 2.0]]])],
)
def test_a_geometry_is_as_its_type_says(kind: str, coordinates: list[object]) -> None:
    told = json.loads(track_of([[1.0, 2.0]]).model_dump_json(by_alias=True))
    told["features"][0]["geometry"] = {"type": kind, "coordinates": coordinates}
    with pytest.raises(ValidationError):
        Track.model_validate(told)

"""The API's JSON: camelCase names, lower-case enum values, UTC times; unknown fields refused.

A function loads only the models that it asks for: each costs a part of a millisecond of a cold start.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from telemetry.api.models.details import Dataset as Dataset
    from telemetry.api.models.details import DatasetList as DatasetList
    from telemetry.api.models.details import Device as Device
    from telemetry.api.models.details import DeviceList as DeviceList
    from telemetry.api.models.details import DownloadableDataset as DownloadableDataset
    from telemetry.api.models.details import Gate as Gate
    from telemetry.api.models.details import Lap as Lap
    from telemetry.api.models.details import LapInBrief as LapInBrief
    from telemetry.api.models.details import LapList as LapList
    from telemetry.api.models.details import Line as Line
    from telemetry.api.models.details import Progress as Progress
    from telemetry.api.models.details import SessionDetail as SessionDetail
    from telemetry.api.models.details import SessionFile as SessionFile
    from telemetry.api.models.fields import Empty as Empty
    from telemetry.api.models.fields import Model as Model
    from telemetry.api.models.fields import NoQuery as NoQuery
    from telemetry.api.models.fields import Problem as Problem
    from telemetry.api.models.fields import SignedRequest as SignedRequest
    from telemetry.api.models.parts import PartList as PartList
    from telemetry.api.models.parts import PartsRequest as PartsRequest
    from telemetry.api.models.parts import ReceivedPart as ReceivedPart
    from telemetry.api.models.parts import SignedPart as SignedPart
    from telemetry.api.models.parts import SignedParts as SignedParts
    from telemetry.api.models.parts import WantedPart as WantedPart
    from telemetry.api.models.sessions import Failure as Failure
    from telemetry.api.models.sessions import RenameRequest as RenameRequest
    from telemetry.api.models.sessions import Session as Session
    from telemetry.api.models.sessions import SessionPage as SessionPage
    from telemetry.api.models.sessions import SessionsQuery as SessionsQuery
    from telemetry.api.models.tracks import CoordinateProperties as CoordinateProperties
    from telemetry.api.models.tracks import LineString as LineString
    from telemetry.api.models.tracks import MultiLineString as MultiLineString
    from telemetry.api.models.tracks import Track as Track
    from telemetry.api.models.tracks import TrackFeature as TrackFeature
    from telemetry.api.models.tracks import TrackProperties as TrackProperties
    from telemetry.api.models.uploads import CreatedUpload as CreatedUpload
    from telemetry.api.models.uploads import Finalised as Finalised
    from telemetry.api.models.uploads import FinaliseRequest as FinaliseRequest
    from telemetry.api.models.uploads import Upload as Upload
    from telemetry.api.models.uploads import UploadRequest as UploadRequest

_PLACES = {
    "details": (
        "Dataset",
        "DatasetList",
        "Device",
        "DeviceList",
        "DownloadableDataset",
        "Gate",
        "Lap",
        "LapInBrief",
        "LapList",
        "Line",
        "Progress",
        "SessionDetail",
        "SessionFile",
    ),
    "fields": (
        "Empty",
        "Model",
        "NoQuery",
        "Problem",
        "SignedRequest",
    ),
    "parts": (
        "PartList",
        "PartsRequest",
        "ReceivedPart",
        "SignedPart",
        "SignedParts",
        "WantedPart",
    ),
    "sessions": (
        "Failure",
        "RenameRequest",
        "Session",
        "SessionPage",
        "SessionsQuery",
    ),
    "tracks": (
        "CoordinateProperties",
        "LineString",
        "MultiLineString",
        "Track",
        "TrackFeature",
        "TrackProperties",
    ),
    "uploads": (
        "CreatedUpload",
        "FinaliseRequest",
        "Finalised",
        "Upload",
        "UploadRequest",
    ),
}
_MODULES = {name: module for module, names in _PLACES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Loads a model when it is asked for (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    model = globals()[name] = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    return model


def build_all() -> None:
    """Loads every model and builds what it validates and writes with."""
    for name in _MODULES:
        __getattr__(name).model_rebuild()

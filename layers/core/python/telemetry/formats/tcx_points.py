"""Trackpoints, laps and devices of TCX, as expat tells them. Pure.

Sources: Garmin's schemas TrainingCenterDatabase v1 and v2, and ActivityExtension v1 and v2 (speed in m/s, power in W,
strides a minute).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from telemetry.domain.laps import MOST_LAPS
from telemetry.formats.xml_channels import Vocabulary
from telemetry.formats.xml_points import Leaf, PointCollector
from telemetry.formats.xml_stream import Name

TCX = Vocabulary(
    format="TCX",
    native={
        "Time": "timestamp",
        "Position/LatitudeDegrees": "latitude_deg",
        "Position/LongitudeDegrees": "longitude_deg",
        "AltitudeMeters": "altitude_m",
        "HeartRateBpm/Value": "heart_rate_bpm",
        "HeartRateBpm": "heart_rate_bpm",
        "Cadence": "cadence_rpm",
    },
    extension={
        "speed": "speed_mps",
        "watts": "power_w",
        "runcadence": "cadence_rpm",
        "temperature": "temperature_degc",
        "atemp": "temperature_degc",
    },
    units={"distancemeters": "m"},
    preferred="http://www.garmin.com/xmlschemas/",
)
_NESTED = frozenset({"Position", "HeartRateBpm"})
_TEXTS = frozenset({"TotalTimeSeconds", "Name", "UnitId", "ProductID"})


@dataclass(slots=True)
class LapTexts:
    """A lap as written: when it began, and how many seconds it took."""

    start_time: str
    seconds: str = ""


@dataclass(slots=True)
class CreatorTexts:
    """What recorded an activity, as written."""

    name: str = ""
    unit_id: str = ""
    product_id: str = ""


class TcxPoints(PointCollector):
    """Gathers the points of all activities; those of courses only where the document has no activity's track.

    A segment begins with each activity, and with each further track of one lap, which is where the recording was
    paused; from one lap to the next it goes on.

    Attributes
    ----------
    laps : of activities, in their order, the first `MOST_LAPS`.
    laps_left_out : how many follow those.
    creator : what recorded the first activity that says so.
    author : the program that wrote the document.
    planned : whether the points are a course's.
    """

    point_name = "Trackpoint"
    segment_names = frozenset({"Track"})
    namespaces = frozenset(
        f"http://www.garmin.com/xmlschemas/TrainingCenterDatabase/{version}" for version in ("v1", "v2")
    )

    def __init__(self) -> None:
        super().__init__()
        self.laps: list[LapTexts] = []
        self.laps_left_out = 0
        self.creator: CreatorTexts | None = None
        self.author = ""
        self.planned = False
        self._recorded = False
        self._tracks_of_lap = 0
        self._device = CreatorTexts()

    def leaf(self, path: Sequence[Name]) -> Leaf:
        """See `PointCollector.leaf`; a position's and a heart rate's children are TCX's own, too."""
        if len(path) == 2:
            (outer_uri, outer), (uri, local) = path
            if outer in _NESTED and self.native(outer_uri) and self.native(uri):
                return Leaf("", f"{outer}/{local}", True)
        return super().leaf(path)

    def is_segment(self, stack: Sequence[Name]) -> bool:
        """See `PointCollector.is_segment`."""
        return super().is_segment(stack) and not (self._recorded and stack[-2][1] == "Course")

    def start_outside(self, name: Name, attributes: dict[str, str]) -> None:
        """Takes an opening tag that stands in no point."""
        local, outer = name[1], self._outer()
        if local in ("Activity", "Course"):
            self.begin_segment()
        elif local == "Lap" and outer == "Activity":
            self._tracks_of_lap = 0
            if len(self.laps) < MOST_LAPS:
                self.laps.append(LapTexts(attributes.get("StartTime", "")))
            else:
                self.laps_left_out += 1
        elif local == "Track" and outer == "Lap":
            self._recorded = True
            self._tracks_of_lap += 1
            if self._tracks_of_lap > 1:
                self.begin_segment()
        elif local == "Track" and outer == "Course":
            self.planned = not self._recorded
        elif local == "Creator":
            self._device = CreatorTexts()
        self.stream.collecting = local in _TEXTS

    def end_outside(self, name: Name, text: str | None) -> None:
        """Takes a closing tag that stands in no point."""
        local, outer, value = name[1], self._outer(), text or ""
        if outer == "Creator":
            if local == "Name":
                self._device.name = value
            elif local == "UnitId":
                self._device.unit_id = value
            elif local == "ProductID":
                self._device.product_id = value
        elif local == "Creator" and outer == "Activity":
            self.creator = self.creator or self._device
        elif local == "TotalTimeSeconds" and outer == "Lap" and self.laps and len(self.stream.stack) > 2:
            if self.stream.stack[-3][1] == "Activity" and not self.laps_left_out:
                self.laps[-1].seconds = self.laps[-1].seconds or value
        elif local == "Name" and outer == "Author":
            self.author = value
        self.stream.collecting = False

    def _outer(self) -> str:
        stack = self.stream.stack
        return stack[-2][1] if len(stack) > 1 else ""

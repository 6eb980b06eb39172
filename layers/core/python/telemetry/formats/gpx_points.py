"""Track points of GPX: where they stand, and what their values are called. Pure.

Sources: GPX 1.0 and 1.1 schemas (topografix.com/GPX/1/0, /1/1); Garmin TrackPointExtension v1/v2 and PowerExtension v1;
ClueTrust gpxdata 1.0; Apple Health, Suunto and OpenTracks exports. Speeds are metres per second in all of them.
"""

from types import MappingProxyType

from telemetry.formats.xml_channels import Vocabulary
from telemetry.formats.xml_points import Leaf, PointCollector
from telemetry.formats.xml_stream import Name

_NATIVE = {
    "@lat": "latitude_deg",
    "@lon": "longitude_deg",
    "ele": "altitude_m",
    "time": "timestamp",
    "speed": "speed_mps",
    "course": "course_deg",
    "hdop": "hdop",
    "sat": "satellites",
    "fix": "fix_type",
}
_TEXTS = frozenset({"name", "cmt", "desc", "src", "url", "urlname", "sym", "type", "link", "extensions"})
_EXTENSION = {
    "speed": "speed_mps",
    "course": "course_deg",
    "hdop": "hdop",
    "sat": "satellites",
    "hacc": "horizontal_accuracy_m",
    "accuracy_horizontal": "horizontal_accuracy_m",
    "verticalspeed": "vertical_speed_mps",
    "hr": "heart_rate_bpm",
    "heartrate": "heart_rate_bpm",
    "cad": "cadence_rpm",
    "cadence": "cadence_rpm",
    "power": "power_w",
    "powerinwatts": "power_w",
    "atemp": "temperature_degc",
    "temp": "temperature_degc",
    "temperature": "temperature_degc",
}
_UNITS = {
    "magvar": "deg",
    "geoidheight": "m",
    "ageofdgpsdata": "s",
    "wtemp": "°C",
    "depth": "m",
    "bearing": "deg",
    "distance": "m",
    "vacc": "m",
    "accuracy_vertical": "m",
    "gain": "m",
    "loss": "m",
}
GPX = Vocabulary("GPX", _NATIVE, _EXTENSION, _UNITS, _TEXTS, preferred="http://www.garmin.com/xmlschemas/")


class GpxPoints(PointCollector):
    """Gathers the points of all tracks and segments.

    Attributes
    ----------
    creator, version : of the root element.
    waypoints, route_points : how many were met; they are no recording.
    """

    point_name = "trkpt"
    segment_names = frozenset({"trkseg", "trk"})
    namespaces = frozenset({"http://www.topografix.com/GPX/1/1", "http://www.topografix.com/GPX/1/0"})
    point_attributes = MappingProxyType({"lat": Leaf("", "@lat", True), "lon": Leaf("", "@lon", True)})

    def __init__(self) -> None:
        super().__init__()
        self.creator = ""
        self.version = ""
        self.waypoints = 0
        self.route_points = 0

    def start_outside(self, name: Name, attributes: dict[str, str]) -> None:
        """Takes an opening tag that stands in no point."""
        if name[1] in self.segment_names:
            self.begin_segment()
        elif name[1] == "wpt":
            self.waypoints += 1
        elif name[1] == "rtept":
            self.route_points += 1
        elif len(self.stream.stack) == 1:
            self.creator = attributes.get("creator", "")
            self.version = attributes.get("version", "")

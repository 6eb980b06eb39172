"""Tracks and dated places of a KML document, as expat tells them. No pyarrow.

Sources: OGC KML 2.3 (12-007r2), section Track; Google's KML 2.2 extension namespace `gx`. Elements are found by local
name: `gx:Track` of 2.2 became `Track` in 2.3.
"""

import re
from collections import Counter
from dataclasses import dataclass, field

from telemetry.formats.xml_stream import Name, XmlStream

MAX_POINTS_HELD = 10_000
"""Points of one placemark that wait for its time, which by the schema stands in front of them."""
MAX_VALUES = 100
MAX_NAME = 40
_PLACE = re.compile(r"[-+]?\d[\d.]*\s*,\s*[-+]?\d")


@dataclass(slots=True)
class TrackPiece:
    """What came of one track since the last `take`.

    Attributes
    ----------
    whens, coords : texts in document order; the n-th of one belongs to the n-th of the other.
    angles : "heading tilt roll" of each place, where the track has them.
    arrays : values of `gx:SimpleArrayData` by name.
    """

    whens: list[str] = field(default_factory=list)
    coords: list[str] = field(default_factory=list)
    angles: list[str] = field(default_factory=list)
    arrays: dict[str, list[str]] = field(default_factory=dict)
    begins: bool = False
    ends: bool = False


class TrackCollector:
    """Takes a document's elements and gathers tracks, and points of placemarks with a time stamp.

    Attributes
    ----------
    pieces : of tracks, in document order.
    places : (when, coordinates) of each Point of a placemark with a TimeStamp.
    line_strings : how many undated lines with a place were met.
    unread : how many values of each name stand with those places; they name no unit, and are not read.
    """

    def __init__(self) -> None:
        self.stream = XmlStream(self)
        self.pieces: list[TrackPiece] = []
        self.places: list[tuple[str, str]] = []
        self.line_strings = 0
        self.unread: Counter[str] = Counter()
        self._in_track = False
        self._array = ""
        self._when: str | None = None
        self._points: list[str] = []
        self._values: list[str] = []
        self._stamped = False
        self._in_point = False
        self._in_line = False

    def take(self) -> tuple[list[TrackPiece], list[tuple[str, str]]]:
        """What was gathered since the last call; an open track goes on in a new piece."""
        taken = self.pieces, self.places
        self.pieces, self.places = ([TrackPiece()] if self._in_track else []), []
        return taken

    def start(self, name: Name, attributes: dict[str, str]) -> None:
        """Takes an opening tag."""
        local = name[1]
        if local == "Track":
            self._in_track = True
            self.pieces.append(TrackPiece(begins=True))
        elif local == "SimpleArrayData" and self._in_track:
            self._array = attributes.get("name", "")
        elif local == "Placemark":
            self._when, self._points, self._values = None, [], []
        elif local in ("Data", "SimpleData") and not self._in_track:
            if len(self._values) < MAX_VALUES:
                self._values.append(attributes.get("name", "")[:MAX_NAME])
        elif local == "TimeStamp":
            # The view of a placemark (LookAt, Camera) may have one of its own.
            self._stamped = [name[1] for name in self.stream.stack[-2:-1]] == ["Placemark"]
        elif local == "Point":
            self._in_point = True
        elif local == "LineString":
            self._in_line = True
        self.stream.collecting = (
            (self._in_track and (local in ("when", "coord", "angles") or (local == "value" and bool(self._array))))
            or (self._stamped and local == "when")
            or ((self._in_point or self._in_line) and local == "coordinates")
        )

    def end(self, name: Name, text: str | None) -> None:
        """Takes a closing tag."""
        local = name[1]
        if self._in_track:
            self._end_in_track(local, text or "")
        elif local == "when" and self._stamped:
            self._when = text or ""
        elif local == "coordinates" and self._in_point:
            if self._when is not None:
                self.places.append((self._when, text or ""))
            elif len(self._points) < MAX_POINTS_HELD:
                self._points.append(text or "")
        elif local == "coordinates" and self._in_line:
            self.line_strings += _PLACE.search(text or "") is not None
        elif local == "TimeStamp":
            self._stamped = False
        elif local == "Point":
            self._in_point = False
        elif local == "LineString":
            self._in_line = False
        elif local == "Placemark":
            if self._when is not None:
                self.places += [(self._when, point) for point in self._points]
                self.unread.update(
                    name for name in self._values if name in self.unread or len(self.unread) < MAX_VALUES
                )
            self._when, self._points = None, []
        self.stream.collecting = False

    def _end_in_track(self, local: str, text: str) -> None:
        piece = self.pieces[-1]
        if local == "when":
            piece.whens.append(text)
        elif local == "coord":
            piece.coords.append(text)
        elif local == "angles":
            piece.angles.append(text)
        elif local == "value" and self._array:
            piece.arrays.setdefault(self._array, []).append(text)
        elif local == "SimpleArrayData":
            self._array = ""
        elif local == "Track":
            piece.ends = True
            self._in_track = False

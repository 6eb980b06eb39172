"""Tracks and dated places of a KML document, as expat tells them. No pyarrow.

Sources: OGC KML 2.3 (12-007r2), section Track; Google's KML 2.2 extension namespace `gx`. Elements are found by local
name: `gx:Track` of 2.2 became `Track` in 2.3.
"""

from dataclasses import dataclass, field

from telemetry.formats.xml_stream import Name, XmlStream


@dataclass(slots=True)
class TrackPiece:
    """What came of one track since the last `take`.

    Attributes
    ----------
    whens, coords : texts in document order; the n-th of one belongs to the n-th of the other.
    arrays : values of `gx:SimpleArrayData` by name.
    """

    whens: list[str] = field(default_factory=list)
    coords: list[str] = field(default_factory=list)
    arrays: dict[str, list[str]] = field(default_factory=dict)
    begins: bool = False
    ends: bool = False


class TrackCollector:
    """Takes a document's elements and gathers tracks, and points of placemarks with a time stamp.

    Attributes
    ----------
    pieces : of tracks, in document order.
    places : (when, coordinates) of placemarks that have both a TimeStamp and a Point.
    line_strings : how many undated lines were met.
    """

    def __init__(self) -> None:
        self.stream = XmlStream(self)
        self.pieces: list[TrackPiece] = []
        self.places: list[tuple[str, str]] = []
        self.line_strings = 0
        self._in_track = False
        self._array = ""
        self._place: dict[str, str] | None = None
        self._stamped = False
        self._in_point = False

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
            self._place = {}
        elif local == "TimeStamp":
            self._stamped = True
        elif local == "Point":
            self._in_point = True
        elif local == "LineString":
            self.line_strings += 1
        self.stream.collecting = (
            (self._in_track and (local in ("when", "coord") or (local == "value" and bool(self._array))))
            or (self._stamped and local == "when")
            or (self._in_point and local == "coordinates")
        )

    def end(self, name: Name, text: str | None) -> None:
        """Takes a closing tag."""
        local = name[1]
        if self._in_track:
            self._end_in_track(local, text or "")
        elif local == "when" and self._stamped and self._place is not None:
            self._place["when"] = text or ""
        elif local == "coordinates" and self._in_point and self._place is not None:
            self._place["coordinates"] = text or ""
        elif local == "TimeStamp":
            self._stamped = False
        elif local == "Point":
            self._in_point = False
        elif local == "Placemark" and self._place is not None:
            if "when" in self._place and "coordinates" in self._place:
                self.places.append((self._place["when"], self._place["coordinates"]))
            self._place = None
        self.stream.collecting = False

    def _end_in_track(self, local: str, text: str) -> None:
        piece = self.pieces[-1]
        if local == "when":
            piece.whens.append(text)
        elif local == "coord":
            piece.coords.append(text)
        elif local == "value" and self._array:
            piece.arrays.setdefault(self._array, []).append(text)
        elif local == "SimpleArrayData":
            self._array = ""
        elif local == "Track":
            piece.ends = True
            self._in_track = False

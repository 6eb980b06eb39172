"""Track points of a GPX document as expat tells them: the strict path, which any legal XML takes. No pyarrow.

Sources: GPX 1.0 and 1.1 schemas (topografix.com/GPX/1/0, /1/1).
"""

from typing import NamedTuple

from telemetry.formats.xml_stream import Name, XmlStream

GPX_NAMESPACES = ("http://www.topografix.com/GPX/1/1", "http://www.topografix.com/GPX/1/0")


class Leaf(NamedTuple):
    """One kind of value of a track point: an element without elements, or an attribute as `element.attribute`.

    `native` leaves are GPX's own children of the point, of any GPX namespace, and have no `uri`; all others are
    extensions.
    """

    uri: str
    name: str
    native: bool = False


LATITUDE = Leaf("", "@lat", True)
LONGITUDE = Leaf("", "@lon", True)

Row = dict[Leaf, str]
"""The non-empty texts of one point. Of several leaves of one kind, the first that is not empty."""


class PointCollector:
    """Takes a document's elements and gathers its track points.

    Attributes
    ----------
    stream : the parser to feed.
    rows : points finished since the last `take`.
    starts : for each of them, whether a track or segment begins there.
    creator, version : of the root element.
    point_tag : how the document writes the name of its track points, prefix and all; empty before the first.
    """

    def __init__(self) -> None:
        self.stream = XmlStream(self)
        self.rows: list[Row] = []
        self.starts: list[bool] = []
        self.creator = ""
        self.version = ""
        self.point_tag = ""
        self._gpx_namespaces: set[str] = {"", *GPX_NAMESPACES}
        self._row: Row | None = None
        self._point_depth = 0
        self._segment_pending = False

    @property
    def in_segment(self) -> bool:
        """True where a track point may come next: the parser is settled right inside a segment."""
        return self._row is None and self._is_segment() and self.stream.settled

    def take_start(self) -> bool:
        """Whether the next point begins a segment; asking counts as that point."""
        pending, self._segment_pending = self._segment_pending, False
        return pending

    def take(self) -> tuple[list[Row], list[bool]]:
        """The points finished since the last call."""
        taken = self.rows, self.starts
        self.rows, self.starts = [], []
        return taken

    def native(self, uri: str) -> bool:
        """Whether a namespace is GPX's own."""
        return uri in self._gpx_namespaces

    def start(self, name: Name, attributes: dict[str, str]) -> None:
        """Takes an opening tag."""
        uri, local = name
        if self._row is not None:
            for key, value in attributes.items():
                if ":" not in key and key != "xmlns":
                    self._put(Leaf(uri, f"{local}.{key}"), value.strip())
        elif local == "trkpt":
            if self.native(uri) and self._is_segment(outer=1):
                self._begin(attributes)
        elif local in ("trkseg", "trk"):
            self._segment_pending = True
        elif len(self.stream.stack) == 1:
            self._gpx_namespaces.add(uri)
            self.creator = attributes.get("creator", "")
            self.version = attributes.get("version", "")

    def end(self, name: Name, text: str | None) -> None:
        """Takes a closing tag."""
        row = self._row
        if row is None:
            return
        depth = len(self.stream.stack)
        if depth == self._point_depth:
            self.rows.append(row)
            self.starts.append(self.take_start())
            self._row = None
            self.stream.collecting = False
        elif text:
            uri, local = name
            if depth == self._point_depth + 1 and uri in self._gpx_namespaces:
                self._put(Leaf("", local, True), text)
            else:
                self._put(Leaf(uri, local), text)

    def _begin(self, attributes: dict[str, str]) -> None:
        self._row = {}
        self.point_tag = self.stream.written
        self._point_depth = len(self.stream.stack)
        self.stream.collecting = True
        self._put(LATITUDE, attributes.get("lat", "").strip())
        self._put(LONGITUDE, attributes.get("lon", "").strip())

    def _put(self, leaf: Leaf, text: str) -> None:
        if self._row is not None and text:
            self._row.setdefault(leaf, text)

    def _is_segment(self, outer: int = 0) -> bool:
        stack = self.stream.stack
        if len(stack) <= outer:
            return False
        uri, local = stack[-1 - outer]
        return local in ("trkseg", "trk") and uri in self._gpx_namespaces

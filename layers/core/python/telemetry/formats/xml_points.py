"""Track points of a document as expat tells them: the strict path, which any legal XML takes. No pyarrow.

What a point is, and what its values are called, a format says by a class of its own over `PointCollector`.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar, NamedTuple

from telemetry.formats.xml_stream import Name, XmlStream


class Leaf(NamedTuple):
    """One kind of value of a track point: an element without elements, or an attribute as `element.attribute`.

    `native` leaves are the format's own values of a point, and have no `uri`; all others are extensions.
    """

    uri: str
    name: str
    native: bool = False


Row = dict[Leaf, str]
"""The non-empty texts of one point. Of several leaves of one kind, the first that is not empty."""


class PointCollector:
    """Takes a document's elements and gathers its track points.

    Attributes
    ----------
    point_name : local name of the element that is a track point.
    segment_names : local names of the elements that hold track points.
    namespaces : the format's own.
    point_attributes : leaves that a point has as attributes of its own element.
    stream : the parser to feed.
    rows : points finished since the last `take`.
    starts : for each of them, whether a track or segment begins there.
    point_tag : how the document writes the name of its track points, prefix and all; empty before the first.
    """

    point_name: ClassVar[str]
    segment_names: ClassVar[frozenset[str]]
    namespaces: ClassVar[frozenset[str]]
    point_attributes: ClassVar[Mapping[str, Leaf]] = MappingProxyType({})

    def __init__(self) -> None:
        self.stream = XmlStream(self)
        self.rows: list[Row] = []
        self.starts: list[bool] = []
        self.point_tag = ""
        self._native: set[str] = {"", *self.namespaces}
        self._row: Row | None = None
        self._point_depth = 0
        self._segment_pending = False

    @property
    def in_segment(self) -> bool:
        """True where a track point may come next: the parser is settled right inside a segment."""
        return self._row is None and self.is_segment(self.stream.stack) and self.stream.settled

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
        """Whether a namespace is the format's own, in this document."""
        return uri in self._native

    def leaf(self, path: Sequence[Name]) -> Leaf:
        """The leaf at the end of a path of elements that begins below the point.

        The format's own are its direct children, of any of its namespaces.
        """
        uri, local = path[-1]
        return Leaf("", local, True) if len(path) == 1 and self.native(uri) else Leaf(uri, local)

    def is_segment(self, stack: Sequence[Name]) -> bool:
        """Whether points may stand right inside the element with this stack."""
        if not stack:
            return False
        uri, local = stack[-1]
        return local in self.segment_names and self.native(uri)

    def begin_segment(self) -> None:
        """The next point begins a segment."""
        self._segment_pending = True

    def start_outside(self, name: Name, attributes: dict[str, str]) -> None:
        """Takes an opening tag that stands in no point, and is none."""

    def end_outside(self, name: Name, text: str | None) -> None:
        """Takes a closing tag that stands in no point, and ends none."""

    def start(self, name: Name, attributes: dict[str, str]) -> None:
        """Takes an opening tag."""
        uri, local = name
        if self._row is not None:
            for key, value in attributes.items():
                if ":" not in key and key != "xmlns":
                    self._put(Leaf(uri, f"{local}.{key}"), value.strip())
        elif local == self.point_name and self.native(uri):
            if self.is_segment(self.stream.stack[:-1]):
                self._begin(attributes)
        else:
            if len(self.stream.stack) == 1:
                self._native.add(uri)
            self.start_outside(name, attributes)

    def end(self, name: Name, text: str | None) -> None:
        """Takes a closing tag."""
        row = self._row
        if row is None:
            self.end_outside(name, text)
            return
        depth = len(self.stream.stack)
        if depth == self._point_depth:
            self.rows.append(row)
            self.starts.append(self.take_start())
            self._row = None
            self.stream.collecting = False
        elif text:
            self._put(self.leaf(self.stream.stack[self._point_depth :]), text)

    def _begin(self, attributes: dict[str, str]) -> None:
        self._row = {}
        self.point_tag = self.stream.written
        self._point_depth = len(self.stream.stack)
        self.stream.collecting = True
        for key, leaf in self.point_attributes.items():
            self._put(leaf, attributes.get(key, "").strip())

    def _put(self, leaf: Leaf, text: str) -> None:
        if self._row is not None and text:
            self._row.setdefault(leaf, text)

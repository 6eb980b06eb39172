"""KML recordings: tracks with a time for every place, and dated placemarks where there is no track. Pure.

Sources: OGC KML 2.3 (12-007r2); coordinates are "longitude latitude altitude" in a track, with commas in a Point.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from telemetry.errors import Code, TelemetryError
from telemetry.formats.iso8601 import parse_iso8601
from telemetry.formats.kml_tracks import TrackCollector, TrackPiece
from telemetry.formats.reader import ByteSource, Findings, Origin, Recognition, TimeBasis
from telemetry.formats.xml_numbers import parse_number
from telemetry.formats.xml_root import root_element
from telemetry.formats.xml_stream import blocks
from telemetry.streams.channels import CHANNELS, TIMESTAMP, Flag, channel_field

BLOCK_BYTES = 1 << 20
_DAY = r"^\s*\d{4}(-\d\d(-\d\d)?)?Z?\s*$"
_DATES_ONLY = "times that name only a day, month or year were read as its beginning"
MAX_PLACES_HELD = 50_000
"""So many dated placemarks without a track, and the document is taken to have none; so many places of a track without
times, and they are taken to have none."""
MAX_ARRAYS = 256
MAX_POINTS_HELD = 200_000
"""By the schema a track's angles and arrays follow all of its places, which wait for them; so many at most."""
MAX_NAMED = 20
_CHANNELS = {
    "heartrate": "heart_rate_bpm",
    "heart_rate": "heart_rate_bpm",
    "cadence": "cadence_rpm",
    "power": "power_w",
    "temperature": "temperature_degc",
}
# Arrays that belong to the places themselves, as their writers (OpenTracks, My Tracks) mean them.
_OF_PLACES = {
    "speed": "speed_mps",
    "bearing": "course_deg",
    "course": "course_deg",
    "heading": "course_deg",
    "accuracy": "horizontal_accuracy_m",
    "accuracy_horizontal": "horizontal_accuracy_m",
}
_ANGLES = ("heading", "tilt", "roll")
_UNITS = {"tilt": "deg", "roll": "deg", "accuracy_vertical": "m", "distance": "m", "altitude_gain": "m"} | {
    name: CHANNELS[channel].unit for name, channel in _OF_PLACES.items()
}


class KmlReader:
    """Reader of `.kml` files; a `.kmz` is a zip of one."""

    name = "kml"
    title = "KML"

    def recognise(self, head: bytes, origin: Origin) -> Recognition | None:
        """Claims every document whose root element is `kml`, with any prefix."""
        del origin
        root = root_element(head)
        return Recognition(self.name, 0.99, "KML") if root is not None and root.name.lower() == "kml" else None

    def read(self, source: ByteSource, origin: Origin, findings: Findings) -> Iterator[pa.RecordBatch]:
        """See `Reader.read`. `source_row` counts points from 1; sensor arrays of a track stand in rows of their own.

        Raises
        ------
        TelemetryError : NO_TIME_DATA with lines but no times, NO_POSITION_DATA with neither, XML_MALFORMED,
            XML_FORBIDDEN.
        """
        del origin
        findings.format, findings.dialect = self.name, "KML"
        findings.time_basis = TimeBasis.GNSS_UTC
        collector = TrackCollector()
        document = _Document(findings)
        damage: TelemetryError | None = None
        pieces = blocks(source, BLOCK_BYTES)
        piece: bytes | None = b""
        while piece is not None and damage is None:
            try:
                piece = next(pieces, None)
                if piece is None:
                    collector.stream.close()
                else:
                    collector.stream.feed(piece)
            except TelemetryError as error:
                damage = error
            yield from document.take(*collector.take())
        yield from document.rest()
        if collector.unread and not document.tracks:
            named = ", ".join(f"{count} {name}" for name, count in sorted(collector.unread.items())[:MAX_NAMED])
            findings.inferred.append(f"values of placemarks were not read: {named}")
        if damage is not None:
            raise damage
        if not document.given and document.lone_places:
            raise TelemetryError(Code.NO_TIME_DATA, f"{document.lone_places} places of tracks without times")
        if not document.given and collector.line_strings:
            raise TelemetryError(Code.NO_TIME_DATA, f"{collector.line_strings} lines without times, and no track")
        if not document.given:
            raise TelemetryError(Code.NO_POSITION_DATA, "no track and no placemark with a time stamp")


class _Times:
    """Times of one track, kept small for what follows them: compressed differences, block by block."""

    def __init__(self) -> None:
        self._blocks: list[tuple[int, int, int, bytes]] = []
        self.count = 0

    def add(self, times: pa.Int64Array) -> None:
        """Appends microseconds UTC, null where unreadable."""
        if len(times):
            whole = pc.fill_null(times, _UNREADABLE)
            steps = pc.fill_null(pc.pairwise_diff(whole), 0)
            # As bytes: a buffer would keep the room that was set aside for its largest possible size.
            packed = pa.compress(pa.py_buffer(steps.buffers()[1]), codec="zstd", asbytes=True)
            self._blocks.append((self.count, len(whole), whole[0].as_py(), packed))
            self.count += len(whole)

    def read(self, start: int, count: int) -> pa.Int64Array:
        """Times `start` to `start + count`, or as far as there are any."""
        taken = [pa.array([], pa.int64())]
        for first, length, value, packed in self._blocks:
            if first + length > start and first < start + count:
                buffer = pa.decompress(packed, decompressed_size=length * 8, codec="zstd")
                steps = pa.Array.from_buffers(pa.int64(), length, [None, buffer])
                inside = max(0, start - first)
                times = pc.add(pc.cumulative_sum(steps), value)
                taken.append(times.slice(inside, start + count - first - inside))
        whole = pa.concat_arrays(taken)
        return pc.if_else(pc.equal(whole, _UNREADABLE), None, whole)


_UNREADABLE = -(1 << 60)
"""Marks an unreadable time: outside every calendar."""


@dataclass(slots=True)
class _Document:
    """State over the blocks of a document."""

    findings: Findings
    times: _Times = field(default_factory=_Times)
    coords: list[str] = field(default_factory=list)
    paired: int = 0
    """Points of the open track that were given, or given up."""
    sensed: dict[str, int] = field(default_factory=dict)
    """Values of each sensor array of the open track that were given."""
    held: list[pa.RecordBatch] = field(default_factory=list)
    """Points of the open track that wait for values of `_OF_PLACES` and angles."""
    held_rows: int = 0
    passing: bool = False
    """Whether the open track has more points than wait."""
    of_places: dict[str, list[pa.Array]] = field(default_factory=dict)
    starting: bool = False
    tracks: int = 0
    given: int = 0
    """Rows given, over all tracks and placemarks."""
    lone_places: int = 0
    """Readable places of tracks for which there was no time."""
    places: list[tuple[str, str]] = field(default_factory=list)
    zoneless: int = 0

    def take(self, pieces: list[TrackPiece], places: list[tuple[str, str]]) -> Iterator[pa.RecordBatch]:
        for piece in pieces:
            yield from self._piece(piece)
        if not self.tracks:
            self.places += places
            if len(self.places) > MAX_PLACES_HELD:
                yield self._placed()

    def rest(self) -> Iterator[pa.RecordBatch]:
        yield from self._end_track()
        if self.places and not self.tracks:
            yield self._placed()
        if self.zoneless:
            self.findings.time_basis = TimeBasis.DEVICE_LOCAL
            self.findings.inferred.append(f"{self.zoneless} times without a zone were read as UTC.")

    def _piece(self, piece: TrackPiece) -> Iterator[pa.RecordBatch]:
        if piece.begins:
            yield from self._end_track()
            self.starting = True
        if piece.whens or piece.coords:
            self.tracks += 1
            self.places.clear()
        self.times.add(self._moments(piece.whens))
        self.coords += piece.coords
        ready = max(0, min(self.times.count - self.paired, len(self.coords)))
        if ready:
            yield from self._hold(self._points(self.times.read(self.paired, ready), self.coords[:ready], " "))
            self.paired += ready
            del self.coords[:ready]
        if len(self.coords) > MAX_PLACES_HELD:
            # By the schema the times stand in front.
            self.paired += len(self.coords)
            self._give_up()
        if piece.angles:
            for name, numbers in zip(_ANGLES, _cells(piece.angles, " "), strict=True):
                yield from self._array(f"angles {name}", name, numbers)
        for name, texts in piece.arrays.items():
            numbers = parse_number(pa.array(texts, pa.string()))
            said = f"text that is no number is not kept: {name[:40]}"
            if numbers.null_count == len(texts) and any(map(str.strip, texts)) and said not in self.findings.inferred:
                self.findings.inferred.append(said)
            yield from self._array(name, name, numbers)
        if piece.ends:
            yield from self._end_track()

    def _array(self, key: str, name: str, values: pa.DoubleArray) -> Iterator[pa.RecordBatch]:
        """Takes values of one array: those of the places wait for the track's end, others are rows of their own."""
        if key not in self.sensed and len(self.sensed) >= MAX_ARRAYS:
            return
        done = self.sensed.get(key, 0)
        self.sensed[key] = done + len(values)
        if (name.lower() in _OF_PLACES or key != name) and not self.passing:
            self.of_places.setdefault(key, []).append(values)
        else:
            yield _sensor(name, self.times.read(done, len(values)), values)

    def _hold(self, points: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        if self.passing:
            yield points
            return
        self.held.append(points)
        self.held_rows += points.num_rows
        if self.held_rows > MAX_POINTS_HELD:
            yield from self._released()
            self.passing = True

    def _released(self) -> Iterator[pa.RecordBatch]:
        """The points that waited, with what belongs to them."""
        columns = self._of_places(self.held_rows)
        start = 0
        for points in self.held:
            rows = points.num_rows
            arrays = [*points.columns, *(values.slice(start, rows) for _, values in columns)]
            yield pa.record_batch(arrays, schema=pa.schema([*points.schema, *(column for column, _ in columns)]))
            start += rows
        self.held, self.held_rows, self.of_places = [], 0, {}

    def _of_places(self, count: int) -> list[tuple[pa.Field, pa.Array]]:
        """Columns of `count` values; an array wins over the angles' heading."""
        columns: dict[str, tuple[pa.Field, pa.Array]] = {}
        for key in sorted(self.of_places, key=lambda key: key.startswith("angles ")):
            name = key.removeprefix("angles ")
            channel = _OF_PLACES.get(name.lower(), "")
            known = CHANNELS.get("" if channel in columns else channel)
            column = known.field if known else channel_field(name, _UNITS.get(name.lower(), ""))
            said = f"a track's array {name[:40]!r} was read in {_UNITS.get(name.lower())}"
            if key == name and said not in self.findings.inferred:
                self.findings.inferred.append(said)
            values = pa.concat_arrays(self.of_places[key]).slice(0, count)
            values = pa.concat_arrays([values, pa.nulls(count - len(values), pa.float64())])
            columns.setdefault(column.name, (column, values.cast(column.type)))
        return list(columns.values())

    def _end_track(self) -> Iterator[pa.RecordBatch]:
        self._give_up(max(self.times.count - self.paired, 0))
        yield from self._released()
        self.times, self.paired, self.sensed, self.passing = _Times(), 0, {}, False

    def _give_up(self, times: int = 0) -> None:
        """Counts places that found no time, and so many times that found no place."""
        unpaired = times + len(self.coords)
        if unpaired:
            self.findings.rows_read += unpaired
            self.findings.reject("unpaired_point", None, unpaired)
        if self.coords:
            longitude, latitude, _ = _cells(self.coords, " ")
            self.lone_places += pc.sum(pc.and_(pc.is_valid(latitude), pc.is_valid(longitude))).as_py()
        self.coords = []

    def _placed(self) -> pa.RecordBatch:
        places, self.places = self.places, []
        times = self._moments([when for when, _ in places])
        return self._points(times, [coordinates for _, coordinates in places], ",")

    def _moments(self, texts: list[str]) -> pa.Int64Array:
        """Microseconds UTC, null where unreadable. `kml:when` may be a dateTime, a date, a gYearMonth or a gYear."""
        given = pa.array(texts, pa.string())
        parsed = parse_iso8601(given)
        times = parsed.times
        self.zoneless += parsed.zoneless
        if times.null_count:
            days = pc.and_(pc.is_null(times), pc.match_substring_regex(given, _DAY))
            if pc.any(days).as_py():
                begun = pa.array([_beginning(text) for text in texts], pa.string())
                times = pc.if_else(days, parse_iso8601(begun).times, times)
                if _DATES_ONLY not in self.findings.inferred:
                    self.findings.inferred.append(_DATES_ONLY)
        return times.cast(pa.int64())

    def _points(self, times: pa.Int64Array, coords: list[str], separator: str) -> pa.RecordBatch:
        count = len(coords)
        self.given += count
        longitude, latitude, altitude = _cells(coords, separator)
        first = self.findings.rows_read + 1
        self.findings.rows_read += count
        flags = pa.array([int(Flag.SEGMENT_START) if self.starting else 0] + [0] * (count - 1), pa.uint32())
        self.starting = False
        fields = [CHANNELS[name].field.with_nullable(True) for name in ("timestamp", "latitude_deg", "longitude_deg")]
        fields += [CHANNELS[name].field for name in ("altitude_m", "source_row", "flags")]
        rows = pa.arange(first, first + count)
        columns = [times.cast(TIMESTAMP), latitude, longitude, altitude, rows, flags]
        return pa.record_batch(columns, schema=pa.schema(fields))


def _beginning(text: str) -> str:
    """The first moment of a day, month or year."""
    day = text.strip().removesuffix("Z")
    return f"{day}{'-01-01'[len(day) - 4 :]}T00:00:00Z"


def _cells(coords: list[str], separator: str) -> tuple[pa.DoubleArray, pa.DoubleArray, pa.DoubleArray]:
    """Longitude, latitude and altitude of each text, null where unreadable."""
    # Padded, so that a missing altitude, or a missing place, is an empty cell.
    texts = pa.array([f"{separator.join(text.replace(separator, ' ').split())}{separator * 3}" for text in coords])
    cells = pc.split_pattern(texts, separator)
    longitude, latitude, altitude = (parse_number(pc.list_element(cells, index)) for index in range(3))
    return longitude, latitude, altitude


def _sensor(name: str, times: pa.Int64Array, values: pa.DoubleArray) -> pa.RecordBatch:
    count = min(len(times), len(values))
    known = CHANNELS.get(_CHANNELS.get(name.lower(), ""))
    column = known.field if known else channel_field(name or "value", _UNITS.get(name.lower(), ""))
    fields = [CHANNELS["timestamp"].field.with_nullable(True), CHANNELS["source_row"].field, column]
    columns = [
        times.slice(0, count).cast(TIMESTAMP),
        pa.nulls(count, pa.int64()),
        values.slice(0, count).cast(column.type),
    ]
    return pa.record_batch(columns, schema=pa.schema(fields))


READER = KmlReader()

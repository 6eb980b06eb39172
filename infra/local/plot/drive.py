"""What a picture of a drive shows, read out of canonical `gnss_pvt` files."""

import bisect
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from telemetry import recording
from telemetry.api import models
from telemetry.errors import Code, TelemetryError
from telemetry.formats.reader import Origin
from telemetry.laps.found import find_laps, metadata_of
from telemetry.laps.lap import Lap, best_lap
from telemetry.laps.motion import COLUMNS as LAP_COLUMNS
from telemetry.streams.channels import GNSS_PVT_SCHEMA, Flag
from telemetry.streams.distance import step_lengths_m
from telemetry.streams.map_track import COLUMNS as MAP_COLUMNS
from telemetry.streams.map_track import MapPoint, map_track
from telemetry.streams.parquet import open_file, read_columns
from telemetry.streams.quality import GAP_PERIODS, LONGEST_COUNTED_STEP_S

PARQUET_MAGIC = b"PAR1"
_COLUMNS = ("timestamp", "latitude_deg", "longitude_deg", "altitude_m", "speed_mps", "flags")
_SECOND_US = 1_000_000
_HALF_WINDOW_S = 1.0
"""A speed out of positions is the way of so long before a fix and after it: noise of a metre stays small in it."""


@dataclass(frozen=True)
class Trace:
    """One file's fixes in order of time, spikes left out.

    Attributes
    ----------
    time_us : microseconds since 1970, UTC.
    distance_m : from the first fix; a break adds nothing.
    speed_mps, altitude_m : null where unknown.
    piece : counts the unbroken stretches.
    points : of the map, as few as show its shape.
    speed_of_positions : that the recording has no speed, and it was worked out.
    """

    time_us: pa.Array
    distance_m: pa.Array
    speed_mps: pa.Array
    altitude_m: pa.Array
    piece: pa.Array
    points: tuple[MapPoint, ...]
    speed_of_positions: bool

    @property
    def length_m(self) -> float:
        """Of the whole way."""
        return float(self.distance_m[-1].as_py())

    def covers(self, time_us: int) -> bool:
        """That a time lies between the first and the last fix."""
        return bool(self.time_us[0].as_py() <= time_us <= self.time_us[-1].as_py())

    def distance_at(self, time_us: int) -> float:
        """Metres from the first fix at a time that it covers, interpolated."""
        after = bisect.bisect_left(self.time_us, time_us, hi=len(self.time_us) - 1, key=lambda time: time.as_py())
        before = max(0, after - 1)
        (time_0, time_1), (metres_0, metres_1) = (
            (values[before].as_py(), values[after].as_py()) for values in (self.time_us, self.distance_m)
        )
        share = (time_us - time_0) / (time_1 - time_0) if time_1 > time_0 else 0.0
        return float(metres_0 + share * (metres_1 - metres_0))


@dataclass(frozen=True)
class Drive:
    """A recording or a session. `laps` are in order of time, as the API gives them; without `best_lap_number` none of
    them is the best."""

    title: str
    traces: tuple[Trace, ...]
    laps: tuple[models.Lap, ...]
    best_lap_number: int | None = None

    @cached_property
    def start_us(self) -> int:
        """The first fix."""
        return min(int(trace.time_us[0].as_py()) for trace in self.traces)

    @property
    def start(self) -> datetime:
        """The first fix, UTC."""
        return datetime.fromtimestamp(self.start_us / _SECOND_US, UTC)

    @property
    def duration_ms(self) -> float:
        """From the first fix to the last."""
        return (max(int(trace.time_us[-1].as_py()) for trace in self.traces) - self.start_us) / 1000

    @property
    def length_m(self) -> float:
        """Of all files."""
        return sum(trace.length_m for trace in self.traces)

    @property
    def best_lap(self) -> models.Lap | None:
        """The fastest of comparable laps."""
        return next((lap for lap in self.laps if lap.lap_number == self.best_lap_number), None)


def drive_of_recording(file: Path, directory: Path) -> Drive:
    """A raw recording of any format, or a canonical Parquet file; its laps by the pipeline's own functions.

    Parameters
    ----------
    directory : takes the canonical files of a raw recording.

    Raises
    ------
    TelemetryError : when the recording cannot be used. OSError : when the file cannot be read.
    """
    canonical = file
    with file.open("rb") as source:
        raw = source.read(len(PARQUET_MAGIC)) != PARQUET_MAGIC
        source.seek(0)
        if raw:
            # As the service does, which takes the date from the upload where a recording has none.
            origin = Origin(file.name, datetime.fromtimestamp(file.stat().st_mtime, UTC))
            canonical = recording.canonicalise(source, origin, directory=directory).files[0].path
    trace, laps = trace_of(canonical), _laps_of(canonical)
    best = best_lap(laps)
    return Drive(file.name, (trace,), tuple(map(_as_the_api, laps)), best.lap_number if best else None)


def drive_of_session(session: models.SessionDetail, files: Sequence[Path], laps: Sequence[models.Lap]) -> Drive:
    """A session by its canonical `gnss_pvt` files; raises TelemetryError when one cannot be read."""
    traces = sorted((trace_of(file) for file in files), key=lambda trace: int(trace.time_us[0].as_py()))
    return Drive(session.name, tuple(traces), tuple(laps), session.summary.get("bestLapNumber"))


def trace_of(file: Path) -> Trace:
    """Reads a canonical file.

    Raises
    ------
    TelemetryError : NO_POSITION_DATA for a file of another stream, NO_VALID_ROWS for one that is damaged or has fewer
        than two fixes.
    """
    try:
        names = set(pq.read_schema(file).names)
        if missing := set(_COLUMNS) - names:
            raise TelemetryError(Code.NO_POSITION_DATA, f"no column {', '.join(sorted(missing))}")
        rows = pq.read_table(file, columns=list(_COLUMNS)).combine_chunks()
    except pa.ArrowInvalid as error:
        raise TelemetryError(Code.NO_VALID_ROWS, "not a whole Parquet file") from error
    rows = rows.cast(pa.schema([GNSS_PVT_SCHEMA.field(name) for name in _COLUMNS]))
    rows = rows.filter(pc.invert(Flag.POSITION_SPIKE.of(rows.column("flags")))).combine_chunks()
    if rows.num_rows < 2:
        raise TelemetryError(Code.NO_VALID_ROWS, "fewer than two fixes")
    latitude, longitude, altitude, speed, flags = (_one(rows, name) for name in _COLUMNS[1:])
    time_us = _one(rows, "timestamp").cast(pa.int64())
    breaks = _breaks(time_us, flags)
    steps = pc.if_else(breaks, 0.0, step_lengths_m(latitude, longitude))
    distance = pa.concat_arrays([pa.array([0.0]), pc.cumulative_sum(steps)])
    piece = pa.concat_arrays([pa.array([0], pa.int64()), pc.cumulative_sum(breaks.cast(pa.int64()))])
    of_positions = speed.null_count == len(speed)
    if of_positions:
        speed = _speed_of_positions(time_us, distance, piece)
        rows = rows.set_column(rows.schema.get_field_index("speed_mps"), "speed_mps", speed)
    points = map_track(rows.select(list(MAP_COLUMNS)).to_batches(), rows.num_rows)
    return Trace(time_us, distance, speed, altitude, piece, tuple(points), of_positions)


def _one(rows: pa.Table, name: str) -> pa.Array:
    return rows.column(name).combine_chunks()


def _breaks(time_us: pa.Array, flags: pa.Array) -> pa.Array:
    """Of each step, whether nobody knows the way: a new segment, or a gap."""
    into = pc.subtract(time_us.slice(1), time_us.slice(0, len(time_us) - 1))
    period = pc.quantile(into, 0.5)[0].as_py()
    longest = max(LONGEST_COUNTED_STEP_S * _SECOND_US, GAP_PERIODS * period)
    return pc.or_(pc.greater(into, longest), Flag.SEGMENT_START.of(flags.slice(1)))


def _speed_of_positions(time_us: pa.Array, distance_m: pa.Array, piece: pa.Array) -> pa.Array:
    """Metres per second over a window about each fix; null near a break."""
    rows = len(time_us)
    period_s = (time_us[-1].as_py() - time_us[0].as_py()) / _SECOND_US / (rows - 1)
    reach = min(max(1, round(_HALF_WINDOW_S / period_s)) if period_s > 0 else 1, (rows - 1) // 2 or 1)
    # The first and the last fixes look one way only.
    ahead = pa.array(range(rows), pa.int64())
    behind = pc.max_element_wise(pc.subtract(ahead, reach), 0)
    ahead = pc.min_element_wise(pc.add(ahead, reach), rows - 1)
    seconds = pc.divide(pc.subtract(time_us.take(ahead), time_us.take(behind)).cast(pa.float64()), float(_SECOND_US))
    metres = pc.subtract(distance_m.take(ahead), distance_m.take(behind))
    known = pc.and_(pc.equal(piece.take(ahead), piece.take(behind)), pc.greater(seconds, 0.0))
    return pc.if_else(known, pc.divide(metres, seconds), pa.scalar(None, pa.float64())).cast(pa.float32())


def _laps_of(file: Path) -> tuple[Lap, ...]:
    with open_file(file) as parquet:
        if set(LAP_COLUMNS) - set(parquet.schema_arrow.names):
            return ()
        found = find_laps(
            metadata_of(parquet.metadata.metadata, recording.METADATA_KEY),
            lambda: read_columns(parquet, LAP_COLUMNS),
            parquet.metadata.num_rows,
        )
    return found.laps


def _as_the_api(lap: Lap) -> models.Lap:
    told = asdict(lap)
    return models.Lap(start_time_utc=told.pop("start_time"), end_time_utc=told.pop("end_time"), **told)

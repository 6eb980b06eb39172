"""What a text table is, as a whole: layout, program, time, position and channel columns, decided from the file's head.

Pure. Recognition and reading rest on the same plan, so that what is announced is what is read.
"""

import math
import statistics
from dataclasses import dataclass, replace
from itertools import pairwise

import pyarrow as pa

from telemetry.errors import Code, TelemetryError
from telemetry.formats.csv_columns import Column, Columns, count_essential, find_positions, map_columns
from telemetry.formats.csv_coordinates import Coordinate, find_coordinates, find_pair
from telemetry.formats.csv_dialect import Layout, find_layout
from telemetry.formats.csv_dialects import GENERIC, Program, find_program
from telemetry.formats.csv_time_columns import find_times
from telemetry.formats.csv_times import TimeColumns, TimeHints
from telemetry.formats.dates import find_start
from telemetry.formats.line_blocks import decode_head, detect_encoding
from telemetry.formats.reader import Findings, Origin
from telemetry.streams.units import conversion

_NAMED_COLUMNS = 20
_NAME_LENGTH = 40
_EARTH_RADIUS_M = 6_371_008.8
_MOVING_MPS = 3.0
_SPEED_UNITS = ("m/s", "km/h", "mph", "kn")
_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}


@dataclass(frozen=True, slots=True)
class Plan:
    """How to read one file.

    Attributes
    ----------
    inferred : sentences about what was inferred rather than read.
    dialect : for people: `semicolon, decimal comma, 10 Hz, speed in km/h`.
    """

    encoding: str
    layout: Layout
    program: Program
    times: TimeColumns
    latitude: Coordinate
    longitude: Coordinate
    columns: Columns
    inferred: tuple[str, ...]
    dialect: str


def find_table(head: bytes) -> tuple[str, Layout] | None:
    """Encoding and layout of the table that `head` begins; None where there is none."""
    encoding = detect_encoding(head)
    layout = find_layout(decode_head(head, encoding), count_essential)
    return None if layout is None else (encoding, layout)


def make_plan(head: bytes, origin: Origin, table: tuple[str, Layout] | None = None) -> Plan:
    """The plan for a file that begins with `head`; `table` is what `find_table` found there, where it was asked.

    Raises
    ------
    TelemetryError : CSV_MALFORMED, CSV_NO_POSITION_COLUMNS, CSV_NO_TIME_COLUMN, NO_TIME_DATA.
    """
    table = table or find_table(head)
    if table is None:
        raise TelemetryError(Code.CSV_MALFORMED, "line 1: no header row followed by rows of cells")
    encoding, layout = table
    program = find_program(layout)
    north, east = find_positions(layout, program.aliases)
    in_one_cell = north is None or east is None or north == east
    pair = find_pair(layout, north if north == east else None) if in_one_cell else None
    if pair is not None:
        north = east = pair[0].index
    elif north is None or east is None or (north == east and layout.column(north)):
        raise TelemetryError(Code.CSV_NO_POSITION_COLUMNS, _described_columns(layout))
    hints = TimeHints(
        keys=program.time_keys,
        utc=program.utc,
        gps_time=program.gps_time(layout),
        start=find_start(layout.preamble, origin.uploaded_at),
        start_is_utc=program.start_is_utc,
        order=program.date_order,
        restarts=program.restarts_by_lap,
    )
    times = find_times(layout, origin, hints)
    if times is None:
        raise TelemetryError(Code.CSV_NO_TIME_COLUMN, _described_columns(layout))
    if {north, east} & set(times.indices):
        # A damaged header that names time and place in one cell: the column cannot be both.
        raise TelemetryError(Code.CSV_NO_POSITION_COLUMNS, _described_columns(layout))
    latitude, longitude, inferred = find_coordinates(layout, north, east) if pair is None else (*pair[:2], [pair[2]])
    hemispheres = [c.hemisphere for c in (latitude, longitude) if c.hemisphere is not None]
    columns = map_columns(
        layout,
        taken=(*times.indices, *hemispheres, *(() if pair is None else (north,))),
        aliases=program.aliases,
        units=program.units,
        own_names=program.own_names(layout),
        lap_keys=program.lap_keys,
    )
    columns, unit, sentences = _with_speed_unit(layout, columns, times, (latitude, longitude), program)
    inferred = [*times.inferred, *inferred, *sentences]
    if columns.dropped:
        inferred.append(f"Columns of text are not kept: {_named(columns.dropped)}.")
    dialect = _dialect(layout, encoding, program, _rate(layout, times), unit)
    return Plan(encoding, layout, program, times, latitude, longitude, columns, tuple(inferred), dialect)


def sample_times(layout: Layout, times: TimeColumns) -> list[float | None]:
    """The sample rows' times in seconds."""
    count = len(layout.sample)
    strings = {index: _strings(layout, index) for index in times.indices}
    read = times.copy().timestamps(strings, pa.arange(0, count), Findings())
    return [None if t is None else t / 1e6 for t in read.cast(pa.int64()).to_pylist()]


def _strings(layout: Layout, index: int) -> pa.StringArray:
    cells = [row[index] if index < len(row) else "" for row in layout.sample]
    return pa.array([cell or None for cell in cells], pa.string())


def _rate(layout: Layout, times: TimeColumns) -> float | None:
    """Rows per second of the sample, None where it does not tell."""
    known = [t for t in sample_times(layout, times) if t is not None]
    if len(known) < 3 or known[-1] <= known[0]:
        return None
    steps = [b - a for a, b in pairwise(known) if b > a]
    middle = statistics.median(steps)
    average = (known[-1] - known[0]) / (len(known) - 1)
    # Whole-second stamps of faster rows: the steps say 1 Hz, the count of rows does not.
    return 1 / average if middle == 1.0 and average < 0.5 else 1 / middle


def _with_speed_unit(
    layout: Layout,
    columns: Columns,
    times: TimeColumns,
    position: tuple[Coordinate, Coordinate],
    program: Program,
) -> tuple[Columns, str, list[str]]:
    """The columns with the unit of an unlabelled speed told by the positions, where they tell it clearly."""
    sentences = list(columns.inferred)
    speed = next((c for c in columns.numbers if c.field.name == "speed_mps"), None)
    if speed is None:
        return columns, "", sentences
    given = layout.units[speed.index]
    named = next((u for u in _SPEED_UNITS if conversion(u, "m/s") == speed.conversion), given)
    if given or not program.speed_unit_varies:
        return columns, named, sentences
    told = _unit_told_by_positions(layout, speed, times, position)
    if told is None:
        return columns, named, sentences
    into = conversion(told, "m/s")
    if into is None or into == speed.conversion:
        return columns, named, sentences
    sentences = [s for s in sentences if f"No unit is given for {layout.header[speed.index]!r}" not in s]
    sentences.append(f"No unit is given for {layout.header[speed.index]!r}: the positions say {told}.")
    numbers = tuple(Column(c.index, c.field, into) if c is speed else c for c in columns.numbers)
    return replace(columns, numbers=numbers), told, sentences


def _unit_told_by_positions(
    layout: Layout, speed: Column, times: TimeColumns, position: tuple[Coordinate, Coordinate]
) -> str | None:
    """Compares the speeds given with those between the sample's fixes; None unless one unit fits well."""
    clock = sample_times(layout, times)
    places = []
    for coordinate in position:
        strings = {i: _strings(layout, i) for i in coordinate.types}
        places.append(coordinate.degrees(strings)[0].to_pylist())
    given = [_float(row[speed.index], layout) if speed.index < len(row) else None for row in layout.sample]
    ratios = []
    step = max(1, len(clock) // 100)
    for a in range(0, len(clock) - step, step):
        window = range(a, a + step + 1)
        ends = (clock[a], clock[a + step])
        corners = [places[k][i] for i in (a, a + step) for k in (0, 1)]
        speeds = [given[i] for i in window]
        if None in ends or None in corners or None in speeds:
            continue
        elapsed = (ends[1] or 0.0) - (ends[0] or 0.0)
        if not 0 < elapsed <= 10:
            continue
        metres = _distance_m(*corners)
        if metres / elapsed > _MOVING_MPS:
            ratios.append(statistics.fmean(s for s in speeds if s is not None) / (metres / elapsed))
    if len(ratios) < 10:
        return None
    middle = statistics.median(ratios)
    for unit in _SPEED_UNITS:
        factor = conversion(unit, "m/s")
        if factor is not None and abs(middle * factor.factor - 1) < 0.06:
            return unit
    return None


def _distance_m(latitude_1: float, longitude_1: float, latitude_2: float, longitude_2: float) -> float:
    """Distance over the equirectangular projection: good to parts per million between neighbouring fixes."""
    north = math.radians(latitude_2 - latitude_1)
    east = math.radians(longitude_2 - longitude_1) * math.cos(math.radians((latitude_1 + latitude_2) / 2))
    return _EARTH_RADIUS_M * math.hypot(north, east)


def _float(cell: str, layout: Layout) -> float | None:
    try:
        number = float(cell.replace(",", ".") if layout.decimal_comma else cell)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _dialect(layout: Layout, encoding: str, program: Program, rate: float | None, unit: str) -> str:
    parts = [] if program is GENERIC else [program.title]
    parts.append(_DELIMITERS.get(layout.delimiter, repr(layout.delimiter)))
    if layout.decimal_comma:
        parts.append("decimal comma")
    if not encoding.startswith("utf-8"):
        parts.append(encoding)
    if rate is not None:
        parts.append(f"{rate:.0f} Hz" if rate >= 1.5 else f"{rate:.1g} Hz")
    if unit:
        parts.append(f"speed in {unit}")
    return ", ".join(parts)


def _described_columns(layout: Layout) -> str:
    return f"line {layout.header_line}: columns are {_named([name for name in layout.header if name])}"


def _named(names: list[str] | tuple[str, ...]) -> str:
    listed = ", ".join(name[:_NAME_LENGTH] for name in names[:_NAMED_COLUMNS])
    more = len(names) - _NAMED_COLUMNS
    return f"{listed} and {more} more" if more > 0 else listed

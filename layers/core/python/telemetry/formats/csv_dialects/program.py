"""What the reader can know of a program that writes CSV files beyond what the file itself says. Pure."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from telemetry.formats.csv_columns import key_of
from telemetry.formats.csv_dialect import Layout
from telemetry.formats.csv_laps import LapEdges
from telemetry.formats.dates import DateOrder
from telemetry.formats.reader import FileDevice


def _no_device(layout: Layout) -> FileDevice | None:
    return None


def _nothing(layout: Layout) -> dict[int, str]:
    return {}


@dataclass(frozen=True, slots=True)
class Program:
    """One program's (or one version's) habits.

    Attributes
    ----------
    title : for people, for example ``RaceChrono CSV v3``.
    matches : True for a file that this program wrote.
    units : unit by channel, where the file names none.
    speed_unit_varies : True where `units` only has the most likely unit of speed: a setting of the program chose it.
    aliases : column keys by channel, which win over the general ones.
    time_keys : keys of the columns that tell time best.
    date_order : of dates that several orders fit.
    utc : True where times without a zone are UTC.
    gps_time : True for a file whose clock is GPS time, ahead of UTC by the leap seconds.
    start_is_utc : True where the start that the preamble gives is UTC rather than local time.
    device : the device that made the recording.
    own_names : names for columns whose header is not unique, by column.
    lap_keys : keys of the column that numbers the laps.
    lap_edges : what a lap number means in the first and the last rows.
    lap_comment : a comment line that ends a lap: groups `number` and `time`.
    beacons : lap ends in seconds since `start`.
    restarts_by_lap : True where elapsed times begin again with every lap; its number may stand in its first row alone.
    fix_key : key of the column whose 0 marks rows that repeat the last fix beside fresher values of other sensors.
    """

    title: str
    matches: Callable[[Layout], bool]
    units: Mapping[str, str] = field(default_factory=dict)
    speed_unit_varies: bool = False
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    time_keys: tuple[str, ...] = ()
    date_order: DateOrder | None = None
    utc: bool = False
    gps_time: Callable[[Layout], bool] = lambda layout: False
    start_is_utc: bool = False
    device: Callable[[Layout], FileDevice | None] = _no_device
    own_names: Callable[[Layout], Mapping[int, str]] = _nothing
    lap_keys: tuple[str, ...] = ("lap", "lap number", "lap num", "lapnumber", "lap no", "lap count", "current lap")
    lap_edges: LapEdges = LapEdges.OPEN_END
    lap_comment: re.Pattern[str] | None = None
    beacons: Callable[[Layout], list[float]] = lambda layout: []
    restarts_by_lap: bool = False
    fix_key: str = ""


def has_columns(*names: str) -> Callable[[Layout], bool]:
    """Matches a table whose header has all these columns, however they are written."""
    wanted = {key_of(name) for name in names}

    def matches(layout: Layout) -> bool:
        return wanted <= {key_of(name) for name in layout.header}

    return matches


def preamble_says(pattern: str) -> Callable[[Layout], bool]:
    """Matches a file whose preamble holds a line that `pattern` finds."""
    compiled = re.compile(pattern, re.IGNORECASE)

    def matches(layout: Layout) -> bool:
        return any(compiled.search(line) for line in layout.preamble)

    return matches


def preamble_value(layout: Layout, label: str) -> str | None:
    """The value beside `label` in the preamble (`Vehicle,Kosmic`), None where there is none."""
    for line in layout.preamble:
        match = re.match(rf'\s*"?{label}"?\s*[,;:=\t]\s*"?([^",;\t]*)', line, re.IGNORECASE)
        if match and match[1].strip():
            return match[1].strip()
    return None

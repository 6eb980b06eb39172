"""What a text table's columns are: names and units to canonical channels, anything else under its own name.

Pure. Names are matched by their words, whatever their case and punctuation: `GPS_Speed`, `gpsSpeed` and
`GPS Speed [km/h]` are one key, `gps speed`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from telemetry.formats.csv_dialect import Layout, is_number
from telemetry.streams.channels import CHANNELS, channel_field
from telemetry.streams.units import Conversion, conversion, is_unit

LATITUDE = "latitude_deg"
LONGITUDE = "longitude_deg"

_KEYS: dict[str, str] = {
    LATITUDE: (
        "latitude; gps latitude; lat; gps lat; latitude deg; lat deg; latitude wgs84; latitude e7; lat e7; "
        "latitude n s; location latitude; position lat; position latitude; geo lat; gnss lat; gnss latitude; "
        "latitude gps; lat gps; osd latitude; rtk lat; breitengrad; breite; latitud; latitudine; leveysaste; "
        "bredde; latitude e6; lat e6; latitude degrees; decimal latitude; start lat; latitudedecimaldegrees; "
        "gps1 latitude; lati"
    ),
    LONGITUDE: (
        "longitude; gps longitude; lon; lng; long; gps lon; gps lng; gps long; longitude deg; lon deg; lng "
        "deg; long deg; longitude wgs84; longitude e7; lon e7; lng e7; longitude e w; location longitude; "
        "position lon; position long; position lng; position longitude; geo lon; geo lng; gnss lon; gnss "
        "longitude; longitude gps; lon gps; osd longitude; rtk lon; langengrad; laengengrad; längengrad; "
        "länge; laenge; longitud; longitudine; pituusaste; lengde; longitude e6; lon e6; longitude degrees; "
        "decimal longitude; start lon; start lng; longitudedecimaldegrees; gps1 longitude; longi"
    ),
    "altitude_m": (
        "gps altitude; altitude; alt; gps alt; elevation; ele; elev; height; alt msl; altitude msl; msl; "
        "altitude above mean sea level; altitude above sea level; "
        "h msl; hmsl; height msl; altitude wgs84; gnss altitude; location altitude; "
        "position altitude; gps height; gps elevation; alt gps; altitude gps; enhanced altitude; höhe; hoehe; "
        "altitud; altitudine; quota; hauteur; korkeus; hm vhe; alt mean sea level; gps1 altitude; osd "
        "altitude; hoyde"
    ),
    "speed_mps": (
        "gps speed; gnss speed; speed gps; speed over ground; ground speed; groundspeed; gnd spd; sog; gps "
        "speed 2d; speed 2d; speed; velocity; vel; spd; gps spd; gps velocity; gspeed; g speed; location "
        "speed; enhanced speed; position speed; gps ground speed; speed2d; kmh; kph; mph; "
        "geschwindigkeit; vitesse; velocidad; velocita; velocità; hastighet; hastighed; snelheid; nopeus; "
        "speed 3d; gps speed 3d; gps1 speed; osd h speed; speed calc"
    ),
    "course_deg": (
        "course; course over ground; cog; gps course; gps heading; gps bearing; gps track; heading gps; "
        "bearing gps; track; trk; true track; true course; bearing; heading; direction; azimuth; hdg; head "
        "mot; heading of motion; location course; location bearing; track angle; kurs; richtung; cap; rumbo; "
        "rotta; gps direction; heading deg"
    ),
    "vertical_speed_mps": (
        "vertical speed; vert speed; vspd; v spd; vspeed; climb; climb rate; vario; vertical velocity; rate of climb"
    ),
    "horizontal_accuracy_m": (
        "horizontal accuracy; accuracy horizontal; accuracy; gps accuracy; gps pos accuracy; pos accuracy; h "
        "acc; hacc; hor accuracy; position accuracy; precision; epe; eph; location accuracy; location "
        "horizontal accuracy; accuracy h; gps h acc; horizontal error; gps position accuracy; hor acc; "
        "coordinate precision"
    ),
    "hdop": (
        "hdop; gps hdop; horizontal dop; horizontal dilution; horizontal dilution of precision; h dop; "
        "coordinate precision"
    ),
    "satellites": (
        "satellites; sats; satellites used; used satellites; sats used; nsat; gps nsat; num sats; num sat; "
        "numsats; numsat; sat; nsats; satellite count; sat count; gps sats; gps satellites; number of "
        "satellites; num sv; numsv; sv; siv; satellite; sat used; gps sat; satellites count; num satellites; "
        "gps num sat; nb sat; satelliten; no of satellites; satellites gps; "
        "locked satellites"
    ),
    "fix_type": ("fix type; fix mode; gps fix; gps fix type; fix; fixtype; fix quality; gps fix quality; gps mode"),
    "heart_rate_bpm": (
        "heart rate; heartrate; hr; heart; hrate; puls; pulse; bpm; herzfrequenz; heart rate bpm; hr bpm"
    ),
    "cadence_rpm": "cadence; cad; caden; bike cadence; cadence rpm; trittfrequenz",
    "power_w": "power; watts; watt; power w; leistung; bike power",
    "temperature_degc": (
        "temperature; temp; ambient temperature; ambient temp; air temperature; air temp; atemp; outside "
        "temperature; oat"
    ),
    **{
        f"acceleration_{a}_mps2": (
            f"acceleration {a}; accelerometer {a}; accel {a}; acc {a}; {a} acceleration; {a} accel; {a} acc; a{a}; "
            f"imu acc {a}; imu accel {a}; accl {a}; acc{a}; accel{a}; g force {a}; gforce {a}; {a} g force; g {a}"
        )
        for a in "xyz"
    },
    **{
        f"rotation_rate_{a}_radps": (
            f"rotation rate {a}; gyroscope {a}; gyro {a}; {a} gyro; gyr {a}; rotation {a}; {a} rate of rotation; "
            f"rate of rotation {a}; imu gyro {a}; gyro{a}; angular velocity {a}; {a} rotation rate; rot {a}"
        )
        for a in "xyz"
    },
}
ALIASES = {name: tuple(key.strip() for key in keys.split(";")) for name, keys in _KEYS.items()}
"""Keys by channel, the more certain ones first: where several columns fit, the first key wins."""

_DEFAULT_UNITS = {"speed_mps": "m/s", "altitude_m": "m"}
"""Taken, and said so, where the file names no unit."""
_DIMENSIONLESS = frozenset({"hdop", "satellites"})
_NEEDS_UNIT = ("acceleration_", "rotation_rate_")
"""Without a unit such a column stays under its own name: nobody can tell g from m/s²."""

_RESERVED = frozenset({LATITUDE, LONGITUDE, "timestamp", "source_row", "flags", "fix_type"})
_NOTHING: Mapping[Any, Any] = MappingProxyType({})
_LATITUDE_WORDS = frozenset({"latitude", "lat"})
_LONGITUDE_WORDS = frozenset({"longitude", "lon", "lng", "long"})
_NO_POSITION = frozenset(
    {"acc", "accel", "acceleration", "accuracy", "ac", "g", "error", "err", "std", "sigma", "delta", "diff"}
)


@dataclass(frozen=True, slots=True)
class Column:
    """One column that is kept.

    Attributes
    ----------
    index : its place in the file.
    field : the Arrow field it becomes.
    conversion : from the file's unit into the field's.
    """

    index: int
    field: pa.Field
    conversion: Conversion = field(default_factory=Conversion)


@dataclass(frozen=True, slots=True)
class Columns:
    """What is kept of a table.

    Attributes
    ----------
    latitude, longitude : column numbers, None where there is none.
    numbers : every other kept column with its channel.
    inferred : units that were taken and not read.
    fix_type : column that tells the kind of fix.
    lap : column that numbers the laps; it is one of `numbers`, too.
    dropped : names of columns of text, which no stream has a place for.
    """

    latitude: int | None
    longitude: int | None
    numbers: tuple[Column, ...]
    fix_type: int | None
    lap: int | None
    inferred: tuple[str, ...]
    dropped: tuple[str, ...]


def key_of(name: str) -> str:
    """A name's words in lower case: `GPS_Speed`, `gpsSpeed` → ``gps speed``; `LATITUDE N/S` → ``latitude n s``."""
    words = re.sub(r"(?<=[a-zà-ÿ])(?=[A-Z][a-z])|(?<=[a-z]{2})(?=[A-Z])", " ", name)
    return " ".join(re.findall(r"[^\W_]+", words.lower()))


def unit_suffix(key: str) -> tuple[str, str]:
    """`speed km h` and `alt ft` to key and unit; the unit is empty where the last words are none."""
    words = key.split()
    for count in (2, 1):
        if len(words) > count:
            unit = "/".join(words[-count:])
            if is_unit(unit):
                return " ".join(words[:-count]), unit
    return key, ""


def count_essential(names: Sequence[str]) -> int:
    """How many of latitude, longitude and time a row of names contains: the mark of a header."""
    keys = [key_of(re.sub(r"[\[(].*", "", name)) for name in names]
    found = _position(keys)
    time = any(re.search(r"\b(time|timestamp|date|datetime|utc|epoch|zeit)\b", key) for key in keys)
    known = any(key in keys_ for key in keys for keys_ in ALIASES.values())
    return 2 * sum(place is not None for place in found) + time + known


def find_positions(layout: Layout, aliases: Mapping[str, tuple[str, ...]] = _NOTHING) -> tuple[int | None, int | None]:
    """The columns of latitude and longitude; None where there is none."""
    return _position([key_of(name) for name in layout.header], aliases)


def map_columns(
    layout: Layout,
    *,
    taken: Iterable[int] = (),
    aliases: Mapping[str, tuple[str, ...]] = _NOTHING,
    units: Mapping[str, str] = _NOTHING,
    own_names: Mapping[int, str] = _NOTHING,
    lap_keys: Sequence[str] = (),
) -> Columns:
    """Decides for every column of a table what it becomes.

    Parameters
    ----------
    taken : columns that hold time.
    aliases : a known program's keys by channel, which win over the general ones.
    units : a known program's units by channel, where the file names none.
    own_names : names for columns whose header is not unique.
    lap_keys : keys of the column that numbers the laps.
    """
    taken = frozenset(taken)
    keys = [key_of(name) for name in layout.header]
    latitude, longitude = _position(keys, aliases)
    used = taken | {i for i in (latitude, longitude) if i is not None}
    by_key = _by_key(keys, layout)
    fix_type = next(
        (i for a in ALIASES["fix_type"] for i, _ in by_key.get(a, ()) if i not in used and layout.column(i)), None
    )
    used |= {i for i in (fix_type,) if i is not None}
    canonical, inferred = _canonical(layout, by_key, used, aliases, units)
    used |= {column.index for column in canonical}
    others, dropped = _others(layout, used, {column.field.name for column in canonical}, own_names)
    lap = next((keys.index(key) for key in lap_keys if key in keys and _is_numeric(layout, keys.index(key))), None)
    if lap in taken:
        lap = None
    return Columns(latitude, longitude, (*canonical, *others), fix_type, lap, tuple(inferred), tuple(dropped))


def _canonical(
    layout: Layout,
    by_key: Mapping[str, list[tuple[int, str]]],
    used: frozenset[int],
    aliases: Mapping[str, tuple[str, ...]],
    units: Mapping[str, str],
) -> tuple[list[Column], list[str]]:
    """The columns that are channels of the vocabulary, and what was inferred of their units."""
    found: list[Column] = []
    inferred: list[str] = []
    for name, general in ALIASES.items():
        if name in (LATITUDE, LONGITUDE, "fix_type"):
            continue
        wanted = (*aliases.get(name, ()), *general)
        for index, unit in (candidate for alias in wanted for candidate in by_key.get(alias, ())):
            if index in used or not _is_numeric(layout, index):
                continue
            column, sentence = _channel(name, index, unit, layout, units.get(name, ""))
            if column is not None:
                found.append(column)
                used = used | {index}
                inferred += [sentence] if sentence else []
                break
    return found, inferred


def _others(
    layout: Layout, used: frozenset[int], names: set[str], own_names: Mapping[int, str]
) -> tuple[list[Column], list[str]]:
    """The remaining columns of numbers under their own names, and the names of those of text."""
    names = names | _RESERVED
    found: list[Column] = []
    dropped: list[str] = []
    for index, name in enumerate(layout.header):
        if index in used or (not name and not layout.column(index)):
            continue
        if not _is_numeric(layout, index):
            dropped.append(name or f"column {index + 1}")
            continue
        unique = _unique(own_names.get(index) or name or f"column {index + 1}", names)
        names.add(unique)
        found.append(Column(index, channel_field(unique, layout.units[index], name)))
    return found, dropped


def _by_key(keys: list[str], layout: Layout) -> dict[str, list[tuple[int, str]]]:
    """Columns by their key, and by it without the unit that it ends in; each with its unit."""
    found: dict[str, list[tuple[int, str]]] = {}
    for index, key in enumerate(keys):
        bare, unit = unit_suffix(key)
        found.setdefault(key, []).append((index, layout.units[index] or unit or (key if is_unit(key) else "")))
        if unit:
            found.setdefault(bare, []).append((index, layout.units[index] or unit))
    return found


def _channel(name: str, index: int, unit: str, layout: Layout, known_unit: str) -> tuple[Column | None, str]:
    """The column as the canonical channel `name`, or None where its unit does not fit."""
    channel = CHANNELS[name]
    if name in _DIMENSIONLESS:
        if unit and is_unit(unit):
            return None, ""
        return Column(index, channel.field), ""
    if unit and (into := conversion(unit, channel.unit)) is not None:
        return Column(index, channel.field, into), ""
    if unit and (is_unit(unit) or unit.upper() == "DOP"):
        return None, ""
    if known_unit and (into := conversion(known_unit, channel.unit)) is not None:
        return Column(index, channel.field, into), ""
    if name.startswith(_NEEDS_UNIT):
        return None, ""
    sentence = ""
    if name in _DEFAULT_UNITS:
        sentence = f"No unit is given for {layout.header[index]!r}: {_DEFAULT_UNITS[name]} was taken."
    return Column(index, channel.field), sentence


def _position(keys: list[str], aliases: Mapping[str, tuple[str, ...]] = _NOTHING) -> tuple[int | None, int | None]:
    latitude = _first(keys, aliases.get(LATITUDE, ()), ALIASES[LATITUDE])
    longitude = _first(keys, aliases.get(LONGITUDE, ()), ALIASES[LONGITUDE])
    if latitude is None:
        latitude = _by_words(keys, _LATITUDE_WORDS)
    if longitude is None:
        longitude = _by_words(keys, _LONGITUDE_WORDS)
    return latitude, longitude


def _first(keys: list[str], *aliases: tuple[str, ...]) -> int | None:
    for names in aliases:
        for alias in names:
            if alias in keys:
                return keys.index(alias)
    return None


def _by_words(keys: list[str], words: frozenset[str]) -> int | None:
    for index, key in enumerate(keys):
        found = set(key.split())
        if found & words and not found & _NO_POSITION:
            return index
    return None


def _is_numeric(layout: Layout, index: int) -> bool:
    """True where most of the sample's cells are numbers, or it has none to judge by."""
    cells = layout.column(index)
    if index in layout.units_in_cells:
        return True
    numbers = sum(is_number(cell) and not cell[-1:].isalpha() for cell in cells)
    return 2 * numbers >= len(cells)


def _unique(name: str, names: set[str]) -> str:
    copies, unique = 1, name
    while unique in names:
        copies += 1
        unique = f"{name} ({copies})"
    return unique

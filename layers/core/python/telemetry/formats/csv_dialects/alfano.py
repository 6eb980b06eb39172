"""Alfano (karting): a semicolon table with `Lat.` and `Lon.`, whose `Time` begins again with every lap.

Sources: column names and forms as public readers of the exports for spreadsheets take them
(`Lap;Time;RPM;Speed GPS;Gf. X;…;Orientation;Lat.;Lon.;Altitude`): seconds, km/h, the lap's number in its first row at
least. Such a table tells no date; the names that the program gives its files do: `…_150624_10H00_…`.
"""

from telemetry.formats.csv_columns import key_of
from telemetry.formats.csv_dialect import Layout
from telemetry.formats.csv_dialects.program import Program, has_columns
from telemetry.formats.reader import FileDevice

_HEADINGS = ("orientation", "gps heading")
_columns = has_columns("Lap", "Time", "Lat.", "Lon.")


def _headings(layout: Layout) -> list[float]:
    """The sample's headings as they are written, in hundredths of a degree or, in files of other tools, in degrees."""
    index = next((i for i, name in enumerate(layout.header) if key_of(name) in _HEADINGS), None)
    plain = [] if index is None else [cell.replace(",", "") for cell in layout.column(index)]
    return [float(cell) for cell in plain if cell.replace(".", "", 1).isdigit()]


def _matches(layout: Layout) -> bool:
    named = any(key_of(name) in (*_HEADINGS, "gf x") for name in layout.header)
    return layout.delimiter == ";" and named and "Lat." in layout.header and _columns(layout)


def _matches_with_hundredths(layout: Layout) -> bool:
    return _matches(layout) and max(_headings(layout), default=0.0) > 360


_UNITS = {"speed_mps": "km/h", "altitude_m": "m"}

PROGRAMS = tuple(
    Program(
        title="Alfano CSV",
        matches=matches,
        units={**_UNITS, "course_deg": heading_unit},
        aliases={"course_deg": _HEADINGS, "speed_mps": ("speed gps", "gps speed")},
        time_keys=("time",),
        lap_keys=("lap",),
        restarts_by_lap=True,
        device=lambda layout: FileDevice(manufacturer="Alfano"),
    )
    for matches, heading_unit in ((_matches_with_hundredths, "1e-2deg"), (_matches, "deg"))
)

"""Avionics, flight loggers and trackers: Garmin G1000/G3X, ForeFlight, FlySight, Flightradar24.

Sources: Garmin G1000 data log (`#airframe_info`, feet and knots, local time with `UTCOfst`); ForeFlight track log
export (feet and knots); FlySight user manual (units row, UTC); Flightradar24's CSV export (`Position` holds latitude
and longitude, feet and knots).
"""

import re

from telemetry.formats.csv_columns import LATITUDE, LONGITUDE
from telemetry.formats.csv_dialect import Layout
from telemetry.formats.csv_dialects.program import Program, has_columns, preamble_says
from telemetry.formats.reader import FileDevice


def _airframe(layout: Layout) -> FileDevice | None:
    for line in layout.preamble:
        name = re.search(r'airframe_name="([^"]*)"', line)
        if line.startswith("#airframe_info"):
            return FileDevice(manufacturer="Garmin", model="G1000", name=name[1] if name else None)
    return None


_avionics_preamble = preamble_says(r"airframe_info")
_avionics_columns = has_columns("Lcl Date", "Lcl Time", "UTCOfst")


def _avionics(layout: Layout) -> bool:
    return _avionics_preamble(layout) or _avionics_columns(layout)


PROGRAMS = (
    Program(
        title="Garmin avionics log",
        matches=_avionics,
        units={"speed_mps": "kt", "altitude_m": "ft", "vertical_speed_mps": "fpm"},
        aliases={
            "altitude_m": ("alt msl", "altmsl"),
            "speed_mps": ("gnd spd",),
            "course_deg": ("trk",),
            "horizontal_accuracy_m": ("hal",),
        },
        time_keys=("lcl date", "lcl time"),
        device=_airframe,
    ),
    Program(
        title="ForeFlight track log",
        matches=has_columns("Timestamp", "Latitude", "Longitude", "Course", "Bank", "Pitch"),
        units={"speed_mps": "kt", "altitude_m": "ft"},
        time_keys=("timestamp",),
    ),
    Program(
        title="FlySight CSV",
        matches=has_columns("time", "lat", "lon", "hMSL", "velN", "velE", "velD"),
        aliases={"altitude_m": ("hmsl",)},
        utc=True,
        device=lambda layout: FileDevice(manufacturer="FlySight"),
    ),
    Program(
        title="Flightradar24 CSV",
        matches=has_columns("Timestamp", "UTC", "Callsign", "Position"),
        aliases={LATITUDE: ("position",), LONGITUDE: ("position",)},
        units={"speed_mps": "kt", "altitude_m": "ft"},
        time_keys=("timestamp",),
    ),
)

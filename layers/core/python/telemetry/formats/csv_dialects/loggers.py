"""GNSS loggers and bicycle sensors: Columbus, MTK (iBlue, Qstarz), OpenBikeSensor, OpenLog Artemis.

Sources: Columbus V-900 and P-10 manuals (km/h, UTC, one letter for the hemisphere); MTK logger utilities (km/h, UTC);
OpenBikeSensor CSV format 2 (km/h; `TimeZone=GPS` is GPS time); SparkFun OpenLog Artemis, sensor u-blox GNSS (numbers
of NAV-PVT as they are: mm, mm/s, 1e-7°, 1e-5°; its own clock, `rtc…`, is set by hand).
"""

import re

from telemetry.formats.csv_dialect import Layout
from telemetry.formats.csv_dialects.program import Program, has_columns, preamble_says
from telemetry.formats.dates import DateOrder
from telemetry.formats.reader import FileDevice


def _bicycle_sensor(layout: Layout) -> FileDevice | None:
    match = re.search(r"DeviceId=([^&;,]+)", "\n".join(layout.preamble))
    return FileDevice(manufacturer="OpenBikeSensor", serial_number=match[1] if match else None)


def _artemis(layout: Layout) -> bool:
    return any({f"gps_{name}", "gps_GroundSpeed"} <= set(layout.header) for name in ("Lat", "Latitude"))


PROGRAMS = (
    Program(
        title="Columbus logger CSV",
        matches=has_columns("INDEX", "TAG", "DATE", "TIME", "LATITUDE N/S", "LONGITUDE E/W"),
        units={"speed_mps": "km/h", "altitude_m": "m"},
        date_order=DateOrder.YYMMDD,
        utc=True,
        device=lambda layout: FileDevice(manufacturer="Columbus"),
    ),
    Program(
        title="MTK logger CSV",
        matches=has_columns("INDEX", "RCR", "DATE", "TIME", "VALID"),
        units={"speed_mps": "km/h", "altitude_m": "m"},
        utc=True,
    ),
    Program(
        title="OpenBikeSensor CSV",
        matches=preamble_says(r"OBSDataFormat="),
        units={"speed_mps": "km/h", "altitude_m": "m"},
        utc=True,
        gps_time=preamble_says(r"TimeZone=GPS"),
        device=_bicycle_sensor,
    ),
    Program(
        title="OpenLog Artemis CSV",
        matches=_artemis,
        units={"speed_mps": "mm/s", "altitude_m": "mm", "course_deg": "1e-5deg"},
        aliases={"altitude_m": ("gps alt msl",), "speed_mps": ("gps ground speed",)},
        time_keys=("gps date", "gps time"),
        utc=True,
        device=lambda layout: FileDevice(manufacturer="SparkFun", model="OpenLog Artemis"),
    ),
)

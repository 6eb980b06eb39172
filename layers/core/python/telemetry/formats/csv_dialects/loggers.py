"""Handheld GNSS loggers and bicycle sensors: Columbus, MTK (iBlue, Qstarz), OpenBikeSensor, GPSBabel's own tables.

Sources: Columbus V-900 and P-10 manuals (km/h, UTC, one letter for the hemisphere); MTK logger utilities (km/h, UTC);
OpenBikeSensor CSV format 2 (km/h; `TimeZone=GPS` is GPS time); GPSBabel `unicsv` (m/s).
"""

import re

from telemetry.formats.csv_dates import DateOrder
from telemetry.formats.csv_dialect import Layout
from telemetry.formats.csv_dialects.program import Program, has_columns, preamble_says
from telemetry.formats.reader import FileDevice


def _bicycle_sensor(layout: Layout) -> FileDevice | None:
    match = re.search(r"DeviceId=([^&;,]+)", "\n".join(layout.preamble))
    return FileDevice(manufacturer="OpenBikeSensor", serial_number=match[1] if match else None)


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
)

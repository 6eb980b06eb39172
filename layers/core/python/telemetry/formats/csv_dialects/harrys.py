"""Harry's LapTimer: `SPEED_KPH`, `HEIGHT_M`, enumerations in brackets (`GPSFIX[NOFIX/2D/3D/UNKNOWN]`), `14-AUG-16`.

Source: exports of Harry's GPS LapTimer. Each lap has its `LAPINDEX`; the clock is that of the phone.
"""

from telemetry.formats.csv_dialect import Layout
from telemetry.formats.csv_dialects.program import Program, has_columns, preamble_says
from telemetry.formats.csv_laps import LapEdges

_named = preamble_says(r"Harry's (GPS )?LapTimer")
_columns = has_columns("LAPINDEX", "TIME_LAP", "LATITUDE")


def _matches(layout: Layout) -> bool:
    return _named(layout) or _columns(layout)


PROGRAMS = (
    Program(
        title="Harry's LapTimer CSV",
        matches=_matches,
        units={"speed_mps": "km/h", "altitude_m": "m"},
        time_keys=("date", "time"),
        lap_keys=("lapindex",),
        lap_edges=LapEdges.WHOLE,
    ),
)

"""RaceBox: `Record,Time,Latitude,…,GForceX,…,Lap,GyroX`, with or without rows of metadata before.

Source: exports of the RaceBox app. Rotation is in degrees per second, G forces in g. Speed has the unit that its
owner chose in the app, unnamed: it is told by the positions, or taken as km/h, the app's first choice.
"""

from telemetry.formats.csv_dialect import Layout
from telemetry.formats.csv_dialects.program import Program, has_columns, preamble_says, preamble_value
from telemetry.formats.reader import FileDevice

_columns = has_columns("Record", "Time", "Latitude", "Longitude", "Lap")
_forces = has_columns("GForceX", "GForceZ", "Latitude")
_named = preamble_says(r"RaceBox")


def _matches(layout: Layout) -> bool:
    return _columns(layout) or _forces(layout) or _named(layout)


def _device(layout: Layout) -> FileDevice:
    source = preamble_value(layout, "Data Source") or ""
    model, _, serial = source.rpartition(" ")
    if model and serial.isdigit():
        return FileDevice(manufacturer="RaceBox", model=model, serial_number=serial)
    return FileDevice(manufacturer="RaceBox", model=source or None)


PROGRAMS = (
    Program(
        title="RaceBox CSV",
        matches=_matches,
        units={
            "speed_mps": "km/h",
            **{f"acceleration_{axis}_mps2": "g" for axis in "xyz"},
            **{f"rotation_rate_{axis}_radps": "deg/s" for axis in "xyz"},
        },
        speed_unit_varies=True,
        aliases={f"acceleration_{axis}_mps2": (f"gforce {axis}", f"g force {axis}", f"gforce{axis}") for axis in "xyz"},
        time_keys=("time",),
        utc=True,
        device=_device,
    ),
)

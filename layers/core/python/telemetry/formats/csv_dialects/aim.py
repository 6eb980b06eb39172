"""AiM Race Studio and MoTeC: metadata rows `name,value`, then names, then units; elapsed seconds from date and time.

Source: exports of Race Studio 3 (`Format,AiM CSV File`) and MoTeC i2 (`"Format","MoTeC CSV File"`). The clock is local.
"""

import re

from telemetry.formats.csv_dialect import Layout, split
from telemetry.formats.csv_dialects.program import Program, preamble_says, preamble_value
from telemetry.formats.reader import FileDevice


def _beacons(layout: Layout) -> list[float]:
    for line in layout.preamble:
        cells = split(line, layout.delimiter)
        if cells and cells[0].lower() == "beacon markers":
            values = [cell for value in cells[1:] for cell in value.split()]
            return [float(value) for value in values if re.fullmatch(r"\d+(\.\d+)?", value)]
    return []


def _motec_device(layout: Layout) -> FileDevice | None:
    model = preamble_value(layout, "Device")
    return FileDevice(manufacturer="MoTeC", model=model) if model else None


PROGRAMS = (
    Program(
        title="AiM CSV",
        matches=preamble_says(r"\bAiM CSV File"),
        time_keys=("time",),
        device=lambda layout: FileDevice(manufacturer="AiM"),
        beacons=_beacons,
    ),
    Program(
        title="MoTeC CSV",
        matches=preamble_says(r"\bMoTeC CSV File"),
        time_keys=("time",),
        device=_motec_device,
        beacons=_beacons,
    ),
)

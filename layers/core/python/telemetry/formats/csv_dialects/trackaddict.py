"""TrackAddict (RaceRender data): comments between the rows; `# Lap N: time` ends a lap; `GPS_Update` marks real fixes.

Source: files of TrackAddict 4. Accelerations are in g.
"""

import re

from telemetry.formats.csv_dialect import Layout
from telemetry.formats.csv_dialects.program import Program, preamble_says
from telemetry.formats.reader import FileDevice


def _device(layout: Layout) -> FileDevice | None:
    """`[samsung SM-N960F]` names the maker first; `[iPhone10,5]` is Apple's name of a model."""
    for line in layout.preamble:
        if match := re.search(r"TrackAddict [\d.]+ on [^\[]*\[([^\]]+)\]", line):
            maker, _, model = match[1].rpartition(" ") if "," in match[1] else match[1].partition(" ")
            if model:
                return FileDevice(manufacturer=maker or "Apple", model=model)
            return FileDevice(model=maker)
    return None


PROGRAMS = (
    Program(
        title="TrackAddict CSV",
        matches=preamble_says(r"RaceRender Data"),
        units={f"acceleration_{axis}_mps2": "g" for axis in "xyz"},
        time_keys=("utc time",),
        utc=True,
        device=_device,
        lap_keys=(),
        lap_comment=re.compile(r"#\s*Lap (?P<number>\d+):\s*(?P<time>[\d:.]+)"),
        fix_key="gps update",
    ),
)

"""RaceChrono: v3 (names, units and sources in three rows), v2 (`Speed (m/s) *calc`), and the legacy export.

Source: files of RaceChrono Pro v9 and v7; `timestamp` and `Time (s)` are Unix seconds. Names repeat: the source row
tells them apart, and GNSS sources win over calculated and OBD ones because they stand first.
"""

import re
from collections.abc import Mapping

from telemetry.formats.csv_dialect import Layout
from telemetry.formats.csv_dialects.program import Program, preamble_says
from telemetry.formats.csv_laps import LapEdges
from telemetry.formats.reader import FileDevice

_banner = preamble_says(r"created using RaceChrono")


def _version(layout: Layout) -> int | None:
    for line in layout.preamble:
        if match := re.match(r'"?Format"?,\s*"?(\d+)', line):
            return int(match[1])
    return None


def _device(layout: Layout) -> FileDevice | None:
    for line in layout.preamble:
        if match := re.search(r"using (RaceChrono\w*(?: Pro)?)", line):
            return FileDevice(manufacturer="RaceChrono", model=match[1])
    return None


def _sources(layout: Layout) -> Mapping[int, str]:
    """`speed` of the source `200: obd` becomes `speed (200: obd)`; GNSS columns keep their names."""
    if not layout.notes:
        return {}
    return {
        index: f"{layout.header[index]} ({source})"
        for index, source in enumerate(layout.notes[-1])
        if source and not source.endswith("gps") and layout.header[index]
    }


def _legacy(layout: Layout) -> bool:
    """`Lap #,Timestamp (s),…` from the first line on."""
    return layout.header[:1] == ("Lap #",) and layout.header[1:2] in (("Timestamp",), ("Timestamp (s)",))


_LAPS = ("lap number", "lap")

PROGRAMS = (
    Program(
        title="RaceChrono CSV v3",
        matches=lambda layout: _banner(layout) and _version(layout) == 3,
        time_keys=("timestamp",),
        device=_device,
        own_names=_sources,
        lap_keys=_LAPS,
        lap_edges=LapEdges.BOUNDED,
    ),
    Program(
        title="RaceChrono CSV v2",
        matches=_banner,
        time_keys=("time", "timestamp"),
        device=_device,
        lap_keys=_LAPS,
        lap_edges=LapEdges.BOUNDED,
    ),
    Program(
        title="RaceChrono CSV (legacy)",
        matches=_legacy,
        time_keys=("timestamp", "timestamp s"),
        lap_keys=_LAPS,
        lap_edges=LapEdges.BOUNDED,
    ),
)

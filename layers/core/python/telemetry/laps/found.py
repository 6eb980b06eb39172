"""The laps of one canonical track by whoever knows best: the owner's line, the file's laps, the file's line, the track
itself. Pure; Arrow in, laps out."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from telemetry.domain.laps import START_FINISH
from telemetry.laps.crossings import Line
from telemetry.laps.detection import detect, passages
from telemetry.laps.file_laps import laps_of_file
from telemetry.laps.lap import GivenLap, Lap, LapKind
from telemetry.laps.motion import Motion, motion_of

_SURELY_LAPS = 3
MOST_FIXES = 4_000_000
"""More fixes than that (nearly five days at 10 Hz) are thinned out, so that memory stays bounded."""


@dataclass(frozen=True, slots=True)
class LinesGiven:
    """A start/finish line and the lines of the sectors, as somebody gave them."""

    start_finish: Line
    sectors: tuple[Line, ...] = ()


@dataclass(frozen=True, slots=True)
class TrackLaps:
    """The laps of a track, the line that they were measured at (None for laps of the file), and the motion."""

    laps: tuple[Lap, ...]
    line: Line | None
    motion: Motion | None


def find_laps(
    metadata: Mapping[str, Any],
    batches: Callable[[], Iterable[pa.RecordBatch]],
    rows: int,
    owner_lines: LinesGiven | None = None,
) -> TrackLaps:
    """The laps of a track.

    A line that the owner gave wins over all. Else laps that the file brings are believed; else the file's own line
    counts, provided that laps pass it: files carry lines of other circuits. Else a circuit is looked for.

    Parameters
    ----------
    metadata : what a `gnss_pvt` file says of itself; `laps` and `gates` count here.
    batches : gives the track, of `telemetry.laps.motion.COLUMNS` at least, ordered by time; called up to twice.
    rows : of the track.
    """
    motion = motion_of(_thinned(batches(), rows))
    if owner_lines is not None:
        found = detect(motion, owner_lines.start_finish, owner_lines.sectors)
        return TrackLaps(found.laps, owner_lines.start_finish, motion)
    given = given_laps(metadata)
    if given:
        return TrackLaps(laps_of_file(given, batches(), motion), None, motion)
    lines = lines_of_file(metadata)
    at_file_lines: tuple[Lap, ...] = ()
    if lines is not None and motion is not None:
        line = _wide_enough(motion, lines.start_finish)
        beside = line is not lines.start_finish
        lines = LinesGiven(line, lines.sectors)
        at_file_lines = detect(motion, line, lines.sectors, may_widen_sectors=beside).laps
        if _timed(at_file_lines) >= _SURELY_LAPS:
            return TrackLaps(at_file_lines, lines.start_finish, motion)
    found = detect(motion)
    if lines is not None and _timed(at_file_lines) > 0 and _timed(found.laps) <= 2 * _timed(at_file_lines):
        return TrackLaps(at_file_lines, lines.start_finish, motion)
    return TrackLaps(found.laps, found.line, motion)


def _timed(laps: Sequence[Lap]) -> int:
    return sum(lap.kind is LapKind.TIMED for lap in laps)


def _wide_enough(motion: Motion, line: Line) -> Line:
    """The file's start/finish line, twice as long where only so all laps pass it: drawn on a map or driven with another
    receiver, the lines of a file may lie beside the track."""
    wide = line.widened()
    narrow_count, wide_count = (passages(motion, one) for one in (line, wide))
    return wide if wide_count >= _SURELY_LAPS and wide_count > 2 * narrow_count else line


def given_laps(metadata: Mapping[str, Any]) -> list[GivenLap]:
    """The laps that a file brought."""
    return [
        GivenLap(lap["number"], datetime.fromisoformat(lap["startTime"]), datetime.fromisoformat(lap["endTime"]))
        for lap in metadata.get("laps") or []
    ]


def lines_of_file(metadata: Mapping[str, Any]) -> LinesGiven | None:
    """The lines that a file brought: the one called start/finish, else the first, and the others as sectors."""
    gates = list(metadata.get("gates") or [])
    if not gates:
        return None
    first = next((gate for gate in gates if gate.get("name") == START_FINISH), gates[0])
    return LinesGiven(line_of(first), tuple(line_of(gate) for gate in gates if gate is not first))


def lines_of_owner(gate: Mapping[str, Any] | None) -> LinesGiven | None:
    """The lines that an owner gave: a gate's two ends, and those of its `sectors`."""
    return None if gate is None else LinesGiven(line_of(gate), tuple(line_of(one) for one in gate.get("sectors") or []))


def line_of(gate: Mapping[str, Any]) -> Line:
    """The line between a gate's ends."""
    return Line.between(gate["latitude1Deg"], gate["longitude1Deg"], gate["latitude2Deg"], gate["longitude2Deg"])


def gate_of(line: Line) -> dict[str, float]:
    """A line's ends as a gate."""
    names = ("latitude1Deg", "longitude1Deg", "latitude2Deg", "longitude2Deg")
    return dict(zip(names, line.ends(), strict=True))


def metadata_of(footer: Mapping[bytes, bytes] | None, key: str) -> dict[str, Any]:
    """What a Parquet footer says under our key."""
    told: dict[str, Any] = json.loads((footer or {}).get(key.encode(), b"{}"))
    return told


def _thinned(batches: Iterable[pa.RecordBatch], rows: int) -> Iterable[pa.RecordBatch]:
    stride = -(-rows // MOST_FIXES)
    if stride <= 1:
        return batches
    return (batch.take(pa.array(range(0, batch.num_rows, stride), pa.int64())) for batch in batches)

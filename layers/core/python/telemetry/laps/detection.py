"""Laps of a track: its line, the passages that count, out, timed and in laps, sectors, and their trust. Pure."""

import dataclasses
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from telemetry.laps.circuit import Circuit, find_line, usual_lap
from telemetry.laps.crossings import Crossing, Line, directed_crossings
from telemetry.laps.drift import lap_to_lap_m
from telemetry.laps.dropouts import Gap, bridge, gaps_of
from telemetry.laps.lap import COVERAGE, Lap, LapKind, LapSource
from telemetry.laps.motion import Motion, difference, interpolate
from telemetry.laps.passage import measure_passages
from telemetry.laps.sectors import Span, sector_times

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STOP_S = 10.0
_OFF_LINE_M = 10.0
_LEAST_SPLIT_GAP_S = 10.0


@dataclass(frozen=True, slots=True)
class Detection:
    """What was found: the line that laps are measured at (None without any), and the laps."""

    line: Line | None
    laps: tuple[Lap, ...]


@dataclass(frozen=True, slots=True)
class _Passage:
    """A passage of the line: seconds from the first fix, its own standard deviation, the speed over the line."""

    time_s: float
    sigma_s: float
    speed_mps: float


@dataclass(frozen=True, slots=True)
class _Span:
    """A lap to be: its ends, and the passages there; None at an end that is no passage."""

    kind: LapKind
    start_s: float
    end_s: float
    first: _Passage | None
    last: _Passage | None


def detect(
    motion: Motion | None,
    line: Line | None = None,
    sector_lines: Sequence[Line] = (),
    *,
    may_widen_sectors: bool = False,
) -> Detection:
    """Finds the laps.

    Parameters
    ----------
    motion : None has no laps.
    line : the start/finish line; None to find a circuit and a place for its line.
    sector_lines : lines that divide each lap, in any order.
    may_widen_sectors : where those lie beside the track.
    """
    if motion is None:
        return Detection(line, ())
    given = line is not None
    line = line or find_line(motion)
    if line is None:
        return Detection(None, ())
    line, crossings = directed_crossings(motion, line)
    if len(crossings) < (1 if given else 2):
        return Detection(line if given else None, ())
    circuit = usual_lap(motion, crossings)
    gaps = gaps_of(motion)
    passages = _passages(motion, line, crossings, circuit, gaps)
    spans = _spans(motion, passages, circuit, gaps, given=given)
    wander_m = lap_to_lap_m(motion, circuit)
    sectors = _sector_times(motion, spans, sector_lines, may_widen=may_widen_sectors)
    return Detection(line, tuple(_laps(motion, spans, wander_m, sectors)))


def passages(motion: Motion, line: Line) -> int:
    """How often laps pass a line."""
    return len(directed_crossings(motion, line)[1])


def _passages(
    motion: Motion, line: Line, crossings: list[Crossing], circuit: Circuit | None, gaps: list[Gap]
) -> list[_Passage]:
    measured = measure_passages(motion, line.frame, pa.array([one.time_s for one in crossings], pa.float64()))
    # Whatever a fit says: the passage lies between two fixes.
    sigmas = [
        min(sigma, _bracket_s(motion, one) + measured.noise_m / max(one.speed_mps, 0.5))
        for sigma, one in zip(pc.divide(measured.sigma_m, measured.speed_mps).to_pylist(), crossings, strict=True)
    ]
    found = [
        _Passage(*values)
        for values in zip(measured.time_s.to_pylist(), sigmas, measured.speed_mps.to_pylist(), strict=True)
    ]
    if circuit is None or not gaps:
        return found
    usual_speed = sorted(one.speed_mps for one in found)[len(found) // 2]
    for bridged in bridge(motion, line, crossings, circuit.duration_s, gaps):
        passage = _Passage(bridged.time_s, bridged.sigma_s, usual_speed)
        same = [i for i, one in enumerate(found) if bridged.gap.start_s - 1 <= one.time_s <= bridged.gap.end_s + 1]
        if not same:
            found.append(passage)
        elif found[same[0]].sigma_s > passage.sigma_s:
            found[same[0]] = passage
    return sorted(found, key=lambda one: one.time_s)


def _bracket_s(motion: Motion, crossing: Crossing) -> float:
    """Seconds between the two fixes around a crossing."""
    row = min(max(pc.search_sorted(motion.time_s, crossing.time_s).as_py(), 1), len(motion) - 1)
    length: float = motion.time_s[row].as_py() - motion.time_s[row - 1].as_py()
    return length


def _spans(
    motion: Motion, passages: list[_Passage], circuit: Circuit | None, gaps: list[Gap], *, given: bool
) -> list[_Span]:
    spans: list[_Span] = []
    if passages[0].time_s > motion.period_s:
        spans.append(_Span(LapKind.OUT, 0.0, passages[0].time_s, None, passages[0]))
    stops = _stops(motion) if circuit is not None else []
    for first, last in itertools.pairwise(passages):
        spans.extend(_split(motion, _Span(LapKind.TIMED, first.time_s, last.time_s, first, last), circuit, gaps, stops))
    if motion.end_s - passages[-1].time_s > motion.period_s:
        spans.append(_Span(LapKind.IN, passages[-1].time_s, motion.end_s, passages[-1], None))
    return spans if given or circuit is None else [_judged(motion, span, circuit) for span in spans]


def _split(motion: Motion, lap: _Span, circuit: Circuit | None, gaps: list[Gap], stops: list[Gap]) -> list[_Span]:
    """A lap with a long drop-out, or with a stop away from the circuit, is an in lap and an out lap."""
    if circuit is None or lap.end_s - lap.start_s < 1.15 * circuit.duration_s:
        return [lap]
    pauses = [
        stop
        for stop in stops
        if lap.start_s < stop.start_s
        and stop.end_s < lap.end_s
        and circuit.nearest(*motion.place_at((stop.start_s + stop.end_s) / 2))[1] > _OFF_LINE_M
    ]
    pauses += [
        gap
        for gap in gaps
        if lap.start_s < gap.start_s
        and gap.end_s < lap.end_s
        and gap.length_s > max(_LEAST_SPLIT_GAP_S, 0.3 * circuit.duration_s)
    ]
    if not pauses:
        return [lap]
    begin, end = min(pause.start_s for pause in pauses), max(pause.end_s for pause in pauses)
    return [
        _Span(LapKind.IN, lap.start_s, begin, lap.first, None),
        _Span(LapKind.OUT, end, lap.end_s, None, lap.last),
    ]


def _judged(motion: Motion, span: _Span, circuit: Circuit) -> _Span:
    """A way from line to line that is much longer than the circuit went elsewhere: it is not timed."""
    if span.kind is not LapKind.TIMED:
        return span
    begin, end = motion.coarse.distance_at([span.start_s, span.end_s])
    return span if end - begin < 1.25 * circuit.length_m else dataclasses.replace(span, kind=LapKind.OUT)


def _stops(motion: Motion) -> list[Gap]:
    """Stretches of standing, from the first second of it to the last."""
    coarse = motion.coarse
    changes = pc.indices_nonzero(pc.not_equal(difference(coarse.moving.cast(pa.int8())), 0)).to_pylist()
    edges = [0, *(change + 1 for change in changes), len(coarse.row) - 1]
    times = coarse.time_s.take(pa.array(edges, pa.int64())).to_pylist()
    standing = not coarse.moving[0].as_py()
    stops = []
    for begin, end in itertools.pairwise(times):
        if standing and end - begin >= _STOP_S:
            stops.append(Gap(begin, end))
        standing = not standing
    return stops


def _sector_times(
    motion: Motion, spans: list[_Span], lines: Sequence[Line], *, may_widen: bool
) -> list[tuple[float | None, ...]]:
    timed = (Span(span.start_s, span.end_s) for span in spans if span.kind is LapKind.TIMED)
    times = iter(sector_times(motion, tuple(timed), lines, may_widen=may_widen))
    return [next(times) if span.kind is LapKind.TIMED else () for span in spans]


def _laps(motion: Motion, spans: list[_Span], wander_m: float, sectors: list[tuple[float | None, ...]]) -> list[Lap]:
    ends = pa.array([moment for span in spans for moment in (span.start_s, span.end_s)], pa.float64())
    along = interpolate(motion.time_s, motion.distance_m, ends).to_pylist()
    rows = pc.search_sorted(motion.time_s, ends).to_pylist()
    laps = []
    for number, (span, times) in enumerate(zip(spans, sectors, strict=True), 1):
        k = 2 * (number - 1)
        fastest = None
        if motion.speed_mps is not None:
            fastest = pc.max(motion.speed_mps.slice(rows[k], max(rows[k + 1] - rows[k], 1))).as_py()
        laps.append(
            Lap(
                lap_number=number,
                kind=span.kind,
                start_time=_moment(motion, span.start_s),
                end_time=_moment(motion, span.end_s),
                duration_ms=(span.end_s - span.start_s) * 1000,
                duration_uncertainty_ms=_uncertainty_ms(span, wander_m),
                distance_m=along[k + 1] - along[k],
                max_speed_mps=fastest,
                source=LapSource.DETECTED,
                sectors_ms=tuple(None if t is None else t * 1000 for t in times),
            )
        )
    return laps


def _uncertainty_ms(span: _Span, wander_m: float) -> float:
    ends = [end for end in (span.first, span.last) if end is not None]
    variance = sum(end.sigma_s**2 for end in ends)
    speed = sum(end.speed_mps for end in ends) / len(ends)
    # The change of the slow error belongs to both ends together; where one end is a fix, to that one alone.
    variance += (wander_m / speed) ** 2 * len(ends) / 2
    return COVERAGE * math.sqrt(variance) * 1000


def _moment(motion: Motion, seconds: float) -> datetime:
    return _EPOCH + timedelta(microseconds=motion.start_us + round(seconds * 1e6))

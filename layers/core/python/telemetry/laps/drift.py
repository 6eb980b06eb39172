"""How far a receiver's slow error wanders from one lap to the next. Pure.

Noise that changes over tens of seconds moves all fixes around a line together: no fit sees it, but it moves the place
of the next passage against the last one's. Sideways it does the same, and there it shows: at lines all around the
circuit, from one lap to the next. Drivers who vary their path add to it, so this is an upper estimate; what the
receiver states of its accuracy, where it does, bounds it from above too.
"""

import itertools
import math
import statistics
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from telemetry.laps.circuit import Circuit, Node, coarse_motion, line_at, turn
from telemetry.laps.crossings import Line, lap_crossings
from telemetry.laps.motion import Motion, difference, median
from telemetry.laps.passage import measure_passages

_LINES, _FEWER_LINES = 12, 4
_MANY_LAPS = 50
_SURE = 1.4
_CLEAR = 1.25
_NEAR = (-2, -1, 0, 1)
UNKNOWN_M = 1.0
"""Standard deviation between laps where nothing tells: a usual receiver without correction."""
_MOST_M = 3.0
"""Where the receiver states no accuracy: what moves more sideways than that is drivers."""


def lap_to_lap_m(motion: Motion, circuit: Circuit | None) -> float:
    """Standard deviation of the slow error's change over one lap, along one axis, in metres."""
    stated = median(motion.accuracy_m) if motion.accuracy_m is not None else None
    # A horizontal accuracy is a radius: √2 of one axis, and √2 again for the difference of two laps.
    bound = stated or _MOST_M
    seen = _sideways_m(motion, circuit) if circuit is not None else None
    return min(UNKNOWN_M if seen is None else seen, bound)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one line shows: squares of how far passages moved from lap to lap, in m², what white noise adds to each,
    and the standard deviation of single fixes there."""

    squares: list[float]
    white: float
    noise_m: float


def _sideways_m(motion: Motion, circuit: Circuit) -> float | None:
    coarse = coarse_motion(motion)
    # A few laps say more when looked at in many places; many laps need few.
    lines = _LINES if motion.coarse.distance_m[-1].as_py() < _MANY_LAPS * circuit.length_m else _FEWER_LINES
    seen = [_seen(motion, coarse, line_at(motion, node.row), circuit) for node in _straightest(circuit, lines)]
    # The receiver is as noisy everywhere; where fixes seem noisier, a bend goes on between them unseen.
    lines_seen = sorted((one for one in seen if one is not None), key=lambda one: one.noise_m)
    clear = [one for one in lines_seen if one.noise_m < _CLEAR * lines_seen[len(lines_seen) // 3].noise_m]
    squares = sorted(square for one in clear for square in one.squares)
    if not squares:
        return None
    # A lap through the grass is no error of the receiver: squares beyond three deviations count as three.
    usual = squares[len(squares) // 2] / 0.455
    mean = statistics.fmean(min(square, 9 * usual) for square in squares)
    white = statistics.fmean(one.white for one in clear)
    # What so many squares could not tell from white noise is not known to be absent: their probable error.
    return math.sqrt(max(mean - white, 0.6745 * white * math.sqrt(2 / len(squares))))


def _seen(motion: Motion, coarse: Motion, line: Line, circuit: Circuit) -> _Seen | None:
    found = lap_crossings(coarse, line)
    if len(found) < 2:
        return None
    passages = measure_passages(motion, line.frame, pa.array([one.time_s for one in found]))
    gaps = difference(pa.array([one.distance_m for one in found]))
    same = pc.less(pc.abs(pc.subtract(pc.divide(gaps, circuit.length_m), 1.0)), 0.1)
    # Next to a drop-out the place on the line is a guess.
    gain = passages.across_gain
    sure = pc.less(gain, _SURE * pc.quantile(gain, 0.25)[0].as_py())
    moved = difference(passages.across_m)
    moved = moved.filter(pc.and_(same, pc.and_(sure.slice(1), sure.slice(0, len(moved)))))
    if not len(moved):
        return None
    white = 2 * pc.mean(gain.filter(sure)).as_py() * passages.across_noise_m**2
    return _Seen(pc.multiply(moved, moved).to_pylist(), white, passages.across_noise_m)


def _straightest(circuit: Circuit, parts: int) -> list[Node]:
    """Of each part of the lap the node where it bends least: there a fit sees the receiver's errors alone."""
    nodes = circuit.nodes
    count = len(nodes)
    bends = {
        nodes[i].row: sum(
            abs(turn(nodes[(i + k + 1) % count].course_rad - nodes[(i + k) % count].course_rad)) for k in _NEAR
        )
        for i in range(count)
    }
    edges = [index * count // parts for index in range(parts + 1)]
    return [
        min(nodes[begin:end], key=lambda node: bends[node.row])
        for begin, end in itertools.pairwise(edges)
        if begin < end
    ]

"""How far a receiver's slow error wanders from one lap to the next. Pure.

Noise that changes over tens of seconds moves all fixes around a line together: no fit sees it, but it moves the place
of the next passage against the last one's. Sideways it does the same, and there it shows: at lines all around the
circuit, from one lap to the next. Drivers who vary their path add to it, so this is an upper estimate; what the
receiver states of its accuracy, where it does, bounds it from above too.
"""

import itertools
import math

import pyarrow as pa
import pyarrow.compute as pc

from telemetry.laps.circuit import Circuit, Node, coarse_motion, line_at, turn
from telemetry.laps.crossings import lap_crossings
from telemetry.laps.motion import Motion, difference, median
from telemetry.laps.passage import measure_passages

_LINES, _FEWER_LINES = 12, 4
_MANY_LAPS = 50
_SURE = 1.2
_NEAR = (-2, -1, 0, 1)
UNKNOWN_M = 1.0
"""Standard deviation between laps where nothing tells: a usual receiver without correction."""
_MOST_M = 3.0


def lap_to_lap_m(motion: Motion, circuit: Circuit | None) -> float:
    """Standard deviation of the slow error's change over one lap, along one axis, in metres."""
    stated = median(motion.accuracy_m) if motion.accuracy_m is not None else None
    # A horizontal accuracy is a radius: √2 of one axis, and √2 again for the difference of two laps.
    bound = min(_MOST_M, stated) if stated else _MOST_M
    seen = _sideways_m(motion, circuit) if circuit is not None else None
    return min(UNKNOWN_M if seen is None else seen, bound)


def _sideways_m(motion: Motion, circuit: Circuit) -> float | None:
    coarse = coarse_motion(motion)
    squares: list[float] = []
    gains: list[float] = []
    noises: list[float] = []
    # A few laps say more when looked at in many places; many laps need few.
    lines = _LINES if motion.coarse.distance_m[-1].as_py() < _MANY_LAPS * circuit.length_m else _FEWER_LINES
    for node in _straightest(circuit, lines):
        line = line_at(motion, node.row)
        found = lap_crossings(coarse, line)
        if len(found) < 2:
            continue
        passages = measure_passages(motion, line.frame, pa.array([one.time_s for one in found]))
        gaps = difference(pa.array([one.distance_m for one in found]))
        same = pc.less(pc.abs(pc.subtract(pc.divide(gaps, circuit.length_m), 1.0)), 0.1)
        # Next to a drop-out the place on the line is a guess.
        sigma = pc.divide(passages.across_sigma_m, passages.noise_m)
        sure = pc.less(sigma, _SURE * pc.quantile(sigma, 0.25)[0].as_py())
        kept = pc.and_(same, pc.and_(sure.slice(1), sure.slice(0, len(sure) - 1)))
        moved = difference(passages.across_m).filter(kept)
        squares.extend(value * value for value in moved.to_pylist())
        gains.append(pc.mean(pc.multiply(sigma, sigma).filter(sure)).as_py())
        noises.append(passages.noise_m)
    if not squares:
        return None
    squares.sort()
    # A lap through the grass is no error of the receiver: squares beyond three deviations count as three.
    usual = squares[len(squares) // 2] / 0.455
    mean = sum(min(square, 9 * usual) for square in squares) / len(squares)
    # The receiver is as noisy everywhere; where fixes seem noisier, a bend goes on between them unseen.
    noise = sorted(noises)[len(noises) // 4]
    return math.sqrt(max(mean - 2 * noise**2 * sum(gains) / len(gains), 0.0))


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

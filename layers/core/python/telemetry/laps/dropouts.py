"""Passages of the line that fell into a drop-out, told from where the track stops and goes on. Pure."""

import math
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from telemetry.laps.circuit import Circuit
from telemetry.laps.crossings import Crossing
from telemetry.laps.motion import Motion, difference

LEAST_GAP_S = 1.5
_OFF_CIRCUIT_M = 40.0
_MOST_GAPS = 2000


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch of time without a fix, seconds from the first fix."""

    start_s: float
    end_s: float

    @property
    def length_s(self) -> float:
        """How long."""
        return self.end_s - self.start_s


@dataclass(frozen=True, slots=True)
class Bridged:
    """A passage inside a gap, and the standard deviation of its time."""

    crossing: Crossing
    sigma_s: float
    gap: Gap


def gaps_of(motion: Motion) -> list[Gap]:
    """Drop-outs long enough to hide what happens at a line."""
    steps = difference(motion.time_s)
    rows = pc.indices_nonzero(pc.greater(steps, max(LEAST_GAP_S, 3.5 * motion.period_s)))
    begin = motion.time_s.take(rows).to_pylist()
    end = motion.time_s.take(pc.add(rows, pa.scalar(1, pa.uint64()))).to_pylist()
    return [Gap(a, b) for a, b in zip(begin, end, strict=True)]


def bridge(motion: Motion, circuit: Circuit, gaps: list[Gap]) -> list[Bridged]:
    """The passages of the circuit's line inside the gaps.

    A gap holds one when it begins before the line and ends behind it, and lasts about as long as the usual lap needs
    from the one place to the other. The passage then divides the gap as it divides the usual lap's time.
    """
    found: list[Bridged] = []
    for gap in gaps[:_MOST_GAPS]:
        if gap.length_s > circuit.duration_s * 0.8:
            continue
        before_s, off_before = circuit.nearest(*motion.place_at(gap.start_s))
        behind_s, off_behind = circuit.nearest(*motion.place_at(gap.end_s))
        usual = circuit.duration_s - before_s + behind_s
        # Behind the line after the gap, before it before the gap: else this is a gap on the way.
        if max(off_before, off_behind) > _OFF_CIRCUIT_M or behind_s >= before_s:
            continue
        if not 0.6 < gap.length_s / usual < 1.6:
            continue
        moment = gap.start_s + gap.length_s * (circuit.duration_s - before_s) / usual
        uneven = abs(gap.length_s - usual) * 0.5 + 0.03 * gap.length_s
        found.append(
            Bridged(Crossing(moment, 0.0, 0.0, 0.0, motion.coarse.distance_at([moment])[0]), uneven / math.sqrt(3), gap)
        )
    return found

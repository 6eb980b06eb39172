"""Finds the circuit of a track that nobody described, and the place for its start/finish line. Pure.

Where a track passes the same small cell of the plane in the same direction again and again, laps may be driven. A few
such places are tried as lines; those between whose passages always lies the same distance show the circuit. The line
then goes through the fastest point of the longest straight that all laps share.
"""

import itertools
import math
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from telemetry.laps.crossings import LEAST_LAP_S, Crossing, Line, lap_crossings, usual_gaps_m
from telemetry.laps.motion import Coarse, Frame, Motion, difference, median

HALF_WIDTH_M = 25.0
SAME_LENGTH = 0.08
"""How much the length of laps may differ from the usual, as a share: lines, lanes and noise."""
_LEAST_CELL_M, _MOST_CELL_M = 12.0, 60.0
_TRIALS = 12
_MOST_NODES = 400
_ONE_LAP_SHARE = 0.2
"""Of a track, that must be driven twice where a single lap is all there is."""
_LEAST_EXTENT_M = 45.0


@dataclass(frozen=True, slots=True)
class Node:
    """A place of the reference lap; time and row are of the coarse track."""

    row: int
    time_s: float
    x_m: float
    y_m: float
    speed_mps: float
    course_rad: float


@dataclass(frozen=True, slots=True)
class Circuit:
    """A circuit as its most usual lap went: nodes in order of time from one passage of the line to the next."""

    length_m: float
    start_s: float
    duration_s: float
    nodes: tuple[Node, ...]

    def nearest(self, x_m: float, y_m: float) -> tuple[float, float]:
        """The seconds that the lap needs from the line to its place nearest to a point, and the metres between."""
        best, moment = math.inf, 0.0
        turn = self.nodes[0].time_s - self.start_s
        ends = [(a, b, b.time_s) for a, b in itertools.pairwise(self.nodes)]
        ends.append((self.nodes[-1], self.nodes[0], self.start_s + self.duration_s + turn))
        for a, b, end_s in ends:
            dx, dy = b.x_m - a.x_m, b.y_m - a.y_m
            square = dx * dx + dy * dy
            share = min(max(((x_m - a.x_m) * dx + (y_m - a.y_m) * dy) / square, 0.0), 1.0) if square else 0.0
            off = math.hypot(a.x_m + share * dx - x_m, a.y_m + share * dy - y_m)
            if off < best:
                best, moment = off, a.time_s + share * (end_s - a.time_s)
        return (moment - self.start_s) % self.duration_s, best


def coarse_motion(motion: Motion) -> Motion:
    """The track at its coarse fixes only."""
    row = motion.coarse.row
    return Motion(
        motion.start_us,
        motion.time_s.take(row),
        motion.latitude_deg.take(row),
        motion.longitude_deg.take(row),
        None,
        None,
    )


def find_line(motion: Motion) -> Line | None:
    """A line that laps cross, or None where the track has no laps."""
    cells, twice_share = _cells(motion.coarse)
    if not cells:
        return None
    coarse = coarse_motion(motion)
    best: tuple[int, Line, list[Crossing]] | None = None
    for row in _trials(cells):
        line = line_at(motion, row)
        crossings = lap_crossings(coarse, line)
        laps = _alike(crossings)
        if laps and (best is None or laps > best[0]):
            best = laps, line, crossings
    if best is None or (best[0] < 2 and twice_share < _ONE_LAP_SHARE):
        return None
    laps, line, crossings = best
    circuit = usual_lap(motion, crossings)
    if circuit is None or _extent(circuit) < _LEAST_EXTENT_M:
        return None
    for row in _fast_places_on_straights(circuit):
        better = line_at(motion, row)
        found = lap_crossings(coarse, better)
        # Where a recording begins and ends decides whether one lap more or less is whole at this place.
        if _alike(found) >= (laps if laps < 4 else laps - 1):
            return _centred(better, found)
    return _centred(line, crossings)


def line_at(motion: Motion, coarse_row: int) -> Line:
    """The line at a right angle to the track at one of its coarse fixes."""
    coarse = motion.coarse
    row = coarse.row[coarse_row].as_py()
    here = Frame(motion.latitude_deg[row].as_py(), motion.longitude_deg[row].as_py(), 0.0)
    begin = coarse.row[max(coarse_row - 2, 0)].as_py()
    end = coarse.row[min(coarse_row + 2, len(coarse.row) - 1)].as_py()
    ends = pa.array([begin, end])
    north, east = here.along_across(motion.latitude_deg.take(ends), motion.longitude_deg.take(ends))
    course = math.atan2(east[1].as_py() - east[0].as_py(), north[1].as_py() - north[0].as_py())
    return Line(Frame(here.latitude_deg, here.longitude_deg, course), HALF_WIDTH_M)


def usual_lap(motion: Motion, crossings: list[Crossing]) -> Circuit | None:
    """The lap of the usual length and of the middle duration, without drop-outs if there is such."""
    gaps = usual_gaps_m(crossings)
    if not gaps:
        return None
    usual = sorted(gaps)[len(gaps) // 2]
    alike = [i for i, gap in enumerate(gaps) if abs(gap / usual - 1) <= SAME_LENGTH]
    durations = {i: crossings[i + 1].time_s - crossings[i].time_s for i in alike}
    whole = sorted(_most_whole(motion, crossings, alike), key=lambda i: durations[i])
    chosen = whole[len(whole) // 2]
    coarse = motion.coarse
    times = coarse.time_s
    begin = pc.search_sorted(times, crossings[chosen].time_s).as_py()
    end = pc.search_sorted(times, crossings[chosen + 1].time_s).as_py()
    stride = max(1, -(-(end - begin) // _MOST_NODES))
    rows = list(range(begin, end, stride))
    take = pa.array(rows, pa.int64())
    columns = (times, coarse.x_m, coarse.y_m, coarse.speed_mps, coarse.course_rad)
    nodes = tuple(
        Node(*values) for values in zip(rows, *(column.take(take).to_pylist() for column in columns), strict=True)
    )
    return Circuit(usual, crossings[chosen].time_s, durations[chosen], nodes) if len(nodes) >= 4 else None


def _most_whole(motion: Motion, crossings: list[Crossing], laps: list[int]) -> list[int]:
    """Those of the laps whose longest time without a fix is about the shortest."""
    times = motion.coarse.time_s
    steps = difference(times)
    rows = pc.search_sorted(times, pa.array([one.time_s for one in crossings], pa.float64())).to_pylist()
    longest = {i: pc.max(steps.slice(rows[i], max(rows[i + 1] - rows[i], 1))).as_py() or 0.0 for i in laps}
    least = min(longest.values())
    return [i for i in laps if longest[i] <= 1.5 * least]


@dataclass(frozen=True, slots=True)
class _Cell:
    passes: int
    speed_mps: float
    row: int


def _cells(coarse: Coarse) -> tuple[list[_Cell], float]:
    """Cells passed at least twice in one direction, and the share of the moving track that lies in such."""
    moving = coarse.moving
    rows = pc.indices_nonzero(moving).cast(pa.int64())
    if len(rows) < 8:
        return [], 0.0
    x, y, times = coarse.x_m.take(rows), coarse.y_m.take(rows), coarse.time_s.take(rows)
    # Two fixes fit into a cell, also where they are seconds apart.
    apart = max(1.0, 1.5 * (median(difference(coarse.time_s)) or 0.0))
    size = min(max(1.5 * apart * (median(coarse.speed_mps.take(rows)) or 1.0), _LEAST_CELL_M), _MOST_CELL_M)
    sector = pc.round(pc.divide(coarse.course_rad.take(rows), math.pi / 4)).cast(pa.int64())
    sector = pc.bit_wise_and(sector, 7)
    ix, iy = (pc.floor(pc.divide(v, size)).cast(pa.int64()) for v in (x, y))
    # Cells of the whole Earth at this size need fewer than 2²⁴ steps either way.
    key = pc.add(pc.multiply(pc.add(pc.multiply(ix, 1 << 25), iy), 8), sector)
    order = pc.sort_indices(
        pa.table({"key": key, "time": times}), sort_keys=[("key", "ascending"), ("time", "ascending")]
    )
    sorted_key, sorted_time = key.take(order), times.take(order)
    again = pc.or_(pc.not_equal(difference(sorted_key), 0), pc.greater(difference(sorted_time), LEAST_LAP_S))
    begins = pa.concat_arrays([pa.array([True]), again]).cast(pa.int64())
    table = pa.table(
        {"key": sorted_key, "begins": begins, "speed": coarse.speed_mps.take(rows).take(order), "row": rows.take(order)}
    )
    grouped = table.group_by("key", use_threads=False).aggregate(
        [("begins", "sum"), ("speed", "mean"), ("row", "min"), ("key", "count")]
    )
    twice = grouped.filter(pc.greater_equal(grouped["begins_sum"], 2))
    share = (pc.sum(twice["key_count"]).as_py() or 0) / len(rows)
    return [
        _Cell(*values)
        for values in zip(
            twice["begins_sum"].to_pylist(), twice["speed_mean"].to_pylist(), twice["row_min"].to_pylist(), strict=True
        )
    ], share


def _trials(cells: list[_Cell]) -> list[int]:
    """Coarse rows of cells worth trying: the fast ones among those passed most, and of those passed less often, since
    a circuit may use one straight twice a lap."""
    ranked = sorted(cells, key=lambda cell: -cell.passes)
    most = ranked[min(len(ranked) - 1, max(2, len(ranked) // 50))].passes
    chosen: list[int] = []
    for low, high in ((0.8, math.inf), (0.4, 0.8), (0.1, 0.4)):
        level = [
            cell
            for cell in cells
            if max(2.0, low * most) <= cell.passes < high * most or (low == 0.8 and cell.passes >= most)
        ]
        level.sort(key=lambda cell: -cell.speed_mps)
        # The very fastest and some from further down, so that not all lie on one straight.
        stride = max(1, len(level) // _TRIALS)
        chosen.extend(cell.row for cell in level[: _TRIALS // 3])
        chosen.extend(cell.row for cell in level[_TRIALS // 3 :: stride][: 2 * _TRIALS // 3])
    return list(dict.fromkeys(chosen))


def _alike(crossings: list[Crossing]) -> int:
    """How many laps of the usual length lie between the crossings; 0 where they are not most of them."""
    gaps = usual_gaps_m(crossings)
    if not gaps:
        return 0
    usual = sorted(gaps)[len(gaps) // 2]
    alike = sum(abs(gap / usual - 1) <= SAME_LENGTH for gap in gaps)
    return alike if alike * 2 >= len(gaps) else 0


def _extent(circuit: Circuit) -> float:
    xs, ys = [node.x_m for node in circuit.nodes], [node.y_m for node in circuit.nodes]
    return math.hypot(max(xs) - min(xs), max(ys) - min(ys))


def _fast_places_on_straights(circuit: Circuit) -> list[int]:
    """Coarse rows: the fastest point of each of the longest straights, the longest first."""
    nodes = circuit.nodes
    count = len(nodes)
    turns = [turn(nodes[(i + 1) % count].course_rad - nodes[i].course_rad) for i in range(count)]
    steps = [
        math.hypot(nodes[(i + 1) % count].x_m - nodes[i].x_m, nodes[(i + 1) % count].y_m - nodes[i].y_m)
        for i in range(count)
    ]
    straights: list[tuple[float, int, int]] = []
    for begin in range(count):
        # What noise does to the course of a slow runner is no bend.
        tolerance = 0.14 + 0.7 / max(nodes[begin].speed_mps, 1.0)
        course = low = high = length = 0.0
        end = begin
        while end - begin < count - 1:
            course += turns[end % count]
            low, high = min(low, course), max(high, course)
            if high - low > tolerance:
                break
            length += steps[end % count]
            end += 1
        straights.append((length, begin, end))
    straights.sort(reverse=True)
    taken: set[int] = set()
    places: list[int] = []
    for length, begin, end in straights:
        inside = [i % count for i in range(begin, end + 1)]
        if length <= 0 or taken & set(inside):
            continue
        taken.update(inside)
        edge = min(len(inside) // 6, len(inside) // 2)
        core = inside[edge : len(inside) - edge] or inside
        # The straight's inner part, and there between neighbours as fast: the course is cleanest.
        places.append(nodes[max(core, key=lambda i: _smooth_speed(nodes, i))].row)
        if len(places) == 4:
            break
    return places


def _smooth_speed(nodes: tuple[Node, ...], at: int) -> float:
    count = len(nodes)
    return sum(nodes[(at + step) % count].speed_mps for step in (-2, -1, 0, 1, 2))


def turn(angle: float) -> float:
    """A difference of courses, between half a turn to the left and half a turn to the right."""
    return (angle + math.pi) % (2 * math.pi) - math.pi


def _centred(line: Line, crossings: list[Crossing]) -> Line:
    """The line with its middle and its course where the crossings have theirs."""
    if not crossings:
        return line
    across = sorted(one.across_m for one in crossings)[len(crossings) // 2]
    course = sorted(one.course_rad for one in crossings)[len(crossings) // 2]
    latitude, longitude = line.frame.place(0.0, across)
    return Line(Frame(latitude, longitude, line.frame.course_rad + course), line.half_width_m)

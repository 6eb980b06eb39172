"""The track, to scale, coloured by speed."""

import itertools
from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from infra.local.plot.axis import KMH, show_metres
from infra.local.plot.drive import Drive
from infra.local.plot.ground import Place, places_from
from infra.local.plot.theme import SPEED_COLOURS, Theme
from telemetry.streams.map_track import MapPoint

_COLOURS = 48
_LEAST_REACH_M = 5.0
_BEYOND = 200
"""So small a share of the speeds, as one in so many, may lie beyond each end of the scale: a receiver's glitch would
take all colours for itself."""


def draw_map(figure: Figure, axes: Axes, drive: Drive, colours: Theme, *, speed_label: str) -> None:
    """Draws every file's track, its start and its end, with the scale of the colours beside it."""
    place = places_from([point for trace in drive.traces for point in trace.points])
    speeds = sorted(
        point.speed_mps * KMH for trace in drive.traces for point in trace.points if point.speed_mps is not None
    )
    scale = _scale(speeds)
    stretch = itertools.count(1)
    for trace in drive.traces:
        for piece in _pieces(trace.points):
            way = [place(point) for point in piece]
            number = next(stretch)
            axes.plot(*zip(*way, strict=True), color=colours.casing, linewidth=4.2, gid=f"track-{number}")
            if scale is not None:
                axes.add_collection(_coloured(piece, way, scale, gid=f"track-speed-{number}"))
        start, end = place(trace.points[0]), place(trace.points[-1])
        axes.plot(*end, "s", color=colours.writing, mec=colours.ground, ms=7, zorder=4)
        axes.plot(*start, "o", color=colours.ground, mec=colours.writing, ms=8, mew=1.6, zorder=5)
        box = {"facecolor": colours.ground, "alpha": 0.75, "edgecolor": "none", "pad": 1.5}
        for text, at in (("end", end), ("start", start)):
            axes.annotate(text, at, (8, 7), textcoords="offset points", fontsize=8, zorder=6, bbox=box)
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.06)
    middle_x, middle_y = (float(sum(ends)) / 2 for ends in (axes.dataLim.intervalx, axes.dataLim.intervaly))
    # Who stood still is a spot on the ground, not noise blown up.
    axes.update_datalim([(middle_x + reach, middle_y + reach) for reach in (-_LEAST_REACH_M, _LEAST_REACH_M)])
    axes.autoscale_view()
    extent = max(axes.dataLim.width, axes.dataLim.height)
    for axis, name in ((axes.xaxis, "east of the start"), (axes.yaxis, "north of the start")):
        axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
        show_metres(axis, name, extent)
    if scale is not None:
        beyond = speeds[0] < float(scale.vmin or 0) or speeds[-1] > float(scale.vmax or 0)
        drawn = ScalarMappable(scale, SPEED_COLOURS)
        bar = figure.colorbar(drawn, ax=axes, fraction=0.04, pad=0.01, extend="both" if beyond else "neither")
        bar.set_label(speed_label)
        bar.outline.set_visible(False)


def _scale(speeds: Sequence[float]) -> Normalize | None:
    """From the lowest to the highest of sorted speeds but for a few, and 1 km/h wide at least."""
    if not speeds:
        return None
    low, high = speeds[len(speeds) // _BEYOND], speeds[-1 - len(speeds) // _BEYOND]
    if high - low < 1:
        low = max(0.0, (low + high) / 2 - 0.5)
        high = low + 1
    return Normalize(low, high)


def _pieces(points: Sequence[MapPoint]) -> Iterator[list[MapPoint]]:
    """The unbroken stretches, those of one point left out."""
    for _, piece in itertools.groupby(points, lambda point: point.segment):
        stretch = list(piece)
        if len(stretch) > 1:
            yield stretch


def _coloured(points: Sequence[MapPoint], way: Sequence[Place], scale: Normalize, *, gid: str) -> LineCollection:
    """The way as lines of one colour each; steps between two points that have no speed are left to the casing."""
    low, high = float(scale.vmin or 0), float(scale.vmax or 0)
    width = (high - low) / _COLOURS or 1.0
    lines: list[list[Place]] = []
    values: list[float] = []
    before: int | None = None
    for (one, here), (two, there) in itertools.pairwise(zip(points, way, strict=True)):
        told = [point.speed_mps for point in (one, two) if point.speed_mps is not None]
        if not told:
            before = None
            continue
        band = min(max(int((sum(told) / len(told) * KMH - low) / width), 0), _COLOURS - 1)
        if band == before:
            lines[-1].append(there)
        else:
            lines.append([here, there])
            values.append(low + (band + 0.5) * width)
            before = band
    drawn = LineCollection(lines, cmap=SPEED_COLOURS, norm=scale, linewidths=2.8, capstyle="round", joinstyle="round")
    drawn.set(array=values, zorder=3, gid=gid)
    return drawn

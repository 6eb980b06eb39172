"""Speed and altitude over time or distance, with the laps marked."""

import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes

from infra.local.plot.axis import KMH, show_metres, show_time
from infra.local.plot.drive import Drive, Trace
from infra.local.plot.theme import Theme
from infra.local.plot.thinning import thinned
from telemetry.api import models

_MOST_NUMBERED_LAPS = 40
_COLUMNS = 1600
_SECOND_US = 1e6


def has_speed(drive: Drive) -> bool:
    """That there is a speed to draw."""
    return any(trace.speed_mps.null_count < len(trace.speed_mps) for trace in drive.traces)


def has_altitude(drive: Drive) -> bool:
    """That there is an altitude to draw."""
    return any(trace.altitude_m.null_count < len(trace.altitude_m) for trace in drive.traces)


def draw_speed(axes: Axes, drive: Drive, colours: Theme, *, over: str, label: str) -> None:
    """In km/h, with the laps' numbers above."""
    for index, (trace, x) in enumerate(_along(drive, over), 1):
        kmh = pc.multiply(trace.speed_mps, KMH)
        axes.plot(*thinned(x, kmh, trace.piece, _COLUMNS), color=colours.speed, linewidth=1.1, gid=f"speed-{index}")
    axes.set_ylabel(label)
    axes.set_ylim(bottom=0)
    axes.margins(x=0)
    _mark_laps(axes, drive, colours, over=over, chart="speed", numbered=len(drive.laps) <= _MOST_NUMBERED_LAPS)


def draw_altitude(axes: Axes, drive: Drive, colours: Theme, *, over: str) -> None:
    """In metres."""
    for index, (trace, x) in enumerate(_along(drive, over), 1):
        axes.plot(
            *thinned(x, trace.altitude_m, trace.piece, _COLUMNS),
            color=colours.altitude,
            linewidth=1.1,
            gid=f"altitude-{index}",
        )
    axes.set_ylabel("altitude (m)")
    axes.margins(x=0)
    _mark_laps(axes, drive, colours, over=over, chart="altitude", numbered=False)


def label_x(axes: Axes, drive: Drive, *, over: str) -> None:
    """Under the lowest chart."""
    if over == "distance":
        show_metres(axes.xaxis, "distance", drive.length_m)
    else:
        show_time(axes.xaxis, drive.duration_ms / 1000)


def _along(drive: Drive, over: str) -> list[tuple[Trace, pa.Array]]:
    """Each file with its places on the axis: seconds from the start, or metres, one file after the other."""
    found, before_m = [], 0.0
    for trace in drive.traces:
        if over == "distance":
            x = pc.add(trace.distance_m, before_m)
        else:
            x = pc.divide(pc.subtract(trace.time_us, drive.start_us).cast(pa.float64()), _SECOND_US)
        found.append((trace, x))
        before_m += trace.length_m
    return found


def _mark_laps(axes: Axes, drive: Drive, colours: Theme, *, over: str, chart: str, numbered: bool) -> None:
    best = drive.best_lap
    for lap in drive.laps:
        span = _span(drive, lap, over)
        if span is None:
            continue
        if span[0] > 0:
            line = axes.axvline(span[0], color=colours.faint, linewidth=0.7, linestyle=(0, (4, 3)))
            line.set_gid(f"{chart}-lap-{lap.lap_number}")
        if lap is best:
            axes.axvspan(*span, color=colours.best, alpha=0.18, linewidth=0, zorder=0, gid=f"{chart}-best-lap")
        if numbered:
            axes.annotate(
                str(lap.lap_number),
                (sum(span) / 2, 1.0),
                (0, 2),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                ha="center",
                fontsize=7,
                color=colours.writing if lap is best else colours.faint,
                fontweight="bold" if lap is best else "normal",
            )


def _span(drive: Drive, lap: models.Lap, over: str) -> tuple[float, float] | None:
    """Where a lap begins and ends on the axis; None where no file covers it."""
    start_us, end_us = (moment.timestamp() * _SECOND_US for moment in (lap.start_time_utc, lap.end_time_utc))
    if over == "time":
        return (start_us - drive.start_us) / _SECOND_US, (end_us - drive.start_us) / _SECOND_US
    before_m = 0.0
    for trace in drive.traces:
        if trace.covers(round(start_us)) and trace.covers(round(end_us)):
            return before_m + trace.distance_at(round(start_us)), before_m + trace.distance_at(round(end_us))
        before_m += trace.length_m
    return None

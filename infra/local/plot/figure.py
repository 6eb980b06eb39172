"""Lays a drive out as one picture and writes it, with Matplotlib: no display, and the same bytes for the same drive.

Needs no pyplot, and so no window system; a user's own Matplotlib settings change nothing.
"""

import io
import warnings
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.typing import RcKeyType

from infra.local.command import words
from infra.local.plot.charts import draw_altitude, draw_speed, has_altitude, has_speed, label_x
from infra.local.plot.drive import Drive
from infra.local.plot.laps_table import draw_laps
from infra.local.plot.theme import THEMES, Theme
from infra.local.plot.track_map import draw_map

_INCHES = (12.0, 8.0)
_DPI = 150
_LONGEST_TITLE = 80


def picture(drive: Drive, *, file_format: str, over: str = "time", theme: str = "light") -> bytes:
    """The picture as a file.

    Parameters
    ----------
    file_format : `png` or `svg`.
    over : `time` or `distance`, of the charts.
    theme : a name of `THEMES`.
    """
    colours = THEMES[theme]
    with mpl.rc_context(), warnings.catch_warnings():
        # Names may hold letters that the font lacks; they show as boxes.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        mpl.rcdefaults()
        mpl.rcParams.update(_settings(colours))
        about = {"Title": _title(drive), **({"Date": None} if file_format == "svg" else {})}
        out = io.BytesIO()
        _figure(drive, over, colours).savefig(out, format=file_format, dpi=_DPI, metadata=about)
    return out.getvalue()


def _settings(colours: Theme) -> dict[RcKeyType, Any]:
    return {
        "svg.hashsalt": "telemetry",
        "svg.fonttype": "none",  # text stays text: to search, to read aloud
        "text.parse_math": False,  # a name with dollars is no formula
        "font.size": 9.0,
        "figure.facecolor": colours.ground,
        "savefig.facecolor": colours.ground,
        "axes.facecolor": colours.ground,
        "axes.edgecolor": colours.faint,
        "axes.labelcolor": colours.writing,
        "axes.titlesize": 9.0,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.unicode_minus": False,  # the hyphen is in every font
        "grid.color": colours.grid,
        "grid.linewidth": 0.6,
        "lines.solid_capstyle": "round",
        "text.color": colours.writing,
        "xtick.color": colours.faint,
        "ytick.color": colours.faint,
        "xtick.labelcolor": colours.writing,
        "ytick.labelcolor": colours.writing,
    }


def _figure(drive: Drive, over: str, colours: Theme) -> Figure:
    figure = Figure(figsize=_INCHES, layout="constrained")
    heights = [3.4] + [1.2] * has_speed(drive) + [0.9] * has_altitude(drive)
    widths = [1.8, 1.1] if drive.laps else [1.0]
    grid = figure.add_gridspec(len(heights), len(widths), height_ratios=heights, width_ratios=widths)
    figure.suptitle(_title(drive), x=0.01, ha="left", fontsize=15, fontweight="bold")
    of_positions = any(trace.speed_of_positions for trace in drive.traces)
    on_map = figure.add_subplot(grid[0, 0])
    on_map.set_title(_facts(drive), loc="left", color=colours.faint)
    speed_label = "speed from positions (km/h)" if of_positions else "speed (km/h)"
    draw_map(figure, on_map, drive, colours, speed_label=speed_label)
    if drive.laps:
        draw_laps(figure.add_subplot(grid[0, 1]), drive, colours)
    charts: list[Axes] = []
    if has_speed(drive):
        charts.append(figure.add_subplot(grid[1, :]))
        label = "speed from\npositions (km/h)" if of_positions else "speed (km/h)"
        draw_speed(charts[0], drive, colours, over=over, label=label)
    if has_altitude(drive):
        charts.append(figure.add_subplot(grid[-1, :], sharex=charts[0] if charts else None))
        draw_altitude(charts[-1], drive, colours, over=over)
    for axes in charts[:-1]:
        axes.tick_params(labelbottom=False)
    if charts:
        label_x(charts[-1], drive, over=over)
    return figure


def _title(drive: Drive) -> str:
    title = words.printable(drive.title)
    return title if len(title) <= _LONGEST_TITLE else title[: _LONGEST_TITLE - 1] + "…"


def _facts(drive: Drive) -> str:
    best = drive.best_lap
    facts = [
        words.moment(drive.start.replace(microsecond=0)),
        words.duration(drive.duration_ms),
        words.distance(drive.length_m),
        f"{len(drive.laps)} laps" if drive.laps else "",
        f"best {words.duration(best.duration_ms)} (lap {best.lap_number})" if best else "",
    ]
    return "   ".join(fact for fact in facts if fact)

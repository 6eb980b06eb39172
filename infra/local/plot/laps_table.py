"""The laps as a table, the best one marked."""

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from infra.local.command import words
from infra.local.plot.axis import KMH
from infra.local.plot.drive import Drive
from infra.local.plot.theme import Theme
from telemetry.api import models

_MOST = 22
_COLUMNS = (("lap", "right", 0.08), ("", "left", 0.11), ("time", "right", 0.41), ("to best", "right", 0.62))
_MORE_COLUMNS = (("distance", "right", 0.83), ("km/h", "right", 0.98))


def draw_laps(axes: Axes, drive: Drive, colours: Theme) -> None:
    """Of many laps those that fit, and always the best. The last column is the greatest speed."""
    best = drive.best_lap
    shown = list(drive.laps[:_MOST])
    if best is not None and best not in shown:
        shown[-1] = best
    columns = (*_COLUMNS, *_MORE_COLUMNS)
    axes.set_axis_off()
    axes.set(xlim=(0, 1), ylim=(_MOST + 1.6, -0.6), gid="laps")
    for heading, side, x in columns:
        axes.text(x, 0, heading, ha=side, va="center", fontsize=8, color=colours.faint)
    for line, lap in enumerate(shown, 1):
        weight = "bold" if lap is best else "normal"
        if lap is best:
            marked = Rectangle((0, line - 0.5), 1, 1, facecolor=colours.best, alpha=0.18, edgecolor="none")
            marked.set_gid("best-row")
            axes.add_patch(marked)
        for (_, side, x), cell in zip(columns, _row(lap, best), strict=True):
            axes.text(x, line, cell, ha=side, va="center", fontsize=8, fontweight=weight)
    if len(shown) < len(drive.laps):
        more = f"and {len(drive.laps) - len(shown)} more"
        axes.text(0.11, len(shown) + 1, more, va="center", fontsize=8, color=colours.faint)


def _row(lap: models.Lap, best: models.Lap | None) -> tuple[str, ...]:
    delta = ""
    if lap is best:
        delta = "best"
    elif best is not None and lap.kind == "timed" and lap.duration_ms >= best.duration_ms:
        # A lap in less time than the best one went a shorter way.
        delta = f"+{(lap.duration_ms - best.duration_ms) / 1000:.3f} s"
    return (
        str(lap.lap_number),
        "" if lap.kind == "timed" else lap.kind,
        words.duration(lap.duration_ms),
        delta,
        words.distance(lap.distance_m),
        "" if lap.max_speed_mps is None else f"{lap.max_speed_mps * KMH:.1f}",
    )

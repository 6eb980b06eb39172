"""How numbers are written on axes."""

from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

KMH = 3.6
"""From metres a second."""
_FROM_KILOMETRES_M = 5000
_DAY_S = 86400
_TICK_SECONDS = (
    *(1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200),
    *(days * _DAY_S for days in (1, 2, 4, 7, 14, 28)),
)
_MOST_TICKS = 9


def show_metres(axis: Axis, name: str, extent_m: float) -> None:
    """Metres, of a long axis kilometres."""
    long = extent_m > _FROM_KILOMETRES_M
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 1000 if long else value:g}"))
    axis.set_label_text(f"{name} ({'km' if long else 'm'})")


def show_time(axis: Axis, extent_s: float) -> None:
    """Hours, minutes and seconds from the start."""
    step = next((step for step in _TICK_SECONDS if extent_s / step <= _MOST_TICKS), None)
    if step is None:  # a recorder that was forgotten
        axis.set_major_locator(MaxNLocator(_MOST_TICKS))
    else:
        axis.set_major_locator(MultipleLocator(step))
    axis.set_major_formatter(FuncFormatter(lambda seconds, _: _clock(seconds)))
    axis.set_label_text("time from the start " + ("(h:min:s)" if extent_s >= 3600 else "(min:s)"))


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"

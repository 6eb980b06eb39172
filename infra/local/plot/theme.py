"""Colours of the picture, on light and on dark ground.

Lines after Okabe and Ito ("Color Universal Design", 2008), speed after viridis: both can be told apart by the colour
blind, and speed also in grey.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Theme:
    """Ground, writing, what stands back, and the lines. `casing` lies under the track, so that every colour shows."""

    ground: str
    writing: str
    faint: str
    grid: str
    casing: str
    speed: str
    altitude: str
    best: str


THEMES = {
    "light": Theme("#ffffff", "#1f2933", "#5d6875", "#e1e5ea", "#4b5563", "#0072b2", "#d55e00", "#009e73"),
    "dark": Theme("#12161c", "#e6eaef", "#9aa5b1", "#2b323b", "#9aa5b1", "#56b4e9", "#e69f00", "#2fc59b"),
}
SPEED_COLOURS = "viridis"

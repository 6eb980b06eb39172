"""How a recording that could be read only in part is told of: cut off or damaged, where, and how far it was read.

Pure functions from models to text.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from telemetry.api import models

# As the readers, the unpacker and expat say that bytes end too early.
_CUT = re.compile(r"cut off|ends in the middle|unclosed|no element found|partial character")
_PLACE = re.compile(r"\b(byte \d+|line \d+(, column \d+)?)")
# What is wrong with an archive around a recording that is itself whole.
_AROUND = re.compile(r"directory|ignored")


@dataclass(frozen=True, slots=True)
class Damage:
    """What keeps a recording from being whole.

    Attributes
    ----------
    cut : the bytes end too early; otherwise they are wrong.
    archive : it is the archive around the recording.
    place : the line or byte, where it is known.
    """

    cut: bool
    archive: bool
    place: str

    def __str__(self) -> str:
        return "cut off" if self.cut else "damaged"


def damage_of(quality: dict[str, Any]) -> Damage | None:
    """What a quality report says of it; None for a whole recording."""
    damage, archive_damage = quality.get("damage"), str(quality.get("archiveDamage") or "")
    # A recording in an archive that is cut off is itself cut off: the archive is the cause.
    archive = bool(archive_damage) and not _AROUND.search(archive_damage)
    if not archive and not damage:
        return None
    detail = archive_damage if archive else str(damage["detail"] if isinstance(damage, dict) else damage)
    place = _PLACE.search(detail)
    return Damage(cut=bool(_CUT.search(detail)), archive=archive, place=place[1] if place else "")


def damage_fact(damage: Damage) -> str:
    """For the quality report."""
    at = f" at {damage.place}" if damage.place else ""
    return f"the {'archive' if damage.archive else 'file'} is {damage}{at}; what came before was read"


def partial(session: models.SessionDetail) -> Iterator[tuple[UUID, str]]:
    """Uploads that were read only in part, each with how far: `cut off after 1 min 38 s`."""
    for dataset in session.datasets:
        damage = damage_of(dataset.quality)
        if damage is not None:
            read = dataset.end_time_utc - dataset.start_time_utc
            yield dataset.upload_id, f"{damage} after {_span(read) if read else 'its first point'}"


def _span(time: timedelta) -> str:
    """The two greatest units: `1 min 38 s`."""
    seconds = time.total_seconds()
    if seconds < 10:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    parts = [f"{count} {unit}" for count, unit in ((days, "d"), (hour, "h"), (minute, "min"), (second, "s")) if count]
    return " ".join(parts[:2])

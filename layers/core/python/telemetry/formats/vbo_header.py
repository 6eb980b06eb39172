"""The sections of a Racelogic VBO file that stand before its data. Pure, text in.

Source: Racelogic "VBOX file format" support pages: sections, units, minutes and their signs.
"""

import re
from dataclasses import dataclass
from datetime import date

from telemetry.domain.laps import START_FINISH
from telemetry.formats.csv_columns import key_of, unit_suffix

_CREATED = re.compile(
    r"^\s*File created on\s+(\d{1,2})[/.-](\d{1,2})[/.-](\d{4}|\d{2})\b"
    r"(?:\s*(?:@|at)?\s*(\d{1,2}):(\d{2})(?::(\d{2}))?\d*\s*([AP]M)?)?",
    re.IGNORECASE,
)
_SECTION = re.compile(r"^\s*\[([^\]]+)\]\s*$")
_GATE = re.compile(
    r"^\s*(Start|Split|Finish)\s+([+-]?[\d.]+)\s+([+-]?[\d.]+)\s+([+-]?[\d.]+)\s+([+-]?[\d.]+)(.*)$", re.I
)
# Columns of every VBOX; [channel units] speaks only of the others.
STANDARD_COLUMNS = frozenset(
    {
        "sats",
        "time",
        "lat",
        "long",
        "lng",
        "velocity",
        "heading",
        "height",
        "vert-vel",
        "vertvel",
        "longacc",
        "latacc",
        "glonass_sats",
        "gps_sats",
        "event-1",
        "event1",
        "imu_kalman_filter_status",
        "solution_type",
        "velocity_quality",
        "avifileindex",
        "avisynctime",
    }
)


@dataclass(frozen=True, slots=True)
class RawGate:
    """A line of `[laptiming]` in the file's own coordinates: longitude, latitude, longitude, latitude."""

    name: str
    ends: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class VboHeader:
    """What stands before `[data]`.

    Attributes
    ----------
    created, created_s : day and second of the day of `File created on`, by the writer's clock: UTC or local time.
    names : short column names, in the order of the data.
    units : by column, empty where the file gives none.
    data_line : number of the first line after `[data]`, from 1.
    """

    created: date | None
    created_s: int | None
    names: tuple[str, ...]
    units: tuple[str, ...]
    gates: tuple[RawGate, ...]
    comments: tuple[str, ...]
    data_line: int

    def comment(self, pattern: str) -> str | None:
        """The first group of `pattern` in the comments."""
        for line in self.comments:
            if match := re.search(pattern, line, re.IGNORECASE):
                return match[1].strip()
        return None


def parse_header(text: str) -> VboHeader | None:
    """The header of a file whose first lines are `text`; None without `[column names]` and `[data]`."""
    sections: dict[str, list[str]] = {"": []}
    current = ""
    data_line = 0
    for number, line in enumerate(text.splitlines(), 1):
        if match := _SECTION.match(line):
            current = match[1].strip().lower()
            if current == "data":
                data_line = number + 1
                break
            sections.setdefault(current, [])
        else:
            sections[current].append(line.rstrip("\r\n"))
    names = " ".join(sections.get("column names", [])).split()
    if not names or not data_line:
        return None
    titles = [line.strip() for line in sections.get("header", []) if line.strip()]
    created, created_s = _created(sections[""])
    return VboHeader(
        created=created,
        created_s=created_s,
        names=tuple(names),
        units=_units(names, titles, sections.get("channel units", [])),
        gates=tuple(_gates(sections.get("laptiming", []))),
        comments=tuple(sections.get("comments", [])),
        data_line=data_line,
    )


def _created(lines: list[str]) -> tuple[date | None, int | None]:
    for line in lines:
        if match := _CREATED.match(line.lstrip("\ufeff")):
            day, month, year = (int(part) for part in match.groups()[:3])
            try:
                return date(year + 2000 if year < 100 else year, month, day), _second_of_day(*match.groups()[3:])
            except ValueError:
                return None, None
    return None, None


def _second_of_day(hour: str | None, minute: str | None, second: str | None, half: str | None) -> int | None:
    if hour is None or minute is None:
        return None
    hours = int(hour) % 12 + (12 if half in ("PM", "pm") else 0) if half else int(hour)
    seconds = (hours * 60 + int(minute)) * 60 + int(second or 0)
    return seconds if seconds < 86_400 and int(minute) < 60 else None


def _units(names: list[str], titles: list[str], listed: list[str]) -> tuple[str, ...]:
    """Units from the titles (`velocity kmh`), then from `[channel units]`, right-aligned to the extra channels."""
    units = [""] * len(names)
    by_key: dict[str, str] = {}
    for title in titles:
        key, unit = unit_suffix(key_of(title))
        if unit and not title.startswith("_"):
            by_key.setdefault(key, unit)
    for index, name in enumerate(names):
        # The titles are in the columns' order, but some writers leave a few out.
        title = titles[index] if index < len(titles) and len(titles) == len(names) else ""
        units[index] = (
            unit_suffix(key_of(title))[1] if title else by_key.get(key_of(_LONG_NAMES.get(name.lower(), name)), "")
        )
    while listed and not listed[-1].strip():
        listed = listed[:-1]
    extra = [i for i, name in enumerate(names) if name.lower() not in STANDARD_COLUMNS and not name.startswith("_")]
    if len(listed) == 1 and len(every := listed[0].split()) == len(names):
        # Some writers list all columns in one line.
        listed = [every[index] for index in extra]
    for index, unit in zip(reversed(extra), reversed(listed), strict=False):
        units[index] = units[index] or unit.strip().removesuffix("(Degree").rstrip("_")
    return tuple(units)


_LONG_NAMES = {
    "vert-vel": "vertical velocity",
    "vertvel": "vertical velocity",
    "longacc": "long accel",
    "latacc": "lat accel",
}


def _gates(lines: list[str]) -> list[RawGate]:
    gates = []
    for line in lines:
        match = _GATE.match(line)
        if not match:
            continue
        try:
            one, two, three, four = (float(match[i]) for i in range(2, 6))
        except ValueError:
            continue
        # The name follows a `¬`, however its encoding came out.
        title = re.sub(r"^[^\w]*(?:Â?¬)?\s*", "", match[6]).strip() or match[1].lower()
        gates.append(RawGate(START_FINISH if match[1].lower() == "start" else title[:80], (one, two, three, four)))
    return gates

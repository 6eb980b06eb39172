"""What the API's answers mean, in words: pure functions from models to text. No positions."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from infra.local.command.damage import damage_fact, damage_of, partial
from telemetry import command_line
from telemetry.api import models

printable = command_line.printable

Facts = Iterator[tuple[str, str]]

_POSITIONS = frozenset({"boundingBox", "gate", "download", "upload"})
_TIME_BASES = {
    "gnss_utc": "UTC from the receiver",
    "inferred_date": "UTC of day from the receiver, its date inferred",
    "device_local": "the device's own clock, its zone unknown",
}
_MOST_LISTED = 8


def plain(model: models.Model) -> Any:
    """A model as JSON values, without positions and signed addresses."""
    return _without(model.model_dump(mode="json", by_alias=True))


def _without(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without(inner) for name, inner in value.items() if name not in _POSITIONS}
    return [_without(inner) for inner in value] if isinstance(value, list) else value


def moment(time: datetime) -> str:
    """`2026-05-16 09:30:00Z`, with milliseconds where there are any."""
    utc = time.astimezone(UTC).replace(tzinfo=None)
    return utc.isoformat(sep=" ", timespec="milliseconds").removesuffix(".000") + "Z"


def duration(milliseconds: float | None) -> str:
    """`1:23.456` or `2:01:23.456`; three digits, as a lap timer shows."""
    if milliseconds is None:
        return ""
    rounded = round(milliseconds)
    minutes, rest = divmod(rounded, 60_000)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{rest // 1000:02d}.{rest % 1000:03d}"
    return f"{hours}:{minutes:02d}:{seconds}" if hours else f"{minutes}:{seconds}"


def size(count: int) -> str:
    """Bytes in decimal units."""
    value = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{count} bytes" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError("GB ends the loop")


def counted(count: int, one: str, many: str) -> str:
    """`1 lap`, `1,250 points`."""
    return f"{count:,} {one if count == 1 else many}"


def distance(metres: float | None) -> str:
    """Kilometres from one kilometre on."""
    if metres is None:
        return ""
    return f"{metres / 1000:.3f} km" if metres >= 999.5 else f"{metres:.0f} m"


def speed(metres_a_second: float | None) -> str:
    """In km/h."""
    return "" if metres_a_second is None else f"{metres_a_second * 3.6:.1f} km/h"


def in_brief(session: models.SessionDetail) -> str:
    """What became of a session, in one line."""
    if session.failure is not None:
        return f"{session.failure.code}: {session.failure.message}"
    if session.status != "ready":
        return session.status
    summary = session.summary
    parts = [counted(summary.get("points", 0), "point", "points"), distance(summary.get("distanceM"))]
    if summary.get("lapCount"):
        parts.append(counted(summary["lapCount"], "lap", "laps"))
    if summary.get("bestLapMs") is not None:
        parts.append(f"best {duration(summary['bestLapMs'])}")
    return ", ".join(part for part in parts if part)


def session_facts(session: models.SessionDetail) -> Facts:
    """The session itself."""
    yield "session", str(session.session_id)
    yield "name", printable(session.name)
    yield "status", session.status
    if session.failure is not None:
        yield "why", f"{session.failure.code}: {printable(session.failure.message)}"
    step = session.progress
    if step is not None:
        retry = f", next try {moment(step.next_retry_at)}" if step.next_retry_at else ""
        yield "at work", f"{_words(step.job)}, attempt {step.attempt} of {step.max_attempts}{retry}"
    if session.status == "ready":
        summary = session.summary
        yield "time", f"{moment(session.start_time_utc)} to {moment(session.end_time_utc)}"
        yield "duration", duration(summary.get("durationMs"))
        yield "points", f"{summary.get('points', 0):,}"
        yield "distance", distance(summary.get("distanceM")) or "unknown"
        yield "laps", _laps_in_brief(summary)
        names = {file.upload_id: file.file_name for file in session.files}
        for upload_id, how_far in partial(session):
            yield "in part", f"{printable(names.get(upload_id, 'a file'))} is {how_far}; the rest is missing"
    if session.gate_failure is not None:
        failure = session.gate_failure
        yield "line", f"{failure.code}: the search for laps failed, they are from before. {printable(failure.message)}"
    for file in session.files:
        told = [size(file.byte_size), file.format, file.compression, file.status]
        yield "file", f"{printable(file.file_name)} ({', '.join(part for part in told if part)})"


def _laps_in_brief(summary: dict[str, Any]) -> str:
    count, best = summary.get("lapCount") or 0, summary.get("bestLapMs")
    if not count or best is None:
        return str(count or "none found")
    ideal = summary.get("theoreticalBestMs")
    return f"{count}, the best {duration(best)} (lap {summary.get('bestLapNumber')})" + (
        f", of best sectors {duration(ideal)}" if ideal is not None else ""
    )


def quality_facts(dataset: models.Dataset) -> Facts:
    """What the service found good and bad in a stream."""
    quality = dataset.quality
    yield (
        "rows",
        f"{dataset.row_count:,}"
        + (f" of {quality['rowsRead']:,} read" if isinstance(quality.get("rowsRead"), int) else ""),
    )
    for reason, tally in (quality.get("rejected") or {}).items():
        yield "rejected", f"{tally['count']:,}: {_words(reason)}{_first_rows(tally)}"
    for column, tally in (quality.get("badCells") or {}).items():
        yield "unreadable", f"{counted(tally['count'], 'cell', 'cells')} of {printable(column)}{_first_rows(tally)}"
    if quality.get("nominalRateHz") is not None:
        yield "rate", _rate(quality["nominalRateHz"], quality.get("jitterMs") or 0)
    if "gaps" in quality:
        yield "gaps", _gaps(quality["gaps"])
    for name, text in (
        ("duplicateTimes", "times that occur twice"),
        ("backwardTimes", "steps back in time"),
        ("outOfOrderRows", "rows put in order"),
        ("positionSpikes", "position spikes"),
        ("zeroPositions", "positions of 0, 0"),
        ("interpolatedTimes", "interpolated times"),
    ):
        if quality.get(name):
            yield "noticed", f"{quality[name]:,} {text}"
    kinds = quality.get("fixTypes") or {}
    if set(kinds) - {"unknown"}:
        yield "fixes", ", ".join(f"{_words(kind)} {100 * share:.4g} %" for kind, share in kinds.items())
    if quality.get("timeBasis"):
        yield "clock", _TIME_BASES.get(quality["timeBasis"], _words(quality["timeBasis"]))
    for sentence in quality.get("inferred") or []:
        yield "inferred", printable(sentence)
    damage = damage_of(quality)
    if damage is not None:
        yield "damage", damage_fact(damage)
    if quality.get("archiveDamage") and (damage is None or not damage.archive):
        yield "archive", printable(quality["archiveDamage"])
    channels = quality.get("channels") or {}
    if channels:
        named = [printable(name) for name in channels]
        more = f" and {len(named) - _MOST_LISTED} more" if len(named) > _MOST_LISTED else ""
        yield "channels", ", ".join(named[:_MOST_LISTED]) + more


def _rate(rate_hz: float, jitter_ms: float) -> str:
    every = f"{rate_hz:g} Hz" if rate_hz >= 0.5 else f"every {1 / rate_hz:.4g} s"
    return f"{every}, jitter {f'{jitter_ms:g} ms' if jitter_ms < 1000 else f'{jitter_ms / 1000:.4g} s'}"


def _gaps(gaps: dict[str, Any]) -> str:
    if not gaps.get("count"):
        return "none"
    longest = max(gaps.get("listed") or [], key=lambda gap: gap["lengthS"], default=None)
    return f"{gaps['count']:,}" + (
        f", the longest {longest['lengthS']:g} s at {printable(longest['start'])}" if longest else ""
    )


def _first_rows(tally: dict[str, Any]) -> str:
    rows = tally.get("firstRows") or []
    return f" (first at {', '.join(map(str, rows[:5]))})" if rows else ""


def _words(name: str) -> str:
    """`noPosition` and `no_position` as words."""
    return printable(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).replace("_", " ").lower())

"""The verbs of `telemetry`: each asks the client and shows the answer, as a table or as JSON."""

import argparse
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from uuid import UUID

from pydantic import ValidationError
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn

from infra.local.client import ClientError, Interrupted, ServiceError, Step
from infra.local.client.api import every_session
from infra.local.command import damage, words
from infra.local.command.desk import Desk, exit_of, failure_of, make_folder
from infra.local.command.parser import Exit
from infra.local.command.plotting import plot
from infra.local.command.sending import Result, Wish, send_all, send_joined
from telemetry.api import models
from telemetry.api.models.uploads import MOST_ARTIFACTS

_NOT_READY = {"processing": "It is still processing", "failed": "It failed", "cancelled": "It was cancelled"}


def upload(desk: Desk, given: argparse.Namespace) -> Exit:
    """Sends files; with --wait, says what became of each."""
    if given.name is not None and len(given.files) > 1:
        desk.err.print(
            "--name goes with one FILE; several would have the same name. --session makes one session of them.",
            style="red",
        )
        return Exit.USAGE
    if given.session is not None and given.finalise_on_receipt:
        desk.err.print("--finalise-on-receipt makes a session of each file; --session makes one of all.", style="red")
        return Exit.USAGE
    if given.session is not None and len(given.files) > 1 + MOST_ARTIFACTS:
        desk.err.print(f"A session takes up to {1 + MOST_ARTIFACTS} files.", style="red")
        return Exit.USAGE
    wish = Wish(given.wait, given.timeout, given.session or given.name, given.finalise_on_receipt, given.again)
    send = send_all if given.session is None else send_joined
    results, interrupted = send(
        desk.client, given.files, wish, jobs=given.jobs, stopping=desk.stopping, console=desk.err
    )
    if given.json:
        desk.json([result.json() for result in results])
    codes = [_tell(desk, result, silent=given.json) for result in results]
    if interrupted:
        desk.err.print("Interrupted. The same command goes on where this one stopped.")
        return Exit.INTERRUPTED
    if given.session is not None and any(result.error and result.session_id is None for result in results):
        desk.err.print("There is no session yet. The same command goes on with the files that got through.")
    return max(codes)


def _tell(desk: Desk, result: Result, *, silent: bool) -> Exit:
    """Result lines go out, failures to the explanations."""
    name = words.printable(result.file.name)
    session_id, session = result.session_id, result.session
    if session_id is not None and not silent:
        notes = []
        if result.sent and result.sent.duplicate:
            notes.append("the same bytes were sent before (--again sends them anyway)")
        if result.sent and result.sent.resumed:
            notes.append("went on where it broke off")
        status = _status(session, result) if session else "sent"
        facts = words.printable(words.in_brief(session)) if session and session.status == "ready" else ""
        line = "  ".join(part for part in (name, status, f"session {session_id}", facts, *notes) if part)
        desk.out.print(line, soft_wrap=True)
    elif result.sent is not None and result.error is None and not silent:
        desk.out.print(f"{name}  sent  upload {result.sent.upload_id}", soft_wrap=True)
    if result.error is not None:
        if not isinstance(result.error, Interrupted):
            desk.explain(result.error, name)
        return exit_of(result.error)
    return _verdict(desk, session, name) if session else Exit.DONE


def _status(session: models.SessionDetail, result: Result) -> str:
    """The status, and how far a file was read that could not be read to its end."""
    if session.status != "ready":
        return session.status
    names = {file.upload_id: words.printable(file.file_name) for file in session.files}
    parts = [
        f"{names.get(upload_id, 'the file') if result.joined else 'the file'} is {how_far}"
        for upload_id, how_far in damage.partial(session)
        if result.joined or result.sent is None or upload_id == result.sent.upload_id
    ]
    return f"ready, but {' and '.join(parts)}" if parts else session.status


def _verdict(desk: Desk, session: models.SessionDetail, about: str) -> Exit:
    if session.failure is not None:
        desk.explain(failure_of(session.failure), about)
        return Exit.FAILED
    return Exit.FAILED if session.status == "cancelled" else Exit.DONE


def sessions(desk: Desk, given: argparse.Namespace) -> Exit:
    """A page, or all of them."""

    def page_of(cursor: str | None) -> models.SessionPage:
        return desk.client.sessions(
            status=given.status,
            from_time=given.from_time,
            to_time=given.to_time,
            device_id=given.device,
            cursor=cursor,
            limit=given.limit,
        )

    if given.all:
        page = models.SessionPage(sessions=list(every_session(page_of)), next_cursor=None)
    else:
        page = page_of(given.cursor)
    if given.json:
        desk.json(words.plain(page))
        return Exit.DONE
    desk.table(
        ("session", "status", "start", "duration", "distance", "laps", "best lap", "name"),
        (_session_row(session) for session in page.sessions),
        right=(3, 4, 5, 6),
    )
    if page.next_cursor is not None:
        desk.err.print(f"More: the same with --cursor {page.next_cursor}", soft_wrap=True)
    return Exit.DONE


def _session_row(session: models.Session) -> tuple[str, ...]:
    ready, summary = session.status == "ready", session.summary
    return (
        str(session.session_id),
        session.status,
        words.moment(session.start_time_utc) if ready else "",
        words.duration(summary.get("durationMs")),
        words.distance(summary.get("distanceM")),
        str(summary.get("lapCount", "")),
        words.duration(summary.get("bestLapMs")),
        words.printable(session.name),
    )


def show(desk: Desk, given: argparse.Namespace) -> Exit:
    """The session, then the quality of each stream."""
    return _show(desk, desk.client.session(given.session), as_json=given.json)


def _show(desk: Desk, session: models.SessionDetail, *, as_json: bool) -> Exit:
    if as_json:
        desk.json(words.plain(session))
        return Exit.DONE
    desk.facts(words.session_facts(session))
    for dataset in session.datasets:
        desk.out.print(f"\n{words.printable(dataset.stream)}  {words.size(dataset.byte_size)}")
        desk.facts(words.quality_facts(dataset))
    return Exit.DONE


def laps(desk: Desk, given: argparse.Namespace) -> Exit:
    """Laps in order."""
    found = desk.client.laps(given.session)
    if given.json:
        desk.json([words.plain(lap) for lap in found])
        return Exit.DONE
    if not found:
        status = desk.client.session(given.session).status
        desk.err.print("It has no laps." if status == "ready" else f"{_NOT_READY[status]}; it has no laps.")
        return Exit.DONE
    sectors = max(len(lap.sectors_ms) for lap in found)
    desk.table(
        ("lap", "kind", "start", "time", "±", "distance", "max speed", "from", *(f"S{n + 1}" for n in range(sectors))),
        (
            (
                str(lap.lap_number),
                lap.kind,
                words.moment(lap.start_time_utc),
                words.duration(lap.duration_ms),
                f"{lap.duration_uncertainty_ms:.3g} ms" if lap.duration_uncertainty_ms is not None else "",
                words.distance(lap.distance_m),
                words.speed(lap.max_speed_mps),
                lap.source,
                *(words.duration(sector) for sector in lap.sectors_ms),
            )
            for lap in found
        ),
        right=(0, 3, 4, 5, 6, *range(8, 8 + sectors)),
    )
    return Exit.DONE


def download(desk: Desk, given: argparse.Namespace) -> Exit:
    """Every stream, or those named."""
    found = desk.client.datasets(given.session)
    if not found:
        status = desk.client.session(given.session).status
        raise ClientError(
            f"{_NOT_READY.get(status, 'It is ready')}; it has no files to fetch.",
            remedy="Look at it with `telemetry show`.",
        )
    chosen = [dataset for dataset in found if not given.stream or dataset.stream in given.stream]
    if missing := set(given.stream or ()) - {dataset.stream for dataset in found}:
        there = ", ".join(sorted({dataset.stream for dataset in found}))
        raise ClientError(f"It has no stream {', '.join(sorted(missing))}.", remedy=f"It has {words.printable(there)}.")
    make_folder(given.output)
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), DownloadColumn())
    with Progress(*columns, console=desk.err, disable=not desk.err.is_terminal, transient=True) as progress:
        for dataset in chosen:
            file = given.output / file_name(given.session, dataset, found)
            task = progress.add_task(file.name, total=dataset.byte_size)
            desk.client.download(dataset, file, partial(_advance, progress, task))
    for dataset in chosen:
        file = given.output / file_name(given.session, dataset, found)
        desk.out.print(f"{file}  {words.size(dataset.byte_size)}, SHA-256 verified", soft_wrap=True)
    return Exit.DONE


def _advance(progress: Progress, task: TaskID, step: Step) -> None:
    progress.update(task, completed=step.done)


def file_name(session_id: UUID, dataset: models.Dataset, all_of_it: Iterable[models.Dataset]) -> str:
    """`{session}-{stream}.parquet`, with the upload's id where several files have the stream."""
    stream = "".join(character if character.isalnum() or character == "_" else "-" for character in dataset.stream)
    several = sum(other.stream == dataset.stream for other in all_of_it) > 1
    return f"{session_id}-{stream}{f'-{dataset.upload_id}' if several else ''}.parquet"


def track(desk: Desk, given: argparse.Namespace) -> Exit:
    """Into a file; never onto the terminal."""
    found = desk.client.track(given.session)
    if not found.features:
        raise ClientError("It has no track yet.", remedy="Look at it with `telemetry show`.")
    file: Path = given.output or Path(f"{given.session}.geojson")
    make_folder(file.parent)
    try:
        file.write_text(found.model_dump_json(by_alias=True), "utf-8")
    except OSError as error:
        raise ClientError(f"{file} cannot be written: {error.strerror}.") from None
    points = sum(map(_points, found.features))
    desk.out.print(f"{file}  {words.counted(points, 'point', 'points')}", soft_wrap=True)
    return Exit.DONE


def _points(feature: models.TrackFeature) -> int:
    line = feature.geometry
    return len(line.coordinates) if line.type == "LineString" else sum(map(len, line.coordinates))


def delete(desk: Desk, given: argparse.Namespace) -> Exit:
    """Each session, whatever becomes of the others."""
    if not given.yes:
        if not desk.err.is_terminal:
            desk.err.print("Nobody is here to ask; --yes deletes without asking.", style="red")
            return Exit.USAGE
        count = len(given.sessions)
        desk.err.print(f"Delete {count} session{'s' if count > 1 else ''} for good? [y/N] ", end="")
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            return Exit.FAILED
    code = Exit.DONE
    for session_id in dict.fromkeys(given.sessions):
        try:
            desk.client.delete_session(session_id)
        except ServiceError as error:
            desk.explain(error, str(session_id))
            code = max(code, exit_of(error))
        else:
            desk.out.print(f"{session_id}  deleted")
    return code


def cancel(desk: Desk, given: argparse.Namespace) -> Exit:
    """Once is enough."""
    return _changed(desk, desk.client.cancel(given.session), given)


def retry(desk: Desk, given: argparse.Namespace) -> Exit:
    """A new run; with --wait, what became of it."""
    session = desk.client.retry(given.session)
    if not given.wait:
        return _changed(desk, session, given)
    with desk.err.status("", spinner="dots") as status:
        session = desk.client.wait(given.session, lambda step: status.update(step.note), seconds=given.timeout)
    _changed(desk, session, given)
    return _verdict(desk, session, str(session.session_id))


def rename(desk: Desk, given: argparse.Namespace) -> Exit:
    """The name as the service keeps it."""
    return _changed(desk, desk.client.rename(given.session, given.name), given)


def gate(desk: Desk, given: argparse.Namespace) -> Exit:
    """The line comes out of a file, so that no position stands on the command line."""
    try:
        line = models.Gate.model_validate_json(given.file.read_bytes())
    except OSError as error:
        raise ClientError(f"{given.file} cannot be read: {error.strerror}.") from None
    except ValidationError as error:
        places = sorted({".".join(map(str, wrong["loc"])) or "its JSON" for wrong in error.errors(include_input=False)})
        raise ClientError(f"{given.file} is no start/finish line: see {', '.join(places)}.") from None
    return _changed(desk, desk.client.set_gate(given.session, line), given)


def _changed(desk: Desk, session: models.SessionDetail, given: argparse.Namespace) -> Exit:
    if given.json:
        return _show(desk, session, as_json=True)
    line = f"{session.session_id}  {session.status}  {words.printable(session.name)}"
    desk.out.print(line, soft_wrap=True)
    return Exit.DONE


def devices(desk: Desk, given: argparse.Namespace) -> Exit:
    """The one used last first."""
    found = desk.client.devices()
    if given.json:
        desk.json([words.plain(device) for device in found])
        return Exit.DONE
    desk.table(
        ("device", "manufacturer", "model", "serial number", "name", "last seen"),
        (
            (
                str(device.device_id),
                *(
                    words.printable(part or "")
                    for part in (device.manufacturer, device.model, device.serial_number, device.name)
                ),
                words.moment(device.last_seen_at),
            )
            for device in found
        ),
    )
    return Exit.DONE


VERBS: dict[str, Callable[[Desk, argparse.Namespace], Exit]] = {
    verb.__name__: verb
    for verb in (upload, sessions, show, laps, plot, download, track, delete, cancel, retry, rename, gate, devices)
}

"""`telemetry upload`: several files at a time, each with its own bar; one that fails keeps no other back.

Each becomes a session of its own, or all together become one.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from infra.local.client import (
    BrokenOff,
    Brought,
    Client,
    ClientError,
    Delivered,
    Interrupted,
    Phase,
    Step,
    Unreachable,
)
from infra.local.command.words import plain, printable, size
from telemetry.api import models
from telemetry.errors import Code

_PATIENCE_S = 3.0


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted of every file; see `Client.send` and `Client.wait`."""

    wait: bool
    seconds: float
    name: str | None = None
    finalise_on_receipt: bool = False
    again: bool = False


@dataclass(slots=True)
class Result:
    """What became of one file, as far as it got; or of a session of several, called `file`, when `joined`."""

    file: Path
    joined: bool = False
    sent: Delivered | None = None
    session_id: UUID | None = None
    session: models.SessionDetail | None = None
    error: ClientError | None = None

    def json(self) -> dict[str, Any]:
        """For machines."""
        error = self.error
        return {
            "file": None if self.joined else str(self.file),
            "uploadId": str(self.sent.upload_id) if self.sent else None,
            "sessionId": str(self.session_id) if self.session_id else None,
            "duplicate": bool(self.sent and self.sent.duplicate),
            "resumed": bool(self.sent and self.sent.resumed),
            "session": plain(self.session) if self.session else None,
            "error": {"code": error.code, "message": error.message, "remedy": error.remedy} if error else None,
        }


def send_all(
    client: Client, files: list[Path], wish: Wish, *, jobs: int, stopping: threading.Event, console: Console
) -> tuple[list[Result], bool]:
    """Sends every file; gives what became of each, in order, and whether the user interrupted it.

    When the service cannot be reached, or does not take the token, no further file is begun.
    """
    results = [Result(file) for file in files]
    with _bars(console) as progress:
        crew = _Crew(progress, jobs, stopping)
        interrupted = crew.each(results, lambda result, show: _send(client, result, wish, show))
    return results, interrupted


def send_joined(
    client: Client, files: list[Path], wish: Wish, *, jobs: int, stopping: threading.Event, console: Console
) -> tuple[list[Result], bool]:
    """Sends every file and makes one session of them all, called `wish.name`; else as `send_all`.

    When a file does not get through there is no session; the others stay, and are gone on with. What the service says
    of the whole stands in a result of its own, the last.
    """
    results = [Result(file) for file in files]
    whole = Result(Path(wish.name or files[0].name), joined=True)

    def brought() -> list[Brought]:
        return [result.sent for result in results if isinstance(result.sent, Brought)]

    def bring(result: Result, show: Callable[[Step], None], *, again: bool = wish.again) -> None:
        result.sent = client.bring(result.file, show, again=again)

    def find_before(result: Result, show: Callable[[Step], None]) -> None:
        result.session_id = _made_before(client, brought())

    def join(result: Result, show: Callable[[Step], None]) -> None:
        show(Step(Phase.FINALISE))
        if result.session_id is None:
            result.session_id = client.join(brought(), name=wish.name)
        if wish.wait and result.session_id:
            result.session = client.wait(result.session_id, show, seconds=wish.seconds)

    with _bars(console) as progress:
        crew = _Crew(progress, jobs, stopping)
        interrupted = crew.each(results, bring)
        _find_twins(results)
        duplicates = [result for result in results if result.sent and result.sent.duplicate]
        if not interrupted and len(duplicates) == len(results):
            interrupted = crew.each([whole], find_before)
            if interrupted or whole.error:
                return [*results, whole], interrupted
        if not interrupted and whole.session_id is None:
            # Together they make another session than they made apart, or with others.
            interrupted = crew.each(duplicates, lambda result, show: bring(result, show, again=True))
        if interrupted or any(result.error for result in results):
            return results, interrupted
        interrupted = crew.each([whole], join)
    for result in results:
        result.session_id = whole.session_id
    return [*results, whole], interrupted


def _made_before(client: Client, brought: Sequence[Brought]) -> UUID | None:
    """The session that was made of these files and no others, if there is one."""
    made = {sent.session_id for sent in brought}
    session_id = made.pop()
    if made or session_id is None:
        return None
    held = {file.sha256 for file in client.session(session_id).files}
    return session_id if held == {sent.content.sha256 for sent in brought} else None


def _find_twins(results: list[Result]) -> None:
    """The same bytes under two names would be one file of the session."""
    seen: dict[UUID, Result] = {}
    for result in results:
        if result.sent is None or result.sent.duplicate:
            continue
        twin = seen.setdefault(result.sent.upload_id, result)
        if twin is not result:
            told = f"It holds the same bytes as {twin.file.name}."
            result.error = ClientError(told, remedy="Name each recording once.", code=Code.DUPLICATE_ARTIFACT)


def _bars(console: Console) -> Progress:
    columns = (
        TextColumn("{task.description}", markup=False),
        TextColumn("{task.fields[step]}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[amount]}", markup=False),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=console, disable=not console.is_terminal, transient=True)


@dataclass(frozen=True, slots=True)
class _Crew:
    """Does something for each of several files, `jobs` at a time."""

    progress: Progress
    jobs: int
    stopping: threading.Event

    def each(self, results: list[Result], do: Callable[[Result, Callable[[Step], None]], None]) -> bool:
        """Calls `do` for each result, which gets the error if there is one; gives whether the user interrupted it."""
        give_up = threading.Event()

        def one(result: Result) -> None:
            if give_up.is_set():
                result.error = ClientError("Not begun, as the service could not be used.")
                return
            bar = _Bar(self.progress, printable(result.file.name))
            try:
                do(result, bar.show)
            except ClientError as error:
                result.error = error
                if _pointless(error):
                    give_up.set()
            finally:
                bar.remove()

        pool = ThreadPoolExecutor(max_workers=self.jobs)
        futures: list[Future[None]] = [pool.submit(one, result) for result in results]
        try:
            for future in futures:
                future.result()
        except KeyboardInterrupt:
            self.stopping.set()
            pool.shutdown(wait=False, cancel_futures=True)
            wait(futures, timeout=_PATIENCE_S)
            for result in results:
                if result.session_id is None and result.error is None:
                    result.error = Interrupted()
            return True
        pool.shutdown()
        return False


class _Bar:
    """A file's bar: bytes while they move, then a pulse while the service works."""

    def __init__(self, progress: Progress, name: str) -> None:
        self._progress = progress
        self._name = name
        self._counts = False
        self._task = self._add()

    def show(self, step: Step) -> None:
        """As far as it is."""
        if self._counts and not step.total:  # a bar cannot forget its total
            self.remove()
            self._task = self._add()
        self._counts = step.total > 0
        words = step.note or str(step.phase)
        amount = f"{size(step.done)} of {size(step.total)}" if step.total else ""
        self._progress.update(self._task, step=words, total=step.total or None, completed=step.done, amount=amount)

    def remove(self) -> None:
        """When all is said."""
        self._progress.remove_task(self._task)

    def _add(self) -> TaskID:
        return self._progress.add_task(self._name, total=None, step="", amount="")


def _send(client: Client, result: Result, wish: Wish, show: Callable[[Step], None]) -> None:
    deliver = client.deliver if wish.finalise_on_receipt else client.send
    sent = deliver(result.file, show, name=wish.name, again=wish.again)
    result.sent, result.session_id = sent, sent.session_id
    if wish.wait:
        session_id = sent.session_id or client.wait_for_session(sent.upload_id, seconds=wish.seconds)
        result.session_id = session_id
        result.session = client.wait(session_id, show, seconds=wish.seconds)


def _pointless(error: ClientError) -> bool:
    """That no other file will fare better."""
    if isinstance(error, Unreachable):
        return not isinstance(error, BrokenOff)
    return error.code in (Code.UNAUTHENTICATED, Code.FORBIDDEN)

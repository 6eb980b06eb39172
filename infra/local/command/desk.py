"""What every verb of `telemetry` works with: the client, where results and explanations go, what an error means."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from infra.local.client import Client, ClientError, Interrupted, ServiceError, StillProcessing, Unreachable
from infra.local.command import words
from infra.local.command.parser import Exit
from telemetry import command_line
from telemetry.api import models
from telemetry.errors import CATALOGUE, Code

_ID_WIDTH = 36


@dataclass(frozen=True, slots=True)
class Desk:
    """What a verb works with: where results and where explanations go, and `connect`, which gives the client."""

    connect: Callable[[], Client]
    out: Console
    err: Console
    stopping: threading.Event

    @property
    def client(self) -> Client:
        """The client; raises ClientError where no API or token is to be found."""
        return self.connect()

    def json(self, value: Any) -> None:
        """A result for machines."""
        self.out.print(command_line.json_text(value, indent=2), soft_wrap=True)

    def facts(self, facts: Iterable[tuple[str, str]]) -> None:
        """Names and values, one a line."""
        table = Table(show_header=False, box=None, padding=(0, 2, 0, 0), pad_edge=False)
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in facts:
            table.add_row(name, value)
        self.out.print(table)

    def table(self, headings: tuple[str, ...], rows: Iterable[tuple[str, ...]], *, right: tuple[int, ...] = ()) -> None:
        """Rows below headings; the columns `right` hold numbers."""
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
        for index, heading in enumerate(headings):
            # An id is of use only as a whole.
            width = _ID_WIDTH if index == 0 and heading != "lap" else None
            table.add_column(heading, justify="right" if index in right else "left", no_wrap=True, min_width=width)
        for row in rows:
            table.add_row(*row)
        if table.row_count:
            self.out.print(table)
        else:
            self.err.print("None.")

    def explain(self, error: ClientError, about: str = "") -> None:
        """What went wrong, and what to do."""
        code = f"{error.code}: " if error.code else ""
        lines = [f"{about}: " * bool(about) + f"{code}{words.printable(error.message)}"]
        if error.remedy:
            lines.append(f"  {words.printable(error.remedy)}")
        if isinstance(error, ServiceError) and error.status >= 500 and error.request_id:
            lines.append(f"  Request {words.printable(error.request_id)}, for the people who run the service.")
        self.err.print("\n".join(lines), style="red", soft_wrap=True)


def exit_of(error: ClientError) -> Exit:
    """The exit code that an error means."""
    if isinstance(error, Interrupted):
        return Exit.INTERRUPTED
    if isinstance(error, StillProcessing):
        return Exit.STILL_PROCESSING
    if isinstance(error, Unreachable) or (isinstance(error, ServiceError) and error.status in (429, 502, 503, 504)):
        return Exit.UNREACHABLE
    if error.code in (Code.UNAUTHENTICATED, Code.FORBIDDEN):
        return Exit.NOT_SIGNED_IN
    return Exit.FAILED


def failure_of(failure: models.Failure) -> ClientError:
    """A failed session's reason, its remedy by itself."""
    remedy = CATALOGUE[Code(failure.code)].remedy if failure.code in Code.__members__ else ""
    message = failure.message.removesuffix(remedy).rstrip() or failure.message
    return ClientError(message, remedy=remedy, code=failure.code)


def make_folder(folder: Path) -> None:
    """A folder to write to, with those above it; raises ClientError when it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ClientError(f"{folder} cannot be made: {error.strerror}.") from None

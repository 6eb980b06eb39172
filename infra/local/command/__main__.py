"""`telemetry VERB …`: reads the command line, finds the API, does what the verb says, and gives its exit code."""

import contextlib
import functools
import os
import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType

import httpx
from rich.console import Console

from infra.local import access
from infra.local.client import Client, ClientError
from infra.local.command.desk import Desk, exit_of
from infra.local.command.parser import Exit, parser
from infra.local.command.verbs import VERBS
from infra.local.process import default_directory
from telemetry import command_line

_PIPE_WIDTH = 200


def main(arguments: Sequence[str] | None = None, *, transport: httpx.BaseTransport | None = None) -> int:
    """Does one command; gives its exit code (`parser.Exit`). `transport` stands in for the network."""
    given = parser().parse_args(arguments)
    # Names of files and sessions are shown as they are, whatever brackets and colons they hold.
    out = Console(highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)
    err = Console(highlight=False, markup=False, emoji=False, stderr=True)
    stopping = threading.Event()
    with contextlib.ExitStack() as opened:

        @functools.cache
        def connect() -> Client:
            try:
                found = access.find(given.url, given.token, environment=os.environ, directory=default_directory())
                return opened.enter_context(Client(found.url, found.token, stopping=stopping, transport=transport))
            except ClientError as error:
                raise NoAccess(error) from None

        desk = Desk(connect, out, err, stopping)
        try:
            return int(VERBS[given.verb](desk, given))
        except NoAccess as missing:
            err.print(f"{missing.error.message}\n  {missing.error.remedy}", style="red", soft_wrap=True)
            return int(Exit.NOT_SIGNED_IN if missing.error.code else Exit.USAGE)
        except ClientError as error:
            desk.explain(error)
            return int(exit_of(error))
        except KeyboardInterrupt:
            err.print("Interrupted. The same command goes on where this one stopped.")
            return int(Exit.INTERRUPTED)


class NoAccess(Exception):
    """No API, or no token for it; `error` says what to set."""

    def __init__(self, error: ClientError) -> None:
        super().__init__(error.message)
        self.error = error


def run() -> None:
    """The entry of the launcher."""

    def interrupt(number: int, _: FrameType | None) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    signal.signal(signal.SIGTERM, interrupt)
    code = command_line.concluded(main)
    if code == Exit.INTERRUPTED:
        os._exit(code)  # a thread that waits for a slow network keeps nobody waiting
    sys.exit(code)


if __name__ == "__main__":
    run()

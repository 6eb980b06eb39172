"""What `python -m telemetry.formats` and `python -m telemetry.laps` share: files in, one outcome each out.

Touches the standard streams alone; what a file brings along never steers the terminal. An outcome is ready for JSON
and says ``file`` and ``outcome``: ``ok`` or a code of the catalogue, then with ``message``.
"""

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO, cast

FAILED = 1
INTERRUPTED = 130


def printable(text: object) -> str:
    """Text of a file or a person without what would steer a terminal."""
    return "".join(character if character.isprintable() else "\ufffd" for character in str(text))


def json_text(value: Any, *, indent: int | None = None) -> str:
    """JSON that reads as it is, what would steer a terminal escaped."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


def concluded(command: Callable[[], int]) -> int:
    """Runs a command to its exit status; no traceback where it is interrupted or its output has nowhere to go."""
    output = _Watched(sys.stdout)
    with contextlib.redirect_stdout(cast(TextIO, output)):
        try:
            status = command()
            output.flush()
        except KeyboardInterrupt:
            sys.stderr.write("Interrupted.\n")
            return INTERRUPTED
        except OSError as error:
            if not output.lost:
                raise
            # What is still to be written would fail again at the very end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            if not isinstance(error, BrokenPipeError):  # the reader, `head` for example, has seen enough
                sys.stderr.write(f"standard output: {error.strerror or error}\n")
            return FAILED
    return status


class _Watched:
    """A stream that knows whether it was the one that failed: `lost`."""

    def __init__(self, stream: TextIO) -> None:
        self.lost = False
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str, /) -> int:
        with self._noticed():
            return self._stream.write(text)

    def flush(self) -> None:
        with self._noticed():
            self._stream.flush()

    @contextlib.contextmanager
    def _noticed(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            self.lost = True
            raise


def parser(module: str, description: str) -> argparse.ArgumentParser:
    """The arguments that both take: `files`, and `--json`."""
    made = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    made.add_argument("files", nargs="+", type=Path, metavar="FILE")
    made.add_argument("--json", action="store_true", help="one JSON object a line and file")
    return made


def tell(
    options: argparse.Namespace,
    examine: Callable[[Path], dict[str, Any]],
    readable: Callable[[dict[str, Any]], Iterable[str]],
) -> int:
    """Writes the outcome of each file as soon as it is known; the exit status, 1 where a file could not be read.

    Parameters
    ----------
    examine : gives a file's outcome.
    readable : gives the lines that tell an outcome that is ``ok``.
    """
    status = 0
    for path in options.files:
        try:
            outcome = examine(path)
        except OSError as error:
            sys.stderr.write(f"{printable(_trouble(path, error))}\n")
            status = FAILED
            continue
        if options.json:
            lines = [json_text(outcome)]
        elif outcome["outcome"] == "ok":
            lines = [outcome["file"], *(f"  {line}" for line in readable(outcome))]
        else:
            lines = [outcome["file"], f"  {outcome['outcome']}: {outcome['message']}"]
        sys.stdout.write("\n".join([*map(printable, lines), ""]))
        sys.stdout.flush()
    return status


def _trouble(path: Path, error: OSError) -> str:
    """What failed, by its own name where that is not the file itself."""
    about = [str(path)]
    if error.filename is not None and os.fsdecode(error.filename) != about[0]:
        about.append(os.fsdecode(error.filename))
    return ": ".join([*about, error.strerror or str(error)])

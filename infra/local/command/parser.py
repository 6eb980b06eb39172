"""The command line's own words: verbs, options, exit codes."""

import argparse
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from uuid import UUID

from infra.local.access import TOKEN_VARIABLE, URL_VARIABLE
from telemetry.api.models.sessions import MOST_SESSIONS

MOST_JOBS = 16
_SESSION = "a session's id, as `sessions` lists them"


class Exit(IntEnum):
    """Exit codes. Where several apply, the highest of 1, 3, 4, 5 is given."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    STILL_PROCESSING = 3
    UNREACHABLE = 4
    NOT_SIGNED_IN = 5
    INTERRUPTED = 130


_EPILOG = f"""\
Address and token come from --url and --token, else from {URL_VARIABLE} and {TOKEN_VARIABLE}, else from a
running `make up`. A token on the command line is seen by other users of the machine; prefer the variable.

exit codes:
  0    done
  1    the service refused something, or a recording could not be used; standard error says why and what to do
  2    the command was not understood
  3    still processing after --timeout
  4    the service or its file store could not be reached
  5    the token is missing, not valid or not sufficient
  130  interrupted; the same command goes on where it stopped
"""


def parser() -> argparse.ArgumentParser:
    """The parser of `telemetry`."""
    top = argparse.ArgumentParser(
        prog="telemetry",
        description="Upload GNSS recordings, look at what became of them, fetch the results.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    access = argparse.ArgumentParser(add_help=False)
    access.add_argument("--url", help="address of the API")
    access.add_argument("--token", help="access token")
    json = argparse.ArgumentParser(add_help=False)
    json.add_argument("--json", action="store_true", help="print JSON")
    wait = argparse.ArgumentParser(add_help=False)
    wait.add_argument("--wait", action="store_true", help="until the recording is ready or has failed")
    wait.add_argument("--timeout", type=_seconds, default=900.0, metavar="SECONDS", help="longest wait (900)")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, text: str, *more: argparse.ArgumentParser) -> argparse.ArgumentParser:
        return verbs.add_parser(
            name, help=text, description=text[0].upper() + text[1:] + ".", parents=[access, *more], allow_abbrev=False
        )

    upload = verb("upload", "send recordings; what broke off before goes on", wait, json)
    upload.add_argument("files", nargs="+", type=Path, metavar="FILE")
    session = upload.add_mutually_exclusive_group()
    session.add_argument("--name", help="name of the session (one FILE); by default the file's")
    session.add_argument("--session", metavar="NAME", help="make one session of all FILEs, and call it so")
    upload.add_argument("--jobs", type=_jobs, default=4, metavar="N", help=f"files at a time, 1 to {MOST_JOBS} (4)")
    upload.add_argument("--again", action="store_true", help="also files whose bytes made a session before")
    upload.add_argument(
        "--finalise-on-receipt", action="store_true", help="let the service finalise once it has the bytes"
    )

    sessions = verb("sessions", "list sessions, newest first", json)
    sessions.add_argument("--status", choices=("processing", "ready", "failed", "cancelled"))
    sessions.add_argument("--from", dest="from_time", type=_time, metavar="TIME", help="ISO 8601; UTC if it names none")
    sessions.add_argument("--to", dest="to_time", type=_time, metavar="TIME")
    sessions.add_argument("--device", type=UUID, metavar="DEVICE", help="a device's id, as `devices` lists them")
    sessions.add_argument("--limit", type=_limit, default=25, metavar="N", help=f"of a page, 1 to {MOST_SESSIONS} (25)")
    page = sessions.add_mutually_exclusive_group()
    page.add_argument("--cursor", help="go on from an earlier page")
    page.add_argument("--all", action="store_true", help="every page")

    for name, text, more in (
        ("show", "a session in detail, with what is good and bad in it", [json]),
        ("laps", "the laps of a session", [json]),
        ("cancel", "stop the processing of a session", [json]),
    ):
        verb(name, text, *more).add_argument("session", type=UUID, metavar="SESSION", help=_SESSION)
    verb("retry", "process a failed session once more", wait, json).add_argument(
        "session", type=UUID, metavar="SESSION", help=_SESSION
    )

    download = verb("download", "fetch the Parquet files of a session, verified by their SHA-256")
    download.add_argument("session", type=UUID, metavar="SESSION", help=_SESSION)
    download.add_argument("-o", "--output", type=Path, default=Path(), metavar="DIR", help="where to (here)")
    download.add_argument("--stream", action="append", help="only this one, for example gnss_pvt; may be repeated")

    track = verb("track", "fetch a simplified track for a map, as GeoJSON")
    track.add_argument("session", type=UUID, metavar="SESSION", help=_SESSION)
    track.add_argument("-o", "--output", type=Path, metavar="FILE", help="where to (SESSION.geojson)")

    _plot_options(verb("plot", "draw a session or a recording: track, speed, altitude, laps"))

    delete = verb("delete", "delete sessions for good, with all their files")
    delete.add_argument("sessions", nargs="+", type=UUID, metavar="SESSION", help=_SESSION)
    delete.add_argument("-y", "--yes", action="store_true", help="do not ask")

    rename = verb("rename", "give a session another name", json)
    rename.add_argument("session", type=UUID, metavar="SESSION", help=_SESSION)
    rename.add_argument("name", metavar="NAME", help="the new name")

    gate = verb("gate", "set the start/finish line of a session; its laps are found again", json)
    gate.add_argument("session", type=UUID, metavar="SESSION", help=_SESSION)
    gate.add_argument("file", type=Path, metavar="FILE", help="JSON: latitude1Deg, longitude1Deg, … and sectors")

    verb("devices", "list recording devices", json)
    return top


def _plot_options(plot: argparse.ArgumentParser) -> None:
    plot.add_argument("what", metavar="SESSION|FILE", help=f"{_SESSION}, a recording, or a canonical Parquet file")
    plot.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="where to; its ending tells the format (NAME.png)"
    )
    plot.add_argument("--format", choices=("png", "svg"), help="where the ending does not tell it")
    plot.add_argument("--over", choices=("time", "distance"), default="time", help="what the charts run along (time)")
    plot.add_argument("--theme", choices=("light", "dark"), default="light", help="the ground (light)")


def _number(text: str, lowest: int, highest: int) -> int:
    if not text.isdecimal() or not lowest <= int(text) <= highest:
        raise argparse.ArgumentTypeError(f"takes a number from {lowest} to {highest}")
    return int(text)


def _jobs(text: str) -> int:
    return _number(text, 1, MOST_JOBS)


def _limit(text: str) -> int:
    return _number(text, 1, MOST_SESSIONS)


def _seconds(text: str) -> float:
    return float(_number(text, 0, 7 * 24 * 3600))


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError("takes a time such as 2026-05-16 or 2026-05-16T09:30:00Z") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)

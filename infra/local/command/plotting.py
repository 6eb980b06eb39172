"""`telemetry plot`: a session, or a file that no service has seen, as a picture."""

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from infra.local.client import ClientError
from infra.local.command import words
from infra.local.command.desk import Desk, failure_of, make_folder
from infra.local.command.parser import Exit
from telemetry.api import models
from telemetry.domain.streams import GNSS_PVT
from telemetry.errors import TelemetryError

if TYPE_CHECKING:
    from infra.local.plot.drive import Drive

_FORMATS = ("png", "svg")


def plot(desk: Desk, given: argparse.Namespace) -> Exit:
    """Writes the picture into a file. A file is drawn without the service."""
    session_id = _session_id(given.what)
    name = str(session_id) if session_id else Path(given.what).stem
    file_format = given.format or (given.output.suffix.lower().removeprefix(".") if given.output else _FORMATS[0])
    if file_format not in _FORMATS:
        desk.err.print("The output's name ends in .png or .svg; or --format says which.", style="red")
        return Exit.USAGE
    output: Path = given.output or Path(f"{name}.{file_format}")
    with desk.err.status("", spinner="dots") as status, tempfile.TemporaryDirectory(prefix="telemetry-") as directory:
        status.update("reading")
        try:
            # Matplotlib and Arrow take their time; no other verb waits for them.
            from infra.local.plot.figure import picture

            drive = (
                _of_session(desk, session_id, Path(directory))
                if session_id
                else _of_file(Path(given.what), Path(directory))
            )
            status.update("drawing")
            content = picture(drive, file_format=file_format, over=given.over, theme=given.theme)
        except TelemetryError as error:
            raise failure_of(models.Failure(code=str(error.code), message=error.message)) from None
    make_folder(output.parent)
    try:
        output.write_bytes(content)
    except OSError as error:
        raise ClientError(f"{output} cannot be written: {error.strerror}.") from None
    laps = f", {words.counted(len(drive.laps), 'lap', 'laps')}" if drive.laps else ""
    points = sum(len(trace.time_us) for trace in drive.traces)
    files = f", {len(drive.traces)} files" if len(drive.traces) > 1 else ""
    desk.out.print(f"{output}  {words.counted(points, 'point', 'points')}{laps}{files}", soft_wrap=True)
    return Exit.DONE


def _session_id(what: str) -> UUID | None:
    try:
        return UUID(what)
    except ValueError:
        return None


def _of_file(file: Path, directory: Path) -> "Drive":
    from infra.local.plot.drive import drive_of_recording

    try:
        return drive_of_recording(file, directory)
    except OSError as error:
        raise ClientError(f"{file} cannot be read: {error.strerror}.", remedy="Check the path.") from None


def _of_session(desk: Desk, session_id: UUID, directory: Path) -> "Drive":
    from infra.local.plot.drive import drive_of_session

    session = desk.client.session(session_id)
    if session.failure is not None:
        raise failure_of(session.failure)
    tracks = [dataset for dataset in desk.client.datasets(session_id) if dataset.stream == GNSS_PVT]
    if not tracks:
        raise ClientError(f"It is {session.status}; it has no track yet.", remedy="Look at it with `telemetry show`.")
    files = [directory / f"{dataset.dataset_id}.parquet" for dataset in tracks]
    for dataset, file in zip(tracks, files, strict=True):
        desk.client.download(dataset, file)
    return drive_of_session(session, files, desk.client.laps(session_id))

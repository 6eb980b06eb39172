"""`make demo`: the main job on this machine. Starts the stack, uploads recordings as an app would, shows the result.

Without arguments it takes the three sample recordings; one of them has no time column and is expected to fail.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from infra.local.client import Client, ClientError, Step
from infra.local.process import ROOT, StackError
from infra.local.stack import Backend, Stack, backend_from_environment, ends_on_signals
from telemetry.api import models

FIXTURES = ROOT / "fixtures" / "telemetry"
READY = "READY"
SAMPLES = {
    "sample_gnss_10hz.csv": READY,
    "sample_track.gpx": READY,
    "csv_no_time.csv": "CSV_NO_TIME_COLUMN",
}
SECONDS = 900.0
FIRST_ROWS = 3
LOG_WIDTH = 200


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one recording.

    Attributes
    ----------
    verdict : READY, the failure's code, or CANCELLED.
    message : for a failure, what the user reads.
    raw_gone : None where nobody looked, since the raw file is kept.
    first_rows : of the first Parquet file, as column name to values.
    """

    file: Path
    verdict: str
    session: models.SessionDetail
    message: str = ""
    parquet: tuple[str, ...] = ()
    raw_gone: bool | None = None
    first_rows: dict[str, list[Any]] | None = None


def process(stack: Stack, file: Path, say: Callable[[str], None]) -> Outcome:
    """Sends one file through the running stack and looks at what comes out.

    Raises
    ------
    ClientError : when the service or the store does not do its part.
    """

    def tell(step: Step) -> None:
        say(str(step))

    # Nothing is remembered for later: the stack ends with the demo.
    with tempfile.TemporaryDirectory() as folder, Client(stack.api_url, stack.token(), state=Path(folder)) as client:
        sent = client.send(file, tell)
        session = client.wait(sent.session_id, tell, seconds=SECONDS)
        if session.status != "ready":
            failure = session.failure
            say(failure.code if failure else session.status)
            return Outcome(
                file, failure.code if failure else session.status.upper(), session, failure.message if failure else ""
            )
        datasets = client.datasets(sent.session_id)
        rows = _first_rows(client, datasets[0], Path(folder)) if datasets else None
        raw_gone = _wait_until_raw_is_gone(stack, sent.url or "")
        return Outcome(
            file,
            READY,
            client.session(sent.session_id),
            parquet=tuple(_place(stack, dataset.download.url) for dataset in datasets),
            raw_gone=raw_gone,
            first_rows=rows,
        )


def _first_rows(client: Client, dataset: models.DownloadableDataset, folder: Path) -> dict[str, list[Any]]:
    import pyarrow.parquet

    file = folder / "dataset.parquet"
    client.download(dataset, file)
    batch = next(pyarrow.parquet.ParquetFile(file).iter_batches(batch_size=FIRST_ROWS))
    columns: dict[str, list[Any]] = batch.to_pydict()
    return columns


def _wait_until_raw_is_gone(stack: Stack, put_url: str, *, seconds: float = 20.0) -> bool | None:
    """Looks where the raw bytes were put, with the operator's rights, until they are gone."""
    if int(stack.environment.get("TELEMETRY_RAW_RETENTION_DAYS", "0")) > 0:
        return None
    limit = time.monotonic() + seconds
    while _raw_exists(stack, put_url):
        if time.monotonic() > limit:
            return False
        time.sleep(0.05)
    return True


def _raw_exists(stack: Stack, put_url: str) -> bool:
    path = unquote(urlsplit(put_url).path)
    if stack.backend == "local":
        return (stack.files / path.partition("/files/")[2]).exists()
    bucket = stack.outputs["RawBucketName"]
    key = path.removeprefix(f"/{bucket}").lstrip("/")
    found = stack.client_of("s3").list_objects_v2(Bucket=bucket, Prefix=key)
    return any(entry["Key"] == key for entry in found.get("Contents", []))


def _place(stack: Stack, get_url: str) -> str:
    path = unquote(urlsplit(get_url).path)
    if stack.backend == "local":
        return str(stack.files / path.partition("/files/")[2])
    bucket = stack.outputs["CanonicalBucketName"]
    return f"s3://{bucket}/{path.removeprefix(f'/{bucket}').lstrip('/')}"


def process_all(stack: Stack, files: Iterable[Path], console: Console) -> list[Outcome]:
    """Sends all files at once, as several users would, and shows how far each is."""
    files = list(files)
    columns = (
        SpinnerColumn(finished_text="•"),
        TextColumn("{task.description}"),
        TextColumn("{task.fields[step]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:

        def one(file: Path) -> Outcome:
            task = progress.add_task(file.name, total=1, step="")
            last = ""

            def say(step: str) -> None:
                nonlocal last
                progress.update(task, step=step)
                plain = step.rstrip("0123456789 %")
                if not console.is_terminal and plain != last:
                    console.print(f"  {file.name}: {plain}", markup=False)
                last = plain

            outcome = process(stack, file, say)
            progress.update(task, completed=1)
            return outcome

        pool = ThreadPoolExecutor(max_workers=4)
        try:
            return list(pool.map(one, files))
        finally:
            # After Ctrl-C nobody waits for the others: they end when the stack does.
            pool.shutdown(wait=False, cancel_futures=True)


def show(console: Console, outcomes: Iterable[Outcome]) -> None:
    """One table a recording."""
    for outcome in outcomes:
        console.print()
        good = outcome.verdict == READY
        table = Table(
            title=outcome.file.name,
            title_justify="left",
            title_style="bold",
            show_header=False,
            box=None,
            padding=(0, 2),
        )
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        table.add_row("status", f"[green]{READY}[/green]" if good else f"[yellow]FAILED[/yellow]  {outcome.verdict}")
        for name, value in _facts(outcome):
            table.add_row(name, value)
        console.print(table)
        if outcome.first_rows:
            console.print(_rows_table(outcome.first_rows, console.width))


def _facts(outcome: Outcome) -> Iterable[tuple[str, str]]:
    session = outcome.session
    if outcome.verdict != READY:
        yield "why", outcome.message
        yield "session", str(session.session_id)
        return
    summary = session.summary
    datasets = session.datasets
    track = next((d for d in datasets if d.stream == "gnss_pvt"), datasets[0] if datasets else None)
    quality = track.quality if track else {}
    yield "time", f"{_cell('', session.start_time_utc)} to {_cell('', session.end_time_utc)}"
    yield "points", _points(summary, quality)
    yield "rate", _with_unit(quality.get("nominalRateHz"), "Hz", 3)
    yield "distance", _with_unit((summary.get("distanceM") or 0) / 1000, "km", 3)
    yield "laps", str(len(session.laps))
    for place, dataset in zip(outcome.parquet, datasets, strict=False):
        yield (
            "Parquet",
            f"{dataset.stream}, {dataset.row_count:,} rows, {dataset.byte_size:,} bytes\n{_shortened(place)}",
        )
    gone = {True: "gone, as it should be", False: "[red]still there[/red]", None: "kept: TELEMETRY_RAW_RETENTION_DAYS"}
    yield "raw object", gone[outcome.raw_gone]
    yield "session", str(session.session_id)


def _shortened(place: str) -> str:
    """An S3 address with its name and what fits of its beginning: the object ends with the demo. A path as it is."""
    name = place.rpartition("/")[2]
    return f"{place[: 56 - len(name)]}…/{name}" if place.startswith("s3://") and len(place) > 58 else place


def _points(summary: dict[str, Any], quality: dict[str, Any]) -> str:
    read, rejected = quality.get("rowsRead"), sum(r["count"] for r in (quality.get("rejected") or {}).values())
    of = f" of {read} rows" if isinstance(read, int) else ""
    return f"{summary.get('points')}{of}" + (f", {rejected} rejected" if rejected else "")


def _with_unit(value: float | None, unit: str, digits: int) -> str:
    return "unknown" if value is None else f"{round(value, digits):g} {unit}"


def _rows_table(columns: dict[str, list[Any]], width: int) -> Table:
    """The first rows: the columns that are not empty in them, as many as `width` characters hold."""
    table = Table(padding=(0, 1), header_style="dim")
    shown: list[list[str]] = []
    filled = {name: values for name, values in columns.items() if any(value is not None for value in values)}
    for name, values in filled.items():
        cells = [_cell(name, value) for value in values]
        needed = max(len(name), *map(len, cells)) + 3
        if shown and needed > width - 12:
            table.add_column("…", no_wrap=True)
            shown.append([f"+{len(filled) - len(shown)}"] * len(cells))
            break
        width -= needed
        table.add_column(name, justify="right", no_wrap=True)
        shown.append(cells)
    for row in zip(*shown, strict=True):
        table.add_row(*row)
    return table


def _cell(column: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.7f}" if column in ("latitude_deg", "longitude_deg") else f"{value:.6g}"
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return str(value)


def as_expected(outcome: Outcome, expected: str | None) -> bool:
    """True when the outcome is the expected one; of a file of the user's own any clear verdict is."""
    if outcome.verdict == READY and outcome.raw_gone is False:
        return False
    return expected is None or outcome.verdict == expected


def run(files: dict[Path, str | None], *, backend: Backend, console: Console) -> int:
    """The whole demo; returns the exit code."""
    started = time.monotonic()
    with console.status("Starting", spinner="dots") as status:
        stack = Stack(
            purpose="make demo",
            backend=backend,
            progress=lambda text: status.update(text) if console.is_terminal else console.print(text),
        )
        stack.__enter__()
    try:
        up = time.monotonic() - started
        console.print(f"Stack up after {up:.1f} s: {stack.api_url}", markup=False)
        try:
            outcomes = process_all(stack, files, console)
        except ClientError as error:
            stack.check()
            raise StackError(f"{error}\nWhat the parts wrote lies in {stack.logs}.") from error
    finally:
        stack.__exit__()
    show(console, outcomes)
    wrong = [o for o, expected in zip(outcomes, files.values(), strict=True) if not as_expected(o, expected)]
    console.print()
    for outcome in wrong:
        expected = files[outcome.file]
        console.print(
            f"[red]{outcome.file.name}: expected {expected}, got {outcome.verdict}, raw gone: {outcome.raw_gone}[/red]"
        )
        console.print(f"What the parts wrote lies in {stack.logs}.", markup=False)
    if "CSV_NO_TIME_COLUMN" in files.values() and not wrong:
        console.print("All three as expected: two are ready, and the one without a time column says so.")
    console.print(f"{time.monotonic() - started:.1f} s in all. `make up` keeps the stack running.")
    return 1 if wrong else 0


def main() -> int:
    """Exit code: 0 when every recording ended as expected, 1 otherwise, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("file", nargs="*", type=Path, help="recordings of your own")
    given: list[Path] = parser.parse_args().file
    console = Console(highlight=False, width=None if sys.stdout.isatty() else LOG_WIDTH)
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    for file in given:
        if not file.is_file():
            what = f"{file} is a directory, not a recording" if file.is_dir() else f"There is no file {file}"
            errors.print(f"{what}. Use it so: make demo FILE=path/to/recording", style="red", markup=False)
            return 1
    files: dict[Path, str | None] = dict.fromkeys(given) if given else {FIXTURES / n: v for n, v in SAMPLES.items()}
    try:
        with ends_on_signals():
            return run(files, backend=backend_from_environment(), console=console)
    except StackError as error:
        errors.print(str(error), style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        errors.print("Interrupted; everything is ended.")
        return 130


if __name__ == "__main__":
    sys.exit(main())

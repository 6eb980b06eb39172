"""What every reader is, takes and tells. Pure: a byte stream in, Arrow record batches out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

import pyarrow as pa

from telemetry.domain.laps import MOST_LAPS, MOST_SECTOR_LINES, START_FINISH
from telemetry.streams.tally import Tally


class ByteSource(Protocol):
    """A recording's bytes, uncompressed, read once from front to back."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; fewer only near the end, empty at the end."""
        ...


class TimeBasis(StrEnum):
    """How the timestamps came to be UTC."""

    GNSS_UTC = "gnss_utc"
    """The file says UTC, an offset or an epoch count."""
    INFERRED_DATE = "inferred_date"
    """The file gives time of day; the date was taken from its header, its name or the upload."""
    DEVICE_LOCAL = "device_local"
    """The file gives wall-clock time without a zone; it was read as UTC."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What is known of a recording from outside its bytes: the source of a date that the bytes lack."""

    file_name: str = ""
    uploaded_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Recognition:
    """A reader's claim on a file, from its first bytes.

    Attributes
    ----------
    format : the reader's name, for example ``gpx``.
    confidence : 0 to 1; the highest claim wins.
    reason : for people, for example ``GPX 1.1 by Garmin Connect``.
    """

    format: str
    confidence: float
    reason: str


@dataclass(frozen=True, slots=True)
class FileDevice:
    """The device that made the recording, as far as the file tells."""

    manufacturer: str | None = None
    model: str | None = None
    serial_number: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class FileLap:
    """A lap that the file itself brings: aware times, start inclusive."""

    number: int
    start_time: datetime
    end_time: datetime


@dataclass(frozen=True, slots=True)
class FileGate:
    """A start/finish or sector line that the file brings, from its left to its right end, in degrees."""

    latitude_1_deg: float
    longitude_1_deg: float
    latitude_2_deg: float
    longitude_2_deg: float
    name: str = START_FINISH


@dataclass(slots=True)
class Findings:
    """What a reader learns beside the batches; whole once the batches are exhausted.

    Attributes
    ----------
    dialect : for people, for example ``semicolon, decimal comma, km/h``.
    inferred : sentences about what was inferred rather than read (unit, date, dialect).
    rows_read : data rows or points met, usable or not.
    rejected : rows that never reached a batch, by reason (`malformed_row`, …).
    bad_cells : cells dropped to null in rows that were kept, by channel.
    laps_left_out : laps of the file beyond `MOST_LAPS`.
    """

    format: str = ""
    dialect: str = ""
    time_basis: TimeBasis = TimeBasis.GNSS_UTC
    inferred: list[str] = field(default_factory=list)
    rows_read: int = 0
    rejected: dict[str, Tally] = field(default_factory=dict)
    bad_cells: dict[str, Tally] = field(default_factory=dict)
    device: FileDevice | None = None
    laps: list[FileLap] = field(default_factory=list)
    laps_left_out: int = 0
    gates: list[FileGate] = field(default_factory=list)

    def keep_laps(self, laps: Sequence[FileLap]) -> None:
        """Takes the laps of the file, as many as may be; the others are counted."""
        self.laps.extend(laps[:MOST_LAPS])
        self.laps_left_out += len(laps[MOST_LAPS:])

    def keep_gates(self, gates: Sequence[FileGate]) -> None:
        """Takes the lines of the file: the start/finish line, or else the first, and as many others as may be."""
        first = next((gate for gate in gates if gate.name == START_FINISH), gates[0] if gates else None)
        others = [gate for gate in gates if gate is not first]
        left_out = {id(gate) for gate in others[MOST_SECTOR_LINES:]}
        if left_out:
            self.inferred.append(
                f"The file has {len(others)} sector lines: those after the first {MOST_SECTOR_LINES} were left out."
            )
        self.gates.extend(gate for gate in gates if id(gate) not in left_out)

    def reject(self, reason: str, row: int | None, count: int = 1) -> None:
        """Counts rows that cannot be kept."""
        self.rejected.setdefault(reason, Tally()).add(row, count)

    def reject_all(self, reason: str, rows: pa.Array) -> None:
        """Counts the rows of these numbers as rejected."""
        if len(rows):
            self.rejected.setdefault(reason, Tally()).add_all(rows)

    def bad_cells_at(self, channel: str, rows: pa.Array) -> None:
        """Counts one unreadable cell in each of these rows."""
        if len(rows):
            self.bad_cells.setdefault(channel, Tally()).add_all(rows)

    def bad_cell(self, channel: str, row: int | None, count: int = 1) -> None:
        """Counts cells that could not be read; their rows stay."""
        self.bad_cells.setdefault(channel, Tally()).add(row, count)


class Reader(Protocol):
    """One format. Adding a format is one module with one such object, and its place in `recognition.READER_MODULES`."""

    @property
    def name(self) -> str:
        """Short and stable, for example ``gpx``; stored with the artifact."""
        ...

    @property
    def title(self) -> str:
        """For people, for example ``GPX``."""
        ...

    def recognise(self, head: bytes, origin: Origin) -> Recognition | None:
        """Claims the file, or not, from its first bytes (up to 64 KiB, uncompressed)."""
        ...

    def read(self, source: ByteSource, origin: Origin, findings: Findings) -> Iterator[pa.RecordBatch]:
        """Yields batches in file order, in bounded memory, and fills `findings`.

        Columns: `timestamp` (microseconds UTC, null where the row has none), `latitude_deg` and `longitude_deg`
        (null where the row has no position), `source_row` (int64: line or point number, from 1), then any
        channel of `streams.channels` in its canonical unit and type, then others made by `channel_field`. A
        `flags` column may set `Flag.SEGMENT_START` and `Flag.INTERPOLATED_TIME`. A batch without a column
        `latitude_deg` holds a sensor's samples: they are no fixes, and none of them is rejected. Ranges, order and
        duplicates are judged later, for all formats alike, by `streams.normalise`.

        Raises
        ------
        TelemetryError : permanent codes of the catalogue, when the file as a whole cannot be used.
        """
        ...

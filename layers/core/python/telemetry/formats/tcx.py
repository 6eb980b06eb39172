"""TCX (Garmin Training Center): recognition, and reading in bounded memory.

Sources: Garmin's schema TrainingCenterDatabase v2. A point's position is optional; laps are the file's own.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import pyarrow as pa

from telemetry.errors import Code, TelemetryError
from telemetry.formats.creators import clean_creator, device
from telemetry.formats.iso8601 import parse_iso8601
from telemetry.formats.reader import ByteSource, FileDevice, FileLap, Findings, Origin, Recognition, TimeBasis
from telemetry.formats.tcx_points import TCX, CreatorTexts, LapTexts, TcxPoints
from telemetry.formats.xml_ahead import BLOCK_BYTES, batches_ahead
from telemetry.formats.xml_blocks import PointBlocks
from telemetry.formats.xml_channels import ChannelTable
from telemetry.formats.xml_numbers import parse_number
from telemetry.formats.xml_root import root_element

LONGEST_LAP_S = 7 * 86_400


@dataclass(frozen=True, slots=True)
class TcxReader:
    """Reads TCX.

    Parameters
    ----------
    block_bytes : how much is read and held at a time.
    fast : false leaves every point to expat; the result is the same.
    """

    name: str = "tcx"
    title: str = "TCX"
    block_bytes: int = BLOCK_BYTES
    fast: bool = True

    def recognise(self, head: bytes, origin: Origin) -> Recognition | None:
        """Claims every document whose root element is `TrainingCenterDatabase`, with any prefix."""
        root = root_element(head)
        if root is None or root.name != "TrainingCenterDatabase":
            return None
        return Recognition(self.name, 0.99, "TCX")

    def read(self, source: ByteSource, origin: Origin, findings: Findings) -> Iterator[pa.RecordBatch]:
        """See `Reader.read`. `source_row` counts trackpoints from 1; points in front of a damage come out first.

        Raises
        ------
        TelemetryError : NO_POSITION_DATA without any trackpoint, XML_MALFORMED or XML_FORBIDDEN.
        """
        collector = TcxPoints()
        findings.format = self.name
        findings.time_basis = TimeBasis.GNSS_UTC
        points = PointBlocks(collector, ChannelTable(findings, TCX), findings, self.fast)
        yield from batches_ahead(source, points, self.block_bytes)
        creator = collector.creator or CreatorTexts()
        by = clean_creator(creator.name) or clean_creator(collector.author)
        findings.dialect = f"TCX by {by}" if by else "TCX"
        findings.device = recorder(creator)
        findings.keep_laps(laps(collector.laps))
        findings.laps_left_out += collector.laps_left_out
        findings.inferred += points.remarks()
        if collector.planned:
            findings.inferred.append("a course: a program may have computed its times instead of recording them")
        if points.damage is not None:
            raise points.damage
        if findings.rows_read == 0:
            raise TelemetryError(Code.NO_POSITION_DATA, "no Trackpoint")


def recorder(creator: CreatorTexts) -> FileDevice | None:
    """The device that a `Creator` names; None where it is a program, which has neither unit nor product."""
    name = clean_creator(creator.name.partition(" (Unit ID")[0].partition(" Software Version")[0])
    serial = creator.unit_id if creator.unit_id.isascii() and creator.unit_id.isalnum() else ""
    serial = serial.lstrip("0")[:40]
    known = device(name)
    if known is not None:
        return FileDevice(known.manufacturer, known.model, serial or None)
    if not serial or not creator.product_id.strip("0"):
        return None
    return FileDevice(model=name or None, serial_number=serial)


def laps(texts: list[LapTexts]) -> list[FileLap]:
    """Laps by their start and their seconds; one without seconds lasts until the next one starts.

    One lap over everything is the recording itself, not a lap.
    """
    starts: list[datetime | None] = parse_iso8601(
        pa.array([lap.start_time for lap in texts], pa.string())
    ).times.to_pylist()
    seconds: list[float | None] = parse_number(pa.array([lap.seconds for lap in texts], pa.string())).to_pylist()
    found = []
    for start, taken, following in zip(starts, seconds, [*starts, None][1:], strict=True):
        if start is None or start.year > 9000:
            continue
        end = following
        if taken is not None and 0 < taken <= LONGEST_LAP_S:
            end = start + timedelta(seconds=taken)
        if end is not None and end > start:
            found.append((start, end))
    return [FileLap(number, *lap) for number, lap in enumerate(found, 1)] if len(texts) > 1 else []


READER = TcxReader()

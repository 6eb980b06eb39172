"""GPX 1.0 and 1.1: recognition, and reading in bounded memory.

Sources: the GPX schemas (topografix.com/GPX/1/0, /1/1). Points are found by namespace and local name, never by prefix;
all tracks, segments and extensions are read.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from telemetry.errors import Code, TelemetryError
from telemetry.formats.creators import clean_creator, device
from telemetry.formats.gpx_points import GPX, GpxPoints
from telemetry.formats.reader import ByteSource, Findings, Origin, Recognition, TimeBasis
from telemetry.formats.xml_ahead import BLOCK_BYTES, batches_ahead
from telemetry.formats.xml_blocks import PointBlocks
from telemetry.formats.xml_channels import ChannelTable
from telemetry.formats.xml_root import root_element


@dataclass(frozen=True, slots=True)
class GpxReader:
    """Reads GPX.

    Parameters
    ----------
    block_bytes : how much is read and held at a time.
    fast : false leaves every point to expat; the result is the same.
    """

    name: str = "gpx"
    title: str = "GPX"
    block_bytes: int = BLOCK_BYTES
    fast: bool = True

    def recognise(self, head: bytes, origin: Origin) -> Recognition | None:
        """Claims every document whose root element is `gpx`, with any prefix."""
        root = root_element(head)
        if root is None or root.name != "gpx":
            return None
        return Recognition(self.name, 0.99, _dialect(root.attributes.get("version"), root.attributes.get("creator")))

    def read(self, source: ByteSource, origin: Origin, findings: Findings) -> Iterator[pa.RecordBatch]:
        """See `Reader.read`. Points in front of a damage come out first, then the error.

        Raises
        ------
        TelemetryError : GPX_NO_TRACK_POINTS, GPX_NO_TIME, XML_MALFORMED or XML_FORBIDDEN.
        """
        collector = GpxPoints()
        table = ChannelTable(findings, GPX)
        findings.format = self.name
        findings.time_basis = TimeBasis.GNSS_UTC
        points = PointBlocks(collector, table, findings, self.fast)
        yield from batches_ahead(source, points, self.block_bytes)
        findings.dialect = _dialect(collector.version, collector.creator)
        findings.device = device(clean_creator(collector.creator))
        findings.inferred += points.remarks()
        if points.damage is not None:
            raise points.damage
        if findings.rows_read == 0:
            raise TelemetryError(Code.GPX_NO_TRACK_POINTS, _met_instead(collector.waypoints, collector.route_points))
        if table.timed == 0:
            raise TelemetryError(Code.GPX_NO_TIME, f"{findings.rows_read} track points, none with a time")


def _dialect(version: str | None, creator: str | None) -> str:
    named = f"GPX {version}" if version in ("1.0", "1.1") else "GPX"
    by = clean_creator(creator or "")
    return f"{named} by {by}" if by else named


def _met_instead(waypoints: int, route_points: int) -> str:
    counts = {"waypoints": waypoints, "route points": route_points}
    met = " and ".join(f"{what} ({count})" for what, count in counts.items() if count)
    return f"no point of a track: only {met}" if met else "no point of a track"


READER = GpxReader()

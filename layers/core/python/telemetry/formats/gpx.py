"""GPX 1.0 and 1.1: recognition, and reading in bounded memory.

Sources: the GPX schemas (topografix.com/GPX/1/0, /1/1). Points are found by namespace and local name, never by prefix;
all tracks, segments and extensions are read.
"""

import re
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa

from telemetry.errors import Code, TelemetryError
from telemetry.formats.gpx_blocks import PointBlocks
from telemetry.formats.gpx_channels import ChannelTable
from telemetry.formats.gpx_points import PointCollector
from telemetry.formats.reader import ByteSource, FileDevice, Findings, Origin, Recognition, TimeBasis
from telemetry.formats.xml_root import root_element
from telemetry.formats.xml_stream import blocks

BLOCK_BYTES = 1 << 20
AHEAD_BLOCKS = 4
"""Blocks that may be parsed before the caller asks for them: it works in bursts, every few blocks."""
MAX_CREATOR_CHARACTERS = 60

# Creators that name a device rather than a program or a site. Without the maker's name only what is nothing else.
_GARMIN_ALONE = r"eTrex|GPSMAP|Edge \d|Forerunner|f[eē]nix|Oregon \d|Dakota \d|Montana \d|Colorado \d|Rino|Foretrex"
_FAMILIES = {
    "Garmin": (
        r"eTrex|GPSMAP|Edge|Forerunner|f[eē]nix|epix|Oregon|Dakota|Montana|Colorado|Rino|Monterra|VIRB|n[uü]vi|"
        r"z[uū]mo|v[ií]voactive|Instinct|Foretrex|Approach|inReach|Venu|MARQ|Enduro|Descent|Catalyst"
    ),
    "Wahoo": r"ELEMNT",
    "Suunto": r"Ambit|Spartan|Traverse|Race|Vertical|\d",
    "Polar": r"Vantage|Grit X|Pacer|[MV]\d{3}",
    "COROS": r"PACE|APEX|VERTIX|DURA",
    "Bryton": r"Rider|Aero",
    "Columbus": r"[VP]-?\d",
    "Qstarz": r"BT|LT|BL",
}


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
        version = root.attributes.get("version", "")
        creator = clean_creator(root.attributes.get("creator", ""))
        reason = f"GPX {version}" if version in ("1.0", "1.1") else "GPX"
        return Recognition(self.name, 0.99, f"{reason} by {creator}" if creator else reason)

    def read(self, source: ByteSource, origin: Origin, findings: Findings) -> Iterator[pa.RecordBatch]:
        """See `Reader.read`. Points in front of a damage come out first, then the error.

        Parsing goes on in a thread of its own while the caller works on earlier batches; the order of the blocks, and
        so the result, does not depend on how the two take turns. `source` is read by the caller's thread alone.

        Raises
        ------
        TelemetryError : GPX_NO_TRACK_POINTS, GPX_NO_TIME, XML_MALFORMED or XML_FORBIDDEN.
        """
        collector = PointCollector()
        table = ChannelTable(findings)
        findings.format = self.name
        findings.time_basis = TimeBasis.GNSS_UTC
        reading = PointBlocks(collector, table, findings, self.fast)
        cut_short: TelemetryError | None = None
        pieces = blocks(source, self.block_bytes)
        pool = ThreadPoolExecutor(1, thread_name_prefix="gpx")
        ahead: deque[Future[list[pa.RecordBatch]]] = deque()
        try:
            while reading.damage is None:
                try:
                    block = next(pieces, None)
                except TelemetryError as error:
                    # What was read before comes out first, and a damage in it is the one that counts.
                    cut_short = error
                    break
                if block is None:
                    ahead.append(pool.submit(reading.close))
                    break
                ahead.append(pool.submit(reading.feed, block))
                if len(ahead) > AHEAD_BLOCKS:
                    yield from ahead.popleft().result()
            while ahead:
                yield from ahead.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        _conclude(collector, table, findings)
        if damage := reading.damage or cut_short:
            raise damage
        if collector.stream.mistaken_encoding:
            findings.inferred.append("bytes that are not in the encoding the document declares were read as Latin-1")
        if findings.rows_read == 0:
            raise TelemetryError(Code.GPX_NO_TRACK_POINTS)
        if table.timed == 0:
            raise TelemetryError(Code.GPX_NO_TIME, f"{findings.rows_read} track points, none with a time")


def _conclude(collector: PointCollector, table: ChannelTable, findings: Findings) -> None:
    creator = clean_creator(collector.creator)
    version = f"GPX {collector.version}" if collector.version in ("1.0", "1.1") else "GPX"
    findings.dialect = f"{version} by {creator}" if creator else version
    findings.device = device(creator)
    findings.inferred += table.remarks()


def clean_creator(creator: str) -> str:
    """The creator as one short line: no addresses, no control characters."""
    without_addresses = re.sub(r"\S+://\S*|\bwww\.\S+|\S+@\S+", " ", creator)
    printable = "".join(c if c.isprintable() else " " for c in without_addresses)
    return " ".join(printable.split()).strip(" -–:,;|")[:MAX_CREATOR_CHARACTERS].rstrip()


def device(creator: str) -> FileDevice | None:
    """The device that a creator names; None where it names a program or a site, as most do."""
    for manufacturer, families in _FAMILIES.items():
        found = re.match(rf"{manufacturer}\s+((?:{families}).*)", creator, re.IGNORECASE)
        if found:
            return FileDevice(manufacturer=manufacturer, model=found[1])
    if re.match(_GARMIN_ALONE, creator):
        return FileDevice(manufacturer="Garmin", model=creator)
    return None


READER = GpxReader()

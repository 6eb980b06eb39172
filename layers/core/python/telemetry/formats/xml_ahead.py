"""Batches of a document's points, parsed ahead of their use in a thread of its own."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pyarrow as pa

from telemetry.errors import TelemetryError
from telemetry.formats.reader import ByteSource
from telemetry.formats.xml_blocks import PointBlocks
from telemetry.formats.xml_stream import blocks

BLOCK_BYTES = 1 << 20
AHEAD_BLOCKS = 4
"""Blocks that may be parsed before the caller asks for them: it works in bursts, every few blocks."""


def batches_ahead(source: ByteSource, points: PointBlocks, block_bytes: int) -> Iterator[pa.RecordBatch]:
    """The batches of all points in front of a damage; afterwards `points.damage` holds it, if any.

    Parsing goes on while the caller works on earlier batches; the order of the blocks, and so the result, does not
    depend on how the two take turns. `source` is read by the caller's thread alone.
    """
    cut_short: TelemetryError | None = None
    pieces = blocks(source, block_bytes)
    pool = ThreadPoolExecutor(1, thread_name_prefix="xml")
    ahead: deque[Future[list[pa.RecordBatch]]] = deque()
    try:
        while points.damage is None:
            try:
                block = next(pieces, None)
            except TelemetryError as error:
                # What was read before comes out first, and a damage in it is the one that counts.
                cut_short = error
                break
            if block is None:
                ahead.append(pool.submit(points.close))
                break
            ahead.append(pool.submit(points.feed, block))
            if len(ahead) > AHEAD_BLOCKS:
                yield from ahead.popleft().result()
        while ahead:
            yield from ahead.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    points.damage = points.damage or cut_short

"""What every input must end in: canonical files or a code of the catalogue, in bounded time and memory."""

import io
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from telemetry.errors import CATALOGUE, TelemetryError
from telemetry.formats.reader import Origin
from telemetry.recording import canonicalise

SLOWEST_S = 10.0
"""For inputs of up to a few hundred kilobytes, on a busy machine; they take milliseconds."""
LARGEST_ARROW_MB = 200
UPLOADED_AT = datetime(2024, 5, 1, 12, tzinfo=UTC)


def judge(data: bytes, file_name: str = "recording") -> str:
    """Reads `data` as the pipeline does; the format it was read as, or the code it was refused with.

    Raises
    ------
    AssertionError : a code that is none of a recording's, files left behind, too much time or memory. Any other
        exception is the reader's fault and passes through.
    """
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        try:
            canonical = canonicalise(io.BytesIO(data), Origin(file_name, UPLOADED_AT), directory=directory)
        except TelemetryError as error:
            entry = CATALOGUE[error.code]
            assert not entry.retryable, f"{error.code} would be tried again, and end the same way"
            assert len(error.detail) < 2000, f"{error.code} says too much"
            assert not list(directory.iterdir()), f"{error.code} left files behind"
            outcome = str(error.code)
        else:
            assert canonical.files[0].row_count > 0
            assert {path.name for path in directory.iterdir()} == {file.path.name for file in canonical.files}
            outcome = canonical.format
    took = time.perf_counter() - began
    assert took < SLOWEST_S, f"{len(data)} bytes took {took:.1f} s"
    held = pa.total_allocated_bytes() / 1e6
    assert held < LARGEST_ARROW_MB, f"{held:.0f} MB of Arrow memory were not given back"
    return outcome

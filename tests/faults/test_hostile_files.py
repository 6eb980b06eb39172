"""Zip bomb, nested zip, lying header, gzip with trailing garbage; 5 GB line without newline; billion laughs, external
entity, one 8 MB attribute: bounded memory and time, a typed error, and no retry of a permanent one."""

import gzip
import io
import os
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from telemetry import recording
from telemetry.errors import TelemetryError
from telemetry.formats.reader import Origin
from tests.faults.conftest import at_rest
from tests.faults.invariants import violations
from tests.faults.worker_pool import WorkerPool
from tests.plugins.harness import SAMPLES

CSV = (SAMPLES / "sample_gnss_10hz.csv").read_bytes()
GPX = (SAMPLES / "sample_track.gpx").read_bytes()
LONG_LINE_BYTES = 5_000_000_000 if os.environ.get("FAULTS_LONG") else 200_000_000
# A worker holds 60 to 71 MB here and takes less than a third of a second; the bombs unpack to 120 MB.
MOST_MB = 130.0
MOST_CPU_S = 4.0


def zip_of(**entries: bytes) -> bytes:
    """A deflated zip."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name.replace("_", "."), content)
    return packed.getvalue()


def zip_bomb() -> bytes:
    """120 MB of commas."""
    return zip_of(lap_csv=CSV[:60] + b"," * 120_000_000)


def gzip_bomb() -> bytes:
    """The same as gzip."""
    return gzip.compress(CSV[:60] + b"," * 120_000_000)


def lying_header() -> bytes:
    """The directory and the entry say 10 bytes; there are many more."""
    packed = bytearray(zip_of(lap_csv=CSV))
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        start = packed.index(signature) + offset
        packed[start : start + 4] = struct.pack("<I", 10)
    return bytes(packed)


def billion_laughs() -> bytes:
    """The classic, in GPX."""
    entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    declared = f'<!DOCTYPE gpx [<!ENTITY l0 "ha">{entities}]>'
    return f'<?xml version="1.0"?>{declared}<gpx><trk><name>&l9;</name></trk></gpx>'.encode()


def external_entity() -> bytes:
    """A file of the machine's own asked for."""
    return b'<?xml version="1.0"?><!DOCTYPE gpx [<!ENTITY x SYSTEM "file:///etc/passwd">]><gpx><trk>&x;</trk></gpx>'


def huge_attribute() -> bytes:
    """One attribute of 8 MB."""
    return GPX.replace(b"<trk>", b'<trk odd="' + b"a" * 8_000_000 + b'">', 1)


@pytest.mark.parametrize(
    ("make", "name", "code"),
    [
        (zip_bomb, "lap.zip", "ARCHIVE_TOO_LARGE"),
        (gzip_bomb, "lap.csv.gz", "ARCHIVE_TOO_LARGE"),
        (lambda: zip_of(a_zip=zip_of(lap_csv=CSV)), "a.zip", "FORMAT_UNRECOGNISED"),
        (billion_laughs, "laughs.gpx", "XML_FORBIDDEN"),
        (external_entity, "entity.gpx", "XML_FORBIDDEN"),
        (huge_attribute, "attribute.gpx", "XML_MALFORMED"),
    ],
    ids=["zip bomb", "gzip bomb", "nested zip", "billion laughs", "external entity", "8 MB attribute"],
)
def test_hostile_files(pool: WorkerPool, make: Callable[[], bytes], name: str, code: str) -> None:
    made = pool.harness.finalised(make(), name)
    worker = pool.start()
    worker.wait_done()
    assert "unexpected error" not in worker.text()
    assert worker.peak_mb() < MOST_MB
    assert worker.cpu_s() < MOST_CPU_S
    assert pool.harness.run(made)["error_code"] == code
    assert {job["attempt_count"] for job in pool.harness.jobs(made)} == {1}, "a permanent error is not tried again"
    assert violations(pool.harness) == []
    assert "root:" not in str(pool.harness.jobs(made))


@pytest.mark.parametrize(
    ("content", "name"),
    [(lying_header(), "lap.zip"), (gzip.compress(CSV) + b"garbage" * 100, "lap.csv.gz")],
    ids=["lying header", "gzip with trailing garbage"],
)
def test_archives_that_say_something_else_than_they_hold(pool: WorkerPool, content: bytes, name: str) -> None:
    """Read is what is there."""
    made = pool.harness.finalised(content, name)
    at_rest(pool)
    assert pool.harness.session(made)["status"] == "READY"
    dataset = next(one for one in pool.harness.datasets(made) if one["stream"] == "gnss_pvt")
    assert dataset["row_count"] == CSV.count(b"\n") - 1


class Endless:
    """A CSV whose last line never ends; made as it is read."""

    def __init__(self, byte_size: int) -> None:
        self._head = io.BytesIO(CSV)
        self._left = byte_size
        self._block = b"1" * (1 << 20)

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes."""
        block = self._head.read(size) or self._block[: min(size, self._left)]
        self._left -= len(block)
        return block


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_line_of_gigabytes_without_newline(packed: bool) -> None:
    """Its good rows are kept, or it is refused with a code: in either case in bounded memory."""
    source: Endless | Packed = Packed(LONG_LINE_BYTES) if packed else Endless(LONG_LINE_BYTES)
    before = _resident_mb()
    highest = before

    def watch(*_: int) -> None:
        nonlocal highest
        highest = max(highest, _resident_mb())

    with tempfile.TemporaryDirectory() as directory:
        try:
            made = recording.canonicalise(
                source, Origin(file_name="lap.csv", uploaded_at=None), directory=Path(directory), on_progress=watch
            )
        except TelemetryError as error:
            assert not error.retryable
            assert error.code in ("CSV_MALFORMED", "ARCHIVE_TOO_LARGE")
        else:
            assert made.files[0].row_count == CSV.count(b"\n") - 1
    watch()
    assert highest - before < 150


class Packed:
    """The same as gzip, packed as it is read."""

    def __init__(self, byte_size: int) -> None:
        self._plain = Endless(byte_size)
        self._packer = zlib.compressobj(1, zlib.DEFLATED, 31)
        self._ready = b""
        self._done = False

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes."""
        while not self._ready and not self._done:
            block = self._plain.read(1 << 20)
            self._ready = self._packer.compress(block) if block else self._packer.flush()
            self._done = not block
        block, self._ready = self._ready[:size], self._ready[size:]
        return block


def _resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

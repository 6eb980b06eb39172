"""From bytes to canonical files: outcomes, damage, metadata, equal bytes, bounded memory; with a reader made for it."""

import gzip
import io
import json
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from telemetry import recording
from telemetry.errors import Code, TelemetryError
from telemetry.formats import recognition
from telemetry.formats.reader import ByteSource, FileDevice, FileGate, FileLap, Findings, Origin, Recognition, TimeBasis
from telemetry.recording import Canonical, Identity, canonicalise, classify
from telemetry.streams import ordering
from telemetry.streams.channels import GNSS_PVT_SCHEMA, TIMESTAMP, channel_field
from tests.fuzz.seeds import seeds

START = 1_714_557_600_000_000
RAW = b"STUB" + bytes(range(32, 127)) * 3000


def track(count: int, first: int = 0, **columns: pa.Array) -> pa.RecordBatch:
    """10 Hz on a circle."""
    index = pa.arange(first, first + count)
    turn = pc.divide(index.cast(pa.float64()), 100.0)
    return pa.RecordBatch.from_pydict(
        {
            "timestamp": pc.add(pc.multiply(index, 100_000), START).view(TIMESTAMP),
            "latitude_deg": pc.add(pc.multiply(pc.sin(turn), 0.001), 52.0),
            "longitude_deg": pc.add(pc.multiply(pc.cos(turn), 0.002), -1.0),
            "speed_mps": pc.add(pc.multiply(pc.sin(turn), 5.0), 20.0).cast(pa.float32()),
            "source_row": pc.add(index, 2),
            **columns,
        }
    )


class StubReader:
    """Gives the batches it was told to, then raises what it was told to."""

    name = "stub"
    title = "Stub"

    def __init__(self) -> None:
        self.batches: Callable[[], Iterable[pa.RecordBatch]] = lambda: [track(1000)]
        self.error: Exception | None = None
        self.origins: list[Origin] = []
        self.seen = b""

    def recognise(self, head: bytes, origin: Origin) -> Recognition | None:
        return Recognition("stub", 0.9, "a stub") if head.startswith(b"STUB") else None

    def read(self, source: ByteSource, origin: Origin, findings: Findings) -> Iterator[pa.RecordBatch]:
        self.origins.append(origin)
        findings.time_basis = TimeBasis.INFERRED_DATE
        findings.dialect = "10 Hz"
        findings.device = FileDevice(model="Ünit", serial_number="7")
        findings.laps.append(
            FileLap(1, datetime(2024, 5, 1, 10, 0, tzinfo=UTC), datetime(2024, 5, 1, 10, 1, tzinfo=UTC))
        )
        findings.gates.append(FileGate(52.0, -1.0, 52.0, -1.001))
        self.seen = b""
        for batch in self.batches():
            self.seen += source.read(10_000)
            findings.rows_read += batch.num_rows
            yield batch
        while piece := source.read(10_000):
            self.seen += piece
        findings.reject("malformed_row", 3)
        if self.error:
            raise self.error


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> StubReader:
    stub = StubReader()
    monkeypatch.setattr(recognition, "readers", lambda: (stub,))
    monkeypatch.setattr(recognition, "possible_readers", lambda _: (stub,))
    monkeypatch.setattr("telemetry.recording.reader_named", lambda name: stub if name == stub.name else None)
    return stub


def run(directory: Path, raw: bytes = RAW, name: str = "a.stub", **options: Any) -> Canonical:
    return canonicalise(io.BytesIO(raw), Origin(name), directory=directory, **options)


def failure(directory: Path, raw: bytes = RAW, **options: Any) -> TelemetryError:
    with pytest.raises(TelemetryError) as caught:
        run(directory, raw, **options)
    assert not list(directory.iterdir())
    return caught.value


def test_whole_way(reader: StubReader, tmp_path: Path) -> None:
    reader.batches = lambda: [
        track(500, heart_rate_bpm=pa.array([61.0] * 500, pa.float32())),
        track(500, 500).append_column(channel_field("oil", "bar"), pa.array([2.5] * 500)),
    ]
    canonical = run(tmp_path, identity=Identity("s", "r", "a"))
    assert reader.seen == RAW
    assert [file.stream for file in canonical.files] == ["gnss_pvt", "biometrics", "vehicle"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["biometrics.parquet", "gnss_pvt.parquet", "vehicle.parquet"]
    first = canonical.files[0]
    assert (first.row_count, first.byte_size) == (1000, first.path.stat().st_size)
    assert first.start_time == datetime(2024, 5, 1, 10, 0, tzinfo=UTC)
    assert first.end_time == datetime(2024, 5, 1, 10, 1, 39, 900_000, tzinfo=UTC)
    assert [file.row_count for file in canonical.files[1:]] == [500, 500]
    table = pq.read_table(first.path)
    assert table.schema.remove_metadata().equals(GNSS_PVT_SCHEMA.remove_metadata())
    assert first.quality["rejected"] == {"malformed_row": {"count": 1, "firstRows": [3]}}
    assert first.quality["nominalRateHz"] == 10.0
    assert json.loads(json.dumps(first.quality)) == first.quality
    metadata = json.loads(pq.read_metadata(first.path).metadata[b"telemetry"])
    assert metadata["laps"] == [{"number": 1, "startTime": "2024-05-01T10:00:00Z", "endTime": "2024-05-01T10:01:00Z"}]
    assert metadata["device"] == {"manufacturer": None, "model": "Ünit", "serialNumber": "7", "name": None}
    assert metadata["gates"][0]["latitude1Deg"] == 52.0
    assert (metadata["sessionId"], metadata["runId"], metadata["artifactId"]) == ("s", "r", "a")
    assert metadata["timeBasis"] == "inferred_date"
    west, south, east, north = metadata["bbox"]
    assert [south, west, north, east] == first.quality["boundingBox"]


def test_equal_bytes_give_equal_files(reader: StubReader, tmp_path: Path) -> None:
    reader.batches = lambda: [
        track(3000, 3000),
        track(3000),
        track(2000, 1000).append_column("x", pa.array([1.0] * 2000)),
    ]
    hashes = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        hashes.append([(f.stream, f.sha256, f.path.read_bytes()) for f in run(tmp_path / name).files])
    assert hashes[0] == hashes[1]


@pytest.mark.parametrize(
    ("pack", "compression"),
    [
        (gzip.compress, "gzip"),
        (lambda raw: _zip(("dir/inner.stub", raw)), "zip"),
    ],
)
def test_archives(reader: StubReader, tmp_path: Path, pack: Callable[[bytes], bytes], compression: str) -> None:
    canonical = run(tmp_path, pack(RAW), name="outer.stub.gz")
    assert canonical.compression == compression
    assert reader.seen == RAW
    assert reader.origins[0].file_name == ("outer.stub" if compression == "gzip" else "inner.stub")
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("archive", "entry", "known"),
    [
        ("run_2024-06-15.zip", "x.csv", "run_2024-06-15.zip/x.csv"),
        ("run_2024-06-15.zip", "x_2024-06-14.csv", "x_2024-06-14.csv"),
        ("run.zip", "x.csv", "x.csv"),
    ],
)
def test_a_date_in_the_archives_name_counts_where_its_entry_has_none(
    archive: str, entry: str, known: str, reader: StubReader, tmp_path: Path
) -> None:
    canonicalise(io.BytesIO(_zip((entry, RAW))), Origin(archive), directory=tmp_path)
    assert reader.origins[0].file_name == known


def _zip(*entries: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return out.getvalue()


def test_truncated_gzip_is_said(reader: StubReader, tmp_path: Path) -> None:
    packed = gzip.compress(RAW + bytes(i * i % 251 for i in range(200_000)))
    canonical = run(tmp_path, packed[:-500])
    assert "ends in the middle" in canonical.files[0].quality["archiveDamage"]


@pytest.mark.parametrize("code", [Code.XML_MALFORMED, Code.FIT_CORRUPT, Code.GPX_NO_TIME])
def test_good_rows_before_the_damage_are_kept(reader: StubReader, tmp_path: Path, code: Code) -> None:
    reader.error = TelemetryError(code, "line 12")
    canonical = run(tmp_path)
    assert canonical.files[0].row_count == 1000
    assert canonical.files[0].quality["damage"] == {"code": str(code), "detail": "line 12"}


@pytest.mark.parametrize("code", [Code.XML_FORBIDDEN, Code.ARCHIVE_TOO_LARGE, Code.STORAGE_UNAVAILABLE])
def test_what_is_refused_or_worth_another_try_is_never_kept(reader: StubReader, tmp_path: Path, code: Code) -> None:
    reader.error = TelemetryError(code)
    assert failure(tmp_path).code == code


def test_the_readers_own_code_where_no_row_was_good(reader: StubReader, tmp_path: Path) -> None:
    reader.batches = list
    reader.error = TelemetryError(Code.CSV_NO_TIME_COLUMN, "columns lat, lon")
    assert failure(tmp_path).code == Code.CSV_NO_TIME_COLUMN


def _without(batch: pa.RecordBatch, *names: str) -> pa.RecordBatch:
    for name in names:
        index = batch.schema.get_field_index(name)
        batch = batch.set_column(index, name, pa.nulls(batch.num_rows, batch.schema.field(index).type))
    return batch


def test_code_says_what_was_missing(reader: StubReader, tmp_path: Path) -> None:
    reader.batches = lambda: [_without(track(10), "timestamp")]
    assert failure(tmp_path).code == Code.NO_TIME_DATA
    reader.batches = lambda: [_without(track(10), "latitude_deg", "longitude_deg")]
    error = failure(tmp_path)
    assert error.code == Code.NO_POSITION_DATA
    assert "10 rows read" in error.detail and "no position 10" in error.detail
    reader.batches = lambda: [_without(track(10), "timestamp"), _without(track(10), "latitude_deg")]
    assert failure(tmp_path).code == Code.NO_VALID_ROWS
    reader.batches = list
    assert failure(tmp_path).code == Code.NO_VALID_ROWS


def test_progress_is_called_for_every_batch_and_may_stop_the_work(reader: StubReader, tmp_path: Path) -> None:
    reader.batches = lambda: [track(100, at) for at in range(0, 1000, 100)]
    calls: list[tuple[int, int]] = []
    run(tmp_path, on_progress=lambda size, rows: calls.append((size, rows)))
    assert len(calls) >= 10
    assert calls == sorted(calls)
    assert calls[-1] == (len(RAW), 1000)
    (tmp_path / "gnss_pvt.parquet").unlink()

    class Stopped(Exception):
        pass

    def stop(size: int, rows: int) -> None:
        if len(calls) > 25:
            raise Stopped
        calls.append((size, rows))

    reader.batches = lambda: [track(40_000, at) for at in range(0, 1_000_000, 40_000)]
    with pytest.raises(Stopped):
        run(tmp_path, on_progress=stop)
    assert not list(tmp_path.iterdir())


def test_a_failing_source_leaves_no_file(reader: StubReader, tmp_path: Path) -> None:
    class Cut(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 100_000:
                raise TelemetryError(Code.STORAGE_UNAVAILABLE)
            return super().read(size)

    reader.batches = lambda: [track(40_000, at) for at in range(0, 400_000, 40_000)]
    with pytest.raises(TelemetryError) as caught:
        canonicalise(Cut(RAW), Origin(), directory=tmp_path)
    assert caught.value.code is Code.STORAGE_UNAVAILABLE
    assert not list(tmp_path.iterdir())


def test_memory_is_bounded(reader: StubReader, tmp_path: Path) -> None:
    peaks = []
    for rows in (300_000, 1_200_000):
        reader.batches = lambda rows=rows: (track(10_000, at) for at in range(0, rows, 10_000))  # type: ignore[misc]
        pool, before = pa.proxy_memory_pool(pa.default_memory_pool()), pa.default_memory_pool()
        pa.set_memory_pool(pool)
        try:
            run(tmp_path)
        finally:
            pa.set_memory_pool(before)
        peaks.append(pool.max_memory())
    assert max(peaks) < 60 << 20
    assert peaks[1] < peaks[0] * 1.2


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0]], ids=["in order", "reversed"])
def test_streams_side_by_side_share_the_memory_of_one(
    order: list[int], reader: StubReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ordering, "ROW_GROUP_ROWS", 12_000)
    rows = 40_000

    def largest_groups(**columns: pa.Array) -> set[int]:
        reader.batches = lambda: [track(rows, at * rows, **columns) for at in order]
        found = set()
        for file in run(tmp_path).files:
            metadata = pq.read_metadata(file.path)
            assert metadata.num_rows == 4 * rows
            found.add(max(metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)))
        return found

    rates = pa.repeat(pa.scalar(120.0, pa.float32()), rows)
    assert largest_groups() == {12_000}
    assert largest_groups(heart_rate_bpm=rates) == {6000}
    assert largest_groups(heart_rate_bpm=rates, oil_temperature_c=rates) == {4000}


def test_classify(reader: StubReader) -> None:
    origin = Origin("x")
    assert classify(RAW[:65_536], origin).format == "stub"
    assert classify(gzip.compress(RAW)[:3000], origin) == recording.Classification("stub", "gzip", 0.9, "a stub")
    assert classify(_zip(("a.csv", RAW))[:3000], origin).format == "stub"
    later = classify(_zip(("a.png", bytes(range(256)) * 400), ("a.csv", RAW))[:200], origin)
    assert (later.format, later.compression) == ("", "zip")
    for head, code in (
        (b"", Code.FILE_EMPTY),
        (b"\r\n \x00", Code.FILE_EMPTY),
        (b"%PDF-1.7", Code.FORMAT_UNRECOGNISED),
    ):
        with pytest.raises(TelemetryError) as caught:
            classify(head, origin)
        assert caught.value.code == code


def test_the_highest_confidence_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    class Claims(StubReader):
        def __init__(self, name: str, confidence: float) -> None:
            super().__init__()
            self.name, self._confidence = name, confidence

        def recognise(self, head: bytes, origin: Origin) -> Recognition | None:
            return Recognition(self.name, self._confidence, self.name)

    claims = Claims("a", 0.3), Claims("b", 0.8), Claims("c", 0.8)
    monkeypatch.setattr(recognition, "possible_readers", lambda _: claims)
    assert recognition.recognise(b"text", Origin()).format == "b"


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"%PDF-1.4\n", "PDF"),
        (b"\xff\xd8\xff\xe0", "JPEG"),
        (b"\x00\x00\x00\x18ftypmp42", "video"),
        (b"  <!DOCTYPE html><html>", "HTML"),
        (b'<?xml version="1.0"?>\n<!-- x -->\n<svg:svg xmlns="x">', "root element `svg:svg`"),
        (b'{"type": "FeatureCollection"}', "JSON"),
        (b"a,b\n1,2\n3,4\n", "commas, but no column"),
        (b"2024-06-15T10:00:00Z,52.1,13.2\n2024-06-15T10:00:01Z,52.1,13.2\n", "commas without a first row that names"),
        (b"a;b\n1;2\n3;4\n", "semicolons"),
        (b"Dear all,\nhello", "plain text"),
        (b"\x01\x02\x03\x00\xff" * 100, "binary"),
        (b"x" * 257 + b"ustar", "tar"),
        (b"<hCNF\x00\xc0\x13" + b"\x00" * 90, "XRK recording, which Race Studio exports as CSV"),
        (zlib.compress(b"<hCNF\x00\xc0\x13" * 900), "XRZ recording, which Race Studio exports as CSV"),
        (b"x not deflated" * 9, "plain text"),
        (b"", "plain text"),
    ],
)
def test_what_it_looks_like(head: bytes, words: str, reader: StubReader) -> None:
    assert words in recognition.looks_like(head)
    if head:
        with pytest.raises(TelemetryError) as caught:
            recognition.recognise(head, Origin())
        assert words in caught.value.detail and "Stub" in caught.value.detail


def test_every_reader_has_a_name_of_its_own() -> None:
    names = [found.name for found in recognition.readers()]
    assert len(set(names)) == len(names) > 0
    assert all(recognition.reader_named(name) is not None for name in names)


@pytest.mark.parametrize("encoding", ["", "utf-8-sig", "utf-16"])
def test_no_reader_is_passed_over_that_would_claim(encoding: str) -> None:
    for name, data in seeds().items():
        head = data[: recognition.HEAD_BYTES]
        if encoding:
            head = head.decode("latin-1").encode(encoding)
        claims = [reader.name for reader in recognition.readers() if reader.recognise(head, Origin(name))]
        possible = [reader.name for reader in recognition.possible_readers(head)]
        assert set(claims) <= set(possible)
        assert possible == [reader.name for reader in recognition.readers() if reader.name in possible]
    assert [reader.name for reader in recognition.possible_readers(b"time,lat,lon\n1,2,3\n")] == ["igc", "csv"]

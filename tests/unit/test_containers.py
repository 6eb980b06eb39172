"""Archives: what is inside comes out, limits are counted on the way, damage keeps what is whole."""

import gzip
import io
import os
import struct
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from telemetry.errors import Code, TelemetryError
from telemetry.formats.containers import (
    ContainerLimits,
    clean_name,
    compression_of,
    open_recording,
    peek,
    read_fully,
)

TEXT = b"".join(b"2024-05-01T10:00:%02dZ,52.%04d,-1.0\n" % (i % 60, i % 10_000) for i in range(50_000))
HEAD = 65_536


class Trickle:
    """A source that gives fewer bytes than asked for, as a network does."""

    def __init__(self, data: bytes, step: int = 1000) -> None:
        self._data = io.BytesIO(data)
        self._step = step

    def read(self, size: int, /) -> bytes:
        return self._data.read(min(size, self._step))


def unpacked(data: bytes, directory: Path, limits: ContainerLimits | None = None) -> tuple[bytes, str, str | None]:
    recording = open_recording(Trickle(data), directory, limits or ContainerLimits(), HEAD)
    try:
        content = b"".join(iter(lambda: recording.read(10_000), b""))
        assert content.startswith(recording.head)
        return content, recording.damage, recording.compression
    finally:
        recording.close()
        assert not list(directory.iterdir())


def refused(data: bytes, directory: Path, limits: ContainerLimits | None = None) -> TelemetryError:
    with pytest.raises(TelemetryError) as caught:
        unpacked(data, directory, limits)
    assert not list(directory.iterdir())
    return caught.value


def zipped(*entries: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return out.getvalue()


class Unseekable(io.RawIOBase):
    """Makes zipfile write sizes after the data, as a streaming writer does."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object, /) -> int:
        self.data += memoryview(data)  # type: ignore[arg-type]
        return len(memoryview(data))  # type: ignore[arg-type]


def test_plain_bytes_pass_as_they_are(tmp_path: Path) -> None:
    assert unpacked(TEXT, tmp_path) == (TEXT, "", None)


def test_gzip(tmp_path: Path) -> None:
    assert unpacked(gzip.compress(TEXT), tmp_path) == (TEXT, "", "gzip")


def test_gzip_of_several_members_and_zero_padding(tmp_path: Path) -> None:
    data = gzip.compress(TEXT[:1000]) + b"\x00" * 700 + gzip.compress(TEXT[1000:]) + b"\x00" * 5000
    assert unpacked(data, tmp_path) == (TEXT, "", "gzip")


def test_gzip_with_trailing_garbage_is_read_and_said(tmp_path: Path) -> None:
    content, damage, _ = unpacked(gzip.compress(TEXT) + b"trailing", tmp_path)
    assert content == TEXT
    assert "after the end" in damage


@pytest.mark.parametrize("tail", [b"\x1f", b"\x1f\x8b"])
def test_gzip_that_ends_with_half_a_magic(tail: bytes, tmp_path: Path) -> None:
    content, damage, _ = unpacked(gzip.compress(TEXT) + tail, tmp_path)
    assert content == TEXT
    assert damage


def test_truncated_gzip_keeps_what_is_whole(tmp_path: Path) -> None:
    packed = gzip.compress(os.urandom(50_000) + TEXT)
    content, damage, _ = unpacked(packed[: len(packed) - 3000], tmp_path)
    assert len(content) > 100_000
    assert "ends in the middle" in damage


def test_gzip_damaged_in_the_middle_keeps_what_came_before(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(os.urandom(400_000)))
    whole, _, _ = unpacked(bytes(packed), tmp_path)
    packed[300_000:300_400] = b"\xff" * 400
    content, damage, _ = unpacked(bytes(packed), tmp_path)
    assert damage
    assert whole.startswith(content[:250_000])


def test_gzip_with_nothing_in_it_but_its_header(tmp_path: Path) -> None:
    assert refused(gzip.compress(TEXT)[:12], tmp_path).code == Code.FILE_CORRUPT


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_zip_with_one_recording(method: int, tmp_path: Path) -> None:
    assert unpacked(zipped(("a/", b""), ("a/track.csv", TEXT), method=method), tmp_path) == (TEXT, "", "zip")


def test_zip_passes_over_what_is_no_recording(tmp_path: Path) -> None:
    data = zipped(
        ("__MACOSX/._track.gpx", b"x" * 100), (".DS_Store", b"y"), ("readme.md", b"hello"), ("files/a.png", b"\x89PNG"),
        ("track.gpx", TEXT),
    )  # fmt: skip
    assert unpacked(data, tmp_path) == (TEXT, "", "zip")


def test_streamed_zip_with_sizes_after_the_data(tmp_path: Path) -> None:
    out = Unseekable()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("track.csv", TEXT)
    data = bytes(out.data)
    assert unpacked(data, tmp_path) == (TEXT, "", "zip")
    assert peek(data, 1000) == ("zip", TEXT[:1000])


def test_several_recordings_are_named_without_their_paths(tmp_path: Path) -> None:
    error = refused(zipped(("secret/dir/a.gpx", TEXT), ("b\x07\n.csv", TEXT)), tmp_path)
    assert error.code == Code.ARCHIVE_UNSUPPORTED
    assert error.detail == "2 recordings: a.gpx, b.csv"


def test_zip_without_a_recording(tmp_path: Path) -> None:
    assert refused(zipped(("folder/empty.doc", b"")), tmp_path).code == Code.ARCHIVE_UNSUPPORTED
    assert refused(zipped(), tmp_path).code == Code.ARCHIVE_UNSUPPORTED


@pytest.mark.parametrize("inner", [gzip.compress(TEXT), zipped(("a.csv", TEXT))], ids=["gzip", "zip"])
def test_nested_archives_are_refused(inner: bytes, tmp_path: Path) -> None:
    assert refused(gzip.compress(inner), tmp_path).code == Code.ARCHIVE_UNSUPPORTED
    assert refused(zipped(("inner.zip", inner)), tmp_path).code == Code.ARCHIVE_UNSUPPORTED


def test_encrypted_and_unknown_methods_are_refused(tmp_path: Path) -> None:
    assert refused(zipped(("a.csv", TEXT), method=zipfile.ZIP_LZMA), tmp_path).code == Code.ARCHIVE_UNSUPPORTED
    data = bytearray(zipped(("a.csv", TEXT)))
    data[6] |= 1
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    assert refused(bytes(data), tmp_path).code == Code.ARCHIVE_UNSUPPORTED


def test_zip_cut_off_before_its_directory_keeps_what_is_whole(tmp_path: Path) -> None:
    data = zipped(("track.csv", os.urandom(1000).hex().encode() + TEXT))
    content, damage, _ = unpacked(data[: len(data) * 3 // 4], tmp_path)
    assert len(content) > 10_000
    assert damage


def test_header_that_lies_about_the_size_is_not_believed(tmp_path: Path) -> None:
    data = bytearray(zipped(("track.csv", TEXT)))
    for at in (22, data.rindex(b"PK\x01\x02") + 24):
        data[at : at + 4] = struct.pack("<L", 10)
    assert unpacked(bytes(data), tmp_path)[0] == TEXT
    limits = ContainerLimits(output_bytes=len(TEXT) - 1)
    assert refused(bytes(data), tmp_path, limits).code == Code.ARCHIVE_TOO_LARGE


@pytest.mark.parametrize("pack", [gzip.compress, lambda data: zipped(("a.csv", data))], ids=["gzip", "zip"])
def test_bomb_is_stopped_by_its_ratio_in_bounded_memory(pack: object, tmp_path: Path) -> None:
    packed = pack(b"\x00" * (64 << 20))  # type: ignore[operator]
    tracemalloc.start()
    try:
        recording = open_recording(io.BytesIO(packed), tmp_path, ContainerLimits(), HEAD)
        with pytest.raises(TelemetryError) as caught:
            while recording.read(1 << 16):
                pass
        recording.close()
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
    assert caught.value.code == Code.ARCHIVE_TOO_LARGE


def test_stored_entry_counts_against_the_output_limit(tmp_path: Path) -> None:
    data = zipped(("a.csv", TEXT), method=zipfile.ZIP_STORED)
    assert refused(data, tmp_path, ContainerLimits(output_bytes=1000)).code == Code.ARCHIVE_TOO_LARGE


def test_too_many_entries_and_too_large_a_zip(tmp_path: Path) -> None:
    many = zipped(*((f"{i}.txt", b"x") for i in range(20)))
    assert refused(many, tmp_path, ContainerLimits(entries=19)).code == Code.ARCHIVE_TOO_LARGE
    assert refused(many, tmp_path, ContainerLimits(archive_bytes=100)).code == Code.ARCHIVE_TOO_LARGE


def test_huge_zip_directory_is_refused_before_it_is_read(tmp_path: Path) -> None:
    data = bytearray(zipped(("a.csv", TEXT)))
    at = data.rindex(b"PK\x05\x06")
    data[at + 12 : at + 16] = struct.pack("<L", 0x7FFFFFFF)
    assert refused(bytes(data), tmp_path).code == Code.ARCHIVE_TOO_LARGE


def test_empty_file(tmp_path: Path) -> None:
    assert refused(b"", tmp_path).code == Code.FILE_EMPTY


def test_compression_is_told_by_content() -> None:
    assert compression_of(gzip.compress(b"")) == "gzip"
    assert compression_of(zipped(("a", b"b"))) == "zip"
    assert compression_of(b"PKZIP is a program") is None
    assert compression_of(b"\x1f\x8b\x07") is None


def test_peek_gives_the_first_uncompressed_bytes() -> None:
    assert peek(gzip.compress(TEXT)[:5000], 2000) == ("gzip", TEXT[:2000])
    assert peek(zipped(("dir/", b""), ("a.png", b"z" * 50), ("a.csv", TEXT))[:5000], 2000) == ("zip", TEXT[:2000])
    assert peek(TEXT, 10) == (None, TEXT[:10])
    assert peek(b"PK\x03\x04", 10) == ("zip", b"")


def test_names_are_cleaned() -> None:
    assert clean_name("../../etc/pass\x00wd") == "passwd"
    assert clean_name("C:\\tracks\\a\u202eb.gpx") == "ab.gpx"
    assert len(clean_name("x" * 500)) == 80


def test_read_fully_gathers_short_reads() -> None:
    assert read_fully(Trickle(TEXT, 7), 100) == TEXT[:100]
    assert read_fully(Trickle(b"abc", 7), 100) == b"abc"


def test_a_directory_that_points_in_front_of_the_file(tmp_path: Path) -> None:
    data = bytearray(zipped(("a.csv", b"x" * 99)))
    at = data.rindex(b"PK\x05\x06") + 16  # where the directory begins, as the end of the zip claims it
    data[at : at + 4] = struct.pack("<L", struct.unpack("<L", data[at : at + 4])[0] + 40)
    assert refused(bytes(data), tmp_path).code is Code.FILE_CORRUPT

"""Archives: what is inside comes out, limits are counted on the way, damage keeps what is whole."""

import gzip
import io
import os
import struct
import tracemalloc
import zipfile
import zlib
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


def _directory_of(entries: int) -> tuple[bytes, bytes]:
    """One recording's local part, and a directory that names it `entries` times."""
    data = zipped(("a.csv", TEXT))
    end = data.rindex(b"PK\x05\x06")
    start = struct.unpack("<L", data[end + 16 : end + 20])[0]
    return data[:start], data[start:end] * entries


def _disks_that_look_like_an_end() -> bytes:
    """The end record's signature again in its own fields: four bytes on, the offset 0 stands where a size would."""
    local, directory = _directory_of(40_000)
    return local + directory + struct.pack("<4s4s2HLLH", b"PK\x05\x06", b"PK\x05\x06", 0, 0, len(directory), 0, 0)


def _zip64_with_a_decoy() -> bytes:
    """A second zip64 record, of nothing, in the comment behind the end."""
    local, directory = _directory_of(40_000)
    size, start, comment = len(directory), len(local), b"PK\x06\x06" + b"\x00" * 100
    return (
        local + directory
        + struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 40_000, 40_000, size, start)
        + struct.pack("<4sLQL", b"PK\x06\x07", 0, start + size, 1)
        + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, len(comment)) + comment
    )  # fmt: skip


@pytest.mark.parametrize("data", [_disks_that_look_like_an_end(), _zip64_with_a_decoy()], ids=["disks", "zip64"])
def test_no_decoy_hides_how_large_the_directory_is(data: bytes, tmp_path: Path) -> None:
    source = Trickle(data, HEAD)
    tracemalloc.start()
    try:
        with pytest.raises(TelemetryError) as caught:
            open_recording(source, tmp_path, ContainerLimits(), HEAD)
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()
    assert caught.value.code is Code.ARCHIVE_TOO_LARGE


def test_a_directory_is_walked_no_further_than_the_limit_of_entries(tmp_path: Path) -> None:
    """What stands behind the last entry allowed is not even looked at."""
    local, directory = _directory_of(6)
    directory += b"no entry at all"
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, len(directory), len(local), 0)
    error = refused(local + directory + end, tmp_path, ContainerLimits(entries=5))
    assert (error.code, error.detail) == (Code.ARCHIVE_TOO_LARGE, "more than 5 entries")
    content, damage, _ = unpacked(local + directory + end, tmp_path, ContainerLimits(entries=6))
    assert (content, damage) == (TEXT, "its directory cannot be read")


@pytest.mark.parametrize("offset", [1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 1 << 20])
def test_an_entry_that_points_outside_of_the_file(offset: int, tmp_path: Path) -> None:
    local, directory = _directory_of(1)
    entry = bytearray(directory)
    entry[42:46] = b"\xff" * 4
    entry[30:32] = struct.pack("<H", 12)
    entry += struct.pack("<HHQ", 1, 8, offset)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, len(entry), len(local), 0)
    error = refused(local + bytes(entry) + end, tmp_path)
    assert (error.code, error.retryable) == (Code.FILE_CORRUPT, False)


def test_zip64_a_prefix_and_a_comment_are_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = zipped(("a.csv", TEXT), ("readme.md", b"hello"))
    assert unpacked(zipped(("old.csv", b"x")) + b"between" + plain, tmp_path) == (TEXT, "", "zip")
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 10)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    large = io.BytesIO()
    with zipfile.ZipFile(large, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("readme.md", b"hello")
        archive.writestr("a.csv", TEXT)
        archive.comment = b"a comment"
    assert b"PK\x06\x06" in large.getvalue()
    assert unpacked(large.getvalue(), tmp_path) == (TEXT, "", "zip")
    assert unpacked(zipped(("old.csv", b"x")) + large.getvalue(), tmp_path) == (TEXT, "", "zip")


def test_a_directory_that_is_none_leaves_the_first_entry(tmp_path: Path) -> None:
    local, directory = _directory_of(1)
    for broken in (directory[:20], b"XX" + directory[2:], directory[:-1] + b"PK\x01\x02"):
        end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, len(broken), len(local), 0)
        assert unpacked(local + broken + end, tmp_path) == (TEXT, "its directory cannot be read", "zip")
    before_the_file = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, len(local) + 1, len(local), 0)
    assert unpacked(local + before_the_file, tmp_path) == (TEXT, "its directory cannot be read", "zip")


def test_names_in_every_encoding(tmp_path: Path) -> None:
    """UTF-8 by its flag, else code page 437, else the field that repeats the name in UTF-8."""

    def name_of(data: bytes) -> str:
        recording = open_recording(io.BytesIO(data), tmp_path, ContainerLimits(), HEAD)
        recording.close()
        return recording.name

    assert name_of(zipped(("Nürburg.csv", TEXT))) == "Nürburg.csv"
    assert name_of(zipped(("N_rburg.csv", TEXT)).replace(b"N_rburg", b"N\x81rburg")) == "Nürburg.csv"
    assert name_of(zipped(("a.csv\x00.exe", TEXT))) == "a.csv"
    told = "Nürburg.csv".encode()
    for checksum, expected in ((zlib.crc32(b"a.csv"), "Nürburg.csv"), (7, "a.csv")):
        info = zipfile.ZipInfo("a.csv")
        info.extra = struct.pack("<HHBL", 0x7075, 5 + len(told), 1, checksum) + told
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr(info, TEXT)
        assert name_of(out.getvalue()) == expected


_SHEET = b"<workbook>" + b" " * 100 + b"</workbook>"


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("[Content_Types].xml", "xl/workbook.xml"), "an Excel workbook; save it as CSV"),
        (("[Content_Types].xml", "_rels/.rels", "word/document.xml"), "a Word document; "),
        (("_rels/.rels", "ppt/presentation.xml", "[Content_Types].xml"), "a PowerPoint presentation"),
        (("[Content_Types].xml", "workbook.xml"), "an Office document; save it as CSV"),
        # What is embedded in it is not what was meant.
        (("[Content_Types].xml", "xl/workbook.xml", "xl/embeddings/a.csv"), "an Excel workbook; save it as CSV"),
        (("Index/Document.iwa", "preview.jpg"), "a Numbers, Pages or Keynote document; "),
    ],
)
def test_office_documents_are_called_what_they_are(names: tuple[str, ...], said: str, tmp_path: Path) -> None:
    error = refused(zipped(*((name, _SHEET) for name in names)), tmp_path)
    assert error.code is Code.FORMAT_UNRECOGNISED
    assert error.detail.startswith(f"it looks like {said}")


@pytest.mark.parametrize(
    ("kind", "said"),
    [("spreadsheet", "an OpenDocument spreadsheet; save it as CSV"), ("text", "an OpenDocument document; copy")],
)
@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_open_documents_are_called_what_they_are(kind: str, said: str, method: int, tmp_path: Path) -> None:
    media_type = b"application/vnd.oasis.opendocument." + kind.encode()
    error = refused(zipped(("mimetype", media_type), ("content.xml", _SHEET), method=method), tmp_path)
    assert error.code is Code.FORMAT_UNRECOGNISED
    assert error.detail.startswith(f"it looks like {said}")


def test_an_entry_without_a_name_is_read(tmp_path: Path) -> None:
    nameless = bytearray(zipped(("?", TEXT)))
    at = nameless.rindex(b"PK\x01\x02")
    nameless[at + 28 : at + 32] = struct.pack("<HH", 0, 1)  # the letter belongs to the extra field instead
    assert unpacked(bytes(nameless), tmp_path) == (TEXT, "", "zip")


def test_the_start_of_a_workbook_is_one(tmp_path: Path) -> None:
    data = zipped(("[Content_Types].xml", os.urandom(1000)), ("xl/workbook.xml", _SHEET))
    error = refused(data[:900], tmp_path)
    assert (error.code, error.detail) == (Code.FORMAT_UNRECOGNISED, "it looks like an Office document; save it as CSV")


def test_a_folder_of_some_program_is_no_office_document(tmp_path: Path) -> None:
    assert unpacked(zipped(("mimetype", b"text/csv"), ("xl/a.csv", TEXT)), tmp_path) == (TEXT, "", "zip")


def test_what_to_do_fits_whatever_is_wrong_with_an_archive(tmp_path: Path) -> None:
    nothing, several = refused(zipped(), tmp_path), refused(zipped(("a.csv", TEXT), ("b.csv", TEXT)), tmp_path)
    pictures = refused(zipped(("a.png", TEXT), ("b.png", TEXT)), tmp_path)
    remedy = "Upload the recording itself; each on its own where there are several."
    for error, detail in (
        (nothing, "no recording in the zip"),
        (several, "2 recordings: a.csv, b.csv"),
        (pictures, "2 files, none named as a recording: a.png, b.png"),
    ):
        assert error.message == f"No recording could be taken out of the archive: {detail}. {remedy}"


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

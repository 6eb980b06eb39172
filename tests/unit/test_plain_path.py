"""Plain rows take shorter ways: they must come out, byte for byte and in every figure, as by the general ones.

Each short way has a switch of its class (or a table that is emptied here); the same recording goes both ways.
"""

import io
import math
import random
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from telemetry.errors import TelemetryError
from telemetry.formats import igc, line_blocks, vbo
from telemetry.formats.csv_rows import RowParser
from telemetry.formats.reader import Findings, Origin
from telemetry.recording import canonicalise
from telemetry.streams import distance, normalise, ordering, values
from telemetry.streams.ordering import Window
from telemetry.streams.quality import TrackQuality
from telemetry.streams.values import extremes, nulls, zeros

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures" / "telemetry"


@contextmanager
def small_pieces() -> Iterator[pytest.MonkeyPatch]:
    """Blocks, gathered batches and row groups of few rows: short recordings have many of each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line_blocks, "HEAD_BYTES", 2048)
        patch.setattr(line_blocks, "BLOCK_BYTES", 1024)
        patch.setattr(normalise, "COALESCED_ROWS", 24)
        patch.setattr(ordering, "ROW_GROUP_ROWS", 64)
        patch.setattr(ordering, "SMALL_ROWS", 20)
        yield patch


def general_ways(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RowParser, "tries_plain", False)
    patch.setattr(Window, "trusts_order", False)
    patch.setattr(TrackQuality, "skips_slow", False)
    patch.setattr(values, "_LAYOUTS", {})
    patch.setattr(vbo, "_GIVE_UP_AFTER", 0)


def outcome(data: bytes, name: str, directory: Path) -> Any:
    """All that comes out: the files' bytes and everything that is said of them, or the code and its detail."""
    directory.mkdir(exist_ok=True)
    try:
        canonical = canonicalise(io.BytesIO(data), Origin(name), directory=directory)
    except TelemetryError as error:
        return error.code, error.detail
    files = [(replace(file, path=Path(file.path.name)), file.path.read_bytes()) for file in canonical.files]
    return replace(canonical, files=()), files


def assert_both_ways_agree(data: bytes, name: str, directory: Path) -> Any:
    with small_pieces() as patch:
        short = outcome(data, name, directory / "short")
        general_ways(patch)
        assert outcome(data, name, directory / "general") == short
    return short


def rows(count: int, *, seed: int = 1, step_ms: int = 100) -> list[str]:
    noise = random.Random(seed)
    lines = []
    for n in range(count):
        at_ms = n * step_ms + noise.choice((0, 0, 0, 1))
        clock = f"{10 + at_ms // 3_600_000:02}:{at_ms // 60_000 % 60:02}:{at_ms // 1000 % 60:02}.{at_ms % 1000:03}"
        north, east = 52 + 0.005 * math.sin(n / 600), -1 + 0.008 * math.cos(n / 600)
        lines.append(f"2024-06-15T{clock}Z,{north:.7f},{east:.7f},{34 + noise.random():.2f},{20 + noise.random():.3f}")
    return lines


HEADER = "timestamp,lat,lon,alt,speed"


@pytest.mark.parametrize("path", sorted(FIXTURES.iterdir()), ids=lambda path: path.name)
def test_fixtures(path: Path, tmp_path: Path) -> None:
    assert_both_ways_agree(path.read_bytes(), path.name, tmp_path)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_plain_recording_takes_the_short_way(end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    careful = []
    general = RowParser._careful_table

    def counted(self: RowParser, *given: Any, **options: Any) -> Any:
        careful.append(1)
        return general(self, *given, **options)

    data = end.join([HEADER, *rows(2000), ""]).encode()
    assert_both_ways_agree(data, "a.csv", tmp_path)
    monkeypatch.setattr(RowParser, "_careful_table", counted)
    monkeypatch.setattr(Window, "_sort", lambda self: pytest.fail("sorted rows that were in order"))
    with small_pieces():
        _, files = outcome(data, "a.csv", tmp_path / "plain")
    assert files[0][0].row_count == 2000
    # The last block is always looked at carefully: it may have been cut off.
    assert len(careful) == 1


ODDITIES = (
    "",
    " ",
    ",,,,",
    "# a comment",
    HEADER,
    "2024-06-15T10:00:01.000Z,52.1",
    "2024-06-15T10:00:01.000Z,52.1,-1.0,1,2,3,4",
    "2024-06-15T10:00:01.000Z,north,-1.0,1,2",
    "2024-06-15T10:00:01.000Z,nan,inf,1,2",
    "2024-06-15T10:00:01.000Z,0,0,1,2",
    "2024-06-15T10:00:01.000Z,0.0000000,-0.0,1,2",
    "2024-06-15T10:00:01.000Z,-52.0,179.9,1,2",
    "2024-06-15T10:00:01.000Z,91.0,-179.9,1,2",
    "2024-06-15T10:00:01.000Z,52.0,-1.0,,-5",
    "1970-01-01T00:00:00.000Z,52.0,-1.0,1,2",
    "2023-06-15T10:00:01.000Z,52.0,-1.0,1,2",
    "yesterday,52.0,-1.0,1,2",
    "2024-06-15T10:00:01Z,52.0,-1.0,1e300,1e300",
    '"2024-06-15T10:00:01.000Z",52.0,-1.0,"1","2"',
    '"2024-06-15T10:00:01.000Z,52.0,-1.0,1,2',
    '2024-06-15T10:00:01.000Z,52.0,-1.0,"1,2"',
    "2024-06-15T10:00:01.000Z,52.0,-1.0,1,2\r2024-06-15T10:00:02.000Z,52.0,-1.0,1,2",
    "2024-06-15T10:00:01.000Z,52.0,-1.0,1,2\r\r",
    "2024-06-15T10:00:01.000Z,52.0,-1.0,1\0,2\0\0",
    "\0" * 3000,
    "2024-06-15T10:00:01.000Z, 52.0 ,\t-1.0,1,2",
)
NOTES = ("", "fine", '"quoted"', '"a,b"', '"two\nlines"', '"', 'say "so"', '"a,7",3', "nul\0", "é", "\r")


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    odd=st.lists(st.tuples(st.integers(0, 250), st.sampled_from(ODDITIES)), max_size=12),
    form=st.tuples(st.sampled_from(("\n", "\r\n")), st.sampled_from((0, 1, 100, 1000, 70_000))),
    cut=st.integers(0, 40),
    shuffled=st.lists(st.integers(0, 249), max_size=6),
)
@example(odd=[(200, ODDITIES[21])], form=("\n", 100), cut=0, shuffled=[])
def test_hostile_recordings(
    odd: list[tuple[int, str]],
    form: tuple[str, int],
    cut: int,
    shuffled: list[int],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    end, step_ms = form
    lines = rows(250, step_ms=step_ms)
    for index in shuffled:
        lines.append(lines.pop(index % len(lines)))
    for index, line in odd:
        lines.insert(index, line)
    data = end.join([HEADER, *rows(30), *lines, ""]).encode()
    assert_both_ways_agree(data[: len(data) - cut], "a.csv", tmp_path_factory.mktemp("hostile"))


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(notes=st.lists(st.tuples(st.integers(0, 150), st.sampled_from(NOTES)), max_size=8))
def test_cells_that_are_not_kept(notes: list[tuple[int, str]], tmp_path_factory: pytest.TempPathFactory) -> None:
    lines = [line.split(",") for line in rows(150)]
    told = dict(notes)
    text = "\n".join(
        ",".join([*cells[:3], told.get(n, "plain"), *cells[3:], told.get(n + 7, "word")])
        for n, cells in enumerate(lines)
    )
    data = f"timestamp,lat,lon,note,alt,speed,remark\n{text}\n".encode()
    assert_both_ways_agree(data, "a.csv", tmp_path_factory.mktemp("notes"))


VBO_HEAD = (
    "File created on 15/05/2024 @ 10:00\r\n\r\n[column names]\r\nsats time lat long velocity height\r\n\r\n[data]\r\n"
)
CELL = st.one_of(
    st.sampled_from(
        ["+012", "-1", "1+2", "1e+02", "1E+02", "+", "", " ", "\t", "\t+1", "nan", "NaN", "NULL", "x", "0x1F", "1\t"]
    ),
    st.text(alphabet="0123456789.+- \tEe", max_size=8),
)


@settings(max_examples=150, deadline=None)
@given(
    odd=st.lists(st.tuples(st.integers(0, 199), st.integers(0, 5), CELL), max_size=4),
    lines=st.lists(st.tuples(st.integers(0, 199), st.text(alphabet="0123456789.+- \t\r\0E", max_size=40)), max_size=3),
    between=st.sampled_from([" ", "\t", "  ", " \t"]),
    end=st.sampled_from(["\r\n", "\n", " \r\n", "\n "]),
)
@example(odd=[], lines=[], between=" ", end="\r\n")
@example(odd=[(7, 4, "1+2"), (50, 2, "+52\t"), (51, 0, "")], lines=[(90, "")], between=" ", end="\n")
def test_hostile_vbo(
    odd: list[tuple[int, int, str]],
    lines: list[tuple[int, str]],
    between: str,
    end: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    noise = random.Random(1)
    table = [
        [
            "012",
            f"1000{n // 10:02}.{n % 10}0",
            f"+3120.{n:06}",
            f"{-60 - n / 1000:+.6f}",
            f"{noise.random():.3f}",
            "+00034.20",
        ]
        for n in range(200)
    ]
    for row, column, cell in odd:
        table[row][column] = cell
    written = [between.join(cells) for cells in table]
    for row, line in lines:
        written.insert(row, line)
    data = (VBO_HEAD + end.join(written) + end).encode()
    assert_both_ways_agree(data, "a.vbo", tmp_path_factory.mktemp("vbo"))


def test_a_plain_vbo_takes_the_short_way(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(vbo, "_regular", lambda data: pytest.fail("made regular what was plain"))
    text = "".join(f"012 1000{n // 10:02}.{n % 10}0 +3120.{n:06} -0060.000001 +1.0e+01 nan\r\n" for n in range(200))
    _, files = outcome((VBO_HEAD + text.replace("e+01", "")).encode(), "a.vbo", tmp_path)
    assert files[0][0].row_count == 200


FLOATS = st.one_of(st.none(), st.floats(), st.sampled_from((0.0, -0.0, math.inf, -math.inf, math.nan, 1e308, -1e308)))


@settings(max_examples=400, deadline=None)
@given(
    given=st.one_of(
        st.lists(FLOATS, max_size=6),
        st.lists(st.floats(min_value=0.0), max_size=6),
        st.lists(st.floats(max_value=-0.0), max_size=6),
    ),
    narrow=st.booleans(),
)
@example(given=[-math.inf], narrow=False)
@example(given=[-0.0], narrow=True)
def test_extremes_are_those_of_arrow(given: list[float | None], *, narrow: bool) -> None:
    array = pa.array(given, pa.float64())
    array = array.cast(pa.float32(), safe=False) if narrow else array
    found, expected = extremes(array), pc.min_max(array).as_py()
    finite = [math.isfinite(value) for value in array.to_pylist() if value is not None]
    assert found.finite == all(finite)
    for ours, theirs in ((found.least, expected["min"]), (found.greatest, expected["max"])):
        assert ours == theirs or (math.isnan(ours) and math.isnan(theirs))
        if found.finite and ours is not None and ours == 0.0 and len(finite) == 1:
            assert struct.pack("<d", ours) == struct.pack("<d", theirs)


@settings(max_examples=200, deadline=None)
@given(
    south=st.floats(-84.9, 84.5),
    steps=st.lists(st.tuples(st.floats(0, 0.19), st.floats(-0.2, 0.2)), min_size=2, max_size=20),
    east=st.floats(-179, 179),
)
def test_interpolated_radii_are_as_good_as_told(south: float, steps: list[tuple[float, float]], east: float) -> None:
    latitude = pa.array([south + north for north, _ in steps])
    longitude = pa.array([east + turn for _, turn in steps])
    near = distance.step_lengths_m(latitude, longitude).to_pylist()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distance, "NARROW_DEG", -1.0)
        exact = distance.step_lengths_m(latitude, longitude).to_pylist()
    # Below a nanometre the degrees themselves are not told apart.
    assert near == [pytest.approx(metres, rel=5e-8, abs=1e-9) for metres in exact]


@pytest.mark.parametrize("count", [0, 1, 1000, values._SHARED_ROWS, values._SHARED_ROWS + 1])
def test_shared_columns_are_like_any_other(count: int) -> None:
    assert zeros(count, pa.uint32()).equals(pa.array([0] * count, pa.uint32()))
    assert nulls(count, pa.float32()).equals(pa.nulls(count, pa.float32()))
    assert nulls(count, pa.float32()).null_count == count


@pytest.mark.parametrize("size", [333, 1024, 4096])
def test_every_reader_of_lines_sees_each_line_once(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_blocks, "HEAD_BYTES", size)
    monkeypatch.setattr(line_blocks, "BLOCK_BYTES", size)
    names = "[header]\r\nsatellites\r\n\r\n[column names]\r\nsats time lat long velocity\r\n\r\n[data]\r\n"
    lines = [f"012 1000{n // 60:02}.{n % 60:02} +3169.{n:03} +0058.49277 036.000\r\n" for n in range(600)]
    head = "File created on 15/05/2024 @ 10:00\r\n" + names
    flight = "AXXX001\r\nHFDTE160722\r\n"
    fixes = [f"B10{n // 60:02}{n % 60:02}4730500N00815250EA0044400456\r\n" for n in range(600)]
    for reader, text in ((vbo.READER, head + "".join(lines)), (igc.READER, flight + "".join(fixes))):
        findings = Findings()
        batches = list(reader.read(io.BytesIO(text.encode()), Origin(), findings))
        first = len(text.splitlines()) - 599
        assert [row for batch in batches for row in batch.column("source_row").to_pylist()] == list(
            range(first, first + 600)
        )
        assert not findings.rejected

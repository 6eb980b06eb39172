"""The CSV reader over its ugly inputs: encodings, line ends, ragged rows, blocks, errors, bounded memory."""

import io
import random
import tracemalloc
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry.errors import Code, TelemetryError
from telemetry.formats.csv import READER
from telemetry.formats.line_blocks import BLOCK_BYTES, HEAD_BYTES
from telemetry.formats.reader import Findings, Origin, TimeBasis

HEADER = b"timestamp,lat,lon,alt,speed\n"


def row(index: int) -> bytes:
    clock = f"{index // 600 % 60:02d}:{index // 10 % 60:02d}.{index % 10}00"
    return f"2024-06-15T10:{clock}Z,52.{index:07d},13.5,34.25,{index % 50}.5".encode()


ROWS = [row(i) for i in range(10)]
TABLE = HEADER + b"\n".join(ROWS) + b"\n"


class Trickle:
    """A source that gives fewer bytes than it is asked for."""

    def __init__(self, data: bytes, size: int) -> None:
        self._stream = io.BytesIO(data)
        self._size = size

    def read(self, size: int, /) -> bytes:
        return self._stream.read(min(size, self._size))


def read(data: bytes, *, origin: Origin | None = None, piece: int | None = None) -> tuple[pa.Table, Findings]:
    findings = Findings()
    source = io.BytesIO(data) if piece is None else Trickle(data, piece)
    batches = list(READER.read(source, origin or Origin(), findings))
    return (pa.Table.from_batches(batches) if batches else pa.table({})), findings


def code_of(data: bytes) -> TelemetryError:
    with pytest.raises(TelemetryError) as caught:
        read(data)
    return caught.value


def test_a_plain_table() -> None:
    table, findings = read(TABLE)
    assert table.schema.names == ["timestamp", "latitude_deg", "longitude_deg", "source_row", "altitude_m", "speed_mps"]
    assert table["timestamp"][3].as_py() == datetime(2024, 6, 15, 10, 0, 0, 300_000, tzinfo=UTC)
    assert table["source_row"].to_pylist() == list(range(2, 12))
    assert findings.rows_read == 10
    assert findings.rejected == {}
    assert findings.time_basis is TimeBasis.GNSS_UTC
    assert any("m/s was taken" in sentence for sentence in findings.inferred)


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbf" + TABLE,
        TABLE.decode().encode("utf-16"),
        TABLE.decode().encode("utf-16-le"),
        TABLE.decode().encode("utf-16-be"),
        TABLE.replace(b"\n", b"\r\n"),
        TABLE.replace(b"\n", b"\r"),
        TABLE.replace(b"\n", b"\r\r\n"),
        TABLE.rstrip(),
        TABLE + b"\n\n  \n",
        TABLE.replace(b",", b";"),
        TABLE.replace(b",", b"\t"),
        TABLE.replace(b",", b"|"),
        TABLE.replace(b",", b";").replace(b".", b","),
        TABLE.replace(b",34.25,", b",34.25\0\0\0,"),
        TABLE.replace(b",34.25,", b', "34.25",'),
        b"\n".join(line + b"," for line in TABLE.splitlines()),
    ],
    ids=[
        "bom", "utf-16", "utf-16-le", "utf-16-be", "crlf", "cr", "crcrlf", "no last line end", "blank tail",
        "semicolon", "tab", "bar", "decimal comma", "nul padding", "quotes", "trailing delimiter",
    ],
)  # fmt: skip
def test_the_same_table_however_it_is_written(data: bytes) -> None:
    expected, _ = read(TABLE)
    table, findings = read(data)
    for name in expected.schema.names:
        assert table[name].to_pylist() == expected[name].to_pylist(), name
    assert findings.rejected == {}
    assert findings.rows_read == 10


@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_pieces_of_any_size(piece: int) -> None:
    expected, _ = read(TABLE.replace(b"\n", b"\r\n"))
    table, _ = read(TABLE.replace(b"\n", b"\r\n"), piece=piece)
    assert table.equals(expected)


def test_odd_lines_are_counted_by_line_and_the_rest_is_kept() -> None:
    lines = [
        HEADER.strip(),
        ROWS[0],
        b"2024-06-15T10:00:03Z,52.1",  # 3: short of a position
        b"2024-06-15T10:00:03Z,52.1,13.2",  # 4: its last cell may be cut
        ROWS[3] + b",7,8",  # 5: cells left over
        ROWS[4] + b",,",  # 6: blank cells left over, kept
        b"",  # 7
        b"# a remark",  # 8
        HEADER.strip(),  # 9
        b",,,,",  # 10
        ROWS[5],  # 11
        b"2024-06-15T10:00:11Z,52.1,13.2,5",  # 12: cut off, as the file ends here
    ]
    table, findings = read(b"\n".join(lines))
    assert table["source_row"].to_pylist() == [2, 6, 11]
    counted = {reason: (tally.count, tally.first_rows) for reason, tally in findings.rejected.items()}
    assert counted == {
        "malformed_row": (3, [3, 4, 5]),
        "blank_row": (2, [7, 10]),
        "repeated_header": (1, [9]),
        "truncated_row": (1, [12]),
    }
    assert findings.rows_read == table.num_rows + sum(count for count, _ in counted.values())


def test_a_row_that_ends_early_after_its_position_is_kept() -> None:
    table, findings = read(TABLE + b"2024-06-15T10:00:05Z,52.1,13.2,5\n" + ROWS[9] + b"\n")
    assert table["speed_mps"].to_pylist()[-2:] == [None, 9.5]
    assert findings.rejected == {}


def test_bad_cells_become_null_and_are_counted() -> None:
    data = TABLE.replace(ROWS[2], ROWS[2].replace(b"52.", b"5x2.")).replace(ROWS[3], ROWS[3].replace(b"34.25", b"abc"))
    data = data.replace(ROWS[4], ROWS[4].replace(b"2024", b"20z4")).replace(ROWS[5], ROWS[5].replace(b"34.25", b"-"))
    table, findings = read(data)
    assert table.num_rows == 10
    assert table["latitude_deg"][2].as_py() is None
    assert table["altitude_m"].to_pylist()[3:6] == [None, 34.25, None]
    assert table["timestamp"][4].as_py() is None
    assert {k: (t.count, t.first_rows) for k, t in findings.bad_cells.items()} == {
        "latitude_deg": (1, [4]),
        "altitude_m": (1, [5]),
        "timestamp": (1, [6]),
    }


def test_a_quoted_cell_may_hold_delimiters_quotes_and_line_ends() -> None:
    lines = [line + b',"a, ""b""\nc"' for line in ROWS]
    table, findings = read(HEADER.replace(b"speed", b"speed,note") + b"\n".join(lines) + b"\n")
    assert table["source_row"].to_pylist() == list(range(2, 22, 2))
    assert findings.rejected == {}


def test_a_quote_that_is_never_closed_costs_no_other_row() -> None:
    lines = [line + b",x" for line in ROWS]
    lines[4] = ROWS[4] + b',"stray'
    table, findings = read(HEADER.replace(b"speed", b"speed,note") + b"\n".join(lines) + b"\n")
    assert table["source_row"].to_pylist() == list(range(2, 12))
    assert findings.rejected == {}


def test_latin_1_late_in_a_file_that_began_as_utf_8() -> None:
    count = 2 * HEAD_BYTES // len(ROWS[0])
    body = b"".join(row(i) + b",x\n" for i in range(count))
    table, findings = read(HEADER.replace(b"speed", b"speed,note") + body + ROWS[0] + b",gr\xfcn\n")
    assert table.num_rows == count + 1
    assert findings.rejected == {}


def test_blocks_join_without_a_seam() -> None:
    count = 3 * BLOCK_BYTES // len(ROWS[0])
    bad = {100, count // 2, count - 5}
    lines = [row(i) if i not in bad else b"broken" for i in range(count)]
    table, findings = read(HEADER + b"\n".join(lines) + b"\n")
    kept = [i for i in range(count) if i not in bad]
    assert table["source_row"].to_pylist() == [i + 2 for i in kept]
    assert table["latitude_deg"].to_pylist() == [float(f"52.{i:07d}") for i in kept]
    assert findings.rejected["malformed_row"].first_rows == [i + 2 for i in sorted(bad)]


def test_the_strict_path_reads_what_the_fast_one_reads() -> None:
    """One bad cell per block takes every block to the strict path."""
    count = 2 * BLOCK_BYTES // len(ROWS[0])
    lines = [row(i) for i in range(count)]
    fast, _ = read(HEADER + b"\n".join(lines) + b"\n")
    for i in range(0, count, 5000):
        lines[i] = lines[i].replace(b",34.25,", b",bad,")
    strict, findings = read(HEADER + b"\n".join(lines) + b"\n")
    assert findings.bad_cells["altitude_m"].count == len(range(0, count, 5000))
    for name in ("timestamp", "latitude_deg", "longitude_deg", "speed_mps", "source_row"):
        assert strict[name].combine_chunks().equals(fast[name].combine_chunks()), name


def test_stray_quotes_at_row_starts_join_no_rows() -> None:
    table, findings = read(TABLE + b"".join(b'"' + line + b"\n" for line in ROWS))
    assert table["source_row"].to_pylist() == list(range(2, 22))
    assert findings.rejected == {}


def test_a_huge_quoted_cell_among_odd_lines_is_a_malformed_row() -> None:
    _, findings = read(TABLE + b'"' + b"x" * 200_000 + b'",1,2,3,4\n' + b"1,2\n" + ROWS[0] + b"\n")
    assert findings.rejected["malformed_row"].first_rows == [12, 13]


class Endless:
    """`first`, then so many mebibytes of x without a line end, then `last`."""

    def __init__(self, first: bytes, mebibytes: int, last: bytes) -> None:
        self._parts = iter([first, *[b"x" * (1 << 20)] * mebibytes, last])
        self._rest = b""

    def read(self, size: int, /) -> bytes:
        if not self._rest:
            self._rest = next(self._parts, b"")
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece


def test_a_line_without_end_is_refused_in_bounded_memory() -> None:
    tracemalloc.start()
    with pytest.raises(TelemetryError) as caught:
        list(READER.read(Endless(b"x", 5000, b""), Origin(), Findings()))
    assert caught.value.code is Code.CSV_MALFORMED
    assert tracemalloc.get_traced_memory()[1] < 16 * HEAD_BYTES
    tracemalloc.stop()


def test_an_endless_line_among_rows_is_passed_over() -> None:
    first = HEADER + b"".join(row(i) + b"\n" for i in range(2 * HEAD_BYTES // len(ROWS[0])))
    count = first.count(b"\n") - 1
    findings = Findings()
    tracemalloc.start()
    batches = list(READER.read(Endless(first, 200, b"\n" + ROWS[1] + b"\n"), Origin(), findings))
    assert tracemalloc.get_traced_memory()[1] < 8 * BLOCK_BYTES
    tracemalloc.stop()
    table = pa.Table.from_batches(batches)
    assert table.num_rows == count + 1
    assert findings.rejected["malformed_row"].first_rows == [count + 2]
    assert table["source_row"][-1].as_py() == count + 3


@pytest.mark.parametrize(
    ("data", "code", "says"),
    [
        (b"", Code.FILE_EMPTY, "no text"),
        (b"\xef\xbb\xbf\r\n \0", Code.FILE_EMPTY, "no text"),
        (b"lat,lon,speed\n52.1,13.2,5\n", Code.CSV_NO_TIME_COLUMN, "line 1: columns are lat, lon, speed"),
        (b"time,speed\n2024-06-15T10:00:00Z,5\n", Code.CSV_NO_POSITION_COLUMNS, "columns are time, speed"),
        (b"Hello, this is a text.\nNot a table.\n", Code.CSV_MALFORMED, "no header"),
        (b"Time (s),lat,lon\n0.0,52.1,13.2\n0.1,52.1,13.2\n", Code.NO_TIME_DATA, "counts from a start"),
    ],
)
def test_what_cannot_be_read_says_why(data: bytes, code: Code, says: str) -> None:
    error = code_of(data)
    assert error.code is code
    assert says in error.detail


def test_the_columns_named_in_an_error_are_capped() -> None:
    names = ",".join(f"column{i}" for i in range(500))
    error = code_of(f"{names}\n{','.join(['1'] * 500)}\n".encode())
    assert "480 more" in error.detail
    assert len(error.detail) < 400


def test_a_header_alone_has_no_rows_and_is_no_missing_column() -> None:
    table, findings = read(HEADER)
    assert table.num_rows == 0
    assert findings.rows_read == 0


@pytest.mark.parametrize(
    "head",
    [
        b'<?xml version="1.0"?>\n<gpx>\n',
        b"$GPRMC,101112,A,5230.0,N,01330.0,E,1,2,130624,,*00\n$GPGGA,1,2,3\n",
        b"\xef\xbb\xbf<gpx a='1,2'>",
        b'{"time": 1, "lat": 2,\n "lon": 3, "alt": 4}\n',
        b"File created on 15/06/2024 @ 10:00\n[header]\nsatellites\ntime\nlatitude\n[data]\n008 101112.00 3169.3\n",
        b"AXXXABC FLIGHT:1\nHFDTE150624\nB1011125230000N01330000EA0010000100\n",
        b"\x0e\x10\x43\x08\x28\x06\x0e\x00.FIT\x40\x0d",
        b"Dear all,\nthis is a letter, with commas.\n",
    ],
    ids=["xml", "nmea", "bom xml", "json", "vbo", "igc", "fit", "prose"],
)
def test_other_formats_are_not_claimed(head: bytes) -> None:
    assert READER.recognise(head, Origin("x.csv")) is None


def test_recognition_says_what_it_saw() -> None:
    claim = READER.recognise(TABLE.replace(b"speed", b"speed (km/h)").replace(b",", b";"), Origin())
    assert claim is not None
    assert claim.reason == "CSV, semicolon, 10 Hz, speed in km/h"
    assert 0.5 < claim.confidence < 0.95


def test_a_head_cut_in_the_middle_of_a_row_is_recognised() -> None:
    data = HEADER + b"".join(row(i) + b"\n" for i in range(3000))
    claim = READER.recognise(data[:65_536], Origin())
    assert claim is not None
    assert "10 Hz" in claim.reason


def test_a_header_that_names_time_and_place_in_one_cell_has_no_place() -> None:
    with pytest.raises(TelemetryError) as raised:
        read(TABLE.replace(b"timestamp,lat", b"timestamp lat", 1))
    assert raised.value.code is Code.CSV_NO_POSITION_COLUMNS


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_damage_ends_in_rows_or_a_code(data: st.DataObject) -> None:
    """Byte mutations of a sound file: never another exception, and the counts always add up."""
    seed = data.draw(st.integers(0, 2**32))
    source = bytearray(TABLE.replace(b"speed", b'speed,"note"').replace(b".5\n", b'.5,"a"\n'))
    rng = random.Random(seed)
    for _ in range(rng.randint(1, 30)):
        position = rng.randrange(len(source))
        choice = rng.random()
        if choice < 0.4:
            source[position] = rng.choice(b'",;\n\r\0#-.9x\xff\xfe')
        elif choice < 0.7:
            del source[position : position + rng.randint(1, 40)]
        else:
            source[position:position] = bytes(rng.choice(b'",;\n\r 0') for _ in range(rng.randint(1, 5)))
        source = source or bytearray(b"\n")
    try:
        READER.recognise(bytes(source), Origin())
        table, findings = read(bytes(source))
    except TelemetryError:
        return
    assert findings.rows_read == table.num_rows + sum(t.count for t in findings.rejected.values())


@pytest.mark.parametrize("cut", [b"3,T,0", b"3,T,090204,06", b"3,T,090204,063824,31.7N"])
def test_a_line_cut_off_does_not_decide_what_the_others_mean(cut: bytes) -> None:
    head = b"INDEX,TAG,DATE,TIME,LATITUDE N/S,LONGITUDE E/W\n"
    rows = b"1,T,090204,063822,31.769598N,035.208829E\n2,T,090204,063823,31.769621N,035.208773E\n"
    table, findings = read(head + rows + cut)
    assert table["latitude_deg"].drop_null().to_pylist()[:2] == [31.769598, 31.769621]
    assert str(table["timestamp"][0].as_py()) == "2009-02-04 06:38:22+00:00"
    assert findings.rows_read == 3


def test_a_header_is_found_above_cells_of_degrees_alone() -> None:
    assert code_of("lat,lon,desc\n1°14.04′S,5°40.68′W,a\nS1.234°,W5.678°,b\n".encode()).code is Code.CSV_NO_TIME_COLUMN


@pytest.mark.parametrize("cell", [b"1e999", b"-1e999"])
def test_a_coordinate_beyond_every_number_decides_nothing(cell: bytes) -> None:
    table, findings = read(
        HEADER + b"".join(b"2024-06-15T10:00:00Z,%s,13.5,1,2\n" % cell for _ in range(3)) + TABLE[28:]
    )
    assert table["latitude_deg"].to_pylist()[-1] == 52.0000009
    assert findings.rows_read == 13


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ('"lat,lon"', '"{0:.5f},{1:.5f}"'),
        ("latLng", '"({0:.5f}, {1:.5f})"'),
        ("lonlat", '"[{1:.5f}, {0:.5f}]"'),
        ("geometry", "POINT({1:.5f} {0:.5f})"),
        ("wkt", '"SRID=4326;Point Z ({1:.5f} {0:.5f} 34.5)"'),
        ("lat long", "{0:.5f} {1:.5f}"),
    ],
)
def test_positions_that_stand_in_one_cell(name: str, cell: str) -> None:
    lines = [f"2024-06-15T10:00:{n:02}Z,{cell.format(52 + n / 1e4, 13.5 - n)},{n}" for n in range(20)]
    lines[7] = "2024-06-15T10:00:07Z,somewhere,7"
    table, findings = read((f"time,{name},speed\n" + "\n".join(lines) + "\n").encode())
    kept = [n for n in range(20) if n != 7]
    assert table["latitude_deg"].drop_null().to_pylist() == [pytest.approx(52 + n / 1e4) for n in kept]
    assert table["longitude_deg"].drop_null().to_pylist() == [pytest.approx(13.5 - n) for n in kept]
    assert table["speed_mps"].to_pylist() == list(range(20))
    assert findings.bad_cells["latitude_deg"].first_rows == [9]
    assert any("one cell" in sentence for sentence in findings.inferred)
    assert not any("text are not kept" in sentence for sentence in findings.inferred)
    assert READER.recognise((f"time,{name},speed\n" + "\n".join(lines) + "\n").encode(), Origin())


@pytest.mark.parametrize(("first", "second"), [(52.125, 113.525), (-113.525, 52.125)])
def test_numbers_beyond_90_tell_which_of_a_pair_is_the_longitude(first: float, second: float) -> None:
    rows = "".join(f'2024-06-15T10:00:{n:02}Z,"{first},{second}"\n' for n in range(5))
    table, _ = read(f"time,coordinates\n{rows}".encode())
    assert {abs(first), abs(second)} == {table["latitude_deg"][0].as_py(), abs(table["longitude_deg"][0].as_py())}
    assert table["latitude_deg"][0].as_py() == 52.125


@pytest.mark.parametrize("pair", ["52.125,13.525", "100 50", "52.125,190.125"])
def test_a_pair_that_does_not_tell_its_order_is_no_position(pair: str) -> None:
    rows = "".join(f'2024-06-15T10:00:{n:02}Z,"{pair}"\n' for n in range(5))
    assert code_of(f"time,coordinates\n{rows}".encode()).code is Code.CSV_NO_POSITION_COLUMNS


def test_rows_below_a_header_that_orders_its_columns_otherwise_are_rejected_with_a_reason() -> None:
    other = HEADER.replace(b"lat,lon", b"lon,lat")
    swapped = [line.replace(b"52.", b"13.").replace(b",13.5,", b",52.5,") for line in ROWS]
    table, findings = read(TABLE + other + b"\n".join(swapped) + b"\n" + TABLE)
    assert table["source_row"].to_pylist() == [*range(2, 12), *range(24, 34)]
    counted = {reason: (tally.count, tally.first_rows[:2]) for reason, tally in findings.rejected.items()}
    assert counted == {"other_columns": (10, [13, 14]), "repeated_header": (2, [12, 23])}
    assert findings.rows_read == 32
    assert findings.bad_cells == {}


def test_the_columns_of_a_header_reach_into_the_blocks_behind_it() -> None:
    count = BLOCK_BYTES // len(ROWS[0]) + 1000
    lines = [row(i) for i in range(count)]
    data = TABLE + HEADER.replace(b"alt,speed", b"speed,alt") + b"\n".join(lines) + b"\n"
    table, findings = read(data + TABLE)
    assert table.num_rows == 20
    assert findings.rejected["other_columns"].count == count
    assert findings.rejected["repeated_header"].count == 2


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        (b"timestamp,lat,lon,alt (m),speed", b"Timestamp, Lat, LON,alt (m),Speed", True),
        (b"timestamp,lat,lon,alt (m),speed", b"#timestamp,lat,lon,alt,speed", True),
        (b"timestamp,lat,lon,alt (m),speed", b"timestamp,lat,lon,alt (ft),speed", False),
        (b"timestamp,lat,lon,alt (m),speed", b"timestamp,lat,lon,speed,alt (m)", False),
        (b"timestamp,lat,lon,alt (m),speed", b"lat,lon,timestamp,alt (m),speed", False),
    ],
    ids=["case and blanks", "a comment without unit", "another unit", "channels in another order", "time elsewhere"],
)
def test_a_header_is_the_same_by_its_names_and_units(first: bytes, second: bytes, kept: bool) -> None:
    rows = b"\n".join(ROWS) + b"\n"
    table, findings = read(first + b"\n" + rows + second + b"\n" + rows)
    assert table.num_rows == (20 if kept else 10)
    assert findings.rejected["repeated_header"].first_rows == [12]


def test_a_row_of_words_is_no_header() -> None:
    table, findings = read(TABLE + b"none,null,n/a,,\n" + b"pause,here,there,,\n" + ROWS[0] + b"\n")
    assert table.num_rows == 12
    assert findings.rejected["blank_row"].first_rows == [12]
    assert findings.bad_cells["timestamp"].first_rows == [13]

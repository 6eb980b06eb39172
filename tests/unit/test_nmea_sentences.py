"""NMEA 0183 lines: checksums, what surrounds sentences, encodings, line numbers, bounds."""

import io
import random
from functools import reduce
from operator import xor

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry.formats import nmea_sentences
from telemetry.formats.nmea_sentences import KINDS, SentenceStream, checksums_right
from telemetry.formats.reader import Findings


def sentence(body: str) -> str:
    """`$body*HH`."""
    return f"${body}*{reduce(xor, body.encode(), 0):02X}"


class Trickle:
    """A source that gives at most `most` bytes at once."""

    def __init__(self, data: bytes, most: int) -> None:
        self._file, self._most = io.BytesIO(data), most

    def read(self, size: int, /) -> bytes:
        return self._file.read(min(size, self._most))


def sentences(data: bytes, most: int = 1 << 30) -> tuple[list[tuple[str, str, str, int]], Findings]:
    """(kind, talker, body, line) of all checked sentences."""
    findings = Findings()
    found = [
        (KINDS[kind], talker.decode(), body, line)
        for block in SentenceStream(Trickle(data, most), findings).blocks()
        for kind, talker, body, line in zip(
            block.kinds.to_pylist(),
            block.talkers.to_pylist(),
            block.bodies.to_pylist(),
            block.lines.to_pylist(),
            strict=True,
        )
    ]
    return found, findings


RMC = sentence("GPRMC,120000.00,A,5000.0,N,00100.0,E,1.0,2.0,010124,,,A")
GGA = sentence("GNGGA,120000.00,5000.0,N,00100.0,E,1,08,0.9,10.0,M,47.0,M,,")
ZDA = sentence("GPZDA,120000.00,01,01,2024,00,00")
PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="$*"), max_size=200)


@given(st.lists(st.tuples(PRINTABLE, st.booleans(), st.booleans()), max_size=30))
@settings(max_examples=150, deadline=None)
def test_folded_checksums_equal_those_of_the_definition(cases: list[tuple[str, bool, bool]]) -> None:
    lines, right = [], []
    for body, damaged, lower in cases:
        line = sentence(body)
        if damaged:
            line = f"${body}*{(reduce(xor, body.encode(), 0) ^ 0x11):02X}"
        lines.append(line[:-2] + (line[-2:].lower() if lower else line[-2:]))
        right.append(not damaged)
    assert checksums_right(pa.array(lines, pa.string())).to_pylist() == right


def test_a_slice_of_lines_is_folded_like_a_whole_array() -> None:
    lines = pa.array([RMC, GGA + "0", GGA, ZDA], pa.string())
    assert checksums_right(lines.slice(1)).to_pylist() == [False, True, True]
    assert checksums_right(pa.array(["$A*ZZ", "$*00", "", "$"])).to_pylist() == [False, True, False, False]


@pytest.mark.parametrize(
    "wrap",
    [
        "{}",
        "2024-01-01T12:00:00.123 {}",
        "1704110400;N;{}",
        "\\s:r3669961,c:1120959341*51\\{}",
        '{{"nmea": "{}\\r\\n"}}',
        "{} ,12:00:00",
        "  {}   ",
        "{}\t",
        "!AIVDM,1,1,,A,13u?etPv2;0n:dDPwUM1U1Cb069D,0*24{}",
        "\x00\xff\xb5b\x01{}",
        "$GPGSV,torn{}",
    ],
)
def test_a_sentence_is_found_whatever_stands_around_it(wrap: str) -> None:
    data = "".join(wrap.format(s) + "\r\n" for s in (RMC, GGA)).encode("latin-1")
    found, _ = sentences(data)
    assert [(kind, talker, line) for kind, talker, _, line in found] == [("RMC", "GP", 1), ("GGA", "GN", 2)]
    assert found[0][2] == RMC[7:-3]


def test_two_sentences_in_one_line_are_both_read_and_lines_are_counted_as_in_the_file() -> None:
    data = f"# header\n{RMC}{GGA}\n\nnoise {ZDA}\n{RMC}\n".encode()
    for most in (1, 7, 1 << 20):
        found, _ = sentences(data, most)
        assert [(kind, line) for kind, _, _, line in found] == [("RMC", 2), ("GGA", 2), ("ZDA", 4), ("RMC", 5)]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig", "ascii"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\r\r\n"])
def test_encodings_and_line_ends(encoding: str, end: str) -> None:
    data = (end.join([RMC, GGA, ZDA]) + end).encode(encoding)
    for most in (3, 1 << 20):
        found, findings = sentences(data, most)
        assert [(kind, line) for kind, _, _, line in found] == [("RMC", 1), ("GGA", 2), ("ZDA", 3)]
        assert not findings.rejected


def test_bad_checksums_are_rejected_with_their_lines() -> None:
    torn = RMC.replace("5000.0", "5000.1")
    found, findings = sentences("\n".join([RMC, torn, GGA, torn]).encode())
    assert [line for *_, line in found] == [1, 3]
    assert findings.rejected["bad_checksum"].count == 2
    assert findings.rejected["bad_checksum"].first_rows == [2, 4]


def test_a_changed_byte_anywhere_in_a_sentence_is_noticed() -> None:
    for place in range(7, len(RMC)):
        damaged = RMC[:place] + ("7" if RMC[place] != "7" else "8") + RMC[place + 1 :]
        found, _ = sentences(f"{GGA}\n{damaged}\n".encode())
        assert [kind for kind, *_ in found] == ["GGA"], damaged


def test_lines_without_checksum_count_until_the_first_right_one() -> None:
    bare = RMC[:-3]
    found, findings = sentences(f"{bare}\n{bare}\n{GGA}\n{bare}\n".encode())
    assert [(kind, line) for kind, *_, line in found] == [("RMC", 1), ("RMC", 2), ("GGA", 3)]
    assert findings.rejected["no_checksum"].first_rows == [4]
    found, findings = sentences(f"{bare}\n{GGA[:-3]}\n".encode())
    assert [kind for kind, *_ in found] == ["RMC", "GGA"]
    assert not findings.rejected
    assert found[0][2] == RMC[7:-3]


def test_makers_own_sentences_are_never_taken_for_standard_ones() -> None:
    data = "\n".join(sentence(body) for body in ("PGRMC,A,1", "PUGGA,1", "PMTKRMC,1", "PMGNTRX,1", "GPRMB,A")).encode()
    assert sentences(data)[0] == []


def test_a_line_without_end_stays_bounded() -> None:
    noise = random.Random(1).randbytes(1 << 16)
    noise = noise.replace(b"\n", b" ").replace(b"\r", b" ").replace(b"$", b" ")
    largest = 0
    source = io.BytesIO(noise * 64 + RMC.encode() + b"\n")
    for block in nmea_sentences._text_blocks(source):
        largest = max(largest, len(block))
    assert largest <= nmea_sentences.READ_BYTES + nmea_sentences.MAX_TAIL_BYTES
    found, _ = sentences(noise * 64 + RMC.encode() + b"\n")
    assert [kind for kind, *_ in found] == ["RMC"]
    dollars, _ = sentences(b"$" * 3_000_000 + RMC.encode())
    assert [kind for kind, *_ in dollars] == ["RMC"]


@given(st.binary(max_size=400), st.integers(1, 64))
@settings(max_examples=100, deadline=None)
def test_noise_neither_breaks_nor_invents_sentences(noise: bytes, most: int) -> None:
    found, _ = sentences(noise + b"\n" + RMC.encode() + b"\n" + noise, most)
    assert "RMC" in [kind for kind, *_ in found]
    assert found == sentences(noise + b"\n" + RMC.encode() + b"\n" + noise)[0]

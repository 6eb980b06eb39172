"""Damage to recordings: bits, bytes and stretches changed, lost, doubled, moved, or taken from another recording."""

from collections.abc import Sequence
from random import Random

_TOKENS = (
    *(b"<", b">", b"/>", b"&", b"&amp;", b"]]>", b"<!--", b"-->", b"<![CDATA[", b"<!DOCTYPE x>", b"<?x?>"),
    *(b"\0", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"\xc2\xa0", b"\xe2\x82", b"\xed\xa0\x80"),
    *(b"\n", b"\r", b"\r\n\r\n", b",", b";", b"\t", b'"', b"'", b"#", b"$", b"*", b"[", b"]"),
    *(b"NaN", b"inf", b"-", b"1e999", b"-0", b"9" * 30, b"0" * 30, b"9" * 20, b"-9223372036854775809", b"2147483648"),
    *(b"1970-01-01T00:00:00Z", b"9999-12-31T23:59:59Z", b"0000-00-00", b"24:00:00", b"235960.99"),
    *(b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", b"\x00\x00\x00\x80", b"\xb5\x62", b".FIT"),
    *(b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b\x08", b"[data]", b"time", b"lat", b"$GPRMC,", b"HFDTE"),
)
MOST_CHANGES = 8


def mutate(data: bytes, others: Sequence[bytes], rng: Random) -> bytes:
    """`data` with one to `MOST_CHANGES` changes."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, MOST_CHANGES)):
        _change(changed, others, rng)
    return bytes(changed)


def _change(data: bytearray, others: Sequence[bytes], rng: Random) -> None:
    at = rng.randrange(len(data) + 1)
    width = min(len(data) - at, int(rng.expovariate(1 / 20)))
    piece = bytes(data[at : at + width])
    match rng.randrange(9):
        case 0 if at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        case 1:
            del data[at : at + width]
        case 2:
            data[at:at] = piece * rng.randint(1, 4)
        case 3:
            data[at : at + rng.choice((0, width))] = rng.choice(_TOKENS)
        case 4:
            data[at : at + rng.choice((0, width))] = rng.randbytes(width)
        case 5 if rng.random() < 0.2:
            del data[at:]
        case 6:
            to = rng.randrange(len(data) + 1)
            data[to:to] = piece
        case 7:
            other = rng.choice(others)
            begin = rng.randrange(len(other) + 1)
            data[at : at + width] = other[begin : begin + rng.randrange(1, 400)]
        case 8 if 0 < data.count(piece[:3]) < 2000:
            # Every occurrence of one short stretch: what happens in every row is more than what happens once.
            data[:] = data.replace(piece[:3], rng.choice((b"", rng.choice(_TOKENS))))

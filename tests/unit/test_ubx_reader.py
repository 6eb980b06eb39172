"""The UBX reader: framing and damage, NAV-PVT field by field, NMEA beside or instead."""

import struct
from datetime import UTC, datetime
from functools import reduce

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry.errors import Code, TelemetryError
from telemetry.formats import ubx
from telemetry.formats.reader import Findings, Origin
from telemetry.formats.ubx import READER
from telemetry.formats.ubx_frames import FrameStream
from tests.unit.test_nmea_reader import gga, log, rmc
from tests.unit.test_nmea_sentences import Trickle


def frame(message_class: int, message_id: int, payload: bytes) -> bytes:
    """A UBX frame; the sum is worked out as the specification's own loop does."""
    content = struct.pack("<BBH", message_class, message_id, len(payload)) + payload
    a, b = reduce(lambda ab, byte: ((ab[0] + byte) & 255, (ab[1] + ab[0] + byte) & 255), content, (0, 0))
    return b"\xb5\x62" + content + bytes((a, b))


def pvt(
    second: int = 0,
    *,
    nano: int = 0,
    valid: int = 0x07,
    fix: int = 3,
    flags: int = 0x01,
    length: int = 92,
    month: int = 6,
    flags3: int = 0,
    day: tuple[int, int, int] = (15, 12, 30),
) -> bytes:
    """A NAV-PVT frame, written field by field at the offsets that the specification gives."""
    payload = bytearray(92)
    for offset, kind, value in (
        (0, "I", 1000 * second),
        (4, "H", 2024), (6, "B", month), (7, "B", day[0]), (8, "B", day[1]), (9, "B", day[2]), (10, "B", second),
        (11, "B", valid), (12, "I", 25), (16, "i", nano), (20, "B", fix), (21, "B", flags), (22, "B", 0xEA),
        (23, "B", 14), (24, "i", -1_234_567), (28, "i", 521_234_567), (32, "i", 99_999), (36, "i", 52_345),
        (40, "I", 1_500), (44, "I", 2_500), (48, "i", 3_000), (52, "i", 4_000), (56, "i", -250), (60, "i", 5_000),
        (64, "i", 5_313_010), (68, "I", 120), (72, "I", 150_000), (76, "H", 123), (78, "B", flags3),
    ):  # fmt: skip
        struct.pack_into(f"<{kind}", payload, offset, value)
    return frame(0x01, 0x07, bytes(payload[:length]))


def read(data: bytes, most: int = 1 << 30) -> tuple[pa.Table, Findings]:
    findings = Findings()
    return pa.Table.from_batches(READER.read(Trickle(data, most), Origin("x.ubx"), findings)), findings


NAV_SAT = frame(0x01, 0x35, bytes(range(8)) * 20)


def test_every_field_of_nav_pvt() -> None:
    table, findings = read(pvt(7, nano=123_456_789))
    (row,) = table.to_pylist()
    assert row == {
        "timestamp": datetime(2024, 6, 15, 12, 30, 7, 123457, UTC),
        "latitude_deg": 52.1234567,
        "longitude_deg": -0.1234567,
        "altitude_m": 52.345,
        "speed_mps": 5.0,
        "course_deg": pytest.approx(53.1301),
        "vertical_speed_mps": 0.25,
        "horizontal_accuracy_m": 1.5,
        "satellites": 14.0,
        "vertical_accuracy": 2.5,
        "speed_accuracy": 0.12,
        "course_accuracy": 1.5,
        "pdop": 1.23,
        "height_above_ellipsoid": 99.999,
        "velocity_north": 3.0,
        "velocity_east": 4.0,
        "fix_type": "3d",
        "source_row": 1,
    }
    assert (findings.rows_read, findings.rejected, findings.dialect) == (1, {}, "NAV-PVT")
    assert findings.device is not None
    assert findings.device.manufacturer == "u-blox"


def test_the_older_message_of_84_bytes_and_other_lengths() -> None:
    """The older one keeps for itself the byte that says of a position that it is none."""
    table, findings = read(pvt(1, length=84, flags3=1) + pvt(2, length=80) + pvt(3))
    assert [t.second for t in table["timestamp"].to_pylist()] == [1, 3]
    assert "1 damaged frames" in findings.inferred[0]


def test_negative_nano_and_a_leap_second() -> None:
    table, _ = read(pvt(0, nano=-200_100) + pvt(60, day=(30, 23, 59)))
    assert table["timestamp"].to_pylist() == [
        datetime(2024, 6, 15, 12, 29, 59, 999800, UTC),
        datetime(2024, 7, 1, tzinfo=UTC),
    ]


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (pvt(1, valid=0x06), "no_time"),
        (pvt(1, valid=0x05), "no_time"),
        (pvt(1, month=13), "no_time"),
        (pvt(1, flags=0x02), "no_fix"),
        (pvt(1, fix=0), "no_fix"),
        (pvt(1, fix=5, flags=0), "no_fix"),
        (pvt(1, flags3=1), "no_fix"),
    ],
)
def test_what_is_no_fix_is_rejected_with_its_reason(made: bytes, reason: str) -> None:
    table, findings = read(pvt(0) + made + pvt(2))
    assert table["source_row"].to_pylist() == [1, 3]
    assert findings.rejected[reason].first_rows == [2]
    assert findings.rows_read == 3


@pytest.mark.parametrize(
    ("fix", "flags", "name"),
    [
        (2, 1, "2d"),
        (3, 1, "3d"),
        (4, 1, "3d"),
        (1, 1, "estimated"),
        (5, 1, "time"),
        (3, 3, "dgnss"),
        (3, 0x43, "rtk_float"),
        (3, 0x83, "rtk_fixed"),
    ],
)
def test_kinds_of_fix(fix: int, flags: int, name: str) -> None:
    assert read(pvt(fix=fix, flags=flags))[0]["fix_type"].to_pylist() == [name]


def test_frames_are_found_between_anything_and_after_damage() -> None:
    damaged = bytearray(pvt(2))
    damaged[40] ^= 0x10
    data = b"# Name: u-blox\n" + pvt(1) + bytes(damaged) + NAV_SAT + pvt(3) + b"\xb5" + pvt(4) + b"\xb5\x62\x01\x07"
    for most in (1, 50, 1 << 20):
        table, findings = read(data, most)
        assert [t.second for t in table["timestamp"].to_pylist()] == [1, 3, 4]
        assert findings.inferred == [f"2 damaged frames were passed over, the first at byte {15 + 100}."]


def test_a_false_start_with_a_huge_length_hides_nothing() -> None:
    table, _ = read(b"\xb5\x62\x01\x35\xff\xff" + b"".join(pvt(n) for n in range(60)))
    assert table.num_rows == 60


def test_noise_full_of_sync_bytes_costs_bounded_time() -> None:
    noise = b"\xb5\x62\x02\x15\xf0\xff\x00\x00" * 100_000
    table, findings = read(noise + pvt(1))
    assert table.num_rows == 1
    assert findings.inferred[0].startswith("100000 damaged frames")


def test_nav_pvt_wins_over_the_nmea_beside_it() -> None:
    nmea = log(rmc("120000"), gga("120000")).encode()
    table, findings = read(nmea + pvt(1) + nmea + NAV_SAT + pvt(2) + nmea)
    assert [t.second for t in table["timestamp"].to_pylist()] == [1, 2]
    assert findings.rows_read == 2


@pytest.mark.parametrize("most", [64, 1 << 20])
def test_without_nav_pvt_the_nmea_is_read(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ubx, "MAX_NMEA_BYTES", 500)
    parts = [log(rmc(f"1200{n:02d}"), gga(f"1200{n:02d}")).encode() for n in range(40)]
    data = NAV_SAT.join(parts)
    table, findings = read(data, most)
    assert table.num_rows == 40
    assert (findings.format, findings.dialect) == ("ubx", "no NAV-PVT with a fix; NMEA: RMC, GGA")


def test_nmea_stands_in_where_no_nav_pvt_has_a_fix() -> None:
    table, findings = read(pvt(0, flags=0) + log(rmc("120000")).encode() + pvt(1, flags=0))
    assert table["timestamp"].to_pylist() == [datetime(2024, 1, 1, 12, tzinfo=UTC)]
    assert findings.rejected["no_fix"].count == 2


@pytest.mark.parametrize("data", [NAV_SAT * 3, pvt(flags=0), NAV_SAT + log(rmc("120000", status="V")).encode()])
def test_without_any_fix_there_are_no_positions(data: bytes) -> None:
    with pytest.raises(TelemetryError) as raised:
        read(data)
    assert raised.value.code is Code.NO_POSITION_DATA


def test_a_log_of_older_messages_says_which() -> None:
    with pytest.raises(TelemetryError) as caught:
        read(frame(0x01, 0x02, bytes(28)) + frame(0x01, 0x12, bytes(36)) + NAV_SAT)
    assert caught.value.code is Code.NO_POSITION_DATA
    assert "there are NAV-POSLLH, NAV-VELNED" in caught.value.detail


def test_long_logs_come_in_several_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ubx, "BATCH_ROWS", 100)
    batches = list(READER.read(Trickle(pvt(5) * 1000, 5000), Origin(), Findings()))
    assert len(batches) > 5
    assert sum(batch.num_rows for batch in batches) == 1000


def test_recognition() -> None:
    def claim(data: bytes) -> tuple[float, str] | None:
        found = READER.recognise(data, Origin())
        return None if found is None else (found.confidence, found.reason)

    nmea = log(rmc("120000"), gga("120000")).encode()
    assert claim(nmea + pvt(1)) == (0.99, "u-blox UBX with NAV-PVT and NMEA")
    assert claim(pvt(1)[:50]) is None
    assert claim(NAV_SAT * 2 + pvt(1)[:50]) == (0.96, "u-blox UBX")
    assert claim(nmea) is None
    assert claim(b"\xb5\x62" * 100) is None


LOG = pvt(1) + NAV_SAT + pvt(2) + log(rmc("120000")).encode() + pvt(3)


@given(st.lists(st.tuples(st.integers(0, len(LOG) - 1), st.integers(0, 255)), max_size=8), st.integers(1, 300))
@settings(max_examples=200, deadline=None)
def test_any_damage_ends_in_rows_or_a_code(changes: list[tuple[int, int]], most: int) -> None:
    data = bytearray(LOG)
    for place, value in changes:
        data[place] = value
    try:
        table, _ = read(bytes(data), most)
    except TelemetryError as error:
        assert error.code in (Code.NO_POSITION_DATA, Code.NO_TIME_DATA)
    else:
        assert 1 <= table.num_rows <= 3


@given(st.binary(max_size=3000), st.integers(1, 64))
@settings(max_examples=100, deadline=None)
def test_frames_and_what_is_between_them_make_up_the_stream(noise: bytes, most: int) -> None:
    stream = FrameStream(Trickle(noise + NAV_SAT + noise, most))
    frames = [found for block in stream.frames() for found in block]
    assert frames or b"\xb5\x62" in noise
    outside = len(stream.take_between()) + 2 * stream.damaged_count
    assert outside == 2 * len(noise) or b"\xb5\x62" in noise

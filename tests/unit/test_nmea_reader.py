"""The NMEA reader: epochs, dates, units, what is refused; and pynmea2's reading of the same logs beside it."""

import io
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pynmea2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.generator import Recipe, write
from telemetry.errors import Code, TelemetryError
from telemetry.formats import nmea_epochs, nmea_fields, nmea_order
from telemetry.formats.nmea import READER
from telemetry.formats.reader import Findings, Origin, TimeBasis
from tests.unit.test_nmea_sentences import Trickle, sentence


def read(text: str | bytes, origin: Origin = Origin(), most: int = 1 << 30) -> tuple[pa.Table, Findings]:  # noqa: B008
    findings = Findings()
    data = text.encode() if isinstance(text, str) else text
    batches = list(READER.read(Trickle(data, most), origin, findings))
    return pa.Table.from_batches(batches, schema=nmea_epochs.SCHEMA), findings


def log(*bodies: str) -> str:
    return "".join(sentence(body) + "\r\n" for body in bodies)


def rmc(time: str, date: str = "010124", place: str = "5000.0000,N,00100.0000,E", status: str = "A") -> str:
    return f"GPRMC,{time},{status},{place},10.0,90.0,{date},,,A"


def gga(time: str, place: str = "5000.0000,N,00100.0000,E", quality: int = 1) -> str:
    return f"GPGGA,{time},{place},{quality},08,0.9,120.5,M,47.0,M,,"


def times(table: pa.Table) -> list[datetime | None]:
    stamps: list[datetime | None] = table["timestamp"].to_pylist()
    return stamps


def at(year: int, month: int, day: int, *clock: int) -> datetime:
    hour, minute, second, micro = (*clock, 0, 0, 0, 0)[:4]
    return datetime(year, month, day, hour, minute, second, micro, tzinfo=UTC)


def test_all_sentences_of_an_epoch_make_one_row() -> None:
    table, findings = read(
        log(
            "GNRMC,120000.25,A,5230.0000,N,01315.0000,W,19.4384449,271.5,290224,,,A",
            "GNVTG,1.0,T,,M,2.0,N,3.7,K,A",
            "GNGGA,120000.25,5230.0000,N,01315.0000,W,4,17,0.61,34.25,M,46.9,M,1.0,0000",
            "GNGSA,A,3,01,02,03,,,,,,,,,,1.20,0.61,1.03,1",
            "GNGSA,A,3,65,66,,,,,,,,,,,9.99,9.99,9.99,2",
            "GNGST,120000.25,1.0,,,,0.3,0.4,0.8",
            "GNGLL,5230.0000,N,01315.0000,W,120000.25,A,A",
            "GNZDA,120000.25,29,02,2024,00,00",
        )
    )
    (row,) = table.to_pylist()
    assert row["timestamp"] == at(2024, 2, 29, 12, 0, 0, 250000)
    assert (row["latitude_deg"], row["longitude_deg"]) == (52.5, -13.25)
    assert row["speed_mps"] == pytest.approx(10.0)
    assert row["course_deg"] == 271.5
    assert (row["altitude_m"], row["geoid_separation"], row["satellites"]) == (34.25, 46.9, 17)
    assert (row["hdop"], row["pdop"], row["vdop"]) == (0.61, 1.2, 1.03)
    assert row["horizontal_accuracy_m"] == pytest.approx(0.5)
    assert row["vertical_accuracy"] == 0.8
    assert (row["fix_type"], row["source_row"]) == ("rtk_fixed", 1)
    assert findings.time_basis is TimeBasis.GNSS_UTC
    assert findings.dialect == "RMC, GGA, GLL, GSA, VTG, GST, ZDA"
    assert (findings.rows_read, findings.rejected, findings.inferred) == (1, {}, [])


def test_vtg_and_gsa_fill_what_rmc_and_gga_leave_open() -> None:
    table, _ = read(
        log(
            "GPGGA,120000,0000.0000,N,00000.0000,E,1,,,,,,,,",
            "GPVTG,45.0,T,,M,,N,36.0,K",
            "GPGSA,A,2,,,,,,,,,,,,,2.0,1.5,1.0",
            "GPZDA,120000,01,01,2024,,",
            gga("120001"),
            "GPVTG,45.0,T,,M,,N,36.0,K,N",
        )
    )
    first, second = table.to_pylist()
    assert (first["latitude_deg"], first["longitude_deg"]) == (0.0, 0.0)
    assert first["speed_mps"] == pytest.approx(10.0)
    assert (first["course_deg"], first["hdop"], first["fix_type"]) == (45.0, 1.5, "2d")
    assert first["altitude_m"] is None
    assert second["speed_mps"] is None


def _epoch(second: int, order: str) -> list[str]:
    place = f"5000.{second:04d},N,00100.0000,E"
    bodies = {
        "V": f"GPVTG,90.0,T,,M,{10 + second},N,18.5,K,A",
        "S": f"GPGSA,A,3,01,02,03,,,,,,,,,,{1 + second}.0,1.1,1.7",
        "G": gga(f"1000{second:02d}", place),
        "Z": f"GPZDA,1000{second:02d},01,01,2024,00,00",
    }
    return [bodies[letter] for letter in order]


@pytest.mark.parametrize("order", ["VSGZ", "VGSZ", "SGVZ", "SVGZ", "GZVS", "GVZS", "GSVZ"])
@pytest.mark.parametrize("most", [150, 1500, 1 << 30])
def test_sentences_without_a_time_belong_to_their_epoch_where_they_stand(order: str, most: int) -> None:
    table, _ = read(log(*(body for second in range(40) for body in _epoch(second, order))), most=most)
    assert table["speed_mps"].to_pylist() == pytest.approx([(10 + second) * 1852 / 3600 for second in range(40)])
    assert table["pdop"].to_pylist() == [1 + second for second in range(40)]
    assert times(table) == [at(2024, 1, 1, 10, 0, second) for second in range(40)]


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_log_that_begins_within_an_epoch_keeps_the_usual_order(cut: int) -> None:
    bodies = [body for second in range(5) for body in _epoch(second, "GVSZ")][cut:]
    table, _ = read(log(*bodies))
    assert table["pdop"].to_pylist() == [2, 3, 4, 5]


def test_a_run_without_times_that_leads_nothing_more_stays_at_the_end() -> None:
    table, _ = read(log(*(body for second in range(3) for body in _epoch(second, "VSGZ")), "GPVTG,1.0,T,,M,99,N,1,K,A"))
    assert table["pdop"].to_pylist() == [1, 2, 3]


def test_a_log_of_sentences_without_times_stays_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nmea_order, "MAX_WAITING_SENTENCES", 10)
    bodies = _epoch(0, "VGZ") + _epoch(1, "VGZ") + ["GPVTG,1.0,T,,M,99,N,1,K,A"] * 1000
    assert read(log(*bodies), most=500)[0].num_rows == 2


def test_gns_gll_old_vtg_and_magellans_own_sentence() -> None:
    table, findings = read(
        log(
            "GNGNS,120000.0,3349.89600,S,15112.01200,E,AN,10,1.1,25.5,18.0,,",
            "GNZDA,120000.0,01,01,2024,,",
            "GPGLL,3349.9,S,15112.1,E,120001.0,A",
            "GPVTG,90.0,,2.0,3.7",
            "GPGLL,3349.9,S,15112.1,E,120002.0,V",
            "GNGNS,120003.0,3349.89600,S,15112.01200,E,NN,00,99,,,,",
            "PMGNTRK,4415.163,N,07631.126,W,00100,F,120004.50,A,,010124",
        )
    )
    rows = table.to_pylist()
    assert [row["timestamp"].second for row in rows] == [0, 1, 4]
    assert rows[0]["latitude_deg"] == pytest.approx(-(33 + 49.896 / 60), abs=1e-9)
    assert rows[0]["altitude_m"] == 25.5
    assert rows[1]["speed_mps"] == pytest.approx(2 * 1852 / 3600)
    assert rows[2]["altitude_m"] == pytest.approx(30.48)
    assert findings.rejected["no_fix"].count == 2


def test_rmc_counts_only_with_status_a() -> None:
    table, findings = read(log(rmc("120000", status="V"), rmc("120001"), rmc("120002", status="V"), gga("120002")))
    assert [t.second for t in times(table) if t] == [1, 2]
    assert table["speed_mps"].to_pylist()[1] is None
    assert findings.rejected["no_fix"].first_rows == [1]


def test_a_gga_without_fix_is_no_position() -> None:
    table, findings = read(log(rmc("115959"), gga("120000", quality=0), gga("120001", quality=8)))
    assert table.num_rows == 2
    assert table["fix_type"].to_pylist() == [None, "simulated"]
    assert findings.rejected["no_fix"].count == 1


@pytest.mark.parametrize(
    "place",
    ["5060.0,N,00100.0,E", "5000.0,,00100.0,E", "5000.0,N,00100.0,X", "x,N,00100.0,E", "-5000.0,N,00100.0,E", ",,,"],
)
def test_a_position_that_cannot_be_is_no_position(place: str) -> None:
    table, findings = read(log(rmc("120000"), rmc("120001", place=place)))
    assert table.num_rows == 1
    assert findings.rejected["no_fix"].first_rows == [2]


@pytest.mark.parametrize(
    ("stamp", "micro"), [("12", 0), ("12.5", 500000), ("12.123456", 123456), ("12.1234567", 123457)]
)
def test_fractions_of_seconds_are_kept(stamp: str, micro: int) -> None:
    table, _ = read(log(rmc(f"1200{stamp}")))
    assert times(table) == [at(2024, 1, 1, 12, 0, 12, micro)]


@pytest.mark.parametrize("stamp", ["240000", "126000", "120062", "", "abc", "-10000"])
def test_a_time_that_cannot_be_leaves_the_row_without_time(stamp: str) -> None:
    table, _ = read(log(rmc("115958"), rmc(stamp), rmc("120001")))
    assert times(table) == [at(2024, 1, 1, 11, 59, 58), None, at(2024, 1, 1, 12, 0, 1)]


def test_a_leap_second_is_the_first_second_of_the_next_day() -> None:
    table, _ = read(log(rmc("235959", "311216"), rmc("235960.5", "311216"), rmc("000000.9", "010117")))
    assert times(table)[1:] == [at(2017, 1, 1, 0, 0, 0, 500000), at(2017, 1, 1, 0, 0, 0, 900000)]


def test_midnight_rolls_the_day_of_gga_but_never_twice() -> None:
    table, _ = read(
        log(
            rmc("235958", "310124"),
            gga("235958"),
            gga("235959"),
            gga("000000"),
            rmc("000001", "010224"),
            gga("000001"),
            gga("000002"),
        )
    )
    assert times(table) == [at(2024, 1, 31, 23, 59, 58) + timedelta(seconds=n) for n in range(5)]


def test_a_late_sentence_of_the_day_before_stays_there() -> None:
    table, _ = read(log(rmc("235959.8", "310124"), gga("000000.0"), gga("235959.9"), gga("000000.1")))
    start = at(2024, 1, 31, 23, 59, 59, 800000)
    assert times(table) == [start + timedelta(milliseconds=n) for n in (0, 200, 100, 300)]


def test_fixes_before_the_first_date_are_dated_back_from_it() -> None:
    table, findings = read(log(gga("235958"), gga("235959"), gga("000000"), "GPZDA,000001,01,02,2024,,", gga("000002")))
    assert times(table) == [at(2024, 1, 31, 23, 59, 58) + timedelta(seconds=n) for n in (0, 1, 2, 4)]
    assert findings.inferred == ["The first 3 fixes come before the first date; theirs is counted back from it."]


def test_the_date_may_come_blocks_later() -> None:
    start = at(2024, 1, 31, 23, 30, 0)
    moments = [start + timedelta(seconds=n) for n in range(4000)]
    text = log(*(gga(f"{m:%H%M%S}") for m in moments), rmc("003640", "010224"))
    table, findings = read(text, most=9999)
    assert times(table) == [*moments, at(2024, 2, 1, 0, 36, 40)]
    assert "The first 4000 fixes" in findings.inferred[0]


@pytest.mark.parametrize(
    ("origin", "day", "said"),
    [
        (Origin("run_2023-07-01.nmea", at(2024, 1, 1)), 1, "file's name"),
        (Origin("run.nmea", at(2023, 7, 3)), 2, "day before"),
        (Origin("run.nmea", at(2023, 7, 2, 23, 59, 59)), 2, "upload"),
    ],
)
def test_without_any_date_the_files_name_then_the_upload_gives_it(origin: Origin, day: int, said: str) -> None:
    table, findings = read(log(gga("235959"), gga("000000")), origin)
    assert times(table) == [at(2023, 7, day, 23, 59, 59), at(2023, 7, day + 1)]
    assert findings.time_basis is TimeBasis.INFERRED_DATE
    assert said in " ".join(findings.inferred)


def test_without_any_date_anywhere_there_is_no_time() -> None:
    with pytest.raises(TelemetryError) as raised:
        read(log(gga("120000"), gga("120001")), Origin("run.nmea"))
    assert raised.value.code is Code.NO_TIME_DATA


def test_rows_that_wait_for_a_date_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nmea_epochs, "MAX_UNDATED_ROWS", 500)
    text = log(*(gga(f"12{n // 60 % 60:02d}{n % 60:02d}") for n in range(3000)), rmc("130000"))
    table, findings = read(text, Origin("x.nmea"), most=20_000)
    assert findings.rejected["no_date"].count >= 500
    assert table.num_rows + findings.rejected["no_date"].count == 3001
    assert times(table)[-1] == at(2024, 1, 1, 13)


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        (log("GPWPL,3558.322,N,08708.082,W,A"), "no sentence with a fix"),
        (log(rmc("120000", status="V")), "(RMC)"),
        ("", ""),
    ],
)
def test_a_log_without_any_fix_has_no_positions(text: str, detail: str) -> None:
    with pytest.raises(TelemetryError) as raised:
        read(text)
    assert raised.value.code is Code.NO_POSITION_DATA
    assert detail in str(raised.value)


@pytest.mark.parametrize(
    ("stamp", "expected"),
    [
        ("010100", date(2000, 1, 1)),
        ("311280", date(1980, 12, 31)),
        ("310179", date(2079, 1, 31)),
        ("01012024", date(2024, 1, 1)),
    ],
)
def test_years_of_two_digits(stamp: str, expected: date) -> None:
    (time,) = times(read(log(rmc("120000", stamp)))[0])
    assert time is not None
    assert time.date() == expected


@pytest.mark.parametrize("stamp", ["300224", "001324", "0101", "", "aabbcc"])
def test_a_date_that_the_calendar_does_not_have_is_none(stamp: str) -> None:
    table, _ = read(log(rmc("120000"), rmc("120001", stamp)))
    assert times(table) == [at(2024, 1, 1, 12), at(2024, 1, 1, 12, 0, 1)]


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        (Origin("2024-01-01.nmea"), "1024 weeks before that in the file's name"),
        (Origin("x.nmea", at(2024, 1, 2)), "1024 weeks or more before the upload"),
    ],
)
def test_a_missed_week_rollover_is_said_and_not_mended(origin: Origin, words: str) -> None:
    shifted = date(2024, 1, 1) - timedelta(weeks=1024)
    table, findings = read(log(rmc("120000", f"{shifted:%d%m%y}")), origin)
    assert times(table) == [datetime(shifted.year, shifted.month, shifted.day, 12, tzinfo=UTC)]
    assert any(words in sentence for sentence in findings.inferred)
    assert read(log(rmc("120000")), origin)[1].inferred == []


def test_whole_second_stamps_of_a_fast_receiver_keep_every_fix() -> None:
    places = [f"5000.000{n},N,00100.0000,E" for n in range(5)]
    alternating = [body for place in places for body in (gga("120000", place), rmc("120000", place=place))]
    for bodies in ([rmc("120000", place=place) for place in places], alternating):
        table, _ = read(log(*bodies, rmc("120001")))
        assert table.num_rows == 6
        assert len(set(table["latitude_deg"].to_pylist())) == 5
    two_talkers, _ = read(log(rmc("120000"), rmc("120000", place="5000.0001,N,00100.0000,E").replace("GP", "GN", 1)))
    assert two_talkers.num_rows == 1


def test_torn_epochs_become_one_row_again() -> None:
    table, _ = read(
        log(rmc("120000.0"), rmc("120000.2"), rmc("120000.1"), gga("120000.2"), gga("120000.0"), gga("120000.1"))
    )
    assert [t.microsecond for t in times(table) if t] == [0, 200000, 100000]
    assert table["altitude_m"].null_count == 0
    apart, _ = read(log(rmc("120000"), rmc("120001"), gga("120000", "5000.0100,N,00100.0000,E")))
    assert apart.num_rows == 3
    days, _ = read(log(rmc("120000"), *(gga(f"{h % 24:02d}0000") for h in range(13, 37))))
    assert [b - a for a, b in pairwise(t for t in times(days) if t)] == [timedelta(hours=1)] * 24


def test_a_clock_that_stands_still_stays_bounded() -> None:
    table, _ = read(log(*[rmc("120000")] * 20_000), most=50_000)
    # Cut about every MAX_OPEN_SENTENCES: otherwise all of them would have waited for the end, as one row.
    assert 3 <= table.num_rows < 100


def test_the_size_of_reads_changes_nothing() -> None:
    bodies = [
        b for n in range(600) for b in (rmc(f"12{n // 60:02d}{n % 60:02d}.5"), gga(f"12{n // 60:02d}{n % 60:02d}.5"))
    ]
    text = log(*bodies[:3], "GPGSV,1,1,00", *bodies[3:])
    whole = read(text)[0]
    assert whole.num_rows == 600
    for most in (100, 777, 4096):
        assert read(text, most=most)[0].equals(whole)


def reference(path: Path) -> list[tuple[datetime, float, float, float, float]]:
    """Time, latitude, longitude, speed, altitude of each RMC with its GGA, as pynmea2 reads them."""
    rows: list[tuple[datetime, float, float, float, float]] = []
    found = [pynmea2.parse(line, check=True) for line in path.read_text().splitlines()]
    for first, second in zip(found[::2], found[1::2], strict=True):
        assert (first.sentence_type, second.sentence_type) == ("RMC", "GGA")
        moment = datetime.combine(first.datestamp, first.timestamp.replace(tzinfo=UTC))
        rows.append(
            (moment, first.latitude, first.longitude, first.spd_over_grnd * 1852 / 3600, float(second.altitude))
        )
    return rows


def test_every_fix_of_a_generated_log_is_what_pynmea2_reads(tmp_path: Path) -> None:
    path = tmp_path / "x.nmea"
    start = at(2024, 2, 29, 23, 59, 0)
    write(Recipe(format="nmea", rows=3000, rate_hz=25, noise_m=0.5, loss=0.01, start=start), path)
    table, findings = read(path.read_bytes())
    expected = reference(path)
    assert table.num_rows == findings.rows_read == len(expected)
    rows = zip(
        times(table),
        *(table[name].to_pylist() for name in ("latitude_deg", "longitude_deg", "speed_mps", "altitude_m")),
        strict=True,
    )
    for mine, theirs in zip(rows, expected, strict=True):
        assert mine[0] == theirs[0]
        assert mine[1:] == pytest.approx(theirs[1:], abs=1e-9)


@pytest.mark.parametrize(
    ("data", "confidence", "reason"),
    [
        (log(rmc("120000"), gga("120000")).encode(), 0.95, "RMC, GGA by GP"),
        ((log(rmc("120000")) * 3).encode("utf-16"), 0.95, "in UTF-16"),
        (b"# comment\n" + log("GPWPL,1").encode(), 0.8, "WPL by GP"),
        (log("PMGNTRK,4415.163,N,07631.126,W,00095,M,110833.53,A,,030409").encode(), 0.95, "NMEA 0183: PMGNTRK"),
        (b"$" + rmc("120000").encode() + b"\n$" + gga("120000").encode(), 0.6, "RMC, GGA by GP"),
        (log("C,+2025,-7,+18").encode(), 0.5, "sentences of one maker only"),
    ],
)
def test_recognition(data: bytes, confidence: float, reason: str) -> None:
    claim = READER.recognise(data, Origin())
    assert claim is not None
    assert claim.confidence == confidence
    assert reason in claim.reason


@pytest.mark.parametrize("data", [b"", b"lat,lon\n1,2\n", b"$GPRMC", b"price $GPRMC,1 and more", b"\x00" * 100])
def test_other_files_are_not_claimed(data: bytes) -> None:
    assert READER.recognise(data, Origin()) is None


LOG = log(
    rmc("120000.5"), gga("120000.5"), "GPGSA,A,3,,,,,,,,,,,,,2.0,1.5,1.0", "GPZDA,120001,01,01,2024,,", gga("120001")
).encode()


@given(st.lists(st.tuples(st.integers(0, len(LOG) - 1), st.integers(0, 255)), max_size=12), st.integers(0, len(LOG)))
@settings(max_examples=200, deadline=None)
def test_any_damage_ends_in_rows_or_a_code(changes: list[tuple[int, int]], end: int) -> None:
    data = bytearray(LOG)
    for place, value in changes:
        data[place] = value
    try:
        table, _ = read(bytes(data[:end]), Origin("x"))
    except TelemetryError as error:
        assert error.code in (Code.NO_POSITION_DATA, Code.NO_TIME_DATA)
    else:
        assert 1 <= table.num_rows <= 2


FIELD = st.sampled_from(
    ["", "A", "V", "N", "S", "1", "120000", "5000.1", "-1", "1e9", "nan", "inf", "9" * 30, "010124", "é"]
)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["RMC", "GGA", "GLL", "GNS", "GSA", "VTG", "GST", "ZDA"]), st.lists(FIELD, max_size=20)
        ),
        max_size=12,
    )
)
@settings(max_examples=200, deadline=None)
def test_any_fields_end_in_rows_or_a_code(parts: list[tuple[str, list[str]]]) -> None:
    text = "".join(sentence(",".join([f"GP{kind}", *fields])) + "\n" for kind, fields in parts)
    try:
        read(text, Origin("x"))
    except TelemetryError as error:
        assert error.code in (Code.NO_POSITION_DATA, Code.NO_TIME_DATA)


def columns(fields: nmea_fields.Fields) -> list[object]:
    """All that was read, for comparing."""
    given = [fields.time_us, fields.day, fields.usable, fields.fix, *(fields.columns or {}).values()]
    return [None if array is None else array.to_pylist() for array in given]


VALUE = st.one_of(
    FIELD,
    st.floats(0, 1e6).map(lambda value: f"{value:.4f}"),
    st.sampled_from([" 12.5 ", "+1", "1_0", "0x1", "1e5", "1e400", "-0", ".5", "5.", "1,5", "\u00bd", '"', "12 ", "T"]),
)


@given(st.sampled_from(range(9)), st.data())
@settings(max_examples=200, deadline=None)
def test_the_fast_way_reads_what_the_strict_one_reads(kind: int, data: st.DataObject) -> None:
    width = data.draw(st.integers(1, 18))
    rows = data.draw(st.lists(st.lists(VALUE, min_size=width, max_size=width), min_size=1, max_size=4))
    bodies = pa.array([",".join(row).encode("ascii", "replace").decode() for row in rows], pa.string())
    assert columns(nmea_fields.parse(kind, bodies)) == columns(nmea_fields.parse(kind, bodies, strict=True))


def test_the_fast_way_is_taken_for_usual_sentences_and_left_for_odd_ones() -> None:
    def fast(*bodies: str) -> bool:
        needed, numbers, _ = nmea_fields._PARSERS[0]
        return nmea_fields._table_cells(pa.array([body[6:] for body in bodies]), needed, numbers) is not None

    assert fast(rmc("120000"), rmc("120001").replace("90.0", ""))
    assert not fast(rmc("120000"), rmc("120001") + ",V")
    assert not fast(rmc("120000"), rmc("12000x"))
    assert not fast(rmc("120000"), rmc("nan"))


def test_a_bytesio_is_a_source() -> None:
    assert next(iter(READER.read(io.BytesIO(LOG), Origin(), Findings()))).num_rows == 2

"""Laps out of tables whose times or marks are nonsense: none, and the rest as it is."""

import io
import re
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from telemetry.domain.laps import MOST_LAPS
from telemetry.formats.csv import READER
from telemetry.formats.csv_laps import LapColumn, LapComments, LapEdges, in_calendar, laps_of_beacons
from telemetry.formats.reader import Findings, Origin
from telemetry.streams.channels import TIMESTAMP

UPLOADED_AT = datetime(2024, 5, 1, 12, tzinfo=UTC)


def laps_of(text: str) -> list[int]:
    findings = Findings()
    list(READER.read(io.BytesIO(text.encode()), Origin(uploaded_at=UPLOADED_AT), findings))
    return [lap.number for lap in findings.laps]


def test_times_that_no_calendar_holds_end_no_lap() -> None:
    times = pa.array([0, 2**62, -(2**62), 10**15], pa.int64()).cast(TIMESTAMP)
    assert in_calendar(times).is_null().to_pylist() == [False, True, True, False]
    column = LapColumn(LapEdges.WHOLE)
    column.add(pa.array([1, 1, 2, 2]), in_calendar(times))
    assert [lap.number for lap in column.laps()] == [1]


@pytest.mark.parametrize("wrong", ["9999999999999", "-9999999999999", "20000000000000000"])
def test_a_row_with_an_absurd_time_is_passed_over(wrong: str) -> None:
    rows = "".join(f"{second},52.{second:04},1.0,{1 + second // 10}\n" for second in range(40))
    plain = laps_of("elapsed (s),lat,lon,lap\n" + rows)
    assert plain
    assert laps_of(f"elapsed (s),lat,lon,lap\n{rows}{wrong},52.1,1.0,4\n") == plain


@pytest.mark.parametrize(("told", "laps"), [("0:20", [1]), ("9" * 40, [])])
def test_a_comment_tells_no_lap_of_years(told: str, laps: list[int]) -> None:
    comments = LapComments(re.compile(r"# Lap (?P<number>\d+): (?P<time>[\d:.]+)"))
    comments.see(3, f"# Lap 1: {told}")
    times = pa.array([1_714_557_600_000_000 + row * 1_000_000 for row in range(6)], pa.int64()).cast(TIMESTAMP)
    comments.add(pa.arange(0, 6), times)
    assert [lap.number for lap in comments.laps()] == laps


def test_beacons_end_with_the_week() -> None:
    last = datetime(2024, 5, 8, tzinfo=UTC)
    assert [lap.number for lap in laps_of_beacons([60.0, 1e30], UPLOADED_AT, last)] == [1]


def read(text: str) -> Findings:
    findings = Findings()
    list(READER.read(io.BytesIO(text.encode()), Origin(uploaded_at=UPLOADED_AT), findings))
    return findings


def test_laps_of_a_column_after_the_most_are_counted() -> None:
    rows = "".join(f"{second},52.{second:05},1.0,{1 + second // 2}\n" for second in range(2 * MOST_LAPS + 8))
    findings = read("elapsed (s),lat,lon,lap\n" + rows)
    assert (len(findings.laps), findings.laps_left_out) == (MOST_LAPS, 3), "the last is not over"


def test_a_column_that_changes_with_every_row_is_none_of_laps_and_that_is_told() -> None:
    rows = "".join(f"{second},52.{second:05},1.0,{1 + second}\n" for second in range(2 * MOST_LAPS + 1))
    findings = read("elapsed (s),lat,lon,lap\n" + rows)
    assert (findings.laps, findings.laps_left_out) == ([], 0)
    assert any("lap numbers changes too often" in said for said in findings.inferred)


def test_comments_after_the_most_are_counted() -> None:
    comments = LapComments(re.compile(r"# Lap (?P<number>\d+): (?P<time>[\d:.]+)"))
    for row in range(MOST_LAPS + 3):
        comments.see(row, f"# Lap {row}: 0:20")
    assert comments.left_out == 3

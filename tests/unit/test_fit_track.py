"""FIT: which messages are the track, a watch's records or a camera's faster fixes."""

import struct

import pyarrow.compute as pc
import pytest

from telemetry.formats import fit, fit_track
from tests.unit.fit_files import (
    CAMERA,
    START,
    camera_second,
    definition,
    faster,
    fit_file,
    read,
    record,
    seconds,
    track_of,
)

FASTER_AT_10_HZ = "those of gps_metadata messages"


def test_the_faster_fixes_of_a_camera_are_its_track() -> None:
    body = CAMERA + b"".join(faster(ms, 47.0, 8 + ms / 1e6) for ms in range(0, 1000, 100))
    table, findings = read(fit_file(body))
    assert seconds(table) == pytest.approx([ms / 1000 for ms in range(0, 1000, 100)])
    assert table["longitude_deg"].to_pylist() == pytest.approx([8 + ms / 1e6 for ms in range(0, 1000, 100)], abs=1e-7)
    assert table.slice(0, 1).to_pylist()[0].items() >= {"speed_mps": 20.0, "course_deg": 90.0, "source_row": 1}.items()
    assert findings.rows_read == 10
    assert any(FASTER_AT_10_HZ in sentence for sentence in findings.inferred)


def test_records_are_the_track_wherever_they_have_fixes() -> None:
    table, findings = read(fit_file(CAMERA + b"".join(camera_second(second) for second in range(3))))
    assert seconds(track_of(table)) == [0, 1, 2]
    assert min(track_of(table)["latitude_deg"].to_pylist()) > 47.5
    beside = table.filter(pc.is_valid(table["gps_metadata_latitude"]))
    assert seconds(beside) == pytest.approx([ms / 1000 for ms in range(0, 3000, 100)])
    assert findings.rows_read == 3
    assert findings.inferred == []


@pytest.mark.parametrize("first", ["records", "camera"])
def test_records_without_fixes_leave_the_track_to_the_camera(first: str) -> None:
    layout = ((253, 4, 0x86), (3, 1, 0x02))
    beats = definition(20, layout, local=2) + b"".join(b"\2" + struct.pack("<IB", START + s, 120) for s in range(3))
    fixes = CAMERA + b"".join(faster(ms, 47.0, 8.0) for ms in range(0, 3000, 100))
    table, findings = read(fit_file(beats + fixes if first == "records" else fixes + beats))
    assert seconds(track_of(table)) == pytest.approx([ms / 1000 for ms in range(0, 3000, 100)])
    assert table["heart_rate_bpm"].drop_null().to_pylist() == [120] * 3
    assert findings.rows_read == 30


@pytest.mark.parametrize("rows", [31, 32, 40])
def test_blocks_make_no_difference_to_the_track(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    fixes = b"".join(faster(ms, 47.0, 8.0) for ms in range(0, 20_000, 100))
    late = b"".join(record(second, 48.0, 9.0) for second in range(20))
    alone, _ = read(fit_file(CAMERA + fixes))
    both, _ = read(fit_file(CAMERA + fixes + late))
    monkeypatch.setattr(fit, "BATCH_ROWS", rows)
    assert read(fit_file(CAMERA + fixes))[0].equals(alone)
    table, findings = read(fit_file(CAMERA + fixes + late))
    assert seconds(track_of(table)) == seconds(track_of(both)) == list(range(20))
    assert findings.rows_read == 20


def test_a_long_file_is_not_held_until_a_record_has_a_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "BATCH_ROWS", 32)
    monkeypatch.setattr(fit_track, "MOST_HELD_ROWS", 64)
    fixes = b"".join(faster(ms, 47.0, 8.0) for ms in range(0, 20_000, 100))
    late = b"".join(record(second, 48.0, 9.0) for second in range(40))
    table, findings = read(fit_file(CAMERA + fixes + late))
    assert seconds(track_of(table)) == pytest.approx([ms / 1000 for ms in range(0, 20_000, 100)])
    assert table["record_latitude_deg"].drop_null().to_pylist() == pytest.approx([48.0] * 40, abs=1e-7)
    assert findings.rows_read == 200

"""The demo's own path through a running stack: every sample recording on both storage backends, and what it prints."""

import hashlib
import io
import time
from pathlib import Path

import httpx
import pytest
from rich.console import Console

from infra.local import demo
from infra.local.client import Client, ClientError
from infra.local.stack import Stack
from telemetry.api import models


def _demonstrate(stack: Stack, files: list[Path]) -> tuple[dict[str, demo.Outcome], str]:
    console = Console(file=io.StringIO(), width=200)
    outcomes = demo.process_all(stack, files, console)
    demo.show(console, outcomes)
    assert isinstance(console.file, io.StringIO)
    return {outcome.file.name: outcome for outcome in outcomes}, console.file.getvalue()


def _check_samples(outcomes: dict[str, demo.Outcome], printed: str) -> None:
    assert {name: outcome.verdict for name, outcome in outcomes.items()} == demo.SAMPLES
    for name in ("sample_gnss_10hz.csv", "sample_track.gpx"):
        outcome = outcomes[name]
        assert outcome.raw_gone is True
        assert outcome.parquet[0].endswith("/gnss_pvt.parquet")
        assert outcome.first_rows is not None
        assert len(outcome.first_rows["timestamp"]) == demo.FIRST_ROWS
        assert [file.status for file in outcome.session.files] == ["discarded"]
        assert outcome.session.start_time_utc < outcome.session.end_time_utc
    csv, gpx = outcomes["sample_gnss_10hz.csv"], outcomes["sample_track.gpx"]
    assert (csv.session.summary["points"], gpx.session.summary["points"]) == (1250, 600)
    assert csv.session.datasets[0].quality["nominalRateHz"] == pytest.approx(10)
    failed = outcomes["csv_no_time.csv"]
    assert failed.session.failure is not None
    assert failed.session.failure.code == "CSV_NO_TIME_COLUMN"
    assert "Export it again with a time column" in failed.message
    assert [file.status for file in failed.session.files] == ["rejected"]
    for expected in ("READY", "10 Hz", "gone, as it should be", "FAILED  CSV_NO_TIME_COLUMN", "latitude_deg"):
        assert expected in printed
    assert printed.count("sample_track.gpx: ready\n") == 1
    assert all(len(line.rstrip()) <= 80 for line in printed.splitlines() if "s3://" in line)


def test_samples_through_s3(stack: Stack) -> None:
    outcomes, printed = _demonstrate(stack, [demo.FIXTURES / name for name in demo.SAMPLES])
    _check_samples(outcomes, printed)
    assert outcomes["sample_track.gpx"].parquet[0].startswith(f"s3://{stack.outputs['CanonicalBucketName']}/datasets/")


def test_samples_through_a_local_directory(tmp_path: Path) -> None:
    with Stack(directory=tmp_path / "stack", purpose="tests", backend="local") as local:
        outcomes, printed = _demonstrate(local, [demo.FIXTURES / name for name in demo.SAMPLES])
        _check_samples(outcomes, printed)
        assert Path(outcomes["sample_track.gpx"].parquet[0]).is_file()
        s3 = local.client_of("s3")
        assert "Contents" not in s3.list_objects_v2(Bucket=local.outputs["CanonicalBucketName"])


def test_a_file_name_with_spaces_and_signs(stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / 'Sunday ride, 100 % ünïcode & "more".gpx'
    file.write_bytes((demo.FIXTURES / "sample_track.gpx").read_bytes())
    outcomes, _ = _demonstrate(stack, [file])
    outcome = outcomes[file.name]
    assert outcome.verdict == demo.READY
    assert [entry.file_name for entry in outcome.session.files] == [file.name]


def test_an_empty_file_is_explained(stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "empty.csv"
    file.touch()
    with pytest.raises(ClientError, match="FILE_EMPTY"):
        demo.process(stack, file, lambda _: None)


def test_a_raw_object_that_stays_is_not_as_expected() -> None:
    session = models.SessionDetail.model_construct()
    outcome = demo.Outcome(Path("x.csv"), demo.READY, session, raw_gone=False)
    assert not demo.as_expected(outcome, demo.READY)
    assert not demo.as_expected(demo.Outcome(Path("x.csv"), "NO_VALID_ROWS", session), demo.READY)
    assert demo.as_expected(demo.Outcome(Path("x.csv"), "NO_VALID_ROWS", session), None)


def test_the_notification_of_s3_records_the_receipt(stack: Stack) -> None:
    """Nobody finalises: only S3's event, through its queue and `object_created`, can have set `receivedAt`."""
    with Client(stack.api_url, stack.token("receipt-user")) as client:
        _check_receipt(client, b"\n", finalise=False)


def test_finalise_on_receipt_needs_no_further_call(stack: Stack) -> None:
    with Client(stack.api_url, stack.token("receipt-user")) as client:
        _check_receipt(client, b"\n\n", finalise=True)


def _check_receipt(client: Client, ending: bytes, *, finalise: bool) -> None:
    content = (demo.FIXTURES / "sample_gnss_10hz.csv").read_bytes() + ending
    created = client.create_upload(
        models.UploadRequest(
            file_name="background.csv",
            content_type="text/csv",
            byte_size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            finalise_on_receipt=finalise,
        )
    )
    signed = created.upload
    answer = httpx.request(signed.method, signed.url, headers=signed.headers, content=content, trust_env=False)
    assert answer.status_code == 200, answer.text
    if finalise:
        session_id = client.wait_for_session(created.upload_id, seconds=20)
        assert client.wait(session_id, seconds=30).status == "ready"
        return
    limit = time.monotonic() + 20
    while (state := client.upload(created.upload_id)).received_at is None:
        assert time.monotonic() < limit
        time.sleep(0.05)
    assert state.session_id is None


def test_a_directory_is_no_recording(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["demo", str(demo.FIXTURES)])
    assert demo.main() == 1
    assert "telemetry is a directory, not a recording" in capsys.readouterr().err

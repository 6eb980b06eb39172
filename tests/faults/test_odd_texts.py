"""NUL or lone surrogate in an error text or file name; NaN into jsonb: the write of the failure itself succeeds."""

import pytest

from telemetry import recording
from telemetry.errors import Code, TelemetryError
from tests.faults.conftest import at_rest
from tests.faults.worker_pool import WorkerPool
from tests.plugins.harness import SAMPLES

CSV = (SAMPLES / "sample_gnss_10hz.csv").read_bytes()
ODD = "a\0b\ud800c\udfff" + "\U0001f3ce" * 3000


def test_odd_error_text(pool: WorkerPool, monkeypatch: pytest.MonkeyPatch) -> None:
    made = pool.harness.finalised(CSV)

    def refuse(*_: object, **__: object) -> recording.Canonical:
        raise TelemetryError(Code.CSV_MALFORMED, f"line 3: {ODD}")

    monkeypatch.setattr(recording, "canonicalise", refuse)
    pool.harness.drain()
    run = pool.harness.run(made)
    assert (run["status"], run["error_code"]) == ("FAILED", "CSV_MALFORMED")
    assert run["error_detail"].startswith("line 3: a\ufffdb\ufffdc\ufffd")
    at_rest(pool)


def test_odd_column_names_and_cells(pool: WorkerPool) -> None:
    """They come from the file itself, by way of quality report and Parquet."""
    lines = CSV.splitlines(keepends=True)
    odd = b"".join([lines[0].rstrip() + b",od\x00d\xed\xa0\x80\n", *(one.rstrip() + b",NaN\n" for one in lines[1:50])])
    made = pool.harness.finalised(odd, "odd\u202e\u0007.csv")
    worker = pool.start()
    worker.wait_done()
    at_rest(pool)
    assert pool.harness.session(made)["status"] in ("READY", "FAILED")
    assert "unexpected error" not in worker.text()


def test_nan_into_jsonb(pool: WorkerPool, monkeypatch: pytest.MonkeyPatch) -> None:
    made = pool.harness.finalised(CSV)
    canonicalise = recording.canonicalise

    def with_nan(*arguments: object, **named: object) -> recording.Canonical:
        made = canonicalise(*arguments, **named)  # type: ignore[arg-type]
        made.files[0].quality["odd"] = [float("nan"), float("inf"), {"\0": "\ud800"}]
        return made

    monkeypatch.setattr(recording, "canonicalise", with_nan)
    pool.harness.drain()
    assert pool.harness.session(made)["status"] == "READY"
    quality = pool.harness.sql("SELECT quality FROM telemetry_datasets WHERE stream = 'gnss_pvt'")[0]["quality"]
    assert quality["odd"] == [None, None, {"\ufffd": "\ufffd"}]
    at_rest(pool)

"""A file on its way into the canonical store: damage that is the store's own is never blamed on the recording."""

from typing import Any

import pytest

from telemetry.errors import Code, TelemetryError
from telemetry.pipeline.outcome import Outcome
from tests.plugins.harness import SAMPLES, Harness

CSV = (SAMPLES / "sample_gnss_10hz.csv").read_text()


@pytest.mark.parametrize("file_name", ["gnss_pvt.parquet", "gnss_pvt.track.geojson", "lap_delta.parquet"])
def test_canonical_file_that_the_store_has_otherwise_is_written_again(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, file_name: str
) -> None:
    """The recording is as announced: nobody need upload it again."""
    _, *rows = [line.split(",") for line in CSV.splitlines()]
    third = len(rows) // 3
    lines = ["LAPINDEX,TIME_LAP,DATE,TIME,LATITUDE,LONGITUDE,SPEED_KPH"]
    for number, (moment, latitude, longitude, _, speed) in enumerate(rows):
        date, time = moment.removesuffix("Z").split("T")
        lines.append(f"{1 + min(number // third, 2)},0.0,{date},{time},{latitude},{longitude},{speed}")
    made = harness.finalised("\n".join([*lines, ""]).encode())
    put_file = harness.services.canonical.put_file

    def other_bytes(path: str, *arguments: Any, **named: Any) -> None:
        if path.endswith(file_name):
            raise TelemetryError(Code.CHECKSUM_MISMATCH, "another file is stored at this path")
        put_file(path, *arguments, **named)

    with monkeypatch.context() as damaged:
        damaged.setattr(harness.services.canonical, "put_file", other_bytes)
        assert harness.drain().outcomes[Outcome.RETRIED] == 1
    assert harness.jobs(made)[-1]["last_error_code"] == Code.STORAGE_UNAVAILABLE
    harness.hurry()
    harness.drain()
    assert harness.session(made)["status"] == "READY"
    assert {"gnss_pvt", "lap_delta"} <= {dataset["stream"] for dataset in harness.datasets(made)}

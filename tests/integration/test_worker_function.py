"""The handlers `worker` and `janitor`, called with the events that AWS sends."""

import importlib.util
import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, TextIO

import pytest

from telemetry.database.connection import Database
from telemetry.errors import Code, TelemetryError
from telemetry.nudge import BODY
from telemetry.services import Services
from telemetry.settings import Settings
from tests.plugins.harness import LIFE_MS, SAMPLES, Harness

ROOT = Path(__file__).parents[2]


@dataclass
class Context:
    """What the handlers read of a Lambda context."""

    function_name: str = "telemetry-worker"
    memory_limit_in_mb: int = 1769
    invoked_function_arn: str = "arn:aws:lambda:eu-central-1:123456789012:function:telemetry-worker"
    aws_request_id: str = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"

    def get_remaining_time_in_millis(self) -> int:
        """A whole life."""
        return LIFE_MS


def event(name: str) -> dict[str, Any]:
    """A committed event."""
    content: dict[str, Any] = json.loads((ROOT / f"fixtures/events/{name}.json").read_text("utf-8"))
    return content


def function(name: str, harness: Harness) -> ModuleType:
    """The handler's module, over the harness's services."""
    specification = importlib.util.spec_from_file_location(f"{name}_app", ROOT / f"functions/{name}/app.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    module.__dict__["services"] = harness.services
    log_to(sys.stderr)
    return module


def log_to(stream: TextIO) -> None:
    """Sends the service's log there: Powertools keeps the stream of the process's first handler module."""
    for handler in logging.getLogger("telemetry").handlers:
        if type(handler) is logging.StreamHandler:  # and not one of pytest's own
            handler.stream = stream  # `setStream` would flush the one before, which is closed by now


@pytest.fixture
def worker(harness: Harness) -> Iterator[ModuleType]:
    yield function("worker", harness)


@pytest.fixture
def app_janitor(harness: Harness) -> Iterator[ModuleType]:
    yield function("janitor", harness)


@pytest.mark.parametrize("name", ["worker_nudge", "worker_schedule"])
def test_nudge_and_schedule_drain_the_queue(
    capsys: pytest.CaptureFixture[str], harness: Harness, worker: ModuleType, name: str
) -> None:
    log = io.StringIO()
    log_to(log)
    made = harness.sample("sample_gnss_10hz.csv")
    bad = harness.sample("csv_no_time.csv")
    answer = worker.handler(event(name), Context())
    assert answer == ({"batchItemFailures": []} if name == "worker_nudge" else {})
    assert harness.session(made)["status"] == "READY"
    assert harness.session(bad)["status"] == "FAILED"
    (figures,) = [line for text in capsys.readouterr().out.splitlines() if "_aws" in (line := json.loads(text))]
    assert figures["JobsSucceeded"] == [7.0]
    assert figures["JobsFailed"] == [1.0]
    assert figures["JobsRetried"] == figures["JobsLost"] == figures["QueueDepth"] == figures["OldestJobAge"] == [0.0]
    ended = [line for text in log.getvalue().splitlines() if (line := json.loads(text))["message"] == "job ended"]
    assert len(ended) == 8
    assert {"job_id", "job_type", "outcome", "function_request_id"} <= set(ended[0])


def test_one_bad_message_in_ten_and_the_nine_are_acknowledged(
    harness: Harness, worker: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = harness.sample("sample_gnss_10hz.csv")
    drains: list[str] = []
    drain = worker.drain

    def spy(*arguments: Any, **named: Any) -> Any:
        drains.append(named["worker"])
        return drain(*arguments, **named)

    monkeypatch.setattr(worker, "drain", spy)
    batch = event("worker_one_bad_of_ten")
    (bad,) = [record["messageId"] for record in batch["Records"] if record["body"] != BODY]
    assert len(batch["Records"]) == 10
    assert worker.handler(batch, Context()) == {"batchItemFailures": [{"itemIdentifier": bad}]}
    assert drains == [Context.aws_request_id], "one drain, however many nudges"
    assert harness.session(made)["status"] == "READY"


def test_a_batch_of_strange_messages_raises_nothing_and_still_drains(harness: Harness, worker: ModuleType) -> None:
    made = harness.sample("sample_gnss_10hz.csv")
    batch = event("worker_nudge")
    batch["Records"][0]["body"] = "[]"
    answer = worker.handler(batch, Context())
    assert [one["itemIdentifier"] for one in answer["batchItemFailures"]] == [batch["Records"][0]["messageId"]]
    assert harness.session(made)["status"] == "READY"


def test_nudges_in_any_number_and_order_change_nothing(harness: Harness, worker: ModuleType) -> None:
    made = harness.sample("sample_gnss_10hz.csv")
    for _ in range(10):
        worker.handler(event("worker_nudge"), Context())
    assert [job["attempt_count"] for job in harness.jobs(made)] == [1] * 5


def test_an_unreachable_database_fails_the_invocation(worker: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that SQS delivers the nudges again, and the failure is seen."""

    def lost(_: Database) -> None:
        raise TelemetryError(Code.DATABASE_UNAVAILABLE)

    monkeypatch.setattr(Database, "_connect", lost)
    with (
        pytest.warns(UserWarning, match="No application metrics"),
        pytest.raises(TelemetryError, match="DATABASE_UNAVAILABLE"),
    ):
        worker.handler(event("worker_nudge"), Context())


def test_janitor_does_everything_by_schedule_and_what_it_is_told_else(
    capsys: pytest.CaptureFixture[str], harness: Harness, app_janitor: ModuleType
) -> None:
    upload = harness.upload((SAMPLES / "sample_track.gpx").read_bytes())
    harness.sql("UPDATE telemetry_artifacts SET expires_at = now() - interval '1 s'")
    assert app_janitor.handler(event("janitor_schedule"), Context()) == {
        "rescue": 0,
        "finalise_on_receipt": 0,
        "expire_uploads": 1,
        "discard_retained": 0,
        "sweep_uploads": 0,
        "sweep_datasets": 0,
    }
    assert harness.artifact(upload)["status"] == "EXPIRED"
    (figures,) = [line for text in capsys.readouterr().out.splitlines() if "_aws" in (line := json.loads(text))]
    assert figures["ExpireUploads"] == [1.0]
    assert app_janitor.handler(event("janitor_tasks"), Context()) == {"rescue": 0, "expire_uploads": 0}


def test_janitor_imports_no_arrow() -> None:
    """Its function has no layer that holds it."""
    code = "import sys, telemetry.janitor; print(sorted(m for m in ('pyarrow', 'boto3', 'gpxpy') if m in sys.modules))"
    path = str(ROOT / "layers/core/python")
    found = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"


def test_nudges_reach_a_real_queue_and_a_missing_one_is_no_error(
    harness: Harness,
    localstack: Any,
    queue_url: str,
    local_environment: dict[str, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    endpoint = localstack.environment.get("TELEMETRY_NUDGE_QUEUE_ENDPOINT") or localstack.endpoint
    environment = {**local_environment, "TELEMETRY_NUDGE_QUEUE_ENDPOINT": endpoint}
    services = Services(Settings.from_environment({**environment, "TELEMETRY_NUDGE_QUEUE_URL": queue_url}))
    services.nudges.send()
    received = localstack.client("sqs").receive_message(QueueUrl=queue_url, WaitTimeSeconds=5)
    assert [message["Body"] for message in received["Messages"]] == [BODY]

    nowhere = Services(Settings.from_environment({**environment, "TELEMETRY_NUDGE_QUEUE_URL": queue_url + "-gone"}))
    nowhere.nudges.send()
    assert [record.message for record in caplog.records if record.name == "telemetry.nudge"] == ["nudge not sent"]
    harness.services.nudges.send()

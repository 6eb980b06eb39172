"""The parts of the worker that need no database: order, failpoints, nudges, the session in brief."""

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from telemetry.domain.states import JobType
from telemetry.errors import Code, TelemetryError
from telemetry.nudge import BODY, is_nudge
from telemetry.pipeline import failpoints
from telemetry.pipeline.detect_laps import summarise
from telemetry.pipeline.failure import unexpected
from telemetry.pipeline.steps import STEPS, following
from telemetry.settings import Settings

CORE = Path(__file__).parents[2] / "layers/core/python"


def settings(**environment: str) -> Settings:
    return Settings.from_environment(
        {
            "TELEMETRY_DATABASE_HOST": "localhost",
            "TELEMETRY_STORAGE_BACKEND": "local",
            "TELEMETRY_LOCAL_STORAGE_ROOT": "/nowhere",
            "TELEMETRY_LOCAL_STORAGE_URL": "http://localhost",
            "TELEMETRY_LOCAL_STORAGE_SECRET": "x",
            **environment,
        }
    )


def test_every_job_type_has_its_step_and_its_place() -> None:
    assert set(STEPS) == set(JobType)
    chain = [JobType.ARTIFACT_VALIDATE]
    while (successor := following(chain[-1], settings())) is not None:
        chain.append(successor)
    assert chain == list(JobType)
    assert following(JobType.DETECT_LAPS, settings(TELEMETRY_RAW_RETENTION_DAYS="1")) is None


def test_failpoint_stops_the_process_once_and_lets_it_go_on() -> None:
    code = (
        "from telemetry.domain.states import JobType\n"
        "from telemetry.pipeline.failpoints import failpoint\n"
        "failpoint('after_claim', JobType.ARTIFACT_VALIDATE)\n"
        "failpoint('after_claim', JobType.PARSE_RAW)\n"
        "failpoint('after_claim', JobType.PARSE_RAW)\n"
        "print('went on')\n"
    )
    environment = {"PYTHONPATH": str(CORE), failpoints.VARIABLE: "after_claim@parse_raw"}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True) as process:
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        assert os.WSTOPSIG(status) == signal.SIGSTOP
        process.send_signal(signal.SIGCONT)
        output, _ = process.communicate(timeout=20)
    assert output == "went on\n"
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("wanted", "deployed", "stops"),
    [
        (None, False, 0),
        ("after_commit", False, 0),
        ("after_claim", False, 1),
        ("after_claim@detect_laps", False, 0),
        ("after_claim", True, 0),
    ],
)
def test_failpoint_is_honoured_only_where_asked_for_and_never_when_deployed(
    monkeypatch: pytest.MonkeyPatch, wanted: str | None, deployed: bool, stops: int
) -> None:
    stopped: list[bool] = []
    monkeypatch.setattr(failpoints, "stop", lambda: stopped.append(True))
    monkeypatch.setattr(failpoints, "_reached", set())
    monkeypatch.delenv("AWS_SAM_LOCAL", raising=False)
    monkeypatch.delenv("AWS_LAMBDA_FUNCTION_NAME", raising=False)
    if wanted:
        monkeypatch.setenv(failpoints.VARIABLE, wanted)
    if deployed:
        monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "telemetry-worker")
    failpoints.failpoint("after_claim", JobType.PARSE_RAW)
    failpoints.failpoint("after_claim", JobType.PARSE_RAW)
    assert len(stopped) == stops


@pytest.mark.parametrize("body", ["", "{", "[]", "null", '"work"', "{}", '{"kind": "other"}', '{"kind": ["work"]}'])
def test_other_messages_are_no_nudges(body: str) -> None:
    assert is_nudge(BODY)
    assert not is_nudge(body)


def test_unexpected_error_names_type_and_place_and_quotes_nothing() -> None:
    try:
        raise ValueError("51.5,-0.1")
    except ValueError as error:
        told = unexpected(error)
    assert told.code is Code.INTERNAL_ERROR
    assert told.detail.startswith("ValueError at test_pipeline_parts.py:")
    assert "51.5" not in str(told)
    assert isinstance(told, TelemetryError)


def dataset(points: int, quality: dict[str, Any]) -> dict[str, Any]:
    return {"row_count": points, "quality": quality}


def test_summary_joins_the_files_of_a_session() -> None:
    start = datetime(2025, 6, 1, tzinfo=UTC)
    found = summarise(
        [
            dataset(10, {"distanceM": 100.5, "boundingBox": [1.0, 2.0, 3.0, 4.0]}),
            dataset(5, {"distanceM": 20.0, "boundingBox": [0.0, 2.5, 2.0, 9.0]}),
            dataset(1, {}),
        ],
        (),
        start,
        start + timedelta(seconds=90, microseconds=500),
    )
    assert found == {
        "distanceM": 120.5,
        "durationMs": 90000.5,
        "points": 16,
        "boundingBox": [0.0, 2.0, 3.0, 9.0],
        "lapCount": 0,
        "bestLapMs": None,
        "bestLapNumber": None,
        "theoreticalBestMs": None,
    }
    nothing = summarise([dataset(1, {})], (), start, start)
    assert (nothing["distanceM"], nothing["boundingBox"]) == (None, None)

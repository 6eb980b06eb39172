"""`make invoke`: one event through a built function under Lambda's runtime client and emulator."""

import json
import subprocess
import sys
from pathlib import Path

from infra.build.parts import host_target
from infra.runtime.emulator import Emulator, RuntimeFailure, python_path

ROOT = Path(__file__).resolve().parents[2]
EVENTS = ROOT / "fixtures" / "events"


def _invoke(function: str, event: str, variables: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "infra.runtime", function, EVENTS / event, "--env-vars", variables],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
    )


def test_an_answer_and_an_error(tmp_path: Path) -> None:
    variables = tmp_path / "variables.json"
    variables.write_text(json.dumps({"Parameters": {"TELEMETRY_DATABASE_HOST": "", "POWERTOOLS_LOG_LEVEL": "INFO"}}))
    shown = _invoke("docs", "docs_openapi.json", variables)
    assert shown.returncode == 0, shown.stderr
    assert json.loads(json.loads(shown.stdout)["body"])["openapi"].startswith("3.1")

    failed = _invoke("worker", "worker_schedule.json", variables)
    assert failed.returncode == 1
    assert "SETTINGS_INVALID" in failed.stderr
    assert "TELEMETRY_DATABASE_HOST" in failed.stderr


def test_an_environment_is_kept_warm_and_sees_nothing_of_ours(tmp_path: Path) -> None:
    target = host_target()
    (tmp_path / "app.py").write_text(
        "import os, sys\n"
        "calls = 0\n"
        "def handler(event, context):\n"
        "    global calls\n"
        "    calls += 1\n"
        "    if event == 'raise':\n"
        "        raise ValueError('as asked')\n"
        "    return {'calls': calls, 'left': context.get_remaining_time_in_millis(), 'path': sys.path,\n"
        "            'names': sorted(os.environ)}\n"
    )
    with Emulator([tmp_path], target=target, environment={"MINE": "1"}, timeout_s=30) as emulator:
        first, second = emulator.invoke({}), emulator.invoke({})
        assert (first["calls"], second["calls"]) == (1, 2)
        assert 0 < first["left"] <= 30_000
        assert "MINE" in first["names"]
        assert not any("site-packages" in place for place in first["path"])
        try:
            emulator.invoke("raise")
        except RuntimeFailure as error:
            assert "as asked" in str(error)
        else:
            raise AssertionError("the handler's error was lost")


def test_layers_come_after_the_package() -> None:
    target = host_target()
    names = [path.relative_to(target.folder).as_posix() for path in python_path("worker", target)]
    assert names == ["functions/worker", "layers/core/python", "layers/dependencies/python", "layers/arrow/python"]

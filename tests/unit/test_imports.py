"""What a function loads decides how fast it starts: shown in a fresh interpreter."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# The worker's layer, and what only the first call that needs it may load.
WORKERS_LAYER = {"pyarrow", "gpxpy", "lxml", "numpy", "pandas", "sqlalchemy", "alembic"}
LATE = {"boto3", "botocore.client", "botocore.auth"}


def modules_after(statement: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after `statement`."""
    code = f"import sys\n{statement}\nimport json\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT / 'layers/core/python'}:{ROOT}"},
        timeout=60,
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("function", ["uploads", "sessions", "object_created"])
def test_api_functions_load_nothing_of_the_workers(function: str) -> None:
    loaded = modules_after(f"import functions.{function}.app")
    assert "telemetry" in loaded
    assert not loaded & WORKERS_LAYER
    assert not loaded & LATE


def test_signing_an_upload_loads_no_botocore() -> None:
    loaded = modules_after(
        "import os\n"
        "os.environ.update(AWS_ACCESS_KEY_ID='a', AWS_SECRET_ACCESS_KEY='b')\n"
        "from telemetry.settings import ObjectStorageSettings\n"
        "from telemetry.storage.object_storage import ObjectStorage\n"
        "store = ObjectStorage(ObjectStorageSettings('b', 'b', '', 'eu-central-1', '', 'virtual'), 'b')\n"
        "store.sign_put('a', byte_size=1, content_type='text/csv', sha256='00' * 32, seconds=60)"
    )
    assert "telemetry.signature" in loaded
    assert not any(name.startswith(("boto", "urllib3")) for name in loaded)

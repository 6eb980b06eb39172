"""`make up`: keeps the local stack running until Ctrl-C, and prints how to reach it."""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from rich.console import Console

from infra.local import access
from infra.local.process import StackError
from infra.local.stack import Stack, backend_from_environment, ends_on_signals

DEFAULT_API_PORT = 8321
SAM_EVENT = "fixtures/events/worker_nudge.json"


def main() -> int:
    """Exit code: 0 after Ctrl-C, 1 when the stack cannot start or a part of it fails."""
    console = Console(highlight=False, soft_wrap=True)
    try:
        with ends_on_signals(), console.status("Starting", spinner="dots") as status:
            started = time.monotonic()
            with Stack(
                purpose="make up",
                backend=backend_from_environment(),
                keep=True,
                api_port=_port("STACK_API_PORT", DEFAULT_API_PORT),
                s3_port=_port("STACK_S3_PORT", 0),
                progress=lambda text: status.update(text) if console.is_terminal else console.print(text),
            ) as stack:
                status.stop()
                token = stack.token()
                with access.written(stack.directory, access.Access(stack.api_url, token)), _sam_environment(stack):
                    _introduce(console, stack, token, time.monotonic() - started)
                    while True:
                        stack.check()
                        time.sleep(0.5)
    except KeyboardInterrupt:
        console.print("Ended.")
        return 0
    except StackError as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(str(error), style="red", markup=False)
        return 1


def _port(name: str, default: int) -> int:
    value = os.environ.get(name, "").strip() or str(default)
    if not value.isdigit() or int(value) > 65535:
        raise StackError(f"{name} must be a port number, 0 for any free one.")
    return int(value)


def _sam_file(stack: Stack) -> Path:
    return stack.directory / "sam-env.json"


@contextmanager
def _sam_environment(stack: Stack) -> Iterator[None]:
    """The functions' environment for `sam local`, for as long as the stack is up: it holds passwords."""
    file = _sam_file(stack)
    file.touch(mode=0o600)
    file.write_text(json.dumps({"Parameters": _for_sam(stack)}, indent=2) + "\n")
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def _introduce(console: Console, stack: Stack, token: str, seconds: float) -> None:
    objects = stack.files if stack.backend == "local" else stack.s3_url
    kept = "kept for the next start" if stack.backend == "local" else "empty again at the next start"
    console.print(
        f"""Up after {seconds:.1f} s. Ctrl-C ends it.

  Page         {stack.page_url}
  API          {stack.api_url}
  Objects      {objects} ({kept})
  S3 and SQS   {stack.s3_url}   AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_REGION=us-east-1
  PostgreSQL   {stack.database_url}
  Logs         {stack.logs}
  SAM          sam local invoke WorkerFunction -e {SAM_EVENT} --docker-network host --env-vars {_sam_file(stack)}

  .venv/bin/telemetry upload fixtures/telemetry/sample_track.gpx --wait

  export TOKEN={token}
  curl -H "Authorization: Bearer $TOKEN" {stack.api_url}/sessions
""",
        markup=False,
    )


def _for_sam(stack: Stack) -> dict[str, str]:
    """The stack's variables, and the database's one by one: the template sets those, and they win over its URL."""
    url = urlsplit(stack.database_url)
    return {
        **stack.environment,
        "TELEMETRY_DATABASE_HOST": url.hostname or "",
        "TELEMETRY_DATABASE_PORT": str(url.port or 5432),
        "TELEMETRY_DATABASE_NAME": url.path.lstrip("/"),
        "TELEMETRY_DATABASE_USER": unquote(url.username or ""),
        "TELEMETRY_DATABASE_PASSWORD": unquote(url.password or ""),
        "TELEMETRY_DATABASE_AUTH": "password",
        "TELEMETRY_DATABASE_SECRET_ID": "",
        "TELEMETRY_DATABASE_CA_FILE": "",
    }


if __name__ == "__main__":
    sys.exit(main())

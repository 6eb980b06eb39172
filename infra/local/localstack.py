"""S3, SQS and CloudFormation on this machine: LocalStack as a plain child process, or the one that the user names.

`LOCALSTACK_ENDPOINT` or `AWS_ENDPOINT_URL` names a running one (LocalStack in Docker, for example); it is then used
as it is and never stopped.
"""

import contextlib
import os
import random
import shutil
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from infra.local.process import LOOPBACK, ROOT, ChildProcess, StackError, base_environment

REGION = "us-east-1"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
_PYTHON = ROOT / ".localstack-venv" / "bin" / "python"
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def named_endpoint() -> str | None:
    """The endpoint that the user names, if any."""
    name = os.environ.get("LOCALSTACK_ENDPOINT", "").strip() or os.environ.get("AWS_ENDPOINT_URL", "").strip()
    return name.rstrip("/") or None


def free_port(*hosts: str) -> int:
    """A TCP port that nobody listens on at this moment, on the loopback and on further addresses of this machine.

    Below the range that systems take ports for outgoing connections from, so that it stays free until it is used.
    """
    for port in random.sample(range(20000, 32000), 200):
        with contextlib.ExitStack() as probes, contextlib.suppress(OSError):
            for host in {LOOPBACK, *hosts}:
                probes.enter_context(socket.socket()).bind((host, port))
            return port
    raise StackError("No free port between 20000 and 32000.")


class LocalStack:
    """S3 with signatures and checksums enforced, SQS and CloudFormation.

    Parameters
    ----------
    directory : for its data and its log; emptied at the start.
    host : what its addresses say, and where it listens besides the loopback.
    port : a free one by default.
    program : what its Python runs, where it is to be more than S3, SQS and CloudFormation.
    environment : further variables for it.
    """

    def __init__(
        self,
        directory: Path,
        *,
        host: str = LOOPBACK,
        port: int | None = None,
        program: Sequence[str | Path] = ("-P", ROOT / "infra" / "local" / "localstack_server.py"),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._process: ChildProcess | None = None
        named = named_endpoint()
        if named is not None:
            self.endpoint = named
            return
        if not _PYTHON.exists():
            raise StackError("LocalStack is not installed in .localstack-venv. Run: make setup")
        port = port or free_port(host)
        self.endpoint = f"http://{host}:{port}"
        shutil.rmtree(directory, ignore_errors=True)
        for part in ("volume", "files", "tmp"):
            (directory / part).mkdir(parents=True)
        self._process = ChildProcess(
            "LocalStack",
            [_PYTHON, *program],
            environment=base_environment(
                **(environment or {}),
                ACTIVATE_PRO="0",
                DISABLE_EVENTS="1",
                DNS_ADDRESS="0",
                EAGER_SERVICE_LOADING="0",
                FILESYSTEM_ROOT=str(directory / "files"),
                GATEWAY_LISTEN=",".join(f"{address}:{port}" for address in sorted({LOOPBACK, host})),
                HOME=str(directory),
                LOCALSTACK_HOST=f"{host}:{port}",
                LOCALSTACK_VOLUME_DIR=str(directory / "volume"),
                PYTHONUNBUFFERED="1",
                S3_SKIP_SIGNATURE_VALIDATION="0",
                SKIP_SSL_CERT_DOWNLOAD="1",
                SQS_ENDPOINT_STRATEGY="path",
                TMPDIR=str(directory / "tmp"),
            ),
            directory=directory,
            log=directory / "localstack.log",
            stop_signal=signal.SIGKILL,  # it keeps nothing, and takes a second to say good-bye
        )

    @property
    def pid(self) -> int | None:
        """None when the endpoint is not ours."""
        return self._process.pid if self._process else None

    @property
    def exit_code(self) -> int | None:
        """None while it runs, or when it is not ours."""
        return self._process.exit_code if self._process else None

    @property
    def environment(self) -> dict[str, str]:
        """What the service and its clients need in their environment to reach it."""
        return {
            **(CREDENTIALS if self._process else _own_credentials()),
            "AWS_REGION": os.environ.get("AWS_REGION", REGION) if not self._process else REGION,
            "AWS_DEFAULT_REGION": os.environ.get("AWS_REGION", REGION) if not self._process else REGION,
            "TELEMETRY_OBJECT_STORAGE_ENDPOINT": self.endpoint,
            "TELEMETRY_OBJECT_STORAGE_ADDRESSING_STYLE": "path",
            "TELEMETRY_OBJECT_STORAGE_REGION": REGION,
            "TELEMETRY_NUDGE_QUEUE_ENDPOINT": self.endpoint,
        }

    def wait(self, *, seconds: float = 60.0) -> None:
        """Returns once it answers; raises StackError with its log's end when it does not."""
        if self._process is not None:
            self._process.wait_until(self._healthy, seconds=seconds)
        elif not self._healthy():
            raise StackError(f"Nothing answers at {self.endpoint}. Start it, or unset LOCALSTACK_ENDPOINT.")

    def client(self, service: str) -> Any:
        """A boto3 client of it."""
        import boto3.session
        from botocore.config import Config

        environment = self.environment
        session: Any = boto3.session.Session()
        return session.client(
            service,
            endpoint_url=self.endpoint,
            region_name=environment["AWS_REGION"],
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
            aws_session_token=environment.get("AWS_SESSION_TOKEN"),
            config=Config(
                signature_version="s3v4" if service == "s3" else None,
                s3={"addressing_style": "path"},
                retries={"max_attempts": 2},
                proxies={},
            ),
        )

    def stop(self) -> None:
        """Ends it, unless it is not ours."""
        if self._process is not None:
            self._process.stop(patience_s=3.0)

    def _healthy(self) -> bool:
        try:
            with _OPENER.open(f"{self.endpoint}/_localstack/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except urllib.error.HTTPError:
            return True  # something answers; another emulator, or AWS, has no such page
        except OSError:
            return False


def _own_credentials() -> dict[str, str]:
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    return CREDENTIALS | {name: os.environ[name] for name in names if os.environ.get(name)}

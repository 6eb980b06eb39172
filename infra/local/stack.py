"""The local stack as a whole: starts PostgreSQL, S3 and SQS, the API gateway and the poller, and ends them all.

Buckets and queues come from infra/storage.yaml by CloudFormation; the schema from the `migrate` function.
"""

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from infra.local.client.requests import API_PREFIX
from infra.local.issuer import Issuer
from infra.local.localstack import LocalStack
from infra.local.lock import StackLock
from infra.local.postgres import Postgres
from infra.local.process import LOOPBACK, ROOT, ChildProcess, StackError, base_environment, default_directory
from infra.local.template import read_template
from infra.web.policy import origin

Backend = Literal["s3", "local"]
_STORAGE_STACK = "telemetry-local"
_RAW_BUCKET = "TELEMETRY_OBJECT_STORAGE_RAW_BUCKET"
_CANONICAL_BUCKET = "TELEMETRY_OBJECT_STORAGE_CANONICAL_BUCKET"
# The page's token ends with the stack, whose keys sign it: nobody reloads the page because a day went by.
_PAGE_TOKEN_S = 365 * 24 * 3600
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def backend_from_environment() -> Backend:
    """TELEMETRY_STORAGE_BACKEND, `s3` by default."""
    name = os.environ.get("TELEMETRY_STORAGE_BACKEND", "").strip().lower() or "s3"
    if name == "s3":
        return "s3"
    if name == "local":
        return "local"
    raise StackError(f"TELEMETRY_STORAGE_BACKEND is {name!r}; it takes s3 or local.")


@dataclass
class Stack:
    """The running parts. Use as a context manager, from the main thread of a process.

    Parameters
    ----------
    directory : for the lock, the logs and the data.
    purpose : what holds the lock, for whoever finds it held.
    backend : where objects lie: in S3, or in `directory`.
    keep : with the local backend, keep recordings and database for the next start. Objects in the embedded S3 live as
        long as its process, so with it every start is empty.
    host : address of this machine that everything listens on besides the loopback, and that PostgreSQL's, S3's and SQS'
        addresses say: functions in containers see it, and not the loopback.
    api_port : a free one by default. `s3_port` likewise.
    progress : is told in a few words what is going on.
    """

    directory: Path = field(default_factory=default_directory)
    purpose: str = "stack"
    backend: Backend = "s3"
    keep: bool = False
    host: str = LOOPBACK
    api_port: int = 0
    s3_port: int = 0
    progress: Callable[[str], None] = lambda _: None

    def __post_init__(self) -> None:
        self._template = read_template()
        self._parts: list[LocalStack | Postgres | ChildProcess] = []
        self._cleanup = contextlib.ExitStack()

    def __enter__(self) -> "Stack":
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    @property
    def api_url(self) -> str:
        """Address of the API, with its prefix."""
        return f"{self._root_url}{API_PREFIX}"

    @property
    def page_url(self) -> str:
        """Address of the page."""
        return f"{self._root_url}/"

    @property
    def s3_url(self) -> str:
        """Address of S3 and SQS."""
        return self._localstack.endpoint

    @property
    def database_url(self) -> str:
        """Address of PostgreSQL, with its password."""
        return self._postgres.url

    @property
    def client_of(self) -> Callable[[str], Any]:
        """boto3 clients of the stack's AWS."""
        return self._localstack.client

    @property
    def files(self) -> Path:
        """Where the local backend's files lie."""
        return self.directory / "files"

    @property
    def logs(self) -> Path:
        """Where the parts write what they do."""
        return self.directory / "logs"

    def token(self, subject: str = "demo-user", **claims: Any) -> str:
        """A token of this stack's issuer with the scope of the API."""
        return self._issuer.token(subject, audience=self._template.audience[0], **claims)

    def check(self) -> None:
        """Raises StackError when a part has ended by itself."""
        for part in self._parts:
            if part.exit_code is not None:
                name = part.name if isinstance(part, ChildProcess) else type(part).__name__
                end = part.log_end() if isinstance(part, ChildProcess) else f"Its log is below {self.directory}."
                raise StackError(f"{name} ended with code {part.exit_code}. {end}")

    def stop(self) -> None:
        """Ends everything, whatever the state; safe to repeat. A second Ctrl-C does not interrupt it."""
        with _no_interrupt():
            # What uses the others first, then the others at once.
            ours = [part for part in self._parts if isinstance(part, ChildProcess)]
            _all_at_once([part.stop for part in ours])
            _all_at_once([part.stop for part in self._parts if part not in ours])
            self._parts.clear()
            self._cleanup.close()

    def _start(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        lock = StackLock(self.directory / "lock", purpose=self.purpose)
        self._cleanup.callback(lock.release)
        if not self.keep:
            shutil.rmtree(self.files, ignore_errors=True)
        shutil.rmtree(self.logs, ignore_errors=True)
        self.progress("Starting PostgreSQL, S3 and SQS")
        # Everything is started before anything is waited for, and from this thread: see ChildProcess.
        self._localstack = LocalStack(self.directory / "localstack", host=self.host, port=self.s3_port or None)
        self._parts.append(self._localstack)
        storage = _Task(self._deploy_storage)
        migrate = self._process("migrate", "infra.local.run_function", "migrate")
        with contextlib.ExitStack() as listening:
            sockets = [listening.enter_context(_listen(LOOPBACK, self.api_port))]
            port = sockets[0].getsockname()[1]
            self._root_url = f"http://{LOOPBACK}:{port}"
            if self.host != LOOPBACK:
                sockets.append(listening.enter_context(_listen(self.host, port)))
            descriptors = tuple(opened.fileno() for opened in sockets)
            gateway = self._process(
                "gateway", "infra.local.gateway", "--sockets", *map(str, descriptors), pass_fds=descriptors
            )
        poller = self._process("poller", "infra.local.poller")
        self._issuer = Issuer(f"{self._root_url}/_local/issuer")
        self._postgres = Postgres(
            self.directory / "postgres", keep=self.keep and self.backend == "local", host=self.host
        )
        self._parts.append(self._postgres)
        self._postgres.wait()

        self.progress("Applying migrations, creating buckets and queues")
        # The buckets are still being made; settings want their names, and migrations touch none.
        unused = dict.fromkeys((_RAW_BUCKET, _CANONICAL_BUCKET), "unused")
        migrate.send(json.dumps({"environment": self._postgres.environment | unused}))
        migrate.wait_until_done(seconds=120)
        self._parts.remove(migrate)
        self.outputs = storage.result()
        self.environment = self._service_environment()

        self.progress("Starting API and worker")
        line = json.dumps(
            {
                "environment": self.environment,
                "outputs": self.outputs,
                "sqsEndpoint": self._localstack.endpoint,
                "uploadEventQueueUrl": self.outputs["UploadEventQueueUrl"],
                "issuer": self._issuer.discovery(),
                "keys": self._issuer.key_set(),
                "page": {
                    "api_prefix": API_PREFIX,
                    "token": self.token(lifetime_s=_PAGE_TOKEN_S),
                    "connect": sorted({origin(self.s3_url), self._root_url}),
                },
            }
        )
        gateway.send(line)
        poller.send(line)
        gateway.wait_until(self._api_answers, seconds=60)
        self.check()
        lock.tell(api=self.api_url)

    def _process(self, name: str, *module_and_arguments: str, pass_fds: tuple[int, ...] = ()) -> ChildProcess:
        """One of our own modules, which imports at once and takes its settings when `send` gives them."""
        part = ChildProcess(
            name,
            [sys.executable, "-m", *module_and_arguments],
            environment=base_environment(**self._template_environment(), POWERTOOLS_TRACE_DISABLED="true"),
            log=self.logs / f"{name}.log",
            stdin=subprocess.PIPE,
            pass_fds=pass_fds,
        )
        self._parts.append(part)
        return part

    def _deploy_storage(self) -> dict[str, str]:
        """Creates or updates the storage stack; returns its outputs."""
        from botocore.exceptions import ClientError

        self._localstack.wait()
        cloudformation = self._localstack.client("cloudformation")
        request = {"StackName": _STORAGE_STACK, "TemplateBody": (ROOT / "infra" / "storage.yaml").read_text()}
        try:
            cloudformation.create_stack(**request)
        except cloudformation.exceptions.AlreadyExistsException:
            try:
                cloudformation.update_stack(**request)
            except ClientError as error:
                if "No updates" not in str(error):
                    raise
        limit = time.monotonic() + 120
        while True:
            stack = cloudformation.describe_stacks(StackName=_STORAGE_STACK)["Stacks"][0]
            if not stack["StackStatus"].endswith("IN_PROGRESS"):
                break
            if time.monotonic() > limit:
                raise StackError("CloudFormation was not done with infra/storage.yaml after 120 s.")
            time.sleep(0.05)
        if stack["StackStatus"] not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
            reason = stack.get("StackStatusReason", "no reason given")
            raise StackError(f"infra/storage.yaml was not deployed: {stack['StackStatus']}, {reason}.")
        return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}

    def _template_environment(self) -> dict[str, str]:
        """The deployed functions' own variables, but for the database's, which is another one here."""
        known = self._template.environment
        return {name: value for name, value in known.items() if not name.startswith("TELEMETRY_DATABASE_")}

    def _service_environment(self) -> dict[str, str]:
        environment = {
            **self._template_environment(),
            # What the user set is tried here as it would act there, for example TELEMETRY_RAW_RETENTION_DAYS.
            **{
                name: value
                for name, value in os.environ.items()
                # The API's address and token are the command's, not the service's.
                if name.startswith("TELEMETRY_") and not name.startswith("TELEMETRY_API_")
            },
            **self._postgres.environment,
            **self._localstack.environment,
            "TELEMETRY_STORAGE_BACKEND": self.backend,
            _RAW_BUCKET: self.outputs["RawBucketName"],
            _CANONICAL_BUCKET: self.outputs["CanonicalBucketName"],
            "TELEMETRY_NUDGE_QUEUE_URL": self.outputs["NudgeQueueUrl"],
        }
        if self.backend == "local":
            environment |= {
                "TELEMETRY_LOCAL_STORAGE_ROOT": str(self.files),
                "TELEMETRY_LOCAL_STORAGE_URL": f"{self._root_url}/_local/files",
                "TELEMETRY_LOCAL_STORAGE_SECRET": secrets.token_hex(32),
            }
        return environment

    def _api_answers(self) -> bool:
        try:
            with _OPENER.open(f"{self._root_url}/_local/health", timeout=0.5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


class _Task:
    """A function in a thread of its own; `result` waits, and raises what it raised."""

    def __init__(self, function: Callable[[], dict[str, str]]) -> None:
        self._function = function
        self._result: dict[str, str] = {}
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def result(self) -> dict[str, str]:
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._result

    def _run(self) -> None:
        try:
            self._result = self._function()
        except BaseException as error:  # raised again where the result is asked for
            self._error = error


def _listen(host: str, port: int) -> socket.socket:
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise StackError(f"Port {port} is taken ({error.strerror}). Name another one: STACK_API_PORT=…") from error
    listening.listen(128)
    return listening


def _all_at_once(actions: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=action) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@contextlib.contextmanager
def _no_interrupt() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def ends_on_signals() -> Iterator[None]:
    """Within it SIGTERM and SIGHUP end the program as Ctrl-C does, so that everything is tidied up."""

    def interrupt(number: int, _: FrameType | None) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

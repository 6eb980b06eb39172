"""Runs the deployed handlers as Lambda does: one event at a time per execution environment, kept warm, in a pool."""

import importlib.util
import sys
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from infra.local.layer_modules import hide_numpy
from infra.local.process import StackError
from infra.local.template import Function

ACCOUNT = "000000000000"
Handler = Callable[[Any, "LambdaContext"], Any]


@dataclass(frozen=True, slots=True)
class LambdaContext:
    """What a handler gets as its second argument; names as Lambda's runtime for Python documents them."""

    function_name: str
    memory_limit_in_mb: int
    deadline: float
    invoked_function_arn: str
    aws_request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    function_version: str = "$LATEST"
    log_group_name: str = ""
    log_stream_name: str = ""
    identity: None = None
    client_context: None = None

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the function's timeout."""
        return max(0, round((self.deadline - time.monotonic()) * 1000))


class LambdaFunction:
    """One function and its execution environments.

    Each environment is a module of its own, loaded from the function's folder, so that what the handler keeps at
    module level (connections, clients) is never used by two events at once. A new one is loaded only when all are busy.

    Parameters
    ----------
    environments : how many there may be, as a concurrency limit; further events wait.
    """

    def __init__(self, function: Function, *, environments: int, region: str = "us-east-1") -> None:
        hide_numpy()
        self.function = function
        self._region = region
        self._may_run = threading.BoundedSemaphore(environments)
        self._lock = threading.Lock()
        self._idle: list[Handler] = []
        self._made = 0
        self._busy = 0

    @property
    def busy(self) -> int:
        """How many events are being handled."""
        return self._busy

    def warm(self) -> None:
        """Loads the first environment, so that the first event need not wait for it."""
        if self._made == 0:
            self._idle.append(self._load())

    def invoke(self, event: Any) -> Any:
        """The handler's answer, or whatever it raises."""
        with self._may_run:
            with self._lock:
                handler = self._idle.pop() if self._idle else None
                self._busy += 1
            try:
                handler = handler or self._load()
                return handler(event, self.context())
            finally:
                with self._lock:
                    self._busy -= 1
                    if handler is not None:
                        self._idle.append(handler)

    def context(self) -> LambdaContext:
        """A context whose time runs from now."""
        name = self.function.name
        return LambdaContext(
            function_name=name,
            memory_limit_in_mb=self.function.memory_mb,
            deadline=time.monotonic() + self.function.timeout_s,
            invoked_function_arn=f"arn:aws:lambda:{self._region}:{ACCOUNT}:function:{name}",
            log_group_name=f"/aws/lambda/{name}",
            log_stream_name=f"local/{name}",
        )

    def _load(self) -> Handler:
        with self._lock:
            self._made += 1
            number = self._made
        module_name, _, attribute = self.function.handler.rpartition(".")
        file = self.function.folder / f"{module_name}.py"
        name = f"{self.function.folder.name}_environment_{number}"
        specification = importlib.util.spec_from_file_location(name, file)
        if specification is None or specification.loader is None or not file.exists():
            raise StackError(f"{self.function.name}: there is no handler at {file}")
        module = importlib.util.module_from_spec(specification)
        sys.modules[name] = module
        specification.loader.exec_module(module)
        handler: Handler = getattr(module, attribute)
        return handler

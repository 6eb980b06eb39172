"""LocalStack with its Lambda played by this machine: `.localstack-venv/bin/python tests/infra/localstack_functions.py`.

The community edition runs functions in containers only. Here each execution environment is the real runtime client
under the real runtime emulator instead, over the unzipped archives that were deployed. It reaches into one pinned
version of LocalStack, so it stays with the tests.
"""

import contextlib
import json
from pathlib import Path
from typing import Any

from localstack.config import CFN_PER_RESOURCE_TIMEOUT
from localstack.services.cloudformation.resource_provider import ResourceProviderExecutor
from localstack.services.events.scheduler import JobScheduler
from localstack.services.lambda_.invocation.lambda_models import InvocationResult
from localstack.services.lambda_.invocation.plugins import DockerRuntimeExecutorPlugin
from localstack.services.lambda_.invocation.runtime_executor import RuntimeExecutor

from infra.build.parts import host_target
from infra.local.localstack_server import main
from infra.runtime.emulator import Emulator, RuntimeFailure

EVERY_MINUTE = "*/1 * * * *"


class EmulatorExecutor(RuntimeExecutor):
    """One execution environment."""

    _emulator: Emulator | None = None

    def start(self, env_vars: dict[str, str]) -> None:
        """Starts it with the function's own variables and LocalStack's credentials and endpoint."""
        config = self.function_version.config
        layers = [Path(layer.code.get_unzipped_code_location()) / "python" for layer in config.layers]
        self._emulator = Emulator(
            [Path(config.code.get_unzipped_code_location()), *layers],
            target=host_target(),
            handler=config.handler,
            environment={name: str(value) for name, value in env_vars.items()},
            name=self.function_version.id.function_name,
            timeout_s=config.timeout,
            memory_mb=config.memory_size,
        )

    def stop(self) -> None:
        """Ends it."""
        if self._emulator is not None:
            self._emulator.stop()

    def invoke(self, payload: dict[str, Any]) -> InvocationResult:
        """One event."""
        assert self._emulator is not None
        try:
            answer, failed = json.dumps(self._emulator.invoke(json.loads(payload["payload"] or "{}"))), False
        except RuntimeFailure as error:
            answer, failed = str(error), True
            with contextlib.suppress(ValueError):
                json.loads(answer)
                return InvocationResult(payload["invoke-id"], answer.encode(), is_error=True, logs=self.get_logs())
            answer = json.dumps({"errorType": "Runtime.ExitError", "errorMessage": answer})
        return InvocationResult(payload["invoke-id"], answer.encode(), is_error=failed, logs=self.get_logs())

    def get_logs(self) -> str:
        """What it has logged so far."""
        return self._emulator.log() if self._emulator is not None else ""

    def get_address(self) -> str:
        """Everything is on this machine."""
        return "127.0.0.1"

    get_endpoint_from_executor = get_address

    def get_runtime_endpoint(self) -> str:
        """Not used: the emulator answers, nothing calls back."""
        return "http://127.0.0.1:0"

    @classmethod
    def prepare_version(cls, function_version: Any) -> None:
        """Unzips what was deployed."""
        for archive in (function_version.config.code, *(layer.code for layer in function_version.config.layers)):
            archive.prepare_for_execution()

    @classmethod
    def cleanup_version(cls, function_version: Any) -> None:
        """LocalStack's directory goes as a whole."""


def _hurry() -> None:
    """LocalStack waits five seconds between looks at a new resource, and a minute between runs of schedules.

    Here it looks five times a second, and what is due every minute is run every five seconds.
    """
    ResourceProviderExecutor.deploy_loop.__defaults__ = (CFN_PER_RESOURCE_TIMEOUT, 0.2)

    def loop(self: JobScheduler, *_: Any) -> None:
        while not self._stop_event.wait(5):
            for job in list(self.jobs):
                if job.schedule == EVERY_MINUTE:
                    job.run()

    JobScheduler.loop = loop


if __name__ == "__main__":
    DockerRuntimeExecutorPlugin.load = lambda *_, **__: EmulatorExecutor
    _hurry()
    main()

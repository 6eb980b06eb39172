"""Deploys template.yaml, as it is, into LocalStack with `sam deploy`; functions run as built artefacts."""

import contextlib
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
from localstack_client.session import Session

from infra.build.parts import ROOT, Target, build, host_target, zipped_size
from infra.local.localstack import LocalStack
from infra.runtime.emulator import interpreter, runtime_client
from telemetry.settings import DatabaseSettings

STACK = "telemetry"
_SAM = ROOT / ".sam-venv" / "bin" / "sam"


@dataclass(frozen=True)
class Deployed:
    """The template's resources in LocalStack."""

    endpoint: str
    session: Session
    functions: dict[str, str]
    outputs: dict[str, str]

    def client(self, service: str) -> Any:
        """A boto3 client of localstack-client."""
        return self.session.client(service)

    def invoke(self, logical_id: str, event: Any) -> Any:
        """The answer of a deployed function."""
        answer = self.client("lambda").invoke(FunctionName=self.functions[logical_id], Payload=json.dumps(event))
        payload = json.loads(answer["Payload"].read() or b"null")
        assert "FunctionError" not in answer, payload
        return payload


@contextmanager
def deployed(directory: Path, database: DatabaseSettings) -> Iterator[Deployed]:
    """The template over a database; everything ends with the block."""
    target = host_target()
    runtime_client(target)  # here, where uv is: LocalStack's own Python has none
    server = LocalStack(
        directory / "localstack",
        program=[Path(__file__).with_name("localstack_functions.py")],
        environment={
            "PYTHONPATH": str(ROOT),
            "RUNTIME_PYTHON": interpreter(target),
            # Its newer engine wants what stands behind a false condition, where only such resources ask for it.
            "PROVIDER_OVERRIDE_CLOUDFORMATION": "engine-legacy",
        },
    )
    try:
        template = _with_built_code(directory / "template.yaml", target)
        server.wait()
        environment = {
            **server.environment,
            "AWS_ENDPOINT_URL": server.endpoint,
            "SAM_CLI_TELEMETRY": "0",
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
        }
        os.environ["AWS_ENDPOINT_URL"] = server.endpoint  # what localstack-client reads
        session = Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")
        secret = session.client("secretsmanager").create_secret(
            Name="database", SecretString=json.dumps({"username": database.user, "password": database.password})
        )
        parameters = {
            "Architecture": target.architecture,
            "AuthIssuer": "https://issuer.example.com",
            "HttpApi": "false",
            "Network": "none",
            "Database": "existing",
            "DatabaseHost": database.host,
            "DatabasePort": str(database.port),
            "DatabaseName": database.name,
            "DatabaseUser": database.user,
            "DatabaseAuth": "secret",
            "DatabaseSecretArn": secret["ARN"],
            "MigrateOnDeploy": "false",
            "AwsEndpoint": server.endpoint,
            "AddressingStyle": "path",
            "Observability": "false",
            "SnapStart": "false",
            "ReserveConcurrency": "false",
        }
        done = subprocess.run(
            [
                *(_SAM, "deploy", "--template-file", template, "--stack-name", STACK, "--region", "us-east-1"),
                *("--resolve-s3", "--capabilities", "CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"),
                *("--no-confirm-changeset", "--no-progressbar"),
                *("--parameter-overrides", *(f"{name}={value}" for name, value in parameters.items())),
            ],
            check=False,
            capture_output=True,
            text=True,
            env=environment,
            cwd=directory,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        yield _describe(server.endpoint, session)
    finally:
        os.environ.pop("AWS_ENDPOINT_URL", None)
        server.stop()
        _end_environments(server.endpoint)


def _end_environments(endpoint: str) -> None:
    """Ends the execution environments, each a session of its own, that a LocalStack which was cut off left behind."""
    port = f":{urlsplit(endpoint).port}"
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if process.name().startswith("aws-lambda-rie") and port in process.environ().get("AWS_ENDPOINT_URL", ""):
                os.killpg(process.pid, signal.SIGKILL)


def _describe(endpoint: str, session: Session) -> Deployed:
    cloudformation = session.client("cloudformation")
    resources = cloudformation.describe_stack_resources(StackName=STACK)["StackResources"]
    functions = {
        resource["LogicalResourceId"]: resource["PhysicalResourceId"]
        for resource in resources
        if resource["ResourceType"] == "AWS::Lambda::Function"
    }
    outputs: dict[str, str] = {}
    for stack in cloudformation.describe_stacks()["Stacks"]:
        outputs |= {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", ())}
    return Deployed(endpoint, session, functions, outputs)


def _with_built_code(path: Path, target: Target) -> Path:
    """template.yaml with the built archives where `sam build` would put folders; nothing else is changed."""

    def archive(found: re.Match[str]) -> str:
        name = re.sub(r"(?<!^)(?=[A-Z])", "_", found["name"]).lower()
        folder = build(target, f"{found['kind'].lower()}s/{name}")
        zipped_size(folder)
        return f"{found['before']}{folder}.zip"

    text = (ROOT / "template.yaml").read_text()
    text, count = re.subn(
        r"(?P<before>^  (?P<name>[A-Z]\w+?)(?P<kind>Layer|Function):\n(?:    .*\n|\n)*?      (?:Code|Content)Uri: )\S+",
        archive,
        text,
        flags=re.MULTILINE,
    )
    assert count == text.count("Uri: "), "a function or layer has no code"
    path.write_text(text.replace("Location: infra/", f"Location: {ROOT}/infra/"))
    return path

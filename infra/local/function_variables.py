"""The functions' variables as files, for `make invoke` and `sam local`: written while the stack is up."""

import contextlib
import json
import re
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

from infra.local.stack import Stack

HERE = "env.json"
IN_CONTAINERS = "container-env.json"
# What containers call this machine where they see its loopback, as Docker Desktop's do.
_MACHINE = "host.docker.internal"
_LOOPBACK = re.compile(r"(?:^|(?<=[/@]))(?:127\.0\.0\.1|localhost)(?=[:/]|$)")  # a whole host, alone or in a URL


@contextlib.contextmanager
def written(stack: Stack) -> Iterator[None]:
    """Within it both files stand in the stack's directory, readable by their user alone: they hold passwords."""
    here = variables(stack)
    files = {stack.directory / HERE: here, stack.directory / IN_CONTAINERS: in_containers(here)}
    try:
        for file, content in files.items():
            file.unlink(missing_ok=True)
            file.touch(mode=0o600)
            file.write_text(json.dumps({"Parameters": content}, indent=2) + "\n", "utf-8")
        yield
    finally:
        for file in files:
            file.unlink(missing_ok=True)


def variables(stack: Stack) -> dict[str, str]:
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


def in_containers(here: dict[str, str]) -> dict[str, str]:
    """The same where addresses of the loopback are this machine's name instead."""
    return {name: _LOOPBACK.sub(_MACHINE, value) for name, value in here.items()}

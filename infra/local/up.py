"""`make up`: keeps the local stack running until Ctrl-C, and prints how to reach it."""

import os
import socket
import sys
import time
from ipaddress import IPv4Address

from rich.console import Console

from infra.local import access, function_variables
from infra.local.process import LOOPBACK, StackError
from infra.local.stack import Stack, backend_from_environment, ends_on_signals

DEFAULT_API_PORT = 8321
DOCKER_BRIDGE = "172.17.0.1"


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
                host=_host(),
                api_port=_port("STACK_API_PORT", DEFAULT_API_PORT),
                s3_port=_port("STACK_S3_PORT", 0),
                progress=lambda text: status.update(text) if console.is_terminal else console.print(text),
            ) as stack:
                status.stop()
                token = stack.token()
                with (
                    access.written(stack.directory, access.Access(stack.api_url, token)),
                    function_variables.written(stack),
                ):
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


def _host() -> str:
    """STACK_LISTEN: an address of this machine, the loopback's by default."""
    host = os.environ.get("STACK_LISTEN", "").strip() or LOOPBACK
    try:
        address = IPv4Address(host)
    except ValueError:
        raise StackError(f"STACK_LISTEN is {host!r}; it takes an IPv4 address of this machine.") from None
    if address.is_unspecified or not address.is_private:
        # Everybody knows the password of the S3 here; and "all addresses" is none that one could be told.
        raise StackError(
            f"STACK_LISTEN is {host}; it takes one private address, such as {DOCKER_BRIDGE}, Docker's bridge."
        )
    with socket.socket() as probe:
        try:
            probe.bind((host, 0))
        except OSError:
            raise StackError(
                f"STACK_LISTEN is {host}, which is no address of this machine. Docker's bridge has the one that "
                "`docker network inspect bridge` calls Gateway; Docker Desktop needs none."
            ) from None
    return host


def _introduce(console: Console, stack: Stack, token: str, seconds: float) -> None:
    files = f"{function_variables.HERE} for `make invoke`, {function_variables.IN_CONTAINERS} for `sam local`"
    objects = stack.files if stack.backend == "local" else stack.s3_url
    kept = "kept for the next start" if stack.backend == "local" else "empty again at the next start"
    if stack.host != LOOPBACK:
        console.print(f"Whoever reaches {stack.host} may read and write its objects: everybody knows their password.")
    console.print(
        f"""Up after {seconds:.1f} s. Ctrl-C ends it, or `make down` from anywhere else.

  Page         {stack.page_url}
  API          {stack.api_url}
  Objects      {objects} ({kept})
  S3 and SQS   {stack.s3_url}   AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_REGION=us-east-1
  PostgreSQL   {stack.database_url}
  Logs         {stack.logs}
  Variables    {stack.directory}: {files}

  .venv/bin/telemetry upload fixtures/telemetry/sample_track.gpx --wait

  export API={stack.api_url}
  export TOKEN={token}
  curl -H "Authorization: Bearer $TOKEN" $API/sessions
""",
        markup=False,
    )


if __name__ == "__main__":
    sys.exit(main())

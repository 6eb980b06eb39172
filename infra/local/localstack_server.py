"""LocalStack on the addresses of GATEWAY_LISTEN alone; a program for the Python of .localstack-venv.

Its own server (4.9.2, localstack/runtime/server/twisted.py) takes only their ports and listens on every address of this
machine, where anybody could read and write with credentials that everybody knows. Imports nothing of ours.
"""

import os
from typing import Any

from twisted.internet import endpoints


def listen_where_asked() -> None:
    """Each of its listening sockets, one an entry of GATEWAY_LISTEN, gets an entry's address."""
    hosts = [entry.rpartition(":")[0] for entry in os.environ["GATEWAY_LISTEN"].split(",")]
    whole = endpoints.TCP4ServerEndpoint

    def bound(reactor: Any, port: int) -> Any:
        return whole(reactor, port, interface=hosts.pop())

    endpoints.TCP4ServerEndpoint = bound


def main() -> None:
    """Runs it until it is ended."""
    listen_where_asked()
    from localstack.runtime.main import main as run

    run()


if __name__ == "__main__":
    main()

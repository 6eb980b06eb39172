"""The functions' variables as containers need them."""

import pytest

from infra.local.function_variables import in_containers


@pytest.mark.parametrize(
    ("here", "there"),
    [
        ("127.0.0.1", "host.docker.internal"),
        ("localhost", "host.docker.internal"),
        ("http://127.0.0.1:4566", "http://host.docker.internal:4566"),
        ("http://localhost:4566/queue/us-east-1", "http://host.docker.internal:4566/queue/us-east-1"),
        ("postgresql://me:localhost@127.0.0.1/telemetry", "postgresql://me:localhost@host.docker.internal/telemetry"),
        ("http://172.17.0.1:4566", "http://172.17.0.1:4566"),
        ("http://127.0.0.10:4566", "http://127.0.0.10:4566"),
        (
            "https://sqs.eu-central-1.amazonaws.com/1/localhost.fifo",
            "https://sqs.eu-central-1.amazonaws.com/1/localhost.fifo",
        ),
        ("", ""),
    ],
)
def test_only_a_host_of_the_loopback_gets_this_machines_name(here: str, there: str) -> None:
    assert in_containers({"NAME": here}) == {"NAME": there}

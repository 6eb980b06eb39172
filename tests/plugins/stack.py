"""The whole local stack, started once for every test that asks for it: what `make demo` and `make up` start."""

from collections.abc import Iterator

import pytest

from infra.local.stack import Stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """API, worker, PostgreSQL, S3 and SQS, with objects in S3."""
    with Stack(directory=tmp_path_factory.mktemp("stack"), purpose="tests") as running:
        yield running

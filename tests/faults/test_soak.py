"""A short soak, so that the long one of `make faults` always runs; see `soak`."""

import pytest

from infra.local.localstack import named_endpoint
from infra.local.postgres import named_url
from tests.faults.soak import soak


@pytest.mark.skipif(
    named_url() is not None or named_endpoint() is not None, reason="restarts servers, so it needs its own"
)
def test_a_short_soak_ends_with_every_session_terminal_and_every_invariant_true() -> None:
    report = soak(5.0, seed=1)
    assert report.violations == []
    assert report.sessions.total() > 0
    assert report.faults.total() > 0

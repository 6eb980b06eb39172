"""Recordings of a sound outer form and any content end in files or in a code; `make fuzz` goes on for longer."""

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.judge import judge
from tests.fuzz.structures import STRUCTURES


@pytest.mark.parametrize("structure", STRUCTURES, ids=lambda structure: structure.__name__)
@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(rng=st.randoms(use_true_random=False))
def test_any_content_ends_in_a_code(structure: Callable[[Random], bytes], rng: Random) -> None:
    judge(structure(rng))

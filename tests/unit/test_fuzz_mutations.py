"""Damaged recordings of every format and container end in files or in a code; `make fuzz` goes on for longer."""

from random import Random

import pytest

from tests.fuzz.judge import judge
from tests.fuzz.mutation import mutate
from tests.fuzz.seeds import seeds

MUTATIONS = 40
FORMATS = {"csv", "gpx", "tcx", "nmea", "vbo", "kml", "igc", "fit", "ubx"}


def test_every_format_is_among_the_beginnings() -> None:
    assert {judge(data, name) for name, data in seeds().items()} == FORMATS | {"CSV_NO_TIME_COLUMN"}


@pytest.mark.parametrize("name", seeds())
def test_damaged_recordings_end_in_a_code(name: str) -> None:
    begins = seeds()
    rng = Random(name)
    for _ in range(MUTATIONS):
        judge(mutate(begins[name], list(begins.values()), rng), name)

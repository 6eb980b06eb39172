"""The short form of `make fuzz`: calls made up from the description, one after another, find no difference."""

from infra.local.stack import Stack
from tests.fuzz_api import fuzz


def test_the_service_is_as_its_description_says(stack: Stack) -> None:
    done = fuzz(stack, examples=8, seconds=25, seed=1)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert "Tested: 17" in done.stdout

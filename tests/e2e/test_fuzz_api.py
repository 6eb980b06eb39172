"""The short form of `make fuzz`: calls made up from the description, one after another, find no difference."""

import re

import httpx

from infra.local.client.requests import API_PREFIX
from infra.local.stack import Stack
from tests.fuzz_api.__main__ import fuzz


def test_the_service_is_as_its_description_says(stack: Stack) -> None:
    runs = fuzz(stack, examples=8, seconds=30, seed=1, sessions=3)
    for done in runs:
        assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    single, following = runs
    assert "Tested: 17" in single.stdout
    covered = re.search(r"API Links: +(\d+) covered", following.stdout)
    assert covered is not None, following.stdout
    assert int(covered[1]) > 0


def test_the_description_is_served_beside_the_api(stack: Stack) -> None:
    root = stack.api_url.removesuffix(API_PREFIX)
    with httpx.Client(base_url=root, trust_env=False) as client:
        description = client.get("/openapi.json")
        assert description.json()["servers"] == [{"url": API_PREFIX}]
        page = client.get("/docs")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert "<h1>" in page.text
        wrong = client.put(f"{API_PREFIX}/sessions")
        assert (wrong.status_code, wrong.json()["code"]) == (405, "METHOD_NOT_ALLOWED")
        head = client.head(f"{API_PREFIX}/sessions")
        assert (head.status_code, head.headers["allow"], head.content) == (405, "GET", b"")
        nowhere = client.get("/nowhere")
        assert (nowhere.status_code, nowhere.headers["content-type"]) == (404, "application/problem+json")

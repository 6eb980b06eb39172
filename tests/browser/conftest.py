"""Chromium before the running stack's page; each test has an owner and a window of its own, watched for complaints."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, Playwright, expect, sync_playwright

from infra.local.client import Client
from infra.local.process import ROOT
from infra.local.stack import Stack
from tests.browser.window import PATIENCE_MS, Window, chromium, launched, why_not, window

expect.set_options(timeout=PATIENCE_MS)
PICTURES = ROOT / ".screenshots"
OpenWindow = Callable[..., Window]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without a browser nothing here is tried, and no stack is started for it."""
    ours = [item for item in items if item.path.parent == Path(__file__).parent]
    if ours and (reason := why_not()):
        for item in ours:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    """For one file's tests: as long as it runs, nothing else in this process can run an event loop."""
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    """Chromium."""
    with launched(playwright, chromium() or Path()) as running:
        yield running


@pytest.fixture
def owner() -> str:
    """The subject whose recordings a test sees."""
    return f"viewer-{uuid4()}"


@pytest.fixture
def client(stack: Stack, owner: str, tmp_path: Path) -> Iterator[Client]:
    """The same owner's calls from outside the browser."""
    with Client(stack.api_url, stack.token(owner), state=tmp_path / "uploads") as calls:
        yield calls


@pytest.fixture(scope="module")
def driver_token(stack: Stack) -> str:
    """Of the owner whose recordings all tests of a file look at."""
    return stack.token(f"driver-{uuid4()}")


@pytest.fixture(scope="module")
def driver(stack: Stack, driver_token: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """That owner's calls from outside the browser."""
    with Client(stack.api_url, driver_token, state=tmp_path_factory.mktemp("uploads")) as calls:
        yield calls


@pytest.fixture
def open_window(browser: Browser, stack: Stack, owner: str, request: pytest.FixtureRequest) -> Iterator[OpenWindow]:
    """Opens windows; at the test's end leaves a picture of each, and fails where one of them complained or called
    anybody but the stack."""
    opened: list[Window] = []
    with ExitStack() as open_ones:

        def another(
            *, real: bool = False, token: str = "", configuration: dict[str, Any] | None = None, **look: Any
        ) -> Window:
            if not real and configuration is None:
                configuration = {"api": stack.api_url, "token": token or stack.token(owner)}
            opened.append(open_ones.enter_context(window(browser, stack.page_url, configuration=configuration, **look)))
            return opened[-1]

        yield another
        PICTURES.mkdir(exist_ok=True)
        for number, one in enumerate(opened):
            name = re.sub(r"[^\w-]+", "-", request.node.name).strip("-")
            one.page.screenshot(path=PICTURES / f"{name}{f'-{number + 1}' if number else ''}.png")
    ours = {stack.page_url.rstrip("/"), stack.s3_url}
    for one in opened:
        foreign = {
            asked.url for asked in one.requests if asked.origin not in ours and asked.url[:5] not in ("data:", "blob:")
        }
        assert foreign == set()
        assert one.unexpected() == []

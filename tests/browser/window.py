"""A real Chromium, and what happens in one of its windows: requests with their preflights, and every complaint."""

import contextlib
import functools
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, CDPSession, ConsoleMessage, Page, Playwright, expect

MISSING = "no Chromium: install Debian's package chromium, or name one by CHROMIUM=/path/to/chromium"
PATIENCE_MS = 30_000
"""For so long something may take to show, on a busy machine."""
# Chromium gives up its requests when an interface comes or goes, for example Docker's bridge: no matter of the page.
_NETWORK_CHANGED = "net::ERR_NETWORK_CHANGED"
# The page is handed a token of the test's own owner, so that no test sees another's recordings. Not by Playwright's
# interception, which would answer preflights in the server's place.
_CONFIGURATION = """(text) => {
  const ask = window.fetch;
  window.fetch = (what, ...more) =>
    /(^|\\/)config\\.json$/.test(String(what.url ?? what))
      ? Promise.resolve(new Response(text, { headers: { 'content-type': 'application/json' } }))
      : ask.call(window, what, ...more);
}"""


def chromium() -> Path | None:
    """The browser to drive: CHROMIUM, or what the system has."""
    named = os.environ.get("CHROMIUM", "").strip()
    found = named or shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    return Path(found) if found and Path(found).exists() else None


@functools.cache
def why_not() -> str | None:
    """Why nothing can be tried in a browser here: none is there, or it does not start (as the stub of a package that
    wants another installer, or without libraries it needs)."""
    found = chromium()
    if found is None:
        return MISSING
    begun = [str(found), "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", "about:blank"]
    try:
        done = subprocess.run(begun, capture_output=True, text=True, errors="replace", timeout=120, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{found} does not start: {error}"
    if "<html" in done.stdout:
        return None
    return f"{found} does not start (exit {done.returncode}): {' '.join(done.stderr.split())[-300:]}"


@contextlib.contextmanager
def launched(playwright: Playwright, executable: Path, *arguments: str) -> Iterator[Browser]:
    """A browser without a window, for as long as the block lasts."""
    root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    browser = playwright.chromium.launch(executable_path=executable, args=[*root, *arguments])
    try:
        yield browser
    finally:
        browser.close()


def wait_until(holds: Callable[[], bool], *, seconds: float = PATIENCE_MS / 1000) -> None:
    """Asks again and again, outside the browser."""
    limit = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < limit, "it did not come to that"
        time.sleep(0.05)


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it went over the wire; a preflight is an OPTIONS."""

    method: str
    url: str

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def path(self) -> str:
        """Without the query."""
        return urlsplit(self.url).path


@dataclass
class Window:
    """One page in a context of its own, and what it did."""

    page: Page
    context: BrowserContext
    wire: CDPSession
    address: str
    requests: list[Request] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    def open(self, path: str = "") -> Page:
        """Goes to the page, or to one of its hash routes; again when the machine's network changed meanwhile."""
        for _ in range(3):
            known = len(self.complaints)
            self.page.goto(self.address + path)
            if not any(_NETWORK_CHANGED in line for line in self.complaints[known:]):
                break
        return self.page

    def expect_complaint(self, pattern: str) -> None:
        """The console may say this: for a test that makes something fail."""
        self.expected.append(pattern)

    def unexpected(self) -> list[str]:
        """Errors on the console, exceptions that nobody caught, violations of the policy."""
        expected = [_NETWORK_CHANGED, *self.expected]
        return [line for line in self.complaints if not any(re.search(pattern, line) for pattern in expected)]

    def drop(self, *files: Path) -> None:
        """Drops files from the desktop onto the middle of the page."""
        size = self.page.viewport_size or {"width": 800, "height": 600}
        place = {"x": size["width"] // 2, "y": size["height"] // 2}
        data = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
        veil = self.page.locator("#drop-veil")

        def step(kind: str) -> None:
            self.wire.send("Input.dispatchDragEvent", {"type": kind, **place, "data": data})
            # Chromium lets go of a drop that comes before the page's answer to the step before it.
            self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 50)))")

        for _ in range(10):
            step("dragEnter")
            with contextlib.suppress(AssertionError):  # the page may still be loading
                expect(veil).to_be_visible(timeout=3000)
                break
        for _ in range(5):
            step("dragOver")
            step("drop")
            with contextlib.suppress(AssertionError):
                expect(veil).to_be_hidden(timeout=3000)
                return
        pytest.fail("the page does not take what is dropped")

    def ink(self, selector: str) -> int:
        """How many pixels of a canvas are drawn on."""
        drawn: int = self.page.locator(selector).first.evaluate(
            """(canvas) => {
              const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d');
              copy.drawImage(canvas, 0, 0);
              const {data} = copy.getImageData(0, 0, canvas.width, canvas.height);
              let count = 0;
              for (let i = 3; i < data.length; i += 4) count += data[i] > 0;
              return count;
            }"""
        )
        return drawn

    def expect_ink(self, selector: str, *, more_than: int) -> None:
        """A canvas is drawn in the frame after its place is made."""
        wait_until(lambda: self.ink(selector) > more_than)

    def sent(self, method: str, origin: str) -> list[Request]:
        """Requests by method, to one origin."""
        return [request for request in self.requests if (request.method, request.origin) == (method, origin)]


@contextlib.contextmanager
def window(
    browser: Browser, address: str, *, configuration: dict[str, Any] | None = None, **look: Any
) -> Iterator[Window]:
    """A fresh window that has not gone anywhere yet.

    Parameters
    ----------
    configuration : in place of the page's `config.json`; the real one where None.
    look : of Playwright's `new_context`: viewport, colour scheme, …
    """
    context = browser.new_context(
        **{"locale": "en-GB", "timezone_id": "Europe/Berlin", "accept_downloads": True, **look}
    )
    context.set_default_timeout(PATIENCE_MS)
    if configuration is not None:
        context.add_init_script(f"({_CONFIGURATION})({json.dumps(json.dumps(configuration))})")
    page = context.new_page()
    opened = Window(page, context, context.new_cdp_session(page), address)
    _listen(opened)
    try:
        yield opened
    finally:
        context.close()


def _listen(opened: Window) -> None:
    def console(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            opened.complaints.append(f"{message.type}: {message.text}")

    def asked(method: str, url: str) -> None:
        # Both tell of most requests; only the wire tells of preflights, and only the context of what a worker asks for.
        if Request(method, url) not in opened.requests:
            opened.requests.append(Request(method, url))

    opened.page.on("console", console)
    opened.page.on("pageerror", lambda error: opened.complaints.append(f"exception: {error}"))
    opened.context.on("request", lambda request: asked(request.method, request.url))
    opened.wire.on(
        "Network.requestWillBeSent", lambda event: asked(event["request"]["method"], event["request"]["url"])
    )
    opened.wire.send("Network.enable")

"""`make screenshots`: the README's pictures of the page, from a drive made for them, into infra/page/screenshots.

Not run by the tests; their own pictures lie in .screenshots.
"""

import io
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from fixtures.generator import Recipe, write
from infra.local.client import Client
from infra.local.process import ROOT
from infra.local.stack import Stack
from tests.browser.drives import SAMPLES
from tests.browser.window import MISSING, chromium, launched, window

FOLDER = ROOT / "infra" / "page" / "screenshots"
LARGEST = 300_000
DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 1250}, "locale": "en-IE"}
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
    "locale": "en-IE",
}


def main() -> int:
    """Writes light.png, dark.png and phone.png; 1 without Chromium."""
    executable = chromium()
    if executable is None:
        sys.stderr.write(f"screenshots: {MISSING}\n")
        return 1
    FOLDER.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        Stack(directory=Path(folder) / "stack", purpose="screenshots") as stack,
        Client(stack.api_url, stack.token(), state=Path(folder) / "uploads") as client,
    ):
        drive = Path(folder) / "Evening practice.csv"
        # Without speeds of its own: those found from its positions differ from lap to lap, as the laps' times do.
        columns = ("timestamp", "lat", "lon", "alt")
        write(Recipe(rows=8400, length_m=4200, drift_m=0.8, variation=0.03, seed=7, columns=columns), drive)
        session = client.wait(client.send(drive).session_id)
        for sample in sorted(SAMPLES.iterdir()):
            client.wait(client.send(sample).session_id)
        with sync_playwright() as playwright, launched(playwright, executable) as browser:
            where = f"#/sessions/{session.session_id}"
            _take(browser, stack, where, "light", DESKTOP)
            _take(browser, stack, where, "dark", DESKTOP | {"color_scheme": "dark"}, laps=(3, 5))
            _take(browser, stack, where, "phone", PHONE)
    return 0


def _take(
    browser: Browser, stack: Stack, where: str, name: str, look: dict[str, Any], *, laps: tuple[int, ...] = ()
) -> None:
    with window(browser, stack.page_url, **look) as opened:
        page = opened.open(where)
        expect(page.get_by_role("table", name="Laps")).to_be_visible()
        expect(page.get_by_text("Reading every fix")).to_have_count(0)
        for lap in laps:
            page.get_by_label(f"Compare lap {lap}", exact=True).check()
        if laps:
            page.get_by_role("slider", name="Position in the lap").fill("430")
            page.locator("section[aria-labelledby=laps-title]").evaluate("(laps) => laps.scrollIntoView()")
        elif not look.get("is_mobile"):
            page.get_by_role("figure", name="Speed").locator(".u-over").hover(position={"x": 260, "y": 60})
        _settled(page)
        _save(page.screenshot(), FOLDER / f"{name}.png")


def _settled(page: Page) -> None:
    """Lines are drawn once the view rests, each from an answer of the worker."""
    page.wait_for_timeout(1000)


def _save(picture: bytes, place: Path) -> None:
    """With 256 colours of its own, which a page of flat colours does not miss."""
    Image.open(io.BytesIO(picture)).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(place, optimize=True)
    size = place.stat().st_size
    sys.stdout.write(f"{place.relative_to(ROOT)}: {size // 1000} kB\n")
    assert size <= LARGEST, "too large for a README"


if __name__ == "__main__":
    sys.exit(main())

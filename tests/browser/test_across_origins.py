"""What the page rests on, without its user interface: S3 is another origin, and lets the page's origin in."""

import hashlib
from pathlib import Path

from playwright.sync_api import Browser, expect

from infra.local.client import Client
from infra.local.stack import Stack
from telemetry.api import models
from tests.browser.conftest import OpenWindow
from tests.browser.window import window

SAMPLE = Path(__file__).parents[2] / "fixtures/telemetry/sample_track.gpx"


def test_a_presigned_put_passes_with_its_preflight(open_window: OpenWindow, stack: Stack, client: Client) -> None:
    content = SAMPLE.read_bytes()
    created = client.create_upload(
        models.UploadRequest(
            file_name=SAMPLE.name,
            content_type="application/gpx+xml",
            byte_size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
        )
    )
    assert created.upload is not None
    opened = open_window()
    opened.open()
    status = opened.page.evaluate(
        "async ([url, headers, text]) => (await fetch(url, {method: 'PUT', headers, body: text})).status",
        [
            created.upload.url,
            {k: v for k, v in created.upload.headers.items() if k.lower() != "content-length"},
            content.decode(),
        ],
    )
    assert status == 200
    assert len(opened.sent("OPTIONS", stack.s3_url)) == len(opened.sent("PUT", stack.s3_url)) == 1


def test_parquet_is_read_by_ranges(open_window: OpenWindow, client: Client) -> None:
    session = client.wait(client.send(SAMPLE).session_id)
    dataset = client.datasets(session.session_id)[0]
    opened = open_window()
    opened.open()
    answer = opened.page.evaluate(
        """async (url) => {
          const part = await fetch(url, {headers: {Range: 'bytes=0-3'}});
          return [part.status, await part.text(), part.headers.get('content-range'), part.headers.get('etag')];
        }""",
        dataset.download.url,
    )
    assert answer[:3] == [206, "PAR1", f"bytes 0-3/{dataset.byte_size}"]
    assert answer[3]


def test_objects_in_a_local_directory(browser: Browser, tmp_path: Path) -> None:
    """The other storage backend: no second origin, the same page."""
    with (
        Stack(directory=tmp_path / "stack", purpose="tests", backend="local") as local,
        window(browser, local.page_url.replace("127.0.0.1", "localhost")) as opened,
    ):
        page = opened.open()
        opened.drop(SAMPLE)
        line = page.get_by_role("listitem", name=SAMPLE.name)
        expect(line).to_contain_text("Ready: 600 points", timeout=30_000)
        # Opened by the other name of this machine, the page is of another origin than the addresses of objects.
        assert opened.sent("OPTIONS", local.page_url.rstrip("/"))
        assert opened.sent("PUT", local.page_url.rstrip("/"))
        line.get_by_role("link", name="Open").click()
        expect(page.get_by_role("img", name="Map of the track")).to_be_visible()
        expect(page.get_by_text("Reading every fix")).to_have_count(0)
        expect(page.get_by_text("a thinned track is shown")).to_have_count(0)
        assert opened.unexpected() == []


def test_the_page_is_served_with_its_configuration(open_window: OpenWindow, stack: Stack) -> None:
    opened = open_window(real=True)
    opened.open()
    expect(opened.page).to_have_title("Sessions · Telemetry")
    found = opened.page.evaluate("async () => (await fetch('config.json')).json()")
    assert found["api"] == stack.api_url
    expect(opened.page.get_by_role("heading", name="Sessions")).to_be_visible()
    # The development user's own list, with whatever other tests left in it.
    sessions = opened.page.get_by_role("region", name="Sessions")
    expect(sessions.get_by_role("table").or_(sessions.get_by_text("There is no session yet"))).to_be_visible()

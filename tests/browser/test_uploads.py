"""From a dropped file to its laps, through the real page, API, S3 and worker; and what happens when it breaks."""

import re
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from playwright.sync_api import Locator, Page, Playwright, Route, expect

from infra.local.client import Client
from infra.local.stack import Stack
from tests.browser.conftest import OpenWindow
from tests.browser.drives import SAMPLES, laps, padded
from tests.browser.relay import Relay
from tests.browser.window import Window, chromium, launched, wait_until, window

WHILE_PROCESSING_MS = 30_000
MIB = 1 << 20


def upload(page: Page, file: Path) -> Locator:
    """The line of one upload."""
    return page.get_by_role("list", name="Uploads").get_by_role("listitem", name=file.name, exact=True)


def test_a_dropped_recording_becomes_a_session(open_window: OpenWindow, stack: Stack, tmp_path: Path) -> None:
    opened = open_window(real=True)
    page = opened.open()
    expect(page.get_by_role("heading", name="Upload recordings")).to_be_visible()
    file = laps(tmp_path / "evening.csv")
    opened.drop(file)
    line = upload(page, file)
    expect(line.get_by_text("Ready: 5,400 points")).to_be_visible(timeout=WHILE_PROCESSING_MS)
    # Straight to S3, which is another origin: the browser asked first.
    assert len(opened.sent("PUT", stack.s3_url)) == 1
    assert len(opened.sent("OPTIONS", stack.s3_url)) >= 1
    assert not opened.sent("PUT", stack.page_url.rstrip("/"))

    line.get_by_role("link", name="Open").click()
    expect(page.get_by_role("heading", name="evening", exact=True)).to_be_visible()
    expect(page.get_by_role("table", name="Laps")).to_be_visible()
    expect(page.get_by_text("Reading every fix")).to_have_count(0)
    opened.expect_ink(".map-stage canvas", more_than=500)
    opened.expect_ink(".chart .plot canvas", more_than=500)


def test_the_steps_are_told_while_they_run(open_window: OpenWindow) -> None:
    """The worker is quicker than the page asks: what it answers is held back at each step, until that was seen."""
    opened = open_window()
    steps = ["artifact_validate", "artifact_classify", "parse_raw", "detect_laps"]
    held = [
        {"job": step, "attempt": attempt, "maxAttempts": 3, "nextRetryAt": None}
        for step, attempt in zip(steps, (0, 1, 2, 1), strict=True)
    ]

    def hold(route: Route) -> None:
        answer = route.fetch(headers={**route.request.headers, "if-none-match": ""})
        session = answer.json()
        route.fulfill(json={**session, "status": "processing", "progress": held[0]} if held else session)

    opened.page.route(re.compile(r"/sessions/[0-9a-f-]{36}$"), hold)
    page = opened.open()
    file = SAMPLES / "sample_track.gpx"
    page.get_by_label("Choose recordings").set_input_files(file)
    line = upload(page, file)
    heights: list[int] = []
    for words in ("Checking the file", "Recognising the format", "Reading the recording", "Finding laps"):
        now = line.get_by_role("list", name="Steps").locator("[aria-current=step]")
        expect(now).to_have_text(words, timeout=WHILE_PROCESSING_MS)
        if held[0]["attempt"] == 2:
            expect(line.get_by_text("Reading the recording, attempt 2 of 3")).to_be_visible()
        else:
            # Said once, and in a row that is as high as before and after.
            expect(line.locator(".upload-status")).to_be_hidden()
            heights.append(line.evaluate("(row) => row.offsetHeight"))
        held.pop(0)
    expect(line.get_by_text("Ready: 600 points")).to_be_visible(timeout=WHILE_PROCESSING_MS)
    assert {*heights, line.evaluate("(row) => row.offsetHeight")} == {heights[0]}


def test_a_recording_that_is_cut_off_says_so(open_window: OpenWindow, tmp_path: Path) -> None:
    whole = (SAMPLES / "sample_track.gpx").read_bytes()
    file = tmp_path / "broken off.gpx"
    file.write_bytes(whole[: whole.index(b"</trkpt>", len(whole) // 2) - 9])
    page = open_window().open()
    page.get_by_label("Choose recordings").set_input_files(file)
    line = upload(page, file)
    told = line.get_by_text(re.compile(r"^Ready, but the file is cut off after \d min \d+ s: \d+ points, "))
    expect(told).to_be_visible(timeout=WHILE_PROCESSING_MS)
    line.get_by_role("link", name="Open").click()
    expect(page.get_by_text(re.compile("“broken off.gpx” is cut off after .* the rest is missing"))).to_be_visible()
    fact = page.get_by_role("region", name="Quality").get_by_text(re.compile(r"cut off at line \d+, column \d+"))
    expect(fact).to_be_visible()


def test_several_files_at_once_and_one_that_cannot_be_used(open_window: OpenWindow) -> None:
    opened = open_window()
    page = opened.open()
    files = [SAMPLES / name for name in ("sample_gnss_10hz.csv", "sample_track.gpx", "csv_no_time.csv")]
    opened.drop(*files)
    for file in files[:2]:
        expect(upload(page, file).get_by_text("Ready")).to_be_visible(timeout=WHILE_PROCESSING_MS)
    failed = upload(page, files[2])
    expect(failed.get_by_text("has no column that holds time")).to_be_visible(timeout=WHILE_PROCESSING_MS)
    expect(failed).to_contain_text("Export it again with a time column")
    failed.get_by_role("link", name="Details").click()
    alert = page.get_by_role("alert").filter(has_text="This recording could not be used")
    expect(alert).to_contain_text("Export it again with a time column")
    expect(alert).to_contain_text("CSV_NO_TIME_COLUMN")


def test_several_files_make_one_session(open_window: OpenWindow, client: Client, tmp_path: Path, stack: Stack) -> None:
    opened = open_window()
    page = opened.open()
    files = [tmp_path / "morning.csv", tmp_path / "evening.gpx", tmp_path / "forgotten.csv"]
    laps(files[0], minutes=2)
    files[1].write_bytes((SAMPLES / "sample_track.gpx").read_bytes())
    files[2].touch()
    page.get_by_label("Make one session of several files").check()
    opened.drop(*files)
    # One cannot be sent: the others wait until it is let go.
    expect(upload(page, files[2]).get_by_text("The file is empty")).to_be_visible()
    for file in files[:2]:
        expect(upload(page, file).get_by_text("The session begins when all of its files are here")).to_be_visible()
    assert client.sessions().sessions == []
    upload(page, files[2]).get_by_role("button", name="Remove").click()
    for file in files[:2]:
        expect(upload(page, file).get_by_text("Ready: 1,800 points")).to_be_visible(timeout=WHILE_PROCESSING_MS)
    [session] = client.sessions().sessions
    assert session.name == "morning"
    assert {file.file_name for file in client.session(session.session_id).files} == {"morning.csv", "evening.gpx"}
    upload(page, files[1]).get_by_role("link", name="Open").click()
    expect(page.get_by_label("File", exact=True).get_by_role("option")).to_have_count(2)

    # And again, with another: what was sent before is sent once more when the viewer wants it.
    page.go_back()
    before = len(opened.sent("PUT", stack.s3_url))
    third = laps(tmp_path / "night.csv", minutes=1, seed=2)
    expect(page.get_by_label("Make one session of several files")).to_be_checked()
    page.get_by_role("button", name="Clear the finished ones").click()
    opened.drop(files[0], third)
    expect(upload(page, third).get_by_text("The session begins")).to_be_visible()
    upload(page, files[0]).get_by_role("button", name="Upload again anyway").click()
    expect(upload(page, third).get_by_text("Ready: 1,800 points")).to_be_visible(timeout=WHILE_PROCESSING_MS)
    assert len(opened.sent("PUT", stack.s3_url)) == before + 2
    assert len(client.sessions().sessions) == 2


def test_files_that_make_no_session_are_taken_up_together(
    open_window: OpenWindow, client: Client, tmp_path: Path
) -> None:
    opened = open_window()
    opened.expect_complaint("status of 422")
    refusal = {"code": "VALIDATION_FAILED", "detail": "These files make no session."}
    opened.page.route("**/finalise", lambda route: route.fulfill(status=422, json=refusal), times=1)
    page = opened.open()
    files = [laps(tmp_path / f"{name}.csv", minutes=1, seed=k) for k, name in enumerate(("one", "two", "three"), 1)]
    page.get_by_label("Make one session of several files").check()
    page.get_by_label("Choose recordings").set_input_files(files)
    for file in files:
        expect(upload(page, file).get_by_text("These files make no session.")).to_be_visible()
    upload(page, files[2]).get_by_role("button", name="Remove").click()
    upload(page, files[1]).get_by_role("button", name="Try again").click()
    for file in files[:2]:
        expect(upload(page, file).get_by_text("Ready: 1,200 points")).to_be_visible(timeout=WHILE_PROCESSING_MS)
    [session] = client.sessions().sessions
    assert [file.file_name for file in client.session(session.session_id).files] == ["one.csv", "two.csv"]


def test_the_same_bytes_are_not_sent_twice(open_window: OpenWindow, stack: Stack, client: Client) -> None:
    file = SAMPLES / "sample_track.gpx"
    before = client.wait(client.send(file).session_id)
    opened = open_window()
    page = opened.open()
    opened.drop(file)
    line = upload(page, file)
    expect(line.get_by_text("uploaded before")).to_be_visible()
    assert opened.sent("PUT", stack.s3_url) == []
    expect(line.get_by_role("link", name="Open the earlier session")).to_have_attribute(
        "href", f"#/sessions/{before.session_id}"
    )
    line.get_by_role("button", name="Upload again anyway").click()
    expect(line.get_by_text("Ready")).to_be_visible(timeout=WHILE_PROCESSING_MS)
    assert len(client.sessions().sessions) == 2


def test_an_empty_file_is_refused_before_it_is_sent(open_window: OpenWindow, stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "empty.csv"
    file.touch()
    opened = open_window()
    page = opened.open()
    page.get_by_label("Choose recordings").set_input_files(file)
    expect(upload(page, file).get_by_text("The file is empty")).to_be_visible()
    assert opened.sent("POST", stack.page_url.rstrip("/")) == []


@pytest.fixture
def cut_window(playwright: Playwright, stack: Stack, owner: str) -> Iterator[tuple[Window, Relay]]:
    """A window whose way to S3 leads through a relay that cuts connections."""
    relay = Relay(stack.s3_url)
    place = stack.s3_url.removeprefix("http://")
    configuration = {"api": stack.api_url, "token": stack.token(owner)}
    with (
        launched(
            playwright, chromium() or Path(), f"--host-resolver-rules=MAP {place} 127.0.0.1:{relay.port}"
        ) as browser,
        window(browser, stack.page_url, configuration=configuration) as opened,
    ):
        yield opened, relay
        opened.expect_complaint("net::ERR_|status of 4")
        assert opened.unexpected() == []
    relay.close()


def test_an_upload_that_breaks_goes_on_by_itself(cut_window: tuple[Window, Relay], tmp_path: Path) -> None:
    opened, relay = cut_window
    file = padded(tmp_path / "ride.csv.gz", laps(tmp_path / "ride.csv"), 8 * MIB)
    # Chromium itself repeats a request whose kept connection was reset: the page hears of the second cut alone.
    relay.cut_after(2 * MIB, times=2)
    page = opened.open()
    opened.drop(file)
    line = upload(page, file)
    expect(line.get_by_text("The connection broke off. Trying again in")).to_be_visible()
    expect(line.get_by_text("Ready: 5,400 points")).to_be_visible(timeout=WHILE_PROCESSING_MS)
    assert relay.cuts == 2


def test_a_large_file_goes_on_after_a_reload(
    cut_window: tuple[Window, Relay], client: Client, stack: Stack, tmp_path: Path
) -> None:
    opened, relay = cut_window
    file = padded(tmp_path / "tour.csv.gz", laps(tmp_path / "tour.csv"), 20 * MIB)
    # Two parts: the larger one never gets through, the smaller one does.
    relay.cut_after(9 * MIB, times=1000)
    page = opened.open()
    opened.drop(file)
    line = upload(page, file)
    expect(line.get_by_text("The connection broke off")).to_be_visible()
    upload_id = UUID(page.evaluate("localStorage.getItem(Object.keys(localStorage).find((key) => /upload/.test(key)))"))
    wait_until(lambda: [part.part_number for part in client.received_parts(upload_id).received] == [2])

    opened.requests.clear()
    page.on("dialog", lambda dialog: dialog.accept())  # it asks before it lets go of an upload
    page.reload()
    relay.cut_after(0, times=0)
    opened.drop(file)
    expect(upload(page, file).get_by_text("Ready: 5,400 points")).to_be_visible(timeout=WHILE_PROCESSING_MS)
    puts = opened.sent("PUT", stack.s3_url)
    assert {"partNumber=1&" in put.url for put in puts} == {True}
    assert opened.sent("OPTIONS", stack.s3_url)
    assert len(client.sessions().sessions) == 1

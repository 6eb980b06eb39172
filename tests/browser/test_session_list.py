"""The list of sessions with its filters and pages, and what can be done to one session."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from fixtures.generator import Recipe, write
from infra.local.client import Client
from tests.browser.conftest import OpenWindow
from tests.browser.drives import SAMPLES
from tests.browser.window import wait_until

Shorts = Callable[[int], list[str]]


@pytest.fixture
def shorts(client: Client, tmp_path: Path) -> Shorts:
    """Makes short recordings, one a day from 1 May 2026, each into a session."""

    def made(count: int) -> list[str]:
        names = []
        for day in range(1, count + 1):
            file = tmp_path / f"day {day:02}.csv"
            write(Recipe(rows=20, start=datetime(2026, 5, day, 10, tzinfo=UTC), seed=day), file)
            client.send(file)
            names.append(file.stem)
        wait_until(lambda: all(one.status == "ready" for one in client.sessions(limit=100).sessions), seconds=60)
        return names

    return made


def shown(page: Page) -> list[str]:
    """Names in the list, as they stand there."""
    return page.get_by_role("table", name="Sessions").get_by_role("rowheader").get_by_role("link").all_inner_texts()


def test_pages_lead_forward_and_back(open_window: OpenWindow, shorts: Shorts) -> None:
    names = shorts(27)
    page = open_window().open()
    rows = page.get_by_role("table", name="Sessions").get_by_role("row")
    expect(rows).to_have_count(1 + 25)
    first = shown(page)
    page.get_by_role("link", name="Older").click()
    expect(rows).to_have_count(1 + 2)
    assert sorted([*first, *shown(page)]) == names
    page.get_by_role("link", name="Newer").click()
    expect(rows).to_have_count(1 + 25)
    assert shown(page) == first
    page.go_back()
    expect(rows).to_have_count(1 + 2)

    # Filters, over the same recordings.
    page.goto(page.url.partition("#")[0])
    page.get_by_label("From").fill("2026-05-03")
    expect(rows).to_have_count(1 + 25)
    page.get_by_label("To").fill("2026-05-06")
    expect(rows).to_have_count(1 + 4)
    assert sorted(shown(page)) == ["day 03", "day 04", "day 05", "day 06"]
    page.reload()
    expect(rows).to_have_count(1 + 4)
    page.get_by_label("Status").select_option("Failed")
    expect(page.get_by_text("No session matches.")).to_be_visible()
    page.get_by_role("link", name="Clear").click()
    expect(rows).to_have_count(1 + 25)


def test_sessions_of_one_device(open_window: OpenWindow, client: Client, tmp_path: Path) -> None:
    file = tmp_path / "watch.tcx"
    write(Recipe(format="tcx", rows=60), file)
    device = "<Creator><Name>Edge 530</Name><UnitId>3961</UnitId><ProductID>3121</ProductID></Creator></Activity>"
    file.write_text(file.read_text("utf-8").replace("</Activity>", device), "utf-8")
    for one in (file, SAMPLES / "sample_track.gpx"):
        client.wait(client.send(one).session_id)
    page = open_window().open()
    expect(page.get_by_role("table", name="Sessions").get_by_role("row")).to_have_count(1 + 2)
    choice = page.get_by_label("Device").get_by_role("option", name="Edge 530")
    expect(choice).to_have_count(1)
    page.get_by_label("Device").select_option(choice.get_attribute("value"))
    expect(page.get_by_role("table", name="Sessions").get_by_role("row")).to_have_count(1 + 1)
    assert shown(page) == ["watch"]


def test_a_session_is_renamed_and_deleted(open_window: OpenWindow, client: Client) -> None:
    session = client.wait(client.send(SAMPLES / "sample_track.gpx").session_id)
    page = open_window().open(f"#/sessions/{session.session_id}")
    page.get_by_role("button", name="Rename").click()
    dialog = page.get_by_role("dialog", name="Rename the session")
    dialog.get_by_label("Name").fill("Nordschleife, evening <b>")
    dialog.get_by_role("button", name="Rename").click()
    expect(page.get_by_role("heading", name="Nordschleife, evening <b>")).to_be_visible()
    assert client.session(session.session_id).name == "Nordschleife, evening <b>"

    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert client.session(session.session_id)
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("There is no session yet")).to_be_visible()
    assert client.sessions().sessions == []


def test_a_failed_session_is_processed_again(open_window: OpenWindow, client: Client) -> None:
    session = client.wait(client.send(SAMPLES / "csv_no_time.csv").session_id)
    page = open_window().open(f"#/sessions/{session.session_id}")
    alert = page.get_by_role("alert").filter(has_text="This recording could not be used")
    expect(alert).to_be_visible()
    alert.get_by_role("button", name="Process again").click()
    wait_until(lambda: client.session(session.session_id).run_id != session.run_id)
    again = client.wait(session.session_id)
    assert again.run_id != session.run_id
    expect(alert).to_contain_text("Export it again with a time column")
    expect(page.get_by_role("button", name="Process again")).to_be_enabled()


def test_processing_is_cancelled(open_window: OpenWindow, client: Client, tmp_path: Path) -> None:
    file = tmp_path / "long.csv"
    write(Recipe(rows=400_000), file)
    session_id = client.send(file).session_id
    page = open_window().open(f"#/sessions/{session_id}")
    expect(page.get_by_role("list", name="Steps")).to_be_visible()
    page.get_by_role("button", name="Cancel processing").click()
    expect(page.get_by_text("The processing was cancelled")).to_be_visible()
    assert client.wait(session_id).status == "cancelled"

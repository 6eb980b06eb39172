"""The owner's start/finish line, given on the page: drawn or at the cursor, and what becomes of the search for laps."""

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from fixtures.circuit import start_finish_line
from infra.local.client import Client
from telemetry.api import models
from tests.browser.conftest import OpenWindow
from tests.browser.drives import laps
from tests.browser.window import Window

NAMES = ("latitude1Deg", "longitude1Deg", "latitude2Deg", "longitude2Deg")
LINE: dict[str, Any] = dict(zip(NAMES, start_finish_line(), strict=True))
SESSION = re.compile(r"/sessions/[0-9a-f-]{36}$")
FAILURE = {"code": "PROCESSING_TIMEOUT", "message": "Processing took longer than is allowed."}


@pytest.fixture(scope="module")
def session(driver: Client, tmp_path_factory: pytest.TempPathFactory) -> models.SessionDetail:
    """Five minutes of laps, ready."""
    file = laps(tmp_path_factory.mktemp("drive") / "evening.csv", minutes=5)
    return driver.wait(driver.send(file).session_id)


@pytest.fixture
def opened(open_window: OpenWindow, driver_token: str) -> Window:
    """A window of the session's owner."""
    return open_window(token=driver_token, viewport={"width": 1280, "height": 1000})


def shown(opened: Window, session: models.SessionDetail) -> Page:
    """The session's page, with every fix read."""
    page = opened.open(f"#/sessions/{session.session_id}")
    expect(page.get_by_role("table", name="Laps")).to_be_visible()
    expect(page.get_by_text("Reading every fix")).to_have_count(0)
    return page


def sent_line(page: Page, *, without: str = "") -> dict[str, Any]:
    """Sets a line across the track at the cursor; gives what the service was told."""
    page.get_by_role("button", name="Set start/finish line").click()
    page.get_by_role("button", name="At the cursor").click()
    if without:
        page.get_by_label(without).uncheck()
    with page.expect_request(lambda request: request.method == "PUT") as asked:
        page.get_by_role("button", name="Find laps here").click()
    expect(page.get_by_role("button", name="Find laps here")).to_be_hidden()
    told: dict[str, Any] = json.loads(asked.value.post_data or "")
    return told


def test_a_search_that_failed_for_good_is_said_until_the_line_is_given_again(
    opened: Window, session: models.SessionDetail
) -> None:
    gate = {**LINE, "sectors": []}
    failed = [True]

    def fail(route: Route) -> None:
        answer = route.fetch(headers={**route.request.headers, "if-none-match": ""})
        if not failed:
            route.fulfill(response=answer)
            return
        told = answer.json()
        at_work = {"at-work": str("progress" in told)}
        route.fulfill(json={**told, "gate": gate, "gateFailure": FAILURE}, headers=at_work)

    opened.page.route(SESSION, fail)
    page = shown(opened, session)
    card = page.get_by_role("region", name="Map")
    alert = card.get_by_role("alert").filter(has_text="Laps could not be found at your line")
    expect(alert).to_contain_text("Processing took longer than is allowed.")
    expect(alert).to_contain_text("PROCESSING_TIMEOUT")
    again = card.get_by_role("button", name="Give the line again")

    # It fails once more: the laps are still there, and so is the alert.
    with (
        page.expect_request(lambda request: request.method == "PUT") as asked,
        page.expect_response(lambda answer: answer.headers.get("at-work") == "False"),
    ):
        again.click()
    assert json.loads(asked.value.post_data or "") == gate
    expect(alert).to_be_visible()
    expect(page.get_by_role("table", name="Laps")).to_be_visible()

    failed.clear()
    again.click()
    expect(alert).to_have_count(0)
    expect(page.get_by_text("laps were found")).to_have_count(1)
    expect(page.get_by_role("button", name="Set start/finish line")).to_be_focused()


def test_another_line_keeps_the_sectors_unless_they_are_let_go(
    opened: Window, driver: Client, session: models.SessionDetail
) -> None:
    latitude, longitude = 52.0745, -1.0202
    sectors = [
        dict(zip(NAMES, (latitude, longitude + k / 1000, latitude, longitude + (k + 0.5) / 1000), strict=True))
        for k in range(2)
    ]
    driver.set_gate(session.session_id, models.Gate.model_validate({**LINE, "sectors": sectors}))
    driver.wait(session.session_id)
    page = shown(opened, session)
    told = sent_line(page)
    assert told["sectors"] == sectors
    assert {name: told[name] for name in NAMES} != LINE
    # What the page shows is what the service was told last.
    assert sent_line(page)["sectors"] == sectors
    assert sent_line(page, without="Keep the 2 sector lines")["sectors"] == []
    page.get_by_role("button", name="Set start/finish line").click()
    expect(page.get_by_label("sector line")).to_have_count(0)

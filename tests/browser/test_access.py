"""Who sees what, and how it can be used: tokens, other owners, keyboard, screen readers, phones, dark rooms."""

import json
import re
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import uuid4

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, Route, expect

from infra.local.client import Client
from infra.local.issuer import Issuer
from infra.local.stack import Stack
from telemetry.api import models
from tests.browser.conftest import OpenWindow
from tests.browser.drives import SAMPLES, laps

PHONE = {"viewport": {"width": 360, "height": 740}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}


@pytest.fixture
def session(client: Client, tmp_path: Path) -> models.SessionDetail:
    """A short drive with laps, ready."""
    return client.wait(client.send(laps(tmp_path / "evening drive.csv", minutes=4)).session_id)


def loaded(page: Page) -> None:
    """Waits until a session's page holds every fix."""
    expect(page.get_by_role("table", name="Laps")).to_be_visible()
    expect(page.get_by_text("Reading every fix")).to_have_count(0)


@pytest.mark.parametrize("whose", ["another's", "nobody's"])
def test_what_is_not_ones_own_is_not_there(open_window: OpenWindow, stack: Stack, client: Client, whose: str) -> None:
    other = uuid4() if whose == "nobody's" else client.send(SAMPLES / "sample_track.gpx").session_id
    opened = open_window(token=stack.token("somebody-else"))
    opened.expect_complaint("status of 404")
    page = opened.open(f"#/sessions/{other}")
    expect(page.get_by_role("heading", name="There is no such session")).to_be_visible()
    expect(page.get_by_role("alert")).to_contain_text("It was deleted, or it belongs to somebody else.")
    page.get_by_role("link", name="All sessions").click()
    expect(page.get_by_text("There is no session yet")).to_be_visible()


def test_a_token_that_has_expired_is_said(open_window: OpenWindow, stack: Stack, owner: str) -> None:
    opened = open_window(token=stack.token(owner, lifetime_s=-60))
    opened.expect_complaint("status of 401")
    page = opened.open()
    expect(page.get_by_role("alert")).to_contain_text("You are not signed in any more.")


def test_a_token_may_be_pasted(
    open_window: OpenWindow, stack: Stack, owner: str, session: models.SessionDetail
) -> None:
    page = open_window(configuration={"api": stack.api_url}).open()
    page.get_by_label("Access token").fill(f"Bearer {stack.token(owner)}")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("link", name=session.name)).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Access token")).to_be_visible()
    assert page.evaluate("Object.keys(sessionStorage)") == []


def test_signing_in_at_an_issuer(
    open_window: OpenWindow, stack: Stack, owner: str, session: models.SessionDetail
) -> None:
    """Authorization code with PKCE; the issuer is played at the page's own origin."""
    root = stack.page_url.rstrip("/")
    issuer = f"{root}/issuer"
    asked: dict[str, list[str]] = {}
    opened = open_window(
        configuration={
            "api": stack.api_url,
            "signIn": {"issuer": issuer, "clientId": "page", "scope": "openid telemetry"},
        }
    )

    def play(route: Route) -> None:
        path = urlsplit(route.request.url).path
        if path.endswith("/openid-configuration"):
            document = {
                "issuer": issuer,
                "authorization_endpoint": f"{issuer}/authorize",
                "token_endpoint": f"{issuer}/token",
                "jwks_uri": f"{issuer}/keys",
            }
            route.fulfill(json=document)
        elif path.endswith("/authorize"):
            asked.update(parse_qs(urlsplit(route.request.url).query))
            back = urlencode({"code": "the-code", "state": asked["state"][0]})
            route.fulfill(status=302, headers={"location": f"{asked['redirect_uri'][0]}?{back}"})
        else:
            sent = parse_qs(route.request.post_data or "")
            assert (sent["code"], sent["client_id"]) == (["the-code"], ["page"])
            assert len(sent["code_verifier"][0]) >= 43
            identity = Issuer(issuer).token(owner, audience="page", nonce=asked["nonce"][0])
            answer = {
                "access_token": stack.token(owner),
                "id_token": identity,
                "token_type": "bearer",
                "expires_in": 600,
            }
            route.fulfill(json=answer)

    opened.page.route(f"{issuer}/**", play)
    page = opened.open(f"#/sessions/{session.session_id}")
    page.get_by_role("button", name="Sign in").click()
    # Back where one wanted to go, with no code left in the address.
    expect(page.get_by_role("heading", name=session.name)).to_be_visible()
    assert page.url == f"{stack.page_url}#/sessions/{session.session_id}"
    assert asked["code_challenge_method"] == ["S256"]
    loaded(page)


def test_everything_by_keyboard(open_window: OpenWindow, client: Client, tmp_path: Path) -> None:
    page = open_window().open()
    expect(page.get_by_role("heading", name="Sessions")).to_be_visible()

    def tab_to(name: str, *, most: int = 40) -> None:
        for _ in range(most):
            page.keyboard.press("Tab")
            label = page.evaluate(
                """() => {
                  const one = document.activeElement;
                  return one.getAttribute('aria-label') ?? one.labels?.[0]?.textContent ?? one.textContent;
                }"""
            )
            if label.strip().startswith(name):
                return
        raise AssertionError(f"Tab never reached {name!r}")

    tab_to("Skip to content", most=1)
    page.keyboard.press("Enter")
    tab_to("Choose recordings", most=3)
    with page.expect_file_chooser() as choosing:
        page.keyboard.press("Space")
    file = laps(tmp_path / "morning.csv", minutes=4)
    choosing.value.set_files(file)
    expect(page.get_by_role("listitem", name=file.name)).to_contain_text("Ready", timeout=30_000)
    tab_to("Open morning.csv")
    page.keyboard.press("Enter")
    loaded(page)

    tab_to("Rename")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="Rename the session")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.press("Enter")  # the focus is back where it was
    page.keyboard.type("By keyboard")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="By keyboard")).to_be_visible()

    tab_to("Map. Arrow keys move it")
    scale = page.locator(".scale-bar").inner_text()
    page.keyboard.press("+")
    expect(page.locator(".scale-bar")).not_to_have_text(scale)
    tab_to("Position in the recording")
    slider = page.get_by_role("slider", name="Position in the recording")
    said = slider.get_attribute("aria-valuetext") or ""
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    expect(slider).not_to_have_attribute("aria-valuetext", said)
    tab_to("Compare lap 1")
    page.keyboard.press("Space")
    tab_to("Compare lap 2")
    page.keyboard.press("Space")
    expect(page.get_by_role("heading", name="Lap 2 against lap 1")).to_be_visible()
    assert client.sessions().sessions[0].name == "By keyboard"


def violations(page: Page) -> list[str]:
    """What axe-core has to say: rule, and where."""
    # Colours and sizes are as they stay.
    page.evaluate("() => Promise.all(document.getAnimations().map((one) => one.finished.catch(() => 0)))")
    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {node['target']} {node.get('failureSummary', '')}" for one in found for node in one["nodes"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(open_window: OpenWindow, client: Client, session: models.SessionDetail, scheme: str) -> None:
    client.wait(client.send(SAMPLES / "csv_no_time.csv").session_id)
    page = open_window(color_scheme=scheme).open()
    expect(page.get_by_role("table", name="Sessions").get_by_role("row")).to_have_count(3)
    assert violations(page) == []
    page.get_by_role("link", name="csv_no_time").click()
    expect(page.get_by_role("alert").filter(has_text="could not be used")).to_be_visible()
    assert violations(page) == []
    page.goto(f"{page.url.partition('#')[0]}#/sessions/{session.session_id}")
    loaded(page)
    for number in (1, 2):
        page.get_by_label(f"Compare lap {number}", exact=True).check()
    expect(page.get_by_role("heading", name="Lap 2 against lap 1")).to_be_visible()
    assert violations(page) == []
    page.get_by_role("button", name="Delete").click()
    assert violations(page) == []


def test_a_phone_scrolls_one_way_only(open_window: OpenWindow, client: Client, session: models.SessionDetail) -> None:
    client.rename(session.session_id, "A long name without any space in it, that is: " + "x" * 60)
    opened = open_window(**PHONE)
    page = opened.open()

    def fits() -> None:
        wide = page.evaluate(
            """() => {
              const root = document.documentElement;
              if (root.scrollWidth <= root.clientWidth) return [];
              const beyond = (one) => one.getBoundingClientRect().right > innerWidth + 1;
              return [...document.querySelectorAll('body *')].filter(beyond).map((one) => one.outerHTML.slice(0, 90));
            }"""
        )
        assert wide == []

    expect(page.get_by_role("table", name="Sessions")).to_be_visible()
    fits()
    page.get_by_role("link", name=re.compile("^A long name")).tap()
    loaded(page)
    for number in (1, 2):
        page.get_by_label(f"Compare lap {number}", exact=True).tap()
    expect(page.get_by_role("heading", name="Lap 2 against lap 1")).to_be_visible()
    fits()
    opened.expect_ink(".map-stage canvas", more_than=500)


def test_dark_is_dark(open_window: OpenWindow, session: models.SessionDetail) -> None:
    opened = open_window(color_scheme="dark")
    page = opened.open(f"#/sessions/{session.session_id}")
    loaded(page)
    colours = page.evaluate(
        "() => [getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    )
    ground, text = (sum(int(part) for part in re.findall(r"\d+", colour)[:3]) for colour in colours)
    assert ground < 150
    assert text > 500
    opened.expect_ink(".map-stage canvas", more_than=500)


def test_without_a_configuration_the_page_says_so(open_window: OpenWindow) -> None:
    opened = open_window(real=True)
    opened.expect_complaint("status of 404")
    opened.page.route("**/config.json", lambda route: route.fulfill(status=404, body=json.dumps({})))
    page = opened.open()
    expect(page.get_by_role("heading", name="The page could not start")).to_be_visible()

"""One session looked at: track, charts, laps, two laps over one another, quality, downloads."""

import json
import math
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet
import pytest
from playwright.sync_api import Page, expect

from infra.local.client import Client
from infra.local.stack import Stack
from infra.web import PAGE
from telemetry.api import models
from tests.browser.conftest import OpenWindow
from tests.browser.drives import laps
from tests.browser.window import Request, Window, wait_until

ICON = PAGE / "icon.svg"
MAP = ".map-stage canvas >> nth=0"
MARKS = ".map-stage canvas >> nth=1"


@pytest.fixture(scope="module")
def session(driver: Client, tmp_path_factory: pytest.TempPathFactory) -> models.SessionDetail:
    """Nine minutes of laps, ready."""
    file = laps(tmp_path_factory.mktemp("drive") / "evening.csv")
    return driver.wait(driver.send(file).session_id)


@pytest.fixture
def opened(open_window: OpenWindow, driver_token: str, session: models.SessionDetail) -> Window:
    """The session's page, with every fix read."""
    one = open_window(token=driver_token, viewport={"width": 1280, "height": 1400})
    page = one.open(f"#/sessions/{session.session_id}")
    expect(page.get_by_role("heading", name=session.name)).to_be_visible()
    expect(page.get_by_role("table", name="Laps")).to_be_visible()
    expect(page.get_by_text("Reading every fix")).to_have_count(0)
    return one


def lap_time(milliseconds: float) -> str:
    """As a driver writes it."""
    minutes, rest = divmod(round(milliseconds), 60_000)
    return f"{minutes}:{rest // 1000:02}.{rest % 1000:03}"


def now(page: Page) -> str:
    """What the cursor's line says."""
    return page.get_by_role("region", name="Charts").locator(".now").inner_text()


def test_track_and_charts_are_drawn(opened: Window) -> None:
    page = opened.page
    expect(page.get_by_role("img", name=re.compile("Map of the track, .* coloured by speed"))).to_be_visible()
    opened.expect_ink(MAP, more_than=2000)
    for chart in ("Speed", "Altitude"):
        expect(page.get_by_role("figure", name=chart)).to_be_visible()
    opened.expect_ink(".chart .plot canvas >> nth=0", more_than=1000)
    opened.expect_ink(".chart .plot canvas >> nth=1", more_than=1000)
    page.get_by_role("button", name="Remove Altitude").click()
    expect(page.get_by_role("figure", name="Altitude")).to_have_count(0)
    page.get_by_label("Add a channel").select_option("Altitude (ft)")
    expect(page.get_by_role("figure", name="Altitude")).to_contain_text("ft, mean")


def test_offered_are_the_channels_with_values(
    opened: Window, open_window: OpenWindow, client: Client, tmp_path: Path
) -> None:
    """The file's footer knows which; the others are columns all the same."""
    expect(opened.page.get_by_label("Add a channel")).to_be_hidden()
    plain = laps(tmp_path / "plain.csv", minutes=1).read_text("utf-8").splitlines()
    added = ["satellites,hdop,pulse", *("" if k % 3 else f"{7 + k % 5}" for k in range(len(plain) - 1))]
    file = tmp_path / "seen.csv"
    file.write_text(
        "\n".join(f"{row},{more}{',,' if k else ''}" for k, (row, more) in enumerate(zip(plain, added, strict=True)))
    )
    seen = client.wait(client.send(file).session_id)
    page = open_window().open(f"#/sessions/{seen.session_id}")
    choice = page.get_by_label("Add a channel")
    expect(choice.get_by_role("option")).to_have_text(["Add a channel", "Satellites"])
    choice.select_option("Satellites")
    expect(page.get_by_role("figure", name="Satellites")).to_contain_text("7 to 11, mean 9")
    expect(choice).to_be_hidden()


def test_laps_with_the_best_and_what_the_others_lose(
    opened: Window, driver: Client, session: models.SessionDetail
) -> None:
    found = driver.laps(session.session_id)
    timed = [lap for lap in found if lap.kind == "timed"]
    best = min(timed, key=lambda lap: lap.duration_ms)
    assert len(timed) >= 5
    table = opened.page.get_by_role("table", name="Laps")
    for lap in timed:
        row = table.get_by_role("row").filter(has=opened.page.get_by_label(f"Compare lap {lap.lap_number}", exact=True))
        expect(row).to_contain_text(lap_time(lap.duration_ms))
        if lap is best:
            expect(row).to_contain_text("Best")
        else:
            expect(row).to_contain_text(f"+{(lap.duration_ms - best.duration_ms) / 1000:.3f}")
    expect(table.get_by_text("Out lap")).to_be_visible()
    opened.page.get_by_label("Order").select_option("Fastest first")
    expect(table.get_by_role("row").nth(1)).to_contain_text(lap_time(best.duration_ms))


def test_two_laps_over_one_another(opened: Window, driver: Client, session: models.SessionDetail) -> None:
    page = opened.page
    first, second = [lap for lap in driver.laps(session.session_id) if lap.kind == "timed"][:2]
    alone = opened.ink(MAP)
    for lap in (first, second):
        page.get_by_label(f"Compare lap {lap.lap_number}", exact=True).check()
    title = f"Lap {second.lap_number} against lap {first.lap_number}"
    card = page.get_by_role("region", name=title)
    expect(card).to_be_visible()
    gap = (second.duration_ms - first.duration_ms) / 1000
    said = card.get_by_text(f"Lap {second.lap_number} took")
    expect(said).to_be_visible()
    told = re.search(r"took (\d+\.\d+) s (less|more) than", said.inner_text())
    assert told is not None
    assert float(told[1]) * (1 if told[2] == "more" else -1) == pytest.approx(gap, abs=0.002)
    for plot in ("Speed of both laps", "Time difference"):
        expect(card.get_by_role("figure", name=plot)).to_be_visible()
    expect(card.locator("canvas")).to_have_count(2)
    opened.expect_ink("section[aria-labelledby=compare-title] canvas >> nth=0", more_than=1000)
    wait_until(lambda: opened.ink(MAP) != alone)
    # Both places on the map move with one slider.
    slider = card.get_by_role("slider", name="Position in the lap")
    before = slider.get_attribute("aria-valuetext")
    slider.press("PageUp")
    expect(slider).not_to_have_attribute("aria-valuetext", before or "")
    page.get_by_label(f"Compare lap {first.lap_number}", exact=True).uncheck()
    expect(card).to_have_count(0)


def test_the_cursor_ties_charts_and_map(opened: Window) -> None:
    page = opened.page
    plot = page.get_by_role("figure", name="Speed").locator(".u-over")
    slider = page.get_by_role("slider", name="Position in the recording")
    plot.hover(position={"x": 200, "y": 60})
    expect(page.get_by_text("after the start")).to_be_visible()
    at_200 = slider.get_attribute("aria-valuetext") or ""
    assert re.search(r"Speed \d+\.\d (mph|km/h)", at_200)
    opened.expect_ink(MARKS, more_than=50)
    plot.hover(position={"x": 300, "y": 60})
    expect(slider).not_to_have_attribute("aria-valuetext", at_200)
    at_300 = slider.get_attribute("aria-valuetext") or ""

    # And back: the pointer over the drawn track, at a place far from the cursor.
    x, y = page.locator(MAP).evaluate(
        """(canvas) => {
          const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d');
          copy.drawImage(canvas, 0, 0);
          const {data} = copy.getImageData(0, 0, canvas.width, canvas.height);
          for (let i = 3; i < data.length; i += 4) {
            if (data[i] === 255) return [(i >> 2) % canvas.width, Math.floor((i >> 2) / canvas.width)];
          }
        }"""
    )
    page.locator(".map-stage").hover(position={"x": x, "y": y + 1})
    expect(slider).not_to_have_attribute("aria-valuetext", at_300)


def test_zoom_by_button_drag_and_lap(opened: Window, driver: Client, session: models.SessionDetail) -> None:
    page = opened.page
    shown = page.locator(".range")
    expect(shown).to_contain_text("9 min")
    zoom = page.get_by_role("group", name="Zoom the charts")
    zoom.get_by_role("button", name="Zoom in").click()
    expect(shown).to_contain_text("4 min 30 s")
    zoom.get_by_role("button", name="Whole recording").click()
    expect(shown).to_contain_text("9 min")

    plot = page.get_by_role("figure", name="Speed").locator(".u-over")
    box = plot.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 60, steps=5)
    page.mouse.up()
    expect(shown).to_contain_text(re.compile("1 min 4[5-9] s"))
    plot.dblclick(position={"x": 100, "y": 50})
    expect(shown).to_contain_text("9 min")

    lap = next(lap for lap in driver.laps(session.session_id) if lap.kind == "timed")
    page.get_by_role("button", name=f"Show lap {lap.lap_number} on map and charts", exact=True).click()
    expect(shown).to_contain_text("1 min")
    page.get_by_role("region", name="Charts").get_by_text("Distance", exact=True).click()
    expect(shown).to_contain_text(re.compile(r"mi – .* mi"))


def test_the_first_picture_needs_no_parquet(
    open_window: OpenWindow, stack: Stack, driver_token: str, session: models.SessionDetail
) -> None:
    one = open_window(token=driver_token)
    one.expect_complaint("net::ERR_FAILED")
    one.page.route(f"{stack.s3_url}/**", lambda route: route.abort())
    page = one.open(f"#/sessions/{session.session_id}")
    expect(page.get_by_text("a thinned track is shown")).to_be_visible()
    one.expect_ink(MAP, more_than=1000)
    one.expect_ink(".chart .plot canvas", more_than=1000)
    expect(page.get_by_role("table", name="Laps")).to_be_visible()


def test_on_a_phone_the_buttons_lie_beside_the_track(
    open_window: OpenWindow, driver_token: str, session: models.SessionDetail
) -> None:
    one = open_window(token=driver_token, viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
    page = one.open(f"#/sessions/{session.session_id}")
    expect(page.get_by_text("Reading every fix")).to_have_count(0)
    box = page.get_by_role("group", name="Zoom the map").bounding_box()
    stage = page.locator(".map-stage").bounding_box()
    assert box is not None
    assert stage is not None
    rightmost: int = page.locator(MAP).evaluate(
        """(canvas) => {
          const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d');
          copy.drawImage(canvas, 0, 0);
          const {data} = copy.getImageData(0, 0, canvas.width, canvas.height);
          let most = 0;
          for (let i = 3; i < data.length; i += 4) if (data[i]) most = Math.max(most, (i >> 2) % canvas.width);
          return most / devicePixelRatio;
        }"""
    )
    assert stage["width"] / 2 < rightmost < box["x"] - stage["x"]


def test_a_comparison_below_a_long_table_is_in_reach(
    open_window: OpenWindow, driver_token: str, session: models.SessionDetail
) -> None:
    one = open_window(token=driver_token, viewport={"width": 390, "height": 420}, is_mobile=True, has_touch=True)
    page = one.open(f"#/sessions/{session.session_id}")
    for number in (2, 3):
        page.get_by_label(f"Compare lap {number}", exact=True).check()
    card = page.get_by_role("region", name="Lap 3 against lap 2")
    expect(card).not_to_be_in_viewport()
    expect(page.locator("#announcer")).to_contain_text("Lap 3 against lap 2, below the laps")
    show = page.get_by_role("region", name="Laps").get_by_role("button", name="Show", exact=True)
    expect(show).to_be_in_viewport(ratio=1)
    show.click()
    expect(card).to_be_in_viewport()
    expect(card).to_be_focused()
    page.get_by_label("Compare lap 2", exact=True).uncheck()
    expect(show).to_be_hidden()


def test_a_single_fix_is_a_dot_between_whole_labels(open_window: OpenWindow, client: Client, tmp_path: Path) -> None:
    """On a phone, where the axis would have a label at its very end."""
    file = tmp_path / "one.csv"
    file.write_text("timestamp,latitude,longitude,altitude,speed\n2026-05-16T09:30:00Z,52.07,-1.015,100,5\n")
    session = client.wait(client.send(file).session_id)
    page = open_window(viewport={"width": 390, "height": 844}).open(f"#/sessions/{session.session_id}")
    expect(page.get_by_text("The one row could be used")).to_be_visible()
    expect(page.get_by_text("Parquet, 1 row,")).to_be_visible()
    expect(page.get_by_text("Reading every fix")).to_have_count(0)
    dot = """(canvas) => {
      const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d');
      copy.drawImage(canvas, 0, 0);
      const {data} = copy.getImageData(0, 0, canvas.width, canvas.height);
      const line = [0x1d, 0x5f, 0xbf];
      let found = 0;
      for (let i = 0; i < data.length; i += 4) found += line.every((value, k) => data[i + k] === value);
      return found;
    }"""
    chart = page.locator(".chart .plot canvas").first
    wait_until(lambda: chart.evaluate(dot) > 5)
    cut_off = """(canvas) => {
      const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d');
      copy.drawImage(canvas, 0, 0);
      const {data} = copy.getImageData(canvas.width - 1, canvas.height - 26, 1, 26);
      return data.filter((value, k) => k % 4 === 3 && value > 0).length;
    }"""
    assert chart.evaluate(cut_off) == 0


def test_jumps_do_not_flatten_a_speed_out_of_positions(open_window: OpenWindow, client: Client, tmp_path: Path) -> None:
    """From 32 to 40 m/s and back, and one leap of some 2 km in a second."""
    rows, latitude = [], 52.0
    for second in range(600):
        latitude += (36 + 4 * math.sin(second / 20) + 2000 * (second == 300)) / 111_200
        rows.append(f"2026-05-16T09:{30 + second // 60}:{second % 60:02}Z,{latitude:.7f},-1.015")
    file = tmp_path / "leap.csv"
    file.write_text("\n".join(["timestamp,latitude,longitude", *rows]))
    session = client.wait(client.send(file).session_id)
    page = open_window(locale="en-IE").open(f"#/sessions/{session.session_id}")
    speed = page.get_by_role("figure", name="Speed")
    expect(speed).to_contain_text(re.compile(r"to \d,\d+\.\d km/h, mean .* cut at 1[56]\d km/h"))


def test_a_map_beneath_is_fetched_only_when_it_is_wanted(
    open_window: OpenWindow, stack: Stack, driver_token: str, session: models.SessionDetail
) -> None:
    tiles = {"url": f"{stack.page_url}tiles/{{z}}/{{x}}/{{y}}.png", "attribution": "© map makers"}
    one = open_window(configuration={"api": stack.api_url, "token": driver_token, "tiles": tiles})
    one.page.route("**/tiles/**", lambda route: route.fulfill(path=ICON, content_type="image/svg+xml"))
    page = one.open(f"#/sessions/{session.session_id}")
    expect(page.get_by_text("Reading every fix")).to_have_count(0)
    assert [asked.path for asked in one.requests if "/tiles/" in asked.path] == []
    page.get_by_label("Map beneath").check()
    wait_until(lambda: any(re.match(r"/tiles/\d+/\d+/\d+\.png", asked.path) for asked in told(one)))
    expect(page.get_by_text("© map makers")).to_be_visible()


def told(one: Window) -> list[Request]:
    """The requests so far, after what the browser had to tell meanwhile."""
    one.page.evaluate("0")
    return one.requests


def test_quality_as_plain_facts(opened: Window) -> None:
    card = opened.page.get_by_role("region", name="Quality")
    for fact in ("All 5,400 rows could be used", "Recorded steadily 10 times a second", "No gaps"):
        expect(card).to_contain_text(fact)


def test_an_unsteady_rate_is_noted_in_units_that_fit(open_window: OpenWindow, client: Client, tmp_path: Path) -> None:
    start = datetime(2026, 5, 16, 9, 30, tzinfo=UTC)
    times = [start + timedelta(seconds=100 * k + (40 if k % 2 else -30)) for k in range(40)]
    file = tmp_path / "now and then.csv"
    rows = [f"{time.isoformat()},{52 + k / 1000},-1.015" for k, time in enumerate(times)]
    file.write_text("\n".join(["timestamp,latitude,longitude", *rows]))
    session = client.wait(client.send(file).session_id)
    page = open_window().open(f"#/sessions/{session.session_id}")
    said = page.get_by_role("region", name="Quality").get_by_role("listitem").filter(has_text="Recorded")
    words = r"Note: Recorded unsteadily, about every (\d+ s|\d min \d+ s), give or take (\d+ s|1 min \d+ s)"
    expect(said).to_have_text(re.compile(words))


def test_downloads_open_elsewhere(opened: Window, session: models.SessionDetail, tmp_path: Path) -> None:
    page = opened.page
    files = {}
    for name in ("Position", "Track for a map", "Track in full"):
        with page.expect_download() as begun:
            page.get_by_role("button", name=f"Download {name}", exact=True).click()
        files[name] = tmp_path / begun.value.suggested_filename
        begun.value.save_as(files[name])
    table = pyarrow.parquet.read_table(files["Position"])
    assert (table.num_rows, files["Position"].suffix) == (5400, ".parquet")
    for name in ("Track for a map", "Track in full"):
        document = json.loads(files[name].read_text("utf-8"))
        assert (document["type"], files[name].suffix) == ("FeatureCollection", ".geojson")
        lines = [feature["geometry"] for feature in document["features"]]
        assert {line["type"] for line in lines} == {"LineString"}
        longitude, latitude, *_ = lines[0]["coordinates"][0]
        assert (longitude, latitude) == pytest.approx((-1.01, 52.07), abs=0.01)
    assert sum(len(line["coordinates"]) for line in lines) == 5400

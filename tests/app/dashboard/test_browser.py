"""Every page in a real browser, against a real Streamlit process: in each state, width and theme."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from sqlalchemy import URL

from coinwatch.times import MINUTE_US, SECOND_US, now_us
from coinwatch.windows import Window
from tests.app.dashboard import pipeline_rows
from tests.app.dashboard.dashboard_server import serve_dashboard, trading
from tests.app.dashboard.stock import BTC_PRICES, PRICES, Stock, unreachable
from tests.app.dashboard.viewer import AXE, LOOKS, PATIENCE_S, Look, Viewer, chromium
from tests.waiting import eventually_sync

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

STALE_S = 400

PAGES = {
    "overview": ("", ".cw-card .cw-price b"),
    "chart": ("chart?symbol=btcusdt&exchange=kraken&overlays=bb&overlays=rsi", ".echarts-container canvas"),
    "averages": ("averages?symbol=btcusdt", ".cw-parts td"),
    "fundamentals": ("fundamentals", "[data-testid='stDataFrame']"),
    "sentiment": ("sentiment?base=BTC", ".cw-news li"),
    "alerts": ("alerts", ".cw-rule"),
    "data": ("data", ".echarts-container canvas"),
}
"""The address of each page, and what is on it as soon as it is drawn with everything it needs."""

VIEWS = {
    "compare": ("chart?symbol=btcusdt&compare=kraken:ETH-USDT", ".echarts-container canvas"),
    "asset": ("fundamentals?asset=bitcoin", ".cw-tile b"),
    "streams": ("data?view=streams", ".cw-pill"),
    "interruptions": ("data?view=interruptions", ".cw-empty"),
    "runs": ("data?view=runs", ".cw-empty"),
    "errors": ("data?view=errors", ".cw-tile b"),
}
"""What else there is on some of them."""


class State(StrEnum):
    FULL = "full"
    EMPTY = "empty"
    STALE = "stale"
    DOWN = "down"


@contextmanager
def dashboard(database: URL, folder: Path, state: State) -> Iterator[str]:
    """The address of a dashboard whose warehouse is in that state; for ``DOWN`` it is full, and up."""
    with ExitStack() as stack:
        stock = Stock.open(database, now_us())
        stack.callback(stock.close)
        if state is not State.EMPTY:
            age_s = STALE_S if state is State.STALE else 0
            ids = stock.day(PRICES, age_s=age_s)
            end_us = stock.now_us // SECOND_US * SECOND_US - age_s * SECOND_US
            later_us = 0 if age_s else 30 * MINUTE_US
            stock.averages("BTC-USDT", BTC_PRICES, Window(end_us - 10 * MINUTE_US, end_us + later_us))
            pipeline_rows.assets(stock)
            pipeline_rows.sentiment(stock)
            pipeline_rows.alerts(stock)
            if not age_s:
                stack.enter_context(trading(stock, PRICES, ids))
        yield stack.enter_context(serve_dashboard(database, PRICES, folder))


@pytest.fixture(scope="module")
def _chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with chromium(tmp_path_factory.mktemp("browser")) as driver:
        yield driver


@pytest.fixture
def browser(_chromium: webdriver.Chrome) -> Iterator[webdriver.Chrome]:
    yield _chromium
    leave(_chromium)


def leave(browser: webdriver.Chrome) -> None:
    """Look away, and clear the log of the console."""
    browser.get("about:blank")
    browser.get_log("browser")  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module")
def full(module_database: URL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A dashboard that has everything, with trades arriving; tests of this module share it."""
    with dashboard(module_database, tmp_path_factory.mktemp("dashboard"), State.FULL) as root:
        yield root


def look_at(viewer: Viewer, page: str, state: State, database: URL) -> list[str]:
    """What is wrong with a page in this state, each with where it was seen."""
    address, drawn = (PAGES | VIEWS)[page]
    viewer.visit(address)
    if state is State.EMPTY:
        assert "coinwatch" in viewer.find(".cw-empty").text  # what to do
    else:
        viewer.find(drawn)
    faults: list[str] = []

    def examine(name: str) -> None:
        viewer.settle()
        faults.extend(f"{page}, {name}, {viewer.look}: {fault}" for fault in viewer.faults())
        viewer.picture(f"{page}-{name}")

    if state is State.STALE:
        banner = viewer.find(".cw-banner", "no heartbeat of the ingest daemon for").text
        assert re.search(r"daemon for \d+ min\.", banner)
    if state is State.DOWN:
        with unreachable(database):
            viewer.find(".cw-banner", "Showing the last values read")
            viewer.find(drawn)
            examine(state)
        viewer.gone(".cw-banner")
        viewer.find(drawn)
    else:
        examine(state)
        if state is State.FULL:
            viewer.gone(".cw-banner")
    return faults


@pytest.mark.parametrize(("page", "look"), [("fundamentals", LOOKS[0]), ("averages", LOOKS[1])])
def test_a_page_has_no_faults(
    browser: webdriver.Chrome, full: str, module_database: URL, page: str, look: Look
) -> None:
    assert look_at(Viewer(browser, full, look), page, State.FULL, module_database) == []


def test_a_database_that_goes_away_and_comes_back(
    browser: webdriver.Chrome, full: str, module_database: URL
) -> None:
    faults = look_at(Viewer(browser, full, LOOKS[1]), "overview", State.DOWN, module_database)
    assert faults == []


@pytest.mark.proof
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("state", State)
def test_every_page_in_every_state_width_and_theme(
    browser: webdriver.Chrome, database: URL, tmp_path: Path, state: State
) -> None:
    pages = [*PAGES, *VIEWS] if state is State.FULL else [*PAGES]
    faults = []
    with dashboard(database, tmp_path, state) as root:
        for look in LOOKS:
            for page in pages:
                faults += look_at(Viewer(browser, root, look), page, state, database)
        leave(browser)
    assert faults == []


def test_prices_move_by_themselves(browser: webdriver.Chrome, full: str) -> None:
    viewer = Viewer(browser, full, LOOKS[0])
    viewer.visit("")
    viewer.changes(".cw-card .cw-price b")
    assert "Overview" in browser.title
    viewer.visit("chart?symbol=BTC-USDT&exchange=kraken&range=1d&interval=5m")
    viewer.changes(".cw-quote .cw-price b")
    assert "BTC-USDT on kraken" in browser.title
    _zoom_outlives_updates(viewer)


def test_a_click_on_the_chart_starts_an_alert_and_a_double_click_zooms_in(
    browser: webdriver.Chrome, full: str
) -> None:
    viewer = Viewer(browser, full, LOOKS[2])
    viewer.visit("chart?symbol=BTC-USDT&exchange=binance&range=1d&interval=auto")
    box = viewer.find(".echarts-container canvas").rect
    place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + 150, "button": "left"}

    def click(count: int = 1) -> None:
        for kind in ("mousePressed", "mouseReleased"):
            browser.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": kind, "clickCount": count, **place})

    def offered() -> str | None:
        click()
        links = browser.find_elements(By.CSS_SELECTOR, "a.cw-offer")
        return links[0].get_attribute("href") if links else None

    link = eventually_sync(offered, timeout_s=PATIENCE_S) or ""
    assert "alerts?symbol=binance%3ABTC-USDT&price=" in link
    click()
    click(2)
    eventually_sync(lambda: "until=" in browser.current_url, timeout_s=PATIENCE_S)
    assert "range=6h" in browser.current_url

    browser.get(link)
    price = float(link.partition("price=")[2])
    eventually_sync(
        lambda: any(
            float(field.get_attribute("value") or 0) == price
            for field in browser.find_elements(By.CSS_SELECTOR, "[data-testid='stNumberInput'] input")
        ),
        timeout_s=PATIENCE_S,
    )


@pytest.mark.skipif(
    not AXE.exists(), reason="no axe-core: npm install --no-save --no-package-lock --prefix . axe-core@4"
)
def test_a_fault_of_accessibility_would_be_found(browser: webdriver.Chrome) -> None:
    browser.get("data:text/html,<html lang=en><title>x</title><main><h1>x</h1><img src=''></main>")
    assert any(fault.startswith("image-alt") for fault in Viewer(browser, "", LOOKS[0]).inaccessible())


def _zoom_outlives_updates(viewer: Viewer) -> None:
    browser = viewer.driver
    box = viewer.find(".echarts-container canvas").rect

    def mouse(kind: str, x: float, **more: float) -> None:
        browser.execute_cdp_cmd(
            "Input.dispatchMouseEvent", {"type": kind, "x": x, "y": box["y"] + 150, **more}
        )

    def bucket_at(share: float) -> datetime:
        x = box["x"] + box["width"] * share

        def bucket_time() -> str:
            mouse("mouseMoved", x - 2)
            mouse("mouseMoved", x)
            spans = browser.find_elements(By.CSS_SELECTOR, ".echarts-container span")
            return next(span.text for span in spans if "UTC" in span.text)

        return datetime.strptime(eventually_sync(bucket_time, PATIENCE_S), "%Y-%m-%d %H:%M UTC").replace(
            tzinfo=UTC
        )

    whole = bucket_at(0.1)
    for _ in range(4):
        mouse("mouseWheel", box["x"] + box["width"] * 0.5, deltaX=0, deltaY=-240)
    eventually_sync(lambda: bucket_at(0.1) - whole > timedelta(hours=2), PATIENCE_S)
    zoomed = bucket_at(0.1)
    for _ in range(3):
        viewer.changes(".cw-quote .cw-price b")
    # A bucket may have begun meanwhile.
    assert abs(bucket_at(0.1) - zoomed) <= timedelta(minutes=10)

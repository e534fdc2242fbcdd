"""Every page in a real browser, against a real Streamlit process, while trades arrive."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from sqlalchemy import URL
from sqlalchemy.exc import OperationalError

from coinwatch.times import MINUTE_US, SECOND_US, now_us
from coinwatch.windows import Window
from tests.app.dashboard import told
from tests.app.dashboard.stock import Stock, unreachable
from tests.waiting import eventually_sync

pytestmark = pytest.mark.browser

PROJECT = Path(__file__).resolve().parents[3]
OUTPUT = PROJECT / "test-output"
AXE = PROJECT / "node_modules/axe-core/axe.min.js"
PRICES = {
    "binance:BTC-USDT": 67_000.0,
    "coinbase:BTC-USDT": 67_010.0,
    "kraken:BTC-USDT": 67_020.0,
    "binance:ETH-USDT": 3_200.0,
    "kraken:ETH-USDT": 3_201.0,
}


@pytest.fixture
def dashboard(database: URL, tmp_path: Path) -> Iterator[str]:
    """The address of a dashboard on a database where every market trades a few times a second."""
    stock = Stock.open(database, now_us())
    ids = stock.day(PRICES)
    second_us = stock.now_us // SECOND_US * SECOND_US
    bitcoin = {name.partition(":")[0]: price for name, price in PRICES.items() if "BTC" in name}
    stock.averages("BTC-USDT", bitcoin, Window(second_us - 5 * MINUTE_US, second_us + 5 * MINUTE_US))
    told.assets(stock)
    told.sentiment(stock)
    done = threading.Event()
    trading = threading.Thread(target=_trade, args=(stock, ids, done))
    trading.start()
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("COINWATCH_")} | {
        "COINWATCH_DATABASE_URL": database.set(drivername="postgresql").render_as_string(hide_password=False),
        "COINWATCH_MARKETS": ",".join(PRICES),
    }
    command = [sys.executable, "-m", "streamlit", "run", "app/dashboard/main.py"]
    with (tmp_path / "streamlit.log").open("w+") as log:
        process = subprocess.Popen(
            [*command, "--server.address", "127.0.0.1", "--server.port", str(port)],
            cwd=PROJECT,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            eventually_sync(lambda: _healthy(port), timeout_s=90)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(10)
            done.set()
            trading.join()
            stock.close()
            log.seek(0)
            said = log.read()
    assert "Traceback" not in said, said


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    options = Options()
    options.binary_location = "/usr/bin/chromium"
    for flag in (
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        f"--user-data-dir={tmp_path / 'browser'}",
    ):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    yield driver
    driver.quit()


def _trade(stock: Stock, ids: dict[str, int], done: threading.Event) -> None:
    step = 0
    while not done.wait(0.3):
        step += 1
        for name, market_id in ids.items():
            with suppress(OperationalError):  # a test takes the database away
                stock.ticks(market_id, [(now_us(), PRICES[name] * (1.002 + step % 7 / 1e4), 0.5)])


def _healthy(port: int) -> bool:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1) as answer:
        return bool(answer.status == 200)


class Viewer:
    """A person with a browser of some width and theme."""

    def __init__(self, driver: webdriver.Chrome, root: str, width: int, theme: str) -> None:
        self.driver, self.root, self.name = driver, root, f"{width}-{theme}"
        driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": theme}]}
        )
        driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500},
        )

    def visit(self, path: str) -> None:
        self.driver.get(f"{self.root}/{path}")

    def find(self, selector: str, text: str = "") -> WebElement:
        """The first such element that holds ``text``, as soon as it is there."""
        return eventually_sync(
            lambda: next(
                one for one in self.driver.find_elements(By.CSS_SELECTOR, selector) if text in one.text
            ),
            timeout_s=90,
        )

    def text(self, selector: str) -> str:
        return eventually_sync(lambda: self.driver.find_element(By.CSS_SELECTOR, selector).text, timeout_s=90)

    def changes(self, selector: str) -> None:
        """Wait until what the element says has changed by itself."""
        before = self.text(selector)
        eventually_sync(lambda: self.text(selector) != before, timeout_s=90)

    def gone(self, selector: str) -> None:
        eventually_sync(lambda: not self.driver.find_elements(By.CSS_SELECTOR, selector))

    def settle(self) -> None:
        """Wait until Streamlit has drawn everything of this run."""
        eventually_sync(
            lambda: (
                not self.driver.find_elements(
                    By.CSS_SELECTOR,
                    "[data-testid='stSkeleton'], [data-testid='stAppViewContainer'][aria-busy='true']",
                )
            ),
            timeout_s=90,
        )

    def is_accessible(self) -> None:
        """No serious fault by axe-core, where `npm install axe-core` put it."""
        if not AXE.exists():
            return
        self.driver.execute_script(AXE.read_text(encoding="utf-8"))
        faults = self.driver.execute_async_script(
            """
            const tell = arguments[0];
            axe.run(document, {resultTypes: ['violations']}).then(found => tell(found.violations
                .filter(fault => ['serious', 'critical'].includes(fault.impact))
                .map(fault => [fault.id, fault.nodes[0].html.slice(0, 200)])));
            """
        )
        assert faults == []

    def picture(self, page: str) -> None:
        OUTPUT.mkdir(exist_ok=True)
        self.driver.save_screenshot(str(OUTPUT / f"dashboard-{page}-{self.name}.png"))

    def is_content(self) -> None:
        """No error element, no error in the console, nothing wider than the window."""
        assert not self.driver.find_elements(By.CSS_SELECTOR, "[data-testid='stException']")
        assert "could not be drawn" not in self.driver.find_element(By.TAG_NAME, "body").text
        # Streamlit looks for its server below the page's own path first.
        told = [
            entry["message"]
            for entry in self.driver.get_log("browser")  # type: ignore[no-untyped-call]
            if entry["level"] == "SEVERE" and "/_stcore/" not in entry["message"]
        ]
        assert told == []
        main = "document.querySelector('.stMain')"
        assert self.driver.execute_script(f"return {main}.scrollWidth <= {main}.clientWidth")


@pytest.mark.parametrize(("width", "theme"), [(1440, "dark"), (390, "light")])
def test_every_page_lives(browser: webdriver.Chrome, dashboard: str, width: int, theme: str) -> None:
    viewer = Viewer(browser, dashboard, width, theme)

    viewer.visit("")
    viewer.changes(".cw-card .cw-price b")
    assert "Overview" in browser.title
    viewer.picture("overview")
    viewer.is_content()

    viewer.visit("chart?symbol=btcusdt&exchange=kraken&overlays=sma20")
    viewer.find(".echarts-container canvas")
    viewer.changes(".cw-quote .cw-price b")
    assert "BTC-USDT on kraken" in browser.title
    viewer.picture("chart")
    viewer.is_content()

    viewer.visit("alerts?symbol=ethusdt")
    viewer.find("input[placeholder='Optional']").send_keys("<b>sell</b> half", Keys.TAB)
    viewer.find("button", "Create alert").click()
    rule = viewer.find(".cw-rule")
    assert "ETH-USDT at or above" in rule.text
    assert "<b>sell</b> half" in rule.text
    viewer.picture("alerts")
    viewer.is_content()
    viewer.find("button", "Delete").click()
    viewer.gone(".cw-rule")
    viewer.is_content()


PAGES = {
    "": ".cw-card .cw-price b",
    "chart?symbol=btcusdt&exchange=kraken&overlays=bb&overlays=rsi": ".echarts-container canvas",
    "chart?symbol=btcusdt&compare=kraken:ETH-USDT": ".echarts-container canvas",
    "averages?symbol=btcusdt&range=5m": ".cw-parts td",
    "fundamentals": "[data-testid='stDataFrame']",
    "fundamentals?asset=bitcoin": ".cw-tile b",
    "sentiment?base=BTC": ".cw-news li",
    "alerts": "button",
    "data": ".echarts-container canvas",
    "data?view=streams": ".cw-pill",
    "data?view=interruptions": ".cw-empty",
    "data?view=runs": ".cw-empty",
    "data?view=errors": ".cw-tile b",
}
"""Each page and view, and what it shows when it is drawn."""


@pytest.mark.parametrize(("width", "theme"), [(1920, "light"), (390, "dark")])
def test_every_view_fits_and_is_accessible(
    browser: webdriver.Chrome, dashboard: str, width: int, theme: str
) -> None:
    viewer = Viewer(browser, dashboard, width, theme)
    for address, drawn in PAGES.items():
        viewer.visit(address)
        viewer.find(drawn)
        viewer.settle()
        viewer.is_content()
        viewer.is_accessible()
        viewer.picture(address.replace("?", "-").partition("&")[0].replace("=", "-") or "overview")


@pytest.mark.parametrize(("width", "theme"), [(1440, "light")])
def test_a_warehouse_that_goes_away_and_comes_back(
    browser: webdriver.Chrome, dashboard: str, database: URL, width: int, theme: str
) -> None:
    viewer = Viewer(browser, dashboard, width, theme)
    viewer.visit("")
    viewer.find(".cw-card .cw-price b")
    with unreachable(database):
        viewer.find(".cw-banner", "Shown are the last numbers read")
        viewer.find(".cw-frozen .cw-price b")
        viewer.settle()
        viewer.picture("overview-database-down")
        viewer.is_content()
    viewer.changes(".cw-card .cw-price b")
    viewer.gone(".cw-banner")


def test_zoom_outlives_updates(browser: webdriver.Chrome, dashboard: str) -> None:
    viewer = Viewer(browser, dashboard, 1440, "light")
    viewer.visit("chart?symbol=BTC-USDT&exchange=binance&range=1d&interval=5m")
    box = viewer.find(".echarts-container canvas").rect

    def mouse(kind: str, x: float, **more: float) -> None:
        browser.execute_cdp_cmd(
            "Input.dispatchMouseEvent", {"type": kind, "x": x, "y": box["y"] + 150, **more}
        )

    def bucket_at(share: float) -> datetime:
        x = box["x"] + box["width"] * share

        def told() -> str:
            mouse("mouseMoved", x - 2)
            mouse("mouseMoved", x)
            return viewer.find(".echarts-container span", "UTC").text

        return datetime.strptime(eventually_sync(told), "%Y-%m-%d %H:%M UTC").replace(tzinfo=UTC)

    whole = bucket_at(0.1)
    for _ in range(4):
        mouse("mouseWheel", box["x"] + box["width"] * 0.5, deltaX=0, deltaY=-240)
    zoomed = bucket_at(0.1)
    assert zoomed - whole > timedelta(hours=2)
    for _ in range(3):
        viewer.changes(".cw-quote .cw-price b")
    # A bucket may have begun meanwhile.
    assert abs(bucket_at(0.1) - zoomed) <= timedelta(minutes=10)

"""Alerts in a real browser: from a click on the chart to the toast on another page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from sqlalchemy import URL

from coinwatch.times import now_us
from tests.app.dashboard.dashboard_server import serve_dashboard
from tests.app.dashboard.stock import Stock
from tests.app.dashboard.viewer import LOOKS, Viewer, chromium
from tests.waiting import eventually_sync
from warehouse.alerts import edits, rules

pytestmark = pytest.mark.browser

PRICES = {"binance:BTC-USDT": 67_000.0, "kraken:BTC-USDT": 67_020.0}


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    with chromium(tmp_path) as driver:
        yield driver


def test_an_alert_from_chart_to_deletion(browser: webdriver.Chrome, database: URL, tmp_path: Path) -> None:
    stock = Stock.open(database, now_us())
    stock.day(PRICES)
    try:
        with serve_dashboard(database, PRICES, tmp_path) as root:
            viewer = Viewer(browser, root, LOOKS[1])
            viewer.visit("alerts?symbol=binance:BTC-USDT&price=60000")
            viewer.find("input[aria-label='Note']").send_keys("<b>buy</b> *all*", Keys.TAB)
            press(viewer, "button", "Create alert")
            rule = viewer.find(".cw-rule").text
            assert "BTC-USDT on binance at or below 60,000.00" in rule
            assert "<b>buy</b> *all*" in rule
            viewer.gone("[data-testid='stToast']")
            viewer.settle()
            assert viewer.faults() == []

            viewer.visit("sentiment")
            viewer.find(".cw-empty")
            # The page shows alerts that fire after its first read: tests are sent until it shows one.
            eventually_sync(lambda: _shows_test(stock, viewer), timeout_s=60)
            toast = viewer.find("[data-testid='stToast']").text
            assert "TEST, nothing has happened: <b>buy</b> *all*: BTC-USDT" in toast

            viewer.visit("alerts")
            press(viewer, "[class*='st-key-more'] button", "More")
            press(viewer, "[role='menuitem']", "Delete")
            press(viewer, "[role='dialog'] button", "Delete alert")
            viewer.find(".cw-empty", "No alerts yet")
            assert viewer.faults() == []
    finally:
        stock.close()


def press(viewer: Viewer, selector: str, text: str) -> None:
    """Press the element with ``text``, looked up just before: lists are redrawn every few seconds."""
    viewer.driver.execute_script("arguments[0].click()", viewer.find(selector, text))


def _shows_test(stock: Stock, viewer: Viewer) -> bool:
    with stock.engine.begin() as conn:
        (rule,) = rules.list_rules(conn, client="dashboard").rules
        edits.send_test(conn, rule, exchange="binance", price=60_000.0, ts_us=now_us())
    return bool(
        eventually_sync(
            lambda: viewer.driver.find_elements(By.CSS_SELECTOR, "[data-testid='stToast']"), timeout_s=8
        )
    )

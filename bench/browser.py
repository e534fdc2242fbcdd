"""How long a chart takes in a real browser: headless Chromium, from navigation to pixels."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
PATIENCE_S = 60.0
SETTLE_S = 2.0
"""A browser that was just started is busy with itself."""

# Checks in every frame whether a new chart is drawn; returns the milliseconds since the
# navigation began. A canvas counts when something is on it, a vector drawing when it has its candles.
_WATCH = """
window.chartDrawn = () => {
  const canvas = document.querySelector('.echarts-container canvas');
  if (canvas && canvas.width && canvas !== window.chartBefore) {
    const small = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
    small.drawImage(canvas, 0, 0, 300, 150);
    if (small.getImageData(0, 0, 300, 100).data.some(value => value > 0)) return canvas;
  }
  const candles = document.querySelector('.js-plotly-plot .boxlayer path, .js-plotly-plot .ohlclayer path');
  return candles && candles !== window.chartBefore ? candles : null;
};
window.watchChart = () => {
  window.chartDrawnMs = null;
  const look = () => {
    const drawn = window.chartDrawn();
    if (drawn) { window.chartBefore = drawn; window.chartDrawnMs = performance.now(); }
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
};
window.watchChart();
"""


@contextmanager
def browser() -> Iterator[webdriver.Chrome]:
    """A browser that was never here before."""
    with tempfile.TemporaryDirectory() as folder:
        options = Options()
        options.binary_location = str(CHROMIUM)
        for flag in (
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *("--window-size=1440,900", f"--user-data-dir={folder}"),
        ):
            options.add_argument(flag)
        driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
        try:
            driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": _WATCH})
            time.sleep(SETTLE_S)
            yield driver
        finally:
            driver.quit()


def open_chart(driver: webdriver.Chrome, address: str) -> float:
    """Seconds from navigating to ``address`` until its chart is drawn. Raises TimeoutError."""
    driver.get("about:blank")
    driver.get(address)
    return _drawn_s(driver)


def change_interval(driver: webdriver.Chrome, interval: str) -> float:
    """Seconds from a click on the candle's length until that chart is drawn. Raises TimeoutError."""
    buttons = driver.find_elements(By.CSS_SELECTOR, "[data-testid='stButtonGroup'] button")
    button = next(button for button in reversed(buttons) if button.text.strip() == interval)
    began_ms = driver.execute_script(
        "window.watchChart(); const now = performance.now(); arguments[0].click(); return now;", button
    )
    return _drawn_s(driver) - float(began_ms) / 1e3


def _drawn_s(driver: webdriver.Chrome) -> float:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        drawn_ms = driver.execute_script("return window.chartDrawnMs")
        if drawn_ms is not None:
            return float(drawn_ms) / 1e3
        time.sleep(0.05)
    raise TimeoutError(f"no chart was drawn on {driver.current_url} within {PATIENCE_S:.0f} s")

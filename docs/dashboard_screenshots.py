"""Pictures of the dashboard for the documentation: ``python -m docs.dashboard_screenshots``.

Starts the demo in a folder of its own, waits until every page has something to show, makes two alerts, and
takes ``docs/images/<page>.png`` with Chromium. Takes about ten minutes.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

from selenium.webdriver.common.by import By

from docs.dagster_screenshots import Camera, demo, wait_for

MARKETS = (
    *(f"{exchange}:BTC-USDT" for exchange in ("binance", "coinbase", "kraken", "okx", "bybit")),
    *(f"{exchange}:ETH-USDT" for exchange in ("binance", "coinbase", "kraken", "okx")),
    *(f"{exchange}:SOL-USDT" for exchange in ("binance", "kraken", "bybit")),
    *(f"{exchange}:BTC-EUR" for exchange in ("bitstamp", "coinbase", "kraken")),
)
SETTINGS = {"COINWATCH_MARKETS": ",".join(MARKETS), "COINWATCH_HISTORY_DAYS": "7"}
PATIENCE_S = 900.0


class Sight(NamedTuple):
    """A page, and a text it shows once everything is drawn."""

    name: str
    address: str
    theme: Literal["light", "dark"]
    height: int
    texts: tuple[str, ...]
    absent: str = "No data yet"
    """A text it shows until then."""


SIGHTS = (
    Sight("data", "/data?days=1w", "dark", 980, ("nothing missing", "By market")),
    Sight("fundamentals", "/fundamentals?asset=bitcoin", "light", 1_000, ("Market cap", "By source")),
    Sight("sentiment", "/sentiment?base=BTC", "dark", 1_000, ("How the score of BTC is calculated",)),
    Sight("alerts", "/alerts?symbol=BTC-USDT", "light", 860, ("New alert", "at or above", "at or below")),
    Sight("overview", "/", "dark", 900, ("SOL / USDT", "Fear & Greed", "All markets"), absent="so far"),
    Sight(
        "chart",
        "/chart?symbol=BTC-USDT&exchange=binance&range=1d&interval=5m&overlays=ema20&overlays=rsi14",
        "dark",
        960,
        ("BTC / USDT", "5m candles"),
    ),
    Sight("averages", "/averages?symbol=BTC-USDT&range=5m", "light", 1_080, ("Constituents now",)),
)
ALERTS = ("symbol=BTC-USDT&condition=above&price=75000", "symbol=ETH-USDT&condition=below&price=2200")


def press(camera: Camera, words: str) -> None:
    """Press the button labelled ``words``."""
    buttons = camera.browser.find_elements(By.TAG_NAME, "button")
    next(button for button in buttons if words in button.text).click()


def make_alert(camera: Camera, asked: str) -> None:
    """Make the alert that an address asks for."""
    camera.open(f"/alerts?{asked}", "Create alert")
    made = len(camera.browser.find_elements(By.CSS_SELECTOR, ".cw-rule"))
    press(camera, "Create alert")
    wait_for(
        "alert", lambda: len(camera.browser.find_elements(By.CSS_SELECTOR, ".cw-rule")) > made, PATIENCE_S
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as name, demo(Path(name), SETTINGS) as roots:
        camera = Camera(roots["dashboard"], Path(name) / "browser")
        try:
            camera.open("/", "All markets", timeout_s=PATIENCE_S)
            for asked in ALERTS:
                make_alert(camera, asked)
            for sight in SIGHTS:
                camera.wear(sight.theme)
                camera.open(sight.address, *sight.texts, height=sight.height, timeout_s=PATIENCE_S)
                wait_for(sight.name, partial(camera.misses, sight.absent), PATIENCE_S)
                camera.take(sight.name)
        finally:
            camera.browser.quit()


if __name__ == "__main__":
    main()

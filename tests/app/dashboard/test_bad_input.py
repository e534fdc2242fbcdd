"""Addresses edited by hand, markets that vanish: a message on the page, never a traceback, never markup."""

from __future__ import annotations

from random import Random

import pytest
from sqlalchemy import text

from app.dashboard.data import source
from coinwatch.times import MINUTE_US, SECOND_US
from coinwatch.windows import Window
from tests.app.dashboard import pipeline_rows
from tests.app.dashboard.pages import OpenPage, words
from tests.app.dashboard.stock import BTC_PRICES, PRICES, Stock
from tests.waiting import eventually_sync

KEYS = {
    "overview": ("symbols",),
    "chart": ("symbol", "exchange", "range", "interval", "until", "overlays", "compare"),
    "averages": ("symbol", "range", "overlays", "at"),
    "fundamentals": ("asset", "search", "category", "ours", "measure", "range"),
    "sentiment": ("base", "range"),
    "alerts": ("view", "symbol", "condition", "price", "state", "search"),
    "data_quality": ("view", "market", "days", "day"),
}
"""What each page reads from its address."""

WRONG_VALUES = (
    "",
    "<script>alert(1)</script>",
    "-1",
    "1e400",
    "99999999999999999999",
    "NaN",
    "DOGE-USDT",
    "binance:",
    "'; drop table markets; --",
    "BTC-USDT",
    "9999-99-99 99:99",
    "2026-11-20T12:00:00+99:00",
    "1d",
    "٣",
    "\N{ROCKET}" * 3_000,
    "kraken:ETH-USDT",
    "1h",
    "%s {0} \\",
)


@pytest.mark.parametrize("name", KEYS)
def test_no_address_makes_a_page_fail(open_page: OpenPage, stock: Stock, name: str) -> None:
    stock.day(PRICES)
    end_us = stock.now_us // SECOND_US * SECOND_US
    stock.averages("BTC-USDT", BTC_PRICES, Window(end_us - MINUTE_US, end_us))
    pipeline_rows.assets(stock)
    pipeline_rows.sentiment(stock)
    pipeline_rows.alerts(stock)
    page = open_page(name)
    chance = Random(6)
    for turn in range(2 * len(WRONG_VALUES)):
        page.query_params.clear()
        for key in KEYS[name]:
            # First all of them the same, so that each meets everything; then any with any.
            page.query_params[key] = (
                WRONG_VALUES[turn] if turn < len(WRONG_VALUES) else chance.choice(WRONG_VALUES)
            )
        shown = words(page.run())
        assert "<script" not in shown
        assert len(shown) < 200_000


@pytest.mark.parametrize("name", ["overview", "chart", "averages", "alerts", "data_quality"])
def test_a_market_that_vanishes_while_one_looks(
    open_page: OpenPage,
    stock: Stock,
    name: str,
) -> None:
    stock.day(PRICES)
    (gone,) = stock.markets(["kraken:SOL-USDT"]).values()
    chosen = {"overview": {"symbols": "SOL-USDT"}, "data_quality": {"market": "kraken:SOL-USDT"}}
    page = open_page(name, **chosen.get(name, {"symbol": "SOL-USDT"}))
    assert "not known" not in words(page)
    with stock.engine.begin() as conn:
        conn.execute(text("delete from stream_health where market_id = :id"), {"id": gone})
        conn.execute(text("delete from markets where id = :id"), {"id": gone})

    def forgotten() -> bool:
        source.source()._reader.expire(("markets",))
        shown = words(page.run())
        boxes = [*page.selectbox, *page.multiselect]
        return "no market trades SOL-USDT" in shown or not any("SOL-USDT" in box.options for box in boxes)

    eventually_sync(forgotten, timeout_s=60)

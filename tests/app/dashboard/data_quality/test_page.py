"""The Data page, as Streamlit runs it."""

from __future__ import annotations

import pytest
import streamlit as st
from sqlalchemy import text

from coinwatch.times import DAY_US, utc_day
from tests.app.dashboard import operations_rows
from tests.app.dashboard.pages import OpenPage, words
from tests.app.dashboard.stock import PRICES, Stock


@pytest.mark.parametrize(
    "view", ["completeness", "checks", "interruptions", "streams", "runs", "outlets", "errors"]
)
def test_every_view_without_data_shows_what_to_do(open_page: OpenPage, stock: Stock, view: str) -> None:
    stock.markets(list(PRICES), streaming=False)
    page = open_page("data_quality", view=view)
    shown = words(page)
    assert page.query_params["view"] == view.capitalize()
    assert 'class="cw-empty"' in shown


def test_missing_candles_and_stream_gaps_are_shown(open_page: OpenPage, stock: Stock) -> None:
    ids = stock.day(PRICES)
    kraken = ids["kraken:BTC-USDT"]
    with stock.engine.begin() as conn:
        conn.execute(
            text("""update candle_coverage
                set wanted = tstzmultirange(tstzrange(now() - interval '3 d', null))
                where market_id = :id"""),
            {"id": kraken},
        )
        conn.execute(
            text("""
                insert into stream_gaps (market_id, daemon, cause, state, after_ts, before_ts, recovered,
                    opened_at, closed_at, reason)
                values (:id, 'd', 'disconnected', 'filled', now(), now(), 77, now(), now(), null),
                    (:id, 'd', 'silent', 'unfillable', now(), now(), 0, now(), now(), 'REST <i>ends</i>')"""),
            {"id": kraken},
        )
        conn.execute(
            text("""update stream_health set state = 'down', last_error = 'no <b>route</b>',
                last_error_at = now() where market_id = :id"""),
            {"id": kraken},
        )
    shown = words(open_page("data_quality"))
    assert "Streams live</span><b>4 of 5" in shown
    assert "<b>71.4" in shown  # three days wanted of one market, one of each stored
    assert "2 d missing, all markets" in shown
    shown = words(open_page("data_quality", view="interruptions", market="kraken"))
    assert "77" in shown
    assert "REST &lt;i&gt;ends&lt;/i&gt;" in shown
    shown = words(open_page("data_quality", view="streams", market="kraken:BTC-USDT"))
    assert "no &lt;b&gt;route&lt;/b&gt;" in shown
    assert "binance:BTC-USDT" not in shown
    shown = words(open_page("data_quality", view="errors"))
    assert "stream down: no &lt;b&gt;route" in shown
    assert "trades lost for good (silent)" in shown


def test_a_day_is_shown_minute_by_minute(open_page: OpenPage, stock: Stock) -> None:
    stock.day(PRICES)
    yesterday = utc_day(stock.now_us - DAY_US).isoformat()
    page = open_page("data_quality", market="kraken:BTC-USDT", day=yesterday)
    shown = words(page)
    assert shown.count('class="track"') == 24
    assert "with trades" in shown
    assert page.query_params["day"] == yesterday
    assert 'href="chart?symbol=BTC-USDT&amp;exchange=kraken"' in shown
    page = open_page("data_quality", market="kraken", day=yesterday)  # only for a single market
    assert "day" not in page.query_params
    assert "1999-01-01" in words(open_page("data_quality", market="kraken:BTC-USDT", day="1999-01-01"))


def test_operations_are_shown(open_page: OpenPage, stock: Stock) -> None:
    operations_rows.everything(stock, stock.day(PRICES)["kraken:BTC-USDT"])
    shown = words(open_page("data_quality", view="checks"))
    assert "volume 5.25 stored, 5.5 at the exchange" in shown
    assert "1 of 2 markets compared" in shown
    shown = words(open_page("data_quality", view="storage"))
    for word in ("candles</td>", "of at most 20.0 GB", "forever", "No day of trades exceeds"):
        assert word in shown
    shown = words(open_page("data_quality", view="outlets"))
    for word in ("disabled</span> 410 &lt;gone&gt;", "given up", "500 it broke", "rose above 9"):
        assert word in shown
    assert "hook.example" not in shown  # addresses are secrets
    shown = words(open_page("data_quality", view="runs"))
    for word in ("7 succeeded", "news_job", "503 &lt;b&gt;", "oldest: kraken:BTC-USDT"):
        assert word in shown
    shown = words(open_page("data_quality", view="streams"))
    assert "runs in 24 h: 7 succeeded, 2 failed" in shown
    shown = words(open_page("data_quality", view="errors"))
    assert "1 alert was given up in a week" in shown


def test_runs_link_to_dagster(open_page: OpenPage, stock: Stock, monkeypatch: pytest.MonkeyPatch) -> None:
    operations_rows.everything(stock, stock.day(PRICES)["kraken:BTC-USDT"])
    run = "runs/0a7f2d1c-1111-2222-3333-444455556666"
    assert f'href="http://127.0.0.1:3000/{run}"' in words(open_page("data_quality", view="runs"))
    monkeypatch.setenv("COINWATCH_DAGSTER_URL", "https://dagster.example.org/")
    st.cache_resource.clear()
    assert f'href="https://dagster.example.org/{run}"' in words(open_page("data_quality", view="runs"))


def test_an_edited_address_falls_back_to_defaults(open_page: OpenPage, stock: Stock) -> None:
    stock.day(PRICES)
    shown = words(open_page("data_quality", view="<x>", market="mtgox", days="7y"))
    for word in ("&lt;x&gt;", "mtgox", "7y"):
        assert word in shown

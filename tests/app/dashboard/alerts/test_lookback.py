"""What an alert would have done, from what is stored to the marks on the chart."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC

import msgspec
import pytest

from app.alerts.evaluation.coverage import Basis, CoveredSpan
from app.dashboard.alerts import html, lookback
from app.dashboard.alerts.lookback import Fired, Lookback, Lookbacks
from app.dashboard.alerts.preview import marks
from app.dashboard.ui.style import LIGHT
from coinwatch.alerts import Crosses, NewRule, Repeat, Source, Terms, Way
from coinwatch.intervals import Interval
from coinwatch.records import Symbol
from coinwatch.times import DAY_US, MINUTE_US, now_us, utc_day
from coinwatch.windows import Window
from tests.app.dashboard.stock import Stock
from warehouse.db.connect import connect
from warehouse.db.partitions import ensure_average_days

HOUR_US = 60 * MINUTE_US
WAIT_S = 120
UP = NewRule(
    symbol=Symbol("BTC", "USDT"),
    condition=Crosses(price=67_000.0, way=Way.UP),
    terms=Terms(repeat=Repeat.EVERY, hysteresis=0.5),
    typed="btcusdt",
)


@pytest.fixture
def stock(stock: Stock, monkeypatch: pytest.MonkeyPatch) -> Stock:
    url = stock.url.set(drivername="postgresql").render_as_string(hide_password=False)
    monkeypatch.setenv("COINWATCH_DATABASE_URL", url)
    return stock


@pytest.fixture
def lookbacks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lookbacks]:
    monkeypatch.setattr(lookback, "LIMIT_S", WAIT_S)
    lookbacks = Lookbacks()
    yield lookbacks
    lookbacks.close()


def test_trades_are_read_and_candles_before_them(stock: Stock, lookbacks: Lookbacks) -> None:
    market_id = stock.markets(["binance:BTC-USDT"])["binance:BTC-USDT"]
    until_us = stock.now_us // MINUTE_US * MINUTE_US - HOUR_US
    since_us = until_us - 20 * DAY_US
    stock.candles(market_id, 67_000.0, Window(since_us, until_us))
    stock.ticks(
        market_id, [(until_us + n * MINUTE_US, price, 1.0) for n, price in enumerate((66_000, 67_100))]
    )
    asked = lookbacks.ask(UP, stock.now_us)
    assert lookbacks.ask(UP, stock.now_us) is asked
    result = asked.result(WAIT_S)
    assert result.problem is None
    # A wave of 377 minutes, and the trades last.
    assert result.count == len(result.fired) == 20 * 24 * 60 // 377 + 1
    assert (result.trades, result.candles) == (2, 20 * 24 * 60)
    assert result.coverage == [
        CoveredSpan(Window(result.since_us, since_us), Basis.NOTHING),
        CoveredSpan(Window(since_us, until_us), Basis.CANDLES),
        CoveredSpan(Window(until_us, result.until_us), Basis.TRADES),
    ]
    assert result.fired[-1] == Fired(until_us + MINUTE_US, "binance", 67_100.0, None)
    assert result.first_us == result.fired[0].ts_us
    assert since_us < result.first_us < since_us + 7 * HOUR_US
    once = lookbacks.ask(msgspec.structs.replace(UP, terms=Terms(hysteresis=0.5)), stock.now_us).result(
        WAIT_S
    )
    assert [firing.ts_us for firing in once.fired] == [result.first_us]


def test_averages_are_read_and_of_earlier_ones_the_extremes(stock: Stock, lookbacks: Lookbacks) -> None:
    until_us = stock.now_us // MINUTE_US * MINUTE_US - HOUR_US
    prices = {"binance": 67_000.0, "kraken": 67_000.0}
    since_us = until_us - 3 * DAY_US - 6 * HOUR_US
    asyncio.run(_older_days(stock))
    stock.averages("BTC-USDT", prices, Window(since_us, until_us), step_s=20)
    condition = Crosses(price=67_000.0, way=Way.UP, source=Source.AVERAGE)
    result = lookbacks.ask(msgspec.structs.replace(UP, condition=condition), stock.now_us).result(WAIT_S)
    assert result.problem is None
    # A wave of 4,398 averages.
    assert result.count == (3 * 24 + 6) * 180 // 4_398
    assert all(firing.price and firing.price > 66_990 for firing in result.fired)


async def _older_days(stock: Stock) -> None:
    async with await connect(stock.url, application_name="test") as conn:
        await ensure_average_days(conn, [utc_day(stock.now_us - days * DAY_US) for days in (3, 4)])


def test_it_is_stopped_after_a_while(
    stock: Stock, lookbacks: Lookbacks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookback, "LIMIT_S", 0.001)
    assert "was stopped" in str(lookbacks.ask(UP, stock.now_us).result(WAIT_S).problem)


def test_a_failure_has_a_readable_problem(lookbacks: Lookbacks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COINWATCH_DATABASE_URL", "postgresql://stranger@127.0.0.1:1/nothing")
    problem = str(lookbacks.ask(UP, now_us()).result(WAIT_S).problem)
    assert "connect" in problem
    assert "Traceback" not in problem


def test_each_candle_has_one_mark() -> None:
    fired = [Fired(ts_us, "binance", price, None) for ts_us, price in ((5, 1.0), (6, 2.0), (HOUR_US, 3.0))]
    drawn = marks([*fired, Fired(2 * HOUR_US, None, None, 1.0)], Interval.H1, LIGHT)
    assert drawn["data"] == [["0", 1.0], ["3600000", 3.0]]


def test_what_was_read_is_stated() -> None:
    coverage = [CoveredSpan(Window(0, 1), Basis.NOTHING)]
    result = Lookback(since_us=0, until_us=1, trades=1_234, coverage=coverage, paused=True)
    text = html.lookback("<b>", result, UTC)
    for words in ("&lt;b&gt;", "never", "1,234 trades", "Nothing is stored", "paused"):
        assert words in text

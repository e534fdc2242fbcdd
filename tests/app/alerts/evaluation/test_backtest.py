"""What a backtest reads, and what it states about that."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from psycopg import AsyncConnection
from sqlalchemy import URL

from app.alerts.evaluation import backtest
from app.alerts.evaluation.backtest import Backtested, candle_trades, is_upward, preview
from app.alerts.evaluation.coverage import Basis
from app.alerts.rules.engine import RuleEngine
from coinwatch.alerts import (
    Above,
    All,
    Below,
    Change,
    Condition,
    Crosses,
    NewHigh,
    NewRule,
    Repeat,
    Rule,
    Terms,
    Way,
)
from coinwatch.intervals import Interval
from coinwatch.records import Candle, Market, Trade
from coinwatch.times import DAY_US, MINUTE_US, SECOND_US, now_us, to_datetime, utc_day
from coinwatch.windows import Window
from warehouse.alerts.candle_history import Bar
from warehouse.candles.store import store
from warehouse.db.connect import connect
from warehouse.db.partitions import ensure_tick_days
from warehouse.markets import ensure_markets
from warehouse.ops.health import StreamHealth, StreamState, write_streams
from warehouse.trades.writer import TickWriter

BINANCE = Market.canonical("binance:BTC-USDT")
KRAKEN = Market.canonical("kraken:BTC-USDT")
M1 = Interval.M1


class Warehouse:
    """Stores what a backtest reads of two markets."""

    def __init__(self, conn: AsyncConnection, ids: dict[Market, int]) -> None:
        self.conn = conn
        self._ids = ids
        self._trade_id = 0
        self.until_us = now_us() // MINUTE_US * MINUTE_US

    async def trades(self, *trades: tuple[int, float], market: Market = BINANCE) -> None:
        """Trades as (seconds before ``until_us``, price)."""
        rows = []
        for ago_s, price in trades:
            self._trade_id += 1
            rows.append(Trade(market, self._trade_id, self.until_us - ago_s * SECOND_US, price, 1.0, True))
        await TickWriter(self.conn, self._ids).write(rows)

    async def live(self, *markets: Market) -> None:
        health = StreamHealth(state=StreamState.LIVE)
        await write_streams(self.conn, {self._ids[market]: health for market in markets})

    async def candles(self, ago_min: int, prices: Sequence[tuple[float, float, float, float]]) -> None:
        """Verified candles as (open, high, low, close), from so many minutes before ``until_us`` on."""
        start_us = self.until_us - ago_min * MINUTE_US
        rows = [
            Candle(
                market=BINANCE,
                interval=M1,
                open_ts_us=start_us + number * MINUTE_US,
                open=first,
                high=high,
                low=low,
                close=close,
                volume=1.0,
            )
            for number, (first, high, low, close) in enumerate(prices)
        ]
        window = Window(start_us, start_us + len(prices) * MINUTE_US)
        await store(self.conn, self._ids[BINANCE], M1, rows, [window])

    async def gap(self, after_s: int, before_s: int) -> None:
        """A stream gap that was not filled, from and to so many seconds before ``until_us``."""
        await self.conn.execute(
            "insert into stream_gaps (market_id, daemon, cause, after_ts, before_ts)"
            " values (%s, 'd', 'test', %s, %s)",
            (
                self._ids[BINANCE],
                to_datetime(self.until_us - after_s * SECOND_US),
                to_datetime(self.until_us - before_s * SECOND_US),
            ),
        )

    async def preview(
        self,
        condition: Condition,
        *,
        ago_min: int = 24 * 60,
        exchange: str | None = "binance",
        **terms: object,
    ) -> Backtested:
        asked = NewRule(
            symbol=BINANCE.symbol,
            exchange=exchange,
            condition=condition,
            terms=Terms(**terms),  # type: ignore[arg-type]
            typed="btcusdt",
        )
        return await preview(self.conn, asked, Window(self.until_us - ago_min * MINUTE_US, self.until_us))

    def covered(self, result: Backtested) -> list[tuple[float, float, str]]:
        """Coverage as (from, to, by), in minutes before ``until_us``."""
        return [
            (
                (self.until_us - span.window.start_us) / MINUTE_US,
                (self.until_us - span.window.end_us) / MINUTE_US,
                span.by,
            )
            for span in result.coverage
        ]


@pytest.fixture
async def stored(database: URL) -> AsyncIterator[Warehouse]:
    async with await connect(database, application_name="test backtest") as conn:
        ids = dict(await ensure_markets(conn, {market: str(market) for market in (BINANCE, KRAKEN)}))
        await ensure_tick_days(conn, [utc_day(now_us() - days * DAY_US) for days in (0, 1)])
        yield Warehouse(conn, ids)


async def test_a_fresh_installation_is_not_complete(stored: Warehouse) -> None:
    await stored.trades((300, 100.0), (60, 101.0))
    await stored.live(BINANCE)
    result = await stored.preview(Above(price=200.0))
    assert (len(result.firings), result.trades, result.is_complete) == (0, 2, False)
    assert stored.covered(result) == [(24 * 60, 5, Basis.NOTHING), (5, 0, Basis.TRADES)]


async def test_nothing_stored_is_stated(stored: Warehouse) -> None:
    result = await stored.preview(Above(price=200.0))
    assert stored.covered(result) == [(24 * 60, 0, Basis.NOTHING)]
    assert not result.is_complete


async def test_a_live_stream_with_older_trades_is_complete(stored: Warehouse) -> None:
    await stored.trades((7_200, 100.0), (1_800, 201.0))
    await stored.live(BINANCE)
    result = await stored.preview(Above(price=200.0), ago_min=60)
    assert (len(result.firings), result.is_complete) == (1, True)


async def test_candles_come_before_trades(stored: Warehouse) -> None:
    await stored.candles(5, [(99.0, 99.0, 99.0, 99.0), (99.0, 101.0, 98.0, 99.0), (99.0, 99.0, 99.0, 99.0)])
    await stored.trades((120, 99.0), (60, 102.0))
    await stored.live(BINANCE)
    result = await stored.preview(Crosses(price=100.0, way=Way.UP), ago_min=5, repeat=Repeat.EVERY)
    assert stored.covered(result) == [(5, 2, Basis.CANDLES), (2, 0, Basis.TRADES)]
    assert [firing.price for firing in result.firings] == [101.0, 102.0]
    assert (result.candles, result.trades, result.is_complete) == (3, 2, True)


async def test_candles_stand_in_for_a_stream_gap(stored: Warehouse) -> None:
    await stored.trades((600, 99.0), (30, 99.0))
    await stored.live(BINANCE)
    await stored.gap(240, 150)
    result = await stored.preview(Above(price=100.0), ago_min=5)
    assert stored.covered(result) == [(5, 4, Basis.TRADES), (4, 2.5, Basis.NOTHING), (2.5, 0, Basis.TRADES)]
    await stored.candles(4, [(99.0, 101.0, 98.0, 99.0), (99.0, 99.0, 99.0, 99.0)])
    result = await stored.preview(Above(price=100.0), ago_min=5)
    assert stored.covered(result) == [(5, 4, Basis.TRADES), (4, 2, Basis.CANDLES), (2, 0, Basis.TRADES)]
    assert [firing.price for firing in result.firings] == [101.0]


async def test_the_weakest_market_counts(stored: Warehouse) -> None:
    await stored.trades((600, 99.0), (30, 99.0))
    await stored.trades((120, 99.0), market=KRAKEN)
    await stored.live(BINANCE, KRAKEN)
    result = await stored.preview(Above(price=100.0), ago_min=5, exchange=None)
    assert stored.covered(result) == [(5, 2, Basis.NOTHING), (2, 0, Basis.TRADES)]


async def test_a_market_that_was_never_collected_does_not_count(stored: Warehouse) -> None:
    await stored.trades((600, 99.0), (30, 99.0))
    await stored.live(BINANCE)
    assert (await stored.preview(Above(price=100.0), ago_min=5, exchange=None)).is_complete
    both = await stored.preview(Above(price=100.0), ago_min=5, exchange=None, confirmed_on=2)
    assert not both.is_complete


async def test_candles_stand_in_where_trades_are_too_many(
    stored: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.alerts.evaluation.backtest_inputs.MOST_TRADES", 3)
    await stored.trades(*((7_200 - n * 60, 100.0) for n in range(120)))
    await stored.candles(120, [(100.0, 100.0, 100.0, 100.0)] * 120)
    await stored.live(BINANCE)
    rises = await stored.preview(Change(percent=5.0, within_s=600), ago_min=120)
    assert rises.is_complete
    assert rises.trades <= 3
    assert rises.trades + rises.candles == 120
    reaches = await stored.preview(Above(price=200.0), ago_min=120)
    assert (reaches.trades, reaches.candles) == (120, 0)


@pytest.mark.parametrize(
    ("condition", "way"),
    [
        (Above(price=1.0), True),
        (Below(price=1.0), False),
        (Crosses(price=1.0), None),
        (All(of=(Above(price=1.0), NewHigh(over_s=60))), True),
        (All(of=(Above(price=1.0), Below(price=2.0))), None),
    ],
)
def test_the_way_that_a_condition_waits_for(condition: Condition, way: bool | None) -> None:
    assert is_upward(condition) is way


@pytest.mark.parametrize(
    ("way", "close", "prices"),
    [
        (True, 5.0, [6.0, 1.0, 9.0, 5.0]),
        (False, 8.0, [6.0, 9.0, 1.0, 8.0]),
        (None, 8.0, [6.0, 1.0, 9.0, 8.0]),
    ],
)
def test_the_worst_order_within_a_candle_is_assumed(
    way: bool | None, close: float, prices: list[float]
) -> None:
    trades = candle_trades(Bar(1, 0, 6.0, 9.0, 1.0, close, 4.0), is_upward=way)
    assert [trade.price for trade in trades] == prices
    assert all(before.ts_us < after.ts_us < MINUTE_US for before, after in pairwise(trades))


STEPS = st.lists(
    st.tuples(st.sampled_from([0, 1, 7, 50, 70, 400]), st.integers(95, 105).map(float), st.booleans()),
    min_size=1,
    max_size=60,
)
CONDITIONS = st.one_of(
    st.builds(lambda price: Above(price=price), st.integers(96, 104).map(float)),
    st.builds(lambda price: Below(price=price), st.integers(96, 104).map(float)),
    st.builds(lambda price, way: Crosses(price=price, way=way), st.just(100.0), st.sampled_from(Way)),
    st.builds(lambda percent: Change(percent=percent, within_s=120), st.sampled_from([3.0, 8.0])),
)
TERMS = st.builds(
    lambda repeat, hysteresis, holds_for_s, cooldown_s: Terms(
        repeat=repeat,
        candle=M1 if repeat is Repeat.CANDLE else None,
        hysteresis=hysteresis,
        holds_for_s=holds_for_s,
        cooldown_s=cooldown_s,
    ),
    st.sampled_from(Repeat),
    st.sampled_from([0.0, 2.0]),
    st.sampled_from([0, 0, 30]),
    st.sampled_from([0, 0, 90]),
)


@settings(
    max_examples=60,
    derandomize=True,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(STEPS, CONDITIONS, TERMS, st.sampled_from([None, "binance"]), st.sampled_from([1, 20]))
@example(  # a trade on another exchange starts the candle that rearms the rule
    steps=[(70, 102.0, False), (0, 97.0, False), (70, 103.0, True)],
    condition=Crosses(price=100.0, way=Way.DOWN),
    terms=Terms(repeat=Repeat.CANDLE, candle=M1, hysteresis=2.0, cooldown_s=90),
    exchange="binance",
    batch=1,
)
async def test_skipping_trades_changes_nothing(
    stored: Warehouse,
    steps: list[tuple[int, float, bool]],
    condition: Condition,
    terms: Terms,
    exchange: str | None,
    batch: int,
) -> None:
    if terms.holds_for_s and getattr(condition, "way", None) is Way.EITHER and isinstance(condition, Crosses):
        terms = Terms()
    await stored.conn.execute("truncate ticks")
    after_s, trades = 0, []
    for number, (step_s, price, on_kraken) in enumerate(steps, start=1):
        after_s += step_s
        ts_us = stored.until_us - 8 * 3600 * SECOND_US + after_s * SECOND_US
        trades.append(Trade(KRAKEN if on_kraken else BINANCE, number, ts_us, price, 1.0, True))
    await TickWriter(stored.conn, stored._ids).write(trades)
    asked = NewRule(symbol=BINANCE.symbol, exchange=exchange, condition=condition, terms=terms, typed="b")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backtest, "BATCH_TRADES", batch)
        window = Window(stored.until_us - 9 * 3600 * SECOND_US, stored.until_us)
        result = await preview(stored.conn, asked, window)
    assert [(firing.ts_us, firing.trade_id, firing.price) for firing in result.firings] == played_one_by_one(
        asked, trades, stored._ids, window
    )


def played_one_by_one(
    asked: NewRule, trades: Sequence[Trade], ids: dict[Market, int], window: Window
) -> list[tuple[int, int | None, float | None]]:
    engine = RuleEngine()
    series = {market: engine.meet(market_id, market) for market, market_id in sorted(ids.items(), key=str)}
    rule = Rule(
        id=0,
        created_at_us=window.start_us,
        symbol=asked.symbol,
        exchange=asked.exchange,
        condition=asked.condition,
        terms=asked.terms,
        typed="b",
    )
    engine.put(rule, window.start_us)
    for market in series.values():
        for span in market.spans.values():
            span.is_warm = True
    for number, trade in enumerate(sorted(trades, key=lambda t: (t.ts_us, ids[t.market], t.trade_id)), 1):
        engine.trade(series[trade.market], trade, number, trade.ts_us)
    engine.pass_to(window.end_us)
    return [
        (firing.ts_us, firing.trade_id, firing.price)
        for change in engine.drain()
        for firing in change.firings
    ]

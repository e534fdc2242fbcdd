"""Collection without Dagster: candles served by the simulator are stored once and completely."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from math import isclose
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coinwatch.intervals import Interval
from coinwatch.records import Candle, Market
from coinwatch.times import MINUTE_US, from_datetime, now_us, to_datetime, utc_day
from coinwatch.windows import Window, merge, subtract
from pipelines.market_data.collection.collect import Fill, collect_candles, spans_to_fetch
from pipelines.market_data.report import failure
from simulator.server import Simulator
from simulator.truth import candle_in_minute
from sources.budgets import LocalBudget
from sources.exchanges import EXCHANGES
from sources.exchanges.base import RateLimit
from sources.http import HttpSource, Patience, exchange_http
from tests.waiting import eventually
from warehouse.db.partitions import ensure_tick_days
from warehouse.markets import ensure_markets

Conn = psycopg.AsyncConnection[Any]

MARKETS = tuple(
    Market.canonical(market)
    for market in ("binance:BTC-USDC", "coinbase:BTC-EUR", "coinbase:BTC-USD", "kraken:BTC-USDC")
)
GIVEN = {
    "binance": ("quote_volume", "trades"),
    "coinbase": (),
    "kraken": (),
}
"""The optional fields that each venue's candles have over the whole of a day."""


class Gate(LocalBudget):
    """Lets so many requests through, then none."""

    def __init__(self, requests: int) -> None:
        super().__init__()
        self.left = requests
        self.shut = asyncio.Event()

    async def acquire(
        self, host: str, scope: str, limit: RateLimit, cost: float, reserve: float = 0.0
    ) -> None:
        if not self.left:
            self.shut.set()
            await asyncio.Event().wait()
        self.left -= 1


@asynccontextmanager
async def clients_of(
    simulator: Simulator, budget: LocalBudget | None = None
) -> AsyncIterator[dict[str, HttpSource]]:
    async with AsyncExitStack() as stack:
        yield {
            name: await stack.enter_async_context(
                exchange_http(
                    exchange,
                    f"{simulator.rest_url}/{name}",
                    budget or LocalBudget(),
                    scale=1_000,
                    patience=Patience(attempts=2, first_wait_s=0.01),
                )
            )
            for name, exchange in EXCHANGES.items()
        }


async def collect(
    conn: Conn,
    simulator: Simulator,
    window: Window,
    markets: Sequence[Market] = MARKETS,
    budget: LocalBudget | None = None,
) -> Fill:
    async with clients_of(simulator, budget) as clients:
        return await collect_candles(conn, clients, markets, window)


def candle_requests(simulator: Simulator) -> int:
    return sum(simulator.requests.values())


async def stored(conn: Conn) -> dict[tuple[Market, int], dict[str, Any]]:
    cursor = await conn.execute(
        "select exchange || ':' || symbol, open_ts, open, high, low, close, volume, quote_volume, trades"
        " from candles join markets on markets.id = market_id"
    )
    names = ("open", "high", "low", "close", "volume", "quote_volume", "trades")
    return {
        (Market.canonical(market), from_datetime(open_ts)): dict(zip(names, values, strict=True))
        for market, open_ts, *values in await cursor.fetchall()
    }


def truth(
    simulator: Simulator, window: Window, markets: Sequence[Market]
) -> dict[tuple[Market, int], Candle]:
    minutes = range(window.start_us // MINUTE_US, window.end_us // MINUTE_US)
    candles = (
        candle_in_minute(simulator.markets[market], minute) for market in markets for minute in minutes
    )
    return {(candle.market, candle.open_ts_us): candle for candle in candles if candle}


def same(row: dict[str, Any], candle: Candle) -> bool:
    return (
        (row["open"], row["high"], row["low"], row["close"])
        == (candle.open, candle.high, candle.low, candle.close)
        and isclose(row["volume"], candle.volume, rel_tol=1e-9)
        and all(
            isclose(row[name], getattr(candle, name), rel_tol=1e-9) for name in GIVEN[candle.market.exchange]
        )
    )


async def assert_true(
    conn: Conn, simulator: Simulator, window: Window, markets: Sequence[Market] = MARKETS
) -> None:
    rows, expected = await stored(conn), truth(simulator, window, markets)
    assert rows.keys() == expected.keys()
    wrong = {key: (rows[key], candle) for key, candle in expected.items() if not same(rows[key], candle)}
    assert not wrong


@pytest.fixture
def window() -> Window:
    """The last 14 hours: two more than Kraken serves as candles."""
    end_us = Interval.M1.floor(now_us()) - 2 * MINUTE_US
    return Window(end_us - 14 * 60 * MINUTE_US, end_us)


async def test_every_minute_is_stored_and_not_requested_again(
    conn: Conn, simulator: Simulator, window: Window
) -> None:
    fill = await collect(conn, simulator, window)
    assert failure(fill) is None
    assert [market.requested for market in fill.markets] == [[window]] * len(MARKETS)
    assert [market.still_missing for market in fill.markets] == [[]] * len(MARKETS)
    await assert_true(conn, simulator, window)
    minutes = window.length_us // MINUTE_US
    assert len(await stored(conn)) < len(MARKETS) * minutes * 0.9, "some minutes must have been empty"

    asked = candle_requests(simulator)
    again = await collect(conn, simulator, window)
    assert candle_requests(simulator) == asked
    assert [market.requested for market in again.markets] == [[]] * len(MARKETS)


async def test_the_open_candle_is_left_alone(conn: Conn, simulator: Simulator) -> None:
    now = Interval.M1.floor(now_us())
    future = Window(now - 5 * MINUTE_US, now + 5 * MINUTE_US)
    fill = await collect(conn, simulator, future, MARKETS[:3])
    assert failure(fill) is None, "an open minute is not a failure"
    assert all(open_ts_us < Interval.M1.floor(now_us()) for _, open_ts_us in await stored(conn))
    assert all(market.still_missing[-1].end_us == future.end_us for market in fill.markets)


async def test_only_missing_ranges_are_requested(conn: Conn, simulator: Simulator, window: Window) -> None:
    await collect(conn, simulator, window)
    holes = [
        Window(window.start_us + start * MINUTE_US, window.start_us + end * MINUTE_US)
        for start, end in ((0, 7), (100, 101), (800, 830))
    ]
    for hole in holes:
        span = (to_datetime(hole.start_us), to_datetime(hole.end_us))
        await conn.execute("delete from candles where open_ts >= %s and open_ts < %s", span)
        await conn.execute(
            "update candle_coverage set covered = covered - tstzmultirange(tstzrange(%s, %s))", span
        )
    simulator.requests.clear()
    fill = await collect(conn, simulator, window)
    assert [market.requested for market in fill.markets] == [holes] * len(MARKETS)
    assert simulator.requests["binance/api/v3/klines"] == 1, "neighbours share a request"
    await assert_true(conn, simulator, window)


async def test_a_cancelled_collection_continues_from_there(
    conn: Conn, simulator: Simulator, window: Window
) -> None:
    gate = Gate(requests=6)
    task = asyncio.create_task(collect(conn, simulator, window, budget=gate))
    await asyncio.wait_for(gate.shut.wait(), 10)
    await eventually(lambda: stored(conn))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    before = await stored(conn)
    assert len(before) > 0
    asked_before = candle_requests(simulator)

    fill = await collect(conn, simulator, window)
    assert sum(piece.stored.unchanged for market in fill.markets for piece in market.pieces) == 0
    assert sum(piece.stored.inserted for market in fill.markets for piece in market.pieces) == len(
        await stored(conn)
    ) - len(before)
    assert candle_requests(simulator) > asked_before
    await assert_true(conn, simulator, window)


async def test_a_failing_exchange_does_not_affect_the_others(
    conn: Conn, simulator: Simulator, window: Window
) -> None:
    simulator.fail_rest("coinbase", 503, times=10**6)
    fill = await collect(conn, simulator, window)
    problem = failure(fill)
    assert problem is not None
    assert problem.startswith("2 of 4 markets are incomplete:")
    for market in ("coinbase:BTC-EUR", "coinbase:BTC-USD"):
        assert market in problem
    assert "HTTP 503" in problem
    assert f"{to_datetime(window.start_us):%Y-%m-%d %H:%M}" in problem
    others = [market for market in MARKETS if market.exchange != "coinbase"]
    await assert_true(conn, simulator, window, others)

    simulator.fail_rest("coinbase", 503, times=0)
    assert failure(await collect(conn, simulator, window)) is None
    await assert_true(conn, simulator, window)


async def test_an_unreachable_exchange_is_not_tried_for_every_market(
    conn: Conn, simulator: Simulator
) -> None:
    markets = [market for market in simulator.markets if market.exchange == "binance"]
    assert len(markets) > 10
    simulator.fail_rest("binance", 503, times=10**6)
    end_us = Interval.M1.floor(now_us()) - 2 * MINUTE_US
    fill = await collect(conn, simulator, Window(end_us - 60 * MINUTE_US, end_us), markets)
    assert all(market.errors for market in fill.markets)
    asked = [market for market in fill.markets if "skipped" not in market.errors[0]]
    assert len(asked) <= 7, "four at first, and what began before the fourth had failed"
    assert candle_requests(simulator) == 2 * len(asked), "two tries each"


async def test_unavailable_candles_are_built_from_stored_trades(conn: Conn, simulator: Simulator) -> None:
    """HTX shows 2,000 minutes; of the hour asked for, which is older, we heard three minutes ourselves."""
    market = Market.canonical("htx:BTC-USDT")
    [market_id] = (await ensure_markets(conn, {market: "btcusdt"})).values()
    end_us = Interval.M1.floor(now_us()) - 3_000 * MINUTE_US
    hour = Window(end_us - 60 * MINUTE_US, end_us)
    await ensure_tick_days(conn, {utc_day(hour.start_us), utc_day(hour.end_us)})
    for second in range(0, 240, 5):
        ts_us = hour.start_us + 1_800_000_000 + second * 1_000_000
        await conn.execute(
            "insert into ticks (market_id, trade_id, ts, day, price, amount, taker_buys)"
            " values (%s, %s, %s, %s, 5, 1, true)",
            (market_id, second, to_datetime(ts_us), utc_day(ts_us)),
        )
    fill = await collect(conn, simulator, hour, [market])
    [market_fill] = fill.markets
    assert failure(fill) is None
    assert [(gone.window, gone.reason) for gone in market_fill.unavailable] == [
        (hour, "htx serves only the newest 1,999 candles of 1m")
    ]
    assert market_fill.from_ticks == 4
    assert market_fill.still_missing == []
    sources = await (await conn.execute("select distinct source from candles")).fetchall()
    assert sources == [("ticks",)]

    asked = candle_requests(simulator)
    [again] = (await collect(conn, simulator, hour, [market])).markets
    assert (again.requested, candle_requests(simulator)) == ([], asked), "it is not asked for again"
    assert await (await conn.execute("select * from v_gaps")).fetchall() == []


async def test_a_delisted_market_is_not_a_failure(conn: Conn, simulator: Simulator, window: Window) -> None:
    gone, there = Market.canonical("binance:BTC-USDC"), Market.canonical("binance:BTC-USDT")
    simulator.delist(str(gone))
    problem = failure(await collect(conn, simulator, window, [gone, there]))
    assert problem is not None
    assert "Invalid symbol" in problem
    await conn.execute(
        "update markets set status = 'delisted', delisted_at = now() where symbol = 'BTC-USDC'"
    )
    fill = await collect(conn, simulator, window, [gone, there])
    assert failure(fill) is None
    assert [entry.unavailable[0].window for entry in fill.markets if entry.unavailable] == [window]


async def test_with_failing_answers_a_few_runs_complete_the_window(
    conn: Conn, simulator: Simulator, window: Window
) -> None:
    """Of all answers one in five is an error, truncated, HTML or empty; a few rounds get all."""
    simulator.disturb_rest(0.2)
    for _ in range(30):
        fill = await collect(conn, simulator, window)
        if failure(fill) is None:
            break
        assert any(name in str(failure(fill)) for name in ("binance", "coinbase", "kraken"))
    assert failure(fill) is None
    await assert_true(conn, simulator, window)


HOLES = st.lists(
    st.tuples(st.integers(0, 5_000), st.integers(1, 30)).map(
        lambda span: Window(span[0] * MINUTE_US, (span[0] + span[1]) * MINUTE_US)
    ),
    min_size=1,
    max_size=20,
).map(merge)


@given(holes=HOLES, name=st.sampled_from(sorted(EXCHANGES)), age=st.integers(0, 10_000))
def test_neighbouring_ranges_share_requests_and_none_is_lost(
    holes: list[Window], name: str, age: int
) -> None:
    exchange = EXCHANGES[name]
    now = holes[-1].end_us + age * MINUTE_US
    spans = spans_to_fetch(exchange, holes, now)
    assert subtract(holes, spans) == []
    assert {span.start_us for span in spans} <= {hole.start_us for hole in holes}
    assert {span.end_us for span in spans} <= {hole.end_us for hole in holes}
    for span in spans:
        inside = [hole for hole in holes if span.intersect(hole)]
        assert len(inside) == 1 or span.length_us <= exchange.candles_per_request * MINUTE_US
        if exchange.candles_depth is not None and span.start_us < now - exchange.candles_depth * MINUTE_US:
            assert len(inside) == 1, "what is made of trades is asked for alone"

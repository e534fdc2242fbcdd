"""The trades of a span by REST, against the truth of the simulator."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence

import pytest

from coinwatch.errors import Fatal, Retryable
from coinwatch.records import Market, Trade
from coinwatch.times import MINUTE_US, SECOND_US, now_us
from coinwatch.windows import Window
from simulator.markets import SimMarket
from simulator.server import Simulator
from sources.exchanges import EXCHANGES
from sources.exchanges.base import Exchange, Paging
from sources.http import HttpSource
from sources.trades import FetchedTrades, Mark, fetch_trades, pages_since
from tests.sources.simulated import EACH, http_of, true_trades


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(trades_per_s=200) as running:
        yield running


def busiest(simulator: Simulator, exchange: Exchange) -> SimMarket:
    return max(markets_of(simulator, exchange), key=lambda sim: sim.trades_per_s)


def quietest(simulator: Simulator, exchange: Exchange) -> SimMarket:
    return min(markets_of(simulator, exchange), key=lambda sim: sim.trades_per_s)


def markets_of(simulator: Simulator, exchange: Exchange) -> list[SimMarket]:
    return [sim for market, sim in simulator.markets.items() if market.exchange == exchange.name]


def past(simulator: Simulator, sim: SimMarket, count: int) -> list[Trade]:
    """At least ``count`` trades, the last of them the newest."""
    now = now_us()
    span_us = int(count * 2 / sim.trades_per_s * SECOND_US) + MINUTE_US
    return true_trades(simulator, sim.market, Window(now - span_us, now + 1))


def mark(exchange: Exchange, trade: Trade) -> Mark:
    return Mark(trade.trade_id if exchange.has_trade_ids else None, trade.ts_us)


async def collect(
    exchange: Exchange, http: HttpSource, market: Market, after: Mark, until: Mark | None
) -> list[FetchedTrades]:
    return [page async for page in fetch_trades(exchange, http, market, after, until)]


def counted(exchange: Exchange, trades: Sequence[Trade]) -> Counter[tuple[float, ...]]:
    """``trades`` as REST rounds them; repeats can be counted out only where trades have ids."""
    step = exchange.rest_ts_step_us
    if exchange.has_trade_ids:
        trades = list({trade.trade_id: trade for trade in trades}.values())
    return Counter(
        (
            trade.trade_id if exchange.has_trade_ids else 0,
            trade.ts_us - trade.ts_us % step,
            trade.price,
            trade.amount,
            trade.taker_buys,
        )
        for trade in trades
    )


def unavailable(exchange: Exchange, trades: Sequence[Trade], pages: Sequence[FetchedTrades]) -> list[Trade]:
    """The trades that the pages report as missing."""
    gaps = [page.missing for page in pages if page.missing]
    if not gaps:
        return []
    [missing] = gaps
    after, before = missing.after, missing.before

    def is_after(trade: Trade) -> bool:
        return trade.ts_us >= after.ts_us if after.trade_id is None else trade.trade_id > after.trade_id

    def is_before(trade: Trade) -> bool:
        if before is None:
            return True
        return trade.ts_us < before.ts_us if before.trade_id is None else trade.trade_id < before.trade_id

    by_id = exchange.has_trade_ids
    return [
        trade
        for trade in trades
        if is_before(trade) and (is_after(trade) if by_id else trade.ts_us >= after.ts_us)
    ]


def check(exchange: Exchange, truth: Sequence[Trade], span: slice, pages: Sequence[FetchedTrades]) -> None:
    """Fetched and missing trades are together the trades of ``truth`` inside ``span``."""
    inside, step = truth[span], exchange.rest_ts_step_us
    fetched = counted(exchange, [trade for page in pages for trade in page.trades])
    assert (
        not counted(exchange, [t for t in inside if t not in unavailable(exchange, inside, pages)]) - fetched
    )
    first, last = truth[span.start - 1], truth[span.stop]
    start_us, end_us = first.ts_us - first.ts_us % step, last.ts_us - last.ts_us % step + step - 1
    assert not fetched - counted(exchange, [t for t in truth if start_us <= t.ts_us <= end_us])
    if exchange.trade_paging is not Paging.NEWEST:
        assert unavailable(exchange, inside, pages) == []
    elif exchange.consecutive_ids:
        assert not counted(exchange, unavailable(exchange, inside, pages)) & fetched


@EACH
@pytest.mark.parametrize("ids", ["ids", "times"])
async def test_all_trades_between_two_are_fetched(exchange: Exchange, ids: str, simulator: Simulator) -> None:
    """More than two pages, beyond what some exchanges show."""
    sim = busiest(simulator, exchange)
    truth = past(simulator, sim, 2_600)
    span = slice(len(truth) - 2_550, len(truth) - 20)
    after, until = mark(exchange, truth[span.start - 1]), mark(exchange, truth[span.stop])
    if ids == "times":
        after, until = Mark(None, after.ts_us), Mark(None, until.ts_us)
    async with http_of(exchange, simulator) as http:
        pages = await collect(exchange, http, sim.market, after, until)
    check(exchange, truth, span, pages)
    assert all(len(page.trades) <= max(exchange.trades_per_request, 2_000) for page in pages)


@EACH
async def test_the_trades_of_a_quiet_market(exchange: Exchange, simulator: Simulator) -> None:
    sim = quietest(simulator, exchange)
    truth = past(simulator, sim, 40)
    span = slice(len(truth) - 12, len(truth) - 2)
    after, until = mark(exchange, truth[span.start - 1]), mark(exchange, truth[span.stop])
    async with http_of(exchange, simulator) as http:
        pages = await collect(exchange, http, sim.market, after, until)
    check(exchange, truth, span, pages)
    assert all(page.missing is None for page in pages)


@EACH
async def test_trades_are_fetched_up_to_now(exchange: Exchange, simulator: Simulator) -> None:
    sim = busiest(simulator, exchange)
    truth = past(simulator, sim, 80)
    async with http_of(exchange, simulator) as http:
        pages = await collect(exchange, http, sim.market, mark(exchange, truth[-30]), None)
    fetched = counted(exchange, [trade for page in pages for trade in page.trades])
    assert not counted(exchange, truth[-29:]) - fetched
    assert all(page.missing is None for page in pages)


@EACH
async def test_an_empty_span(exchange: Exchange, simulator: Simulator) -> None:
    sim = quietest(simulator, exchange)
    truth = past(simulator, sim, 10)
    async with http_of(exchange, simulator) as http:
        last = await collect(exchange, http, sim.market, mark(exchange, truth[-1]), None)
        pages = await collect(
            exchange, http, sim.market, mark(exchange, truth[-5]), mark(exchange, truth[-4])
        )
    later = [t for page in last for t in page.trades if t.ts_us > truth[-1].ts_us]
    assert len(later) <= 2  # traded meanwhile
    edges = {t.ts_us - t.ts_us % exchange.rest_ts_step_us for t in truth[-5:-3]}
    assert {trade.ts_us for page in pages for trade in page.trades} <= edges
    assert all(page.missing is None for page in [*last, *pages])


@EACH
async def test_a_rest_api_behind_the_stream_is_retryable(exchange: Exchange, simulator: Simulator) -> None:
    sim = quietest(simulator, exchange)
    now = now_us()
    truth = past(simulator, sim, 10)
    to_come = true_trades(
        simulator, sim.market, Window(now + 60 * SECOND_US, now + int(60e6 / sim.trades_per_s))
    )
    async with http_of(exchange, simulator) as http:
        with pytest.raises(
            Retryable, match=f"does not show .*{sim.market}|{sim.market}.*does not show .* yet"
        ):
            await collect(exchange, http, sim.market, mark(exchange, truth[-3]), mark(exchange, to_come[0]))


async def test_trades_too_old_to_be_served_are_missing(simulator: Simulator) -> None:
    gemini = EXCHANGES["gemini"]
    assert gemini.trades_reach_us is not None
    sim = quietest(simulator, gemini)
    edge_us = now_us() - gemini.trades_reach_us
    truth = true_trades(simulator, sim.market, Window(edge_us - 20 * MINUTE_US, edge_us + 40 * MINUTE_US))
    after, until = mark(gemini, truth[0]), mark(gemini, truth[-1])
    async with http_of(gemini, simulator) as http:
        pages = await collect(gemini, http, sim.market, after, until)
        early = next(trade for trade in truth if trade.ts_us > edge_us - 10 * MINUTE_US)
        beyond = await collect(gemini, http, sim.market, after, mark(gemini, early))
        with pytest.raises(Fatal, match="does not serve trades as old as"):
            await anext(pages_since(gemini, http, sim.market, after.ts_us))
    [missing] = [page.missing for page in pages if page.missing]
    assert missing.after == after
    assert missing.before is not None
    assert edge_us < missing.before.ts_us
    fetched = counted(gemini, [trade for page in pages for trade in page.trades])
    assert not counted(gemini, [t for t in truth[:-1] if t.ts_us >= missing.before.ts_us]) - fetched
    assert [(page.missing and page.missing.before) for page in beyond] == [mark(gemini, early)]


@EACH
async def test_an_unknown_market_is_fatal(exchange: Exchange, simulator: Simulator) -> None:
    market = Market.canonical(f"{exchange.name}:NOPE-USD")
    async with http_of(exchange, simulator) as http:
        with pytest.raises(Fatal):
            await collect(exchange, http, market, Mark(5, now_us()), None)

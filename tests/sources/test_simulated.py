"""The contract of every exchange, over real sockets: what comes out is what truly happened there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
from websockets.asyncio.client import connect

from coinwatch.candle_builder import candles_from_trades
from coinwatch.errors import Fatal, Retryable
from coinwatch.intervals import Interval
from coinwatch.records import Candle, Market, Trade
from coinwatch.times import DAY_US, MINUTE_US, now_us
from coinwatch.windows import Window, merge
from simulator.server import Simulator
from simulator.truth import candle_in_minute
from sources.candles import Fetched, FetchedWindow, NoLongerServed, fetch_candles
from sources.exchanges import EXCHANGES
from sources.exchanges.base import Exchange, Paging, Past, Rejected, Reply, Skipped
from sources.http import HttpSource
from tests.sources.simulated import EACH, http_of, true_trades

QUIET = {
    "binance": "TRX-USDT",
    "bitstamp": "LTC-USD",
    "bybit": "LTC-USDT",
    "coinbase": "LTC-EUR",
    "gateio": "LTC-USDT",
    "gemini": "LTC-USD",
    "htx": "LTC-USDT",
    "kraken": "ADA-EUR",
    "mexc": "LTC-USDT",
    "okx": "LTC-USDT",
}
"""Markets where most minutes have no trade."""
BUSY = {"bitstamp": "BTC-USD", "gemini": "BTC-USD"}
"""Markets with much trade, where that is not BTC-USDT."""


def busy(exchange: Exchange) -> Market:
    return Market.canonical(f"{exchange.name}:{BUSY.get(exchange.name, 'BTC-USDT')}")


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """A calm one, where the small markets have empty minutes."""
    async with Simulator(trades_per_s=4) as running:
        yield running


@pytest.fixture
async def busy_simulator() -> AsyncIterator[Simulator]:
    async with Simulator(trades_per_s=400) as running:
        yield running


def true_candles(simulator: Simulator, market: Market, window: Window) -> list[Candle]:
    minutes = range(window.start_us // MINUTE_US, window.end_us // MINUTE_US)
    maybe_candles = (candle_in_minute(simulator.markets[market], minute) for minute in minutes)
    return [candle for candle in maybe_candles if candle is not None]


def comparable(exchange: Exchange, candles: list[Candle]) -> list[Candle]:
    """``candles`` without the fields that the exchange does not publish."""
    unsaid: dict[str, dict[str, None]] = {
        "bitstamp": {"quote_volume": None, "trades": None},
        "bybit": {"trades": None},
        "coinbase": {"quote_volume": None, "trades": None},
        "gemini": {"quote_volume": None, "trades": None},
        "gateio": {"trades": None},
        "kraken": {"quote_volume": None},
        "mexc": {"trades": None},
        "okx": {"trades": None},
    }
    return [msgspec.structs.replace(candle, **unsaid.get(exchange.name, {})) for candle in candles]


async def collect(
    exchange: Exchange, http: HttpSource, market: Market, interval: Interval, window: Window
) -> list[Fetched]:
    return [piece async for piece in fetch_candles(exchange, http, market, interval, window)]


def candles_of(pieces: list[Fetched]) -> list[Candle]:
    fetched = (piece for piece in pieces if isinstance(piece, FetchedWindow))
    return sorted(
        (candle for piece in fetched for candle in piece.candles), key=lambda candle: candle.open_ts_us
    )


@EACH
@pytest.mark.parametrize("quiet", [False, True], ids=["busy", "quiet"])
async def test_candles_of_the_last_hours(exchange: Exchange, quiet: bool, simulator: Simulator) -> None:
    market = Market.canonical(f"{exchange.name}:{QUIET[exchange.name]}") if quiet else busy(exchange)
    asked_us = now_us()
    window = Window(Interval.M1.floor(asked_us) - 6 * 60 * MINUTE_US, asked_us + 10 * MINUTE_US)
    async with http_of(exchange, simulator) as http:
        pieces = await collect(exchange, http, market, Interval.M1, window)
    [covered] = merge(piece.window for piece in pieces)
    assert covered.start_us == window.start_us
    assert asked_us - 2 * MINUTE_US <= covered.end_us + exchange.candles_late_us <= now_us()
    want = true_candles(simulator, market, covered)
    assert comparable(exchange, candles_of(pieces)) == comparable(exchange, want)
    assert (len(want) < 300) == quiet


@EACH
async def test_candles_of_long_ago(exchange: Exchange, simulator: Simulator) -> None:
    """Beyond what Kraken serves as candles, and wider than an answer of the others."""
    market = Market.canonical(f"{exchange.name}:{QUIET[exchange.name]}")
    start_us = 1_600_000_000_000_000 // DAY_US * DAY_US
    window = Window(start_us, start_us + DAY_US)
    async with http_of(exchange, simulator) as http:
        are_all_shown = exchange.trade_paging is Paging.SINCE and exchange.trades_reach_us is None
        if exchange.candles_depth is not None and not are_all_shown:
            pieces = await collect(exchange, http, market, Interval.M1, window)
            assert [(type(piece), piece.window) for piece in pieces] == [(NoLongerServed, window)]
            return
        pieces = await collect(exchange, http, market, Interval.M1, window)
    assert merge(piece.window for piece in pieces) == [window]
    want = true_candles(simulator, market, window)
    assert comparable(exchange, candles_of(pieces)) == comparable(exchange, want)
    assert len(want) > 30


async def test_old_candles_from_many_pages_of_trades(busy_simulator: Simulator) -> None:
    simulator = busy_simulator
    kraken, market = EXCHANGES["kraken"], Market.canonical("kraken:BTC-USD")
    start_us = 1_600_000_000_000_000 // DAY_US * DAY_US
    window = Window(start_us, start_us + 10 * MINUTE_US)
    async with http_of(kraken, simulator) as http:
        pieces = await collect(kraken, http, market, Interval.M1, window)
    assert merge(piece.window for piece in pieces) == [window]
    assert candles_of(pieces) == true_candles(simulator, market, window)
    assert simulator.requests["kraken/0/public/Trades"] > 3


@EACH
@pytest.mark.parametrize("interval", [Interval.M5, Interval.H1])
async def test_longer_candles(exchange: Exchange, interval: Interval, simulator: Simulator) -> None:
    market = Market.canonical(f"{exchange.name}:{QUIET[exchange.name]}")
    end_us = interval.floor(now_us() - DAY_US)
    window = Window(end_us - 2 * interval.us, end_us)
    async with http_of(exchange, simulator) as http:
        pieces = await collect(exchange, http, market, interval, window)
    want = candles_from_trades(interval, true_trades(simulator, market, window))
    assert comparable(exchange, candles_of(pieces)) == comparable(exchange, want)


@EACH
async def test_trades_by_page(exchange: Exchange, simulator: Simulator) -> None:
    market = busy(exchange)
    window = Window(now_us() - 60 * MINUTE_US, now_us())
    truth = true_trades(simulator, market, window)
    first = truth[0]
    async with http_of(exchange, simulator) as http:
        if exchange.trade_paging in (Paging.SINCE, Paging.FROM_ID):
            by_time = exchange.trade_paging is Paging.SINCE
            request = (
                exchange.trades_request(market, since_us=first.ts_us)
                if by_time
                else exchange.trades_request(market, from_id=first.trade_id)
            )
            page = exchange.decode_trades(market, (await http.get(request)).body)
            page = [trade for trade in page if trade.trade_id >= first.trade_id]
            assert len(page) == exchange.trades_per_request or page[-1].ts_us >= truth[-1].ts_us
            assert page[: len(truth)] == truth[: len(page)]
        latest = exchange.decode_trades(market, (await http.get(exchange.trades_request(market))).body)
    assert latest[-1].ts_us >= truth[-1].ts_us - truth[-1].ts_us % exchange.rest_ts_step_us
    assert [trade.ts_us for trade in latest] == sorted(trade.ts_us for trade in latest)


@EACH
async def test_instruments(exchange: Exchange, simulator: Simulator) -> None:
    async with http_of(exchange, simulator) as http:
        listed = exchange.decode_instruments((await http.get(exchange.instruments_request())).body)
    if exchange.name not in ("gemini", "kraken"):  # Gemini does not publish them
        assert {entry.market: (entry.price_step, entry.amount_step) for entry in listed} == {
            market: (sim.price_step, sim.amount_step)
            for market, sim in simulator.markets.items()
            if market.exchange == exchange.name
        }
    assert {entry.market for entry in listed} == {
        market for market in simulator.markets if market.exchange == exchange.name
    }
    assert all(entry.native == exchange.rest_native(entry.market) for entry in listed)


@EACH
async def test_an_unknown_market_is_fatal_with_the_exchanges_message(
    exchange: Exchange, simulator: Simulator
) -> None:
    market = Market.canonical(f"{exchange.name}:NOPE-USD")
    window = Window(now_us() - 10 * MINUTE_US, now_us())
    words = "symbol|NotFound|Unknown asset pair|invalid currency|HTTP 404|instrument"
    async with http_of(exchange, simulator) as http:
        with pytest.raises(Fatal, match=f"(?i){words}"):
            await collect(exchange, http, market, Interval.M1, window)


@EACH
async def test_faults_of_rest(exchange: Exchange, simulator: Simulator) -> None:
    async with http_of(exchange, simulator) as http:
        simulator.fail_rest(exchange.name, 503, times=2)
        await http.get(exchange.instruments_request())
        simulator.fail_rest(exchange.name, 429, times=1, retry_after_s=1)
        await http.get(exchange.instruments_request())
        simulator.fail_rest(exchange.name, 500, times=3)
        with pytest.raises(Retryable, match="simulated failure"):
            await http.get(exchange.instruments_request())


@pytest.mark.parametrize(
    ("exchange", "path"),
    [*((exchange, "") for exchange in EXCHANGES.values()), (EXCHANGES["gemini"], "/v2/marketdata")],
    ids=[*EXCHANGES, "gemini v2"],
)
async def test_the_stream_has_the_true_trades(
    exchange: Exchange, path: str, busy_simulator: Simulator
) -> None:
    """Subscribe, read for a while, unsubscribe: each trade once, in order, none missing."""
    simulator = busy_simulator
    market = busy(exchange)
    root = simulator.settings_overrides()[f"{exchange.name}_ws_url"] + path
    exchange = exchange.feed(root)
    decode = exchange.decoder([market])
    trades: list[Trade] = []
    kinds: set[str] = set()
    async with (
        asyncio.timeout(60),
        connect(exchange.stream_url(root), compression=None, close_timeout=1) as socket,
    ):
        for frame in exchange.subscribe([market]):
            await socket.send(frame.decode())
        while len(trades) < 12:
            answer = decode(await socket.recv(decode=False))
            if isinstance(answer, list):
                trades += answer
            elif isinstance(answer, Skipped):
                kinds.add(answer.kind)
            else:
                assert isinstance(answer, Past | Reply)
        for frame in exchange.unsubscribe([market]):
            await socket.send(frame.decode())
    assert kinds & {"ack", "book"}  # Gemini's archived feed answers with the book alone
    window = Window(trades[0].ts_us, trades[-1].ts_us + 1)
    truth = true_trades(simulator, market, window)
    if exchange.has_trade_ids:
        assert [
            trade for trade in truth if trades[0].trade_id <= trade.trade_id <= trades[-1].trade_id
        ] == trades
    else:  # of the first and the last moment it may have seen a part
        within = (trades[0].ts_us, trades[-1].ts_us)
        numbers = [msgspec.structs.replace(trade, trade_id=0) for trade in truth if trade.ts_us not in within]
        assert numbers == [
            msgspec.structs.replace(trade, trade_id=0) for trade in trades if trade.ts_us not in within
        ]
        assert len({trade.trade_id for trade in trades}) == len(trades)


@EACH
async def test_an_unknown_market_does_not_affect_the_others(
    exchange: Exchange, busy_simulator: Simulator
) -> None:
    simulator = busy_simulator
    right, wrong = busy(exchange), Market.canonical(f"{exchange.name}:NOPE-USD")
    decode = exchange.decoder([wrong, right])
    root = simulator.settings_overrides()[f"{exchange.name}_ws_url"]
    rejected: list[Rejected] = []
    async with (
        asyncio.timeout(60),
        connect(exchange.stream_url(root), compression=None, close_timeout=1) as socket,
    ):
        for frame in exchange.subscribe([wrong, right]):
            await socket.send(frame.decode())
        while not isinstance(answer := decode(await socket.recv(decode=False)), list):
            if isinstance(answer, Rejected):
                rejected.append(answer)
    if exchange.name != "binance":  # which takes any name and stays silent
        assert [refusal.native for refusal in rejected] == [exchange.native(wrong)]

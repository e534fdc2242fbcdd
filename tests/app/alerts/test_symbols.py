"""Symbols that can be watched: collected, listed, or possible on an exchange without a known list."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import URL

from coinwatch.records import Instrument, Market, MarketStatus, Symbol, Trade
from coinwatch.times import now_us
from tests.app.alerts.conftest import Endpoint, Exchange
from warehouse.alerts.watched_markets import watched_markets
from warehouse.db.connect import connect
from warehouse.markets import ensure_markets, upsert_instruments
from warehouse.trades.writer import TickWriter

Start = Callable[[], Awaitable[Endpoint]]


async def list_markets(database: URL, *names: str, delisted: str = "") -> None:
    """Store markets as an exchange's list of instruments."""
    async with await connect(database, application_name="test list") as conn:
        await upsert_instruments(
            conn,
            [
                Instrument(
                    market=Market.canonical(name),
                    native=name,
                    status=MarketStatus.DELISTED if name == delisted else MarketStatus.ACTIVE,
                    price_step=0.01,
                )
                for name in names
            ],
        )


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        ("btcusd", "BTC-USDT"),
        ("kraken:BTC-USDC", "binance:BTC-USDC"),
        ("kraken:DOGE-EUR", "no market trades DOGE-EUR"),
        ("kraken:LUNA-EUR", "no market trades LUNA-EUR"),
        ("krakn:BTC-USDT", "kraken"),
        ("bitmart:BTC-USDT", "unknown exchange"),
        ("binance:FOO-BAR", "no market trades FOO-BAR"),
        ("binance:gibberish", "no known quote asset"),
        ("binance:", "not a pair"),
        ("doge-eur", "doge-eur"),
    ],
)
async def test_unknown_symbols_are_refused_with_near_matches(
    exchange: Exchange, start: Start, database: URL, typed: str, text: str
) -> None:
    await list_markets(database, "kraken:BTC-EUR", "kraken:LUNA-EUR", delisted="kraken:LUNA-EUR")
    endpoint = await start()
    async with endpoint.client() as client:
        answer = await client.ask(cmd="watch", symbol=typed, price=1, id=1)
        assert answer["code"] == "unknown_symbol"
        assert text in answer["message"] + answer["hint"]


@pytest.mark.parametrize(
    ("typed", "exchange_named", "symbol"),
    [
        ("btc/eur", None, "BTC-EUR"),
        ("kraken:btceur", "kraken", "BTC-EUR"),
        ("coinbase:BTC-USDC", "coinbase", "BTC-USDC"),
        ("binance:dogeeur", "binance", "DOGE-EUR"),
    ],
)
async def test_a_market_can_be_watched_before_it_is_streamed(
    exchange: Exchange,
    start: Start,
    database: URL,
    typed: str,
    exchange_named: str | None,
    symbol: str,
) -> None:
    await list_markets(database, "kraken:BTC-EUR")
    endpoint = await start()
    async with endpoint.client() as client:
        ack = await client.ask(cmd="watch", symbol=typed, price=1)
        assert (ack["exchange"], ack["symbol"]) == (exchange_named, symbol)
    # The daemon streams it because it is watched, and its first trade fires the rule.
    market = Market(exchange_named or "kraken", Symbol.canonical(symbol))
    async with endpoint.client("?client=bot") as client:
        ack = await client.ask(cmd="watch", symbol=typed, price=1)
        async with await connect(database, application_name="test daemon") as conn:
            assert market in await watched_markets(conn)
            ids = await ensure_markets(conn, {market: str(market)})
            await TickWriter(conn, ids).write([Trade(market, 1, now_us(), 2.0, 1.0, True)])
        assert (await client.read())["rule_id"] == ack["rule_id"]

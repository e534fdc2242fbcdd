"""What an endpoint holds of a client ends with the client."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.server import ServerProtocol

from app.alerts.access.admission import ClientConnection
from app.alerts.rules.engine import RuleEngine
from app.alerts.rules.market_state import Pair, PriceSeries, Span, Turnover
from app.alerts.rules.stateful_rule import StatefulRule
from app.alerts.rules.threshold_index import Series, Threshold
from coinwatch.alerts import Rule
from coinwatch.alerts.condition_parser import EXAMPLES, read_condition
from coinwatch.records import Market, Symbol, Trade
from tests.app.alerts.conftest import Client, Endpoint
from tests.waiting import eventually


@pytest.mark.parametrize("ended", ["closed", "lost", "not_utf8", "too_large", "reserved_bits"])
@pytest.mark.parametrize("query", ["", "?client=brief"])
async def test_a_connection_that_has_ended_is_gone_at_once(
    endpoint: Endpoint, ended: str, query: str
) -> None:
    gc.collect()
    with no_collector():
        async with endpoint.client(query) as client:
            assert (await client.ask(cmd="watch", symbol="ethusd", price=1e9))["type"] == "ack"
            await eventually(lambda: held() == 2)
            await end(client, ended)
        await eventually(lambda: held() == 0)


async def test_who_asked_for_a_page_is_gone_at_once(endpoint: Endpoint) -> None:
    gc.collect()
    with no_collector():
        for path in ("/healthz", "/metrics", "/ws?client=%20", "/nowhere"):
            await endpoint.get(path)
        await eventually(lambda: held() == 0)


CONDITIONS = [
    *map(json.loads, EXAMPLES.values()),
    {"type": "above", "price": 2.0, "source": "average"},
    {"type": "new_high", "over": "1h", "source": "candle", "interval": "1m"},
]
PARTS = Threshold, StatefulRule, Span, Turnover, Series, PriceSeries, Pair
BITCOIN = Market.canonical("binance:BTC-USDT")


def test_nothing_is_kept_for_rules_that_are_gone() -> None:
    engine = RuleEngine()
    feed = engine.meet(1, BITCOIN)
    gc.collect()
    with no_collector():
        before = held(*PARTS)
        rules = [
            Rule(
                id=number,
                symbol=symbol,
                condition=read_condition(fields),
                typed="",
                client="c",
                created_at_us=0,
            )
            for number, (fields, symbol) in enumerate(
                (fields, symbol) for fields in CONDITIONS for symbol in (BITCOIN.symbol, Symbol("NEW", "USD"))
            )
        ]
        for rule in rules:
            engine.put(rule, 0)
        engine.trade(feed, Trade(BITCOIN, 1, 1, 0.5, 1.0, True), 1, 1)
        assert held(*PARTS) > before + len(rules)
        engine.tidy()
        assert held(*PARTS) > before + len(rules)
        for rule in rules:
            engine.remove(rule.id)
        engine.drain()
        del feed
        engine.tidy()
        assert held(*PARTS) == before
        assert not feed_of(engine).needs_every_trade


def feed_of(engine: RuleEngine) -> PriceSeries:
    return engine.market_state.markets[1]


def test_nothing_is_kept_of_a_machine_that_has_ended() -> None:
    gc.collect()
    with no_collector():
        before = held(*PARTS)
        engine = RuleEngine()
        engine.meet(1, BITCOIN)
        for number, fields in enumerate(CONDITIONS):
            condition = read_condition(fields)
            engine.put(
                Rule(
                    id=number,
                    symbol=BITCOIN.symbol,
                    condition=condition,
                    typed="",
                    client="c",
                    created_at_us=0,
                ),
                0,
            )
        assert held(*PARTS) > before
        engine.end()
        del engine
        assert held(*PARTS) == before


async def end(client: Client, how: str) -> None:
    match how:
        case "lost":
            client.socket.transport.abort()
        case "not_utf8":
            await client.socket.send(b"\xff\xfe", text=True)
        case "too_large":
            await client.socket.send("x" * 300_000)
        case "reserved_bits":
            client.socket.transport.write(b"\xf1\x80\0\0\0\0")
        case _:
            await client.socket.close()
    with suppress(ConnectionClosed):
        await client.socket.recv()


@contextmanager
def no_collector() -> Iterator[None]:
    """Only what nothing refers to goes: what is left in cycles would wait for long in a big process."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def held(*kinds: type) -> int:
    """How many there are, of connections if nothing else is asked for."""
    # By the type alone: isinstance would ask proxies of what is gone.
    wanted = kinds or (ClientConnection, ServerProtocol)
    return sum(issubclass(type(alive), wanted) for alive in gc.get_objects())

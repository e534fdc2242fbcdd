"""The contract of every exchange and of the template: declarations, and decoding of corrupt input."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sources.exchanges
from coinwatch.errors import BadMessage, Fatal
from coinwatch.intervals import Interval
from coinwatch.records import Market, Trade
from coinwatch.settings import Settings
from coinwatch.windows import Window
from sources.exchanges import EXCHANGES
from sources.exchanges._template import Example
from sources.exchanges.base import Exchange, Past, Rejected, Reply, Skipped
from sources.wire import is_trade
from tests.sources import recorded

FOLDER = Path(sources.exchanges.__file__).parent
SYMBOLS = ("BTC-USDT", "BTC-USD", "ZIL-USDT", "SKL-USD")
KINDS = {
    *("other market", "ack", "heartbeat", "status", "ticker", "book", "candle", "pong"),
    *("shutdown", "other", "trade", "order", "instrument", "empty"),
}
TEMPLATE = Example()
CHECKED = {**EXCHANGES, TEMPLATE.name: TEMPLATE}
EACH = pytest.mark.parametrize("exchange", CHECKED.values(), ids=CHECKED.keys())


def check_decode(exchange: Exchange, frame: bytes) -> None:
    """Any frame decodes to possible trades, Skipped of a known kind, Rejected or Reply, or BadMessage."""
    decode = exchange.decoder(recorded.markets(exchange.name, *SYMBOLS))
    try:
        answer = decode(frame)
    except BadMessage:
        return
    if isinstance(answer, Skipped):
        assert answer.kind in KINDS
    elif not isinstance(answer, Rejected | Reply):
        assert answer
        for trade in answer.trades if isinstance(answer, Past) else answer:
            assert isinstance(trade, Trade)
            assert is_trade(trade.trade_id, trade.ts_us, trade.price, trade.amount)
            assert trade.market.exchange == exchange.name


def check_bodies(exchange: Exchange, body: bytes) -> None:
    market = Market.canonical(f"{exchange.name}:BTC-USDT")
    for decode in (
        lambda: exchange.decode_candles(market, Interval.M1, body),
        lambda: exchange.decode_trades(market, body),
        lambda: exchange.decode_instruments(body),
    ):
        with suppress(BadMessage):
            assert isinstance(decode(), list)
    if exchange.volumes_request() is not None:
        with suppress(BadMessage):
            assert isinstance(exchange.decode_volumes(body), dict)
    exchange.error_in(body)


def test_every_module_but_private_ones_is_registered() -> None:
    modules = {path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_")} - {"base"}
    assert modules == EXCHANGES.keys()
    assert all(name == exchange.name for name, exchange in EXCHANGES.items())


def test_every_exchange_has_urls_in_the_settings() -> None:
    assert set(Settings.exchanges()) == EXCHANGES.keys()


@EACH
def test_declarations_are_consistent(exchange: Exchange) -> None:
    assert exchange.rest_limit.scaled(2).per_second == 2 * exchange.rest_limit.per_second
    assert (exchange.keepalive() is None) == (exchange.keepalive_s is None)
    market = Market.canonical(f"{exchange.name}:BTC-USDT")
    for interval in Interval:
        window = Window(0, interval.us)
        if interval in exchange.intervals:
            assert exchange.candles_request(market, interval, window).cost <= exchange.rest_limit.capacity
        else:
            with pytest.raises(Fatal):
                exchange.candles_request(market, interval, window)
    assert len(exchange.subscribe([market])) == len(exchange.unsubscribe([market])) == 1
    assert exchange.by_native([market]) == {exchange.native(market): market}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "e",
                    "s",
                    "a",
                    "p",
                    "T",
                    "m",
                    "data",
                    "stream",
                    "type",
                    "channel",
                    "error",
                    "result",
                    "method",
                ]
            )
            | st.text(max_size=4),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)


@EACH
@given(junk=st.binary(max_size=300) | JSON.map(lambda value: json.dumps(value).encode()))
def test_random_input_raises_nothing_but_bad_messages(exchange: Exchange, junk: bytes) -> None:
    check_decode(exchange, junk)
    check_bodies(exchange, junk)


@EACH
@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b'{"data":' * 100_000,
        b'{"stream":"' + b"\xff" * 10 + b'","data":{}}',
        b'{"type":"match","time":"\xff"}',
        b'{"a":' + b"9" * 10_000 + b"}",
        b'{"e":"aggTrade","T":1e400}',
        b'{"channel":"trade","data":[null]}',
        b"\xef\xbb\xbf{}",
    ],
    ids=lambda junk: repr(junk[:12]),
)
def test_hostile_input_raises_nothing_but_bad_messages(exchange: Exchange, junk: bytes) -> None:
    check_decode(exchange, junk)
    check_bodies(exchange, junk)


@EACH
@pytest.mark.parametrize("count", [2_000, pytest.param(25_000, marks=pytest.mark.proof)])
def test_corrupt_recordings_raise_nothing_but_bad_messages(
    recordings: Path, exchange: Exchange, count: int
) -> None:
    """Recorded frames and answers with bytes changed, removed, duplicated or truncated."""
    random = Random(f"damage {exchange.name}")
    folder = recordings / exchange.name
    valid = [frame for path in sorted(folder.glob("ws_*.jsonl")) for frame in recorded.frames(path)]
    for frame in random.choices(valid, k=count) if valid else []:
        check_decode(exchange, corrupted(random, frame))
    for path in sorted(folder.glob("rest_*.json")):
        body = recorded.body(path)[:4_000]
        for _ in range(40):
            check_bodies(exchange, corrupted(random, body))


def corrupted(random: Random, frame: bytes) -> bytes:
    wrong = bytearray(frame)
    for _ in range(random.randint(1, 3)):
        place = random.randrange(len(wrong)) if wrong else 0
        match random.randrange(4):
            case 0 if wrong:
                wrong[place] = random.choice(b'0123456789-.eE"{}[],:ntf\x00\xff')
            case 1:
                del wrong[place : place + random.randint(1, 12)]
            case 2:
                wrong[place:place] = wrong[place : place + random.randint(1, 40)]
            case _:
                del wrong[place:]
    return bytes(wrong)

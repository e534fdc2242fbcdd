"""Whatever a client sends is answered or refused, never a crash."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.exchanges.base import Refused, Venue
from simulator.exchanges.binance import Binance
from simulator.exchanges.coinbase import Coinbase
from simulator.exchanges.kraken import Kraken
from simulator.history import History
from simulator.markets import sim_markets
from tests.simulator.asking import NOW_US, Here

MARKETS, HISTORY = sim_markets(2), History()
VENUES: dict[str, Venue] = {venue.name: venue(MARKETS, HISTORY) for venue in (Binance, Coinbase, Kraken)}
PATHS = {
    "binance": ["/api/v3/klines", "/api/v3/aggTrades", "/api/v3/historicalTrades", "/api/v3/exchangeInfo"],
    "coinbase": ["/products/BTC-USD/candles", "/products/BTC-USD/trades", "/products//", "/time/x"],
    "kraken": ["/0/public/OHLC", "/0/public/Trades", "/0/public/AssetPairs", "/0/public/"],
}
NAMES = ["startTime", "endTime", "fromId", "limit", "start", "end", "granularity", "after", "before", "since"]
NAMES += ["count", "interval"]
FITTING = {"symbol": "BTCUSDT", "pair": "XBTUSD"}

scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
words = st.sampled_from(
    [
        "subscribe",
        "SUBSCRIBE",
        "UNSUBSCRIBE",
        "matches",
        "trade",
        "BTC-USD",
        "BTC/USD",
        "btcusdt@trade",
        "ping",
    ]
)
keys = st.sampled_from(
    ["method", "params", "id", "type", "channels", "product_ids", "channel", "symbol", "name"]
)
messages = st.recursive(
    scalars | words,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(keys | st.text(max_size=3), inner, max_size=5)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("name", list(VENUES))
@given(text=messages.map(json.dumps) | st.text(max_size=30))
@settings(deadline=None)
def test_any_message_is_answered(name: str, text: str) -> None:
    session = VENUES[name].session("/stream" if name == "binance" else "", {}, Here())
    assert session is not None
    for frame in session.receive(text, NOW_US):
        json.loads(frame)


@pytest.mark.parametrize("name", list(VENUES))
@given(
    data=st.data(),
    params=st.dictionaries(
        st.sampled_from(NAMES),
        st.integers(-(10**20), 10**20).map(str)
        | st.sampled_from(["1", "60", "1m", "1h", "0"])
        | st.text(max_size=9),
        max_size=4,
    ),
)
@settings(deadline=None)
def test_any_request_is_answered_or_refused(name: str, data: st.DataObject, params: dict[str, str]) -> None:
    path = data.draw(st.sampled_from(PATHS[name]))
    with suppress(Refused):
        json.loads(VENUES[name].rest(path, {**FITTING, "interval": "1m", **params}, NOW_US).body)

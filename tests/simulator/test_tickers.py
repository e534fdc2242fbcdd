"""Tickers of the simulated exchanges: the shape is the recorded one, the volume that of the trades."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from coinwatch.times import MINUTE_US
from simulator.exchanges.base import Venue
from simulator.history import History
from simulator.markets import sim_markets
from simulator.server import VENUES
from simulator.truth import GENESIS_MINUTE, trades_in_minutes
from sources.exchanges import EXCHANGES
from tests.simulator.asking import NOW_MINUTE, NOW_US, ask, full, refusal
from tests.simulator.shapes import body, shape

MARKETS = sim_markets(2)
HISTORY = History()
AT: dict[str, Venue] = {venue.name: venue(MARKETS, HISTORY) for venue in VENUES}


def asked(name: str) -> bytes:
    request = EXCHANGES[name].volumes_request()
    assert request is not None
    return full(AT[name], request.path, **request.params).body


@pytest.mark.parametrize("name", sorted(AT.keys() - {"gemini"}))
def test_every_market_has_the_volume_of_its_trades(name: str) -> None:
    listing = EXCHANGES[name].instruments_request()
    listed = EXCHANGES[name].decode_instruments(full(AT[name], listing.path, **listing.params).body)
    volumes = EXCHANGES[name].decode_volumes(asked(name))
    assert volumes.keys() == {instrument.native for instrument in listed}
    assert {instrument.market for instrument in listed} == {m for m in MARKETS if m.exchange == name}
    for instrument in listed:
        trades = trades_in_minutes(MARKETS[instrument.market], NOW_MINUTE - 1_439, 1_440)
        past = trades.ts_us <= NOW_US
        quote_volume = float((trades.price * trades.amount)[past].sum())
        # Coinbase publishes the volume in the base asset, and the price moves over the day.
        assert volumes[instrument.native] == pytest.approx(
            quote_volume, rel=0.2 if name == "coinbase" else 1e-3
        )
    assert asked(name) == asked(name)


@pytest.mark.parametrize(
    ("name", "file", "key"),
    [
        ("binance", "rest_ticker_24hr_ethbtc.json", "symbol"),
        ("bitstamp", "rest_ticker_btcusd.json", "vwap"),
        ("bybit", "rest_tickers_spot.json", "symbol"),
        ("gateio", "rest_tickers_btcusdt.json", "currency_pair"),
        ("kraken", "rest_ticker_xbtusdt.json", "v"),
        ("mexc", "rest_ticker_24hr_btcusdt.json", "symbol"),
    ],
)
def test_rows_have_the_recorded_shape(recordings: Path, name: str, file: str, key: str) -> None:
    mine = first_with(key, json.loads(asked(name)))
    real = first_with(key, body(recordings / name, file))
    # In 2013 Bitstamp did not name the pair, as there was no request for all pairs.
    assert mine.keys() - real.keys() <= {"open", "market_type", "pair"}
    for field in mine.keys() & real.keys():
        kinds = [str(shape(row[field])).replace("whole", "decimal") for row in (mine, real)]
        assert kinds[0] == kinds[1], field


def first_with(key: str, value: Any) -> dict[str, Any]:
    """The first object that has ``key``."""
    if isinstance(value, dict) and key in value:
        return value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next((match for part in inner if (match := first_with(key, part))), {})


def test_binance_charges_for_all_tickers_and_has_them_in_short_only() -> None:
    answer = full(AT["binance"], "/api/v3/ticker/24hr", type="MINI")
    assert int(answer.headers["x-mbx-used-weight-1m"]) >= 80
    assert refusal(AT["binance"], "/api/v3/ticker/24hr")[1]["code"] == -1128


def test_kraken_can_select_pairs() -> None:
    result = ask(AT["kraken"], "/0/public/Ticker", pair="XBTUSD,DOGE/USD")["result"]
    assert result.keys() == {"XXBTZUSD", "XDGUSD"}
    assert refusal(AT["kraken"], "/0/public/Ticker", pair="NOPE")[1]["error"] == ["EQuery:Unknown asset pair"]


def test_okx_and_gateio_publish_listing_times() -> None:
    for name in ("okx", "gateio"):
        listing = EXCHANGES[name].instruments_request()
        listed = EXCHANGES[name].decode_instruments(full(AT[name], listing.path, **listing.params).body)
        assert {instrument.listed_us for instrument in listed} == {GENESIS_MINUTE * MINUTE_US}

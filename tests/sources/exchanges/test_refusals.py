"""A refusal names the whole market, also where the name of one market begins another's."""

from __future__ import annotations

import gzip

import pytest

from coinwatch.records import Market
from sources.exchanges import EXCHANGES
from sources.exchanges.base import Rejected

REFUSALS = {
    "bitstamp": '{{"event":"bts:error","channel":"live_trades_{}","data":{{"code":4005,"message":"Bad"}}}}',
    "bybit": '{{"success":false,"ret_msg":"error:handler not found,topic:publicTrade.{}","op":"subscribe"}}',
    "coinbase": '{{"type":"error","message":"Failed to subscribe","reason":"{} is not a valid product"}}',
    "gateio": '{{"time":1,"channel":"spot.trades","event":"subscribe","payload":["{}"],'
    '"error":{{"code":2,"message":"unknown currency pair"}},"result":null}}',
    "gemini": '{{"id":"{}","status":400,"error":{{"code":-1121,"msg":"Invalid symbol"}}}}',
    "htx": '{{"status":"error","err-code":"bad-request","err-msg":"invalid topic","id":"{}","ts":1}}',
    "kraken": '{{"error":"Currency pair not supported","method":"subscribe","success":false,"symbol":"{}"}}',
    "mexc": '{{"id":0,"code":0,"msg":"Not Subscribed successfully! '
    '[spot@public.aggre.deals.v3.api.pb@100ms@{}]."}}',
    "okx": '{{"event":"error","code":"60018","msg":"Wrong channel:trades-all,instId:{} doesn\'t exist."}}',
}
"""One for each exchange whose refusals name a market; Binance's do not."""


@pytest.mark.parametrize("refused", ["BTC-USD", "BTC-USDX", "XBTC-USD"])
@pytest.mark.parametrize("name", REFUSALS)
def test_only_the_refused_market_is_refused(name: str, refused: str) -> None:
    exchange = EXCHANGES[name]
    markets = [Market.canonical(f"{name}:{symbol}") for symbol in ("BTC-USD", "BTC-USDX", "XBTC-USD")]
    native = exchange.native(Market.canonical(f"{name}:{refused}"))
    frame = REFUSALS[name].format(native).encode()
    answer = exchange.decoder(markets)(gzip.compress(frame) if name == "htx" else frame)
    assert isinstance(answer, Rejected)
    assert answer.native == native


def test_every_exchange_is_covered() -> None:
    assert EXCHANGES.keys() == {*REFUSALS, "binance"}

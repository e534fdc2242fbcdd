"""The template of an exchange decodes the samples in its docstrings."""

from __future__ import annotations

import pytest

from coinwatch.errors import BadMessage, Fatal
from coinwatch.intervals import Interval
from coinwatch.records import Market, MarketStatus, Trade
from coinwatch.windows import Window
from sources.exchanges import base
from sources.exchanges._template import Example
from sources.exchanges.base import Rejected, Skipped

EXAMPLE = Example()
MARKET = Market.canonical("example:BTC-USDT")
TRADE = Trade(MARKET, 7, 1_786_310_822_605_000, 65_140.5, 0.0027, True)
ROW = b'{"id":7,"price":"65140.5","size":"0.0027","side":"buy","time_ms":1786310822605}'
FRAME = b'{"channel":"trades","market":"BTC-USDT","data":[' + ROW + b"]}"


@pytest.mark.parametrize(
    ("frame", "decoded"),
    [
        (FRAME, [TRADE]),
        (FRAME.replace(b"BTC-USDT", b"ETH-USDT"), base.OTHER_MARKET),
        (FRAME.replace(ROW, b""), Skipped("empty")),
        (b'{"event":"subscribed","channel":"trades","market":"BTC-USDT"}', base.ACK),
        (b'{"event":"pong"}', base.PONG),
        (b'{"channel":"heartbeat"}', base.HEARTBEAT),
        (
            b'{"event":"error","market":"NO-PE","message":"unknown market"}',
            Rejected("NO-PE", "unknown market"),
        ),
    ],
)
def test_frames_decode_as_documented(frame: bytes, decoded: object) -> None:
    assert EXAMPLE.decoder([MARKET])(frame) == decoded


@pytest.mark.parametrize("wrong", [b'"side":"both"', b'"side":"buy","price":"-1"', b'"side":"buy","id":"x"'])
def test_an_impossible_trade_is_a_bad_message(wrong: bytes) -> None:
    with pytest.raises(BadMessage):
        EXAMPLE.decoder([MARKET])(FRAME.replace(b'"side":"buy"', wrong))


def test_bodies_decode_as_documented() -> None:
    body = b'[[1786310820000,"65140","65150","65130","65145","1.5","97710"]]'
    (candle,) = EXAMPLE.decode_candles(MARKET, Interval.M1, body)
    assert (candle.open_ts_us, candle.close, candle.quote_volume) == (1_786_310_820_000_000, 65_145, 97_710)
    assert EXAMPLE.decode_trades(MARKET, b"[" + ROW + b"]") == [TRADE]
    (listed,) = EXAMPLE.decode_instruments(
        b'[{"name":"BTC-USDT","base":"BTC","quote":"USDT","status":"trading","price_step":"0.1",'
        b'"size_step":"0.00001"}]'
    )
    assert (listed.market, listed.status, listed.price_step) == (MARKET, MarketStatus.ACTIVE, 0.1)
    volumes = EXAMPLE.decode_volumes(b'[{"name":"BTC-USDT","quote_volume":"889377538.04"}]')
    assert volumes == {"BTC-USDT": 889_377_538.04}
    assert EXAMPLE.error_in(b'{"error":"unknown market"}') == "unknown market"


def test_requests_page_forward_by_id_only() -> None:
    assert EXAMPLE.trades_request(MARKET, from_id=7).params["from_id"] == "7"
    with pytest.raises(Fatal):
        EXAMPLE.trades_request(MARKET, since_us=1)
    params = EXAMPLE.candles_request(MARKET, Interval.M1, Window(60_000_000, 120_000_000)).params
    assert (params["from_ms"], params["to_ms"]) == ("60000", "120000")

"""Bitstamp: every recorded frame and answer, as whole records."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from coinwatch.errors import BadMessage, Fatal
from coinwatch.intervals import Interval
from coinwatch.records import Candle, Instrument, Market, MarketStatus, Trade
from coinwatch.windows import Window
from sources.exchanges import EXCHANGES
from sources.exchanges.base import Rejected, Skipped
from tests.sources import recorded

BITSTAMP = EXCHANGES["bitstamp"]
BTC_USD, ETH_USD, LTC_USD = recorded.markets("bitstamp", "BTC-USD", "ETH-USD", "LTC-USD")
TRADE = (
    b'{"data":{"id":216000477,"timestamp":"1641343699","amount":0.0792,"amount_str":"0.07920000",'
    b'"price":3805.44,"price_str":"3805.44","type":0,"microtimestamp":"1641343699596000",'
    b'"buy_order_id":1443875737346049,"sell_order_id":1443875731320832},'
    b'"channel":"live_trades_ethusd","event":"trade"}'
)


def _market(native: str) -> Market:
    return Market.canonical(f"bitstamp:{native[:-3].upper()}-{native[-3:].upper()}")


@pytest.mark.parametrize(
    ("name", "trades"), [("ws_live_trades_2022.jsonl", 10), ("ws_live_trades_2021_04_17.jsonl", 16)]
)
def test_recorded_frames(recordings: Path, name: str, trades: int) -> None:
    frames = recorded.frames(recordings / "bitstamp" / name)
    channels = {recorded.loads(frame)["channel"].rpartition("_")[2] for frame in frames}
    markets = [_market(native) for native in sorted(channels)]
    got, kinds = recorded.decoded(BITSTAMP.decoder(markets), frames)
    want: list[Trade] = []
    for sent in map(recorded.loads, frames):
        if sent["event"] == "trade":
            row = sent["data"]
            want.append(
                Trade(
                    market=_market(sent["channel"].rpartition("_")[2]),
                    trade_id=row["id"],
                    ts_us=int(row["microtimestamp"]),
                    price=float(row["price_str"]),
                    amount=float(row["amount_str"]),
                    taker_buys=row["type"] == 0,
                )
            )
    assert got == want
    assert len(got) == trades
    assert kinds == {"ack": 20, "book": 60}


@pytest.mark.parametrize(
    ("frame", "answer"),
    [
        (
            b'{"event":"bts:heartbeat","channel":"","data":{"status":"success"}}',
            Skipped("pong"),
        ),
        (b'{"event":"bts:request_reconnect","channel":"","data":""}', Skipped("shutdown")),
        (
            b'{"event":"bts:error","channel":"live_trades_nopeusd","data":{"code":null,'
            b'"message":"Bad subscription string."}}',
            Rejected("nopeusd", "Bad subscription string."),
        ),
        (
            b'{"event":"bts:error","channel":"","data":{"code":null,"message":"Bad message."}}',
            Rejected(None, "Bad message."),
        ),
        (b'{"event":"bts:something_new"}', Skipped("other")),
        (TRADE.replace(b"ethusd", b"xrpusd"), Skipped("other market")),
    ],
)
def test_other_frames(frame: bytes, answer: object) -> None:
    assert BITSTAMP.decoder([ETH_USD])(frame) == answer


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"3805.44"', b'"0"'),
        (b'"3805.44"', b'"nan"'),
        (b'"0.07920000"', b'"-1"'),
        (b'"0.07920000"', b"null"),
        (b"216000477", b"-1"),
        (b"216000477", b"9223372036854775808"),
        (b'"type":0', b'"type":2'),
        (b'"1641343699596000"', b'"soon"'),
        (b'"1641343699596000"', b'"16413436995960000000"'),
    ],
)
def test_impossible_trades_are_refused(old: bytes, new: bytes) -> None:
    frame = TRADE.replace(old, new)
    assert frame != TRADE
    with pytest.raises(BadMessage):
        BITSTAMP.decoder([ETH_USD])(frame)


def test_subscribe_is_a_frame_for_each_market() -> None:
    sent = [msgspec.json.decode(frame) for frame in BITSTAMP.subscribe([BTC_USD, ETH_USD])]
    assert sent == [
        {"event": "bts:subscribe", "data": {"channel": f"live_trades_{pair}"}}
        for pair in ("btcusd", "ethusd")
    ]


def test_recorded_candles(recordings: Path) -> None:
    body = recorded.body(recordings / "bitstamp" / "rest_ohlc_btcusd_1m.json")
    got = BITSTAMP.decode_candles(BTC_USD, Interval.M1, body)
    assert got == [
        Candle(
            market=BTC_USD,
            interval=Interval.M1,
            open_ts_us=int(row["timestamp"]) * 1_000_000,
            open=float(row["open"]),
            high=float(row["high"]),
            low=float(row["low"]),
            close=float(row["close"]),
            volume=float(row["volume"]),
            trades=None if Decimal(row["volume"]) else 0,
        )
        for row in recorded.loads(body)["data"]["ohlc"]
    ]
    assert len(got) == 1_000
    assert sum(candle.trades == 0 for candle in got) == 13


def test_a_day_sent_twice_is_one_candle() -> None:
    row = '{"timestamp":"86400","open":"5","high":"5","low":"5","close":"5","volume":"1"}'
    body = f'{{"data":{{"pair":"BTC/USD","ohlc":[{row},{row}]}}}}'.encode()
    assert len(BITSTAMP.decode_candles(BTC_USD, Interval.D1, body)) == 1


def test_candles_are_asked_for_with_both_ends_included() -> None:
    request = BITSTAMP.candles_request(BTC_USD, Interval.M1, Window(120_000_000, 300_000_000))
    assert request.path == "/api/v2/ohlc/btcusd/"
    assert request.params == {"step": "60", "limit": "1000", "start": "120", "end": "240"}


def test_recorded_trades(recordings: Path) -> None:
    body = recorded.body(recordings / "bitstamp" / "rest_transactions_ltcusd.json")
    assert BITSTAMP.decode_trades(LTC_USD, body) == [
        Trade(
            market=LTC_USD,
            trade_id=int(row["tid"]),
            ts_us=int(row["date"]) * 1_000_000,
            price=float(row["price"]),
            amount=float(row["amount"]),
            taker_buys=row["type"] == "0",
        )
        for row in reversed(recorded.loads(body))
    ]


def test_only_the_newest_trades_can_be_had() -> None:
    spans = [request.params["time"] for request in BITSTAMP.newest_trades_requests(BTC_USD)]
    assert spans == ["minute", "hour", "day"]
    for argument in ({"from_id": 7}, {"since_us": 7}, {"before_id": 7}):
        with pytest.raises(Fatal, match="only the trades of the last"):
            BITSTAMP.trades_request(BTC_USD, **argument)


def test_recorded_instruments(recordings: Path) -> None:
    body = recorded.body(recordings / "bitstamp" / "rest_trading_pairs_info.json")
    got = BITSTAMP.decode_instruments(body)
    assert got == [
        Instrument(
            market=Market.canonical(f"bitstamp:{row['name'].replace('/', '-')}"),
            native=row["url_symbol"],
            status=MarketStatus.ACTIVE,
            price_step=float(Decimal(1).scaleb(-row["counter_decimals"])),
            amount_step=float(Decimal(1).scaleb(-row["base_decimals"])),
        )
        for row in recorded.loads(body)
    ]
    assert len(got) == 140


def test_errors_with_a_reason() -> None:
    body = b'{"status":"error","reason":"Invalid step","code":"API0000"}'
    assert BITSTAMP.error_in(body) == "API0000: Invalid step"
    assert BITSTAMP.error_in(b'{"data":{}}') is None

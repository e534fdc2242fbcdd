"""Bybit: every recorded frame and answer of the spot market, as whole records."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coinwatch.errors import BadMessage, Fatal
from coinwatch.intervals import Interval
from coinwatch.records import Candle, Instrument, Market, MarketStatus, Trade
from coinwatch.windows import Window
from sources.exchanges import EXCHANGES
from sources.exchanges.base import Rejected, Skipped
from tests.sources import recorded

BYBIT = EXCHANGES["bybit"]
[BTC_USDT] = recorded.markets("bybit", "BTC-USDT")
TRADE = (
    b'{"topic":"publicTrade.BTCUSDT","ts":1786310822606,"type":"snapshot","data":['
    b'{"i":"2290000001189048101","T":1786310822605,"p":"65140.5","v":"0.002705","S":"Buy",'
    b'"seq":112488547164,"s":"BTCUSDT","BT":false,"RPI":false}]}'
)


def test_recorded_frames(recordings: Path) -> None:
    frames = recorded.frames(recordings / "bybit" / "ws_v5_spot_btcusdt.jsonl")
    got, kinds = recorded.decoded(BYBIT.decoder([BTC_USDT]), frames)
    want: list[Trade] = []
    for sent in map(recorded.loads, frames):
        if sent.get("topic") == "publicTrade.BTCUSDT":
            want += [
                Trade(
                    market=BTC_USDT,
                    trade_id=int(row["i"]),
                    ts_us=row["T"] * 1_000,
                    price=float(row["p"]),
                    amount=float(row["v"]),
                    taker_buys=row["S"] == "Buy",
                )
                for row in sent["data"]
            ]
    assert got == want
    assert len(got) >= 11
    assert kinds == {"ack": 4, "ticker": 41, "book": 40, "candle": 15}


def test_recorded_acks(recordings: Path) -> None:
    frames = recorded.frames(recordings / "bybit" / "ws_v5_ack_samples.jsonl")
    answers = [BYBIT.decoder([BTC_USDT])(frame) for frame in frames]
    assert [type(answer) for answer in answers] == [
        Skipped if recorded.loads(frame)["success"] else Rejected for frame in frames
    ]


@pytest.mark.parametrize(
    ("frame", "answer"),
    [
        (b'{"success":true,"ret_msg":"pong","conn_id":"x","op":"ping"}', Skipped("pong")),
        (b'{"success":true,"ret_msg":"","conn_id":"x","op":"unsubscribe"}', Skipped("ack")),
        (
            b'{"success":false,"ret_msg":"Invalid symbol :[publicTrade.NOPEUSD]","op":"subscribe"}',
            Rejected("NOPEUSD", "Invalid symbol :[publicTrade.NOPEUSD]"),
        ),
        (
            b'{"success":false,"ret_msg":"error:handler not found,topic:publicTrade.NOPEUSD",'
            b'"op":"subscribe"}',
            Rejected("NOPEUSD", "error:handler not found,topic:publicTrade.NOPEUSD"),
        ),
        (
            b'{"success":false,"ret_msg":"error:already subscribed,topic:publicTrade.BTCUSDT",'
            b'"op":"subscribe"}',
            Skipped("ack"),
        ),
        (b'{"success":false,"ret_msg":"args size >10","op":"subscribe"}', Rejected(None, "args size >10")),
        (b'{"topic":"lt.something","data":{}}', Skipped("other")),
        (TRADE.replace(b'"s":"BTCUSDT"', b'"s":"ETHUSDT"'), Skipped("other market")),
        (b'{"topic":"publicTrade.BTCUSDT","data":[]}', Skipped("empty")),
    ],
)
def test_other_frames(frame: bytes, answer: object) -> None:
    assert BYBIT.decoder([BTC_USDT])(frame) == answer


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"65140.5"', b'"0"'),
        (b'"65140.5"', b'"nan"'),
        (b'"0.002705"', b'"-1"'),
        (b'"0.002705"', b"null"),
        (b'"2290000001189048101"', b'"2b9bd8a0-uuid-of-a-linear-trade"'),
        (b'"2290000001189048101"', b'"9223372036854775808"'),
        (b'"Buy"', b'"Hold"'),
        (b"1786310822605", b'"soon"'),
        (b"1786310822605", b"17863108226050000"),
    ],
)
def test_impossible_trades_are_refused(old: bytes, new: bytes) -> None:
    frame = TRADE.replace(old, new)
    assert frame != TRADE
    with pytest.raises(BadMessage):
        BYBIT.decoder([BTC_USDT])(frame)


@given(
    st.lists(
        st.tuples(
            *(st.integers(0, 2**63 - 1), st.integers(1, 4_102_444_799_999)),
            *(st.decimals("0.00000001", 10_000_000, places=8),) * 2,
            st.booleans(),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_all_trades_of_a_frame(sent: list[tuple[int, int, Decimal, Decimal, bool]]) -> None:
    rows = [
        {"i": str(number), "T": ms, "p": str(price), "v": str(amount), "S": "Buy" if buys else "Sell"}
        for number, ms, price, amount, buys in sent
    ]
    frame = {"topic": "publicTrade.BTCUSDT", "data": [{**row, "s": "BTCUSDT"} for row in rows]}
    assert BYBIT.decoder([BTC_USDT])(msgspec.json.encode(frame)) == [
        Trade(BTC_USDT, number, ms * 1_000, float(price), float(amount), taker_buys=buys)
        for number, ms, price, amount, buys in sent
    ]


def test_subscribe_is_a_frame_for_each_market() -> None:
    markets = recorded.markets("bybit", "BTC-USDT", "ETH-USDT")
    assert [msgspec.json.decode(frame) for frame in BYBIT.subscribe(markets)] == [
        {"op": "subscribe", "args": ["publicTrade.BTCUSDT"]},
        {"op": "subscribe", "args": ["publicTrade.ETHUSDT"]},
    ]


def test_recorded_candles_have_the_form_of_spot(recordings: Path) -> None:
    body = recorded.body(recordings / "bybit" / "rest_kline_linear_btcusdt_1d.json")
    assert BYBIT.decode_candles(BTC_USDT, Interval.D1, body) == [
        Candle(
            market=BTC_USDT,
            interval=Interval.D1,
            open_ts_us=int(row[0]) * 1_000,
            open=float(row[1]),
            high=float(row[2]),
            low=float(row[3]),
            close=float(row[4]),
            volume=float(row[5]),
            quote_volume=float(row[6]),
        )
        for row in reversed(recorded.loads(body)["result"]["list"])
    ]


def test_candles_are_asked_for_up_to_the_last_millisecond() -> None:
    request = BYBIT.candles_request(BTC_USDT, Interval.M1, Window(120_000_000, 300_000_000))
    assert request.params == {
        "category": "spot",
        "symbol": "BTCUSDT",
        "interval": "1",
        "start": "120000",
        "end": "299999",
        "limit": "1000",
    }


def test_trades_of_rest_are_those_of_the_stream() -> None:
    body = (
        b'{"retCode":0,"retMsg":"OK","result":{"category":"spot","list":[{"execId":"2290000001189048101",'
        b'"symbol":"BTCUSDT","price":"65140.5","size":"0.002705","side":"Buy","time":"1786310822605",'
        b'"isBlockTrade":false}]}}'
    )
    assert BYBIT.decode_trades(BTC_USDT, body) == BYBIT.decoder([BTC_USDT])(TRADE)


def test_a_linear_trade_has_no_number(recordings: Path) -> None:
    body = recorded.body(recordings / "bybit" / "rest_recent_trade_linear_sample.json")
    with pytest.raises(BadMessage):
        BYBIT.decode_trades(BTC_USDT, body)


def test_only_the_newest_trades_can_be_had() -> None:
    assert BYBIT.trades_request(BTC_USDT).params["limit"] == "60"
    for argument in ({"from_id": 7}, {"since_us": 7}, {"before_id": 7}):
        with pytest.raises(Fatal, match="newest 60"):
            BYBIT.trades_request(BTC_USDT, **argument)


def test_recorded_instruments(recordings: Path) -> None:
    body = recorded.body(recordings / "bybit" / "rest_instruments_spot.json")
    sent = recorded.loads(body)["result"]["list"]
    got = BYBIT.decode_instruments(body)
    assert got == [
        Instrument(
            market=Market.canonical(f"bybit:{row['baseCoin']}-{row['quoteCoin']}"),
            native=row["symbol"],
            status=MarketStatus.ACTIVE if row["status"] == "Trading" else MarketStatus.DELISTED,
            price_step=float(row["priceFilter"]["tickSize"]),
            amount_step=float(row["lotSizeFilter"]["basePrecision"]),
        )
        for row in sent
        if row["baseCoin"].isalnum() and row["baseCoin"].isupper()
    ]
    assert len(got) > 70


def test_errors_come_with_status_200() -> None:
    body = b'{"retCode":10001,"retMsg":"Not supported symbols","result":{},"time":1}'
    assert BYBIT.error_in(body) == "10001: Not supported symbols"
    assert BYBIT.error_in(b'{"retCode":0,"retMsg":"OK","result":{}}') is None
    with pytest.raises(BadMessage, match="Not supported symbols"):
        BYBIT.decode_trades(BTC_USDT, body)

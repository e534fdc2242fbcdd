"""Gate.io: every recorded frame and answer, as whole records."""

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

GATEIO = EXCHANGES["gateio"]
BTC_USDT, GT_USDT = recorded.markets("gateio", "BTC-USDT", "GT-USDT")
MARKETS = recorded.markets(
    *("gateio", "INK-USDT", "HAI-ETH", "BTC-USDC", "NANO-USDT", "QTUM3S-USDT", "DIS-USDT"),
    *("NEO-BTC", "FAST-USDT", "ZKS-ETH", "OMG-USDT"),
)
TRADE = (
    b'{"time":1606292218,"time_ms":1606292218231,"channel":"spot.trades","event":"update","result":'
    b'{"id":309143071,"id_market":2390902,"create_time":1606292218,"create_time_ms":"1606292218213.4578",'
    b'"side":"sell","currency_pair":"GT_USDT","amount":"16.4700000000","price":"0.4705000000",'
    b'"range":"2390902-2390902"}}'
)


def exact_us(milliseconds: str) -> int:
    return int(Decimal(milliseconds) * 1_000)


def test_recorded_frames(recordings: Path) -> None:
    frames = recorded.frames(recordings / "gateio" / "ws_v4_spot.jsonl")
    got, kinds = recorded.decoded(GATEIO.decoder(MARKETS), frames)
    want: list[Trade] = []
    for sent in map(recorded.loads, frames):
        if (sent["channel"], sent["event"]) == ("spot.trades", "update"):
            row = sent["result"]
            want.append(
                Trade(
                    market=Market.canonical(f"gateio:{row['currency_pair'].replace('_', '-')}"),
                    trade_id=row["id"],  # there was no id_market in 2021
                    ts_us=exact_us(row["create_time_ms"]),
                    price=float(row["price"]),
                    amount=float(row["amount"]),
                    taker_buys=row["side"] == "buy",
                )
            )
    assert got == want
    assert len(got) == 9
    assert kinds == {"ack": 22, "book": 40, "ticker": 22, "candle": 14}


def test_a_trade_has_the_id_that_rest_calls_it_by() -> None:
    assert GATEIO.decoder([GT_USDT])(TRADE) == [
        Trade(GT_USDT, 2390902, 1_606_292_218_213_457, 0.4705, 16.47, taker_buys=False)
    ]


@given(st.integers(1, 4_102_444_799_999_999), st.text("0123456789", max_size=4))
def test_times_are_cut_not_rounded(ts_us: int, finer: str) -> None:
    time_ms = f"{ts_us // 1_000}.{ts_us % 1_000:03d}{finer}".encode()
    [trade] = GATEIO.decoder([GT_USDT])(TRADE.replace(b"1606292218213.4578", time_ms))  # type: ignore[misc]
    assert trade.ts_us == ts_us


@pytest.mark.parametrize(
    ("frame", "answer"),
    [
        (
            b'{"time":1545404023,"channel":"spot.pong","event":"","error":null,"result":null}',
            Skipped("pong"),
        ),
        (
            b'{"time":1611541000,"time_ms":1611541000001,"channel":"spot.trades","event":"unsubscribe",'
            b'"error":null,"result":{"status":"success"}}',
            Skipped("ack"),
        ),
        (
            b'{"time":1790134507,"conn_id":"8b9b","trace_id":"6e4f","channel":"spot.trades",'
            b'"event":"subscribe","payload":["NOPE_USD"],"error":{"code":2,"message":'
            b'"unknown currency pair: NOPE_USD"},"result":{"status":"fail"},"requestId":"6e4f"}',
            Rejected("NOPE_USD", "unknown currency pair: NOPE_USD"),
        ),
        (
            b'{"channel":"","event":"","error":{"code":1,"message":"Invalid request body format"}}',
            Rejected(None, "Invalid request body format"),
        ),
        (b'{"channel":"spot.something_new","event":"update","result":{}}', Skipped("other")),
        (TRADE.replace(b"GT_USDT", b"ETH_USDT"), Skipped("other market")),
    ],
)
def test_other_frames(frame: bytes, answer: object) -> None:
    assert GATEIO.decoder([GT_USDT])(frame) == answer


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"0.4705000000"', b'"0"'),
        (b'"0.4705000000"', b'"nan"'),
        (b'"0.4705000000"', b"null"),
        (b'"16.4700000000"', b'"-1"'),
        (b'"id_market":2390902', b'"id_market":-1'),
        (b'"id_market":2390902', b'"id_market":9223372036854775808'),
        (b'"sell"', b'"hold"'),
        (b'"1606292218213.4578"', b'"soon"'),
        (b'"1606292218213.4578"', b'""'),
        (b'"1606292218213.4578"', b'"16062922182130000.0"'),
        (b'"1606292218213.4578"', b'"1606292218213.-4"'),
    ],
)
def test_impossible_trades_are_refused(old: bytes, new: bytes) -> None:
    frame = TRADE.replace(old, new)
    assert frame != TRADE
    with pytest.raises(BadMessage):
        GATEIO.decoder([GT_USDT])(frame)


def test_subscribe_is_a_frame_for_each_market() -> None:
    sent = [msgspec.json.decode(frame) for frame in GATEIO.subscribe(MARKETS)]
    assert [frame["payload"] for frame in sent] == [[GATEIO.native(market)] for market in MARKETS]
    assert {(frame["channel"], frame["event"]) for frame in sent} == {("spot.trades", "subscribe")}


@pytest.mark.parametrize(
    ("name", "interval"),
    [
        ("rest_candlesticks_btcusdt_1m.json", Interval.M1),
        ("rest_candlesticks_btcusdt_1d.json", Interval.D1),
    ],
)
def test_recorded_candles(recordings: Path, name: str, interval: Interval) -> None:
    body = recorded.body(recordings / "gateio" / name)
    assert GATEIO.decode_candles(BTC_USDT, interval, body) == [
        Candle(
            market=BTC_USDT,
            interval=interval,
            open_ts_us=int(row[0]) * 1_000_000,
            open=float(row[5]),
            high=float(row[3]),
            low=float(row[4]),
            close=float(row[2]),
            volume=float(row[6]),
            quote_volume=float(row[1]),
        )
        for row in recorded.loads(body)
    ]


def test_a_flat_candle_without_volume_is_of_no_trade() -> None:
    [candle] = GATEIO.decode_candles(BTC_USDT, Interval.M1, b'[["60","0","5","5","5","5","0","true"]]')
    assert candle.trades == 0


def test_candles_are_asked_for_with_both_ends_included() -> None:
    request = GATEIO.candles_request(BTC_USDT, Interval.M1, Window(120_000_000, 300_000_000))
    assert request.params == {"currency_pair": "BTC_USDT", "interval": "1m", "from": "120", "to": "240"}


def test_recorded_trades(recordings: Path) -> None:
    body = recorded.body(recordings / "gateio" / "rest_trades_btcusdt.json")
    got = GATEIO.decode_trades(BTC_USDT, body)
    assert got == [
        Trade(
            market=BTC_USDT,
            trade_id=int(row["id"]),
            ts_us=exact_us(row["create_time_ms"]),
            price=float(row["price"]),
            amount=float(row["amount"]),
            taker_buys=row["side"] == "buy",
        )
        for row in reversed(recorded.loads(body))
    ]
    ids = [trade.trade_id for trade in got]
    assert ids == list(range(ids[0], ids[0] + 5))  # consecutive


def test_trades_are_paged_backwards() -> None:
    request = GATEIO.trades_request(BTC_USDT, before_id=7)
    assert request.params == {"currency_pair": "BTC_USDT", "limit": "1000", "last_id": "7", "reverse": "true"}
    for forward in ({"from_id": 7}, {"since_us": 7}):
        with pytest.raises(Fatal, match="backwards"):
            GATEIO.trades_request(BTC_USDT, **forward)


def test_recorded_instruments(recordings: Path) -> None:
    body = recorded.body(recordings / "gateio" / "rest_currency_pairs.json")
    got = GATEIO.decode_instruments(body)
    sent = recorded.loads(body)
    assert got == [
        Instrument(
            market=Market.canonical(f"gateio:{row['base']}-{row['quote']}"),
            native=row["id"],
            status=MarketStatus.ACTIVE if row["trade_status"] == "tradable" else MarketStatus.DELISTED,
            price_step=float(Decimal(1).scaleb(-row["precision"])),
            amount_step=float(Decimal(1).scaleb(-row["amount_precision"])),
        )
        for row in sent
    ]
    assert len(got) == 92
    [listed, *_] = GATEIO.decode_instruments(body.replace(b'"buy_start":0', b'"buy_start":1516378650'))
    assert listed.listed_us == 1_516_378_650_000_000


def test_recorded_errors(recordings: Path) -> None:
    broad = recorded.body(recordings / "gateio" / "rest_error_range_too_broad.json")
    fast = recorded.body(recordings / "gateio" / "rest_error_too_fast.json")
    assert (GATEIO.error_in(broad) or "").startswith("INVALID_PARAM_VALUE: Candlestick range too broad")
    assert (GATEIO.error_in(fast) or "").startswith(GATEIO.throttled_errors)
    assert GATEIO.error_in(recorded.body(recordings / "gateio" / "rest_trades_btcusdt.json")) is None

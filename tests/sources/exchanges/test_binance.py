"""Binance: every recorded frame and answer, as whole records."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coinwatch.errors import BadMessage
from coinwatch.intervals import Interval
from coinwatch.records import Candle, Instrument, Market, MarketStatus, Trade
from coinwatch.windows import Window
from sources.exchanges import EXCHANGES
from sources.exchanges.base import Rejected, Skipped
from tests.sources import recorded

BINANCE = EXCHANGES["binance"]
MARKETS = recorded.markets(
    "binance",
    *("ZIL-USDT", "DENT-USDT", "MANA-USDT", "BTCST-USDT", "QTUM-ETH", "ETH-BRL", "BTC-AUD", "AXS-BNB"),
    *("NKN-USDT", "BLZ-ETH", "LRC-BTC", "RUNE-EUR", "VET-ETH", "ONT-TRY", "QSP-BTC", "BUSD-TRY"),
)
BTC_USDT = Market.canonical("binance:BTC-USDT")
TRADE = (
    b'{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":1617647603484,"s":"BTCUSDT",'
    b'"a":18938405,"p":"0.21448000","q":"2062.90000000","f":1,"l":1,"T":1617647603483,"m":false,"M":true}}'
)


def expected(event: dict[str, object]) -> Trade | None:
    market = next((m for m in MARKETS if m.symbol.base + m.symbol.quote == event["s"]), None)
    if market is None:
        return None
    return Trade(
        market=market,
        trade_id=int(str(event["a"])),
        ts_us=int(str(event["T"])) * 1_000,
        price=float(str(event["p"])),
        amount=float(str(event["q"])),
        taker_buys=event["m"] is False,
    )


@pytest.mark.parametrize("wrapped", [True, False], ids=["wrapped", "bare"])
@pytest.mark.parametrize(
    ("name", "trades", "skipped"),
    [
        ("ws_aggtrade_8symbols", 1_240, {"book": 120}),
        ("ws_aggtrade_kline_lrcbtc_nknusdt", 2, {"book": 120, "candle": 2}),
        ("ws_aggtrade_kline_thin_markets", 18, {"book": 120, "candle": 20, "other market": 6}),
        ("ws_ticker_sample", 0, {"ticker": 1}),
        ("ws_trade_sample", 0, {"trade": 1}),
    ],
)
def test_recorded_frames(
    recordings: Path, name: str, trades: int, skipped: dict[str, int], wrapped: bool
) -> None:
    frames = recorded.frames(recordings / "binance" / f"{name}.jsonl")
    bare = [bytes(msgspec.json.decode(frame, type=dict[str, msgspec.Raw])["data"]) for frame in frames]
    got, kinds = recorded.decoded(BINANCE.decoder(MARKETS), frames if wrapped else bare)
    events = map(recorded.loads, bare)
    want = [made for event in events if event.get("e") == "aggTrade" and (made := expected(event))]
    assert got == want
    assert len(got) == trades
    assert kinds == skipped


def test_microseconds_are_read_as_such() -> None:
    decode = BINANCE.decoder([BTC_USDT])
    [trade] = decode(TRADE.replace(b"1617647603483", b"1617647603483217"))  # type: ignore[misc]
    assert trade.ts_us == 1_617_647_603_483_217


def test_memoryview_decodes_alike() -> None:
    decode = BINANCE.decoder([BTC_USDT])
    assert decode(memoryview(bytearray(TRADE))) == decode(TRADE)


@pytest.mark.parametrize(
    ("frame", "answer"),
    [
        (b'{"result":null,"id":1}', Skipped("ack")),
        (b'{"stream":"","data":{"e":"serverShutdown","E":1770123456789}}', Skipped("shutdown")),
        (b'{"e":"serverShutdown","E":1770123456789}', Skipped("shutdown")),
        (b'{"stream":"btcusdt@depth5","data":{"lastUpdateId":160,"bids":[],"asks":[]}}', Skipped("book")),
        (b'{"e":"somethingNew"}', Skipped("other")),
        (b'{"error":{"code":2,"msg":"Invalid request"},"id":1}', Rejected(None, "Invalid request")),
        (
            b'{"code":2,"msg":"Invalid request: unknown variant"}',
            Rejected(None, "Invalid request: unknown variant"),
        ),
    ],
)
def test_other_frames(frame: bytes, answer: object) -> None:
    assert BINANCE.decoder([BTC_USDT])(frame) == answer


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"0.21448000"', b'"0.00000000"'),
        (b'"0.21448000"', b'"-1"'),
        (b'"0.21448000"', b'"nan"'),
        (b'"0.21448000"', b'"inf"'),
        (b'"0.21448000"', b"null"),
        (b'"2062.90000000"', b'"1e999"'),
        (b"18938405", b"-1"),
        (b"18938405", b"9223372036854775808"),
        (b"1617647603483", b"0"),
        (b"1617647603483", b"99999999999999999999"),
        (b"1617647603483", b"-5"),
        (b'"m":false', b'"m":null'),
        (b'"s":"BTCUSDT",', b""),
    ],
)
def test_impossible_trades_are_refused(old: bytes, new: bytes) -> None:
    frame = TRADE.replace(old, new)
    assert frame != TRADE
    with pytest.raises(BadMessage) as caught:
        BINANCE.decoder([BTC_USDT])(frame)
    assert caught.value.raw == frame[:200]


def test_recorded_frames_read_at_once_are_those_read_one_by_one(recordings: Path) -> None:
    decode, decode_many = BINANCE.decoder(MARKETS), BINANCE.many_decoder(MARKETS)
    assert decode_many is not None
    frames = list(recorded.frames(recordings / "binance" / "ws_aggtrade_8symbols.jsonl"))
    assert decode_many(frames) is None  # books are among them
    sound = [frame for frame in frames if isinstance(decode(frame), list)]
    one_by_one: list[Trade] = []
    for frame in sound:
        one_by_one += decode(frame)  # type: ignore[arg-type]
    assert decode_many(sound) == one_by_one
    assert len(sound) == 1_240


@given(
    st.lists(
        st.sampled_from(
            [
                *(TRADE, TRADE, TRADE.replace(b"18938405", b"7"), TRADE.replace(b"BTCUSDT", b"OTHER")),
                *(TRADE.replace(b"1617647603483", b"1617647603483217"), TRADE.replace(b"0.21", b"-0.21")),
                *(TRADE + b"," + TRADE, TRADE[:-1], TRADE[:60], TRADE[60:], b"", b"]", b"[", b'"', b"{}"),
                b'{"result":null,"id":1}',
            ]
        ),
        min_size=1,
        max_size=5,
    )
)
def test_frames_read_at_once_are_as_many_sound_trades_or_none(frames: list[bytes]) -> None:
    decode, decode_many = BINANCE.decoder([BTC_USDT]), BINANCE.many_decoder([BTC_USDT])
    assert decode_many is not None
    together = decode_many(frames)
    if together is not None:
        assert together == [trade for frame in frames for trade in decode(frame)]  # type: ignore[union-attr]


def test_subscribe_names_each_stream_in_batches() -> None:
    many = recorded.markets("binance", *(f"A{number}-USDT" for number in range(450)))
    sent = [msgspec.json.decode(frame) for frame in BINANCE.subscribe(many)]
    assert [frame["id"] for frame in sent] == [1, 2, 3]
    assert {frame["method"] for frame in sent} == {"SUBSCRIBE"}
    assert [stream for frame in sent for stream in frame["params"]] == [
        f"a{number}usdt@aggTrade" for number in range(450)
    ]
    assert BINANCE.stream_url("wss://host:9443") == "wss://host:9443/stream"


@pytest.mark.parametrize(
    ("name", "interval", "count"),
    [("1m", Interval.M1, 10), ("5m", Interval.M5, 24), ("1d", Interval.D1, 168)],
)
def test_recorded_candles(recordings: Path, name: str, interval: Interval, count: int) -> None:
    raw = recorded.body(recordings / "binance" / f"rest_klines_btcusdt_{name}.json")
    candles = BINANCE.decode_candles(BTC_USDT, interval, raw)
    assert candles == [
        Candle(
            market=BTC_USDT,
            interval=interval,
            open_ts_us=row[0] * 1_000,
            open=float(row[1]),
            high=float(row[2]),
            low=float(row[3]),
            close=float(row[4]),
            volume=float(row[5]),
            quote_volume=float(row[7]),
            trades=row[8],
        )
        for row in recorded.loads(raw)
    ]
    assert len(candles) == count


def test_recorded_trades(recordings: Path) -> None:
    raw = recorded.body(recordings / "binance" / "rest_aggtrades_btcusdt.json")
    trades = BINANCE.decode_trades(BTC_USDT, raw)
    assert trades == [
        Trade(BTC_USDT, row["a"], row["T"] * 1_000, float(row["p"]), float(row["q"]), not row["m"])
        for row in recorded.loads(raw)
    ]
    assert len(trades) == 10


def test_recorded_instruments(recordings: Path) -> None:
    raw = recorded.body(recordings / "binance" / "rest_exchange_info.json")
    want = []
    for entry in recorded.loads(raw)["symbols"]:
        filters = {rule["filterType"]: rule for rule in entry["filters"]}
        want.append(
            Instrument(
                market=Market.canonical(f"binance:{entry['baseAsset']}-{entry['quoteAsset']}"),
                native=entry["symbol"],
                status=MarketStatus.ACTIVE if entry["status"] == "TRADING" else MarketStatus.DELISTED,
                price_step=float(filters["PRICE_FILTER"]["tickSize"]),
                amount_step=float(filters["LOT_SIZE"]["stepSize"]),
            )
        )
    assert BINANCE.decode_instruments(raw) == want
    assert len(want) == 110
    assert {instrument.status for instrument in want} == set(MarketStatus)


def test_requests() -> None:
    minute = 60_000_000
    request = BINANCE.candles_request(BTC_USDT, Interval.M1, Window(10 * minute, 20 * minute))
    assert request.path == "/api/v3/klines"
    assert request.params == {
        "symbol": "BTCUSDT",
        "interval": "1m",
        "startTime": "600000",
        "endTime": "1199999",
        "limit": "1000",
    }
    assert BINANCE.trades_request(BTC_USDT, from_id=7).params["fromId"] == "7"
    assert BINANCE.trades_request(BTC_USDT, since_us=7_000_999).params["startTime"] == "7000"
    assert BINANCE.instruments_request().path == "/api/v3/exchangeInfo"


def test_impossible_candle_names_market_and_time() -> None:
    row = b'[[1634943780000,"5","4","3","4","1",1634943839999,"1",1,"1","1","0"]]'
    with pytest.raises(BadMessage, match=r"binance:BTC-USDT 1m candle of 2021-10-22T23:03:00\+00:00"):
        BINANCE.decode_candles(BTC_USDT, Interval.M1, row)

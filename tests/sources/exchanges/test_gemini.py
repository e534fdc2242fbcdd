"""Gemini: every recorded frame and answer, as whole records."""

from __future__ import annotations

import timeit
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coinwatch.errors import BadMessage, Fatal
from coinwatch.intervals import Interval
from coinwatch.records import Candle, MarketStatus, Trade
from coinwatch.windows import Window
from sources.exchanges import EXCHANGES
from sources.exchanges.base import Past, Rejected, Skipped
from tests.sources import recorded

GEMINI = EXCHANGES["gemini"]
RECORDED = recorded.markets(
    "gemini",
    *("BTC-GBP", "LINK-ETH", "FIL-USD", "ZEC-LTC", "BAT-BTC", "ETH-EUR", "LTC-ETH"),
    *("GRT-USD", "ANKR-USD", "ALCX-USD"),
)
BTC_USD, ETH_USD = recorded.markets("gemini", "BTC-USD", "ETH-USD")
TRADE = (
    b'{"type":"trade","symbol":"BTCUSD","event_id":122258166738,"timestamp":1655330221424,'
    b'"price":"22269.14","quantity":"0.00004473","side":"buy"}'
)
STREAMED = b'{"E":1784900000123456789,"s":"btcusd","t":2840141014190422,"p":"65432.10","q":"0.0123","m":true}'
BOOK = b'{"type":"l2_updates","symbol":"BTCUSD","changes":[["buy","22252.37","0.02"]]}'


def test_recorded_frames(recordings: Path) -> None:
    decode = GEMINI.decoder(RECORDED)
    by_native = {GEMINI.native(market).upper(): market for market in RECORDED}
    got: list[Trade] = []
    want: list[Trade] = []
    past: list[Trade] = []
    kinds: Counter[str] = Counter()
    for frame in recorded.frames(recordings / "gemini" / "ws_v2_marketdata_2021_06.jsonl"):
        answer = decode(frame)
        if isinstance(answer, list):
            got += answer
        elif isinstance(answer, Past):
            past += answer.trades
            got += answer.trades
        else:
            assert isinstance(answer, Skipped)
            kinds[answer.kind] += 1
        sent = recorded.loads(frame)
        want += [
            Trade(
                market=by_native[row["symbol"]],
                trade_id=row["event_id"],
                ts_us=row["timestamp"] * 1_000,
                price=float(row["price"]),
                amount=float(row["quantity"]),
                taker_buys=row["side"] == "buy",
            )
            for row in ([sent] if sent["type"] == "trade" else sent.get("trades", []))
        ]
    assert got == want
    assert (len(past), len(got)) == (50, 66)
    assert {str(trade.market) for trade in past} == {"gemini:ZEC-LTC"}
    assert [trade.ts_us for trade in past] == sorted(trade.ts_us for trade in past)
    assert kinds == {"book": 40, "heartbeat": 7}


def test_streamed_trades() -> None:
    decode = GEMINI.decoder([BTC_USD])
    trade = Trade(BTC_USD, 2840141014190422, 1784900000123456, 65432.1, 0.0123, taker_buys=False)
    assert decode(STREAMED) == [trade]
    assert decode(STREAMED.replace(b"true", b"false")) == [msgspec.structs.replace(trade, taker_buys=True)]
    assert decode(STREAMED.replace(b"btcusd", b"ethusd")) == Skipped("other market")


@pytest.mark.parametrize(
    ("frame", "answer"),
    [
        (b'{"id":"btcusd","status":200}', Skipped("ack")),
        (b'{"id":7,"status":200,"result":{"serverTime":1751508260659}}', Skipped("ack")),
        (
            b'{"id":"btcusdx","status":400,"error":{"code":-1121,"msg":"Invalid symbol"}}',
            Rejected("btcusdx", "-1121: Invalid symbol"),
        ),
        (b'{"id":null,"status":400,"error":{"msg":"Bad"}}', Rejected(None, "0: Bad")),
        (b'{"u":1751505576085,"E":1751508438600117161,"s":"btcusd","b":"1","B":"1"}', Skipped("ticker")),
        (b'{"e":"depthUpdate","E":1751508260659505382,"s":"btcusd","U":1,"u":2,"b":[]}', Skipped("book")),
        (b'{"lastUpdateId":12345678,"bids":[],"asks":[]}', Skipped("book")),
        (b'{"e":"markPrice","E":1751508260659505382,"s":"btcusd","p":"1"}', Skipped("other")),
    ],
)
def test_other_streamed_frames(frame: bytes, answer: object) -> None:
    assert GEMINI.decoder([BTC_USD])(frame) == answer


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"65432.10", b"0"),
        (b'"65432.10"', b"null"),
        (b"0.0123", b"-1"),
        (b"2840141014190422", b"-1"),
        (b"2840141014190422", b"9223372036854775808"),
        (b"1784900000123456789", b"1784900000123456789000"),
        (b"true", b'"yes"'),
        (b"btcusd", b"\xff"),
    ],
)
def test_impossible_streamed_trades_are_refused(old: bytes, new: bytes) -> None:
    frame = STREAMED.replace(old, new)
    assert frame != STREAMED
    with pytest.raises(BadMessage):
        GEMINI.decoder([BTC_USD])(frame)


def test_the_url_chooses_the_feed() -> None:
    assert GEMINI.feed("wss://ws.gemini.com").subscribe([BTC_USD]) == [
        b'{"id":"btcusd","method":"subscribe","params":["btcusd@trade"]}'
    ]
    archived = GEMINI.feed("wss://api.gemini.com/v2/marketdata")
    assert archived.stream_url("wss://api.gemini.com/v2/marketdata") == "wss://api.gemini.com/v2/marketdata"
    assert archived.subscribe([BTC_USD]) == [
        b'{"type":"subscribe","subscriptions":[{"name":"l2","symbols":["BTCUSD"]}]}'
    ]


def test_a_trade_with_a_tid_has_that_as_its_id() -> None:
    frame = TRADE.replace(b'"buy"', b'"buy","tid":2840140956529623')
    [trade] = GEMINI.decoder([BTC_USD])(frame)  # type: ignore[misc]
    assert trade.trade_id == 2840140956529623


@pytest.mark.parametrize(
    ("frame", "answer"),
    [
        (b'{"type":"heartbeat","timestamp":1624493666869}', Skipped("heartbeat")),
        (BOOK, Skipped("book")),
        (BOOK.replace(b"]]}", b']],"trades":[],"auction_events":[]}'), Skipped("book")),
        (b'{"type":"candles_15m_updates","symbol":"BTCUSD","changes":[]}', Skipped("candle")),
        (b'{"type":"auction_open","symbol":"BTCUSD","auction_time_ms":1607943600000}', Skipped("other")),
        (TRADE.replace(b"BTCUSD", b"ETHUSD"), Skipped("other market")),
        (
            BOOK.replace(b"]]}", b']],"trades":[' + TRADE.replace(b"BTCUSD", b"ETHUSD") + b"]}"),
            Skipped("other market"),
        ),
        (
            b'{"result":"error","reason":"InvalidSymbol","message":"Received unsupported symbol \'btcusd\'"}',
            Rejected("btcusd", "InvalidSymbol: Received unsupported symbol 'btcusd'"),
        ),
        (
            b'{"result":"error","reason":"InvalidJson","message":"BTCUSD"}',
            Rejected(None, "InvalidJson: BTCUSD"),
        ),
    ],
)
def test_other_frames(frame: bytes, answer: object) -> None:
    assert GEMINI.decoder([BTC_USD])(frame) == answer


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"22269.14", b"0"),
        (b"22269.14", b"1e999"),
        (b'"22269.14"', b"null"),
        (b"0.00004473", b"-1"),
        (b"122258166738", b"-1"),
        (b"122258166738", b"9223372036854775808"),
        (b"1655330221424", b"1655330221424000"),
        (b'"buy"', b'"auction"'),
        (b"BTCUSD", b"\xff"),
        (TRADE, b'{"hello":1}'),
    ],
)
@pytest.mark.parametrize("is_past", [False, True])
def test_impossible_trades_are_refused(old: bytes, new: bytes, is_past: bool) -> None:
    frame = TRADE.replace(old, new)
    assert frame != TRADE
    with pytest.raises(BadMessage):
        GEMINI.decoder([BTC_USD])(
            BOOK.replace(b"]]}", b']],"trades":[' + frame + b"]}") if is_past else frame
        )


@given(st.integers(0, 300), st.binary(max_size=8))
def test_damaged_books_are_refused_and_nothing_else(place: int, junk: bytes) -> None:
    frame = BOOK.replace(b"]]}", b']],"trades":[' + TRADE + b"]}")
    with suppress(BadMessage):
        GEMINI.decoder([BTC_USD])(memoryview(frame[:place] + junk + frame[place + len(junk) :]))


def test_large_books_are_skipped_cheaply() -> None:
    changes = ",".join(f'["buy","{20_000 + level / 100}","{level}"]' for level in range(20_000))
    frame = f'{{"type":"l2_updates","symbol":"BTCUSD","changes":[{changes}]}}'.encode()
    decode = GEMINI.decoder([BTC_USD])
    assert decode(frame) == Skipped("book")
    assert len(frame) > 400_000
    skipped_s, read_s = (fastest_s(reader, frame) for reader in (decode, msgspec.json.decode))
    assert skipped_s < read_s / 2


def fastest_s(reader: Callable[[bytes], object], frame: bytes) -> float:
    return min(timeit.repeat(lambda: reader(frame), repeat=7, number=1))


def test_each_market_has_a_frame_of_its_own() -> None:
    for root in ("wss://ws.gemini.com", "wss://api.gemini.com/v2/marketdata"):
        feed = GEMINI.feed(root)
        assert len(feed.subscribe([BTC_USD, ETH_USD])) == len(feed.unsubscribe([BTC_USD, ETH_USD])) == 2


def test_candles() -> None:
    raw = b"[[1559755800000,7781.6,7820.23,7776.56,7819.39,34.7624802159],[1559754900000,7,7,7,7,0]]"
    flat, traded = GEMINI.decode_candles(BTC_USD, Interval.M15, raw)
    assert traded == Candle(
        market=BTC_USD,
        interval=Interval.M15,
        open_ts_us=1_559_755_800_000_000,
        open=7781.6,
        high=7820.23,
        low=7776.56,
        close=7819.39,
        volume=34.7624802159,
    )
    assert (flat.open_ts_us, flat.volume, flat.trades) == (1_559_754_900_000_000, 0, 0)
    with pytest.raises(BadMessage, match="candle of 2019-06-05T17:30:00"):
        GEMINI.decode_candles(BTC_USD, Interval.M15, raw.replace(b"7820.23", b"1"))


def test_recorded_trades(recordings: Path) -> None:
    raw = recorded.body(recordings / "gemini" / "rest_trades_btcusd_2019.json")
    trades = GEMINI.decode_trades(BTC_USD, raw)
    assert trades == [
        Trade(
            market=BTC_USD,
            trade_id=row["tid"],
            ts_us=row["timestampms"] * 1_000,
            price=float(row["price"]),
            amount=float(row["amount"]),
            taker_buys=row["type"] == "buy",
        )
        for row in reversed(recorded.loads(raw))
    ]
    assert len(trades) == 50
    assert [trade.ts_us for trade in trades] == sorted(trade.ts_us for trade in trades)


def test_recorded_instruments(recordings: Path) -> None:
    raw = recorded.body(recordings / "gemini" / "rest_symbols.json")
    listed = GEMINI.decode_instruments(raw)
    assert [entry.native for entry in listed] == recorded.loads(raw)
    assert all(entry.native == GEMINI.rest_native(entry.market) for entry in listed)
    assert all(entry.status is MarketStatus.ACTIVE for entry in listed)
    symbols = {str(entry.market.symbol) for entry in listed}
    assert {"BTC-USD", "BTC-DAI", "DAI-USD", "PAXG-USD", "ZEC-LTC", "LINK-ETH", "AAVE-USD"} <= symbols
    details = recorded.loads(recorded.body(recordings / "gemini" / "rest_symbol_details_btcusd.json"))
    [btc_usd] = [entry for entry in listed if entry.native == details["symbol"].lower()]
    assert (btc_usd.market.symbol.base, btc_usd.market.symbol.quote) == (
        details["base_currency"],
        details["quote_currency"],
    )


def test_names_are_split_where_an_asset_is_known() -> None:
    raw = b"""["btcusd","ethbtc","btcgusd","paxgusd","efilfil","gusdusd","usdtgusd","usdtusd","rlusdusd",
    "xrpusd","xrprlusd","btcgusdperp","btcusdt","usd","x","solsgd"]"""
    symbols = [str(entry.market.symbol) for entry in GEMINI.decode_instruments(raw)]
    assert symbols == [
        *("BTC-USD", "ETH-BTC", "BTC-GUSD", "PAXG-USD", "EFIL-FIL", "GUSD-USD", "USDT-GUSD", "USDT-USD"),
        *("RLUSD-USD", "XRP-USD", "XRP-RLUSD", "BTC-USDT", "SOL-SGD"),
    ]


@pytest.mark.parametrize(
    "names", [["paxggusd", "paxgusd"], ["paxggusd", "paxgusdc"], ["paxgusd", "paxggusd"]]
)
def test_names_that_split_in_two_ways_share_a_base(names: list[str]) -> None:
    listed = GEMINI.decode_instruments(msgspec.json.encode([*names, "btcusd"]))
    assert {entry.market.symbol.base for entry in listed} == {"PAXG", "BTC"}


def test_details_name_the_assets() -> None:
    details = {"base_currency": "PAXG", "quote_currency": "GUSD", "tick_size": 1e-8, "quote_increment": 0.01}
    raw = [
        {**details, "symbol": "PAXGGUSD", "status": "open", "product_type": "spot"},
        {**details, "symbol": "PAXGGUSDPERP", "status": "open", "product_type": "swap"},
        {**details, "symbol": "PAXGUSD", "quote_currency": "USD", "status": "closed"},
    ]
    listed = GEMINI.decode_instruments(msgspec.json.encode(raw))
    assert [(str(entry.market.symbol), entry.native, entry.status, entry.price_step) for entry in listed] == [
        ("PAXG-GUSD", "paxggusd", MarketStatus.ACTIVE, 0.01),
        ("PAXG-USD", "paxgusd", MarketStatus.DELISTED, 0.01),
    ]


def test_errors_are_seen(recordings: Path) -> None:
    raw = recorded.body(recordings / "gemini" / "rest_error_bad_symbol.json")
    assert (GEMINI.error_in(raw) or "").startswith("Bad Request: Supplied value 'bla' is not a valid symbol")
    assert GEMINI.error_in(b"[]") is None
    assert GEMINI.error_in(b"junk") is None
    for decode in (GEMINI.decode_instruments, lambda body: GEMINI.decode_trades(BTC_USD, body)):
        with pytest.raises(BadMessage):
            decode(raw)


def test_requests() -> None:
    request = GEMINI.candles_request(BTC_USD, Interval.H1, Window(0, Interval.H1.us))
    assert (request.path, request.params) == ("/v2/candles/btcusd/1hr", {})
    for interval in (Interval.H4, Interval.D1):
        with pytest.raises(Fatal, match=f"no {interval} candles"):
            GEMINI.candles_request(BTC_USD, interval, Window(0, interval.us))
    page = GEMINI.trades_request(BTC_USD, since_us=1_655_330_221_424_000)
    assert page.path == "/v1/trades/btcusd"
    assert page.params == {"limit_trades": "500", "timestamp": "1655330221423"}
    assert GEMINI.trades_request(BTC_USD).params == {"limit_trades": "500"}
    for asked in ({"from_id": 1}, {"before_id": 1}):
        with pytest.raises(Fatal, match="by time"):
            GEMINI.trades_request(BTC_USD, **asked)

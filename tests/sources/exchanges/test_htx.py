"""HTX: every recorded frame and answer, as whole records."""

from __future__ import annotations

import gzip
from collections import Counter, defaultdict
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coinwatch.errors import BadMessage, Fatal
from coinwatch.intervals import Interval
from coinwatch.records import Candle, Instrument, Market, MarketStatus, Symbol, Trade
from coinwatch.windows import Window
from sources.exchanges import EXCHANGES
from sources.exchanges.base import Past, Rejected, Reply, Skipped
from tests.sources import recorded

HTX = EXCHANGES["htx"]
RECORDING = "ws_trade_detail_first_half.jsonl"
RECORDED = recorded.markets(
    "htx",
    *("TRIO-ETH", "BOR-USDT", "OMG-BTC", "XVG-ETH", "YFI-HUSD", "ZEN-ETH", "DOGE-ETH"),
    *("FIL3S-USDT", "PROPY-ETH", "NEST-ETH"),
)
BTC_USDT, ETH_USDT = recorded.markets("htx", "BTC-USDT", "ETH-USDT")
ROW = (
    b'{"id":1050046453727319123456789,"ts":1583495833751,"tradeId":7,"amount":2.5E-5,'
    b'"price":9150.01,"direction":"sell"}'
)
TRADE = (
    b'{"ch":"market.btcusdt.trade.detail","ts":1583495834011,"tick":{"id":105004645372,'
    b'"ts":1583495833751,"data":[' + ROW + b"]}}"
)
SUBBED = b'{"id":"btcusdt","status":"ok","subbed":"market.btcusdt.trade.detail","ts":1489474081631}'


def decoded(text: bytes) -> object:
    return HTX.decoder([BTC_USDT])(gzip.compress(text))


def test_recorded_frames(recordings: Path) -> None:
    """Each market's first frame is an old one; from then on every id follows the one before."""
    decode = HTX.decoder(RECORDED)
    by_channel = {f"market.{HTX.native(market)}.trade.detail": market for market in RECORDED}
    got: list[Trade] = []
    want: list[Trade] = []
    past: Counter[Market] = Counter()
    kinds: Counter[str] = Counter()
    for frame in recorded.frames(recordings / "htx" / RECORDING):
        answer = decode(frame)
        sent = recorded.loads(gzip.decompress(frame))
        if isinstance(answer, Past):
            past[answer.trades[0].market] += 1
            got += answer.trades
        elif isinstance(answer, list):
            assert past[answer[0].market] == 1
            got += answer
        elif isinstance(answer, Reply):
            kinds["ping"] += 1
            assert recorded.loads(answer.frame) == {"pong": sent["ping"]}
        else:
            assert isinstance(answer, Skipped)
            kinds[answer.kind] += 1
        if ".trade.detail" in sent.get("ch", ""):
            want += [
                Trade(
                    market=by_channel[sent["ch"]],
                    trade_id=row["tradeId"],
                    ts_us=row["ts"] * 1_000,
                    price=float(row["price"]),
                    amount=float(row["amount"]),
                    taker_buys=row["direction"] == "buy",
                )
                for row in reversed(sent["tick"]["data"])
            ]
    assert got == want
    assert len(got) == 38
    assert past == Counter(RECORDED)
    assert kinds == {"ack": 20, "book": 25, "ping": 2}
    ids = defaultdict(list)
    for trade in got:
        ids[trade.market].append(trade.trade_id)
    assert all(later == earlier + 1 for each in ids.values() for earlier, later in pairwise(each))


def test_old_trades_come_after_each_ack_and_only_then() -> None:
    decode = HTX.decoder([BTC_USDT])
    trade = Trade(BTC_USDT, 7, 1_583_495_833_751_000, 9150.01, 2.5e-5, False)
    assert decode(gzip.compress(TRADE)) == [trade]  # asked for by the decoder before this one
    for _ in range(2):
        assert decode(gzip.compress(SUBBED)) == Skipped("ack")
        assert decode(gzip.compress(TRADE)) == Past([trade])
        assert decode(gzip.compress(TRADE)) == [trade]


def test_newest_first_becomes_oldest_first() -> None:
    answer = decoded(TRADE.replace(b"[{", b"[" + ROW.replace(b'"tradeId":7', b'"tradeId":8') + b",{"))
    assert isinstance(answer, list)
    assert [trade.trade_id for trade in answer] == [7, 8]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (b'{"ping":1618678073643}', Reply(b'{"pong":1618678073643}')),
        (SUBBED, Skipped("ack")),
        (b'{"id":"id4","status":"ok","unsubbed":"market.btcusdt.trade.detail","ts":1}', Skipped("ack")),
        (b'{"ch":"market.btcusdt.kline.1min","ts":1,"tick":{"id":1,"count":0}}', Skipped("candle")),
        (b'{"ch":"market.btcusdt.detail","ts":1,"tick":{"id":1}}', Skipped("ticker")),
        (b'{"ch":"market.overview","ts":1,"data":[]}', Skipped("other")),
        (TRADE.replace(ROW, b""), Skipped("empty")),
        (TRADE.replace(b"btcusdt", b"ethusdt"), Skipped("other market")),
        (
            b'{"status":"error","ts":1586323747018,"id":"foobar","err-code":"bad-request",'
            b'"err-msg":"invalid topic market.foobar.trade.detail"}',
            Rejected("foobar", "bad-request: invalid topic market.foobar.trade.detail"),
        ),
        (
            b'{"status":"error","ts":1586323747018,"err-code":"bad-request","err-msg":"invalid json"}',
            Rejected(None, "bad-request: invalid json"),
        ),
    ],
)
def test_other_frames(text: bytes, answer: object) -> None:
    assert decoded(text) == answer


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"9150.01", b"0"),
        (b"9150.01", b"1E999"),
        (b"9150.01", b'"9150.01"'),
        (b"2.5E-5", b"-1"),
        (b'"tradeId":7', b'"tradeId":-1'),
        (b'"tradeId":7', b'"tradeId":9223372036854775808'),
        (b'"tradeId":7', b'"x":7'),
        (b'"sell"', b'"hold"'),
        (b'1583495833751,"tradeId"', b'1583495833751000,"tradeId"'),
        (TRADE, b'{"hello":1}'),
    ],
)
def test_impossible_trades_are_refused(old: bytes, new: bytes) -> None:
    frame = TRADE.replace(old, new)
    assert frame != TRADE
    with pytest.raises(BadMessage):
        decoded(frame)


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        (TRADE, "not gzip"),
        (b"", "truncated"),
        (gzip.compress(TRADE)[:-1], "truncated"),
        (gzip.compress(b" " * 100_000_000), "larger than 1,048,576 bytes"),
        (gzip.compress(b" " * 50_000), "larger than 8,296 bytes"),
    ],
    ids=["plain text", "empty", "truncated", "bomb", "small bomb"],
)
def test_wrong_gzip_is_refused(frame: bytes, why: str) -> None:
    with pytest.raises(BadMessage, match=why):
        HTX.decoder([BTC_USDT])(frame)


@given(st.binary(max_size=200) | st.binary(max_size=20).map(lambda junk: TRADE[:90] + junk + TRADE[100:]))
def test_packed_junk_is_refused_and_nothing_else(text: bytes) -> None:
    with suppress(BadMessage):
        decoded(text)


@given(st.integers(0, 200), st.binary(max_size=6))
def test_damaged_gzip_is_refused_and_nothing_else(place: int, junk: bytes) -> None:
    frame = gzip.compress(TRADE)
    with suppress(BadMessage):
        HTX.decoder([BTC_USDT])(memoryview(frame[:place] + junk + frame[place + len(junk) :]))


def test_subscribe_asks_for_each_market_apart() -> None:
    sent = [msgspec.json.decode(frame) for frame in HTX.subscribe([BTC_USDT, ETH_USDT])]
    assert sent == [
        {"sub": "market.btcusdt.trade.detail", "id": "btcusdt"},
        {"sub": "market.ethusdt.trade.detail", "id": "ethusdt"},
    ]
    assert HTX.unsubscribe([ETH_USDT]) == [b'{"unsub":"market.ethusdt.trade.detail"}']
    assert HTX.stream_url("wss://api.huobi.pro") == "wss://api.huobi.pro/ws"


def test_candles() -> None:
    raw = (
        b'{"ch":"market.btcusdt.kline.5min","status":"ok","ts":1583497740201,"data":['
        b'{"id":1583497500,"open":9094.5,"close":9094.51,"low":9094.0,"high":9095,"amount":4.4E-4,'
        b'"vol":4.001,"count":16},'
        b'{"id":1583497200,"open":1,"close":1,"low":1,"high":1,"amount":0,"vol":0,"count":0}]}'
    )
    flat, traded = HTX.decode_candles(BTC_USDT, Interval.M5, raw)
    assert traded == Candle(
        market=BTC_USDT,
        interval=Interval.M5,
        open_ts_us=1_583_497_500_000_000,
        open=9094.5,
        high=9095.0,
        low=9094.0,
        close=9094.51,
        volume=4.4e-4,
        quote_volume=4.001,
        trades=16,
    )
    assert (flat.open_ts_us, flat.trades) == (1_583_497_200_000_000, 0)


def test_trades_of_rest_are_those_of_the_stream() -> None:
    row = ROW.replace(b"tradeId", b"trade-id")
    newer = row.replace(b'"trade-id":7', b'"trade-id":9').replace(b"sell", b"buy")
    raw = (
        b'{"ch":"market.btcusdt.trade.detail","status":"ok","ts":1583497692365,"data":['
        b'{"id":2,"ts":1,"data":[' + newer + b"," + row.replace(b'"trade-id":7', b'"trade-id":8') + b"]},"
        b'{"id":1,"ts":1,"data":[' + row + b"]}]}"
    )
    trades = HTX.decode_trades(BTC_USDT, raw)
    assert [trade.trade_id for trade in trades] == [7, 8, 9]
    assert [trade.taker_buys for trade in trades] == [False, False, True]
    assert trades[:1] == decoded(TRADE)


def test_recorded_instruments(recordings: Path) -> None:
    raw = recorded.body(recordings / "htx" / "rest_symbols.json")
    assert HTX.decode_instruments(raw) == [
        Instrument(
            market=Market("htx", Symbol(row["base-currency"].upper(), row["quote-currency"].upper())),
            native=row["symbol"],
            status=MarketStatus.ACTIVE if row["state"] == "online" else MarketStatus.DELISTED,
            price_step=float(f"1e-{row['price-precision']}"),
            amount_step=float(f"1e-{row['amount-precision']}"),
        )
        for row in recorded.loads(raw)["data"]
    ]
    listed = HTX.decode_instruments(raw)
    assert len(listed) == 92
    assert all(instrument.native == HTX.native(instrument.market) for instrument in listed)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"status":"error","err-code":"invalid-parameter","err-msg":"invalid symbol","ts":1}',
        b'{"status":"ok","data":{}}',
        b'{"status":"ok","data":[{"data":[{"trade-id":1,"ts":0,"amount":1,"price":1,"direction":"buy"}]}]}',
        b'{"status":"ok","data":[{"data":[{"trade-id":1,"ts":9,"amount":1,"price":0,"direction":"buy"}]}]}',
    ],
)
def test_wrong_answers_are_refused(raw: bytes) -> None:
    with pytest.raises(BadMessage):
        HTX.decode_trades(BTC_USDT, raw)


def test_errors_with_status_200_are_seen() -> None:
    error = b'{"ts":1568813334794,"status":"error","err-code":"invalid-parameter","err-msg":"invalid symbol"}'
    assert HTX.error_in(error) == "invalid-parameter: invalid symbol"
    assert HTX.error_in(b'{"status":"ok","ts":1,"data":[]}') is None
    assert HTX.error_in(b"junk") is None
    limit = b'{"ts":1687004814731,"status":"error","err-code":"invalid-parameter","err-msg":"request limit"}'
    assert str(HTX.error_in(limit)).startswith(HTX.throttled_errors)


def test_requests() -> None:
    minute = 60_000_000
    request = HTX.candles_request(BTC_USDT, Interval.H1, Window(60 * minute, 120 * minute))
    assert request.path == "/market/history/kline"
    assert request.params == {"symbol": "btcusdt", "period": "60min", "size": "2000"}
    with pytest.raises(Fatal, match="no 1d candles"):
        HTX.candles_request(BTC_USDT, Interval.D1, Window(0, 1_440 * minute))
    sizes = [request.params["size"] for request in HTX.newest_trades_requests(BTC_USDT)]
    assert sizes == ["100", "2000"]
    assert HTX.trades_request(BTC_USDT).params == {"symbol": "btcusdt", "size": "2000"}
    for asked in ({"from_id": 1}, {"since_us": 1}, {"before_id": 1}):
        with pytest.raises(Fatal, match="only the newest trades"):
            HTX.trades_request(BTC_USDT, **asked)

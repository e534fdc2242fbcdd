"""Coinbase: every recorded frame and answer, as whole records."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec
import pytest

from coinwatch.errors import BadMessage, Fatal
from coinwatch.intervals import Interval
from coinwatch.records import Candle, Instrument, Market, MarketStatus, Trade
from coinwatch.windows import Window
from sources.exchanges import EXCHANGES
from sources.exchanges.base import Past, Rejected, Skipped
from tests.sources import recorded

COINBASE = EXCHANGES["coinbase"]
MARKETS = recorded.markets(
    "coinbase",
    *("SKL-USD", "SKL-BTC", "BAND-GBP", "NMR-EUR", "BAND-BTC"),
    *("YFI-BTC", "DASH-BTC", "NU-GBP", "CRV-EUR", "SKL-GBP"),
)
BTC_USD = Market.canonical("coinbase:BTC-USD")
TRADE = (
    b'{"type":"match","trade_id":10,"maker_order_id":"a","taker_order_id":"b","side":"sell",'
    b'"size":"5.23512","price":"400.23","product_id":"BTC-USD","sequence":50,'
    b'"time":"2021-04-17T16:43:37.027441Z"}'
)


def test_recorded_frames(recordings: Path) -> None:
    decode = COINBASE.decoder(MARKETS)
    got: list[Trade] = []
    want: list[Trade] = []
    past = 0
    kinds: Counter[str] = Counter()
    for frame in recorded.frames(recordings / "coinbase" / "ws_matches_ticker_first_half.jsonl"):
        answer = decode(frame)
        sent = recorded.loads(frame)
        if isinstance(answer, Past):
            got += answer.trades
            past += 1
        elif isinstance(answer, list):
            got += answer
        else:
            assert isinstance(answer, Skipped)
            kinds[answer.kind] += 1
        assert isinstance(answer, Past) == (sent["type"] == "last_match")
        if sent["type"] in ("match", "last_match"):
            want.append(
                Trade(
                    market=Market.canonical(f"coinbase:{sent['product_id']}"),
                    trade_id=sent["trade_id"],
                    ts_us=recorded.exact_us(sent["time"]),
                    price=float(sent["price"]),
                    amount=float(sent["size"]),
                    taker_buys=sent["side"] == "sell",  # the side is the maker's
                )
            )
    assert got == want
    assert (len(got), past) == (58, 10)
    assert kinds == {"ack": 3, "book": 80, "ticker": 58}


def test_matches_have_the_side_their_tickers_call_the_takers(recordings: Path) -> None:
    """A match comes again as a ticker, whose side is the taker's."""
    decode = COINBASE.decoder(MARKETS)
    sides: dict[tuple[str, int], str] = {}
    compared = 0
    all_frames = recorded.frames(recordings / "coinbase" / "ws_matches_ticker_first_half.jsonl")
    for sent in map(recorded.loads, all_frames):
        if sent["type"] == "ticker":
            sides[sent["product_id"], sent["trade_id"]] = sent["side"]
    for frame in all_frames:
        answer = decode(frame)
        for trade in answer if isinstance(answer, list) else []:
            side = sides.get((str(trade.market.symbol), trade.trade_id))
            if side is not None:
                assert trade.side == side
                compared += 1
    assert compared > 20


@pytest.mark.parametrize(
    ("frame", "answer"),
    [
        (
            b'{"type":"heartbeat","sequence":90,"last_trade_id":20,"product_id":"BTC-USD"}',
            Skipped("heartbeat"),
        ),
        (b'{"type":"subscriptions","channels":[]}', Skipped("ack")),
        (b'{"type":"done","side":"buy"}', Skipped("order")),
        (b'{"type":"something_new"}', Skipped("other")),
        (
            b'{"type":"error","message":"Failed to subscribe","reason":"BTC-USD is not a valid product"}',
            Rejected("BTC-USD", "BTC-USD is not a valid product"),
        ),
        (b'{"type":"error","message":"Malformed JSON"}', Rejected(None, "Malformed JSON")),
        (TRADE.replace(b"BTC-USD", b"ETH-USD"), Skipped("other market")),
    ],
)
def test_other_frames(frame: bytes, answer: object) -> None:
    assert COINBASE.decoder([BTC_USD])(frame) == answer


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"400.23"', b'"0"'),
        (b'"400.23"', b'"nan"'),
        (b'"5.23512"', b'"-1"'),
        (b'"trade_id":10', b'"trade_id":9223372036854775808'),
        (b'"sell"', b'"hold"'),
        (b"2021-04-17T16:43:37.027441Z", b"2021-04-17T16:43:37"),
        (b"2021-04-17T16:43:37.027441Z", b"1961-04-17T16:43:37Z"),
        (b"2021-04-17T16:43:37.027441Z", b"yesterday"),
        (b'"product_id":"BTC-USD",', b""),
    ],
)
def test_impossible_trades_are_refused(old: bytes, new: bytes) -> None:
    frame = TRADE.replace(old, new)
    assert frame != TRADE
    with pytest.raises(BadMessage):
        COINBASE.decoder([BTC_USD])(frame)


def test_subscribe_asks_for_each_market_apart() -> None:
    sent = [msgspec.json.decode(frame) for frame in COINBASE.subscribe(MARKETS[:2])]
    assert sent == [
        {"type": "subscribe", "product_ids": [native], "channels": ["matches", "heartbeat"]}
        for native in ("SKL-USD", "SKL-BTC")
    ]


def test_recorded_candles(recordings: Path) -> None:
    raw = recorded.body(recordings / "coinbase" / "rest_candles_btcusd_1m.json")
    candles = COINBASE.decode_candles(BTC_USD, Interval.M1, raw)
    assert candles == [
        Candle(
            market=BTC_USD,
            interval=Interval.M1,
            open_ts_us=row[0] * 1_000_000,
            low=float(row[1]),
            high=float(row[2]),
            open=float(row[3]),
            close=float(row[4]),
            volume=float(row[5]),
            quote_volume=None,
            trades=None,
        )
        for row in reversed(recorded.loads(raw))
    ]
    assert len(candles) == 4


def test_trades_come_newest_first_and_leave_oldest_first() -> None:
    raw = (
        b'[{"time":"2024-11-07T22:19:28.578544Z","trade_id":74,"price":"10.00000000",'
        b'"size":"0.01000000","side":"buy"},'
        b'{"time":"2024-11-07T22:19:27.1Z","trade_id":73,"price":"10.5","size":"0.02","side":"sell"}]'
    )
    assert COINBASE.decode_trades(BTC_USD, raw) == [
        Trade(BTC_USD, 73, recorded.exact_us("2024-11-07T22:19:27.1Z"), 10.5, 0.02, True),
        Trade(BTC_USD, 74, recorded.exact_us("2024-11-07T22:19:28.578544Z"), 10.0, 0.01, False),
    ]


def test_recorded_instruments(recordings: Path) -> None:
    raw = recorded.body(recordings / "coinbase" / "rest_products.json")
    want = [
        Instrument(
            market=Market.canonical(f"coinbase:{entry['base_currency']}-{entry['quote_currency']}"),
            native=entry["id"],
            status=MarketStatus.ACTIVE if entry["status"] == "online" else MarketStatus.DELISTED,
            price_step=float(entry["quote_increment"]),
            amount_step=float(entry["base_increment"]),
        )
        for entry in recorded.loads(raw)
    ]
    assert COINBASE.decode_instruments(raw) == want
    assert len(want) == 162


def test_a_product_that_is_not_online_is_delisted() -> None:
    raw = b'[{"id":"A-USD","base_currency":"A","quote_currency":"USD","status":"delisted"}]'
    assert COINBASE.decode_instruments(raw)[0].status is MarketStatus.DELISTED


def test_requests() -> None:
    minute = 60_000_000
    request = COINBASE.candles_request(BTC_USD, Interval.M1, Window(10 * minute, 20 * minute))
    assert request.path == "/products/BTC-USD/candles"
    assert request.params == {
        "granularity": "60",
        "start": "1970-01-01T00:10:00Z",
        "end": "1970-01-01T00:19:00Z",
    }
    page = COINBASE.trades_request(BTC_USD, from_id=500)
    assert page.path == "/products/BTC-USD/trades"
    assert page.params == {"limit": "1000", "after": "1500"}
    with pytest.raises(Fatal, match="4h"):
        COINBASE.candles_request(BTC_USD, Interval.H4, Window(0, 4 * 60 * minute))
    with pytest.raises(Fatal, match="by id"):
        COINBASE.trades_request(BTC_USD, since_us=1)


def test_products_that_are_not_their_assets_market_are_left_out() -> None:
    product = (
        b'{"id":"BTC-USD","base_currency":"BTC","quote_currency":"USD","quote_increment":"0.01",'
        b'"base_increment":"0.00000001","status":"online"}'
    )
    body = b"[%b,%b]" % (product.replace(b"BTC-USD", b"BTCAUCTION-USD"), product)
    assert [entry.native for entry in COINBASE.decode_instruments(body)] == ["BTC-USD"]

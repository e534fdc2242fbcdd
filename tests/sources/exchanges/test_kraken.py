"""Kraken: every recorded frame and answer, as whole records."""

from __future__ import annotations

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

KRAKEN = EXCHANGES["kraken"]
BTC_USD, BTC_USDT = recorded.markets("kraken", "BTC-USD", "BTC-USDT")
TRADE = (
    b'{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","side":"buy","price":105944.20,'
    b'"qty":0.00027625,"ord_type":"limit","trade_id":10218208,"timestamp":"2023-10-06T17:35:55.440295Z"}]}'
)


def test_recorded_frames(recordings: Path) -> None:
    frames = recorded.frames(recordings / "kraken" / "ws_v2_samples.jsonl")
    got, kinds = recorded.decoded(KRAKEN.decoder([BTC_USD]), frames)
    want: list[Trade] = []
    for sent in map(recorded.loads, frames):
        if sent.get("channel") == "trade":
            want += [
                Trade(
                    market=BTC_USD,
                    trade_id=row["trade_id"],
                    ts_us=recorded.exact_us(row["timestamp"]),
                    price=float(row["price"]),
                    amount=float(row["qty"]),
                    taker_buys=row["side"] == "buy",
                )
                for row in sent["data"]
            ]
    assert got == want
    assert len(got) == 2
    assert kinds == {"ack": 1, "ticker": 1, "candle": 1, "book": 1, "pong": 1}


def test_times_are_cut_not_rounded() -> None:
    frame = TRADE.replace(b"55.440295Z", b"55.440295999Z")
    [trade] = KRAKEN.decoder([BTC_USD])(frame)  # type: ignore[misc]
    assert trade.ts_us == recorded.exact_us("2023-10-06T17:35:55.440295Z")


@pytest.mark.parametrize(
    ("frame", "answer"),
    [
        (b'{"channel":"heartbeat"}', Skipped("heartbeat")),
        (b'{"channel":"status","type":"update","data":[{"system":"online"}]}', Skipped("status")),
        (b'{"channel":"something_new"}', Skipped("other")),
        (b'{"channel":"trade","type":"snapshot","data":[]}', Skipped("empty")),
        (TRADE.replace(b"BTC/USD", b"ETH/USD"), Skipped("other market")),
        (
            b'{"error":"Currency pair not supported FOO/BAR","method":"subscribe","success":false,'
            b'"symbol":"FOO/BAR","time_in":"2023-10-06T17:35:55.4Z","time_out":"2023-10-06T17:35:55.5Z"}',
            Rejected("FOO/BAR", "Currency pair not supported FOO/BAR"),
        ),
        (
            b'{"error":"Already subscribed","method":"subscribe","success":false,"symbol":"BTC/USD"}',
            Skipped("ack"),
        ),
    ],
)
def test_other_frames(frame: bytes, answer: object) -> None:
    assert KRAKEN.decoder([BTC_USD])(frame) == answer


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"105944.20", b"0"),
        (b"105944.20", b"1e999"),
        (b"105944.20", b"null"),
        (b"0.00027625", b"-0.1"),
        (b"10218208", b"-1"),
        (b"10218208", b"9223372036854775808"),
        (b'"buy"', b'"hold"'),
        (b"2023-10-06T17:35:55.440295Z", b"2023-10-06"),
        (b"2023-10-06T17:35:55.440295Z", b"2323-10-06T17:35:55Z"),
    ],
)
def test_impossible_trades_are_refused(old: bytes, new: bytes) -> None:
    frame = TRADE.replace(old, new)
    assert frame != TRADE
    with pytest.raises(BadMessage):
        KRAKEN.decoder([BTC_USD])(frame)


def test_subscribe_names_symbols_in_batches() -> None:
    many = recorded.markets("kraken", *(f"A{number}-USD" for number in range(150)))
    sent = [msgspec.json.decode(frame)["params"] for frame in KRAKEN.subscribe(many)]
    assert [symbol for params in sent for symbol in params["symbol"]] == [f"A{n}/USD" for n in range(150)]
    assert all(params["channel"] == "trade" and params["snapshot"] is False for params in sent)
    assert len(sent) == 2


def test_old_names_are_for_rest_alone() -> None:
    doge = Market.canonical("kraken:DOGE-BTC")
    assert (KRAKEN.native(doge), KRAKEN.rest_native(doge)) == ("DOGE/BTC", "XDGXBT")
    assert (KRAKEN.native(BTC_USDT), KRAKEN.rest_native(BTC_USDT)) == ("BTC/USDT", "XBTUSDT")


def test_recorded_candles(recordings: Path) -> None:
    raw = recorded.body(recordings / "kraken" / "rest_ohlc_xbtusdt_1m.json")
    candles = KRAKEN.decode_candles(BTC_USDT, Interval.M1, raw)
    assert candles == [
        Candle(
            market=BTC_USDT,
            interval=Interval.M1,
            open_ts_us=row[0] * 1_000_000,
            open=float(row[1]),
            high=float(row[2]),
            low=float(row[3]),
            close=float(row[4]),
            volume=float(row[6]),
            quote_volume=None,
            trades=row[7],
        )
        for row in recorded.loads(raw)["result"]["XBTUSDT"]
    ]
    assert len(candles) == 721


def test_recorded_trades(recordings: Path) -> None:
    raw = recorded.body(recordings / "kraken" / "rest_trades_xbtusdt.json")
    trades = KRAKEN.decode_trades(BTC_USDT, raw)
    assert trades == [
        Trade(BTC_USDT, row[6], int(row[2] * 1_000_000), float(row[0]), float(row[1]), row[3] == "b")
        for row in recorded.loads(raw)["result"]["XBTUSDT"]
    ]
    assert len(trades) == 1_000


def test_recorded_instruments(recordings: Path) -> None:
    raw = recorded.body(recordings / "kraken" / "rest_asset_pairs.json")
    names = {"XBT": "BTC", "XDG": "DOGE"}
    want = []
    for entry in recorded.loads(raw)["result"].values():
        base, _, quote = entry.get("wsname", "").partition("/")
        if not base or base == "ETH2.S":  # dark pools have no stream; a staked asset is no symbol
            continue
        want.append(
            Instrument(
                market=Market.canonical(f"kraken:{names.get(base, base)}-{names.get(quote, quote)}"),
                native=entry["altname"],
                status=MarketStatus.ACTIVE,
                price_step=float(f"1e-{entry['pair_decimals']}"),
                amount_step=float(f"1e-{entry['lot_decimals']}"),
            )
        )
    instruments = KRAKEN.decode_instruments(raw)
    assert instruments == want
    assert len(want) == 292
    assert all(instrument.native == KRAKEN.rest_native(instrument.market) for instrument in instruments)


def test_the_answers_one_market_may_have_any_key() -> None:
    raw = b'{"error":[],"result":{"XXBTZUSD":[["1.5","2","1762795433.971744999","s","m","",7]],"last":"1"}}'
    assert KRAKEN.decode_trades(BTC_USD, raw) == [Trade(BTC_USD, 7, 1_762_795_433_971_744, 1.5, 2.0, False)]


@pytest.mark.parametrize(
    "raw",
    [
        b'{"error":[],"result":{"last":"1"}}',
        b'{"error":[],"result":{"A":[],"B":[],"last":"1"}}',
        b'{"error":["EQuery:Unknown asset pair"]}',
        b'{"error":[],"result":{"A":[["1.5","2",1e999999999,"s","m","",7]],"last":"1"}}',
        b'{"error":[],"result":{"A":[["1.5","2","NaN","s","m","",7]],"last":"1"}}',
        b'{"error":[],"result":{"A":[["0","2",1762795433,"s","m","",7]],"last":"1"}}',
    ],
)
def test_wrong_answers_are_refused(raw: bytes) -> None:
    with pytest.raises(BadMessage):
        KRAKEN.decode_trades(BTC_USD, raw)


def test_errors_with_status_200_are_seen() -> None:
    assert KRAKEN.error_in(b'{"error":["EQuery:Unknown asset pair"]}') == "EQuery:Unknown asset pair"
    assert KRAKEN.error_in(b'{"error":["WSomething:harmless"],"result":{}}') is None
    assert KRAKEN.error_in(b"junk") is None


def test_requests() -> None:
    minute = 60_000_000
    request = KRAKEN.candles_request(BTC_USDT, Interval.M5, Window(10 * minute, 20 * minute))
    assert request.path == "/0/public/OHLC"
    assert request.params == {"pair": "XBTUSDT", "interval": "5", "since": "300"}
    page = KRAKEN.trades_request(BTC_USDT, since_us=1_500_000)
    assert page.path == "/0/public/Trades"
    assert page.params == {"pair": "XBTUSDT", "count": "1000", "since": "1499999999"}
    with pytest.raises(Fatal, match="by time"):
        KRAKEN.trades_request(BTC_USDT, from_id=1)

"""MEXC: recorded REST answers, and frames made by the published schema, as none are recorded."""

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
from simulator.exchanges.base import Row
from simulator.exchanges.mexc import Mexc as Venue
from simulator.history import History
from simulator.markets import sim_markets
from sources.exchanges import EXCHANGES
from sources.exchanges.base import Rejected, Skipped
from sources.synthetic_ids import SyntheticIds, synthetic_id
from tests.sources import recorded

MEXC = EXCHANGES["mexc"]
BTC_USDT, ETH_USDT = recorded.markets("mexc", "BTC-USDT", "ETH-USDT")
CHANNEL = "spot@public.aggre.deals.v3.api.pb@100ms@BTCUSDT"
NOW_US = 1_795_175_000_123_000
VENUE = Venue(sim_markets(60), History())
ROWS = [
    Row(1, NOW_US, 60_000.5, 0.125, True),
    Row(2, NOW_US, 60_000.5, 0.125, True),
    Row(3, NOW_US, 1.0, 2.0, False),
]


def frame(*rows: Row, channel: str = CHANNEL, now_us: int = NOW_US) -> bytes:
    [made] = VENUE.frames(channel, VENUE.markets["BTCUSDT"], rows, now_us)
    return made


def test_equal_trades_at_one_time_get_different_ids() -> None:
    answer = MEXC.decoder([BTC_USDT])(frame(*ROWS))
    assert isinstance(answer, list)
    assert [(t.ts_us, t.price, t.amount, t.taker_buys) for t in answer] == [tuple(row[1:]) for row in ROWS]
    assert len({trade.trade_id for trade in answer}) == 3


def test_the_same_trades_have_the_same_ids_by_rest() -> None:
    streamed = MEXC.decoder([BTC_USDT])(frame(*ROWS))
    sent = [
        {"id": None, "price": f"{r.price}", "qty": f"{r.amount}", "time": r.ts_us // 1_000}
        | {"isBuyerMaker": not r.taker_buys}
        for r in reversed(ROWS)
    ]
    assert MEXC.decode_trades(BTC_USDT, msgspec.json.encode(sent)) == streamed


def test_newest_first_becomes_oldest_first() -> None:
    rows = [Row(number, NOW_US + ms * 1_000, 1.0, float(number), True) for number, ms in ((1, 7), (2, 3))]
    answer = MEXC.decoder([BTC_USDT])(frame(*rows))
    assert isinstance(answer, list)
    assert [trade.amount for trade in answer] == [2.0, 1.0]


def test_a_frame_that_comes_again_is_no_news() -> None:
    decode = MEXC.decoder([BTC_USDT])
    first, second = frame(ROWS[0]), frame(ROWS[0])
    assert first != second
    assert isinstance(decode(first), list)
    assert decode(first) == Skipped("repeated")
    again = decode(second)
    assert isinstance(again, list)
    assert again[0].trade_id == synthetic_id(NOW_US, 60_000.5, 0.125, True, 1)


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b'{"id":0,"code":0,"msg":"PONG"}', Skipped("pong")),
        (f'{{"id":0,"code":0,"msg":"{CHANNEL}"}}'.encode(), Skipped("ack")),
        (
            f'{{"id":0,"code":0,"msg":"Not Subscribed successfully! [{CHANNEL}]."}}'.encode(),
            Rejected("BTCUSDT", f"Not Subscribed successfully! [{CHANNEL}]."),
        ),
        (frame(ROWS[0], channel=CHANNEL.replace("BTC", "XRP")), Skipped("other market")),
        (frame(ROWS[0], channel="spot@public.something"), Skipped("other")),
        (frame(), Skipped("empty")),
    ],
)
def test_other_frames(sent: bytes, answer: object) -> None:
    assert MEXC.decoder([BTC_USDT])(sent) == answer


@given(st.binary(max_size=200))
def test_junk_is_a_bad_message_or_none_of_ours(junk: bytes) -> None:
    try:
        answer = MEXC.decoder([BTC_USDT])(junk)
    except BadMessage:
        return
    assert isinstance(answer, Skipped | Rejected)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_byte_never_makes_a_trade_that_cannot_be(place: int, change: int) -> None:
    damaged = bytearray(frame(*ROWS))
    damaged[place % len(damaged)] ^= change
    try:
        answer = MEXC.decoder([BTC_USDT])(bytes(damaged))
    except BadMessage:
        return
    if isinstance(answer, list):
        assert all(trade.price > 0 and trade.amount > 0 for trade in answer)


@pytest.mark.parametrize(
    "row",
    [
        Row(1, NOW_US, 0.0, 1.0, True),
        Row(1, NOW_US, float("nan"), 1.0, True),
        Row(1, NOW_US, 1.0, float("inf"), True),
        Row(1, 0, 1.0, 1.0, True),
    ],
)
def test_impossible_trades_are_refused(row: Row) -> None:
    with pytest.raises(BadMessage):
        MEXC.decoder([BTC_USDT])(frame(row))


def test_ordinals_are_remembered_long_enough() -> None:
    ids = SyntheticIds()
    first = ids.id_of("BTCUSDT", 1, 2.0, 3.0, True)
    for number in range(4_000):
        ids.id_of("BTCUSDT", 2, number + 1.0, 3.0, True)
    assert ids.id_of("BTCUSDT", 1, 2.0, 3.0, True) not in (first, 0)


def test_subscribe_is_a_frame_for_each_market() -> None:
    sent = [msgspec.json.decode(frame)["params"] for frame in MEXC.subscribe([BTC_USDT, ETH_USDT])]
    assert sent == [[CHANNEL], [CHANNEL.replace("BTC", "ETH")]]


def test_recorded_candles(recordings: Path) -> None:
    body = recorded.body(recordings / "mexc" / "rest_klines_btcusdt_5m.json")
    assert MEXC.decode_candles(BTC_USDT, Interval.M5, body) == [
        Candle(
            market=BTC_USDT,
            interval=Interval.M5,
            open_ts_us=row[0] * 1_000,
            open=float(row[1]),
            high=float(row[2]),
            low=float(row[3]),
            close=float(row[4]),
            volume=float(row[5]),
            quote_volume=float(row[7]),
        )
        for row in recorded.loads(body)
    ]


def test_candles_are_asked_for_up_to_the_last_millisecond() -> None:
    request = MEXC.candles_request(BTC_USDT, Interval.H1, Window(3_600_000_000, 7_200_000_000))
    assert request.params["interval"] == "60m"
    assert (request.params["startTime"], request.params["endTime"]) == ("3600000", "7199999")


def test_recorded_trades(recordings: Path) -> None:
    body = recorded.body(recordings / "mexc" / "rest_trades_btcusdt.json")
    got = MEXC.decode_trades(BTC_USDT, body)
    assert [msgspec.structs.replace(trade, trade_id=0) for trade in got] == [
        Trade(
            market=BTC_USDT,
            trade_id=0,
            ts_us=row["time"] * 1_000,
            price=float(row["price"]),
            amount=float(row["qty"]),
            taker_buys=row["tradeType"] == "BID",
        )
        for row in reversed(recorded.loads(body))
    ]
    assert len({trade.trade_id for trade in got}) == 5


def test_only_the_newest_trades_can_be_had() -> None:
    for argument in ({"from_id": 7}, {"since_us": 7}, {"before_id": 7}):
        with pytest.raises(Fatal, match="newest 1,000"):
            MEXC.trades_request(BTC_USDT, **argument)


def test_recorded_instruments(recordings: Path) -> None:
    body = recorded.body(recordings / "mexc" / "rest_exchange_info.json")
    assert MEXC.decode_instruments(body) == [
        Instrument(
            market=Market.canonical(f"mexc:{row['baseAsset']}-{row['quoteAsset']}"),
            native=row["symbol"],
            status=MarketStatus.ACTIVE if row["status"] == "1" else MarketStatus.DELISTED,
            price_step=float(Decimal(1).scaleb(-row["quotePrecision"])),
            amount_step=float(Decimal(1).scaleb(-row["baseAssetPrecision"])),
        )
        for row in recorded.loads(body)["symbols"]
    ]


def test_recorded_amounts_are_whole_steps(recordings: Path) -> None:
    listed = MEXC.decode_instruments(recorded.body(recordings / "mexc" / "rest_exchange_info.json"))
    [step] = [entry.amount_step for entry in listed if entry.market == BTC_USDT]
    sent = recorded.loads(recorded.body(recordings / "mexc" / "rest_trades_btcusdt.json"))
    assert all(Decimal(row["qty"]) % Decimal(str(step)) == 0 for row in sent)


def test_errors_with_a_code() -> None:
    assert MEXC.error_in(b'{"code":-1121,"msg":"Invalid symbol.","_extend":null}') == "-1121: Invalid symbol."
    assert MEXC.error_in(b"[]") is None

"""OKX: every recorded frame and answer of the spot market, as whole records."""

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

OKX = EXCHANGES["okx"]
[BTC_USDT] = recorded.markets("okx", "BTC-USDT")
TRADE = (
    b'{"arg":{"channel":"trades-all","instId":"BTC-USDT"},"data":[{"instId":"BTC-USDT",'
    b'"tradeId":"338476307","px":"30236","sz":"0.0002","side":"buy","ts":"1652459224818"}]}'
)


def read(row: dict[str, str]) -> Trade:
    return Trade(
        market=Market.canonical(f"okx:{row['instId']}"),
        trade_id=int(row["tradeId"]),
        ts_us=int(row["ts"]) * 1_000,
        price=float(row["px"]),
        amount=float(row["sz"]),
        taker_buys=row["side"] == "buy",
    )


def test_recorded_frames(recordings: Path) -> None:
    frames = recorded.frames(recordings / "okx" / "ws_v5_trades_btcusdt.jsonl")
    got, kinds = recorded.decoded(OKX.decoder([BTC_USDT]), frames)
    want: list[Trade] = []
    for sent in map(recorded.loads, frames):
        if sent["arg"]["channel"] == "trades" and "data" in sent:
            want += map(read, sent["data"])
    assert got == want
    ids = [trade.trade_id for trade in got]
    assert ids == list(range(ids[0], ids[0] + 69))  # consecutive
    assert kinds == {"ack": 18, "book": 40, "ticker": 25}


def test_each_trade_is_asked_for() -> None:
    assert OKX.decoder([BTC_USDT])(TRADE) == [
        Trade(BTC_USDT, 338476307, 1_652_459_224_818_000, 30236.0, 0.0002, taker_buys=True)
    ]
    [sent] = [msgspec.json.decode(frame) for frame in OKX.subscribe([BTC_USDT])]
    assert sent == {"op": "subscribe", "args": [{"channel": "trades-all", "instId": "BTC-USDT"}]}


@pytest.mark.parametrize(
    ("frame", "answer"),
    [
        (b"pong", Skipped("pong")),
        (
            b'{"event":"error","msg":"Wrong URL or channel:trades-all,instId:NOPE-USD doesn\'t exist. '
            b'Please use the correct URL, channel and parameters referring to API document.","code":"60018"}',
            Rejected(
                "NOPE-USD",
                "Wrong URL or channel:trades-all,instId:NOPE-USD doesn't exist. "
                "Please use the correct URL, channel and parameters referring to API document.",
            ),
        ),
        (
            b'{"event":"error","code":"60012","msg":"Invalid request: {}","connId":"a4d3ae55"}',
            Rejected(None, "Invalid request: {}"),
        ),
        (
            b'{"event":"notice","code":"64008","msg":"The connection will soon be closed for a service '
            b'upgrade. Please reconnect.","connId":"a4d3ae55"}',
            Skipped("shutdown"),
        ),
        (b'{"event":"channel-conn-count","channel":"orders","connCount":"2"}', Skipped("ack")),
        (b'{"arg":{"channel":"something-new"},"data":[{}]}', Skipped("other")),
        (
            TRADE.replace(b'"instId":"BTC-USDT","tradeId"', b'"instId":"X-Y","tradeId"'),
            Skipped("other market"),
        ),
        (b'{"arg":{"channel":"trades-all","instId":"BTC-USDT"},"data":[]}', Skipped("empty")),
    ],
)
def test_other_frames(frame: bytes, answer: object) -> None:
    assert OKX.decoder([BTC_USDT])(frame) == answer


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"30236"', b'"0"'),
        (b'"30236"', b'"nan"'),
        (b'"0.0002"', b'"-1"'),
        (b'"0.0002"', b"null"),
        (b'"338476307"', b'"-1"'),
        (b'"338476307"', b'"9223372036854775808"'),
        (b'"buy"', b'"hold"'),
        (b'"1652459224818"', b'"soon"'),
        (b'"1652459224818"', b'"16524592248180000"'),
    ],
)
def test_impossible_trades_are_refused(old: bytes, new: bytes) -> None:
    frame = TRADE.replace(old, new)
    assert frame != TRADE
    with pytest.raises(BadMessage):
        OKX.decoder([BTC_USDT])(frame)


def test_recorded_candles_have_the_form_of_spot(recordings: Path) -> None:
    body = recorded.body(recordings / "okx" / "rest_candles_btcusdt_swap_1m.json")
    assert OKX.decode_candles(BTC_USDT, Interval.M1, body) == [
        Candle(
            market=BTC_USDT,
            interval=Interval.M1,
            open_ts_us=int(row[0]) * 1_000,
            open=float(row[1]),
            high=float(row[2]),
            low=float(row[3]),
            close=float(row[4]),
            volume=float(row[5]),
            quote_volume=float(row[7]),
        )
        for row in reversed(recorded.loads(body)["data"])
    ]


def test_candles_are_asked_for_between_two_times_left_out() -> None:
    request = OKX.candles_request(BTC_USDT, Interval.H1, Window(3_600_000_000, 10_800_000_000))
    assert request.params == {
        "instId": "BTC-USDT",
        "bar": "1H",
        "limit": "300",
        "before": "3599999",
        "after": "10800000",
    }


def test_recorded_trades(recordings: Path) -> None:
    body = recorded.body(recordings / "okx" / "rest_trades_btcusdt.json")
    assert OKX.decode_trades(BTC_USDT, body) == [read(row) for row in reversed(recorded.loads(body)["data"])]


def test_trades_are_paged_backwards() -> None:
    request = OKX.trades_request(BTC_USDT, before_id=7)
    assert request.params == {"instId": "BTC-USDT", "type": "1", "limit": "100", "after": "7"}
    for forward in ({"from_id": 7}, {"since_us": 7}):
        with pytest.raises(Fatal, match="backwards"):
            OKX.trades_request(BTC_USDT, **forward)


def test_recorded_instruments(recordings: Path) -> None:
    body = recorded.body(recordings / "okx" / "rest_instruments_spot.json")
    assert OKX.decode_instruments(body) == [
        Instrument(
            market=Market.canonical(f"okx:{row['baseCcy']}-{row['quoteCcy']}"),
            native=row["instId"],
            status=MarketStatus.ACTIVE if row["state"] == "live" else MarketStatus.DELISTED,
            price_step=float(Decimal(row["tickSz"])),
            amount_step=float(Decimal(row["lotSz"])),
            listed_us=int(row["listTime"]) * 1_000,
        )
        for row in recorded.loads(body)["data"]
    ]
    for unknown in (b'""', b'"0"', b'"99999999999999999"'):
        [listed, *_] = OKX.decode_instruments(body.replace(b'"1548133413000"', unknown))
        assert listed.listed_us is None


def test_errors_come_with_status_200() -> None:
    body = b'{"code":"51001","msg":"Instrument ID does not exist","data":[]}'
    assert OKX.error_in(body) == "51001: Instrument ID does not exist"
    assert OKX.error_in(b'{"code":"0","msg":"","data":[]}') is None
    with pytest.raises(BadMessage, match="Instrument ID does not exist"):
        OKX.decode_trades(BTC_USDT, body)


@pytest.mark.parametrize(
    ("code", "throttled", "passing"),
    [
        ("50011", True, False),
        ("50001", False, True),
        ("50026", False, True),
        ("51001", False, False),
        ("500110", False, False),
    ],
)
def test_what_a_later_try_may_mend(code: str, throttled: bool, passing: bool) -> None:
    error = OKX.error_in(f'{{"code":"{code}","msg":"Message","data":[]}}'.encode()) or ""
    assert error.startswith(OKX.throttled_errors) is throttled
    assert error.startswith(OKX.passing_errors) is passing


def test_no_two_seconds_have_more_than_20_requests() -> None:
    assert OKX.rest_limit.capacity + 2 * OKX.rest_limit.per_second <= 20


def numbers(text: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return text.map(lambda value: msgspec.json.encode(value).decode())


@given(
    st.fixed_dictionaries(
        {name: numbers(st.text(max_size=8) | st.floats().map(str)) for name in ("tradeId", "px", "sz", "ts")}
    )
)
def test_odd_trades_are_trades_or_refused(sent: dict[str, str]) -> None:
    fields = ",".join(f'"{name}":{value}' for name, value in sent.items())
    row = f'{{"instId":"BTC-USDT","side":"sell",{fields}}}'
    frame = f'{{"arg":{{"channel":"trades-all","instId":"BTC-USDT"}},"data":[{row}]}}'.encode()
    try:
        answer = OKX.decoder([BTC_USDT])(frame)
    except BadMessage:
        return
    assert isinstance(answer, list)
    [trade] = answer
    assert trade.price > 0
    assert trade.amount > 0
    assert trade.ts_us > 0

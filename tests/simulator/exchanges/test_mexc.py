"""The simulated MEXC: shapes of the recordings, limits and errors of the documentation."""

from __future__ import annotations

from pathlib import Path

from simulator.exchanges.base import Row, Session
from simulator.exchanges.mexc import Mexc
from simulator.history import History
from simulator.markets import sim_markets
from tests.simulator.asking import NOW_S, NOW_US, Here, ask, open_session, refusal, send
from tests.simulator.shapes import body, shape

MEXC = Mexc(sim_markets(60), History())
BTC = {"symbol": "BTCUSDT"}
CHANNEL = "spot@public.aggre.deals.v3.api.pb@100ms@BTCUSDT"


def opened() -> tuple[Session, Here]:
    return open_session(MEXC, "/ws")


def test_rest_answers_have_the_recorded_shape(recordings: Path) -> None:
    folder = recordings / "mexc"
    [trade] = ask(MEXC, "/api/v3/trades", **BTC, limit=1)
    assert shape(dict(sorted(trade.items()))) == shape(body(folder, "rest_trades_btcusdt.json")[0])
    [candle] = ask(MEXC, "/api/v3/klines", **BTC, interval="5m", limit=1)
    assert shape(candle) == shape(body(folder, "rest_klines_btcusdt_5m.json")[0])
    pair = ask(MEXC, "/api/v3/exchangeInfo")["symbols"][0]
    real = body(folder, "rest_exchange_info.json")["symbols"][0]
    assert shape({name: pair[name] for name in sorted(pair)}) == shape(
        {name: real[name] for name in sorted(pair)}
    )


def test_only_the_newest_1000_trades_are_shown_without_ids() -> None:
    rows = ask(MEXC, "/api/v3/trades", **BTC, limit=5_000)
    assert len(rows) == 1_000
    assert {row["id"] for row in rows} == {None}
    times = [row["time"] for row in rows]
    assert times == sorted(times, reverse=True)


def test_candles_from_a_start_to_an_end() -> None:
    minute = NOW_S // 60
    span = {"startTime": (minute - 3) * 60_000, "endTime": minute * 60_000 - 1}
    rows = ask(MEXC, "/api/v3/klines", **BTC, interval="1m", **span)
    assert [row[0] // 60_000 for row in rows] == [minute - 3, minute - 2, minute - 1]


def test_errors_in_the_exchange_words() -> None:
    assert refusal(MEXC, "/api/v3/trades", symbol="NOPE") == (
        400,
        {"code": -1121, "msg": "Invalid symbol.", "_extend": None},
    )
    assert refusal(MEXC, "/api/v3/klines", **BTC, interval="7m")[0] == 400
    assert refusal(MEXC, "/api/v3/nothing")[0] == 404


def test_subscriptions() -> None:
    session, here = opened()
    assert send(session, {"method": "SUBSCRIPTION", "params": [CHANNEL]}) == [
        {"id": 0, "code": 0, "msg": CHANNEL}
    ]
    assert here.joined == [(CHANNEL, "mexc:BTC-USDT")]
    [refused] = send(session, {"method": "SUBSCRIPTION", "params": [CHANNEL.replace("BTC", "NOPE")]})
    assert refused["msg"].startswith("Not Subscribed successfully! [spot@")
    send(session, {"method": "UNSUBSCRIPTION", "params": [CHANNEL]})
    assert here.joined == []
    assert send(session, {"method": "PING"})[0]["msg"] == "PONG"
    assert send(session, "{")[0]["msg"] == "Request error"


def test_no_frame_is_like_another() -> None:

    trade, market = Row(1, NOW_US, 1.0, 1.0, True), MEXC.markets["BTCUSDT"]
    assert MEXC.frames(CHANNEL, market, [trade], NOW_US) != MEXC.frames(CHANNEL, market, [trade], NOW_US)

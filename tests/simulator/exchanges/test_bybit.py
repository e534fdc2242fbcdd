"""The simulated Bybit: shapes of the recordings, limits and errors of the documentation."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulator.exchanges.base import Session
from simulator.exchanges.bybit import Bybit
from simulator.history import History
from simulator.markets import sim_markets
from tests.simulator.asking import NOW_S, NOW_US, Here, ask, live, open_session, refusal, send
from tests.simulator.shapes import body, frames, shape

BYBIT = Bybit(sim_markets(60), History())
TOPIC = "publicTrade.BTCUSDT"
SPOT = {"category": "spot"}
BTC = {**SPOT, "symbol": "BTCUSDT"}


def opened() -> tuple[Session, Here]:
    return open_session(BYBIT, "/v5/public/spot")


def test_stream_frames_have_the_recorded_shape(recordings: Path) -> None:
    real = frames(recordings / "bybit", "ws_v5_spot_btcusdt.jsonl", '"publicTrade.BTCUSDT"')[0]
    [mine] = live(BYBIT, TOPIC, "bybit:BTC-USDT")
    assert shape({**mine, "data": mine["data"][:1]}) == shape({**real, "data": real["data"][:1]})
    first, second = mine["data"]
    assert (first["i"], first["p"], first["v"], first["T"]) == ("7", "60000.50", "0.12500", NOW_US // 1_000)
    assert (first["S"], second["S"]) == ("Buy", "Sell")


def test_rest_answers_have_the_recorded_shape(recordings: Path) -> None:
    folder = recordings / "bybit"
    mine = ask(BYBIT, "/v5/market/recent-trade", **BTC, limit=1)["result"]["list"][0]
    real = body(folder, "rest_recent_trade_linear_sample.json")["result"]["list"][0]
    assert shape({**mine, "execId": ""}) == shape({**real, "execId": ""})
    [row, *_] = ask(BYBIT, "/v5/market/kline", **BTC, interval="D", limit=3)["result"]["list"]
    assert len(row) == len(body(folder, "rest_kline_linear_btcusdt_1d.json")["result"]["list"][0])
    pair = ask(BYBIT, "/v5/market/instruments-info", **SPOT)["result"]["list"][0]
    assert pair.keys() <= body(folder, "rest_instruments_spot.json")["result"]["list"][0].keys()


def test_only_the_newest_60_trades_are_shown() -> None:
    rows = ask(BYBIT, "/v5/market/recent-trade", **BTC, limit=1_000)["result"]["list"]
    ids = [int(row["execId"]) for row in rows]
    assert ids == list(range(ids[0], ids[0] - 60, -1))


def test_candles_are_newest_first_up_to_the_end() -> None:
    end_ms = NOW_S // 60 * 60_000
    rows = ask(BYBIT, "/v5/market/kline", **BTC, interval="1", end=end_ms - 1, limit=2)["result"]["list"]
    assert [int(row[0]) for row in rows] == [end_ms - 60_000, end_ms - 120_000]


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("/v5/market/kline", {**SPOT, "symbol": "NOPE", "interval": "1"}),
        ("/v5/market/kline", {**BTC, "interval": "7"}),
        ("/v5/market/recent-trade", {"symbol": "BTCUSDT"}),
    ],
)
def test_errors_come_with_status_200(path: str, params: dict[str, str]) -> None:
    status, answer = refusal(BYBIT, path, **params)
    assert (status, answer["retCode"]) == (200, 10001)


def test_subscriptions(recordings: Path) -> None:
    session, here = opened()
    [ack] = send(session, {"op": "subscribe", "args": [TOPIC]})
    real = frames(recordings / "bybit", "ws_v5_spot_btcusdt.jsonl", '"op":"subscribe"')[0]
    assert shape(ack) == shape(real)
    assert here.joined == [(TOPIC, "bybit:BTC-USDT")]
    [again] = send(session, {"op": "subscribe", "args": [TOPIC]})
    assert again["ret_msg"] == f"error:already subscribed,topic:{TOPIC}"
    assert here.joined == [(TOPIC, "bybit:BTC-USDT")]
    send(session, {"op": "unsubscribe", "args": [TOPIC]})
    assert here.joined == []
    [refused] = send(session, {"op": "subscribe", "args": [TOPIC, "publicTrade.NOPEUSD"]})
    assert (refused["success"], here.joined) == (False, [])
    assert send(session, {"op": "subscribe", "args": [TOPIC] * 11})[0]["success"] is False
    assert send(session, {"op": "ping"})[0]["ret_msg"] == "pong"
    assert send(session, "{")[0]["success"] is False

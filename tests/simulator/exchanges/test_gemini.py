"""The simulated Gemini: shapes against the recordings, limits and errors against the documentation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from coinwatch.records import Market
from coinwatch.times import DAY_US
from simulator.exchanges.base import Row, Session
from simulator.exchanges.gemini import Gemini, number
from simulator.history import History
from simulator.markets import sim_markets
from simulator.truth import trades_in_minutes
from tests.simulator.asking import NOW_MINUTE, NOW_S, NOW_US, Here, ask, open_session, refusal, send
from tests.simulator.shapes import body, frames, shape

MARKETS = sim_markets(60)
GEMINI = Gemini(MARKETS, History())
BTC_USD = MARKETS[Market.canonical("gemini:BTC-USD")]
RECORDING = "ws_v2_marketdata_2021_06.jsonl"


def opened() -> tuple[Session, Here]:
    return open_session(GEMINI, "/v2/marketdata")


def l2(command: str, *symbols: str) -> dict[str, Any]:
    return {"type": command, "subscriptions": [{"name": "l2", "symbols": list(symbols)}]}


def test_stream_frames_have_the_recorded_shape(recordings: Path) -> None:
    trades = [Row(7, NOW_US, 60_000.5, 0.125, True), Row(8, NOW_US, 60_001.0, 2.0, False)]
    first, second, book = map(json.loads, GEMINI.frames("l2", BTC_USD, trades, NOW_US))
    folder = recordings / "gemini"
    real = next(frame for frame in frames(folder, RECORDING, '"event_id"') if frame["type"] == "trade")
    assert shape(first) == shape({**real, "price": "1.5", "quantity": "1.5"})
    assert [frame["side"] for frame in (first, second)] == ["buy", "sell"]
    assert (first["price"], second["price"], second["quantity"]) == ("60000.5", "60001", "2")
    real = next(frame for frame in frames(folder, RECORDING, "l2_updates") if "trades" not in frame)
    assert list(book) == list(real)
    assert book["changes"] == [["sell", "60000.5", "0"], ["buy", "60001", "0"]]


def test_a_subscription_begins_with_the_book_and_fifty_old_trades(recordings: Path) -> None:
    session, here = opened()
    (first,) = send(session, l2("subscribe", "BTCUSD"))
    real = next(frame for frame in frames(recordings / "gemini", RECORDING, '"auction_events"'))
    assert list(first) == list(real)
    assert list(first["trades"][0]) == list(real["trades"][0])
    assert [trade["event_id"] for trade in first["trades"]] == [1, 2, 3, 4, 5]
    assert shape(first["changes"][0])[0] == "text"
    assert here.joined == [("l2", "gemini:BTC-USD")]
    assert send(session, l2("subscribe", "BTCUSD")) == []
    assert send(session, l2("unsubscribe", "BTCUSD")) == []
    assert here.joined == []


def test_a_heartbeat_every_five_seconds(recordings: Path) -> None:
    session, _ = opened()
    sent = [session.heartbeats(NOW_US + second * 1_000_000, idle=False) for second in range(6)]
    assert [len(beats) for beats in sent] == [1, 0, 0, 0, 0, 1]
    real = frames(recordings / "gemini", RECORDING, "heartbeat")[0]
    assert shape(json.loads(sent[0][0])) == shape(real)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("{", "InvalidJson"),
        ("[]", "InvalidJson"),
        (l2("subscribe", "NOPEUSD"), "InvalidSymbol"),
        (l2("what", "BTCUSD"), "InvalidRequest"),
        ({"type": "subscribe", "subscriptions": [{"name": "x", "symbols": ["BTCUSD"]}]}, "InvalidRequest"),
    ],
)
def test_bad_requests_get_an_error(message: object, reason: str) -> None:
    session, here = opened()
    (error,) = send(session, message)
    assert (error["result"], error["reason"]) == ("error", reason)
    assert here.joined == []


def test_numbers_are_short() -> None:
    assert [number(value) for value in (5.0, 0.07946, 1e-8, 1_020.482111)] == [
        *("5", "0.07946", "0.00000001", "1020.482111"),
    ]


@pytest.mark.parametrize(
    ("time_frame", "seconds", "count"),
    [("1m", 60, 1_440), ("5m", 300, 2_015), ("15m", 900, 1_343), ("1hr", 3_600, 1_463)],
)
def test_candles_are_all_there_are_newest_first(time_frame: str, seconds: int, count: int) -> None:
    candles = ask(GEMINI, f"/v2/candles/btcusd/{time_frame}", limit=3)
    open_s = NOW_S // seconds * seconds
    assert [row[0] for row in candles] == [(open_s - n * seconds) * 1_000 for n in range(count)]


def test_candles_are_the_truth() -> None:
    row, trades = ask(GEMINI, "/v2/candles/BTCUSD/1m")[1], trades_in_minutes(BTC_USD, NOW_MINUTE - 1, 1)
    assert row[1:5] == [trades.price[0], trades.price.max(), trades.price.min(), trades.price[-1]]
    assert row[5] == pytest.approx(trades.amount.sum())


def test_trades_by_time(recordings: Path) -> None:
    path = "/v1/trades/btcusd"
    newest = ask(GEMINI, path)
    ids = [trade["tid"] for trade in newest]
    assert ids == list(range(ids[0], ids[0] - 50, -1))
    real = body(recordings / "gemini", "rest_trades_btcusd_2019.json")
    assert set(newest[0]) == set(real[0])
    since_ms = NOW_US // 1_000 - 3_600_000
    page = ask(GEMINI, path, timestamp=since_ms, limit_trades=1_000)
    assert len(page) == 500
    times = [trade["timestampms"] for trade in page]
    assert times == sorted(times, reverse=True)
    assert times[-1] > since_ms
    following = ask(GEMINI, path, timestamp=times[0], limit_trades=1)
    assert following[0]["tid"] > page[0]["tid"]
    assert following[0]["timestampms"] > times[0]
    week_ms = (NOW_US - 7 * DAY_US) // 1_000
    assert ask(GEMINI, path, timestamp=1_600_000_000_000, limit_trades=1)[0]["timestampms"] >= week_ms


def test_symbols(recordings: Path) -> None:
    names = ask(GEMINI, "/v1/symbols")
    assert names == [native.lower() for native in GEMINI.markets]
    real = body(recordings / "gemini", "rest_symbol_details_btcusd.json")
    mine = ask(GEMINI, "/v1/symbols/details/btcusd")
    assert list(mine) == list(real)
    assert (mine["symbol"], mine["base_currency"], mine["quote_currency"]) == ("BTCUSD", "BTC", "USD")


def test_errors_have_the_recorded_shape(recordings: Path) -> None:
    status, error = refusal(GEMINI, "/v1/trades/nope")
    assert (status, set(error)) == (400, set(body(recordings / "gemini", "rest_error_bad_symbol.json")))
    assert error["reason"] == "InvalidSymbol"
    assert refusal(GEMINI, "/v2/candles/btcusd/1h")[0] == 400
    assert refusal(GEMINI, "/v1/trades/btcusd", limit_trades="x")[0] == 400
    assert refusal(GEMINI, "/nothing")[0] == 404


def test_streams_are_joined_by_name() -> None:
    here = Here()
    session = GEMINI.session("", {}, here)
    assert session is not None
    subscribe = {"id": "a", "method": "SUBSCRIBE", "params": ["btcusd@trade"]}
    assert send(session, subscribe) == [{"id": "a", "status": 200}]
    assert [channel for channel, _ in here.joined] == ["trade"]
    for refused in ("nopeusd@trade", "btcusd@depth", "btcusd"):
        (answer,) = send(session, {**subscribe, "params": [refused]})
        assert (answer["status"], answer["error"]["code"]) == (400, -1121)
    (answer,) = send(session, {"id": 1, "method": "order.place"})
    assert answer["error"]["code"] == -1100
    assert send(session, "{")[0]["status"] == 400

"""The simulated HTX: shapes against the recordings, limits and errors against the documentation."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from coinwatch.records import Market
from simulator.exchanges.base import Row, Session
from simulator.exchanges.htx import Htx, number
from simulator.history import History
from simulator.markets import sim_markets
from simulator.truth import trades_in_minutes
from tests.simulator.asking import NOW_MINUTE, NOW_S, NOW_US, Here, ask, open_session, refusal
from tests.simulator.shapes import body, shape
from tests.sources import recorded

MARKETS = sim_markets(60)
HTX = Htx(MARKETS, History())
BTC_USDT = MARKETS[Market.canonical("htx:BTC-USDT")]
TOPIC = "market.btcusdt.trade.detail"


def opened() -> tuple[Session, Here]:
    return open_session(HTX, "/ws")


def send(session: Session, message: object) -> list[Any]:
    text = message if isinstance(message, str) else json.dumps(message)
    return [json.loads(gzip.decompress(frame)) for frame in session.receive(text, NOW_US)]


def real_frames(recordings: Path, text: str) -> list[Any]:
    path = recordings / "htx" / "ws_trade_detail_first_half.jsonl"
    unpacked = [gzip.decompress(frame).decode() for frame in recorded.frames(path)]
    return [json.loads(frame) for frame in unpacked if text in frame]


def test_stream_frames_have_the_recorded_shape(recordings: Path) -> None:
    order = [Row(7, NOW_US, 60_000.5, 0.125, True), Row(8, NOW_US, 60_001.0, 2.0, True)]
    later = Row(9, NOW_US + 1_000, 1e-5, 0.5, False)
    first, second = (
        json.loads(gzip.decompress(frame)) for frame in HTX.frames("", BTC_USDT, [*order, later], NOW_US)
    )
    real = next(frame for frame in real_frames(recordings, "tradeId") if len(frame["tick"]["data"]) == 2)
    assert shape(first) == shape(real)
    assert [trade["tradeId"] for trade in first["tick"]["data"]] == [8, 7]
    assert [trade["tradeId"] for trade in second["tick"]["data"]] == [9]
    assert second["tick"]["data"][0]["direction"] == "sell"
    assert first["ch"] == TOPIC
    lengths = {len(str(frame["tick"]["data"][0]["id"])) for frame in real_frames(recordings, "tradeId")}
    assert len(str(first["tick"]["data"][0]["id"])) in lengths


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (716.0, "716.0"),
        (9.2e-7, "9.2E-7"),
        (1e-5, "1.0E-5"),
        (4.0e7, "4.0E7"),
        (0.0, "0.0"),
        (0.001, "0.001"),
    ],
)
def test_numbers_are_written_as_java_does(value: float, text: str) -> None:
    assert number(value) == text


def test_a_subscription_begins_with_the_order_before_it(recordings: Path) -> None:
    session, here = opened()
    ack, past = send(session, {"sub": TOPIC, "id": "a"})
    assert shape(ack) == shape({**real_frames(recordings, '"subbed"')[0], "id": "a"})
    assert past["ch"] == TOPIC
    assert past["tick"]["data"][0]["tradeId"] == 5
    assert here.joined == [("trade.detail", "htx:BTC-USDT")]
    assert send(session, {"sub": TOPIC}) == [{"status": "ok", "subbed": TOPIC, "ts": NOW_US // 1_000}]
    assert send(session, {"unsub": TOPIC})[0]["unsubbed"] == TOPIC
    assert here.joined == []
    assert send(session, {"unsub": TOPIC})[0]["status"] == "error"


def test_it_pings_every_five_seconds(recordings: Path) -> None:
    session, _ = opened()
    sent = [session.heartbeats(NOW_US + second * 1_000_000, idle=False) for second in range(11)]
    assert [len(frames) for frames in sent] == [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]
    ping = json.loads(gzip.decompress(sent[0][0]))
    assert shape(ping) == shape(real_frames(recordings, '"ping"')[0])
    assert send(session, {"pong": ping["ping"]}) == []
    assert send(session, {"ping": 5}) == [{"pong": 5}]


@pytest.mark.parametrize("message", ["{", "[]", '{"sub":"market.nope.trade.detail","id":"nope"}', "{}"])
def test_bad_requests_get_an_error(message: str) -> None:
    session, here = opened()
    (error,) = send(session, message)
    assert (error["status"], error["err-code"]) == ("error", "bad-request")
    assert error.get("id") == ("nope" if "nope" in message else None)
    assert here.joined == []


def test_candles_are_the_truth_newest_first_with_the_open_one() -> None:
    answer = ask(HTX, "/market/history/kline", symbol="btcusdt", period="1min", size=3)
    assert (answer["status"], answer["ch"]) == ("ok", "market.btcusdt.kline.1min")
    assert [row["id"] for row in answer["data"]] == [(NOW_MINUTE - n) * 60 for n in range(3)]
    row, trades = answer["data"][1], trades_in_minutes(BTC_USDT, NOW_MINUTE - 1, 1)
    assert (row["open"], row["close"]) == (trades.price[0], trades.price[-1])
    assert (row["high"], row["low"]) == (trades.price.max(), trades.price.min())
    assert row["amount"] == pytest.approx(trades.amount.sum())
    assert row["vol"] == pytest.approx((trades.amount * trades.price).sum())
    assert row["count"] == len(trades)
    most = ask(HTX, "/market/history/kline", symbol="btcusdt", period="5min", size=2_000)["data"]
    assert (len(most), most[0]["id"]) == (2_000, NOW_S // 300 * 300)
    hours = ask(HTX, "/market/history/kline", symbol="btcusdt", period="4hour", size=20)["data"]
    assert (len(hours), hours[0]["id"]) == (20, NOW_S // 14_400 * 14_400)


def test_only_the_newest_trades_by_order() -> None:
    newest = ask(HTX, "/market/history/trade", symbol="btcusdt", size=2_000)["data"]
    ids = [trade["trade-id"] for order in newest for trade in order["data"]]
    assert ids == list(range(ids[0], ids[0] - 2_000, -1))
    assert all(trade["ts"] == order["ts"] for order in newest for trade in order["data"])
    assert list(newest[0]["data"][0]) == ["id", "ts", "trade-id", "amount", "price", "direction"]
    assert len(ask(HTX, "/market/history/trade", symbol="btcusdt")["data"]) == 1


def test_symbols_have_the_recorded_keys(recordings: Path) -> None:
    real = body(recordings / "htx", "rest_symbols.json")
    mine = ask(HTX, "/v1/common/symbols")
    assert list(mine) == list(real)
    assert list(mine["data"][0]) == list(real["data"][0])
    assert {row["symbol"] for row in mine["data"]} == set(HTX.markets)


def test_errors_come_with_status_200() -> None:
    for path, params, words in (
        ("/market/history/kline", {"symbol": "nope", "period": "1min"}, "invalid symbol"),
        ("/market/history/trade", {}, "invalid symbol"),
        ("/market/history/kline", {"symbol": "btcusdt", "period": "7min"}, "invalid period"),
        ("/market/history/trade", {"symbol": "btcusdt", "size": 2_001}, "invalid size"),
    ):
        status, error = refusal(HTX, path, **params)
        assert (status, error["status"], error["err-code"]) == (200, "error", "invalid-parameter")
        assert error["err-msg"].startswith(words)
    assert refusal(HTX, "/nothing")[0] == 404

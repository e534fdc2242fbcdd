"""The simulated Binance: shapes of the recordings, limits and errors of the documentation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from coinwatch.records import Market
from coinwatch.times import MINUTE_US, SECOND_US
from simulator.exchanges.base import Answer, Refused
from simulator.exchanges.binance import Binance
from simulator.truth import trades_in_minutes
from tests.simulator.asking import (
    HISTORY,
    MARKETS,
    NOW_MINUTE,
    NOW_S,
    NOW_US,
    ask,
    full,
    live,
    open_session,
    refusal,
    send,
)
from tests.simulator.shapes import body, digits, frames, shape

BINANCE = Binance(MARKETS, HISTORY)


def test_stream_frames_have_the_recorded_shape(recordings: Path) -> None:
    folder = recordings / "binance"
    real = frames(folder, "ws_aggtrade_8symbols.jsonl", "@aggTrade")[0]
    first, second = live(BINANCE, "aggTrade/combined", "binance:BTC-USDT")
    assert shape(first) == shape(real)
    assert digits(first["data"]["p"]) == digits(real["data"]["p"]) == 8
    assert (first["stream"], first["data"]["s"]) == ("btcusdt@aggTrade", "BTCUSDT")
    assert (first["data"]["m"], second["data"]["m"]) == (False, True)
    assert live(BINANCE, "aggTrade", "binance:BTC-USDT")[0] == first["data"]
    real = frames(folder, "ws_trade_sample.jsonl", "@trade")[0]
    assert shape(live(BINANCE, "trade/combined", "binance:BTC-USDT")[0]) == shape(real)


@pytest.mark.parametrize(
    ("path", "recorded", "params"),
    [
        ("klines", "rest_klines_btcusdt_1m.json", {"interval": "1m"}),
        ("aggTrades", "rest_aggtrades_btcusdt.json", {}),
        ("trades", "rest_trades_btcusdt.json", {}),
        ("historicalTrades", "rest_historical_trades_btcusdt.json", {"fromId": 5}),
    ],
)
def test_rest_answers_have_the_recorded_shape(
    recordings: Path, path: str, recorded: str, params: dict[str, object]
) -> None:
    answer = ask(BINANCE, f"/api/v3/{path}", symbol="BTCUSDT", limit=10, **params)
    assert shape(answer) == shape(body(recordings / "binance", recorded))
    texts = [text for text in json.dumps(answer).split('"') if text.replace(".", "").isdigit()]
    assert all(digits(text) in (0, 8) for text in texts)


def test_exchange_info_has_the_recorded_keys(recordings: Path) -> None:
    real, mine = (
        body(recordings / "binance", "rest_exchange_info.json"),
        ask(BINANCE, "/api/v3/exchangeInfo"),
    )
    assert list(mine) == list(real)
    assert list(mine["symbols"][0]) == list(real["symbols"][0])
    by_type = {part["filterType"]: part for part in real["symbols"][0]["filters"]}
    for part in mine["symbols"][0]["filters"]:
        assert shape(part) == shape(by_type[part["filterType"]])
    assert len(ask(BINANCE, "/api/v3/exchangeInfo", symbol="BTCUSDT")["symbols"]) == 1


def test_klines_are_the_truth_and_end_with_the_open_one() -> None:
    market = MARKETS[Market.canonical("binance:BTC-USDT")]
    answer = ask(BINANCE, "/api/v3/klines", symbol="BTCUSDT", interval="1m", limit=3)
    assert [row[0] for row in answer] == [(NOW_MINUTE - 2 + i) * 60_000 for i in range(3)]
    trades = trades_in_minutes(market, NOW_MINUTE - 1, 1)
    row = answer[1]
    assert [float(text) for text in row[1:5]] == [
        trades.price[0],
        trades.price.max(),
        trades.price.min(),
        trades.price[-1],
    ]
    buys = trades.taker_buys
    assert float(row[5]) == pytest.approx(trades.amount.sum())
    assert float(row[7]) == pytest.approx((trades.amount * trades.price).sum())
    assert (row[6], row[8]) == (row[0] + 59_999, len(trades))
    assert float(row[9]) == pytest.approx(trades.amount[buys].sum())
    assert float(row[10]) == pytest.approx((trades.amount * trades.price)[buys].sum())
    assert answer[2][8] < len(trades_in_minutes(market, NOW_MINUTE, 1))


def test_klines_windows_and_limits() -> None:
    def opens(**params: object) -> list[int]:
        rows = ask(BINANCE, "/api/v3/klines", symbol="BTCUSDT", **params)
        return [row[0] for row in rows]

    start = (NOW_MINUTE - 5_000) * 60_000
    assert opens(interval="1m", startTime=start + 1, limit=2) == [start + 60_000, start + 120_000]
    assert opens(interval="1m", startTime=start, endTime=start + 60_000) == [start, start + 60_000]
    assert opens(interval="1m", endTime=start, limit=2) == [start - 60_000, start]
    assert len(opens(interval="1m", startTime=start, limit=5_000)) == 1_000
    assert len(opens(interval="1m")) == 500
    assert opens(interval="1m", startTime=NOW_US // 1_000 + 60_000) == []
    assert opens(interval="1h", limit=1) == [NOW_S // 3_600 * 3_600_000]
    assert opens(interval="1d", limit=1) == [NOW_S // 86_400 * 86_400_000]


def test_trades_by_id_and_by_time() -> None:
    newest = ask(BINANCE, "/api/v3/aggTrades", symbol="BTCUSDT", limit=3)
    assert newest[-1]["T"] <= NOW_US // 1_000
    first = newest[0]
    by_id = ask(BINANCE, "/api/v3/aggTrades", symbol="BTCUSDT", fromId=first["a"], limit=1_000)
    assert by_id == newest
    by_time = ask(BINANCE, "/api/v3/aggTrades", symbol="BTCUSDT", startTime=first["T"])
    assert first in by_time
    assert by_time[-1] == newest[-1]
    assert all(trade["T"] >= first["T"] for trade in by_time)
    until = ask(BINANCE, "/api/v3/aggTrades", symbol="BTCUSDT", endTime=first["T"] - 1, limit=1)
    assert until[0]["T"] < first["T"]


def test_errors_in_the_exchange_words(recordings: Path) -> None:
    real = body(recordings / "binance", "rest_error_invalid_symbol.json")
    assert refusal(BINANCE, "/api/v3/klines", symbol="NOPE", interval="1m") == (400, real)
    assert refusal(BINANCE, "/api/v3/klines", symbol="BTCUSDT", interval="7m")[1]["code"] == -1120
    assert refusal(BINANCE, "/api/v3/klines", interval="1m")[1]["code"] == -1102
    assert refusal(BINANCE, "/api/v3/trades", symbol="BTCUSDT", limit="x")[1]["code"] == -1100
    both = refusal(BINANCE, "/api/v3/aggTrades", symbol="BTCUSDT", fromId=1, startTime=1)
    assert both[1]["code"] == -1128
    with pytest.raises(Refused):
        full(BINANCE, "/api/v3/nothing")


def test_every_answer_has_the_weight_used_in_its_minute() -> None:
    venue = Binance(MARKETS, HISTORY)
    full(venue, "/api/v3/klines", symbol="BTCUSDT", interval="1m")
    assert full(venue, "/api/v3/ping").headers["x-mbx-used-weight-1m"] == "3"
    later = venue.rest("/api/v3/ping", {}, NOW_US + MINUTE_US)
    assert later.headers["x-mbx-used-weight-1m"] == "1"


def test_too_much_weight_is_refused_and_then_banned() -> None:
    venue = Binance(MARKETS, HISTORY)
    start_us = NOW_US // MINUTE_US * MINUTE_US + 20 * SECOND_US

    def info(now_us: int) -> Answer:
        try:
            return venue.rest("/api/v3/exchangeInfo", {}, now_us)
        except Refused as refused:
            return refused.answer

    assert [info(start_us).status for _ in range(300)] == [200] * 300
    refused = [info(start_us) for _ in range(10)]
    assert {(answer.status, answer.headers["retry-after"]) for answer in refused} == {(429, "40")}
    assert json.loads(refused[0].body)["code"] == -1003
    assert info(start_us + 40 * SECOND_US).status == 200  # a new minute
    for _ in range(310):
        info(start_us + 40 * SECOND_US)
    banned = info(start_us + 50 * SECOND_US)
    assert (banned.status, banned.headers["retry-after"]) == (418, "110")
    assert info(start_us + 150 * SECOND_US).status == 418
    assert info(start_us + 161 * SECOND_US).status == 200


def test_subscriptions() -> None:
    session, here = open_session(BINANCE, "/stream", streams="btcusdt@aggTrade/nope@aggTrade")
    session.opening(NOW_US)
    assert here.joined == [("aggTrade/combined", "binance:BTC-USDT")]
    request = {"method": "SUBSCRIBE", "params": ["ethusdt@trade", "btcusdt@aggTrade"], "id": 7}
    assert send(session, request) == [{"result": None, "id": 7}]
    assert len(here.joined) == 2
    listed = send(session, {"method": "LIST_SUBSCRIPTIONS", "id": "x"})
    assert listed == [{"result": ["btcusdt@aggTrade", "nope@aggTrade", "ethusdt@trade"], "id": "x"}]
    request = {"method": "UNSUBSCRIBE", "params": ["btcusdt@aggTrade"], "id": 8}
    assert send(session, request) == [{"result": None, "id": 8}]
    assert here.joined == [("trade/combined", "binance:ETH-USDT")]
    send(session, {"method": "SET_PROPERTY", "params": ["combined", False], "id": 9})
    assert here.joined == [("trade", "binance:ETH-USDT")]


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("{", 3),
        ('{"method":"WHAT","id":1}', 2),
        ("[]", 2),
        ('{"method":"SUBSCRIBE","params":[1],"id":1}', 2),
    ],
)
def test_bad_requests_get_an_error_and_keep_the_socket(message: str, code: int) -> None:
    session, _ = open_session(BINANCE, "/ws")
    assert send(session, message)[0]["error"]["code"] == code


def test_more_than_five_messages_a_second_end_the_connection() -> None:
    session, _ = open_session(BINANCE, "/stream")
    for _ in range(5):
        send(session, {"method": "LIST_SUBSCRIPTIONS", "id": 1})
    with pytest.raises(ConnectionAbortedError):
        send(session, {"method": "LIST_SUBSCRIPTIONS", "id": 1})

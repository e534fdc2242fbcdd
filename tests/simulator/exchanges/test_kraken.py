"""The simulated Kraken: shapes of the recordings, limits and errors of the documentation."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from coinwatch.records import Market
from simulator.exchanges.base import Row
from simulator.exchanges.kraken import Kraken
from simulator.truth import trades_in_minutes
from tests.simulator.asking import (
    HISTORY,
    MARKETS,
    NOW_MINUTE,
    NOW_S,
    NOW_US,
    ask,
    live,
    open_session,
    refusal,
    send,
)
from tests.simulator.shapes import body, digits, frames, shape

KRAKEN = Kraken(MARKETS, HISTORY)


def test_stream_frames_have_the_recorded_shape(recordings: Path) -> None:
    folder, name = recordings / "kraken", "ws_v2_samples.jsonl"
    (real,) = frames(folder, name, '"trade"')[:1]
    (frame,) = live(KRAKEN, "trade", "kraken:BTC-USD")
    assert shape(frame) == shape(real)
    assert [trade["side"] for trade in frame["data"]] == ["buy", "sell"]
    raw = KRAKEN.frames("trade", MARKETS[Market.canonical("kraken:BTC-USD")], [Row(1, 2, 3.0, 4.0, True)], 0)
    assert b'"price":3.0,"qty":4.00000000,' in raw[0]


def test_acks_have_the_recorded_shape(recordings: Path) -> None:
    folder, name = recordings / "kraken", "ws_v2_samples.jsonl"
    session, here = open_session(KRAKEN)
    assert json.loads(session.opening(NOW_US)[0])["channel"] == "status"
    params = {"channel": "trade", "symbol": ["BTC/USD", "NO/PE"]}
    ack, snapshot, error = send(session, {"method": "subscribe", "params": params, "req_id": 3})
    assert shape(ack) == shape(frames(folder, name, '"subscribe"')[0])
    assert [trade["trade_id"] for trade in snapshot["data"]] == [1, 2, 3, 4, 5]
    assert (snapshot["type"], error["success"], error["symbol"]) == ("snapshot", False, "NO/PE")
    assert error["error"] == "Currency pair not supported NO/PE"
    assert here.joined == [("trade", "kraken:BTC-USD")]
    (pong,) = send(session, {"method": "ping", "req_id": 42})
    assert shape(pong) == shape(frames(folder, name, '"pong"')[0])
    params = {"channel": "trade", "symbol": ["BTC/USD"]}
    assert send(session, {"method": "subscribe", "params": params})[0]["error"] == "Already subscribed"
    assert session.heartbeats(NOW_US, idle=True) == [b'{"channel":"heartbeat"}']
    assert session.heartbeats(NOW_US, idle=False) == []
    assert send(session, {"method": "unsubscribe", "params": params})[0]["success"]
    assert not send(session, {"method": "unsubscribe", "params": params})[0]["success"]
    assert here.joined == []


@pytest.mark.parametrize(
    "message",
    [
        "{",
        "[]",
        '{"method":"what"}',
        '{"method":"subscribe","params":{"channel":"book","symbol":["BTC/USD"]}}',
    ],
)
def test_bad_requests_get_an_error(message: str) -> None:
    session, here = open_session(KRAKEN)
    assert send(session, message)[0]["success"] is False
    assert here.joined == []


def test_rest_answers_have_the_recorded_shape(recordings: Path) -> None:
    folder = recordings / "kraken"
    real = body(folder, "rest_ohlc_xbtusdt_1m.json")
    mine = ask(KRAKEN, "/0/public/OHLC", pair="XBTUSDT", interval=1)
    assert list(mine) == list(real)
    assert list(mine["result"]) == list(real["result"])
    assert len(mine["result"]["XBTUSDT"]) == len(real["result"]["XBTUSDT"]) == 721
    assert shape(mine["result"]["XBTUSDT"][0]) == shape(real["result"]["XBTUSDT"][0])
    assert mine["result"]["last"] == mine["result"]["XBTUSDT"][-2][0]
    assert digits(mine["result"]["XBTUSDT"][0][1]) == 1

    real = body(folder, "rest_trades_xbtusdt.json")
    mine = ask(KRAKEN, "/0/public/Trades", pair="XBTUSDT")
    assert shape(mine["result"]["last"]) == shape(real["result"]["last"])
    assert len(mine["result"]["XBTUSDT"]) == 1_000
    row, recorded = mine["result"]["XBTUSDT"][0], real["result"]["XBTUSDT"][0]
    assert shape(row)[:5] == shape(recorded)[:5]
    assert [digits(text) for text in row[:2]] == [digits(text) for text in recorded[:2]]

    pairs, real_pairs = ask(KRAKEN, "/0/public/AssetPairs"), body(folder, "rest_asset_pairs.json")
    assert shape(ask(KRAKEN, "/0/public/Time")) == shape(body(folder, "rest_time.json"))
    for key, pair in pairs["result"].items():
        if recorded := real_pairs["result"].get(key):
            assert list(pair) == list(recorded)
            for name in ("altname", "wsname", "base", "quote", "lot_decimals"):
                assert pair[name] == recorded[name]
    assert {"XXBTZUSD", "XBTUSDT", "XXBTZEUR", "XETHZUSD", "XDGUSD", "SOLUSDT"} <= set(pairs["result"])


def test_ohlc_keeps_720_fills_empty_minutes_and_ends_with_the_open_one() -> None:
    result = ask(KRAKEN, "/0/public/OHLC", pair="ADA/EUR", since=0)["result"]
    rows = result["ADAEUR"]
    assert [row[0] for row in rows] == [(NOW_MINUTE - 720 + i) * 60 for i in range(721)]
    empty = [(before, row) for before, row in pairwise(rows) if not row[7]]
    assert empty
    for before, row in empty:
        assert row[1:5] == [before[4]] * 4
        assert row[5:7] == ["0.0", "0.00000000"]
    later = ask(KRAKEN, "/0/public/OHLC", pair="ADAEUR", since=rows[-3][0])["result"]["ADAEUR"]
    assert later == rows[-2:]
    hours = ask(KRAKEN, "/0/public/OHLC", pair="XXBTZUSD", interval=60)["result"]["XXBTZUSD"]
    assert hours[-1][0] == NOW_S // 3_600 * 3_600


def test_trades_follow_the_cursor_without_loss_or_repeat() -> None:
    market = MARKETS[Market.canonical("kraken:BTC-USDT")]
    start = NOW_MINUTE - 60
    since, ids, times = str(start * 60 * 10**9 - 1), [], []
    while True:
        result = ask(KRAKEN, "/0/public/Trades", pair="XBTUSDT", since=since, count=37)["result"]
        ids += [row[6] for row in result["XBTUSDT"]]
        times += [row[2] for row in result["XBTUSDT"]]
        if not result["XBTUSDT"]:
            break
        since = result["last"]
    true = trades_in_minutes(market, start, 61)
    known = true.ts_us <= NOW_US
    assert len(set(ids)) == len(ids)
    # Fills of one order share their nanosecond; the exclusive cursor skips those after a page's end.
    skipped = set(true.trade_id[known].tolist()) - set(ids)
    first_of_order = np.r_[True, np.diff(true.ts_us) > 0]
    assert not skipped & set(true.trade_id[first_of_order].tolist())
    by_id = dict(zip(true.trade_id.tolist(), true.ts_us.tolist(), strict=True))
    assert all(
        int(f"{time:.7f}".replace(".", "")[:-1]) == by_id[i] for i, time in zip(ids, times, strict=True)
    )


def test_errors_come_with_status_200() -> None:
    unknown = (200, {"error": ["EQuery:Unknown asset pair"]})
    assert refusal(KRAKEN, "/0/public/OHLC", pair="NOPE") == unknown
    assert refusal(KRAKEN, "/0/public/Trades", pair="NOPE") == unknown
    assert refusal(KRAKEN, "/0/public/OHLC", pair="XBTUSD", interval=7)[1]["error"][0].startswith("EGeneral")
    assert refusal(KRAKEN, "/0/public/Nothing")[1] == {"error": ["EGeneral:Unknown method"]}

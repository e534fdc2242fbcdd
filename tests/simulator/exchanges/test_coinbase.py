"""The simulated Coinbase: shapes of the recordings, limits and errors of the documentation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from coinwatch.records import Market
from coinwatch.times import MINUTE_US
from simulator.exchanges.base import Row
from simulator.exchanges.coinbase import Coinbase
from simulator.truth import trades_in_minutes
from tests.simulator.asking import (
    HISTORY,
    MARKETS,
    NOW_MINUTE,
    NOW_US,
    ask,
    full,
    live,
    open_session,
    refusal,
    send,
)
from tests.simulator.shapes import body, frames, shape

COINBASE = Coinbase(MARKETS, HISTORY)


def test_stream_frames_have_the_recorded_shape(recordings: Path) -> None:
    folder, name = recordings / "coinbase", "ws_matches_ticker_first_half.jsonl"
    market = MARKETS[Market.canonical("coinbase:BTC-USD")]
    real = frames(folder, name, '"type":"match"')[0]
    first, second = live(COINBASE, "matches", "coinbase:BTC-USD")
    assert shape(second) == shape(real)
    assert (first["side"], second["side"]) == ("sell", "buy")  # the maker's
    assert (first["price"], first["size"], second["size"]) == ("60000.50", "0.125", "2")
    assert second["sequence"] > first["sequence"]
    last = json.loads(COINBASE.match("last_match", market, Row(7, NOW_US, 1.0, 1.5, True)))
    assert shape(last) == shape(frames(folder, name, '"type":"last_match"')[0])
    ticker = live(COINBASE, "ticker", "coinbase:BTC-USD")[0]
    assert set(ticker) < set(frames(folder, name, '"type":"ticker"')[0])


def test_subscribe_answers_in_the_recorded_shape(recordings: Path) -> None:
    session, here = open_session(COINBASE)
    request = {
        "type": "subscribe",
        "product_ids": ["BTC-USD"],
        "channels": ["matches", {"name": "heartbeat", "product_ids": ["ETH-USD"]}],
    }
    last, ack = send(session, request)
    assert (last["type"], last["trade_id"]) == ("last_match", 5)
    real = frames(recordings / "coinbase", "ws_matches_ticker_first_half.jsonl", '"subscriptions"')[0]
    assert list(ack) == list(real)
    assert shape(ack["channels"][0]) == shape({**real["channels"][0], "product_ids": ["BTC-USD"]})
    assert here.joined == [("matches", "coinbase:BTC-USD"), ("heartbeat", "coinbase:ETH-USD")]
    beat = json.loads(session.heartbeats(NOW_US, idle=False)[0])
    assert list(beat) == ["type", "sequence", "last_trade_id", "product_id", "time"]
    assert beat["product_id"] == "ETH-USD"
    assert send(session, {"type": "unsubscribe", "product_ids": [], "channels": ["matches"]}) == [
        {"type": "subscriptions", "channels": [{"name": "heartbeat", "product_ids": ["ETH-USD"]}]}
    ]
    assert here.joined == [("heartbeat", "coinbase:ETH-USD")]


def test_wrong_requests_get_an_error_frame() -> None:
    session, here = open_session(COINBASE)
    for request, reason in (
        (
            {"type": "subscribe", "product_ids": ["NO-PE"], "channels": ["matches"]},
            "NO-PE is not a valid",
        ),
        ({"type": "subscribe", "product_ids": ["BTC-USD"], "channels": ["nope"]}, "nope is not a valid"),
    ):
        (error,) = send(session, request)
        assert (error["type"], error["message"]) == ("error", "Failed to subscribe")
        assert error["reason"].startswith(reason)
    for text in ("{", '{"type":"what"}', "[]"):
        assert send(session, text)[0]["type"] == "error"
    assert here.joined == []


def test_rest_answers_have_the_recorded_shape(recordings: Path) -> None:
    folder = recordings / "coinbase"
    products = ask(COINBASE, "/products")
    real = body(folder, "rest_products.json")
    assert [key for key, _ in shape(products[0])] == [key for key, _ in shape(real[0])]
    assert ask(COINBASE, f"/products/{products[0]['id']}") == products[0]
    real_stats = set(body(folder, "rest_stats_btcusd.json"))
    assert real_stats < set(ask(COINBASE, "/products/BTC-USD/stats"))
    candles = ask(COINBASE, "/products/BTC-USD/candles", granularity=60)
    assert len(candles[0]) == len(body(folder, "rest_candles_btcusd_1m.json")[0])
    assert list(ask(COINBASE, "/time")) == ["iso", "epoch"]


def test_candles_newest_first_closed_and_without_the_empty_ones() -> None:
    market = MARKETS[Market.canonical("coinbase:LTC-EUR")]
    candles = ask(COINBASE, "/products/LTC-EUR/candles", granularity=60)
    times = [row[0] for row in candles]
    assert times == sorted(times, reverse=True)
    assert times[0] < NOW_MINUTE * 60
    traded = trades_in_minutes(market, NOW_MINUTE - 299, 299)
    assert set(times) == {int(minute) * 60 for minute in traded.ts_us // MINUTE_US}
    time_s, low, high, opened, close, volume = candles[0]
    trades = trades_in_minutes(market, time_s // 60, 1)
    assert (opened, close) == (trades.price[0], trades.price[-1])
    assert (low, high) == (trades.price.min(), trades.price.max())
    assert volume == pytest.approx(trades.amount.sum())


def test_candle_windows() -> None:
    path = "/products/BTC-USD/candles"
    end = NOW_MINUTE * 60 - 600
    by_number = ask(COINBASE, path, granularity=60, start=end - 120, end=end)
    by_text = ask(
        COINBASE, path, granularity=60, start="2025-11-24T15:35:00Z", end="2025-11-24T15:37:00+00:00"
    )
    assert [row[0] for row in by_number] == [end, end - 60, end - 120]
    assert len(by_text) == 3
    assert len(ask(COINBASE, path, granularity=60, start=end - 300 * 60, end=end)) == 301
    status, error = refusal(COINBASE, path, granularity=60, start=end - 301 * 60, end=end)
    assert status == 400
    assert error["message"].endswith("Count of aggregations requested exceeds 300")
    assert refusal(COINBASE, path, granularity=61)[0] == 400
    assert refusal(COINBASE, path, start="yesterday")[0] == 400
    assert refusal(COINBASE, "/products/NO-PE/candles") == (404, {"message": "NotFound"})


def test_trades_page_backwards() -> None:
    path = "/products/BTC-USD/trades"
    first = full(COINBASE, path, limit=10)
    newest = json.loads(first.body)
    ids = [trade["trade_id"] for trade in newest]
    assert ids == list(range(ids[0], ids[0] - 10, -1))
    assert (first.headers["cb-before"], first.headers["cb-after"]) == (str(ids[0]), str(ids[-1]))
    older = ask(COINBASE, path, limit=5, after=ids[-1])
    assert [trade["trade_id"] for trade in older] == list(range(ids[-1] - 1, ids[-1] - 6, -1))
    assert [trade["trade_id"] for trade in ask(COINBASE, path, before=ids[3])] == ids[:3]
    assert len(ask(COINBASE, path)) == 1_000
    assert refusal(COINBASE, path, limit=1_001)[0] == 400
    assert list(newest[0]) == ["trade_id", "side", "size", "price", "time"]

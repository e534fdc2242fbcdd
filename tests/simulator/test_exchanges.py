"""Answers and frames against the recordings, limits and errors against the documentation."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coinwatch.records import Market
from coinwatch.times import MINUTE_US, SECOND_US
from simulator.exchanges.base import Answer, Refused, Row, Session, Venue
from simulator.exchanges.binance import Binance
from simulator.exchanges.coinbase import Coinbase
from simulator.exchanges.kraken import Kraken
from simulator.history import History
from simulator.markets import SimMarket, sim_markets
from simulator.truth import trades_in_minutes
from tests.simulator.shapes import body, digits, frames, shape

MARKETS = sim_markets(60)
HISTORY = History()
BINANCE, COINBASE, KRAKEN = Binance(MARKETS, HISTORY), Coinbase(MARKETS, HISTORY), Kraken(MARKETS, HISTORY)
NOW_MINUTE = 29_400_017
NOW_US = NOW_MINUTE * MINUTE_US + 33_123_456
NOW_S = NOW_US // 1_000_000


class Here:
    """A stream that remembers who joined; five trades have passed."""

    def __init__(self) -> None:
        self.joined: list[tuple[str, str]] = []

    def join(self, channel: str, market: SimMarket) -> int:
        self.joined.append((channel, str(market.market)))
        return 5

    def leave(self, channel: str, market: SimMarket) -> None:
        self.joined.remove((channel, str(market.market)))

    def last_id(self, market: SimMarket) -> int:
        return 5


def ask(venue: Venue, path: str, **params: object) -> Any:
    return json.loads(full(venue, path, **params).body)


def full(venue: Venue, path: str, **params: object) -> Answer:
    return venue.rest(path, {name: str(value) for name, value in params.items()}, NOW_US)


def refusal(venue: Venue, path: str, **params: object) -> tuple[int, Any]:
    with pytest.raises(Refused) as caught:
        full(venue, path, **params)
    return caught.value.answer.status, json.loads(caught.value.answer.body)


def open_session(venue: Venue, path: str = "", **params: str) -> tuple[Session, Here]:
    here = Here()
    session = venue.session(path, params, here)
    assert session is not None
    return session, here


def say(session: Session, message: object) -> list[Any]:
    text = message if isinstance(message, str) else json.dumps(message)
    return [json.loads(frame) for frame in session.receive(text, NOW_US)]


def live(venue: Venue, channel: str, name: str) -> list[Any]:
    market = MARKETS[Market.canonical(name)]
    trades = [Row(7, NOW_US, 60_000.5, 0.125, True), Row(8, NOW_US, 60_001.5, 2.0, False)]
    return [json.loads(frame) for frame in venue.frames(channel, market, trades, NOW_US)]


class TestBinance:
    def test_stream_frames_have_the_recorded_shape(self, recordings: Path) -> None:
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
        self, recordings: Path, path: str, recorded: str, params: dict[str, object]
    ) -> None:
        answer = ask(BINANCE, f"/api/v3/{path}", symbol="BTCUSDT", limit=10, **params)
        assert shape(answer) == shape(body(recordings / "binance", recorded))
        texts = [text for text in json.dumps(answer).split('"') if text.replace(".", "").isdigit()]
        assert all(digits(text) in (0, 8) for text in texts)

    def test_exchange_info_has_the_recorded_keys(self, recordings: Path) -> None:
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

    def test_klines_are_the_truth_and_end_with_the_open_one(self) -> None:
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

    def test_klines_windows_and_limits(self) -> None:
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

    def test_trades_by_id_and_by_time(self) -> None:
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

    def test_errors_in_the_exchange_words(self, recordings: Path) -> None:
        real = body(recordings / "binance", "rest_error_invalid_symbol.json")
        assert refusal(BINANCE, "/api/v3/klines", symbol="NOPE", interval="1m") == (400, real)
        assert refusal(BINANCE, "/api/v3/klines", symbol="BTCUSDT", interval="7m")[1]["code"] == -1120
        assert refusal(BINANCE, "/api/v3/klines", interval="1m")[1]["code"] == -1102
        assert refusal(BINANCE, "/api/v3/trades", symbol="BTCUSDT", limit="x")[1]["code"] == -1100
        both = refusal(BINANCE, "/api/v3/aggTrades", symbol="BTCUSDT", fromId=1, startTime=1)
        assert both[1]["code"] == -1128
        with pytest.raises(Refused):
            full(BINANCE, "/api/v3/nothing")

    def test_every_answer_tells_the_weight_used_in_its_minute(self) -> None:
        venue = Binance(MARKETS, HISTORY)
        full(venue, "/api/v3/klines", symbol="BTCUSDT", interval="1m")
        assert full(venue, "/api/v3/ping").headers["x-mbx-used-weight-1m"] == "3"
        later = venue.rest("/api/v3/ping", {}, NOW_US + MINUTE_US)
        assert later.headers["x-mbx-used-weight-1m"] == "1"

    def test_whoever_uses_too_much_weight_is_told_off_and_then_banned(self) -> None:
        venue = Binance(MARKETS, HISTORY)
        start_us = NOW_US // MINUTE_US * MINUTE_US + 20 * SECOND_US

        def info(now_us: int) -> Answer:
            try:
                return venue.rest("/api/v3/exchangeInfo", {}, now_us)
            except Refused as refused:
                return refused.answer

        assert [info(start_us).status for _ in range(300)] == [200] * 300
        told_off = [info(start_us) for _ in range(10)]
        assert {(one.status, one.headers["retry-after"]) for one in told_off} == {(429, "40")}
        assert json.loads(told_off[0].body)["code"] == -1003
        assert info(start_us + 40 * SECOND_US).status == 200  # a new minute
        for _ in range(310):
            info(start_us + 40 * SECOND_US)
        banned = info(start_us + 50 * SECOND_US)
        assert (banned.status, banned.headers["retry-after"]) == (418, "110")
        assert info(start_us + 150 * SECOND_US).status == 418
        assert info(start_us + 161 * SECOND_US).status == 200

    def test_subscriptions(self) -> None:
        session, here = open_session(BINANCE, "/stream", streams="btcusdt@aggTrade/nope@aggTrade")
        session.opening(NOW_US)
        assert here.joined == [("aggTrade/combined", "binance:BTC-USDT")]
        request = {"method": "SUBSCRIBE", "params": ["ethusdt@trade", "btcusdt@aggTrade"], "id": 7}
        assert say(session, request) == [{"result": None, "id": 7}]
        assert len(here.joined) == 2
        listed = say(session, {"method": "LIST_SUBSCRIPTIONS", "id": "x"})
        assert listed == [{"result": ["btcusdt@aggTrade", "nope@aggTrade", "ethusdt@trade"], "id": "x"}]
        request = {"method": "UNSUBSCRIBE", "params": ["btcusdt@aggTrade"], "id": 8}
        assert say(session, request) == [{"result": None, "id": 8}]
        assert here.joined == [("trade/combined", "binance:ETH-USDT")]
        say(session, {"method": "SET_PROPERTY", "params": ["combined", False], "id": 9})
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
    def test_bad_requests_get_an_error_and_keep_the_socket(self, message: str, code: int) -> None:
        session, _ = open_session(BINANCE, "/ws")
        assert say(session, message)[0]["error"]["code"] == code

    def test_more_than_five_messages_a_second_end_the_connection(self) -> None:
        session, _ = open_session(BINANCE, "/stream")
        for _ in range(5):
            say(session, {"method": "LIST_SUBSCRIPTIONS", "id": 1})
        with pytest.raises(ConnectionAbortedError):
            say(session, {"method": "LIST_SUBSCRIPTIONS", "id": 1})


class TestCoinbase:
    def test_stream_frames_have_the_recorded_shape(self, recordings: Path) -> None:
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

    def test_subscribe_answers_in_the_recorded_shape(self, recordings: Path) -> None:
        session, here = open_session(COINBASE)
        request = {
            "type": "subscribe",
            "product_ids": ["BTC-USD"],
            "channels": ["matches", {"name": "heartbeat", "product_ids": ["ETH-USD"]}],
        }
        last, ack = say(session, request)
        assert (last["type"], last["trade_id"]) == ("last_match", 5)
        real = frames(recordings / "coinbase", "ws_matches_ticker_first_half.jsonl", '"subscriptions"')[0]
        assert list(ack) == list(real)
        assert shape(ack["channels"][0]) == shape({**real["channels"][0], "product_ids": ["BTC-USD"]})
        assert here.joined == [("matches", "coinbase:BTC-USD"), ("heartbeat", "coinbase:ETH-USD")]
        beat = json.loads(session.heartbeats(NOW_US, idle=False)[0])
        assert list(beat) == ["type", "sequence", "last_trade_id", "product_id", "time"]
        assert beat["product_id"] == "ETH-USD"
        assert say(session, {"type": "unsubscribe", "product_ids": [], "channels": ["matches"]}) == [
            {"type": "subscriptions", "channels": [{"name": "heartbeat", "product_ids": ["ETH-USD"]}]}
        ]
        assert here.joined == [("heartbeat", "coinbase:ETH-USD")]

    def test_wrong_requests_get_an_error_frame(self) -> None:
        session, here = open_session(COINBASE)
        for request, reason in (
            (
                {"type": "subscribe", "product_ids": ["NO-PE"], "channels": ["matches"]},
                "NO-PE is not a valid",
            ),
            ({"type": "subscribe", "product_ids": ["BTC-USD"], "channels": ["nope"]}, "nope is not a valid"),
        ):
            (error,) = say(session, request)
            assert (error["type"], error["message"]) == ("error", "Failed to subscribe")
            assert error["reason"].startswith(reason)
        for text in ("{", '{"type":"what"}', "[]"):
            assert say(session, text)[0]["type"] == "error"
        assert here.joined == []

    def test_rest_answers_have_the_recorded_shape(self, recordings: Path) -> None:
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

    def test_candles_newest_first_closed_and_without_the_empty_ones(self) -> None:
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

    def test_candle_windows(self) -> None:
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

    def test_trades_page_backwards(self) -> None:
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


class TestKraken:
    def test_stream_frames_have_the_recorded_shape(self, recordings: Path) -> None:
        folder, name = recordings / "kraken", "ws_v2_samples.jsonl"
        (real,) = frames(folder, name, '"trade"')[:1]
        (frame,) = live(KRAKEN, "trade", "kraken:BTC-USD")
        assert shape(frame) == shape(real)
        assert [trade["side"] for trade in frame["data"]] == ["buy", "sell"]
        raw = KRAKEN.frames(
            "trade", MARKETS[Market.canonical("kraken:BTC-USD")], [Row(1, 2, 3.0, 4.0, True)], 0
        )
        assert b'"price":3.0,"qty":4.00000000,' in raw[0]

    def test_acks_have_the_recorded_shape(self, recordings: Path) -> None:
        folder, name = recordings / "kraken", "ws_v2_samples.jsonl"
        session, here = open_session(KRAKEN)
        assert json.loads(session.opening(NOW_US)[0])["channel"] == "status"
        params = {"channel": "trade", "symbol": ["BTC/USD", "NO/PE"]}
        ack, snapshot, error = say(session, {"method": "subscribe", "params": params, "req_id": 3})
        assert shape(ack) == shape(frames(folder, name, '"subscribe"')[0])
        assert [trade["trade_id"] for trade in snapshot["data"]] == [1, 2, 3, 4, 5]
        assert (snapshot["type"], error["success"], error["symbol"]) == ("snapshot", False, "NO/PE")
        assert error["error"] == "Currency pair not supported NO/PE"
        assert here.joined == [("trade", "kraken:BTC-USD")]
        (pong,) = say(session, {"method": "ping", "req_id": 42})
        assert shape(pong) == shape(frames(folder, name, '"pong"')[0])
        params = {"channel": "trade", "symbol": ["BTC/USD"]}
        assert say(session, {"method": "subscribe", "params": params})[0]["error"] == "Already subscribed"
        assert session.heartbeats(NOW_US, idle=True) == [b'{"channel":"heartbeat"}']
        assert session.heartbeats(NOW_US, idle=False) == []
        assert say(session, {"method": "unsubscribe", "params": params})[0]["success"]
        assert not say(session, {"method": "unsubscribe", "params": params})[0]["success"]
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
    def test_bad_requests_get_an_error(self, message: str) -> None:
        session, here = open_session(KRAKEN)
        assert say(session, message)[0]["success"] is False
        assert here.joined == []

    def test_rest_answers_have_the_recorded_shape(self, recordings: Path) -> None:
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

    def test_ohlc_keeps_720_fills_empty_minutes_and_ends_with_the_open_one(self) -> None:
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

    def test_trades_follow_the_cursor_without_loss_or_repeat(self) -> None:
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

    def test_errors_come_with_status_200(self) -> None:
        unknown = (200, {"error": ["EQuery:Unknown asset pair"]})
        assert refusal(KRAKEN, "/0/public/OHLC", pair="NOPE") == unknown
        assert refusal(KRAKEN, "/0/public/Trades", pair="NOPE") == unknown
        assert refusal(KRAKEN, "/0/public/OHLC", pair="XBTUSD", interval=7)[1]["error"][0].startswith(
            "EGeneral"
        )
        assert refusal(KRAKEN, "/0/public/Nothing")[1] == {"error": ["EGeneral:Unknown method"]}

"""The simulated Bitstamp: shapes of the recordings, limits and errors of the documentation."""

from __future__ import annotations

from pathlib import Path

from coinwatch.records import Market
from coinwatch.times import SECOND_US
from simulator.exchanges.base import Session
from simulator.exchanges.bitstamp import Bitstamp
from simulator.history import History
from simulator.markets import sim_markets
from tests.simulator.asking import NOW_S, NOW_US, Here, ask, live, open_session, refusal, send
from tests.simulator.shapes import body, frames, shape

MARKETS = sim_markets(60)
HISTORY = History()
BITSTAMP = Bitstamp(MARKETS, HISTORY)
BTC_USD = MARKETS[Market.canonical("bitstamp:BTC-USD")]
CHANNEL = "live_trades_btcusd"


def opened() -> tuple[Session, Here]:
    return open_session(BITSTAMP)


def test_stream_frames_have_the_recorded_shape(recordings: Path) -> None:
    real = frames(recordings / "bitstamp", "ws_live_trades_2022.jsonl", '"event":"trade"')[0]
    first, second = live(BITSTAMP, CHANNEL, "bitstamp:BTC-USD")
    assert shape(first) == shape(real)
    assert (first["data"]["price_str"], first["data"]["amount_str"]) == ("60000.50", "0.12500000")
    assert first["data"]["microtimestamp"] == str(NOW_US)
    assert (first["data"]["type"], second["data"]["type"]) == (0, 1)


def test_rest_answers_have_the_recorded_shape(recordings: Path) -> None:
    folder = recordings / "bitstamp"
    [pair, *_] = ask(BITSTAMP, "/api/v2/trading-pairs-info/")
    assert shape(pair) == shape({**body(folder, "rest_trading_pairs_info.json")[0], "minimum_order": "x"})
    real = body(folder, "rest_ohlc_btcusd_1m.json")
    start = NOW_S // 60 * 60 - 240
    answer = ask(BITSTAMP, "/api/v2/ohlc/btcusd/", step=60, limit=1_000, start=start, end=start + 240)
    assert [shape(row) for row in answer["data"]["ohlc"]] == [shape(real["data"]["ohlc"][0])] * 5
    newest = ask(BITSTAMP, "/api/v2/transactions/btcusd/", time="hour")
    assert shape(newest[0]) == shape(body(folder, "rest_transactions_ltcusd.json")[0])


def test_transactions_are_those_of_the_span_newest_first() -> None:
    newest = HISTORY.last_id(BTC_USD, NOW_US)
    for span, seconds in (("minute", 60), ("hour", 3_600), ("day", 86_400)):
        first = HISTORY.first_id_from(BTC_USD, NOW_US - seconds * SECOND_US)
        rows = ask(BITSTAMP, "/api/v2/transactions/btcusd/", time=span)
        assert [int(row["tid"]) for row in rows] == list(range(newest, first - 1, -1))


def test_candles_are_the_newest_up_to_the_end() -> None:
    rows = ask(BITSTAMP, "/api/v2/ohlc/btcusd/", step=60, limit=3)["data"]["ohlc"]
    assert [int(row["timestamp"]) for row in rows] == [NOW_S // 60 * 60 - 60 * back for back in (2, 1, 0)]


def test_errors_in_the_exchange_words() -> None:
    status, error = refusal(BITSTAMP, "/api/v2/ohlc/btcusd/", step=61, limit=3)
    assert (status, error["status"], error["reason"]) == (400, "error", "Invalid step")
    assert refusal(BITSTAMP, "/api/v2/ohlc/btcusd/", step=60, limit=1_001)[1]["reason"] == "Invalid limit"
    assert refusal(BITSTAMP, "/api/v2/transactions/btcusd/", time="week")[1]["reason"] == "Invalid time"


def test_subscriptions() -> None:
    session, here = opened()
    request = {"event": "bts:subscribe", "data": {"channel": CHANNEL}}
    done = {"event": "bts:subscription_succeeded", "channel": CHANNEL, "data": {}}
    assert send(session, request) == [done]
    assert send(session, request) == [done]
    assert here.joined == [(CHANNEL, "bitstamp:BTC-USD")]
    send(session, {**request, "event": "bts:unsubscribe"})
    assert here.joined == []
    [error] = send(session, {**request, "data": {"channel": "live_trades_nopeusd"}})
    assert (error["event"], error["data"]["message"]) == ("bts:error", "Bad subscription string.")
    [pong] = send(session, {"event": "bts:heartbeat"})
    assert pong["data"] == {"status": "success"}
    assert send(session, "{")[0]["event"] == "bts:error"

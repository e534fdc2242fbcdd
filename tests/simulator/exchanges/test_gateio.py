"""The simulated Gate.io: shapes of the recordings, limits and errors of the documentation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from coinwatch.records import Market
from coinwatch.times import SECOND_US
from simulator.exchanges.base import Answer, Refused, Row, Session
from simulator.exchanges.gateio import Gateio
from simulator.history import History
from simulator.markets import sim_markets
from simulator.truth import trades_in_minutes
from tests.simulator.asking import NOW_MINUTE, NOW_S, NOW_US, Here, ask, live, open_session, refusal, send
from tests.simulator.shapes import body, frames, shape

MARKETS = sim_markets(60)
HISTORY = History()
GATEIO = Gateio(MARKETS, HISTORY)
PAIR = {"currency_pair": "BTC_USDT"}


def opened() -> tuple[Session, Here]:
    return open_session(GATEIO, "/ws/v4/")


def like(mine: dict[str, Any], real: dict[str, Any]) -> bool:
    """Whether ``mine`` has the recorded fields in their order and shape; newer ones may be between."""
    return bool(shape({name: mine[name] for name in mine if name in real}) == shape(real))


def test_stream_frames_have_the_recorded_shape(recordings: Path) -> None:
    real = frames(recordings / "gateio", "ws_v4_spot.jsonl", '"spot.trades","event":"update"')[0]
    first, second = live(GATEIO, "spot.trades", "gateio:BTC-USDT")
    assert like({**first, "result": None}, {**real, "result": None})
    assert like(first["result"], real["result"])
    assert first["result"]["create_time_ms"] == f"{NOW_US // 1_000}.456000"
    assert (first["result"]["side"], second["result"]["side"]) == ("buy", "sell")
    assert (first["result"]["price"], first["result"]["amount"]) == ("60000.50", "0.12500")
    assert first["result"]["id"] == first["result"]["id_market"] == 7


def test_rest_answers_have_the_recorded_shape(recordings: Path) -> None:
    folder = recordings / "gateio"
    trades = ask(GATEIO, "/api/v4/spot/trades", **PAIR, limit=5)
    real = body(folder, "rest_trades_btcusdt.json")  # its recorder sorted the keys
    assert [shape(dict(sorted(row.items()))) for row in trades] == shape(real)
    start = NOW_S // 60 * 60 - 240
    answer = ask(
        GATEIO, "/api/v4/spot/candlesticks", **PAIR, interval="1m", **{"from": start, "to": start + 240}
    )
    real_rows = body(folder, "rest_candlesticks_btcusdt_1m.json")
    assert [len(row) for row in answer] == [len(row) for row in real_rows]
    assert [row[7] for row in answer] == ["true"] * 4 + ["false"]
    pairs = ask(GATEIO, "/api/v4/spot/currency_pairs")
    assert shape(pairs[0]) == shape({**body(folder, "rest_currency_pairs.json")[0], "min_quote_amount": "1"})


def test_candles_are_the_truth() -> None:
    market = MARKETS[Market.canonical("gateio:BTC-USDT")]
    minute = NOW_MINUTE - 3
    [row] = ask(
        GATEIO,
        "/api/v4/spot/candlesticks",
        **PAIR,
        interval="1m",
        **{"from": minute * 60 + 7, "to": minute * 60 + 30},
    )
    trades = trades_in_minutes(market, minute, 1)
    assert [float(text) for text in row[2:6]] == [
        *(trades.price[-1], trades.price.max(), trades.price.min(), trades.price[0])
    ]
    assert float(row[6]) == pytest.approx(trades.amount.sum())
    assert (row[0], row[7]) == (str(minute * 60), "true")


def test_trades_by_page() -> None:
    newest = ask(GATEIO, "/api/v4/spot/trades", **PAIR, limit=3)
    ids = [int(row["id"]) for row in newest]
    assert ids == [ids[0], ids[0] - 1, ids[0] - 2]
    older = ask(GATEIO, "/api/v4/spot/trades", **PAIR, last_id=ids[0], reverse="true", limit=2)
    assert older == newest[1:]
    assert ask(GATEIO, "/api/v4/spot/trades", **PAIR, last_id=ids[2]) == newest[:2]
    assert ask(GATEIO, "/api/v4/spot/trades", **PAIR, last_id=1, reverse="true") == []
    assert len(ask(GATEIO, "/api/v4/spot/trades", **PAIR)) == 100


def test_errors_in_the_exchange_words(recordings: Path) -> None:
    start = NOW_S - 80_000
    candles = {**PAIR, "interval": "1m"}
    broad = refusal(GATEIO, "/api/v4/spot/candlesticks", **candles, **{"from": start, "to": start + 60_000})
    assert broad == (400, body(recordings / "gateio", "rest_error_range_too_broad.json"))
    old = NOW_S - 10_001 * 60
    status, error = refusal(GATEIO, "/api/v4/spot/candlesticks", **candles, **{"from": old, "to": old + 60})
    assert (status, error["label"]) == (400, "INVALID_PARAM_VALUE")
    assert error["message"] == "Candlestick too long ago. Maximum 10000 points ago are allowed"
    both = refusal(GATEIO, "/api/v4/spot/candlesticks", **candles, **{"from": start}, limit=5)
    assert both[1]["label"] == "INVALID_PARAM_VALUE"
    unknown = refusal(GATEIO, "/api/v4/spot/trades", currency_pair="NOPE_USDT")
    assert unknown == (400, {"label": "INVALID_CURRENCY", "message": "Invalid currency NOPE"})
    assert refusal(GATEIO, "/api/v4/spot/trades", currency_pair="SOL_BTC")[1]["label"] == (
        "INVALID_CURRENCY_PAIR"
    )
    assert refusal(GATEIO, "/api/v4/spot/trades")[1]["label"] == "MISSING_REQUIRED_PARAM"
    assert refusal(GATEIO, "/api/v4/spot/trades", **PAIR, limit=1_001)[0] == 400
    assert refusal(GATEIO, "/api/v4/spot/trades", **PAIR, last_id="x")[0] == 400


def test_more_than_200_requests_in_ten_seconds_are_too_many() -> None:
    venue = Gateio(MARKETS, HISTORY)

    def status(now_us: int, name: str = "trades") -> int:
        try:
            answer: Answer = venue.rest(f"/api/v4/spot/{name}", {**PAIR, "limit": "1"}, now_us)
        except Refused as refused:
            answer = refused.answer
        return answer.status

    assert {status(NOW_US) for _ in range(200)} == {200}
    assert status(NOW_US + 9 * SECOND_US) == 429
    assert status(NOW_US + 9 * SECOND_US, "currency_pairs") == 200
    assert status(NOW_US + 10 * SECOND_US) == 200


def test_subscriptions(recordings: Path) -> None:
    session, here = opened()
    request = {"time": NOW_S, "channel": "spot.trades", "event": "subscribe"}
    [ack] = send(session, {**request, "payload": ["BTC_USDT", "ETH_USDT"]})
    real = frames(recordings / "gateio", "ws_v4_spot.jsonl", '"spot.trades","event":"subscribe"')[0]
    assert like(ack, real)
    assert here.joined == [("spot.trades", "gateio:BTC-USDT"), ("spot.trades", "gateio:ETH-USDT")]
    send(session, {**request, "payload": ["BTC_USDT"]})
    assert len(here.joined) == 2
    send(session, {**request, "event": "unsubscribe", "payload": ["ETH_USDT", "SOL_USDT"]})
    assert here.joined == [("spot.trades", "gateio:BTC-USDT")]


def test_one_unknown_pair_costs_its_whole_frame() -> None:
    session, here = opened()
    request = {"channel": "spot.trades", "event": "subscribe", "payload": ["BTC_USDT", "NOPE_USD"]}
    [answer] = send(session, request)
    assert answer["error"] == {"code": 2, "message": "unknown currency pair: NOPE_USD"}
    assert (answer["result"], answer["payload"]) == ({"status": "fail"}, request["payload"])
    assert here.joined == []


def test_pings_and_what_it_cannot_read() -> None:
    session, _ = opened()
    [pong] = send(session, {"channel": "spot.ping"})
    assert (pong["channel"], pong["result"]) == ("spot.pong", None)
    assert send(session, "{")[0]["error"]["code"] == 1
    assert send(session, {"channel": "spot.nothing", "event": "subscribe"})[0]["error"]["code"] == 2
    assert send(session, {"channel": "spot.trades", "event": "what"})[0]["error"]["code"] == 2
    assert GATEIO.session("/ws/v3", {}, Here()) is None


def test_a_trade_without_trailing_digits_keeps_its_microsecond() -> None:
    market = MARKETS[Market.canonical("gateio:BTC-USDT")]
    [frame] = GATEIO.frames("spot.trades", market, [Row(1, 1_700_000_000_000_007, 1.0, 1.0, True)], NOW_US)
    assert b'"1700000000000.007000"' in frame

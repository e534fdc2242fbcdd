"""The simulated OKX: shapes of the recordings, limits and errors of the documentation."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulator.exchanges.base import Session
from simulator.exchanges.okx import Okx
from simulator.history import History
from simulator.markets import sim_markets
from sources.exchanges import EXCHANGES
from sources.exchanges.base import Skipped
from tests.simulator.asking import NOW_S, NOW_US, Here, ask, live, open_session, refusal, send
from tests.simulator.shapes import body, frames, shape

OKX = Okx(sim_markets(60), History())
BTC = {"instId": "BTC-USDT"}
CHANNEL = {"channel": "trades-all", "instId": "BTC-USDT"}


def opened() -> tuple[Session, Here]:
    return open_session(OKX, "/ws/v5/business")


def test_stream_frames_have_the_recorded_shape(recordings: Path) -> None:
    real = frames(recordings / "okx", "ws_v5_trades_btcusdt.jsonl", '"tradeId"')[0]
    first, second = live(OKX, "trades-all", "okx:BTC-USDT")
    assert [list(first), list(first["data"][0])] == [list(real), list(real["data"][0])]
    assert first["data"][0] | {"ts": "", "side": ""} == {
        "instId": "BTC-USDT",
        "tradeId": "7",
        "px": "60000.50",
        "sz": "0.12500",
        "ts": "",
        "side": "",
    }
    assert (first["data"][0]["ts"], first["data"][0]["side"]) == (str(NOW_US // 1_000), "buy")
    assert second["data"][0]["side"] == "sell"


def test_rest_answers_have_the_recorded_shape(recordings: Path) -> None:
    folder = recordings / "okx"
    trades = ask(OKX, "/api/v5/market/history-trades", **BTC, limit=2)
    real = body(folder, "rest_trades_btcusdt.json")
    assert [sorted(row) for row in trades["data"]] == [sorted(row) for row in real["data"]]
    candles = ask(OKX, "/api/v5/market/history-candles", **BTC, bar="1m", limit=2)
    assert shape([len(row) for row in candles["data"]]) == shape(
        [len(row) for row in body(folder, "rest_candles_btcusdt_swap_1m.json")["data"]]
    )
    pair = ask(OKX, "/api/v5/public/instruments", instType="SPOT")["data"][0]
    assert pair.keys() <= body(folder, "rest_instruments_spot.json")["data"][0].keys()


def test_trades_by_page() -> None:
    newest = ask(OKX, "/api/v5/market/history-trades", **BTC)["data"]
    ids = [int(row["tradeId"]) for row in newest]
    assert ids == list(range(ids[0], ids[0] - 100, -1))
    older = ask(OKX, "/api/v5/market/history-trades", **BTC, after=ids[1], limit=2)["data"]
    assert older == newest[2:4]


def test_candles_lie_between_the_times() -> None:
    minute = NOW_S // 60
    rows = ask(
        OKX,
        "/api/v5/market/history-candles",
        **BTC,
        bar="1m",
        before=(minute - 3) * 60_000,
        after=minute * 60_000,
    )["data"]
    assert [int(row[0]) // 60_000 for row in rows] == [minute - 1, minute - 2]
    [open_one] = ask(OKX, "/api/v5/market/history-candles", **BTC, bar="1m", limit=1)["data"]
    assert (int(open_one[0]) // 60_000, open_one[8], rows[0][8]) == (minute, "0", "1")


@pytest.mark.parametrize(
    ("path", "params", "code"),
    [
        ("/api/v5/market/history-trades", {"instId": "NOPE-USD"}, "51001"),
        ("/api/v5/market/history-candles", {**BTC, "bar": "7m"}, "51000"),
        ("/api/v5/market/history-trades", {**BTC, "after": "x"}, "51000"),
    ],
)
def test_errors_come_with_status_200(path: str, params: dict[str, str], code: str) -> None:
    status, answer = refusal(OKX, path, **params)
    assert (status, answer["code"]) == (200, code)


def test_an_end_is_announced_as_the_decoder_reads_it() -> None:
    assert EXCHANGES["okx"].decoder([])(OKX.shutdown(NOW_US)) == Skipped("shutdown")


def test_subscriptions() -> None:
    session, here = opened()
    [ack] = send(session, {"op": "subscribe", "args": [CHANNEL]})
    assert (ack["event"], ack["arg"]) == ("subscribe", CHANNEL)
    assert here.joined == [("trades-all", "okx:BTC-USDT")]
    good, bad = send(session, {"op": "subscribe", "args": [CHANNEL, {**CHANNEL, "instId": "NOPE-USD"}]})
    assert (good["event"], bad["event"], bad["code"]) == ("subscribe", "error", "60018")
    send(session, {"op": "unsubscribe", "args": [CHANNEL]})
    assert here.joined == []
    assert session.receive("ping", NOW_US) == [b"pong"]
    assert send(session, "{")[0]["code"] == "60012"

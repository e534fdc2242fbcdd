"""Frames as the exchanges really sent them, over a real socket, end in v_ticks exactly.

What is expected is read from the recordings here, by json and Decimal, without our decoders.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from coinwatch.records import Market
from coinwatch.symbols import parse_symbol
from tests.ingest_daemon.conftest import RunDaemon
from tests.ingest_daemon.replay import Script, Session, replaying
from tests.waiting import eventually

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Row(NamedTuple):
    exchange: str
    symbol: str
    ts: datetime
    price: Decimal
    amount: Decimal
    side: str
    trade_id: str


def frames(*files: Path) -> list[str]:
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    return [line["raw"] for line in lines if line["dir"] == "in"]


def opposite(side: str) -> str:
    return {"buy": "sell", "sell": "buy"}[side]


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def binance_rows(frame: dict[str, Any]) -> list[Row]:
    if not frame.get("stream", "").endswith("@aggTrade"):
        return []
    t = frame["data"]
    return [
        Row(
            "binance",
            str(parse_symbol(t["s"])),
            EPOCH + timedelta(milliseconds=int(t["T"])),
            t["p"],
            t["q"],
            "sell" if t["m"] else "buy",
            str(t["a"]),
        )
    ]


def coinbase_rows(frame: dict[str, Any]) -> list[Row]:
    if frame.get("type") not in ("match", "last_match"):
        return []
    return [
        Row(
            "coinbase",
            frame["product_id"],
            moment(frame["time"]),
            frame["price"],
            frame["size"],
            opposite(frame["side"]),
            str(frame["trade_id"]),
        )
    ]


def kraken_rows(frame: dict[str, Any]) -> list[Row]:
    if frame.get("channel") != "trade":
        return []
    return [
        Row(
            "kraken",
            t["symbol"].replace("/", "-"),
            moment(t["timestamp"]),
            t["price"],
            t["qty"],
            t["side"],
            str(t["trade_id"]),
        )
        for t in frame["data"]
    ]


READERS = {"binance": binance_rows, "coinbase": coinbase_rows, "kraken": kraken_rows}


def expected_rows(exchange: str, raw: list[str]) -> list[Row]:
    read = [READERS[exchange](json.loads(frame, parse_float=Decimal)) for frame in raw]
    return [
        row._replace(price=Decimal(row.price), amount=Decimal(row.amount)) for rows in read for row in rows
    ]


def plays(raw: list[str]) -> Script:
    async def script(session: Session) -> None:
        await session.subscription()
        await session.send(*raw)

    return script


async def test_recorded_trades_are_stored_once_and_exactly(recordings: Path, run_daemon: RunDaemon) -> None:
    raw = {
        "binance": frames(*sorted((recordings / "binance").glob("ws_aggtrade_*.jsonl"))),
        "coinbase": frames(recordings / "coinbase" / "ws_matches_ticker_first_half.jsonl"),
        "kraken": frames(recordings / "kraken" / "ws_v2_samples.jsonl"),
    }
    sent = {exchange: expected_rows(exchange, raw[exchange]) for exchange in raw}
    without_trades = {
        exchange: sum(not READERS[exchange](json.loads(frame)) for frame in raw[exchange]) for exchange in raw
    }
    expected = {(row.exchange, row.symbol, row.trade_id): row for rows in sent.values() for row in rows}
    markets = {Market.canonical(f"{row.exchange}:{row.symbol}") for row in expected.values()}
    assert {exchange: len(rows) > 1 for exchange, rows in sent.items()} == dict.fromkeys(raw, True)
    assert len({row.ts.date() for row in expected.values()}) >= 4

    async with (
        replaying(**{exchange: plays(raw[exchange]) for exchange in raw}) as replay,
        run_daemon(markets=tuple(sorted(markets)), **replay.settings()) as daemon,
    ):

        async def all_is_stored() -> bool:
            skipped = await daemon.metric("frames_skipped_total")
            return skipped == sum(without_trades.values()) and await daemon.stored() == len(expected)

        await eventually(all_is_stored)
        skipped = {
            exchange: await daemon.metric("frames_skipped_total", exchange=exchange) for exchange in raw
        }
        assert await daemon.metric("frames_bad_total") == 0
        assert await daemon.metric("trades_refused_total") == 0
        assert await daemon.metric("markets_rejected_total") == 0
        assert await daemon.metric("trades_received_total") == sum(map(len, sent.values()))
        assert await daemon.metric("frames_skipped_total", exchange="coinbase", kind="book") > 0
        assert await daemon.metric("frames_skipped_total", exchange="coinbase", kind="ticker") > 0
        assert await daemon.metric("frames_skipped_total", exchange="binance", kind="book") > 0
        rows = await daemon.query(
            "select exchange, symbol, ts, price, amount, side, trade_id from v_ticks order by 1, 2, 7"
        )
        duplicates = await daemon.query(
            "select exchange, symbol, trade_id from v_ticks group by 1, 2, 3 having count(*) > 1"
        )
        (partitions,) = await daemon.query(
            "select count(*) from pg_inherits where inhparent = 'ticks'::regclass"
        )

    assert skipped == without_trades
    assert duplicates == []
    stored = [
        Row(exchange, symbol, ts, Decimal(repr(price)), Decimal(repr(amount)), side, trade_id)
        for exchange, symbol, ts, price, amount, side, trade_id in rows
    ]
    assert stored == sorted(expected.values(), key=lambda row: (row.exchange, row.symbol, row.trade_id))
    assert partitions[0] >= len({row.ts.date() for row in expected.values()})

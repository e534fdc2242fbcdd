"""Prices of markets without a stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import sqlalchemy
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from coinwatch.records import Market, Trade
from coinwatch.settings import Settings
from coinwatch.times import SECOND_US, now_us
from ingest_daemon.context import DaemonContext
from ingest_daemon.streams.polling import KEEP_US, NewTrades, Poller
from simulator.server import Simulator
from tests.sources.scripted_server import ScriptedServer, answer, scripted
from tests.waiting import eventually
from warehouse.db.connect import connect
from warehouse.ops.health import StreamHealth, StreamState

BINANCE = Market.canonical("binance:BTC-USDT")
COINBASE = Market.canonical("coinbase:BTC-USD")
KRAKEN = Market.canonical("kraken:BTC-USDT")


def trades(*ids: int, at_us: int = 0) -> list[Trade]:
    return [Trade(BINANCE, trade_id, at_us + trade_id, 1.0, 1.0, True) for trade_id in ids]


def body(*ids: int, age_s: float = 0.0) -> bytes:
    """Binance's answer with these trades, a millisecond apart, the last ``age_s`` old."""
    last_ms = (now_us() - round(age_s * SECOND_US)) // 1_000
    return answer(
        msgspec.json.encode(
            [
                {
                    "a": trade_id,
                    "p": "100.5",
                    "q": "1.0",
                    "f": trade_id,
                    "l": trade_id,
                    "T": last_ms - max(ids) + trade_id,
                    "m": False,
                    "M": True,
                }
                for trade_id in ids
            ]
        )
    )


class Polling:
    """A running poller and the trades it queued."""

    def __init__(self, context: DaemonContext) -> None:
        self.context = context
        self.batches: list[list[Trade]] = []

    @property
    def trade_ids(self) -> list[int]:
        return [trade.trade_id for batch in self.batches for trade in batch]

    def health(self, market: Market) -> StreamHealth:
        return self.context.status_board.health[self.context.market_ids[market]]

    def state(self, market: Market) -> StreamState:
        return self.health(market).state

    async def collect(self) -> None:
        while (batch := await self.context.queue.take(1_000)) is not None:
            self.batches.append(batch.trades)


RunPoller = Callable[..., Any]


@pytest.fixture
def polling(settings_for: Callable[..., Settings], database: sqlalchemy.URL) -> RunPoller:
    @asynccontextmanager
    async def running(holder: str = "one", **overrides: Any) -> AsyncIterator[Polling]:
        settings = settings_for(**{"markets": (Market.canonical("gemini:BTC-USD"),), **overrides})
        polling = Polling(DaemonContext.create(settings, database, daemon=holder))
        tasks = [
            asyncio.create_task(Poller(polling.context).run()),
            asyncio.create_task(polling.collect()),
        ]
        try:
            yield polling
            assert not any(task.done() for task in tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    return running


def test_the_first_response_yields_only_fresh_trades() -> None:
    assert [trade.trade_id for trade in NewTrades().select(trades(5, 6, 7), 6)] == [6, 7]


def test_a_cached_response_yields_no_trades() -> None:
    new_trades = NewTrades()
    assert len(new_trades.select(trades(5, 6, 7), 6)) == 2
    assert new_trades.select(trades(5, 6, 7), 0) == []
    assert new_trades.select(trades(3, 4, 5), 0) == []
    assert [trade.trade_id for trade in new_trades.select(trades(6, 9, 8), 0)] == [8, 9]


def test_old_trade_ids_are_forgotten() -> None:
    new_trades = NewTrades()
    new_trades.select(trades(5), 0)
    new_trades.select(trades(6, at_us=2 * KEEP_US), 0)
    assert list(new_trades._seen) == [6]
    assert new_trades.select(trades(5), 0) == []


@given(st.lists(st.lists(st.integers(0, 40), max_size=6), max_size=12), st.integers(0, 40))
def test_each_trade_is_new_once(answers: list[list[int]], first_since_us: int) -> None:
    new_trades = NewTrades()
    given = [trade.trade_id for ids in answers for trade in new_trades.select(trades(*ids), first_since_us)]
    assert len(given) == len(set(given))
    assert set(given) == {trade_id for ids in answers for trade_id in ids if trade_id >= first_since_us}


async def test_several_exchanges_are_polled_in_parallel(polling: RunPoller) -> None:
    markets = (BINANCE, COINBASE, KRAKEN)
    async with (
        Simulator(trades_per_s=200) as simulator,
        polling(polled_markets=markets, poll_every_s=0.5, **simulator.settings_overrides()) as polled,
    ):

        def all_traded() -> bool:
            traded = [{trade.market for trade in batch} for batch in polled.batches]
            return all(traded.count({market}) >= 2 for market in markets)

        await eventually(all_traded, 15)
        assert polled.context.market_ids.keys() == set(markets)
        assert {polled.state(market) for market in markets} == {StreamState.LIVE}
    keys = [(trade.market, trade.trade_id) for batch in polled.batches for trade in batch]
    assert len(set(keys)) == len(keys)


async def test_old_trades_and_cached_responses_are_ignored(polling: RunPoller) -> None:
    old = body(1, 2, 3, age_s=600)
    async with (
        scripted(old, old, body(4, age_s=-30)) as server,
        polling(polled_markets=(BINANCE,), poll_every_s=0.5, binance_rest_url=server.root) as polled,
    ):
        await eventually(lambda: len(server.requests) >= 5)
    assert polled.trade_ids == [4]


async def test_a_failing_exchange_is_logged_once_and_retried(polling: RunPoller) -> None:
    busy = answer("busy", 503)
    with capture_logs() as logs:
        async with (
            scripted(*[busy] * 4, body(1, age_s=-30)) as server,
            scripted(answer("<html>", 200)) as broken,
            polling(
                polled_markets=(BINANCE, COINBASE),
                poll_every_s=0.5,
                binance_rest_url=server.root,
                coinbase_rest_url=broken.root,
            ) as polled,
        ):
            await eventually(lambda: polled.state(BINANCE) is StreamState.DOWN)
            assert "503" in (polled.health(BINANCE).last_error or "")
            await eventually(lambda: polled.trade_ids == [1], 20)
            assert polled.state(BINANCE) is StreamState.LIVE
            await eventually(lambda: len(broken.requests) >= 3)
            assert polled.state(COINBASE) is StreamState.DOWN
    failing = [entry["of"] for entry in logs if entry["event"] == "polling failed; retrying"]
    assert sorted(failing) == ["binance", "coinbase"]


async def test_only_one_of_two_daemons_polls(polling: RunPoller, database: sqlalchemy.URL) -> None:
    def given(server: ScriptedServer) -> dict[str, Any]:
        return {"polled_markets": (BINANCE,), "poll_every_s": 0.5, "binance_rest_url": server.root}

    async with scripted(body(1)) as first, scripted(body(1)) as second, polling("one", **given(first)):
        await eventually(lambda: len(first.requests) >= 2)
        async with polling("two", **given(second)):
            await eventually(lambda: len(first.requests) >= 4)
            assert second.requests == []
            async with await connect(database, application_name="test") as conn:
                await conn.execute("update leases set holder = 'two' where name = 'polling'")
            await eventually(lambda: second.requests)


async def test_polling_resumes_after_an_outage(polling: RunPoller, database: sqlalchemy.URL) -> None:
    async with (
        scripted(body(1)) as server,
        polling(polled_markets=(BINANCE,), poll_every_s=0.5, binance_rest_url=server.root),
    ):
        await eventually(lambda: server.requests)
        async with await connect(database, application_name="test") as conn:
            await conn.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and application_name = 'coinwatch ingest polling'"
            )
        asked = len(server.requests)
        await eventually(lambda: len(server.requests) > asked + 1)


async def test_streamed_markets_are_not_polled(
    settings_for: Callable[..., Settings], database: sqlalchemy.URL
) -> None:
    settings = settings_for(markets=(BINANCE,), polled_markets=(BINANCE,))
    await asyncio.wait_for(Poller(DaemonContext.create(settings, database)).run(), 1)

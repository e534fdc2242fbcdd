"""Gaps filled from the REST APIs of simulated exchanges, and closed in the warehouse."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import psycopg
import pytest
from structlog.testing import capture_logs

from coinwatch.records import Market, Trade
from coinwatch.stream_gaps import GapCause
from coinwatch.times import MINUTE_US, SECOND_US, now_us, to_datetime
from ingest_daemon.context import DaemonContext
from ingest_daemon.recovery import continuity, filler
from ingest_daemon.recovery.filler import Recoverer
from ingest_daemon.streams.stream_set import Streams
from simulator.server import Simulator
from simulator.truth import trades_in_minutes
from sources.exchanges import EXCHANGES
from tests.ingest_daemon.conftest import MakeContext
from tests.stored import rows, stored_trades
from tests.waiting import eventually

BTC = Market.canonical("binance:BTC-USDT")
NEWEST_ONLY = Market.canonical("bybit:BTC-USDT")
DAEMON = "here:1"
GAP = """
insert into stream_gaps (market_id, daemon, cause, after_id, after_ts, before_id, before_ts)
values (%s, %s, %s, %s, %s, %s, %s)
"""
STATES = "select state, cause, recovered, reason from stream_gaps order by after_ts, id"


class Recovery:
    """A running recoverer and the exchange it recovers from."""

    def __init__(self, context: DaemonContext, simulator: Simulator, conn: psycopg.AsyncConnection) -> None:
        self.context = context
        self.simulator = simulator
        self.conn = conn
        self.recoverer: Recoverer

    def truth(self, market: Market, ago_s: float, until_ago_s: float = 0.0) -> list[Trade]:
        """The true trades of a period before now."""
        start_us, end_us = (now_us() - round(ago * SECOND_US) for ago in (ago_s, until_ago_s))
        first = start_us // MINUTE_US
        sim = self.simulator.markets[market]
        trades = trades_in_minutes(sim, first, end_us // MINUTE_US - first + 1).records(sim)
        return [trade for trade in trades if start_us <= trade.ts_us < end_us]

    async def open_gap(
        self,
        after: Trade,
        before: Trade | None,
        *,
        cause: GapCause = GapCause.DISCONNECTED,
        daemon: str = DAEMON,
    ) -> None:
        ends = (None, None) if before is None else (before.trade_id, to_datetime(before.ts_us))
        start = (after.trade_id, to_datetime(after.ts_us))
        await self.conn.execute(GAP, (self.context.market_ids[after.market], daemon, cause, *start, *ends))
        self.recoverer.wake()

    async def gaps(self) -> list[tuple[Any, ...]]:
        return await rows(self.conn, STATES)

    async def stored(self, market: Market) -> list[Trade]:
        return await stored_trades(self.conn, self.context.market_ids[market])


RunRecovery = Callable[..., AbstractAsyncContextManager[Recovery]]


@pytest.fixture
def recovering(make_context: MakeContext, conn: psycopg.AsyncConnection) -> RunRecovery:
    """``async with recovering(market) as recovery``: its REST API works; its sockets are unreachable."""

    @asynccontextmanager
    async def running(
        market: Market, *, streams_live: bool = False, trades_per_s: float = 400
    ) -> AsyncIterator[Recovery]:
        async with Simulator(trades_per_s=trades_per_s) as simulator, asyncio.TaskGroup() as tasks:
            overrides: dict[str, Any] = {**simulator.settings_overrides(), "rate_limit_scale": 1_000}
            if not streams_live:
                overrides[f"{market.exchange}_ws_url"] = "ws://127.0.0.1:9"
            context = make_context(daemon=DAEMON, **overrides)
            native = EXCHANGES[market.exchange].rest_native(market)
            context.status_board.add(await context.market_ids.resolve(conn, {market: native}))
            streams = Streams(context, tasks)
            streams.add([market])
            recovery = Recovery(context, simulator, conn)
            recovery.recoverer = Recoverer(context, streams)
            task = tasks.create_task(recovery.recoverer.run())
            try:
                yield recovery
                assert not task.done()
            finally:
                task.cancel()
                await streams.stop()

    return running


async def test_a_gap_is_filled_with_exactly_the_true_trades(recovering: RunRecovery) -> None:
    async with recovering(BTC) as recovery:
        truth = recovery.truth(BTC, 40, 10)
        await recovery.open_gap(truth[0], truth[-1])

        async def is_filled() -> bool:
            return [gap[0] for gap in await recovery.gaps()] == ["filled"]

        await eventually(is_filled)
        stored = await recovery.stored(BTC)
        ids = {trade.trade_id for trade in stored}
        assert {trade.trade_id for trade in truth[1:-1]} <= ids
        assert len(ids) == len(stored)
        assert (await recovery.gaps())[0][2] == len(stored)
        health = recovery.context.status_board.health[recovery.context.market_ids[BTC]]
        assert health.recovered == len(stored)


async def test_a_failing_exchange_is_retried_and_the_reason_recorded(
    recovering: RunRecovery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filler, "RETRY_CAP_S", 0.5)
    async with recovering(BTC) as recovery:
        truth = recovery.truth(BTC, 20, 10)
        recovery.simulator.fail_rest("binance", 503, times=6)
        await recovery.open_gap(truth[0], truth[-1])

        async def has_reason() -> bool:
            return [(gap[0], "503" in (gap[3] or "")) for gap in await recovery.gaps()] == [("open", True)]

        async def is_filled() -> bool:
            return [(gap[0], gap[3]) for gap in await recovery.gaps()] == [("filled", None)]

        await eventually(has_reason)
        await eventually(is_filled)
        assert not recovery.context.outage


async def test_what_an_exchange_no_longer_returns_is_unfillable(recovering: RunRecovery) -> None:
    with capture_logs() as logs:
        async with recovering(NEWEST_ONLY, trades_per_s=60) as recovery:
            truth = recovery.truth(NEWEST_ONLY, 600, 1)
            await recovery.open_gap(truth[0], truth[-1])

            async def is_closed() -> bool:
                return [gap[0] for gap in await recovery.gaps()] == ["unfillable", "filled"]

            await eventually(is_closed)
            (_, _, _, reason), (_, _, recovered, _) = await recovery.gaps()
            assert "newest" in reason
            stored = {trade.trade_id for trade in await recovery.stored(NEWEST_ONLY)}
            assert recovered == len(stored) > 0
            assert stored < {trade.trade_id for trade in recovery.truth(NEWEST_ONLY, 700)}
    assert "a gap cannot be filled: trades are lost" in [entry["event"] for entry in logs]


async def test_a_market_refused_for_a_day_is_given_up(
    recovering: RunRecovery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filler, "GIVE_UP_AFTER_US", 5 * SECOND_US)
    async with recovering(BTC) as recovery:
        truth = recovery.truth(BTC, 20, 10)
        recovery.simulator.fail_rest("binance", 400, times=1_000)
        await recovery.open_gap(truth[0], truth[-1])

        async def is_given_up() -> bool:
            return [gap[0] for gap in await recovery.gaps()] == ["unfillable"]

        await eventually(is_given_up)
        assert await recovery.stored(BTC) == []


async def test_gaps_of_ended_daemons_are_inherited(recovering: RunRecovery) -> None:
    async with recovering(BTC) as recovery:
        truth = recovery.truth(BTC, 20, 10)
        await recovery.open_gap(truth[0], truth[-1], daemon="elsewhere:2")

        async def is_filled() -> bool:
            return await rows(recovery.conn, "select state, daemon from stream_gaps") == [("filled", DAEMON)]

        await eventually(is_filled)


async def test_a_gap_without_an_end_stays_open_while_its_stream_is_down(recovering: RunRecovery) -> None:
    async with recovering(BTC) as recovery:
        ended, started = recovery.truth(BTC, 40, 30), recovery.truth(BTC, 20, 10)
        await recovery.open_gap(started[0], None)
        await recovery.open_gap(ended[0], ended[-1])

        async def is_filled() -> bool:
            return [gap[0] for gap in await recovery.gaps()] == ["filled", "open"]

        await eventually(is_filled)
        assert recovery.context.continuity.newest(BTC) is None


async def test_a_gap_of_a_quiet_market_is_filled_up_to_now(
    recovering: RunRecovery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filler, "QUIET_S", 0.2)
    async with recovering(BTC, streams_live=True) as recovery:
        context = recovery.context
        context.continuity.begin(BTC, context.market_ids[BTC], is_consecutive=True, known_ts_us=0, now_s=0.0)
        after = recovery.truth(BTC, 20)[0]
        began_us = now_us()
        await recovery.open_gap(after, None, cause=GapCause.STARTED)

        async def is_filled() -> bool:
            return [gap[0] for gap in await recovery.gaps()] == ["filled"]

        await eventually(is_filled)
        ((end,),) = await rows(recovery.conn, "select before_ts from stream_gaps")
        assert end > to_datetime(began_us)
        newest = context.continuity.newest(BTC)
        stored = await recovery.stored(BTC)
        assert newest == (stored[-1].trade_id, stored[-1].ts_us)
        ids = [trade.trade_id for trade in stored]
        assert ids == list(range(ids[0], ids[-1] + 1))


async def test_a_market_whose_trades_wait_to_be_stored_is_not_silent(
    recovering: RunRecovery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing takes trades from the queue, as while neither Postgres nor the spool stores."""
    monkeypatch.setattr(continuity, "QUIET_SHORTEST_S", 0.5)
    async with recovering(BTC, streams_live=True) as recovery:
        context = recovery.context
        await eventually(lambda: context.queue.delay_s > 1)
        context.continuity.begin(BTC, context.market_ids[BTC], is_consecutive=True, known_ts_us=0, now_s=0.0)
        old = recovery.truth(BTC, 20)[0]
        context.continuity.complete_until(BTC, old.trade_id, old.ts_us, time.monotonic())
        await asyncio.sleep(4)  # a silent market gets a new socket within this time
        assert context.continuity.quiet(time.monotonic()) == [BTC]
        assert recovery.simulator.connections[BTC.exchange] == 1

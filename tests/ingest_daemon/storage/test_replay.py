"""What an earlier daemon left in its spool, stored by the next one at its start."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy

from coinwatch.errors import WarehouseError
from coinwatch.records import Market, Trade
from coinwatch.settings import Settings
from coinwatch.times import now_us
from ingest_daemon.context import DaemonContext
from ingest_daemon.storage.committer import replay
from ingest_daemon.storage.queue import Batch
from ingest_daemon.storage.spool import Spool
from ingest_daemon.storage.spool_codec import encode
from tests.stored import stored_trades
from tests.waiting import eventually
from warehouse.db.connect import connect
from warehouse.markets import ensure_markets
from warehouse.trades.gaps import LedgerEntries

BTC = Market.canonical("binance:BTC-USDT")
CUT = (
    "select count(pg_terminate_backend(pid)) from pg_stat_activity"
    " where application_name = 'coinwatch ingest' and datname = current_database()"
    " and wait_event_type = 'Lock'"
)


async def test_a_replay_cut_by_postgres_loses_nothing(
    settings_for: Callable[..., Settings], database: sqlalchemy.URL, tmp_path: Path
) -> None:
    spool = Spool(tmp_path / "spool", 1_000_000)
    trade = Trade(BTC, 7, now_us(), 2.5, 1.0, True)
    spool.append(encode(Batch(trades=[trade]), LedgerEntries([], []), {BTC: 3}))
    context = DaemonContext.create(settings_for(), database)
    async with (
        await connect(database, application_name="test") as conn,
        await connect(database, application_name="another") as another,
    ):
        async with conn.transaction():
            await conn.execute("lock table markets in access exclusive mode")
            replaying = asyncio.create_task(replay(spool, context))

            async def is_cut() -> bool:
                row = await (await another.execute(CUT)).fetchone()
                return row == (1,)

            await eventually(is_cut)
            with pytest.raises(WarehouseError, match="cannot answer"):
                await replaying
        assert spool.records == 1
        await replay(spool, context)
        assert spool.records == 0
        ids = await ensure_markets(conn, {BTC: "BTCUSDT"})
        assert await stored_trades(conn, ids[BTC]) == [trade]
    spool.close()

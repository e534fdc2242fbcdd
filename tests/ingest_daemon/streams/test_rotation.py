"""A socket that must end is replaced by one that delivers, before it does."""

from __future__ import annotations

import json

import pytest

from coinwatch.records import Market
from coinwatch.stream_gaps import GapCause
from simulator.server import Simulator
from sources.exchanges.binance import Binance
from tests.ingest_daemon import frames
from tests.ingest_daemon.conftest import RunDaemon
from tests.ingest_daemon.replay import Session, replaying
from tests.waiting import eventually

BTC = Market.canonical("binance:BTC-USDT")
ZIL = Market.canonical("binance:ZIL-USDT")
CAUSES = "select distinct cause from stream_gaps"


async def test_a_socket_is_replaced_before_its_exchange_ends_it(
    run_daemon: RunDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Binance, "rotate_every_s", 1.0)
    async with (
        Simulator(trades_per_s=400) as simulator,
        run_daemon(markets=(BTC,), **simulator.settings_overrides()) as daemon,
    ):
        await eventually(lambda: simulator.connections["binance"] >= 3, timeout_s=90)
        await eventually(lambda: simulator.open_sockets("binance") == 1, timeout_s=90)
        ids = await daemon.ids(BTC)
        assert ids == list(range(ids[0], ids[-1] + 1))
        assert await daemon.query(CAUSES) == [(GapCause.STARTED,)]


async def test_an_announced_shutdown_loses_no_trade(run_daemon: RunDaemon) -> None:
    async def script(session: Session) -> None:
        await session.subscription()
        if session.number == 0:
            await session.send(*frames.binance("ZILUSDT", 1, 2))
            await session.send(json.dumps({"e": "serverShutdown", "E": 1}))
            await eventually(lambda: replay.connections["binance"] == 2)
            await session.send(*frames.binance("ZILUSDT", 3))
        else:
            await session.send(*frames.binance("ZILUSDT", 3, 4, 5))

    async with (
        replaying(binance=script) as replay,
        run_daemon(markets=(ZIL,), **replay.settings()) as daemon,
    ):

        async def all_are_stored() -> bool:
            return await daemon.ids(ZIL) == [1, 2, 3, 4, 5]

        await eventually(all_are_stored)
        assert await daemon.query(CAUSES) == [(GapCause.STARTED,)]


async def test_sockets_of_limited_life_are_replaced_in_time(
    run_daemon: RunDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Binance, "rotate_every_s", 2.0)
    async with Simulator(trades_per_s=400) as simulator:
        simulator.limit_life("binance", 6.0)
        async with run_daemon(markets=(BTC,), **simulator.settings_overrides()) as daemon:
            await eventually(lambda: simulator.connections["binance"] >= 3, timeout_s=90)
            ids = await daemon.ids(BTC)
            assert ids == list(range(ids[0], ids[-1] + 1))
            assert await daemon.query(CAUSES) == [(GapCause.STARTED,)]

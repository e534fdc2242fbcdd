"""A machine that slept: its clock ran on while the process did not."""

from __future__ import annotations

import time
from functools import partial

import pytest

from coinwatch.records import Market
from coinwatch.stream_gaps import GapCause
from ingest_daemon import daemon as daemon_module
from simulator.server import Simulator
from tests.ingest_daemon.conftest import Daemon, RunDaemon
from tests.waiting import eventually

BTC = Market.canonical("binance:BTC-USDT")


class Clock:
    """``time`` with a wall clock that can be moved."""

    monotonic = staticmethod(time.monotonic)

    def __init__(self) -> None:
        self.slept_s = 0.0

    def time(self) -> float:
        return time.time() + self.slept_s


async def test_sockets_are_replaced_after_a_sleep_and_the_gap_filled(
    run_daemon: RunDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(daemon_module, "time", clock)
    async with (
        Simulator(trades_per_s=400) as simulator,
        run_daemon(markets=(BTC,), first_reach_s=0, **simulator.settings_overrides()) as daemon,
    ):
        await eventually(partial(_is_whole, daemon, 1))
        clock.slept_s = 3_600.0
        await eventually(lambda: simulator.connections["binance"] == 2)
        await eventually(partial(_is_whole, daemon, 2))
        ids = await daemon.ids(BTC)
        assert ids == list(range(ids[0], ids[-1] + 1))
        assert await daemon.query("select cause from stream_gaps order by id") == [
            (GapCause.STARTED,),
            (GapCause.SLEPT,),
        ]


async def _is_whole(daemon: Daemon, rows: int) -> bool:
    return await daemon.query("select count(*) from stream_gaps where state = 'filled'") == [(rows,)]

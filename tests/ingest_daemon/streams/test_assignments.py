"""The streamed markets follow settings and watches."""

from __future__ import annotations

from functools import partial

import pytest

from coinwatch.records import Market
from simulator.server import Simulator
from tests.ingest_daemon.conftest import Daemon, RunDaemon
from tests.waiting import eventually

BTC, XRP = (Market.canonical(name) for name in ("binance:BTC-USDT", "binance:XRP-USDT"))

WATCH = """
insert into alert_rules (client, exchange, base, quote, typed, condition)
values ('me', 'binance', 'XRP', 'USDT', 'xrpusdt', '{"kind":"above","price":1.0}')
"""


async def _state(daemon: Daemon, market: Market) -> str | None:
    rows = await daemon.query(
        "select h.state from stream_health h join markets m on m.id = h.market_id"
        " where m.exchange = %s and m.symbol = %s",
        market.exchange,
        str(market.symbol),
    )
    return rows[0][0] if rows else None


async def _is(daemon: Daemon, market: Market, state: str) -> bool:
    return await _state(daemon, market) == state


async def _has_ticks(daemon: Daemon, market: Market) -> bool:
    return bool(await daemon.ids(market))


async def test_a_watched_market_streams_until_a_while_after(
    run_daemon: RunDaemon,
) -> None:
    async with (
        Simulator(trades_per_s=400) as simulator,
        run_daemon(markets=(BTC,), watch_linger_s=1, **simulator.settings_overrides()) as daemon,
    ):
        await eventually(partial(_has_ticks, daemon, BTC))
        assert await _state(daemon, XRP) is None
        await daemon.query(WATCH)
        await eventually(partial(_has_ticks, daemon, XRP), timeout_s=60)
        await eventually(partial(_is, daemon, XRP, "live"))
        assert simulator.connections["binance"] == 1
        await daemon.query("delete from alert_rules")

        async def is_left() -> bool:
            rows = await daemon.query("select 1 from stream_gaps where cause = 'not wanted'")
            return bool(rows)

        await eventually(is_left)
        await eventually(partial(_is, daemon, XRP, "stopped"))
        await eventually(partial(_is, daemon, BTC, "live"))
        before = len(await daemon.ids(BTC))

        async def has_more() -> bool:
            return len(await daemon.ids(BTC)) > before

        await eventually(has_more)


@pytest.mark.parametrize("mode", ["shared", "standby"])
async def test_leases_are_held_and_released_at_the_end(run_daemon: RunDaemon, mode: str) -> None:
    async with Simulator(trades_per_s=100) as simulator:
        async with run_daemon(
            markets=(BTC, XRP), ingest_mode=mode, **simulator.settings_overrides()
        ) as daemon:
            await eventually(partial(_is, daemon, XRP, "live"))
            names = [name for (name,) in await daemon.query("select name from leases order by name")]
        wanted = [f"market {BTC}", f"market {XRP}"] if mode == "shared" else []
        assert [name for name in names if name.startswith("market")] == wanted
        assert await daemon.query("select name from leases where name like 'market%%'") == []

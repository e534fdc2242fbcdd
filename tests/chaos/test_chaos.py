"""Whatever breaks, every trade is stored once: lost = 0, twice = 0, against the simulator's truth.

Where an exchange's REST API gives only the newest trades, what is lost is exactly what the ledger
calls unfillable. Each scenario runs shortly in every test run and in full with the proofs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from coinwatch.times import now_us
from tests.chaos.ground import Ground, Tally, ground
from tests.waiting import eventually

pytestmark = [pytest.mark.timeout(900)]

BUSY = ("binance:BTC-USDT", "coinbase:BTC-USD", "kraken:BTC-USD", "binance:ETH-USDT")


def counts(short: int, full: int) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("times", [short, pytest.param(full, marks=pytest.mark.proof)])


async def run(place: Ground, times: int, hurt: Callable[[int], Awaitable[None]]) -> Tally:
    """Hurt it so often; what is counted when it has settled."""
    from_us = now_us()
    for number in range(times):
        await hurt(number)
    to_us = now_us()
    await place.settled()
    tally = await place.tally(from_us, to_us)
    print(f"{times} times: {tally}")  # noqa: T201  # the figures of a proof
    return tally


@counts(4, 50)
async def test_dropped_sockets(tmp_path: Path, times: int) -> None:
    async with ground(tmp_path, trades_per_s=300) as place:
        await place.start()

        async def drop(_: int) -> None:
            place.simulator.drop_sockets()
            await asyncio.sleep(1)

        tally = await run(place, times, drop)
        assert tally.is_exact
        assert tally.true > 100


@counts(2, 20)
async def test_a_killed_daemon(tmp_path: Path, times: int) -> None:
    async with ground(tmp_path, trades_per_s=300) as place:
        await place.start()

        async def kill(_: int) -> None:
            await place.kill()
            await asyncio.sleep(3)

        assert (await run(place, times, kill)).is_exact


@counts(2, 10)
async def test_a_killed_postgres(tmp_path: Path, times: int) -> None:
    async with ground(tmp_path, trades_per_s=1_000, markets=BUSY) as place:
        await place.start()

        async def kill(_: int) -> None:
            place.kill_postgres()
            await asyncio.sleep(1)
            await asyncio.to_thread(place.server.start)
            await asyncio.sleep(2)

        assert (await run(place, times, kill)).is_exact


@pytest.mark.parametrize("away_s", [4, pytest.param(60, marks=pytest.mark.proof)])
async def test_postgres_away_at_5000_trades_a_second(tmp_path: Path, away_s: int) -> None:
    async with ground(tmp_path, trades_per_s=13_000, markets=BUSY) as place:
        await place.start()

        async def stop(_: int) -> None:
            await asyncio.to_thread(place.server.stop)
            await asyncio.sleep(away_s)
            await asyncio.to_thread(place.server.start)

        tally = await run(place, 1, stop)
        assert tally.is_exact
        assert tally.true > 4_500 * away_s


@counts(2, 10)
async def test_two_daemons_on_the_same_markets(tmp_path: Path, times: int) -> None:
    async with ground(tmp_path, trades_per_s=600, markets=BUSY) as place:
        await place.start(2, ingest_mode="standby")

        async def kill(number: int) -> None:
            await place.kill(number % 2)
            await asyncio.sleep(3)

        assert (await run(place, times, kill)).is_exact


@counts(1, 3)
async def test_one_of_three_daemons_is_killed(tmp_path: Path, times: int) -> None:
    async with ground(tmp_path, trades_per_s=300) as place:
        await place.start(3)

        async def all_are_held_by(daemons: int) -> bool:
            rows = await place.query(
                "select count(*), count(distinct holder) from leases"
                " where name like 'market %%' and expires_at > now()"
            )
            return rows == [(len(place.markets), daemons)]

        await eventually(lambda: all_are_held_by(3))

        async def kill(_: int) -> None:
            await place.kill(again=False)
            await eventually(lambda: all_are_held_by(2), timeout_s=10)
            await place.start()
            await eventually(lambda: all_are_held_by(3))

        assert (await run(place, times, kill)).is_exact


@counts(1, 5)
async def test_silence_is_a_row_within_15_s(tmp_path: Path, times: int) -> None:
    async with ground(tmp_path, trades_per_s=300) as place:
        await place.start()

        async def silence(number: int) -> None:
            async def is_told() -> bool:
                rows = await place.query(
                    "select count(distinct opened_at) from stream_gaps where cause = 'silent'"
                )
                return bool(rows[0][0] > number)

            with place.simulator.go_silent("binance"):
                await eventually(is_told, timeout_s=15)

        tally = await run(place, times, silence)
        assert tally.is_exact

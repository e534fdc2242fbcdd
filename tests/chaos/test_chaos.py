"""Every trade is stored once after any fault: lost = 0, twice = 0, compared with the simulator's truth.

Where an exchange's REST API returns only the newest trades, exactly those in unfillable gaps are missing.
Each scenario runs briefly in every test run and in full with the proofs.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from coinwatch.stream_gaps import GapCause
from coinwatch.times import now_us, to_datetime
from sources.exchanges import EXCHANGES
from sources.exchanges.base import Paging
from tests.chaos.conftest import MakeGround
from tests.chaos.counting import Tally
from tests.chaos.ground import Ground, busiest
from tests.waiting import eventually

pytestmark = [pytest.mark.timeout(900)]

QUIET = "kraken:ADA-EUR"
SHOW_ALL = [name for name, exchange in EXCHANGES.items() if exchange.trade_paging is not Paging.NEWEST]
"""Exchanges whose REST API returns more than the newest trades."""


def counts(short: int, full: int) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("times", [short, pytest.param(full, marks=pytest.mark.proof)])


async def run(place: Ground, times: int, inflict: Callable[[int], Awaitable[None]]) -> None:
    """Cause a fault ``times`` times; every trade made meanwhile must be stored once."""
    from_us = now_us()
    for number in range(times):
        await inflict(number)
    await assert_exact(place, from_us, times)


async def assert_exact(place: Ground, from_us: int, times: int) -> Tally:
    """Every trade from ``from_us`` until now is stored once, or in an unfillable gap."""
    to_us = now_us()
    tally = await place.counted(from_us, to_us)
    print(f"{times} times, {(to_us - from_us) / 1e6:.0f} s: {tally}")  # noqa: T201  # the figures of a proof
    assert tally.is_exact
    assert tally.true > 100
    assert not place.log_lines("Traceback")
    return tally


@counts(3, 50)
async def test_dropped_sockets(ground: MakeGround, times: int) -> None:
    markets = [*map(str, busiest()), *([QUIET] if times > 10 else [])]
    async with ground(trades_per_s=150, markets=markets) as place:
        await place.start()

        async def drop(_: int) -> None:
            place.simulator.drop_sockets()
            await asyncio.sleep(1)

        await run(place, times, drop)


@counts(2, 20)
async def test_a_killed_daemon(ground: MakeGround, times: int) -> None:
    async with ground(trades_per_s=300) as place:
        await place.start()

        async def kill(_: int) -> None:
            await place.kill()
            await asyncio.sleep(2)

        await run(place, times, kill)


@counts(2, 10)
async def test_a_killed_postgres(ground: MakeGround, times: int) -> None:
    async with ground(trades_per_s=500) as place:
        await place.start()

        async def kill(_: int) -> None:
            place.kill_postgres()
            await asyncio.sleep(1)
            await asyncio.to_thread(place.server.start)
            await asyncio.sleep(1)

        await run(place, times, kill)


@pytest.mark.proof
@pytest.mark.parametrize("away_s", [3, 60])
async def test_postgres_away_at_5000_trades_a_second(ground: MakeGround, away_s: int) -> None:
    async with ground(trades_per_s=7_000) as place:
        await place.start()
        from_us = now_us()
        await asyncio.to_thread(place.server.stop)
        await asyncio.sleep(away_s)
        await asyncio.to_thread(place.server.start)
        tally = await assert_exact(place, from_us, 1)
        assert tally.true > 5_000 * away_s


@counts(4, 60)
async def test_damaged_doubled_and_reordered_frames(ground: MakeGround, times: int) -> None:
    """Seconds of them, with sockets dropped once in the middle.

    A frame that was late when its socket dropped can only be recovered where REST returns all trades.
    """
    async with ground(trades_per_s=600) as place:
        await place.start()
        for exchange in place.simulator.exchanges:
            place.simulator.disturb(exchange)

        async def disturb(number: int) -> None:
            if number == times // 2:
                for exchange in SHOW_ALL:
                    place.simulator.drop_sockets(exchange)
            await asyncio.sleep(1)

        await run(place, times, disturb)
        assert place.log_lines("a frame could not be read")


@pytest.mark.proof
@counts(3, 30)
async def test_frames_that_never_arrive(ground: MakeGround, times: int) -> None:
    """Where trades are numbered consecutively, holes are detected and filled while the socket is open."""
    markets = [str(market) for market in busiest() if EXCHANGES[market.exchange].consecutive_ids]
    async with ground(trades_per_s=300, markets=markets) as place:
        await place.start()
        for exchange in place.simulator.exchanges:
            place.simulator.drop_frames(exchange, 0.01)
        await run(place, times, lambda _: asyncio.sleep(1))
        holes = await place.query(
            "select count(*) from stream_gaps where cause = %s", GapCause.MISSING_TRADES
        )
        assert holes > [(times // 4,)]


@pytest.mark.proof
@counts(2, 10)
async def test_two_daemons_on_the_same_markets(ground: MakeGround, times: int) -> None:
    async with ground(trades_per_s=300) as place:
        await place.start(2, ingest_mode="standby")

        async def kill(number: int) -> None:
            await place.kill(number % 2)
            await asyncio.sleep(2)

        await run(place, times, kill)


@pytest.mark.proof
@counts(1, 3)
async def test_one_of_three_daemons_is_killed(ground: MakeGround, times: int) -> None:
    async with ground(trades_per_s=300) as place:
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
            if times > 1:
                await place.start()
                await eventually(lambda: all_are_held_by(3))

        await run(place, times, kill)


@pytest.mark.proof
@counts(1, 5)
async def test_silence_is_a_gap_within_15_s(ground: MakeGround, times: int) -> None:
    """Of a whole exchange, and of one market of another whose socket is open."""
    markets = ["binance:BTC-USDT", "binance:ETH-USDT", "coinbase:BTC-USD", "kraken:BTC-USD"]
    async with ground(trades_per_s=100, markets=markets) as place:
        await place.start()

        async def silence(_: int) -> None:
            since = to_datetime(now_us())

            async def are_recorded() -> bool:
                rows = await place.query(
                    "select distinct exchange from stream_gaps join markets on markets.id = market_id"
                    " where cause = %s and opened_at > %s",
                    GapCause.SILENT,
                    since,
                )
                return {name for (name,) in rows} == {"binance", "kraken"}

            with place.simulator.go_silent("kraken"), place.simulator.go_silent("binance:BTC-USDT"):
                await eventually(are_recorded, timeout_s=15)
            await place.settled()

        await run(place, times, silence)


@pytest.mark.proof
@counts(1, 5)
async def test_an_announced_end_is_no_interruption(ground: MakeGround, times: int) -> None:
    markets = ["binance:BTC-USDT", "binance:ETH-USDT"]
    async with ground(trades_per_s=100, markets=markets) as place:
        await place.start()

        async def announce(number: int) -> None:
            place.simulator.announce_shutdown("binance", closes_in_s=4)
            await eventually(lambda: place.simulator.connections["binance"] == number + 2)
            await eventually(lambda: place.simulator.open_sockets("binance") == 1)
            await asyncio.sleep(2)  # beyond the end of the old socket

        await run(place, times, announce)
        assert await place.query("select distinct cause from stream_gaps") == [(GapCause.STARTED,)]


@pytest.mark.proof
async def test_a_delisted_market_does_not_affect_others(ground: MakeGround) -> None:
    """A market of each exchange is delisted; then sockets drop, so that all are subscribed to again."""
    also = ["binance:ETH-USDT", "coinbase:ETH-USD", "kraken:ETH-USD"]
    async with ground(trades_per_s=300, markets=[*map(str, busiest()), *also]) as place:
        await place.start()
        for name in also:
            place.simulator.delist(name)
        place.markets = busiest()

        async def drop(_: int) -> None:
            place.simulator.drop_sockets()
            await asyncio.sleep(2)

        await run(place, 2, drop)

        async def is_marked() -> bool:
            rows = await place.query(
                "select exchange || ':' || symbol from stream_health join markets on markets.id = market_id"
                " where state = 'down'"
            )
            return {name for (name,) in rows} == set(also)

        await eventually(is_marked)


@pytest.mark.proof
async def test_everything_at_once(ground: MakeGround) -> None:
    """Two daemons share the markets; frames are damaged throughout, and each round adds other faults."""
    chance = random.Random(0)
    async with ground(trades_per_s=300) as place:
        simulator = place.simulator
        await place.start(2)
        for exchange in SHOW_ALL:
            simulator.disturb(exchange)

        async def kill_postgres() -> None:
            place.kill_postgres()
            await asyncio.sleep(chance.random() * 3)
            await asyncio.to_thread(place.server.start)

        async def drop_sockets() -> None:
            simulator.drop_sockets(chance.choice(simulator.exchanges))

        async def kill_daemon() -> None:
            await place.kill(chance.randrange(2))

        async def fail_rest() -> None:
            exchange, status = chance.choice(simulator.exchanges), chance.choice((429, 500, 503))
            simulator.fail_rest(exchange, status, times=5, retry_after_s=1)

        async def fail(_: int) -> None:
            for break_it in chance.sample((kill_postgres, drop_sockets, kill_daemon, fail_rest), 2):
                await break_it()
            await asyncio.sleep(chance.random() * 4)

        await run(place, 40, fail)

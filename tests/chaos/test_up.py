"""Whatever part of the stack is killed, ``up`` included: lost 0, twice 0, no orphan, and no person needed."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path

import pytest

from coinwatch.times import now_us
from simulator.markets import sim_markets
from simulator.server import Simulator
from tests.chaos.ground import busiest
from tests.chaos.stack import UP, Stack

pytestmark = [pytest.mark.proof, pytest.mark.timeout(900)]

KILLS = 40
UP_SHARE, COMPLETE_SHARE = 0.25, 0.6
"""How often ``up`` is the victim, and how often the next kill waits until all parts run again."""


async def test_random_kills_of_any_part(tmp_path: Path) -> None:
    chance = random.Random(0)
    markets = busiest()
    rates = {market: sim.trades_per_s for market, sim in sim_markets(1.0).items()}
    async with Simulator(trades_per_s=150 / sum(rates[market] for market in markets)) as simulator:
        stack = Stack(tmp_path, simulator, markets)
        await stack.start()
        try:
            await stack.complete()
            await stack.settled()
            from_us = now_us()
            killed: Counter[str] = Counter()
            for _ in range(KILLS):
                names = sorted(stack.processes().keys() - {UP})
                name = UP if not names or chance.random() < UP_SHARE else chance.choice(names)
                await stack.kill(name)
                killed[name] += 1
                if name == UP and chance.random() < COMPLETE_SHARE:
                    await stack.complete()
                await asyncio.sleep(chance.random() * 4)
            to_us = now_us()
            tally = await stack.counted(from_us, to_us)
            print(f"{dict(killed)}, {(to_us - from_us) / 1e6:.0f} s: {tally}")  # noqa: T201
            assert tally.is_exact
            assert tally.true > 10_000
        finally:
            await stack.down()
    assert stack.leftovers() == []

"""How long an event loop is kept from other work."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

EVERY_S = 0.002


class Delay:
    """The longest time that a task which was ready had to wait for others.

    In processor time of this process: the loop does not answer for other processes of the machine.
    """

    def __init__(self) -> None:
        self.longest_s = 0.0


@asynccontextmanager
async def longest_delay() -> AsyncIterator[Delay]:
    """Measure the loop's longest delay inside the block."""
    delay = Delay()

    async def measure() -> None:
        while True:
            before_s = time.process_time()
            await asyncio.sleep(EVERY_S)
            delay.longest_s = max(delay.longest_s, time.process_time() - before_s)

    measuring = asyncio.create_task(measure())
    try:
        yield delay
    finally:
        measuring.cancel()
        await asyncio.wait({measuring})

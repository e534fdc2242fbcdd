"""The newest averages of the pairs that clients follow, read once for all of them."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, suppress
from itertools import islice

from psycopg import AsyncConnection

from coinwatch.errors import WarehouseError
from coinwatch.health.outage import Outage
from coinwatch.records import Symbol
from warehouse.averages.stream import ROWS_AT_ONCE, StoredPrice, latest_price, prices_after
from warehouse.db.database import Database

POLL_S = 5.0
"""How often averages are read without an announcement."""
RETRY_S = 0.5
PART = "prices"
"""Its name in outages."""
MOST_KEPT = 900
"""Rows kept of each pair: a quarter of an hour of seconds."""


class Recent:
    """The last rows of a pair, in order of time, and the time from which they are complete."""

    def __init__(self, newest: StoredPrice | None) -> None:
        self.followers = 0
        self.after_us = -1 if newest is None else newest.ts_us - 1
        """Every row stored after this time is here, or will be read."""
        self._rows = [] if newest is None else [newest]

    @property
    def newest(self) -> StoredPrice | None:
        return self._rows[-1] if self._rows else None

    @property
    def through_us(self) -> int:
        return self._rows[-1].ts_us if self._rows else self.after_us

    def add(self, row: StoredPrice) -> None:
        self._rows.append(row)
        if len(self._rows) > 2 * MOST_KEPT:
            self.after_us = self._rows[-MOST_KEPT - 1].ts_us
            del self._rows[:-MOST_KEPT]

    def since(self, ts_us: int) -> Iterator[StoredPrice]:
        """The rows after ``ts_us``."""
        return islice(self._rows, bisect_right(self._rows, ts_us, key=lambda row: row.ts_us), None)


class AverageCache:
    """Reads new averages on an announcement, and every few seconds."""

    def __init__(self, database: Database, outage: Outage) -> None:
        self._database = database
        self._outage = outage
        self._pairs: dict[Symbol, Recent] = {}
        self._wake_up = asyncio.Event()
        self.changed = asyncio.Event()
        """Set, and replaced by a new event, when there are new rows."""

    def wake(self) -> None:
        """Read averages: new ones may be stored."""
        self._wake_up.set()

    @asynccontextmanager
    async def follow(self, pairs: Collection[Symbol]) -> AsyncIterator[dict[Symbol, Recent]]:
        """The last rows of ``pairs``, kept up to date inside. Raises WarehouseError."""
        followed: list[Symbol] = []
        try:
            async with self._database.use() as conn:
                for pair in pairs:
                    if pair not in self._pairs:
                        self._pairs[pair] = Recent(await latest_price(conn, pair))
                    self._pairs[pair].followers += 1
                    followed.append(pair)
                # All in one read, so that no pair is ahead of another.
                await self._catch_up(conn)
            yield {pair: self._pairs[pair] for pair in pairs}
        finally:
            for pair in followed:
                self._pairs[pair].followers -= 1
                if not self._pairs[pair].followers:
                    del self._pairs[pair]

    async def run(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._wake_up.wait()
            self._wake_up.clear()
            try:
                await self._read()
                self._outage.ended(PART)
            except WarehouseError as error:
                self._outage.began(PART, error)
                await asyncio.sleep(RETRY_S)
                self._wake_up.set()

    async def _read(self) -> None:
        if self._pairs:
            async with self._database.use() as conn:
                await self._catch_up(conn)

    async def _catch_up(self, conn: AsyncConnection) -> None:
        rows = await prices_after(conn, {pair: kept.through_us for pair, kept in self._pairs.items()})
        for pair, row in rows:
            if pair in self._pairs:  # its last follower may have left meanwhile
                self._pairs[pair].add(row)
        if rows:
            changed, self.changed = self.changed, asyncio.Event()
            changed.set()
        if len(rows) >= ROWS_AT_ONCE:
            self._wake_up.set()

"""Compares the trades that the simulator made with those that are stored."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import psycopg
from sqlalchemy import URL

from coinwatch.records import Market, Trade
from coinwatch.times import MINUTE_US, from_datetime, now_us
from simulator.server import Simulator
from simulator.truth import trades_in_minute
from sources.exchanges import EXCHANGES
from tests.chaos.counting import Tally, count
from tests.waiting import eventually
from warehouse.db.connect import conninfo

SETTLED_WITHIN_S = 120
COMES_WITHIN_S = 60


class StoredTrades(ABC):
    """The trades of ``markets`` in a database, which programs store while ``simulator`` makes them."""

    def __init__(self, simulator: Simulator, markets: Sequence[Market]) -> None:
        self.simulator = simulator
        self.markets = markets

    @property
    @abstractmethod
    def url(self) -> URL:
        """The URL of the database."""

    @abstractmethod
    async def keep_running(self) -> None:
        """Restart programs that ended; called while waiting for trades."""

    async def query(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        async with await psycopg.AsyncConnection.connect(conninfo(self.url), autocommit=True) as conn:
            return await (await conn.execute(statement.encode(), parameters or None)).fetchall()

    async def settled(self) -> None:
        """Wait until every market is live, no gap is open, and what traded before now is stored."""
        from_us = now_us()
        names = list(map(str, self.markets))

        async def is_settled() -> bool:
            await self.keep_running()
            counts = await self.query(
                "select count(distinct market_id), count(*) filter (where state = 'open')"
                " from stream_gaps join markets on markets.id = market_id"
                " where exchange || ':' || symbol = any(%s)",
                names,
            )
            return counts == [(len(names), 0)]

        await eventually(is_settled, SETTLED_WITHIN_S)

        async def has_come_this_far() -> bool:
            await self.keep_running()
            rows = await self.query("select max(ts) from ticks")
            spooled = await self.query(
                "select sum((detail->>'spool_bytes')::bigint) from service_heartbeats"
                " where service = 'ingest' and beat_at > now() - interval '5 s'"
            )
            newest = rows[0][0]
            return newest is not None and from_datetime(newest) > from_us and not spooled[0][0]

        await eventually(has_come_this_far, SETTLED_WITHIN_S)

    async def counted(self, from_us: int, to_us: int) -> Tally:
        """Count the trades from ``from_us`` to ``to_us``, once those still on their way are stored."""
        await self.settled()
        tally = await self.tally(from_us, to_us)
        with suppress(AssertionError):

            async def is_exact() -> bool:
                nonlocal tally
                tally = await self.tally(from_us, to_us)
                return tally.is_exact

            await eventually(is_exact, COMES_WITHIN_S)
        return tally

    async def tally(self, from_us: int, to_us: int) -> Tally:
        """Count the trades from ``from_us`` to ``to_us`` as they are stored now."""
        return sum([await self._tally(market, from_us, to_us) for market in self.markets], Tally())

    async def _tally(self, market: Market, from_us: int, to_us: int) -> Tally:
        stored = await self._stored(market)
        minutes = {trade.ts_us // MINUTE_US for trade in stored}
        minutes.update(range(from_us // MINUTE_US, to_us // MINUTE_US + 1))
        sim = self.simulator.markets[market]
        everything = [
            trade for minute in sorted(minutes) for trade in trades_in_minute(sim, minute).records(sim)
        ]
        true = [trade for trade in everything if from_us <= trade.ts_us < to_us]
        spans = await self.query(
            "select after_ts, before_ts from stream_gaps join markets m on m.id = market_id"
            " where state = 'unfillable' and exchange = %s and symbol = %s",
            market.exchange,
            str(market.symbol),
        )
        unfillable = [(from_datetime(start), from_datetime(end)) for start, end in spans]
        return count(EXCHANGES[market.exchange], true, everything, stored, unfillable)

    async def _stored(self, market: Market) -> list[Trade]:
        rows = await self.query(
            "select t.trade_id, t.ts, t.price, t.amount, t.taker_buys from ticks t"
            " join markets m on m.id = t.market_id where m.exchange = %s and m.symbol = %s",
            market.exchange,
            str(market.symbol),
        )
        return [Trade(market, row[0], from_datetime(row[1]), *row[2:]) for row in rows]

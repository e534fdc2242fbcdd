"""Where chaos tests break things: a Postgres, the simulator, daemons as real programs, and a count.

The count compares the simulator's true trades of a period with the rows of ``ticks``.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg

from coinwatch.records import Market, Trade
from coinwatch.times import MINUTE_US, from_datetime, now_us
from simulator.markets import sim_markets
from simulator.server import VENUES, Simulator
from simulator.truth import trades_in_minute
from sources.exchanges import EXCHANGES
from tests.chaos.counting import Tally, count
from tests.waiting import eventually
from warehouse.db.connect import conninfo
from warehouse.embedded import postmaster
from warehouse.embedded.ports import free_port
from warehouse.embedded.server import EmbeddedPostgres

COINWATCH = str(Path(sys.executable).parent / "coinwatch")
SETTLED_WITHIN_S = 120
COMES_WITHIN_S = 20


class Ground:
    """One run."""

    def __init__(
        self,
        folder: Path,
        server: EmbeddedPostgres,
        database: str,
        simulator: Simulator,
        markets: Sequence[Market],
    ) -> None:
        self.server = server
        self.simulator = simulator
        self.markets = markets
        self.url = server.url(database)
        self.daemons: list[asyncio.subprocess.Process] = []
        self._folder = folder
        self._log = folder / "daemons.log"
        self._settings = {
            **simulator.settings_overrides(),
            "markets": ",".join(map(str, markets)),
            "database_url": self.url.set(drivername="postgresql").render_as_string(hide_password=False),
            "data_dir": str(folder / "data"),
            "rate_limit_scale": "1000",
            "first_reach_s": "2",
            "log_format": "json",
        }

    async def start(self, count: int = 1, **settings: str) -> None:
        """Start ``count`` daemons and wait until their first gaps are filled."""
        self._last_settings = settings
        for _ in range(count):
            self.daemons.append(await self._spawn(settings))
        await self.settled()

    async def _spawn(self, settings: dict[str, str]) -> asyncio.subprocess.Process:
        given = self._settings | settings | {"ingest_port": str(free_port())}
        with self._log.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *(COINWATCH, "ingest"),
                cwd=self._folder,
                env={
                    **{name: value for name, value in os.environ.items() if not name.startswith("COINWATCH")},
                    **{f"COINWATCH_{name.upper()}": value for name, value in given.items()},
                },
                stdout=log,
                stderr=log,
            )

    async def kill(self, index: int = 0, *, again: bool = True) -> None:
        """kill -9 a daemon and start another in its place, unless not ``again``."""
        await _kill(self.daemons[index])
        if again:
            self.daemons[index] = await self._spawn(self._last_settings)
        else:
            del self.daemons[index]

    def log_lines(self, text: str) -> int:
        """How many lines of the daemons' logs contain ``text``."""
        return sum(text in line for line in self._log.read_text().splitlines())

    def kill_postgres(self) -> None:
        """kill -9 the postmaster."""
        server = postmaster.find(self.server.folder / "data")
        assert server is not None
        server.process.kill()

    async def end(self) -> None:
        for daemon in self.daemons:
            await _kill(daemon)

    async def query(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        async with await psycopg.AsyncConnection.connect(conninfo(self.url), autocommit=True) as conn:
            return await (await conn.execute(statement.encode(), parameters or None)).fetchall()

    async def settled(self) -> None:
        """Wait until every market is live, no gap is open, and what traded before now is stored."""
        from_us = now_us()
        names = list(map(str, self.markets))

        async def is_settled() -> bool:
            await self._restart_ended()
            counts = await self.query(
                "select count(distinct market_id), count(*) filter (where state = 'open')"
                " from stream_gaps join markets on markets.id = market_id"
                " where exchange || ':' || symbol = any(%s)",
                names,
            )
            return counts == [(len(names), 0)]

        await eventually(is_settled, SETTLED_WITHIN_S)

        async def has_come_this_far() -> bool:
            await self._restart_ended()
            rows = await self.query("select max(ts) from ticks")
            spooled = await self.query(
                "select sum((detail->>'spool_bytes')::bigint) from service_heartbeats"
                " where service = 'ingest' and beat_at > now() - interval '5 s'"
            )
            newest = rows[0][0]
            return newest is not None and from_datetime(newest) > from_us and not spooled[0][0]

        await eventually(has_come_this_far, SETTLED_WITHIN_S)

    async def _restart_ended(self) -> None:
        """Restart daemons that ended, as ``coinwatch up`` does: a start without Postgres fails."""
        for index, daemon in enumerate(self.daemons):
            if daemon.returncode is not None:
                self.daemons[index] = await self._spawn(self._last_settings)

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


def busiest() -> list[Market]:
    """One market of each exchange that is both streamed and simulated."""
    simulated = {venue.name for venue in VENUES} & EXCHANGES.keys()
    busiest_by_exchange: dict[str, Market] = {}
    for sim in sorted(sim_markets().values(), key=lambda sim: sim.trades_per_s):
        if sim.market.exchange in simulated:
            busiest_by_exchange[sim.market.exchange] = sim.market
    return sorted(busiest_by_exchange.values())


async def _kill(daemon: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        daemon.kill()
    await daemon.wait()

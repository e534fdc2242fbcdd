"""A place to break things in: a Postgres of its own, the simulator, daemons as real programs, and the count.

What is counted: the simulator's true trades of a stretch of time against the rows of ``ticks``.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import psycopg

from coinwatch.records import Market, Trade
from coinwatch.times import MINUTE_US, from_datetime, now_us
from simulator.server import Simulator
from simulator.truth import trades_in_minute
from sources.exchanges import EXCHANGES
from tests.waiting import eventually
from warehouse.connect import conninfo
from warehouse.migrate import upgrade
from warehouse.server import EmbeddedPostgres

COINWATCH = str(Path(sys.executable).parent / "coinwatch")
SETTLED_WITHIN_S = 120


class Tally(msgspec.Struct):
    """Trades of a stretch of time."""

    true: int = 0
    lost: int = 0
    """Not stored, and not in a span that the ledger calls unfillable."""
    unfillable: int = 0
    """Not stored, as the ledger says."""
    denied: int = 0
    """Stored, although the ledger says they cannot be had."""
    twice: int = 0
    wrong: int = 0
    """Stored, but never traded, or other than they were."""

    @property
    def is_exact(self) -> bool:
        return not (self.lost or self.twice or self.wrong or self.denied)


class Ground:
    """One run."""

    def __init__(
        self, folder: Path, server: EmbeddedPostgres, simulator: Simulator, markets: Sequence[Market]
    ) -> None:
        self.server = server
        self.simulator = simulator
        self.markets = markets
        self.url = server.socket_url()
        self.daemons: list[asyncio.subprocess.Process] = []
        self._folder = folder
        self.log = folder / "daemons.log"
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
        """Start ``count`` daemons and wait until what they open with is settled."""
        for _ in range(count):
            self.daemons.append(await self._spawn(settings))
        self._last_settings = settings
        await self.settled()

    async def _spawn(self, settings: dict[str, str]) -> asyncio.subprocess.Process:
        given = self._settings | settings | {"ingest_port": str(free_port())}
        with self.log.open("ab") as log:
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
        """kill -9 one daemon; a new one takes its place, unless it is not to come ``again``."""
        self.daemons[index].kill()
        await self.daemons[index].wait()
        if again:
            self.daemons[index] = await self._spawn(self._last_settings)
        else:
            del self.daemons[index]

    def kill_postgres(self) -> None:
        """kill -9 the postmaster."""
        [pid_file] = self._folder.glob("postgres/**/postmaster.pid")
        os.kill(int(pid_file.read_text().splitlines()[0]), 9)

    async def end(self) -> None:
        for daemon in self.daemons:
            with suppress(ProcessLookupError):
                daemon.kill()
            await daemon.wait()

    async def query(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        async with await psycopg.AsyncConnection.connect(conninfo(self.url), autocommit=True) as conn:
            return await (await conn.execute(statement.encode(), parameters or None)).fetchall()

    async def settled(self) -> None:
        """Until every market is heard, nothing is open, and what traded before now is stored."""
        from_us = now_us()

        async def is_settled() -> bool:
            counts = await self.query(
                "select count(distinct market_id), count(*) filter (where state = 'open') from stream_gaps"
            )
            return counts == [(len(self.markets), 0)]

        await eventually(is_settled, SETTLED_WITHIN_S)

        async def has_come_this_far() -> bool:
            rows = await self.query("select max(ts) from ticks")
            spooled = await self.query(
                "select sum((detail->>'spool_bytes')::bigint) from service_heartbeats"
                " where service = 'ingest' and beat_at > now() - interval '5 s'"
            )
            newest = rows[0][0]
            return newest is not None and from_datetime(newest) > from_us and not spooled[0][0]

        await eventually(has_come_this_far, SETTLED_WITHIN_S)

    async def tally(self, from_us: int, to_us: int) -> Tally:
        """Count the trades from ``from_us`` to ``to_us``."""
        total = Tally()
        for market in self.markets:
            part = await self._tally(market, from_us, to_us)
            for name in Tally.__struct_fields__:
                setattr(total, name, getattr(total, name) + getattr(part, name))
        return total

    async def _tally(self, market: Market, from_us: int, to_us: int) -> Tally:
        exchange = EXCHANGES[market.exchange]
        true = [trade for trade in self._truth(market, from_us, to_us) if from_us <= trade.ts_us < to_us]
        stored = await self._stored(market)
        if exchange.has_trade_ids:
            by_id = {trade.trade_id: trade for trade in stored}
            missing = [trade for trade in true if trade.trade_id not in by_id]
            known = {trade.trade_id: trade for trade in true}
            step_us = exchange.rest_ts_step_us
            wrong = sum(
                trade_id in known and not _same(known[trade_id], trade, step_us)
                for trade_id, trade in by_id.items()
            )
            twice = len(stored) - len(by_id)
        else:
            there = Counter(map(_numbers, stored))
            wanted = Counter(map(_numbers, true))
            lacking = wanted - there
            missing = []
            for trade in true:
                if lacking[_numbers(trade)]:
                    lacking[_numbers(trade)] -= 1
                    missing.append(trade)
            everything = Counter(map(_numbers, self._truth(market, from_us - MINUTE_US, to_us + MINUTE_US)))
            wrong, twice = 0, (there - everything).total()
        spans = await self.query(
            "select after_ts, before_ts from stream_gaps join markets m on m.id = market_id"
            " where state = 'unfillable' and exchange = %s and symbol = %s",
            market.exchange,
            str(market.symbol),
        )
        unfillable = [(from_datetime(start), from_datetime(end)) for start, end in spans]
        gone = {id(trade) for trade in missing}
        told = [trade for trade in true if any(start < trade.ts_us < end for start, end in unfillable)]
        untold = [
            trade for trade in missing if not any(start <= trade.ts_us <= end for start, end in unfillable)
        ]
        return Tally(
            true=len(true),
            lost=len(untold),
            unfillable=len(missing) - len(untold),
            denied=sum(id(trade) not in gone for trade in told),
            twice=twice,
            wrong=wrong,
        )

    def _truth(self, market: Market, from_us: int, to_us: int) -> list[Trade]:
        sim = self.simulator.markets[market]
        minutes = range(from_us // MINUTE_US, to_us // MINUTE_US + 1)
        return [trade for minute in minutes for trade in trades_in_minute(sim, minute).records(sim)]

    async def _stored(self, market: Market) -> list[Trade]:
        rows = await self.query(
            "select t.trade_id, t.ts, t.price, t.amount, t.taker_buys from ticks t"
            " join markets m on m.id = t.market_id where m.exchange = %s and m.symbol = %s",
            market.exchange,
            str(market.symbol),
        )
        return [Trade(market, row[0], from_datetime(row[1]), *row[2:]) for row in rows]


@asynccontextmanager
async def ground(folder: Path, *, trades_per_s: float, markets: Sequence[str] = ()) -> AsyncIterator[Ground]:
    """Everything but the daemons. ``markets``: all that are simulated, when none is named."""
    server = EmbeddedPostgres(folder / "postgres")
    server.start()
    place: Ground | None = None
    try:
        upgrade(server.socket_url())
        async with Simulator(trades_per_s=trades_per_s) as simulator:
            known = [market for market in simulator.markets if market.exchange in simulator.exchanges]
            wanted = [Market.canonical(name) for name in markets] or known
            place = Ground(folder, server, simulator, wanted)
            yield place
            await place.end()
    finally:
        if place is not None:
            await place.end()
        server.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _numbers(trade: Trade) -> tuple[int, float, float, bool]:
    return trade.ts_us, trade.price, trade.amount, trade.taker_buys


def _same(true: Trade, stored: Trade, step_us: int) -> bool:
    """Whether they are the same trade; its time may be cut to what REST tells."""
    cut_us = true.ts_us - true.ts_us % step_us
    same_time = stored.ts_us in (true.ts_us, cut_us)
    return same_time and (true.price, true.amount, true.taker_buys) == (
        stored.price,
        stored.amount,
        stored.taker_buys,
    )

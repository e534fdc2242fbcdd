"""Which markets this daemon streams: those that are wanted and, of them, those it holds leases of."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import time
from collections.abc import Collection
from contextlib import suppress
from math import inf

import psycopg
import structlog

from coinwatch.errors import WarehouseError, WarehouseUnavailable
from coinwatch.records import Market
from coinwatch.stream_gaps import GapCause
from ingest_daemon.context import DaemonContext
from ingest_daemon.streams.market_shares import fair_share, to_release
from ingest_daemon.streams.stream_set import Streams
from sources.exchanges import EXCHANGES
from warehouse.alerts.watched_markets import listen_for_watches, watched_markets, watches_changed
from warehouse.db.errors import deadline
from warehouse.ops import leases
from warehouse.ops.health import StreamHealth, peers, write_streams
from warehouse.trades import gaps

SERVICE = "ingest"
EVERY_S = 1.0
WATCHES_EVERY_S = 5.0
"""How often watched markets are read although no change was announced: slow when there are many."""
TIMEOUT_S = 10.0
LEASE_S = 5.0
"""A killed daemon loses its markets after this long."""
PEER_S = 3.0
"""A daemon without a heartbeat for longer gets no share."""

log = structlog.get_logger(__name__)


class Assignments:
    """Configured markets are always wanted; watched ones while they are watched, and a while after."""

    def __init__(self, context: DaemonContext, streams: Streams) -> None:
        self._context = context
        self._settings = context.settings
        self._daemon = context.daemon
        self._streams = streams
        self._watched: set[Market] = set()
        self._watched_s: dict[Market, float] = {}
        """When each was last watched, by a clock that does not jump."""
        self._next_read_s = -inf
        self._connection: psycopg.AsyncConnection | None = None

    @property
    def fingerprint(self) -> str:
        """A hash of the configured markets: daemons with the same one share them."""
        names = ",".join(map(str, sorted(self._settings.markets)))
        return hashlib.sha1(names.encode()).hexdigest()[:12]  # noqa: S324  # no secret

    async def run(self) -> None:
        """Assign until cancelled. While Postgres is unavailable nothing changes."""
        while True:
            try:
                async with deadline(TIMEOUT_S):
                    await self._assign()
            except WarehouseUnavailable as error:
                self._context.outage.began("assignments", error)
                await self.close()
            else:
                self._context.outage.ended("assignments")
            await asyncio.sleep(EVERY_S)

    async def stop(self) -> None:
        """Release the leases of this daemon, so that others need not wait for them to expire."""
        with suppress(WarehouseError):
            async with deadline(TIMEOUT_S / 5):
                await leases.release(await self._connected(), self._daemon)
        await self.close()

    async def close(self) -> None:
        """Close the connection. The next assignment opens a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _connected(self) -> psycopg.AsyncConnection:
        if self._connection is None:
            self._connection = await self._context.connect("assignments")
            await listen_for_watches(self._connection)
            self._next_read_s = -inf
            for holder in await leases.silent_holders(self._connection, SERVICE, within_s=0):
                if _is_dead_local_process(holder):
                    await leases.release(self._connection, holder)
        return self._connection

    async def _assign(self) -> None:
        conn = await self._connected()
        wanted = await self._wanted(conn)
        streamed = self._streams.markets
        unwanted = streamed - wanted
        if unwanted:
            log.info("no longer wanted", markets=sorted(map(str, unwanted)))
            await write_streams(conn, await self._drop(unwanted), self._daemon)
            await gaps.leave(conn, self._daemon, [self._context.market_ids[market] for market in unwanted])
            await self._release(conn, unwanted)
        held = wanted if self._settings.ingest_mode == "standby" else await self._held(conn, wanted)
        lost = self._streams.markets - held
        if lost:
            log.info("another daemon streams them now", markets=sorted(map(str, lost)))
            await self._drop(lost)
        new = held - self._streams.markets
        if new:
            await self._begin(conn, new)

    async def _wanted(self, conn: psycopg.AsyncConnection) -> set[Market]:
        now_s = time.monotonic()
        if await watches_changed(conn) or now_s >= self._next_read_s:
            self._watched = {m for m in await watched_markets(conn) if m.exchange in EXCHANGES}
            self._next_read_s = now_s + WATCHES_EVERY_S
        self._watched_s |= dict.fromkeys(self._watched, now_s)
        linger_s = self._settings.watch_linger_s
        self._watched_s = {m: at for m, at in self._watched_s.items() if now_s - at <= linger_s}
        return {*self._settings.markets, *self._watched_s}

    async def _held(self, conn: psycopg.AsyncConnection, wanted: set[Market]) -> set[Market]:
        """The markets this daemon holds, after releasing what exceeds its share or taking free ones."""
        by_name = {_lease(market): market for market in wanted}
        mine = await leases.renew(
            conn, self._daemon, [_lease(market) for market in self._streams.markets], LEASE_S
        )
        share = fair_share(len(wanted), max(1, await peers(conn, SERVICE, self.fingerprint, PEER_S)))
        surplus = to_release([by_name[name] for name in sorted(mine)], share)
        if surplus:
            await self._drop(surplus)
            await self._release(conn, surplus)
            mine -= {_lease(market) for market in surplus}
        if len(mine) < share:
            free = sorted(by_name.keys() - mine)
            mine |= await leases.take(conn, self._daemon, free, LEASE_S, share - len(mine))
        return {by_name[name] for name in mine}

    async def _release(self, conn: psycopg.AsyncConnection, markets: Collection[Market]) -> None:
        await leases.release(conn, self._daemon, [_lease(market) for market in markets])

    async def _begin(self, conn: psycopg.AsyncConnection, markets: set[Market]) -> None:
        ids = await self._context.market_ids.resolve(
            conn, {market: EXCHANGES[market.exchange].rest_native(market) for market in markets}
        )
        last_known = await gaps.begin(
            conn,
            self._daemon,
            ids.values(),
            cause=GapCause.STARTED,
            first_reach_s=self._settings.first_reach_s,
            silent_s=PEER_S,
            is_leased=self._settings.ingest_mode == "shared",
        )
        self._context.status_board.add(ids)
        for market, market_id in ids.items():
            self._context.continuity.begin(
                market,
                market_id,
                is_consecutive=EXCHANGES[market.exchange].consecutive_ids,
                known_ts_us=last_known.get(market_id, 0),
                now_s=time.monotonic(),
            )
        self._streams.add(markets)
        log.info("streaming", markets=len(self._streams.markets), sockets=len(self._streams))

    async def _drop(self, markets: Collection[Market]) -> dict[int, StreamHealth]:
        """Stop streaming ``markets``; return their last health, by market id."""
        await self._streams.remove(markets)
        for market in markets:
            self._context.continuity.end(market)
        return self._context.status_board.remove(markets)


def _lease(market: Market) -> str:
    return f"market {market}"


def _is_dead_local_process(holder: str) -> bool:
    """Whether ``holder`` is a process of this machine that has ended, so that its leases can be released."""
    host, _, pid = holder.rpartition(":")
    if host != socket.gethostname() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False

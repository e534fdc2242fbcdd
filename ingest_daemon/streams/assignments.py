"""What this daemon streams: what is wanted, and of that what its leases let it have."""

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
import sqlalchemy
import structlog

from coinwatch.errors import WarehouseError
from coinwatch.records import Market
from coinwatch.settings import Settings
from ingest_daemon.recovery.continuity import Continuity
from ingest_daemon.storage.outage import Outage
from ingest_daemon.streams.market_shares import fair_share, to_release
from ingest_daemon.streams.status_board import StreamStatusBoard
from ingest_daemon.streams.stream_set import Streams
from sources.exchanges import EXCHANGES
from warehouse.alerts.watched_markets import listen_for_watches, watched_markets, watches_changed
from warehouse.db.connect import connect
from warehouse.markets import MarketIds
from warehouse.ops import leases
from warehouse.ops.health import StreamHealth, peers, write_streams
from warehouse.trades import gaps

SERVICE = "ingest"
EVERY_S = 1.0
WATCHES_EVERY_S = 5.0
"""How often watches are looked through though none was told of: that takes long when there are many."""
TIMEOUT_S = 10.0
LEASE_S = 5.0
"""A daemon that is killed loses its markets after so long."""
PEER_S = 3.0
"""A daemon that has not beaten for longer takes no share."""
START = "started"
"""The cause of an interruption, in the ledger: the daemon was not running, or another one was."""

log = structlog.get_logger(__name__)


class Assignments:
    """``settings.markets`` are always wanted; watched markets for as long as they are, and a while."""

    def __init__(
        self,
        settings: Settings,
        url: sqlalchemy.URL,
        daemon: str,
        market_ids: MarketIds,
        streams: Streams,
        continuity: Continuity,
        board: StreamStatusBoard,
        outage: Outage,
    ) -> None:
        self._settings = settings
        self._url = url
        self._daemon = daemon
        self._market_ids = market_ids
        self._streams = streams
        self._continuity = continuity
        self._board = board
        self._outage = outage
        self._watched: set[Market] = set()
        self._watched_s: dict[Market, float] = {}
        """When each was last watched."""
        self._look_again_s = -inf
        self._connection: psycopg.AsyncConnection | None = None

    @property
    def fingerprint(self) -> str:
        """Daemons that want the same markets share them; this tells which do."""
        names = ",".join(map(str, sorted(self._settings.markets)))
        return hashlib.sha1(names.encode()).hexdigest()[:12]  # noqa: S324  # no secret

    async def run(self) -> None:
        """Assign until cancelled. While Postgres is away everything stays as it is."""
        while True:
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    await self._assign()
            except (psycopg.Error, WarehouseError, OSError, TimeoutError) as error:
                self._outage.began("assignments", error)
                await self.close()
            else:
                self._outage.ended("assignments")
            await asyncio.sleep(EVERY_S)

    async def stop(self) -> None:
        """Let others have what this daemon held, at once."""
        with suppress(psycopg.Error, WarehouseError, OSError, TimeoutError):
            async with asyncio.timeout(TIMEOUT_S / 5):
                await leases.release(await self._connected(), self._daemon)
        await self.close()

    async def close(self) -> None:
        """End the connection. A later assignment makes a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error):
                await connection.close()

    async def _connected(self) -> psycopg.AsyncConnection:
        if self._connection is None:
            self._connection = await connect(self._url, application_name="coinwatch ingest assignments")
            await listen_for_watches(self._connection)
            self._look_again_s = -inf
            for holder in await leases.silent_holders(self._connection, SERVICE, within_s=0):
                if _is_dead_neighbour(holder):
                    await leases.release(self._connection, holder)
        return self._connection

    async def _assign(self) -> None:
        conn = await self._connected()
        wanted = await self._wanted(conn)
        streamed = self._streams.markets
        left = streamed - wanted
        if left:
            log.info("no longer wanted", markets=sorted(map(str, left)))
            await write_streams(conn, await self._drop(left), self._daemon)
            await gaps.leave(conn, self._daemon, [self._market_ids[market] for market in left])
            await self._give_back(conn, left)
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
        if await watches_changed(conn) or now_s >= self._look_again_s:
            self._watched = {m for m in await watched_markets(conn) if m.exchange in EXCHANGES}
            self._look_again_s = now_s + WATCHES_EVERY_S
        self._watched_s |= dict.fromkeys(self._watched, now_s)
        linger_s = self._settings.watch_linger_s
        self._watched_s = {m: at for m, at in self._watched_s.items() if now_s - at <= linger_s}
        return {*self._settings.markets, *self._watched_s}

    async def _held(self, conn: psycopg.AsyncConnection, wanted: set[Market]) -> set[Market]:
        """The markets leased to us, after giving back what is too much and taking what is free."""
        by_name = {_lease(market): market for market in wanted}
        mine = await leases.renew(
            conn, self._daemon, [_lease(market) for market in self._streams.markets], LEASE_S
        )
        share = fair_share(len(wanted), max(1, await peers(conn, SERVICE, self.fingerprint, PEER_S)))
        surplus = to_release([by_name[name] for name in sorted(mine)], share)
        if surplus:
            await self._drop(surplus)
            await self._give_back(conn, surplus)
            mine -= {_lease(market) for market in surplus}
        if len(mine) < share:
            free = sorted(by_name.keys() - mine)
            mine |= await leases.take(conn, self._daemon, free, LEASE_S, share - len(mine))
        return {by_name[name] for name in mine}

    async def _give_back(self, conn: psycopg.AsyncConnection, markets: Collection[Market]) -> None:
        await leases.release(conn, self._daemon, [_lease(market) for market in markets])

    async def _begin(self, conn: psycopg.AsyncConnection, markets: set[Market]) -> None:
        ids = await self._market_ids.resolve(
            conn, {market: EXCHANGES[market.exchange].rest_native(market) for market in markets}
        )
        known = await gaps.begin(
            conn,
            self._daemon,
            ids.values(),
            cause=START,
            first_reach_s=self._settings.first_reach_s,
            silent_s=PEER_S,
            is_leased=self._settings.ingest_mode == "shared",
        )
        self._board.add(ids)
        for market, market_id in ids.items():
            self._continuity.begin(
                market,
                market_id,
                is_consecutive=EXCHANGES[market.exchange].consecutive_ids,
                known_ts_us=known.get(market_id, 0),
                now_s=time.monotonic(),
            )
        self._streams.add(markets)
        log.info("streaming", markets=len(self._streams.markets), sockets=len(self._streams))

    async def _drop(self, markets: Collection[Market]) -> dict[int, StreamHealth]:
        """Stream these no longer; what was known of them, by market id."""
        await self._streams.remove(markets)
        for market in markets:
            self._continuity.end(market)
        return self._board.remove(markets)


def instance() -> str:
    """This process, as heartbeats, leases and the ledger name it."""
    return f"{socket.gethostname()}:{os.getpid()}"


def _lease(market: Market) -> str:
    return f"market {market}"


def _is_dead_neighbour(holder: str) -> bool:
    """Whether ``holder`` is a process of this machine that is gone: no need to wait for its leases."""
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

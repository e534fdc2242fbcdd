"""Stream gaps and the trades that fill them, as recovery reads and writes them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import psycopg

from coinwatch.records import Trade
from ingest_daemon.context import DaemonContext
from sources.trades import Mark
from warehouse.trades import gaps
from warehouse.trades.gaps import Gap
from warehouse.trades.writer import TickWriter

INHERIT_SILENT_S = 5.0
"""A daemon without a heartbeat for longer has ended, and its open gaps are taken over."""


class GapStore:
    """One connection, which all gaps being filled share in turn."""

    def __init__(self, context: DaemonContext, conn: psycopg.AsyncConnection) -> None:
        self._daemon = context.daemon
        self._is_leased = context.settings.ingest_mode == "shared"
        self._conn = conn
        self._writer = TickWriter(conn, context.market_ids, daemon=context.daemon)
        self._lock = asyncio.Lock()

    async def inherit(self, market_ids: Collection[int]) -> None:
        """Take over the open gaps that ended daemons left of these markets."""
        async with self._lock:
            await gaps.inherit(
                self._conn, self._daemon, market_ids, silent_s=INHERIT_SILENT_S, is_leased=self._is_leased
            )

    async def open_gaps(self, market_ids: Collection[int]) -> list[Gap]:
        """The gaps of these markets to fill, oldest first."""
        async with self._lock:
            return await gaps.open_gaps(self._conn, self._daemon, market_ids)

    async def write(self, trades: list[Trade]) -> int:
        """Store ``trades``; return how many were new."""
        async with self._lock:
            return await self._write(trades)

    async def fill(self, gap: Gap, recovered: int, end: Mark) -> None:
        """Close ``gap`` as filled. ``end`` is its end where it had none."""
        async with self._lock:
            await gaps.fill(self._conn, gap, recovered, heard_id=end.trade_id, heard_ts_us=end.ts_us)

    async def give_up(
        self, gap: Gap, page: list[Trade], recovered: int, reason: str, before: Mark, end: Mark
    ) -> int:
        """Store ``page`` and close ``gap`` as unfillable up to ``before`` and filled from there to ``end``.

        Both happen in one transaction: after a crash between them, the next attempt would take the stored
        trades of ``page`` for the other end of what is missing.

        Args:
            gap: The gap.
            page: The last trades that the exchange returned.
            recovered: How many trades were new before.
            reason: Why the rest cannot be recovered.
            before: The first trade after what is missing.
            end: The end of the gap.

        Returns:
            How many trades were new in all.
        """
        async with self._lock, self._conn.transaction():
            after_id, after_ts_us = await gaps.last_stored(self._conn, gap, before.ts_us)
            recovered += await self._write(page)
            await gaps.give_up(
                self._conn,
                gap,
                recovered=recovered,
                reason=reason,
                after_id=after_id,
                after_ts_us=after_ts_us,
                before_id=before.trade_id,
                before_ts_us=before.ts_us,
                end_id=end.trade_id,
                end_ts_us=end.ts_us,
            )
        return recovered

    async def note_failure(self, gap: Gap, reason: str) -> None:
        """Record why the last attempt failed; ``gap`` stays open."""
        async with self._lock:
            await gaps.note_failure(self._conn, gap, reason)

    async def _write(self, trades: list[Trade]) -> int:
        if not trades:
            return 0
        return (await self._writer.write(trades, late=True, perhaps_stored=True)).inserted

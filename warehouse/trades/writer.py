"""The writer of trades: each stored once, mostly by binary COPY, and announced in the same transaction."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import TypeAlias

import msgspec
import numpy as np
import structlog
from numpy.typing import NDArray
from psycopg import AsyncConnection, errors, postgres, sql
from psycopg.types.json import Jsonb

from coinwatch.errors import WarehouseUnavailable
from coinwatch.records import Market, Trade
from coinwatch.times import DAY_US, now_us, utc_day
from warehouse.db.copy_in import copy_in
from warehouse.db.notifications import TICKS, TICKS_LATE, MarketMove, announcement, announcing, encode_moves
from warehouse.db.partitions import ensure_tick_days
from warehouse.db.prepared import Prepared, run_prepared
from warehouse.trades.gaps import LedgerEntries, enter
from warehouse.trades.rows import COLUMN_TYPES, COPY_COLUMNS, TickRows

RECENT_IDS = 2_000
"""At least this many ids of each market are kept, to drop repeated trades before COPY."""

FIRST_TRADE_US = 1_230_940_800_000_000
"""2009-01-03, the first Bitcoin block: earlier trades are impossible."""

FEW_ROWS = 16
"""Up to this many rows are inserted by a prepared statement: one round trip less than COPY, and faster to
start. They always fit one notification."""

STAGING_TRIES = 5

log = structlog.get_logger(__name__)

_COLUMNS = sql.SQL(", ").join(map(sql.Identifier, COPY_COLUMNS))
_COPY = sql.SQL("copy {} ({}) from stdin (format binary)")
_COPY_TICKS = _COPY.format(sql.Identifier("ticks"), _COLUMNS).as_string()
_COPY_STAGING = _COPY.format(sql.Identifier("ticks_staging"), _COLUMNS).as_string()
_INSERT_FEW = Prepared(
    name=b"insert_few_ticks",
    query=f"""
    with stored as (
        insert into ticks ({", ".join(COPY_COLUMNS)})
        select * from unnest({", ".join(f"${n}::{kind}[]" for n, kind in enumerate(COLUMN_TYPES, 1))})
    )
    select {announcement("$8::text", "$9::text")}
    """.encode(),  # noqa: S608  # names of ours alone
    types=(*(postgres.types[kind].array_oid for kind in COLUMN_TYPES), *[postgres.types["text"].oid] * 2),
    are_binary=(*[True] * len(COLUMN_TYPES), False, False),
)
_MAKE_STAGING = sql.SQL(
    """
    create temp table if not exists ticks_staging on commit delete rows
    as select {} from ticks with no data
    """
).format(_COLUMNS)
_FROM_STAGING = sql.SQL(
    """
    insert into ticks ({columns}) select {columns} from ticks_staging
    order by market_id, trade_id, day
    on conflict do nothing
    returning market_id, trade_id
    """
).format(columns=_COLUMNS)


_REJECT = "insert into rejects (market_id, trade, reason) values (%s, %s, %s)"


class Written(msgspec.Struct, frozen=True):
    """The outcome of a batch."""

    moves: list[MarketMove]
    """What was stored and announced, by market."""
    duplicates: Counter[int]
    """Trades of each market id that were stored before, or occurred twice in the batch."""
    refused: Counter[int]
    """Trades of each market id that were refused. Each is logged."""

    @property
    def inserted(self) -> int:
        """Rows stored."""
        return sum(move.count for move in self.moves)


class _How(msgspec.Struct, frozen=True):
    """How a batch is stored."""

    channel: str
    ledger: LedgerEntries | None
    perhaps_stored: bool


_Stored: TypeAlias = tuple[list[MarketMove], Counter[int]]
"""The announced moves, and the refused rows of each market id."""


class TickWriter:
    """Stores batches of trades on one connection, each in one transaction with its notice.

    The connection must be in autocommit mode and used by the writer alone. After a lost connection, write the
    batch again with a new writer and ``perhaps_stored=True``.
    """

    def __init__(self, conn: AsyncConnection, market_ids: Mapping[Market, int], *, daemon: str = "") -> None:
        self._conn = conn
        self._daemon = daemon
        self._market_ids = market_ids
        self._recent: defaultdict[int, _RecentIds] = defaultdict(_RecentIds)
        self._days: set[int] = set()

    def rows(self, trades: Sequence[Trade]) -> TickRows:
        """``trades`` in the form ``write_rows`` takes."""
        return TickRows.of(trades, self._market_ids)

    async def write(
        self, trades: Sequence[Trade], *, late: bool = False, perhaps_stored: bool = False
    ) -> Written:
        """``write_rows`` of ``trades``."""
        return await self.write_rows(self.rows(trades), late=late, perhaps_stored=perhaps_stored)

    async def write_rows(
        self,
        sent: TickRows,
        ledger: LedgerEntries | None = None,
        *,
        late: bool = False,
        perhaps_stored: bool = False,
    ) -> Written:
        """Store each trade of ``sent`` once, whatever was stored before, and announce the new trades.

        Args:
            sent: The batch.
            ledger: Stream gaps to open and to end in the same transaction.
            late: The trades are older than the last of their markets: announce them on TICKS_LATE.
            perhaps_stored: An earlier attempt to store this batch got no reply.

        Raises:
            psycopg.OperationalError: The connection failed. The batch may or may not be stored.
        """
        plausible = await self._plausible(sent)
        rows = self._unseen(plausible)
        how = _How(TICKS_LATE if late else TICKS, ledger or None, perhaps_stored)
        moves, refused = await self._store(rows, how)
        for market_id, where in rows.by_market():
            self._recent[market_id].add(rows.trade_id[where])
        written = Written(moves, Counter(), refused)
        if written.inserted < len(sent):
            refused += sent.counts() - plausible.counts()
            for move in moves:
                written.duplicates[move.market_id] -= move.count
            written.duplicates.update(sent.counts())
            written.duplicates.subtract(refused)
        return written

    async def _store(self, rows: TickRows, how: _How) -> _Stored:
        if not len(rows):
            if how.ledger:
                async with self._conn.transaction():
                    await enter(self._conn, self._daemon, how.ledger)
            return [], Counter()
        try:
            await self._ensure_days(rows)
            try:
                moves = await self._copy_or_merge(rows, how)
            except errors.CheckViolation:  # a day's partition was dropped since we made it
                self._days.clear()
                await self._ensure_days(rows)
                moves = await self._copy_or_merge(rows, how)
        except (errors.DataError, errors.IntegrityError) as error:
            if len(rows) > 1:
                return await self._store_halves(rows, how)
            log.error("a trade was refused by Postgres", reason=str(error), **_describe(rows))
            await self._reject(rows, str(error))
            return [], rows.counts()
        return moves, Counter()

    async def _store_halves(self, rows: TickRows, how: _How) -> _Stored:
        """At least one row is refused: halve the batch to isolate it, and store all others."""
        first, second = rows.halves()
        first_moves, first_refused = await self._store(first, how)
        second_moves, second_refused = await self._store(second, how)
        return first_moves + second_moves, first_refused + second_refused

    async def _copy_or_merge(self, rows: TickRows, how: _How) -> list[MarketMove]:
        if not how.perhaps_stored:
            # A failed COPY is rolled back as a whole, so that a merge may follow.
            with suppress(errors.UniqueViolation, errors.DeadlockDetected):
                return await self._copy(rows, how)
        return await self._merge(rows, how)

    async def _copy(self, rows: TickRows, how: _How) -> list[MarketMove]:
        moves = rows.moves()
        if len(rows) <= FEW_ROWS and not how.ledger:
            (payload,) = encode_moves(moves)
            await run_prepared(
                self._conn, _INSERT_FEW, [*rows.arrays(), how.channel.encode(), payload.encode()]
            )
            return moves
        statements = [_COPY_TICKS, *announcing(how.channel, moves)]
        if how.ledger:
            async with self._conn.transaction():
                await enter(self._conn, self._daemon, how.ledger)
                await copy_in(self._conn, statements, rows.copy_data())
        else:
            await copy_in(self._conn, statements, rows.copy_data())
        return moves

    async def _merge(self, rows: TickRows, how: _How) -> list[MarketMove]:
        await self._conn.execute(_MAKE_STAGING)
        for attempt in range(STAGING_TRIES):
            try:
                async with self._conn.transaction():
                    return await self._merge_once(rows, how)
            except errors.DeadlockDetected:
                await asyncio.sleep(0.01 * 2**attempt)
        raise WarehouseUnavailable(f"storing {len(rows)} trades ran into {STAGING_TRIES} deadlocks in a row")

    async def _merge_once(self, rows: TickRows, how: _How) -> list[MarketMove]:
        if how.ledger:
            await enter(self._conn, self._daemon, how.ledger)
        await copy_in(self._conn, [_COPY_STAGING], rows.copy_data())
        cursor = await self._conn.execute(_FROM_STAGING)
        new = {(market_id, trade_id) for market_id, trade_id in await cursor.fetchall()}
        keys = zip(rows.market_id.tolist(), rows.trade_id.tolist(), strict=True)
        moves = rows.where(np.fromiter((key in new for key in keys), np.bool_, len(rows))).moves()
        for statement in announcing(how.channel, moves):
            await self._conn.execute(statement.encode())
        return moves

    async def _reject(self, rows: TickRows, reason: str) -> None:
        for index in range(len(rows)):
            trade = _describe(rows, index)
            market_id = trade.pop("market_id")
            await self._conn.execute(_REJECT, (market_id, Jsonb(trade), reason))

    async def _ensure_days(self, rows: TickRows) -> None:
        days = rows.days()
        if days.keys() <= self._days:
            return
        await ensure_tick_days(self._conn, days.values())
        self._days |= days.keys()

    async def _plausible(self, rows: TickRows) -> TickRows:
        """The rows with plausible times. Any other would create a partition for its day."""
        latest_us = now_us() + DAY_US
        if not len(rows) or (rows.span_us[0] >= FIRST_TRADE_US and rows.span_us[1] < latest_us):
            return rows
        is_plausible = (rows.ts_us >= FIRST_TRADE_US) & (rows.ts_us < latest_us)
        wrong = rows.where(~is_plausible)
        log.error("trades with impossible times were refused", count=len(wrong), **_describe(wrong))
        await self._reject(wrong, "impossible time")
        return rows.where(is_plausible)

    def _unseen(self, rows: TickRows) -> TickRows:
        """The first row of each key, without recently stored ids."""
        unseen = rows.first_of_each()
        for market_id, where in rows.by_market():
            repeated = self._recent[market_id].among(rows.trade_id[where])
            if repeated:
                unseen[where] &= np.isin(rows.trade_id[where], list(repeated), invert=True)
        return rows.where(unseen)


class _RecentIds:
    """An exact set of recent ids of a market: at least the last RECENT_IDS."""

    def __init__(self) -> None:
        self._newer: set[int] = set()
        self._older: set[int] = set()
        self._greatest = -1

    def among(self, ids: NDArray[np.int64]) -> set[int]:
        """Those of ``ids``, which are sorted, that are in the window."""
        if ids[0] > self._greatest:
            return set()
        return {i for i in ids.tolist() if i in self._newer or i in self._older}

    def add(self, ids: NDArray[np.int64]) -> None:
        """``ids`` are sorted."""
        self._newer.update(ids.tolist())
        self._greatest = max(self._greatest, int(ids[-1]))
        if len(self._newer) >= RECENT_IDS:
            self._older, self._newer = self._newer, set()


async def ensure_days_ahead(conn: AsyncConnection) -> None:
    """Create the partitions of today and tomorrow, so that no commit has to at midnight."""
    today = utc_day(now_us())
    await ensure_tick_days(conn, (today, today + timedelta(days=1)))


def _describe(rows: TickRows, index: int = 0) -> dict[str, object]:
    return {
        "market_id": int(rows.market_id[index]),
        "trade_id": int(rows.trade_id[index]),
        "ts_us": int(rows.ts_us[index]),
        "price": float(rows.price[index]),
        "amount": float(rows.amount[index]),
    }

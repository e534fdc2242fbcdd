"""Collection of candles as plain async functions: fetch the missing ranges and store them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

import msgspec
from psycopg import AsyncConnection

from coinwatch.errors import BadMessage, Fatal, Retryable
from coinwatch.intervals import Interval
from coinwatch.records import Market
from coinwatch.times import now_us
from coinwatch.windows import Window, subtract
from sources.candles import Fetched, NoLongerServed, fetch_candles
from sources.exchanges import EXCHANGES
from sources.exchanges.base import Exchange
from sources.http import HttpSource
from warehouse.candles.coverage import give_up, missing, want
from warehouse.candles.from_trades import candles_from_ticks
from warehouse.candles.rows import CandleRows
from warehouse.candles.store import Stored, store_rows
from warehouse.markets import ensure_markets, is_active

MARKETS_AT_ONCE = 4
"""Markets of one exchange fetched concurrently, which hides the latency of answers. The budget limits the
rate of requests."""

PROGRESS_EVERY_S = 10.0

Log = Callable[[str], None]


class Piece(msgspec.Struct, frozen=True):
    """A span the exchange answered for, stored."""

    window: Window
    candles: int
    stored: Stored


class MarketFill(msgspec.Struct):
    """The result of filling the missing ranges of one market."""

    market: Market
    requested: list[Window]
    """The ranges that were missing."""
    pieces: list[Piece] = []
    """The spans stored."""
    unavailable: list[NoLongerServed] = []
    """Spans the exchange no longer serves, which are not requested again."""
    from_ticks: int = 0
    """The number of candles built from stored trades in unavailable spans."""
    errors: list[str] = []

    @property
    def still_missing(self) -> list[Window]:
        """The ranges neither stored nor unavailable."""
        stored = [piece.window for piece in self.pieces]
        return subtract(self.requested, stored + [span.window for span in self.unavailable])


class Fill(msgspec.Struct, frozen=True):
    """The result of a collection of candles, by market."""

    interval: Interval
    window: Window
    markets: list[MarketFill]


async def collect_candles(
    conn: AsyncConnection[Any],
    clients: Mapping[str, HttpSource],
    markets: Sequence[Market],
    window: Window,
    log: Log = lambda line: None,
) -> Fill:
    """Complete the 1m candles of ``window``: fetch the missing ranges and store each piece as it arrives.

    Args:
        conn: To the warehouse, in autocommit.
        clients: The REST clients by exchange.
        markets: The markets to complete.
        window: The span to complete, which must be closed.
        log: Receives lines of progress.

    Returns:
        The results by market. A market that fails keeps what it got, and does not affect the others.

    Raises:
        WarehouseError: Postgres failed.
    """
    ids = await ensure_markets(
        conn, {market: EXCHANGES[market.exchange].native(market) for market in markets}
    )
    await want(conn, ids.values(), window)
    missing_by_id = await missing(conn, ids.values(), Interval.M1, window)
    fills = [MarketFill(market, missing_by_id.get(ids[market], [])) for market in sorted(markets)]
    store = _Store(conn, ids, _Progress(fills, log))
    try:
        async with asyncio.TaskGroup() as tasks:
            for name, of_exchange in groupby(fills, key=lambda fill: fill.market.exchange):
                source = _Source(EXCHANGES[name], clients[name])
                for fill in of_exchange:
                    if fill.requested:
                        fetching = _fetch_market(fill, source, store, log)
                        tasks.create_task(fetching, name=f"candles of {fill.market}")
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from group
    return Fill(Interval.M1, window, fills)


class _Progress:
    """Logs the progress of a collection every few seconds."""

    def __init__(self, fills: Sequence[MarketFill], log: Log) -> None:
        self._total = sum(window.length_us for fill in fills for window in fill.requested) // Interval.M1.us
        self._done = 0
        self._log = log
        self._logged_s = time.monotonic()

    def add(self, window: Window) -> None:
        """Count a finished span."""
        self._done += window.length_us // Interval.M1.us
        if time.monotonic() - self._logged_s > PROGRESS_EVERY_S:
            self._logged_s = time.monotonic()
            share = min(self._done / max(self._total, 1), 1)
            self._log(f"{share:.0%} done: {self._done:,} of {self._total:,} minutes")


class _Store:
    """Stores fetched pieces, one transaction at a time on one connection."""

    def __init__(self, conn: AsyncConnection[Any], ids: Mapping[Market, int], progress: _Progress) -> None:
        self._conn, self._ids, self._progress = conn, ids, progress
        self._turn = asyncio.Lock()

    async def add(self, fill: MarketFill, fetched: Fetched) -> None:
        """Store a piece with its coverage, or record it as unavailable; note it in ``fill``."""
        market_id = self._ids[fill.market]
        if isinstance(fetched, NoLongerServed):
            async with self._turn:
                fill.from_ticks += await candles_from_ticks(self._conn, [market_id], fetched.window)
                await give_up(self._conn, market_id, Interval.M1, [fetched.window])
            fill.unavailable.append(fetched)
        else:
            rows = CandleRows.of(fetched.candles)  # encoded while Postgres stores another piece
            async with self._turn:
                stored = await store_rows(self._conn, market_id, Interval.M1, rows, [fetched.window])
            fill.pieces.append(Piece(fetched.window, len(rows), stored))
        self._progress.add(fetched.window)

    async def is_delisted(self, market: Market) -> bool:
        """Whether the market left its exchange's list."""
        async with self._turn:
            return not await is_active(self._conn, self._ids[market])


class _Source:
    """One exchange, its client, and the state shared by its markets."""

    def __init__(self, exchange: Exchange, client: HttpSource) -> None:
        self.exchange, self.client = exchange, client
        self.slots = asyncio.Semaphore(MARKETS_AT_ONCE)
        self.unanswered = 0
        """Consecutive markets without an answer, to stop requests when the exchange is down."""


async def _fetch_market(fill: MarketFill, source: _Source, store: _Store, log: Log) -> None:
    async with source.slots:
        await _fetch(fill, source, store)
    log(outcome(fill))


async def _fetch(fill: MarketFill, source: _Source, store: _Store) -> None:
    exchange = source.exchange
    if source.unanswered >= MARKETS_AT_ONCE:
        fill.errors.append(f"{exchange.name}: skipped after {source.unanswered} markets without an answer")
        return
    for span in reversed(spans_to_fetch(exchange, fill.requested, now_us())):  # the newest matter most
        try:
            async for fetched in fetch_candles(exchange, source.client, fill.market, Interval.M1, span):
                source.unanswered = 0
                await store.add(fill, fetched)
        except BadMessage as error:  # this span is bad; another may be good
            fill.errors.append(str(error))
        except Fatal as error:
            if not await store.is_delisted(fill.market):
                fill.errors.append(str(error))
                return
            for window in fill.still_missing:
                await store.add(fill, NoLongerServed(window, f"delisted: {error}"))
            return
        except Retryable as error:
            source.unanswered += 1
            fill.errors.append(str(error))
            return


def spans_to_fetch(exchange: Exchange, missing: Sequence[Window], now_us: int) -> list[Window]:
    """Join neighbouring missing ranges that one request covers; ``missing`` must be ordered.

    Fetching the candles between them again is free. Ranges that must be built from trades are not joined,
    because all trades between them would have to be fetched.
    """
    reach_us = exchange.candles_per_request * Interval.M1.us
    served_us = 0
    if exchange.candles_depth is not None:
        served_us = now_us - exchange.candles_depth * Interval.M1.us
    joined: list[Window] = []
    for window in missing:
        last = joined[-1] if joined else None
        if last and last.start_us >= served_us and window.end_us - last.start_us <= reach_us:
            joined[-1] = Window(last.start_us, window.end_us)
        else:
            joined.append(window)
    return joined


def outcome(fill: MarketFill) -> str:
    """The result of one market as a line of the run's log."""
    inserted = sum(piece.stored.inserted for piece in fill.pieces)
    line = f"{fill.market}: {inserted} candles stored; missing ranges: {len(fill.requested)} before"
    line = f"{line}, {len(fill.still_missing)} now"
    for span in fill.unavailable[:1]:
        line += f"; {span.reason}: {fill.from_ticks} candles built from stored trades instead"
    return line + (f"; {fill.errors[-1]}" if fill.errors else "")

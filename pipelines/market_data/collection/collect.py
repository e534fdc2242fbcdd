"""Collection as plain async functions: what is missing, fetched and stored. Knows nothing of Dagster."""

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
from warehouse.candles.store import Stored, store
from warehouse.markets import ensure_markets, is_active

MARKETS_AT_ONCE = 4
"""Markets of one exchange fetched side by side: enough to hide the wait for answers. How often the
exchange is asked is the budget's business."""

PROGRESS_EVERY_S = 10.0

Log = Callable[[str], None]


class Piece(msgspec.Struct, frozen=True):
    """A span the exchange answered for, now stored."""

    window: Window
    candles: int
    stored: Stored


class MarketFill(msgspec.Struct):
    """What one market lacked, and what became of it."""

    market: Market
    asked: list[Window]
    pieces: list[Piece] = []
    gone: list[NoLongerServed] = []
    """Spans nobody can have any more; not asked for again."""
    from_ticks: int = 0
    """Candles made of our own trades where the exchange has none any more."""
    errors: list[str] = []

    @property
    def still_missing(self) -> list[Window]:
        had = [piece.window for piece in self.pieces]
        return subtract(self.asked, had + [gone.window for gone in self.gone])


class Fill(msgspec.Struct, frozen=True):
    """What a collection of candles did, market by market."""

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
    """Make the 1m candles of ``window`` complete for ``markets``: fetch what is missing, store each piece
    as it arrives.

    ``clients`` are the REST clients by exchange. A market that fails keeps what it got and the
    others go on; its errors are in the answer. What Postgres refuses is raised.
    """
    ids = await ensure_markets(
        conn, {market: EXCHANGES[market.exchange].native(market) for market in markets}
    )
    await want(conn, ids.values(), window)
    holes = await missing(conn, ids.values(), Interval.M1, window)
    fills = [MarketFill(market, holes.get(ids[market], [])) for market in sorted(markets)]
    keeper = _Keeper(conn, ids, _Progress(fills, log))
    try:
        async with asyncio.TaskGroup() as tasks:
            for name, of_exchange in groupby(fills, key=lambda one: one.market.exchange):
                turns = _Turns(EXCHANGES[name], clients[name])
                for one in of_exchange:
                    if one.asked:
                        tasks.create_task(_in_turn(one, turns, keeper, log), name=f"candles of {one.market}")
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from group
    return Fill(Interval.M1, window, fills)


class _Progress:
    """Says every few seconds how far a collection is."""

    def __init__(self, fills: Sequence[MarketFill], log: Log) -> None:
        self._asked = sum(window.length_us for fill in fills for window in fill.asked) // Interval.M1.us
        self._done = 0
        self._log = log
        self._said_s = time.monotonic()

    def add(self, window: Window) -> None:
        self._done += window.length_us // Interval.M1.us
        if time.monotonic() - self._said_s > PROGRESS_EVERY_S:
            self._said_s = time.monotonic()
            share = min(self._done / max(self._asked, 1), 1)
            self._log(f"{share:.0%} done: {self._done:,} of {self._asked:,} minutes asked for are there")


class _Keeper:
    """Stores what was fetched; transactions on one connection take turns."""

    def __init__(self, conn: AsyncConnection[Any], ids: Mapping[Market, int], progress: _Progress) -> None:
        self._conn, self._ids, self._progress = conn, ids, progress
        self._turn = asyncio.Lock()

    async def keep(self, this: MarketFill, fetched: Fetched) -> None:
        market_id = self._ids[this.market]
        async with self._turn:
            if isinstance(fetched, NoLongerServed):
                this.from_ticks += await candles_from_ticks(self._conn, [market_id], fetched.window)
                await give_up(self._conn, market_id, Interval.M1, [fetched.window])
                this.gone.append(fetched)
            else:
                stored = await store(self._conn, market_id, Interval.M1, fetched.candles, [fetched.window])
                this.pieces.append(Piece(fetched.window, len(fetched.candles), stored))
        self._progress.add(fetched.window)

    async def is_delisted(self, market: Market) -> bool:
        async with self._turn:
            return not await is_active(self._conn, self._ids[market])


class _Turns:
    """Whose turn it is at one exchange."""

    def __init__(self, exchange: Exchange, client: HttpSource) -> None:
        self.exchange, self.client = exchange, client
        self.slots = asyncio.Semaphore(MARKETS_AT_ONCE)
        self.unanswered = 0
        """Markets in a row that got no answer: when an exchange is down, not all need to wait for it."""


async def _in_turn(this: MarketFill, turns: _Turns, keeper: _Keeper, log: Log) -> None:
    async with turns.slots:
        await _fill(this, turns, keeper)
    log(outcome(this))


async def _fill(this: MarketFill, turns: _Turns, keeper: _Keeper) -> None:
    exchange = turns.exchange
    if turns.unanswered >= MARKETS_AT_ONCE:
        this.errors.append(f"{exchange.name}: not asked, as {turns.unanswered} markets got no answer")
        return
    for span in reversed(spans_to_ask(exchange, this.asked, now_us())):  # people look at the newest
        try:
            async for fetched in fetch_candles(exchange, turns.client, this.market, Interval.M1, span):
                turns.unanswered = 0
                await keeper.keep(this, fetched)
        except BadMessage as error:  # this span is bad; another may be good
            this.errors.append(str(error))
        except Fatal as error:
            if not await keeper.is_delisted(this.market):
                this.errors.append(str(error))
                return
            for hole in this.still_missing:
                await keeper.keep(this, NoLongerServed(hole, f"delisted: {error}"))
            return
        except Retryable as error:
            turns.unanswered += 1
            this.errors.append(str(error))
            return


def spans_to_ask(exchange: Exchange, holes: Sequence[Window], now_us: int) -> list[Window]:
    """``holes``, ordered, with neighbours joined where one request gets both.

    What lies between is fetched again, and costs nothing. Where candles have to be made of trades
    each hole stays alone, since every trade between two would have to be fetched.
    """
    reach_us = exchange.candles_per_request * Interval.M1.us
    served_us = 0
    if exchange.candles_depth is not None:
        served_us = now_us - exchange.candles_depth * Interval.M1.us
    joined: list[Window] = []
    for hole in holes:
        last = joined[-1] if joined else None
        if last and last.start_us >= served_us and hole.end_us - last.start_us <= reach_us:
            joined[-1] = Window(last.start_us, hole.end_us)
        else:
            joined.append(hole)
    return joined


def outcome(this: MarketFill) -> str:
    """One line on a market, for the run's log."""
    inserted = sum(piece.stored.inserted for piece in this.pieces)
    line = f"{this.market}: {inserted} candles stored; ranges missing before: {len(this.asked)}"
    line = f"{line}, now: {len(this.still_missing)}"
    for gone in this.gone[:1]:
        line += f"; {gone.reason}: {this.from_ticks} candles are of our own trades instead"
    return line + (f"; {this.errors[-1]}" if this.errors else "")

"""Collection as plain async functions: what is missing, fetched and stored. Knows nothing of Dagster."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

import msgspec
from psycopg import AsyncConnection

from coinwatch.errors import BadMessage, Fatal, Retryable, SourceError
from coinwatch.intervals import Interval
from coinwatch.records import Market
from coinwatch.windows import Window, subtract
from sources.candles import FetchedWindow, fetch_candles
from sources.exchanges import EXCHANGES
from sources.http import HttpSource
from warehouse.candles import Stored, missing, store
from warehouse.markets import ensure_markets, upsert_instruments

MARKETS_AT_ONCE = 4
"""Markets of one exchange fetched side by side: enough to hide the wait for answers. How often the
exchange is asked is the budget's business."""

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
    errors: list[str] = []

    @property
    def still_missing(self) -> list[Window]:
        return subtract(self.asked, [piece.window for piece in self.pieces])


class Fill(msgspec.Struct, frozen=True):
    """What a collection of candles did, market by market."""

    interval: Interval
    window: Window
    markets: list[MarketFill]


async def collect_candles(
    conn: AsyncConnection[Any],
    clients: Mapping[str, HttpSource],
    markets: Sequence[Market],
    interval: Interval,
    window: Window,
    log: Log = lambda line: None,
) -> Fill:
    """Make ``window`` complete for ``markets``: fetch what is missing, store each piece as it arrives.

    ``clients`` are the REST clients by exchange. A market that fails keeps what it got and the
    others go on; its errors are in the answer. What Postgres refuses is raised.
    """
    ids = await ensure_markets(
        conn, {market: EXCHANGES[market.exchange].native(market) for market in markets}
    )
    holes = await missing(conn, ids.values(), interval, window)
    fills = [MarketFill(market, holes.get(ids[market], [])) for market in sorted(markets)]
    writing = asyncio.Lock()  # transactions on one connection take turns

    async def save(market: Market, fetched: FetchedWindow) -> Piece:
        async with writing:
            stored = await store(conn, ids[market], interval, fetched.candles, [fetched.window])
        return Piece(fetched.window, len(fetched.candles), stored)

    async def fill(this: MarketFill, turns: _Turns) -> None:
        async with turns.slots:
            await _fill(this, clients[this.market.exchange], interval, turns, save)
        log(outcome(this))

    try:
        async with asyncio.TaskGroup() as tasks:
            for _, of_exchange in groupby(fills, key=lambda one: one.market.exchange):
                turns = _Turns()
                for one in of_exchange:
                    if one.asked:
                        tasks.create_task(fill(one, turns), name=f"candles of {one.market}")
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from group
    return Fill(interval, window, fills)


class _Turns:
    """Whose turn it is at one exchange."""

    def __init__(self) -> None:
        self.slots = asyncio.Semaphore(MARKETS_AT_ONCE)
        self.unanswered = 0
        """Markets in a row that got no answer: when an exchange is down, not all need to wait for it."""


async def _fill(
    this: MarketFill,
    client: HttpSource,
    interval: Interval,
    turns: _Turns,
    save: Callable[[Market, FetchedWindow], Awaitable[Piece]],
) -> None:
    exchange = EXCHANGES[this.market.exchange]
    if turns.unanswered >= MARKETS_AT_ONCE:
        this.errors.append(f"{exchange.name}: not asked, as {turns.unanswered} markets got no answer")
        return
    for hole in reversed(this.asked):  # the newest candles are those that people look at
        try:
            async for fetched in fetch_candles(exchange, client, this.market, interval, hole):
                turns.unanswered = 0
                this.pieces.append(await save(this.market, fetched))
        except BadMessage as error:  # this span is bad; another may be good
            this.errors.append(str(error))
        except Fatal as error:
            this.errors.append(str(error))
            return
        except Retryable as error:
            turns.unanswered += 1
            this.errors.append(str(error))
            return


def outcome(this: MarketFill) -> str:
    """One line on a market, for the run's log."""
    inserted = sum(piece.stored.inserted for piece in this.pieces)
    line = f"{this.market}: {inserted} candles stored; ranges missing before: {len(this.asked)}"
    return f"{line}, now: {len(this.still_missing)}" + (f"; {this.errors[-1]}" if this.errors else "")


class InstrumentLists(msgspec.Struct, frozen=True):
    """What asking exchanges for their markets gave."""

    counts: dict[str, tuple[int, int, int]]
    """By exchange: markets listed, new ones, changed ones."""
    errors: dict[str, str]


async def collect_instruments(
    conn: AsyncConnection[Any], clients: Mapping[str, HttpSource]
) -> InstrumentLists:
    """Ask every exchange for its markets and store them. One that fails does not stop the others."""
    counts: dict[str, tuple[int, int, int]] = {}
    errors: dict[str, str] = {}
    writing = asyncio.Lock()

    async def ask(name: str, client: HttpSource) -> None:
        exchange = EXCHANGES[name]
        try:
            answer = await client.get(exchange.instruments_request())
            instruments = exchange.decode_instruments(answer.body)
        except SourceError as error:
            errors[name] = str(error)
            return
        async with writing:
            new, changed = await upsert_instruments(conn, instruments)
        counts[name] = (len(instruments), new, changed)

    async with asyncio.TaskGroup() as tasks:
        for name, client in clients.items():
            tasks.create_task(ask(name, client), name=f"markets of {name}")
    return InstrumentLists(dict(sorted(counts.items())), dict(sorted(errors.items())))

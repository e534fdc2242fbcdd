"""Comparison of days of candles with the exchange's own candle of the day, down to the minute."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from itertools import groupby
from typing import Any

import msgspec
from psycopg import AsyncConnection

from coinwatch.errors import SourceError
from coinwatch.intervals import Interval
from coinwatch.records import Candle, Market
from coinwatch.times import DAY_US, day_start_us, now_us
from coinwatch.windows import Window
from sources.candles import FetchedWindow, fetch_candles
from sources.exchanges import EXCHANGES
from sources.exchanges.base import Exchange
from sources.http import HttpSource
from warehouse.candles.checks import DayCheck, State, fold, is_covered, price_steps, store_check
from warehouse.candles.store import store
from warehouse.markets import ensure_markets

VOLUME_TOLERANCE = 0.001
_FINER = (Interval.D1, Interval.H4, Interval.H1, Interval.M15, Interval.M5)


class Difference(msgspec.Struct, frozen=True):
    """A candle that differs from the exchange's own."""

    open_ts_us: int
    ours: Candle | None
    theirs: Candle | None

    def to_dict(self) -> dict[str, Any]:
        """As stored in ``candle_checks.detail``."""
        return {"open_ts_us": self.open_ts_us, "ours": _numbers(self.ours), "theirs": _numbers(self.theirs)}


def differences(
    ours: Sequence[Candle], theirs: Sequence[Candle], price_step: float | None
) -> list[Difference]:
    """The candles that differ by more than a price step, or 0.1 % of the volume, or exist on one side only.

    When the price step is unknown, prices may differ by a millionth.
    """
    by_time = {candle.open_ts_us: candle for candle in ours}
    others = {candle.open_ts_us: candle for candle in theirs}
    return [
        Difference(ts_us, by_time.get(ts_us), others.get(ts_us))
        for ts_us in sorted(by_time.keys() | others.keys())
        if not _agree(by_time.get(ts_us), others.get(ts_us), price_step)
    ]


def _agree(ours: Candle | None, theirs: Candle | None, price_step: float | None) -> bool:
    if ours is None or theirs is None:
        return False
    step = price_step if price_step is not None else theirs.close * 1e-6
    prices = zip(_prices(ours), _prices(theirs), strict=True)
    return all(abs(our - their) <= step * (1 + 1e-9) for our, their in prices) and (
        abs(ours.volume - theirs.volume) <= VOLUME_TOLERANCE * max(ours.volume, theirs.volume)
    )


def _prices(candle: Candle) -> tuple[float, float, float, float]:
    return candle.open, candle.high, candle.low, candle.close


def _numbers(candle: Candle | None) -> list[float] | None:
    return None if candle is None else [*_prices(candle), candle.volume]


async def verify_days(
    conn: AsyncConnection[Any],
    clients: Mapping[str, HttpSource],
    markets: Sequence[Market],
    days: Sequence[date],
    log: Callable[[str], None] = lambda line: None,
) -> tuple[dict[tuple[Market, date], DayCheck], list[str]]:
    """Compare each complete day, fetch differing minutes again, and store the results.

    Args:
        conn: To the warehouse, in autocommit.
        clients: The REST clients by exchange.
        markets: The markets to check.
        days: The UTC days to check.
        log: Receives a line for each day that is not the same.

    Returns:
        The results by market and day, and the errors of days that exchanges did not answer for.
    """
    ids = await ensure_markets(
        conn, {market: EXCHANGES[market.exchange].native(market) for market in markets}
    )
    steps = await price_steps(conn, ids.values())
    checks: dict[tuple[Market, date], DayCheck] = {}
    errors: list[str] = []
    turn = asyncio.Lock()  # all tasks share one connection

    async def check_exchange(name: str, its_markets: list[Market]) -> None:
        for market in its_markets:
            checker = _MarketChecker(
                conn, turn, clients[name], EXCHANGES[name], market, ids[market], steps[ids[market]]
            )
            for day in days:
                try:
                    check = await checker.check(day)
                except SourceError as error:
                    errors.append(f"{market}, {day}: {error}")
                    continue
                async with turn:
                    await store_check(conn, check)
                checks[market, day] = check
                if check.state != "same":
                    log(f"{market}, {day}: {check.state}, {check.repaired} minutes corrected")

    async with asyncio.TaskGroup() as tasks:
        for name, its_markets in groupby(sorted(markets), key=lambda market: market.exchange):
            tasks.create_task(check_exchange(name, list(its_markets)), name=f"check of {name}")
    return checks, errors


class _MarketChecker:
    """Checks days of one market."""

    def __init__(
        self,
        conn: AsyncConnection[Any],
        turn: asyncio.Lock,
        client: HttpSource,
        exchange: Exchange,
        market: Market,
        market_id: int,
        price_step: float | None,
    ) -> None:
        self._conn, self._turn, self._client = conn, turn, client
        self._exchange, self._market, self._market_id = exchange, market, market_id
        self._price_step = price_step

    async def check(self, day: date) -> DayCheck:
        """Compare a day, and correct minutes that differ. Raises SourceError."""
        window = Window(day_start_us(day), day_start_us(day) + DAY_US)
        async with self._turn:
            is_whole = await is_covered(self._conn, self._market_id, window)
        served = [interval for interval in _FINER if self._serves(interval, window)]
        if not (is_whole and served):
            why = (
                "the exchange no longer serves longer candles of that day"
                if is_whole
                else "the day is not fully covered"
            )
            return DayCheck(self._market_id, day, "incomplete", detail={"why": why})
        first = await self._differences(served[0], window)
        if not first:
            return DayCheck(self._market_id, day, "same")
        bad = [Window(candle.open_ts_us, candle.open_ts_us + served[0].us) for candle in first]
        for finer in served[1:]:
            bad = [
                Window(candle.open_ts_us, candle.open_ts_us + finer.us)
                for span in bad
                for candle in await self._differences(finer, span)
            ]
        repaired = sum([await self._refetch(span) for span in bad])
        left = await self._differences(served[0], window)
        state: State = "differs" if left else "repaired"
        detail = {
            "interval": served[0].value,
            "before": [difference.to_dict() for difference in first],
            "after": [difference.to_dict() for difference in left],
        }
        return DayCheck(self._market_id, day, state, repaired, detail)

    def _serves(self, interval: Interval, window: Window) -> bool:
        """Whether the exchange still serves candles of ``interval`` from the start of ``window``."""
        depth = self._exchange.candles_depth
        oldest_us = 0 if depth is None else now_us() - (depth - 1) * interval.us
        return interval in self._exchange.intervals and window.start_us > oldest_us

    async def _differences(self, interval: Interval, window: Window) -> list[Difference]:
        theirs = await self._theirs(interval, window)
        async with self._turn:
            ours = await fold(self._conn, self._market, self._market_id, interval, window)
        return differences(ours, theirs, self._price_step)

    async def _theirs(self, interval: Interval, window: Window) -> list[Candle]:
        pieces = fetch_candles(self._exchange, self._client, self._market, interval, window)
        return [
            candle async for piece in pieces if isinstance(piece, FetchedWindow) for candle in piece.candles
        ]

    async def _refetch(self, window: Window) -> int:
        """Fetch and store the minutes of ``window`` again; returns the number of changed candles."""
        changed = 0
        pieces = fetch_candles(self._exchange, self._client, self._market, Interval.M1, window)
        async for piece in pieces:
            if isinstance(piece, FetchedWindow):
                async with self._turn:
                    stored = await store(
                        self._conn, self._market_id, Interval.M1, piece.candles, [piece.window]
                    )
                changed += stored.inserted + stored.revised + stored.withdrawn
        return changed

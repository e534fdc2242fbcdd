"""What a rule would have done: the engine that evaluates it live, played over what is stored.

Trades are played one by one where they are stored, except those at prices that cannot change the rule.
Where they are not stored, 1m candles stand in for them: see ``candle_trades``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from math import inf

import msgspec
from psycopg import AsyncConnection

from app.alerts.evaluation.backtest_inputs import Inputs, NoHistory, read_inputs, refuse_unstored
from app.alerts.evaluation.coverage import Basis, CoveredSpan, combined, holds
from coinwatch.alerts import Firing, NewRule, Rule, leaves
from coinwatch.alerts import conditions as c
from coinwatch.records import Trade
from coinwatch.times import MINUTE_US
from coinwatch.windows import Window
from warehouse.alerts.candle_history import Bar, bars
from warehouse.alerts.history import last_prices
from warehouse.alerts.snapshots import consistent_reads
from warehouse.alerts.trade_history import TradedMinute, TradeRow, first_beyond, traded_minutes, trades_within

__all__ = ["Backtested", "NoHistory", "preview"]

BATCH_TRADES = 10_000
"""About so many trades are read at a time."""
BREATH_TRADES = 250
"""After so many trades other tasks of the process run."""
SEARCHES = 50
"""How often a day is searched for the next price that matters, before it is read minute by minute."""

Range = tuple[float, float, float]


class Backtested(msgspec.Struct, frozen=True):
    """When a rule would have fired in ``window``, and what that is known from."""

    window: Window
    firings: list[Firing]
    """In the order of their times."""
    trades: int
    """How many trades were examined."""
    candles: int
    """How many 1m candles stood in for trades."""
    coverage: list[CoveredSpan]
    """The basis of each span of ``window``, in order; empty where the rule needs no market data."""
    paused: bool
    """Whether the rule would have been paused, for firing too often."""

    @property
    def is_complete(self) -> bool:
        """Whether something is stored of every span."""
        return all(span.by is not Basis.NOTHING for span in self.coverage)


async def preview(conn: AsyncConnection, asked: NewRule, window: Window) -> Backtested:
    """Backtest a rule over the trades, averages and candles that are stored of ``window``.

    Times are those of the exchanges, also where a live rule goes by the database's clock.

    Args:
        conn: In autocommit mode.
        asked: The rule, as if it was made at the start of ``window``.
        window: At most 31 days.

    Raises:
        NoHistory: The past of one of its conditions is not stored.
    """
    refuse_unstored(asked.condition)
    rule = Rule(id=0, created_at_us=window.start_us, **msgspec.structs.asdict(asked))
    async with consistent_reads(conn):
        inputs = await read_inputs(conn, rule, window)
        play = _Play(conn, rule, inputs)
        await play.run(window)
    coverage = combined(window, inputs.sources)
    return Backtested(window, play.firings, play.trades, play.candles, coverage, play.paused)


class _Play:
    """Plays the trades and candles of a window on a timeline."""

    def __init__(self, conn: AsyncConnection, rule: Rule, inputs: Inputs) -> None:
        self.firings: list[Firing] = []
        self.paused = False
        self.trades = self.candles = 0
        self._conn = conn
        self._inputs = inputs
        self._engine = inputs.engine
        self._timeline = inputs.timeline
        self._series = {
            market_id: inputs.engine.market_state.markets[market_id] for market_id in inputs.market_ids
        }
        self._is_upward = is_upward(rule.condition)
        self._needs_every_trade = inputs.engine.needs_every_trade(rule.symbol)
        self._counted_us = 0
        """Trades before this time are counted."""
        self._batch: Sequence[TradeRow] = ()
        self._batch_at = 0
        self._batch_end_us = 0
        self._since_breath = 0

    async def run(self, window: Window) -> None:
        if self._series:
            for day in window.days():
                if not len(self._engine):
                    return
                await self._play_day(day)
        self._timeline.advance(window.end_us)
        self._collect()

    async def _play_day(self, day: Window) -> None:
        position_us = day.start_us
        has_candles = any(
            part.intersect(day) for windows in self._inputs.candles.values() for part in windows
        )
        if not has_candles:
            position_us = max(position_us, self._inputs.trades_since_us)
            if position_us < day.end_us:
                position_us = await self._search(Window(position_us, day.end_us))
        if position_us < day.end_us and len(self._engine):
            await self._play_minutes(Window(position_us, day.end_us))

    async def _search(self, day: Window) -> int:
        """Play up to a time, which is returned: from there on reading minute by minute takes less."""
        position_us = day.start_us
        for _ in range(SEARCHES):
            if position_us >= day.end_us or not len(self._engine):
                break
            self._timeline.advance(position_us)
            ranges = self._quiet_ranges()
            until_us = min(range_[2] for range_ in ranges.values())
            if self._needs_every_trade or -inf < until_us < day.end_us:
                break
            rest = Window(position_us, day.end_us)
            first_us = await self._first_beyond(rest, ranges)
            if until_us == -inf:  # the next trade matters, whatever its price
                first_us = position_us
            end_us = day.end_us if first_us is None else max(first_us // MINUTE_US * MINUTE_US, position_us)
            await self._skip(position_us, end_us)
            position_us = end_us
            if first_us is not None:
                minute = Window(end_us, min(end_us // MINUTE_US * MINUTE_US + MINUTE_US, day.end_us))
                await self._play(await trades_within(self._conn, list(self._series), minute))
                position_us = minute.end_us
        return position_us

    async def _first_beyond(self, window: Window, ranges: dict[int, Range]) -> int | None:
        first: list[int] = []
        for market_id, (falling, rising, _) in ranges.items():
            is_counted = window.end_us > self._counted_us
            count, first_us = await first_beyond(
                self._conn, market_id, window, falling, rising, is_counted=is_counted
            )
            self.trades += count
            if first_us is not None:
                first.append(first_us)
        self._counted_us = max(self._counted_us, window.end_us)
        return min(first, default=None)

    async def _skip(self, start_us: int, end_us: int) -> None:
        if start_us < end_us:
            for last in await last_prices(self._conn, list(self._series), end_us):
                if last.ts_us >= start_us:
                    self._timeline.skip_to(self._series[last.market_id], last.price, last.ts_us)

    async def _play_minutes(self, window: Window) -> None:
        candles = self._inputs.candles
        minutes: list[TradedMinute | Bar] = []
        since_us = max(window.start_us, self._inputs.trades_since_us)
        if since_us < window.end_us:
            minutes += [
                minute
                for minute in await traded_minutes(
                    self._conn, list(self._series), Window(since_us, window.end_us)
                )
                if not holds(candles[minute.market_id], minute.open_us)
            ]
        minutes += [
            bar
            for bar in await bars(self._conn, list(self._series), window)
            if holds(candles[bar.market_id], bar.open_us)
        ]
        minutes.sort(key=lambda minute: (minute.open_us, minute.market_id))
        self._batch_end_us = 0
        for at, minute in enumerate(minutes):
            if at and minutes[at - 1].open_us == minute.open_us:
                continue
            parts = [minute]
            while at + len(parts) < len(minutes) and minutes[at + len(parts)].open_us == minute.open_us:
                parts.append(minutes[at + len(parts)])
            self._count(parts)
            if not self._skips(parts, window):
                await self._play(await self._trades_of(minutes, at, parts, window))
            if not len(self._engine):
                return

    def _count(self, parts: Sequence[TradedMinute | Bar]) -> None:
        for part in parts:
            if isinstance(part, Bar):
                self.candles += 1
            elif part.last_us >= self._counted_us:
                self.trades += part.count

    def _skips(self, parts: Sequence[TradedMinute | Bar], window: Window) -> bool:
        """Skip a minute where its prices cannot change the rule; returns whether they cannot."""
        self._timeline.advance(max(parts[0].open_us, window.start_us))
        for part in parts:
            falling, rising, until_us = self._timeline.quiet_range(self._series[part.market_id])
            if not (falling < part.low and part.high < rising and _last_us(part) < until_us):
                return False
        for part in parts:
            last = part.close if isinstance(part, Bar) else part.last
            self._timeline.skip_to(self._series[part.market_id], last, _last_us(part))
        return True

    async def _trades_of(
        self,
        minutes: Sequence[TradedMinute | Bar],
        at: int,
        parts: Sequence[TradedMinute | Bar],
        window: Window,
    ) -> Sequence[TradeRow]:
        """The trades of one minute, in order; of candles, those that stand for them."""
        traded = {part.market_id for part in parts if isinstance(part, TradedMinute)}
        stand_ins = [
            row
            for part in parts
            if isinstance(part, Bar)
            for row in candle_trades(part, is_upward=self._is_upward)
        ]
        if not traded:
            return sorted(stand_ins, key=_order)
        start_us = max(parts[0].open_us, window.start_us, self._inputs.trades_since_us)
        end_us = min(parts[0].open_us + MINUTE_US, window.end_us)
        if start_us >= self._batch_end_us:
            await self._read_batch(minutes, at, Window(start_us, window.end_us))
        while self._batch_at < len(self._batch) and self._batch[self._batch_at].ts_us < start_us:
            self._batch_at += 1
        first = self._batch_at
        while self._batch_at < len(self._batch) and self._batch[self._batch_at].ts_us < end_us:
            self._batch_at += 1
        rows = self._batch[first : self._batch_at]
        if len(traded) == len(self._series):
            return rows
        return sorted([*stand_ins, *(row for row in rows if row.market_id in traded)], key=_order)

    async def _read_batch(self, minutes: Sequence[TradedMinute | Bar], at: int, window: Window) -> None:
        """Read the trades from ``window.start_us`` on, of as many minutes as BATCH_TRADES fill."""
        count, end_us = 0, window.start_us + 1
        for minute in minutes[at:]:
            count += minute.count if isinstance(minute, TradedMinute) else 0
            if count > BATCH_TRADES and minute.open_us >= end_us:
                break
            end_us = min(minute.open_us + MINUTE_US, window.end_us)
        self._batch = await trades_within(self._conn, list(self._series), Window(window.start_us, end_us))
        self._batch_at, self._batch_end_us = 0, end_us

    async def _play(self, rows: Sequence[TradeRow]) -> None:
        """Play trades in order, except those that cannot change the rule."""
        ranges = self._quiet_ranges()
        skipped: dict[int, TradeRow] = {}
        for row in rows:
            falling, rising, until_us = ranges[row.market_id]
            if falling < row.price < rising and row.ts_us < until_us:
                skipped[row.market_id] = row
                continue
            self._skip_rows(skipped)
            series = self._series[row.market_id]
            assert series.market is not None  # noqa: S101  # only averages have none
            self._timeline.trade(
                series, Trade(series.market, row.trade_id, row.ts_us, row.price, row.amount, taker_buys=True)
            )
            if not self._needs_every_trade:
                ranges = self._quiet_ranges()
            self._since_breath += 1
            if self._since_breath >= BREATH_TRADES:
                self._since_breath = 0
                self._collect()
                if not len(self._engine):
                    return
                await asyncio.sleep(0)
        self._skip_rows(skipped)
        self._collect()
        await asyncio.sleep(0)

    def _skip_rows(self, skipped: dict[int, TradeRow]) -> None:
        for market_id, row in skipped.items():
            self._timeline.skip_to(self._series[market_id], row.price, row.ts_us)
        skipped.clear()

    def _quiet_ranges(self) -> dict[int, Range]:
        return {market_id: self._timeline.quiet_range(series) for market_id, series in self._series.items()}

    def _collect(self) -> None:
        for change in self._engine.drain():
            self.firings += change.firings
            self.paused = change.after.state.paused


def candle_trades(bar: Bar, *, is_upward: bool | None) -> list[TradeRow]:
    """A candle as four trades: its open, its extremes and its close, a third of a minute apart.

    How the price went within a candle is not stored. The worst case is assumed: the order of the extremes
    that makes the rule fire, if any does. That is the low first for a rule that waits for higher prices
    (``is_upward``), the high first for one that waits for lower ones, and for others (None) the extreme
    against the direction of the candle.
    """
    low_first = bar.close >= bar.open if is_upward is None else is_upward
    extremes = (bar.low, bar.high) if low_first else (bar.high, bar.low)
    return [
        TradeRow(
            min(bar.open_us + third * MINUTE_US // 3, bar.open_us + MINUTE_US - 1),
            bar.market_id,
            0,
            price,
            bar.volume / 4,
        )
        for third, price in enumerate((bar.open, *extremes, bar.close))
    ]


def is_upward(condition: c.Condition) -> bool | None:
    """Whether a condition waits for higher prices, or lower ones; None for both or neither."""
    ways = {_way(leaf) for leaf in leaves(condition)}
    return ways.pop() if len(ways) == 1 else None


def _way(leaf: c.Condition) -> bool | None:
    match leaf:
        case c.Above() | c.NewHigh() | c.Crosses(way=c.Way.UP) | c.Change(way=c.Move.RISE):
            return True
        case c.Below() | c.NewLow() | c.Crosses(way=c.Way.DOWN) | c.Change(way=c.Move.FALL):
            return False
        case _:
            return None


def _last_us(part: TradedMinute | Bar) -> int:
    return part.open_us + MINUTE_US - 1 if isinstance(part, Bar) else part.last_us


def _order(row: TradeRow) -> tuple[int, int, int]:
    return row.ts_us, row.market_id, row.trade_id

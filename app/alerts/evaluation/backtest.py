"""What a rule would have done: the same engine over what is stored."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Sequence
from contextlib import aclosing
from operator import itemgetter
from typing import TypeAlias

import msgspec
from psycopg import AsyncConnection

from app.alerts.evaluation.polled_inputs import MOST_CLOSES, apply_close, candles_of, tell_failure
from app.alerts.evaluation.warm_up import warm_average, warm_prices, warm_windows
from app.alerts.rules.engine import RuleEngine
from coinwatch.alerts import Firing, NewRule, Rule, leaves
from coinwatch.alerts.conditions import compared_exchanges, declaration, needs_average, needs_events
from coinwatch.errors import CoinwatchError
from coinwatch.intervals import Interval
from coinwatch.records import Trade
from coinwatch.times import DAY_US, MINUTE_US
from coinwatch.windows import Window
from warehouse.alerts.candle_history import Bar, average_minutes, bars, trades_since_us
from warehouse.alerts.history import Close, averages_within, closes, stretch
from warehouse.alerts.job_failures import JobFailure, failures_within
from warehouse.alerts.snapshots import StoredTrade, one_view
from warehouse.markets import known_markets

MOST_TRADES = 1_000_000
"""So many trades are looked at, the first of the window."""
EXACT_AVERAGES_US = 2 * DAY_US
"""Where candles stand in for trades, earlier averages are looked at by the minute."""
MOST_CANDLES = 100_000
"""Longer stretches are looked at in coarser candles."""
BREATH_TRADES = 250
"""After so many trades others get their turn."""

_News: TypeAlias = tuple[int, Callable[[], None]]
"""When something other than a trade became known, and what tells it."""


class Previewed(msgspec.Struct, frozen=True):
    """When a rule would have fired in ``window``, the first time first."""

    window: Window
    firings: list[Firing]
    trades: int
    """How many trades were looked at."""
    is_complete: bool
    """Whether that was all of the window; else it was too much."""
    paused: bool
    """Whether it would have been paused, for firing too often."""
    candles: int = 0
    """How many candles were looked at, where trades were not."""
    interval: Interval | None = None
    """Of those candles."""
    trades_since_us: int = 0
    """Where trades were looked at from; candles before that."""


class NoHistory(CoinwatchError):
    """A condition whose past is not stored."""


async def preview(
    conn: AsyncConnection, asked: NewRule, window: Window, *, most_trades: int | None = None
) -> Previewed:
    """Run ``asked`` over the stored trades, averages and candles of ``window``. Raises NoHistory.

    ``most_trades``: before the last so many trades, and where none are kept any more, candles stand in for
    them: each as four trades, at its open, low, high and close, of which that in its direction comes last.

    ``conn`` is in autocommit mode. Times are those of the exchanges, also where a rule that is live goes
    by the database's clock.
    """
    for leaf in leaves(asked.condition):
        if declaration(leaf).is_polled:
            raise NoHistory(f"what {leaf.__struct_config__.tag} waits for has no stored past to run it over")
    rule = Rule(id=0, created_at_us=window.start_us, **msgspec.structs.asdict(asked))
    machine = RuleEngine()
    async with one_view(conn):
        ids = [
            known.id
            for known in await known_markets(conn)
            if known.market.symbol == rule.symbol
            and rule.exchange in (None, known.market.exchange, *compared_exchanges(rule.condition))
            and machine.meet(known.id, known.market)
        ]
        exact_us = window.start_us if most_trades is None else window.end_us - EXACT_AVERAGES_US
        news = await _begin(conn, machine, rule, ids, window, exact_us)
        firings: list[Firing] = []
        paused = False
        count = candles = 0
        since_us, interval = window.start_us, Interval.M1
        if most_trades is not None:
            since_us = await trades_since_us(conn, ids, window, most_trades)
            interval = _fitting(len(ids) * (since_us - window.start_us))
            since_us = min(-(-since_us // interval.us) * interval.us, window.end_us)
        if since_us > window.start_us:
            earlier = Window(window.start_us, since_us)
            async with aclosing(bars(conn, ids, interval, earlier)) as several:
                async for read in several:
                    _take_candles(machine, news, read, interval)
                    candles += len(read)
                    for change in machine.drain():
                        firings += change.firings
                        paused = change.after.state.paused
                    if not len(machine):
                        break
                    await asyncio.sleep(0)
        async with aclosing(stretch(conn, ids, since_us, window.end_us)) as chunks:
            async for chunk in chunks:
                for start in range(0, len(chunk), BREATH_TRADES):
                    for stored in chunk[start : start + BREATH_TRADES]:
                        _tell_until(machine, news, stored.trade.ts_us)
                        _take(machine, stored)
                    for change in machine.drain():
                        firings += change.firings
                        paused = change.after.state.paused
                    await asyncio.sleep(0)
                count += len(chunk)
                if count >= MOST_TRADES or not len(machine):
                    break
        if count < MOST_TRADES:
            _tell_until(machine, news, window.end_us)
        for change in machine.drain():
            firings += change.firings
            paused = change.after.state.paused
    return Previewed(
        window,
        firings,
        count,
        count < MOST_TRADES or not len(machine),
        paused,
        candles,
        interval if candles else None,
        since_us,
    )


def _fitting(length_us: int) -> Interval:
    """The finest candles of which so long a stretch has no more than MOST_CANDLES."""
    return next((one for one in Interval if length_us <= MOST_CANDLES * one.us), Interval.D1)


def _take(machine: RuleEngine, stored: StoredTrade) -> None:
    _trade(machine, stored.market_id, stored.trade)


def _take_candles(machine: RuleEngine, news: deque[_News], read: Sequence[Bar], interval: Interval) -> None:
    trades = []
    for bar in read:
        market = machine.world.markets[bar.market_id].market
        assert market is not None  # noqa: S101  # only the feeds of averages have none
        between = (bar.low, bar.high) if bar.close >= bar.open else (bar.high, bar.low)
        for quarter, price in enumerate((bar.open, *between, bar.close)):
            ts_us = min(bar.open_us + quarter * interval.us // 3, bar.open_us + interval.us - 1)
            trades.append((bar.market_id, Trade(market, 0, ts_us, price, bar.volume / 4, True)))
    trades.sort(key=lambda one: one[1].ts_us)
    for market_id, trade in trades:
        _tell_until(machine, news, trade.ts_us)
        _trade(machine, market_id, trade)


def _trade(machine: RuleEngine, market_id: int, trade: Trade) -> None:
    """Each is taken as a commit of its own: what a rule has come to may be drained before the next."""
    feed = machine.world.markets[market_id]
    machine.trade(feed, trade, feed.seq + 1, trade.ts_us)


def _tell_until(machine: RuleEngine, news: deque[_News], ts_us: int) -> None:
    """Tell what became known up to ``ts_us``, and do what was due by the clock."""
    while True:
        due_us = machine.next_due_us
        if news and news[0][0] <= min(ts_us, due_us):
            news.popleft()[1]()
        elif due_us <= ts_us:
            machine.tick(int(due_us))
        else:
            return


async def _begin(
    conn: AsyncConnection,
    machine: RuleEngine,
    rule: Rule,
    ids: Collection[int],
    window: Window,
    exact_us: int,
) -> deque[_News]:
    """Make ``machine`` as it was at the start of ``window``; returns what became known within it.

    Of the averages before ``exact_us`` that is the lowest and the highest of each minute.
    """
    start_us = window.start_us
    average = machine.world.pair(rule.symbol).average
    await warm_prices(conn, machine, ids, start_us)
    await warm_average(conn, average, start_us)
    machine.put(rule, start_us)
    await warm_windows(conn, machine, start_us, closed_us=start_us - 1)
    for feed in machine.world.markets.values():
        feed.seq = 0
    news: list[_News] = []
    if needs_average(rule.condition):
        for day in window.pieces(DAY_US):
            if day.end_us <= exact_us:
                for minute_us, low, high in await average_minutes(conn, rule.symbol, day):
                    end_us = minute_us + MINUTE_US - 1
                    for price in dict.fromkeys((low, high)):
                        news.append((end_us, _average(machine, rule, price, end_us)))
                continue
            for ts_us, price in await averages_within(conn, rule.symbol, day.start_us, day.end_us):
                news.append((ts_us, _average(machine, rule, price, ts_us)))
    if needs_events(rule.condition):
        for failure in await failures_within(conn, window):
            news.append((failure.recorded_us, _failure(machine, failure)))
    machine.allow = lambda rule, cause: False
    for market_id, interval in sorted(candles_of(machine)):
        since_us = start_us - MOST_CLOSES * interval.us
        known: deque[Close] = deque(maxlen=MOST_CLOSES)
        for one in await closes(conn, market_id, interval, since_us, window.end_us):
            if one.close_us < start_us:
                known.append(one)
            else:
                news.append((one.close_us, _close(machine, market_id, interval, known, one)))
        if known:
            apply_close(machine, (market_id, interval), known, start_us)
    machine.allow = None
    return deque(sorted(news, key=itemgetter(0)))


def _average(machine: RuleEngine, rule: Rule, price: float, ts_us: int) -> Callable[[], None]:
    return lambda: machine.average(rule.symbol, price, ts_us, ts_us)


def _close(
    machine: RuleEngine, market_id: int, interval: Interval, known: deque[Close], one: Close
) -> Callable[[], None]:
    def tell() -> None:
        known.append(one)
        apply_close(machine, (market_id, interval), known, one.close_us)

    return tell


def _failure(machine: RuleEngine, failure: JobFailure) -> Callable[[], None]:
    return lambda: tell_failure(machine, failure, failure.recorded_us)

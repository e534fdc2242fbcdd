"""Candles of one market over any window, whatever the exchange still serves as candles."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TypeAlias

import msgspec

from coinwatch.candle_builder import candles_from_trades
from coinwatch.errors import BadMessage
from coinwatch.intervals import Interval
from coinwatch.records import Candle, Market, Trade
from coinwatch.times import MINUTE_US, now_us
from coinwatch.windows import Window, subtract
from sources.exchanges.base import Exchange, Paging
from sources.http import Answer, HttpSource
from sources.rows import BadCandles
from sources.trades import pages_since


class FetchedWindow(msgspec.Struct, frozen=True):
    """A span now verified against the exchange: in it, what has no candle had no trade."""

    window: Window
    candles: list[Candle]


class NoLongerServed(msgspec.Struct, frozen=True):
    """A span older than all that the exchange shows, as candles or as trades."""

    window: Window
    reason: str


Fetched: TypeAlias = FetchedWindow | NoLongerServed


async def fetch_candles(
    exchange: Exchange, http: HttpSource, market: Market, interval: Interval, window: Window
) -> AsyncIterator[Fetched]:
    """Fetch the closed candles of ``window``, yielding each verified piece as it arrives.

    The pieces lie on the interval's grid and do not overlap. They cover all of the window that is on
    the grid and that the exchange's own clock says is over, for as long as it takes until its candles
    are final. An interval nobody traded in has no candle, though some exchanges send a flat one. The
    recent pieces come first where older candles have to be built from trades.

    Raises Retryable, Fatal and BadMessage; the pieces already yielded stay true. Where an answer has
    impossible candles among good ones, all that is good is yielded before BadMessage is raised.
    """
    fetching = _Fetching(exchange, http, market, interval)
    start_us, end_us = interval.ceil(window.start_us), interval.floor(window.end_us)
    if start_us >= end_us:
        return
    wanted, depth = Window(start_us, end_us), exchange.candles_depth
    if depth is None:
        pieces = fetching.forward(wanted)
    elif depth > exchange.candles_per_request:
        pieces = fetching.kept(wanted, depth)
    else:
        pieces = fetching.recent_then_older(wanted, depth)
    async for piece in pieces:
        yield piece
    if fetching.bad:
        raise BadMessage(exchange.name, "; ".join(map(str, fetching.bad)), fetching.bad[0].raw)


class _Fetching:
    """One market's candles of one interval."""

    def __init__(self, exchange: Exchange, http: HttpSource, market: Market, interval: Interval) -> None:
        self._exchange = exchange
        self._http = http
        self._market = market
        self._interval = interval
        self.bad: list[BadCandles] = []
        """What was wrong with some candles; the others of their answers were yielded."""

    async def forward(self, wanted: Window) -> AsyncIterator[Fetched]:
        for piece in wanted.pieces(self._exchange.candles_per_request * self._interval.us):
            answer, candles, bad = await self._ask(piece)
            closed = self._closed(piece, answer)
            if closed is not None:
                for part in self._sound(closed, bad):
                    yield FetchedWindow(part, _traded_in(part, candles))
            if closed != piece:
                return

    async def kept(self, wanted: Window, depth: int) -> AsyncIterator[Fetched]:
        """What the exchange still keeps, in several requests; it refuses those for older candles."""
        step_us = self._interval.us
        oldest_us = self._interval.floor(now_us()) - depth * step_us
        if wanted.start_us < oldest_us:
            # What is gone for good is told by the exchange's clock, not by ours.
            newest = Window(oldest_us + (depth - 1) * step_us, oldest_us + depth * step_us)
            answer, _, _ = await self._ask(newest)
            oldest_us = self._interval.floor(self._date_us(answer)) - depth * step_us
        if wanted.end_us > oldest_us:
            async for piece in self.forward(Window(max(wanted.start_us, oldest_us), wanted.end_us)):
                yield piece
        if wanted.start_us < oldest_us:
            yield self._gone(Window(wanted.start_us, min(oldest_us, wanted.end_us)))

    async def recent_then_older(self, wanted: Window, depth: int) -> AsyncIterator[Fetched]:
        answer, candles, bad = await self._ask(wanted)
        closed = self._closed(wanted, answer)
        if closed is None:
            return
        # An answer cut to the depth proves nothing about the time before its first candle.
        cut = len(candles) >= depth
        proven_us = max(candles[0].open_ts_us, closed.start_us) if cut else closed.start_us
        if proven_us < closed.end_us:
            for recent in self._sound(Window(proven_us, closed.end_us), bad):
                yield FetchedWindow(recent, _traded_in(recent, candles))
        if proven_us > closed.start_us:
            older = Window(closed.start_us, min(proven_us, closed.end_us))
            async for piece in self._older(older, self._date_us(answer)):
                yield piece

    async def _older(self, wanted: Window, date_us: int) -> AsyncIterator[Fetched]:
        """What lies before the candles that are served: folded from trades, as far as these reach."""
        if self._exchange.trade_paging is not Paging.SINCE:
            yield self._gone(wanted)
            return
        reach_us = self._exchange.trades_reach_us
        # A while may pass until the oldest trades are asked for.
        oldest_us = 0 if reach_us is None else self._interval.ceil(date_us - reach_us + MINUTE_US)
        if wanted.end_us > oldest_us:
            async for piece in self._fold_trades(Window(max(wanted.start_us, oldest_us), wanted.end_us)):
                yield piece
        if wanted.start_us < oldest_us:
            yield self._gone(Window(wanted.start_us, min(oldest_us, wanted.end_us)))

    async def _fold_trades(self, wanted: Window) -> AsyncIterator[FetchedWindow]:
        """Candles of ``wanted``, which is over, from pages of trades."""
        done_us = wanted.start_us
        waiting: list[Trade] = []  # of the interval the last page ended in
        async for page in pages_since(self._exchange, self._http, self._market, wanted.start_us):
            waiting += page
            until_us = min(self._interval.floor(page[-1].ts_us), wanted.end_us) if page else done_us
            if until_us > done_us:
                complete = [trade for trade in waiting if trade.ts_us < until_us]
                waiting = [trade for trade in waiting if trade.ts_us >= until_us]
                yield self._folded(Window(done_us, until_us), complete)
                done_us = until_us
            if done_us == wanted.end_us:
                return
        # There are no later trades.
        rest = Window(done_us, wanted.end_us)
        yield self._folded(rest, [trade for trade in waiting if trade.ts_us < rest.end_us])

    def _folded(self, window: Window, trades: list[Trade]) -> FetchedWindow:
        return FetchedWindow(window, candles_from_trades(self._interval, sorted(trades, key=_time)))

    async def _ask(self, window: Window) -> tuple[Answer, list[Candle], BadCandles | None]:
        """The answer, its good candles, and what is wrong with the others."""
        request = self._exchange.candles_request(self._market, self._interval, window)
        answer = await self._http.get(request)
        try:
            return answer, self._exchange.decode_candles(self._market, self._interval, answer.body), None
        except BadCandles as error:
            return answer, error.good, error

    def _sound(self, window: Window, bad: BadCandles | None) -> list[Window]:
        """``window`` without the intervals whose candles are impossible."""
        if bad is None:
            return [window]
        sound = subtract([window], [Window(ts, ts + self._interval.us) for ts in bad.bad_ts_us])
        if sound != [window]:
            self.bad.append(bad)
        return sound

    def _closed(self, piece: Window, answer: Answer) -> Window | None:
        """The part of ``piece`` whose candles were final when the exchange answered."""
        # Date has whole seconds, and is set after the candles were read: a candle that closes in
        # that very second may have been read while still open.
        final_us = self._date_us(answer) - 1 - self._exchange.candles_late_us
        end_us = min(piece.end_us, self._interval.floor(final_us))
        return Window(piece.start_us, end_us) if piece.start_us < end_us else None

    def _date_us(self, answer: Answer) -> int:
        if answer.date_us is None:
            raise BadMessage(
                self._exchange.name, "an answer without a Date: which candles are closed is unknown"
            )
        return answer.date_us

    def _gone(self, window: Window) -> NoLongerServed:
        name, depth = self._exchange.name, self._exchange.candles_depth
        reason = f"{name} serves only the newest {depth:,} candles of {self._interval}"
        if self._exchange.trade_paging is Paging.SINCE:
            reason += " and no trades as old as that"
        return NoLongerServed(window, reason)


def _time(trade: Trade) -> int:
    return trade.ts_us


def _traded_in(window: Window, candles: list[Candle]) -> list[Candle]:
    return [
        candle
        for candle in candles
        if window.start_us <= candle.open_ts_us < window.end_us and candle.trades != 0
    ]

"""Fetching candles of one market over any window; those no longer served are built from trades."""

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
    """A span verified against the exchange: an interval without a candle had no trade."""

    window: Window
    candles: list[Candle]


class NoLongerServed(msgspec.Struct, frozen=True):
    """A span older than everything the exchange serves, as candles or as trades."""

    window: Window
    reason: str


Fetched: TypeAlias = FetchedWindow | NoLongerServed


async def fetch_candles(
    exchange: Exchange, http: HttpSource, market: Market, interval: Interval, window: Window
) -> AsyncIterator[Fetched]:
    """Fetch the closed candles of ``window``, yielding each verified piece as it arrives.

    Pieces are aligned to the interval's grid and do not overlap. Together they cover the aligned part of
    the window whose candles are final by the exchange's clock. An interval without a trade has no candle,
    even where the exchange sends a flat one. When older candles must be built from trades, the recent
    pieces come first.

    Raises:
        Retryable, Fatal, BadMessage: Pieces yielded before remain valid. If an answer mixes impossible
            and good candles, the good ones are all yielded before BadMessage is raised.
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
    """Fetches the candles of one market and interval."""

    def __init__(self, exchange: Exchange, http: HttpSource, market: Market, interval: Interval) -> None:
        self._exchange = exchange
        self._http = http
        self._market = market
        self._interval = interval
        self.bad: list[BadCandles] = []
        """The answers with impossible candles; their good candles were yielded."""

    async def forward(self, wanted: Window) -> AsyncIterator[Fetched]:
        """Fetch ``wanted`` page by page, oldest first."""
        for piece in wanted.pieces(self._exchange.candles_per_request * self._interval.us):
            answer, candles, bad = await self._ask(piece)
            closed = self._closed(piece, answer)
            if closed is not None:
                for part in self._valid(closed, bad):
                    yield FetchedWindow(part, _traded_in(part, candles))
            if closed != piece:
                return

    async def kept(self, wanted: Window, depth: int) -> AsyncIterator[Fetched]:
        """Fetch in several requests the part still served; requests for older candles would be refused."""
        step_us = self._interval.us
        oldest_us = self._interval.floor(now_us()) - depth * step_us
        if wanted.start_us < oldest_us:
            # The exchange's clock decides which candles are no longer served, not ours.
            newest = Window(oldest_us + (depth - 1) * step_us, oldest_us + depth * step_us)
            answer, _, _ = await self._ask(newest)
            oldest_us = self._interval.floor(self._date_us(answer)) - depth * step_us
        if wanted.end_us > oldest_us:
            async for piece in self.forward(Window(max(wanted.start_us, oldest_us), wanted.end_us)):
                yield piece
        if wanted.start_us < oldest_us:
            yield self._gone(Window(wanted.start_us, min(oldest_us, wanted.end_us)))

    async def recent_then_older(self, wanted: Window, depth: int) -> AsyncIterator[Fetched]:
        """Fetch the single page of candles served, then the time before it."""
        answer, candles, bad = await self._ask(wanted)
        closed = self._closed(wanted, answer)
        if closed is None:
            return
        # An answer truncated to the depth does not cover the time before its first candle.
        cut = len(candles) >= depth
        proven_us = max(candles[0].open_ts_us, closed.start_us) if cut else closed.start_us
        if proven_us < closed.end_us:
            for recent in self._valid(Window(proven_us, closed.end_us), bad):
                yield FetchedWindow(recent, _traded_in(recent, candles))
        if proven_us > closed.start_us:
            older = Window(closed.start_us, min(proven_us, closed.end_us))
            async for piece in self._older(older, self._date_us(answer)):
                yield piece

    async def _older(self, wanted: Window, date_us: int) -> AsyncIterator[Fetched]:
        """Build the candles that are no longer served from trades, as far back as those are served."""
        if self._exchange.trade_paging is not Paging.SINCE:
            yield self._gone(wanted)
            return
        reach_us = self._exchange.trades_reach_us
        # A margin, because some time may pass before the oldest trades are requested.
        oldest_us = 0 if reach_us is None else self._interval.ceil(date_us - reach_us + MINUTE_US)
        if wanted.end_us > oldest_us:
            async for piece in self._from_trades(Window(max(wanted.start_us, oldest_us), wanted.end_us)):
                yield piece
        if wanted.start_us < oldest_us:
            yield self._gone(Window(wanted.start_us, min(oldest_us, wanted.end_us)))

    async def _from_trades(self, wanted: Window) -> AsyncIterator[FetchedWindow]:
        """Build the candles of the past window ``wanted`` from pages of trades."""
        done_us = wanted.start_us
        pending: list[Trade] = []  # of the interval the last page ended in
        async for page in pages_since(self._exchange, self._http, self._market, wanted.start_us):
            pending += page
            until_us = min(self._interval.floor(page[-1].ts_us), wanted.end_us) if page else done_us
            if until_us > done_us:
                complete = [trade for trade in pending if trade.ts_us < until_us]
                pending = [trade for trade in pending if trade.ts_us >= until_us]
                yield self._built(Window(done_us, until_us), complete)
                done_us = until_us
            if done_us == wanted.end_us:
                return
        # There are no later trades.
        rest = Window(done_us, wanted.end_us)
        yield self._built(rest, [trade for trade in pending if trade.ts_us < rest.end_us])

    def _built(self, window: Window, trades: list[Trade]) -> FetchedWindow:
        return FetchedWindow(window, candles_from_trades(self._interval, sorted(trades, key=_time)))

    async def _ask(self, window: Window) -> tuple[Answer, list[Candle], BadCandles | None]:
        """Request a page; returns the answer, its good candles, and the error of the impossible ones."""
        request = self._exchange.candles_request(self._market, self._interval, window)
        answer = await self._http.get(request)
        try:
            return answer, self._exchange.decode_candles(self._market, self._interval, answer.body), None
        except BadCandles as error:
            return answer, error.good, error

    def _valid(self, window: Window, bad: BadCandles | None) -> list[Window]:
        """``window`` without the intervals whose candles are impossible."""
        if bad is None:
            return [window]
        valid = subtract([window], [Window(ts, ts + self._interval.us) for ts in bad.bad_ts_us])
        if valid != [window]:
            self.bad.append(bad)
        return valid

    def _closed(self, piece: Window, answer: Answer) -> Window | None:
        """The part of ``piece`` whose candles were final when the exchange answered."""
        # Date has whole seconds and is set after the candles were read: a candle that closes in that
        # second may have been read while still open.
        final_us = self._date_us(answer) - 1 - self._exchange.candles_late_us
        end_us = min(piece.end_us, self._interval.floor(final_us))
        return Window(piece.start_us, end_us) if piece.start_us < end_us else None

    def _date_us(self, answer: Answer) -> int:
        if answer.date_us is None:
            raise BadMessage(
                self._exchange.name,
                "the answer has no Date header, so it is unknown which candles are closed",
            )
        return answer.date_us

    def _gone(self, window: Window) -> NoLongerServed:
        name, depth = self._exchange.name, self._exchange.candles_depth
        reason = f"{name} serves only the newest {depth:,} candles of {self._interval}"
        if self._exchange.trade_paging is Paging.SINCE:
            reason += " and no trades that old"
        return NoLongerServed(window, reason)


def _time(trade: Trade) -> int:
    return trade.ts_us


def _traded_in(window: Window, candles: list[Candle]) -> list[Candle]:
    return [
        candle
        for candle in candles
        if window.start_us <= candle.open_ts_us < window.end_us and candle.trades != 0
    ]

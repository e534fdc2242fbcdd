"""Candles of one market over any window, whatever the exchange still serves as candles."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from coinwatch.errors import BadMessage, Fatal
from coinwatch.folding import candles_from_trades
from coinwatch.intervals import Interval
from coinwatch.records import Candle, Market, Trade
from coinwatch.times import now_us
from coinwatch.windows import Window
from sources.exchanges.base import Exchange
from sources.http import Answer, HttpSource
from sources.trades import pages_since


class FetchedWindow(msgspec.Struct, frozen=True):
    """A span now verified against the exchange: in it, what has no candle had no trade."""

    window: Window
    candles: list[Candle]


async def fetch_candles(
    exchange: Exchange, http: HttpSource, market: Market, interval: Interval, window: Window
) -> AsyncIterator[FetchedWindow]:
    """Fetch the closed candles of ``window``, yielding each verified piece as it arrives.

    The pieces lie on the interval's grid and do not overlap. They cover all of the window that is on
    the grid and that the exchange's own clock says is over. An interval nobody traded in has no
    candle, though some exchanges send a flat one. The recent pieces come first where older candles
    have to be built from trades.

    Raises Retryable, Fatal (also for what lies further back than the exchange shows) and BadMessage;
    the pieces already yielded stay true.
    """
    start_us, end_us = interval.ceil(window.start_us), interval.floor(window.end_us)
    if start_us >= end_us:
        return
    wanted = Window(start_us, end_us)
    if exchange.candles_depth is None:
        pieces = _fetch_forward(exchange, http, market, interval, wanted)
    elif exchange.candles_depth > exchange.candles_per_request:
        pieces = _fetch_kept(exchange, http, market, interval, wanted, depth=exchange.candles_depth)
    else:
        pieces = _fetch_recent_then_older(
            exchange, http, market, interval, wanted, depth=exchange.candles_depth
        )
    async for piece in pieces:
        yield piece


async def _fetch_forward(
    exchange: Exchange, http: HttpSource, market: Market, interval: Interval, wanted: Window
) -> AsyncIterator[FetchedWindow]:
    for piece in wanted.pieces(exchange.candles_per_request * interval.us):
        answer = await http.get(exchange.candles_request(market, interval, piece))
        candles = exchange.decode_candles(market, interval, answer.body)
        closed = _closed(exchange, interval, piece, answer)
        if closed is not None:
            yield FetchedWindow(closed, _traded_in(closed, candles))
        if closed != piece:
            return


async def _fetch_kept(
    exchange: Exchange,
    http: HttpSource,
    market: Market,
    interval: Interval,
    wanted: Window,
    *,
    depth: int,
) -> AsyncIterator[FetchedWindow]:
    """What the exchange still keeps, in several requests; it refuses those for older candles."""
    oldest_us = interval.floor(now_us()) - depth * interval.us
    if wanted.end_us > oldest_us:
        kept = Window(max(wanted.start_us, oldest_us), wanted.end_us)
        async for piece in _fetch_forward(exchange, http, market, interval, kept):
            yield piece
    if wanted.start_us < oldest_us:
        raise Fatal(
            exchange.name, f"{market}: serves only the newest {depth:,} candles of {interval}, no older ones"
        )


async def _fetch_recent_then_older(
    exchange: Exchange,
    http: HttpSource,
    market: Market,
    interval: Interval,
    wanted: Window,
    *,
    depth: int,
) -> AsyncIterator[FetchedWindow]:
    answer = await http.get(exchange.candles_request(market, interval, wanted))
    candles = exchange.decode_candles(market, interval, answer.body)
    closed = _closed(exchange, interval, wanted, answer)
    if closed is None:
        return
    # An answer cut to the depth proves nothing about the time before its first candle.
    cut = len(candles) >= depth
    proven_us = max(candles[0].open_ts_us, closed.start_us) if cut else closed.start_us
    if proven_us < closed.end_us:
        recent = Window(proven_us, closed.end_us)
        yield FetchedWindow(recent, _traded_in(recent, candles))
    if proven_us > closed.start_us:
        older = Window(closed.start_us, min(proven_us, closed.end_us))
        async for piece in _fold_trades(exchange, http, market, interval, older):
            yield piece


async def _fold_trades(
    exchange: Exchange, http: HttpSource, market: Market, interval: Interval, wanted: Window
) -> AsyncIterator[FetchedWindow]:
    """Candles of ``wanted``, which is over, from pages of trades."""
    done_us = wanted.start_us
    waiting: list[Trade] = []  # of the interval the last page ended in
    async for page in pages_since(exchange, http, market, wanted.start_us):
        waiting += page
        until_us = min(interval.floor(page[-1].ts_us), wanted.end_us) if page else done_us
        if until_us > done_us:
            complete = [trade for trade in waiting if trade.ts_us < until_us]
            waiting = [trade for trade in waiting if trade.ts_us >= until_us]
            yield _folded(interval, Window(done_us, until_us), complete)
            done_us = until_us
        if done_us == wanted.end_us:
            return
    # There are no later trades.
    rest = Window(done_us, wanted.end_us)
    yield _folded(interval, rest, [trade for trade in waiting if trade.ts_us < rest.end_us])


def _folded(interval: Interval, window: Window, trades: list[Trade]) -> FetchedWindow:
    return FetchedWindow(window, candles_from_trades(interval, sorted(trades, key=_time)))


def _closed(exchange: Exchange, interval: Interval, piece: Window, answer: Answer) -> Window | None:
    """The part of ``piece`` that was over when the exchange answered."""
    if answer.date_us is None:
        raise BadMessage(exchange.name, "an answer without a Date: which candles are closed is unknown")
    # Date has whole seconds, and is set after the candles were read: a candle that closes in that
    # very second may have been read while still open.
    end_us = min(piece.end_us, interval.floor(answer.date_us - 1))
    return Window(piece.start_us, end_us) if piece.start_us < end_us else None


def _time(trade: Trade) -> int:
    return trade.ts_us


def _traded_in(window: Window, candles: list[Candle]) -> list[Candle]:
    return [
        candle
        for candle in candles
        if window.start_us <= candle.open_ts_us < window.end_us and candle.trades != 0
    ]

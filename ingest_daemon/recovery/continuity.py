"""Whether the trades of each market follow one another, and the stream gaps where they do not. Pure: no I/O.

A market is *live* from its first live trade after an interruption until the next interruption. Exchanges
that number the trades of a market consecutively also reveal holes while it is live; frames arrive
reordered, so a hole counts only when it is still open a second later.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from math import exp

import msgspec

from coinwatch.records import Market
from coinwatch.stream_gaps import GapCause
from ingest_daemon.storage.queue import Interruption
from warehouse.trades.gaps import Ending, LedgerEntries, Opening
from warehouse.trades.rows import TickRows

HOLE_PATIENCE_S = 1.0
QUIET_SHORTEST_S, QUIET_LONGEST_S = 8.0, 300.0
QUIET_INTERVALS = 8.0
"""A market is suspected when it has been quiet for QUIET_INTERVALS times its usual interval, but never before
the shortest and always after the longest of these times."""
RHYTHM_S = 600.0
"""Time constant of the average interval between trades."""
RHYTHM_TRADES = 20.0
"""With fewer trades the usual interval is not known: a market is suspected soon, but the time doubles each
time its silence was confirmed."""


class _Hole(msgspec.Struct):
    """Trades ``first`` to ``last``, both included, have not arrived."""

    first: int
    last: int
    after_ts_us: int
    before_ts_us: int
    seen_s: float

    def opening(self, market_id: int) -> Opening:
        return Opening(
            market_id,
            GapCause.MISSING_TRADES,
            self.first - 1,
            self.after_ts_us,
            self.last + 1,
            self.before_ts_us,
        )


class _Rhythm(msgspec.Struct):
    """How often a market trades: counts of trades and of seconds, both decaying."""

    last_trade_s: float
    confirmed_s: float
    """Until when its silence was confirmed."""
    confirmations: int = 0
    """How often its silence was confirmed."""
    trades: float = 0.0
    seconds: float = 0.0

    def record(self, count: int, now_s: float) -> None:
        elapsed_s = now_s - self.last_trade_s
        fade = exp(-elapsed_s / RHYTHM_S)
        self.trades = self.trades * fade + count
        self.seconds = self.seconds * fade + elapsed_s
        self.last_trade_s = now_s

    def is_quiet(self, now_s: float) -> bool:
        usual_s = self.seconds / self.trades if self.trades else 0.0
        longest_s = max(QUIET_INTERVALS * usual_s, QUIET_SHORTEST_S)
        if self.trades < RHYTHM_TRADES:
            longest_s = max(longest_s, QUIET_SHORTEST_S * 2.0 ** min(self.confirmations, 8))
        longest_s = min(longest_s, QUIET_LONGEST_S)
        return now_s - max(self.last_trade_s, self.confirmed_s) > longest_s


class _Market(msgspec.Struct):
    market: Market
    is_consecutive: bool
    rhythm: _Rhythm
    is_live: bool = False
    """When False, it has an open stream gap without an end."""
    last_id: int | None = None
    last_ts_us: int = 0
    """Of the newest trade by id; 0 before there was one."""
    holes: list[_Hole] = []


class Continuity:
    """The last trade of each market, its holes, and how often it trades.

    Arguments named ``now_s`` are of any clock that does not jump.
    """

    def __init__(self) -> None:
        self._by_id: dict[int, _Market] = {}
        self._ids: dict[Market, int] = {}
        self._with_holes: set[int] = set()

    @property
    def has_holes(self) -> bool:
        """Whether there are holes, which ``overdue_holes`` may return within about a second."""
        return bool(self._with_holes)

    def begin(
        self, market: Market, market_id: int, *, is_consecutive: bool, known_ts_us: int, now_s: float
    ) -> None:
        """Follow ``market``, which is not live and has an open stream gap.

        Args:
            market: The market.
            market_id: Its id in the warehouse.
            is_consecutive: Whether its exchange numbers trades one by one.
            known_ts_us: Time of its last known trade; 0 when there is none.
            now_s: Now.
        """
        rhythm = _Rhythm(now_s, now_s)
        self._by_id[market_id] = _Market(market, is_consecutive, rhythm, last_ts_us=known_ts_us)
        self._ids[market] = market_id

    def end(self, market: Market) -> None:
        """Stop following ``market``."""
        market_id = self._ids.pop(market, None)
        if market_id is not None:
            del self._by_id[market_id]
            self._with_holes.discard(market_id)

    def newest(self, market: Market) -> tuple[int | None, int] | None:
        """Id and time (us) of its newest trade; None while it is not live.

        The id is None when there was no trade yet.
        """
        state = self._by_id.get(self._ids.get(market, -1))
        if state is None or not state.is_live:
            return None
        return state.last_id, state.last_ts_us

    def quiet(self, now_s: float) -> list[Market]:
        """The live markets that have brought nothing for longer than usual."""
        return [s.market for s in self._by_id.values() if s.is_live and s.rhythm.is_quiet(now_s)]

    def last_trade_s(self, market: Market) -> float:
        """When its last trade arrived, by the clock of ``now_s``; 0 when it is not followed."""
        state = self._by_id.get(self._ids.get(market, -1))
        return 0.0 if state is None else state.rhythm.last_trade_s

    def confirm_quiet(self, market: Market, now_s: float) -> None:
        """Record that ``market`` is silent because it does not trade; it is suspected again later."""
        state = self._by_id.get(self._ids.get(market, -1))
        if state is not None:
            state.rhythm.confirmed_s = now_s
            state.rhythm.confirmations += 1

    def plan(self, interruptions: Iterable[Interruption], rows: TickRows, now_s: float) -> LedgerEntries:
        """Advance by ``interruptions``, then by live ``rows``; return the stream gaps to record with them."""
        entries = LedgerEntries([], [])
        for interruption in interruptions:
            for market in interruption.markets:
                if market in self._ids:
                    self._interrupt(self._ids[market], interruption.cause, entries)
        for market_id, where in rows.by_market():
            state = self._by_id.get(market_id)
            if state is not None:
                self._receive(state, market_id, rows, where, now_s, entries)
        return entries

    def complete_until(self, market: Market, trade_id: int | None, ts_us: int, now_s: float) -> None:
        """Make ``market`` live: recovery stored all trades up to this one, although no live one arrived."""
        state = self._by_id.get(self._ids.get(market, -1))
        if state is not None and not state.is_live:
            state.is_live = True
            state.last_id, state.last_ts_us = trade_id, ts_us
            state.rhythm.confirmed_s = now_s

    def overdue_holes(self, now_s: float) -> list[Opening]:
        """The holes that stayed open for HOLE_PATIENCE_S; each is returned once."""
        openings = []
        for market_id in sorted(self._with_holes):
            state = self._by_id[market_id]
            old = [hole for hole in state.holes if now_s - hole.seen_s >= HOLE_PATIENCE_S]
            if old:
                openings += [hole.opening(market_id) for hole in old]
                state.holes = [hole for hole in state.holes if hole not in old]
                if not state.holes:
                    self._with_holes.discard(market_id)
        return openings

    def _interrupt(self, market_id: int, cause: GapCause, entries: LedgerEntries) -> None:
        state = self._by_id[market_id]
        if not state.is_live:
            return
        entries.openings += [hole.opening(market_id) for hole in state.holes]
        entries.openings.append(Opening(market_id, cause, state.last_id, state.last_ts_us))
        state.is_live = False
        state.holes = []
        self._with_holes.discard(market_id)

    def _receive(
        self,
        state: _Market,
        market_id: int,
        rows: TickRows,
        where: slice,
        now_s: float,
        entries: LedgerEntries,
    ) -> None:
        first, last = int(rows.trade_id[where.start]), int(rows.trade_id[where.stop - 1])
        count = where.stop - where.start
        if not state.is_live:
            state.rhythm.last_trade_s = now_s  # an interruption does not count as quiet time
        state.rhythm.record(count, now_s)
        if not state.is_live:
            # The oldest trade of the batch that is newer than the last known one: an exchange that sends an
            # old trade again must not end the gap.
            known_us = state.last_ts_us
            newer = [i for i in range(where.start, where.stop) if rows.ts_us[i] > known_us]
            at = min(newer, key=lambda i: (rows.ts_us[i], rows.trade_id[i]), default=None)
            if at is None:
                return
            state.is_live = True
            state.last_id = int(rows.trade_id[at])
            state.last_ts_us = int(rows.ts_us[at])
            entries.endings.append(Ending(market_id, state.last_id, state.last_ts_us))
        follows = state.last_id is not None and first <= state.last_id + 1 and count == last - first + 1
        if state.is_consecutive and (state.holes or not follows):
            self._update_holes(state, market_id, rows, where, now_s)
        if state.is_consecutive:
            if state.last_id is None or last > state.last_id:
                state.last_id = last
                state.last_ts_us = max(state.last_ts_us, int(rows.ts_us[where.stop - 1]))
            return
        newest = where.start + (int(rows.ts_us[where].argmax()) if count > 1 else 0)
        if int(rows.ts_us[newest]) >= state.last_ts_us:
            state.last_id, state.last_ts_us = int(rows.trade_id[newest]), int(rows.ts_us[newest])

    def _update_holes(
        self, state: _Market, market_id: int, rows: TickRows, where: slice, now_s: float
    ) -> None:
        ids, times = rows.trade_id[where].tolist(), rows.ts_us[where].tolist()
        for trade_id, ts_us in zip(ids, times, strict=True):
            if state.holes:
                self._fill(state, trade_id, ts_us)
        newest, newest_us = state.last_id, state.last_ts_us
        if newest is not None:
            chain = [(newest, newest_us), *((i, t) for i, t in zip(ids, times, strict=True) if i > newest)]
            for (before, before_us), (after, after_us) in pairwise(chain):
                if after > before + 1:
                    state.holes.append(_Hole(before + 1, after - 1, before_us, after_us, now_s))
        if state.holes:
            self._with_holes.add(market_id)
        else:
            self._with_holes.discard(market_id)

    def _fill(self, state: _Market, trade_id: int, ts_us: int) -> None:
        """A late trade: the hole that it was missing from shrinks or splits in two."""
        for index, hole in enumerate(state.holes):
            if hole.first <= trade_id <= hole.last:
                parts = [
                    _Hole(hole.first, trade_id - 1, hole.after_ts_us, ts_us, hole.seen_s),
                    _Hole(trade_id + 1, hole.last, ts_us, hole.before_ts_us, hole.seen_s),
                ]
                state.holes[index : index + 1] = [part for part in parts if part.first <= part.last]
                return

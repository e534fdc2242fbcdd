"""Whether each market's trades follow one another, and what to enter in the ledger where not. Pure.

A market is *heard* from its first live trade after an interruption until the next interruption.
Exchanges that number the trades of a market one by one let us see a hole while it is heard, too;
frames come reordered, so a hole counts only when it is still open a second later.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from math import exp

import msgspec

from coinwatch.records import Market
from ingest_daemon.storage.queue import Interruption
from warehouse.trades.gaps import Ending, LedgerEntries, Opening
from warehouse.trades.rows import TickRows

HOLE_PATIENCE_S = 1.0
QUIET_SHORTEST_S, QUIET_LONGEST_S = 8.0, 300.0
QUIET_INTERVALS = 8.0
"""A market is suspected when it has been quiet for so many times its usual interval, but never sooner
than the shortest and always by the longest of these times."""
RHYTHM_S = 600.0
"""Over how long the usual interval is taken."""
RHYTHM_TRADES = 20.0
"""With fewer trades little is usual: a market is suspected soon, but half as readily each time its
silence has proved true."""
MISSED = "missing trades"
"""The cause of a hole in the numbers while the stream was up."""


class _Hole(msgspec.Struct):
    """Trades ``first`` to ``last``, both included, have not come."""

    first: int
    last: int
    after_ts_us: int
    before_ts_us: int
    seen_s: float

    def opening(self, market_id: int) -> Opening:
        return Opening(market_id, MISSED, self.first - 1, self.after_ts_us, self.last + 1, self.before_ts_us)


class _Rhythm(msgspec.Struct):
    """How often a market trades: trades and seconds, both fading."""

    heard_s: float
    checked_s: float
    """Until then its silence is known to be true."""
    checks: int = 0
    """How often it was found to be true."""
    trades: float = 0.0
    seconds: float = 0.0

    def hear(self, count: int, now_s: float) -> None:
        elapsed_s = now_s - self.heard_s
        fade = exp(-elapsed_s / RHYTHM_S)
        self.trades = self.trades * fade + count
        self.seconds = self.seconds * fade + elapsed_s
        self.heard_s = now_s

    def is_quiet(self, now_s: float) -> bool:
        usual_s = self.seconds / self.trades if self.trades else 0.0
        longest_s = max(QUIET_INTERVALS * usual_s, QUIET_SHORTEST_S)
        if self.trades < RHYTHM_TRADES:
            longest_s = max(longest_s, QUIET_SHORTEST_S * 2.0 ** min(self.checks, 8))
        longest_s = min(longest_s, QUIET_LONGEST_S)
        return now_s - max(self.heard_s, self.checked_s) > longest_s


class _Market(msgspec.Struct):
    market: Market
    is_consecutive: bool
    rhythm: _Rhythm
    is_heard: bool = False
    """False: an open row of the ledger without an end exists."""
    last_id: int | None = None
    last_ts_us: int = 0
    """Of the newest trade by id; 0 before there was one."""
    holes: list[_Hole] = []


class Continuity:
    def __init__(self) -> None:
        self._by_id: dict[int, _Market] = {}
        self._ids: dict[Market, int] = {}
        self._with_holes: set[int] = set()

    @property
    def has_holes(self) -> bool:
        """Whether ``due`` may have something to say within a second or so."""
        return bool(self._with_holes)

    def begin(
        self, market: Market, market_id: int, *, is_consecutive: bool, known_ts_us: int, now_s: float
    ) -> None:
        """Follow ``market``, which is interrupted and whose interruption is in the ledger.

        ``known_ts_us``: of the last trade known, 0 when there is none.
        """
        rhythm = _Rhythm(now_s, now_s)
        self._by_id[market_id] = _Market(market, is_consecutive, rhythm, last_ts_us=known_ts_us)
        self._ids[market] = market_id

    def end(self, market: Market) -> None:
        """Follow it no longer."""
        market_id = self._ids.pop(market, None)
        if market_id is not None:
            del self._by_id[market_id]
            self._with_holes.discard(market_id)

    def newest(self, market: Market) -> tuple[int | None, int] | None:
        """Id and ts_us up to which its trades are known; None while it is not heard.

        Without an id when there was no trade yet.
        """
        state = self._by_id.get(self._ids.get(market, -1))
        if state is None or not state.is_heard:
            return None
        return state.last_id, state.last_ts_us

    def quiet(self, now_s: float) -> list[Market]:
        """The markets that are heard, but for longer than usual have brought nothing."""
        return [s.market for s in self._by_id.values() if s.is_heard and s.rhythm.is_quiet(now_s)]

    def heard_s(self, market: Market) -> float:
        """When it last brought a trade."""
        state = self._by_id.get(self._ids.get(market, -1))
        return 0.0 if state is None else state.rhythm.heard_s

    def is_truly_quiet(self, market: Market, now_s: float) -> None:
        """Its silence was checked: it is not to be suspected for as long again."""
        state = self._by_id.get(self._ids.get(market, -1))
        if state is not None:
            state.rhythm.checked_s = now_s
            state.rhythm.checks += 1

    def plan(self, interruptions: Iterable[Interruption], rows: TickRows, now_s: float) -> LedgerEntries:
        """What the ledger must say of a batch: ``interruptions``, then ``rows``, which are live."""
        entries = LedgerEntries([], [])
        for interruption in interruptions:
            for market in interruption.markets:
                if market in self._ids:
                    self._interrupt(self._ids[market], interruption.cause, entries)
        for market_id, where in rows.by_market():
            state = self._by_id.get(market_id)
            if state is not None:
                self._hear(state, market_id, rows, where, now_s, entries)
        return entries

    def heard_until(self, market: Market, trade_id: int | None, ts_us: int, now_s: float) -> None:
        """Recovery has shown that nothing is missing up to this trade, though no live one has come."""
        state = self._by_id.get(self._ids.get(market, -1))
        if state is not None and not state.is_heard:
            state.is_heard = True
            state.last_id, state.last_ts_us = trade_id, ts_us
            state.rhythm.checked_s = now_s

    def due(self, now_s: float) -> list[Opening]:
        """The holes that stayed open; each is told once. ``now_s`` is any clock that does not jump."""
        found = []
        for market_id in sorted(self._with_holes):
            state = self._by_id[market_id]
            old = [hole for hole in state.holes if now_s - hole.seen_s >= HOLE_PATIENCE_S]
            if old:
                found += [hole.opening(market_id) for hole in old]
                state.holes = [hole for hole in state.holes if hole not in old]
                if not state.holes:
                    self._with_holes.discard(market_id)
        return found

    def _interrupt(self, market_id: int, cause: str, entries: LedgerEntries) -> None:
        state = self._by_id[market_id]
        if not state.is_heard:
            return
        entries.openings += [hole.opening(market_id) for hole in state.holes]
        entries.openings.append(Opening(market_id, cause, state.last_id, state.last_ts_us))
        state.is_heard = False
        state.holes = []
        self._with_holes.discard(market_id)

    def _hear(
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
        if not state.is_heard:
            state.rhythm.heard_s = now_s  # a time in which it could not be heard says nothing of its rhythm
        state.rhythm.hear(count, now_s)
        if not state.is_heard:
            # Of a batch the oldest that is newer than what was known: an exchange that sends an old
            # trade again must not end the gap.
            known_us = state.last_ts_us
            newer = [i for i in range(where.start, where.stop) if rows.ts_us[i] > known_us]
            at = min(newer, key=lambda i: (rows.ts_us[i], rows.trade_id[i]), default=None)
            if at is None:
                return
            state.is_heard = True
            state.last_id = int(rows.trade_id[at])
            state.last_ts_us = int(rows.ts_us[at])
            entries.endings.append(Ending(market_id, state.last_id, state.last_ts_us))
        follows = state.last_id is not None and first <= state.last_id + 1 and count == last - first + 1
        if state.is_consecutive and (state.holes or not follows):
            self._look_for_holes(state, market_id, rows, where, now_s)
        if state.is_consecutive:
            if state.last_id is None or last > state.last_id:
                state.last_id = last
                state.last_ts_us = max(state.last_ts_us, int(rows.ts_us[where.stop - 1]))
            return
        newest = where.start + (int(rows.ts_us[where].argmax()) if count > 1 else 0)
        if int(rows.ts_us[newest]) >= state.last_ts_us:
            state.last_id, state.last_ts_us = int(rows.trade_id[newest]), int(rows.ts_us[newest])

    def _look_for_holes(
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
        """A trade that came late: the hole it was missing from gets smaller, or becomes two."""
        for index, hole in enumerate(state.holes):
            if hole.first <= trade_id <= hole.last:
                parts = [
                    _Hole(hole.first, trade_id - 1, hole.after_ts_us, ts_us, hole.seen_s),
                    _Hole(trade_id + 1, hole.last, ts_us, hole.before_ts_us, hole.seen_s),
                ]
                state.holes[index : index + 1] = [part for part in parts if part.first <= part.last]
                return

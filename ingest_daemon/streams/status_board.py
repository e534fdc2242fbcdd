"""The current status of each market. Streams and the committer write it; the reporter reads it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from coinwatch.records import Market
from coinwatch.times import now_us
from warehouse.ops.health import StreamHealth, StreamState
from warehouse.trades.writer import Written


class StreamStatusBoard:
    """Health of the streams of this daemon, by market."""

    def __init__(self) -> None:
        self._ids: dict[Market, int] = {}
        self.health: dict[int, StreamHealth] = {}
        """By market id."""
        self.exchange: dict[int, str] = {}
        """Name of the exchange, by market id. Removed markets stay: their last trades may arrive later."""
        self._none_live_since_s: float | None = None

    @property
    def none_live_s(self) -> float:
        """For how long no market has been live; 0 while at least one is, or none is followed."""
        return 0.0 if self._none_live_since_s is None else time.monotonic() - self._none_live_since_s

    @property
    def last_error(self) -> str | None:
        """The newest error of any market."""
        newest = max(self.health.values(), key=lambda health: health.last_error_us or 0, default=None)
        return None if newest is None else newest.last_error

    def add(self, market_ids: Mapping[Market, int]) -> None:
        """Follow these markets, which are connecting."""
        for market, market_id in market_ids.items():
            self._ids[market] = market_id
            self.exchange[market_id] = market.exchange
            self.health[market_id] = StreamHealth(state=StreamState.CONNECTING)
        self._time_none_live()

    def remove(self, markets: Iterable[Market]) -> dict[int, StreamHealth]:
        """Stop following ``markets``; return their last health, as stopped, by market id."""
        markets = list(markets)
        self.set_state(markets, StreamState.STOPPED)
        ids = [self._ids.pop(market) for market in markets if market in self._ids]
        removed = {market_id: self.health.pop(market_id) for market_id in ids}
        self._time_none_live()
        return removed

    def set_state(self, markets: Iterable[Market], state: StreamState, error: str | None = None) -> None:
        """Record the state of ``markets``, and the ``error`` that caused it, if any."""
        for market in markets:
            if market not in self._ids:
                continue
            health = self.health[self._ids[market]]
            health.state = state
            if error is not None:
                health.last_error = error
                health.last_error_us = now_us()
        self._time_none_live()

    def lost(self, markets: Iterable[Market], reason: str) -> None:
        """Record that the connection of ``markets`` ended."""
        markets = list(markets)
        self.set_state(markets, StreamState.DOWN, reason)
        for market in markets:
            if market in self._ids:
                self.health[self._ids[market]].reconnects += 1

    def stopped(self) -> None:
        """Record that the daemon stops on purpose."""
        self.set_state(list(self._ids), StreamState.STOPPED)

    def stored(self, written: Written, received_us: int, committed_us: int, *, late: bool) -> None:
        """Record a committed batch.

        Args:
            written: What was stored.
            received_us: When its last trade arrived, by our clock.
            committed_us: When it was committed, by our clock.
            late: Whether its trades are older than the newest of their markets.
        """
        for move in written.moves:
            health = self.health.get(move.market_id)
            if health is None:
                continue
            health.trades += move.count
            if late:
                continue
            health.last_received_us = received_us
            if health.last_trade_ts_us is None or move.last_ts_us >= health.last_trade_ts_us:
                health.last_price = move.last
                health.last_trade_ts_us = move.last_ts_us
                health.lag_ms = (committed_us - move.last_ts_us) / 1_000
        for market_id, count in written.duplicates.items():
            if market_id in self.health:
                self.health[market_id].duplicates += count

    def recovered(self, market_id: int, count: int) -> None:
        """Record that recovery stored ``count`` trades."""
        if market_id in self.health:
            self.health[market_id].recovered += count

    def states(self) -> dict[str, int]:
        """How many markets are in each state."""
        states = [health.state for health in self.health.values()]
        return {state.value: states.count(state) for state in StreamState}

    def _time_none_live(self) -> None:
        if not self.health or any(health.state is StreamState.LIVE for health in self.health.values()):
            self._none_live_since_s = None
        elif self._none_live_since_s is None:
            self._none_live_since_s = time.monotonic()

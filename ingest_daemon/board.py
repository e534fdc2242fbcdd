"""What is known of each market now. Streams and the committer write here; the reporter reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from coinwatch.records import Market
from coinwatch.times import now_us
from warehouse.health import StreamHealth, StreamState
from warehouse.ticks import Written


class Board:
    def __init__(self, market_ids: Mapping[Market, int]) -> None:
        self._market_ids = market_ids
        self.health = {
            market_id: StreamHealth(state=StreamState.CONNECTING) for market_id in market_ids.values()
        }
        """By market id."""
        self.exchange = {market_id: market.exchange for market, market_id in market_ids.items()}

    def set_state(self, markets: Iterable[Market], state: StreamState, error: str | None = None) -> None:
        """Say how ``markets`` stream; ``error`` is why, where something went wrong."""
        for market in markets:
            health = self.health[self._market_ids[market]]
            health.state = state
            if error is not None:
                health.last_error = error
                health.last_error_us = now_us()

    def lost(self, markets: Iterable[Market], reason: str) -> None:
        """Their connection ended."""
        markets = list(markets)
        self.set_state(markets, StreamState.DOWN, reason)
        for market in markets:
            self.health[self._market_ids[market]].reconnects += 1

    def stopped(self) -> None:
        """The daemon ends on purpose."""
        self.set_state(self._market_ids, StreamState.STOPPED)

    def stored(self, written: Written, received_us: int, committed_us: int) -> None:
        """A batch was committed, received and committed by our clock."""
        for move in written.moves:
            health = self.health[move.market_id]
            health.trades += move.count
            health.last_received_us = received_us
            if health.last_trade_ts_us is None or move.last_ts_us >= health.last_trade_ts_us:
                health.last_price = move.last
                health.last_trade_ts_us = move.last_ts_us
                health.lag_ms = (committed_us - move.last_ts_us) / 1_000
        for market_id, count in written.duplicates.items():
            self.health[market_id].duplicates += count

    def states(self) -> dict[str, int]:
        """How many markets are in each state."""
        found = [health.state for health in self.health.values()]
        return {state.value: found.count(state) for state in StreamState}

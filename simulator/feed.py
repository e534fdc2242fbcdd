"""The live stream: sends each trade to its subscribers when its time has come."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Iterable
from itertools import groupby
from operator import itemgetter
from typing import Final

from coinwatch.records import Market
from coinwatch.times import MINUTE_US, now_us
from simulator.exchanges.base import Row, Venue, rows
from simulator.faults import StreamFaults
from simulator.markets import SimMarket
from simulator.truth import trades_before, trades_in_minute
from simulator.wire import Client, framing

_SHORTEST_SLEEP_S: Final = 0.001
_LONGEST_SLEEP_S: Final = 0.05
_AHEAD_US: Final = 30_000_000
"""How long before a minute its trades are generated."""


class _Lane:
    """The upcoming trades of one market and its subscribers."""

    def __init__(self, venue: Venue, market: SimMarket, ts_us: int) -> None:
        self.venue = venue
        self.market = market
        self.framing = framing(binary=venue.binary)
        self.clients: dict[str, list[Client]] = {}
        """By channel."""
        minute = ts_us // MINUTE_US
        self.ready_until = minute
        self._rows: list[Row] = []
        self._times: list[int] = []
        self._next = 0
        self.add(self.prepare())
        self._next = bisect_right(self._times, ts_us)
        self._last_id = trades_before(market, minute) + self._next

    @property
    def last_id(self) -> int:
        """The id of the last trade whose time has passed."""
        return self._last_id

    @property
    def next_us(self) -> int:
        """The time of the next trade, or the end of the generated trades when there is none."""
        if self._next < len(self._times):
            return self._times[self._next]
        return self.ready_until * MINUTE_US

    def prepare(self) -> list[Row]:
        """Generate the trades of the next minute; slow, so call it in a thread."""
        return rows(trades_in_minute(self.market, self.ready_until))

    def add(self, minute: list[Row]) -> None:
        """Append the trades that ``prepare`` generated."""
        self._rows = self._rows[self._next :] + minute
        self._times = [row.ts_us for row in self._rows]
        self._next = 0
        self.ready_until += 1

    def due(self, ts_us: int) -> list[Row]:
        """Take the trades up to ``ts_us`` that were not taken before."""
        start = self._next
        if start == len(self._times) or self._times[start] > ts_us:
            return []
        self._next = bisect_right(self._times, ts_us, start)
        self._last_id += self._next - start
        return self._rows[start : self._next]


class Feed:
    """All lanes. ``lag_us`` is the greatest delay between a trade's time and its sending so far."""

    def __init__(self) -> None:
        self._lanes: dict[SimMarket, _Lane] = {}
        self.faults: dict[str, StreamFaults] = {}
        """By exchange."""
        self.silent: set[Market] = set()
        """Markets whose trades are not sent."""
        self.sent = 0
        self.lag_us = 0

    def join(self, client: Client, venue: Venue, channel: str, market: SimMarket) -> int:
        """Subscribe ``client`` to the market's trades; returns the id of the last past trade."""
        lane = self._lanes.get(market)
        if lane is None:
            lane = self._lanes[market] = _Lane(venue, market, now_us())
        lane.clients.setdefault(channel, []).append(client)
        return lane.last_id

    def last_id(self, market: SimMarket) -> int:
        """The id of the last past trade of a market with subscribers."""
        return self._lanes[market].last_id

    def leave(self, client: Client, channel: str, market: SimMarket) -> None:
        lane = self._lanes[market]
        lane.clients[channel].remove(client)
        if not lane.clients[channel]:
            del lane.clients[channel]
        if not lane.clients:
            del self._lanes[market]

    def drop(self, client: Client) -> None:
        """Remove a disconnected client."""
        for market, lane in list(self._lanes.items()):
            for channel in [name for name, clients in lane.clients.items() if client in clients]:
                self.leave(client, channel, market)

    async def run(self) -> None:
        """Send until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_ready())
            while True:
                moment_us = now_us()
                for lane in list(self._lanes.values()):
                    if lane.next_us <= moment_us:
                        self._send(lane, moment_us)
                await self._until_next()

    def _send(self, lane: _Lane, moment_us: int) -> None:
        while lane.ready_until * MINUTE_US <= moment_us:  # the event loop was blocked for half a minute
            lane.add(lane.prepare())
        trades = lane.due(moment_us)
        if not trades:
            return
        self.sent += len(trades)
        self.lag_us = max(self.lag_us, moment_us - trades[0].ts_us)
        if lane.market.market in self.silent:
            return
        faults = self.faults.get(lane.venue.name)
        for channel, clients in lane.clients.items():
            payloads = lane.venue.frames(channel, lane.market, trades, moment_us)
            if faults is None:
                _write(clients, b"".join(map(lane.framing, payloads)))
                continue
            for wait_s, group in groupby(faults.fate(payloads), itemgetter(0)):
                frames = b"".join(lane.framing(payload) for _, payload in group)
                if wait_s:
                    asyncio.get_running_loop().call_later(wait_s, _write, list(clients), frames)
                else:
                    _write(clients, frames)

    async def _until_next(self) -> None:
        next_us = min((lane.next_us for lane in self._lanes.values()), default=1 << 62)
        wait_s = min(max((next_us - now_us()) / 1e6, _SHORTEST_SLEEP_S), _LONGEST_SLEEP_S)
        await asyncio.sleep(wait_s)

    async def _keep_ready(self) -> None:
        while True:
            for lane in list(self._lanes.values()):
                if lane.ready_until * MINUTE_US - now_us() < _AHEAD_US:
                    ready_until = lane.ready_until
                    minute = await asyncio.to_thread(lane.prepare)
                    if lane.ready_until == ready_until:
                        lane.add(minute)
            await asyncio.sleep(1)


def _write(clients: Iterable[Client], frames: bytes) -> None:
    for client in clients:
        client.write(frames)

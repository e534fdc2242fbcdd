"""Silence that is none: markets that trade, as their exchange says when asked, but bring nothing."""

from __future__ import annotations

import asyncio
import time

import structlog

from coinwatch.errors import SourceError
from coinwatch.records import Market, Trade
from coinwatch.times import SECOND_US, now_us
from ingest_daemon.log_throttle import LogThrottle
from ingest_daemon.recovery.continuity import Continuity
from ingest_daemon.recovery.rest_clients import Rest
from ingest_daemon.streams.stream_set import ALL_SILENT_S, Streams
from sources.exchanges import EXCHANGES

LOOK_EVERY_S = 1.0
ON_ITS_WAY_US = 2 * SECOND_US
"""A trade younger than this may still come by the stream."""

log = structlog.get_logger(__name__)


class QuietWatch:
    """Asks the exchange about each market that is quiet for longer than usual."""

    def __init__(self, rest: Rest, streams: Streams, continuity: Continuity) -> None:
        self._rest = rest
        self._streams = streams
        self._continuity = continuity
        self._asking: set[Market] = set()
        self._failures = LogThrottle()

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                await asyncio.sleep(LOOK_EVERY_S)
                for market in set(self._continuity.quiet(time.monotonic())) - self._asking:
                    if self._streams.subscribed_since(market) is not None:
                        self._asking.add(market)
                        tasks.create_task(self._look(market))

    async def _look(self, market: Market) -> None:
        try:
            known = self._continuity.newest(market)
            try:
                missed = known is not None and await self._has_traded_since(market, *known)
            except SourceError as error:
                self._say_unknown(market, error)
                missed = self._is_alone(market)
            if not missed:
                self._continuity.is_truly_quiet(market, time.monotonic())
            elif self._continuity.newest(market) == known:
                log.warning("a market trades but its stream brings nothing", market=str(market))
                self._streams.revive(market)
        finally:
            self._asking.discard(market)

    async def _has_traded_since(self, market: Market, trade_id: int | None, ts_us: int) -> bool:
        exchange = EXCHANGES[market.exchange]
        http = await self._rest.of(exchange)
        answer = await http.get(exchange.newest_trades_requests(market)[0])
        old_us = (answer.date_us or now_us()) - ON_ITS_WAY_US

        def was_missed(trade: Trade) -> bool:
            if exchange.consecutive_ids and trade_id is not None:
                return trade.trade_id > trade_id and trade.ts_us < old_us
            return ts_us + max(SECOND_US, exchange.rest_ts_step_us) < trade.ts_us < old_us

        return any(map(was_missed, exchange.decode_trades(market, answer.body)))

    def _is_alone(self, market: Market) -> bool:
        """Whether every market of its exchange is as quiet: with REST away too, a socket worth leaving."""
        others = [m for m in self._streams.markets if m.exchange == market.exchange]
        latest = max(self._continuity.heard_s(other) for other in others)
        return len(others) > 1 and time.monotonic() - latest > 2 * ALL_SILENT_S

    def _say_unknown(self, market: Market, error: SourceError) -> None:
        if (suppressed := self._failures.suppressed()) is not None:
            log.warning(
                "a quiet market could not be checked",
                market=str(market),
                reason=str(error),
                suppressed=suppressed,
            )

"""Detects silent streams: markets that trade, according to REST, but whose stream brings nothing."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict

import structlog

from coinwatch.errors import SourceError
from coinwatch.health.episodes import Episode
from coinwatch.records import Market, Trade
from coinwatch.times import SECOND_US, now_us
from ingest_daemon.context import DaemonContext
from ingest_daemon.log_throttle import LogThrottle
from ingest_daemon.recovery.rest_clients import Rest
from ingest_daemon.streams.stream_set import ALL_SILENT_S, Streams
from sources.exchanges import EXCHANGES

LOOK_EVERY_S = 1.0
SETTLED_S = 60.0
BEHIND_S = 1.0
"""When trades wait for longer to be stored, a market may have traded although nothing of it was counted."""
ON_ITS_WAY_US = 2 * SECOND_US
"""A trade younger than this may still arrive by the stream."""

log = structlog.get_logger(__name__)


class QuietWatch:
    """Checks by REST each market that is quiet for longer than usual."""

    def __init__(self, context: DaemonContext, rest: Rest, streams: Streams) -> None:
        self._rest = rest
        self._streams = streams
        self._continuity = context.continuity
        self._queue = context.queue
        self._checking: set[Market] = set()
        self._failures = LogThrottle()
        self._silences: defaultdict[Market, Episode] = defaultdict(lambda: Episode(SETTLED_S))

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                await asyncio.sleep(LOOK_EVERY_S)
                if self._queue.delay_s > BEHIND_S:
                    continue  # what the streams bring is not known yet
                for market in set(self._continuity.quiet(time.monotonic())) - self._checking:
                    if self._streams.subscribed_since(market) is not None:
                        self._checking.add(market)
                        tasks.create_task(self._check(market))

    async def _check(self, market: Market) -> None:
        try:
            newest = self._continuity.newest(market)
            try:
                missed = newest is not None and await self._has_traded_since(market, *newest)
            except SourceError as error:
                self._log_unknown(market, error)
                missed = self._is_exchange_silent(market)
            if not missed:
                self._silences[market].worked()
                self._continuity.confirm_quiet(market, time.monotonic())
            elif self._continuity.newest(market) == newest and self._queue.delay_s <= BEHIND_S:
                if self._silences[market].failed("silent"):
                    log.warning("a market trades but its stream brings nothing", market=str(market))
                self._streams.revive(market)
        finally:
            self._checking.discard(market)

    async def _has_traded_since(self, market: Market, trade_id: int | None, ts_us: int) -> bool:
        exchange = EXCHANGES[market.exchange]
        http = await self._rest.of(exchange)
        response = await http.get(exchange.newest_trades_requests(market)[0])
        old_us = (response.date_us or now_us()) - ON_ITS_WAY_US

        def was_missed(trade: Trade) -> bool:
            if exchange.consecutive_ids and trade_id is not None:
                return trade.trade_id > trade_id and trade.ts_us < old_us
            return ts_us + max(SECOND_US, exchange.rest_ts_step_us) < trade.ts_us < old_us

        return any(map(was_missed, exchange.decode_trades(market, response.body)))

    def _is_exchange_silent(self, market: Market) -> bool:
        """Whether all markets of its exchange are silent: with REST down too, the socket is replaced."""
        others = [m for m in self._streams.markets if m.exchange == market.exchange]
        latest = max(self._continuity.last_trade_s(other) for other in others)
        return len(others) > 1 and time.monotonic() - latest > 2 * ALL_SILENT_S

    def _log_unknown(self, market: Market, error: SourceError) -> None:
        if (suppressed := self._failures.suppressed()) is not None:
            log.warning(
                "a quiet market could not be checked",
                market=str(market),
                reason=str(error),
                suppressed=suppressed,
            )

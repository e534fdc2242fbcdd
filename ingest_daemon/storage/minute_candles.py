"""Builds the candle of each minute from stored trades, as soon as the minute is over."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import structlog

from coinwatch.errors import WarehouseError
from coinwatch.health.episodes import Episode
from coinwatch.health.outage import reason_of
from coinwatch.intervals import Interval
from coinwatch.times import MINUTE_US, SECOND_US, now_us
from coinwatch.windows import Window
from ingest_daemon.context import DaemonContext
from warehouse.candles.from_trades import candles_from_ticks
from warehouse.db.errors import deadline

LATE_US = 2 * SECOND_US
"""How long after its end a minute is built: its last trades take a while to arrive."""
CATCH_UP_US = 15 * MINUTE_US
"""How far back minutes are built after an outage of Postgres; Dagster builds older ones."""
TIMEOUT_S = 20.0

log = structlog.get_logger(__name__)


class MinuteCandles:
    """The one-minute candles of every market this daemon streams."""

    def __init__(self, context: DaemonContext) -> None:
        self._context = context
        self._failures = Episode(settled_s=0.0)

    async def run(self) -> None:
        """Build minute after minute until cancelled. A minute that fails is retried with the next one."""
        done_us = Interval.M1.floor(now_us())
        while True:
            await asyncio.sleep(seconds_to_next(now_us()))
            window = due(done_us, now_us())
            if window and await self._build(list(self._context.market_ids.values()), window):
                done_us = window.end_us

    async def _build(self, market_ids: Collection[int], window: Window) -> bool:
        try:
            async with deadline(TIMEOUT_S), await self._context.connect("minutes") as conn:
                await candles_from_ticks(conn, market_ids, window)
        except WarehouseError as error:
            if self._failures.failed(reason_of(error)):
                log.warning(
                    "the candles of the last minutes could not be built; retrying every minute",
                    reason=reason_of(error),
                )
            return False
        if (recovery := self._failures.worked()) is not None:
            log.info("the candles of the last minutes are built again", failed_s=recovery.lasted_s)
        return True


def seconds_to_next(now_us: int) -> float:
    """How long until the next minute can be built. Pure: no I/O."""
    next_us = Interval.M1.floor(now_us - LATE_US) + MINUTE_US + LATE_US
    return (next_us - now_us) / SECOND_US


def due(done_us: int, now_us: int) -> Window | None:
    """The minutes to build now, given that all before ``done_us`` are; None when there are none."""
    end_us = Interval.M1.floor(now_us - LATE_US)
    start_us = max(done_us, end_us - CATCH_UP_US)
    return Window(start_us, end_us) if start_us < end_us else None

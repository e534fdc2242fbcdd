"""The task that writes the candle of each minute as soon as it is over, from the trades stored."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

import psycopg
import sqlalchemy
import structlog

from coinwatch.errors import WarehouseError
from coinwatch.intervals import Interval
from coinwatch.records import Market
from coinwatch.times import MINUTE_US, SECOND_US, now_us
from coinwatch.windows import Window
from ingest_daemon.log_throttle import LogThrottle
from warehouse.candles.from_trades import candles_from_ticks
from warehouse.db.connect import connect

LATE_US = 2 * SECOND_US
"""How long after its end a minute is folded: its last trades take a while to come."""
CATCH_UP_US = 15 * MINUTE_US
"""How far back minutes are made that were over while Postgres was away; older ones come from Dagster."""
TIMEOUT_S = 20.0

log = structlog.get_logger(__name__)

_FAILURES = (psycopg.Error, WarehouseError, OSError, TimeoutError)


class Minutes:
    """``market_ids``: the markets this daemon streams, kept current by others."""

    def __init__(self, url: sqlalchemy.URL, market_ids: Mapping[Market, int]) -> None:
        self._url = url
        self._market_ids = market_ids
        self._failures = LogThrottle()

    async def run(self) -> None:
        """Fold minute after minute until cancelled. What fails is made up for a minute later."""
        done_us = Interval.M1.floor(now_us())
        while True:
            await asyncio.sleep(seconds_to_next(now_us()))
            window = due(done_us, now_us())
            if window and await self._fold(list(self._market_ids.values()), window):
                done_us = window.end_us

    async def _fold(self, market_ids: Collection[int], window: Window) -> bool:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                async with await connect(self._url, application_name="coinwatch ingest minutes") as conn:
                    await candles_from_ticks(conn, market_ids, window)
        except _FAILURES as error:
            if (suppressed := self._failures.suppressed()) is not None:
                reason = str(error).strip().partition("\n")[0] or type(error).__name__
                log.warning(
                    "the candles of the last minutes could not be made; trying again in a minute",
                    reason=reason,
                    suppressed=suppressed,
                )
            return False
        return True


def seconds_to_next(now_us: int) -> float:
    """How long until another minute can be folded."""
    next_us = Interval.M1.floor(now_us - LATE_US) + MINUTE_US + LATE_US
    return (next_us - now_us) / SECOND_US


def due(done_us: int, now_us: int) -> Window | None:
    """The minutes to fold now, when all before ``done_us`` are; None when there is none."""
    end_us = Interval.M1.floor(now_us - LATE_US)
    start_us = max(done_us, end_us - CATCH_UP_US)
    return Window(start_us, end_us) if start_us < end_us else None

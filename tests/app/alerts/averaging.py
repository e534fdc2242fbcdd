"""Averages committed as the ingest daemon commits them, at the times asked for."""

from __future__ import annotations

from psycopg import AsyncConnection

from coinwatch.averaging.average import Average, Method, State
from coinwatch.records import Symbol
from coinwatch.times import SECOND_US, now_us, utc_day
from warehouse.averages.store import PairAverage, write_averages
from warehouse.db.partitions import ensure_average_days


class Averager:
    """Times are whole seconds since 1970."""

    def __init__(self, conn: AsyncConnection) -> None:
        self.conn = conn

    async def store(self, second: int, *, exchanges: tuple[str, ...] = ("kraken",), **prices: float) -> None:
        """Commit the averages of one second: ``BTC_USD=70000``."""
        await ensure_average_days(self.conn, [utc_day(second * SECOND_US)])
        stored = await write_averages(
            self.conn,
            second * SECOND_US,
            [
                PairAverage(
                    symbol=Symbol(*pair.split("_")),
                    ts_us=second * SECOND_US,
                    average=Average(price, 0.0, Method.MEDIAN, State.DEGRADED, exchanges, {}),
                )
                for pair, price in prices.items()
            ],
        )
        assert stored == len(prices)


def a_while_ago(seconds: int = 300, multiple_of: int = 60) -> int:
    """A whole minute, in seconds, at least so long ago: there is room for a test's history after it."""
    return (now_us() // SECOND_US - seconds) // multiple_of * multiple_of

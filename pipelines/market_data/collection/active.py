"""The active markets: those configured, watched by alerts, or among the largest by volume."""

from __future__ import annotations

from typing import Any

from psycopg import AsyncConnection

from coinwatch.records import Market
from coinwatch.settings import Settings
from coinwatch.times import day_start_us, now_us
from pipelines.market_data.partitions import recent_days
from sources.exchanges import EXCHANGES
from warehouse.alerts.watched_markets import watched_markets
from warehouse.candles.coverage import want_from_now_on
from warehouse.markets import ensure_markets, top_markets


async def active_markets(conn: AsyncConnection[Any], settings: Settings) -> list[Market]:
    """The markets whose candles are collected routinely."""
    markets = {*settings.markets, *settings.polled_markets, *await watched_markets(conn)}
    if settings.top_markets:
        markets.update(await top_markets(conn, settings.top_markets))
    return sorted(market for market in markets if market.exchange in EXCHANGES)


async def want_active(conn: AsyncConnection[Any], settings: Settings) -> list[Market]:
    """Record that candles of the active markets are wanted, ``history_days`` back and from now on.

    Returns the active markets.
    """
    markets = await active_markets(conn, settings)
    ids = await ensure_markets(
        conn, {market: EXCHANGES[market.exchange].native(market) for market in markets}
    )
    first, _ = recent_days(now_us(), settings.history_days, settings.history_start)
    await want_from_now_on(conn, ids.values(), day_start_us(first))
    return markets

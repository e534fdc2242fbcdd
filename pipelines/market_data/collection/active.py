"""Which markets are active: configured, watched, or of those with most volume."""

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
    """The markets whose candles are collected without being asked."""
    markets = {*settings.markets, *settings.polled_markets, *await watched_markets(conn)}
    if settings.top_markets:
        markets.update(await top_markets(conn, settings.top_markets))
    return sorted(market for market in markets if market.exchange in EXCHANGES)


async def want_active(conn: AsyncConnection[Any], settings: Settings) -> list[Market]:
    """The active markets, whose candles are wanted from now on and ``history_days`` back."""
    markets = await active_markets(conn, settings)
    ids = await ensure_markets(
        conn, {market: EXCHANGES[market.exchange].native(market) for market in markets}
    )
    first, _ = recent_days(now_us(), settings.history_days, settings.history_start)
    await want_from_now_on(conn, ids.values(), day_start_us(first))
    return markets

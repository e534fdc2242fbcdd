"""The tables in SQLAlchemy. Migrations must create exactly these; a test compares."""

from warehouse.tables import fundamentals, indicators, sentiment
from warehouse.tables.alerts import alert_counter, alert_events, alert_rules, subscribers
from warehouse.tables.base import metadata
from warehouse.tables.core import (
    api_budgets,
    candle_checks,
    candle_coverage,
    candle_rollups,
    candles,
    leases,
    markets,
    price_averages,
    quarantines,
    rejects,
    service_heartbeats,
    stream_gaps,
    stream_health,
    ticks,
)
from warehouse.tables.deliveries import deliveries, delivery_cursor, outlets
from warehouse.tables.jobs import job_failures

__all__ = [
    "alert_counter",
    "alert_events",
    "alert_rules",
    "api_budgets",
    "candle_checks",
    "candle_coverage",
    "candle_rollups",
    "candles",
    "deliveries",
    "delivery_cursor",
    "fundamentals",
    "indicators",
    "job_failures",
    "leases",
    "markets",
    "metadata",
    "outlets",
    "price_averages",
    "quarantines",
    "rejects",
    "sentiment",
    "service_heartbeats",
    "stream_gaps",
    "stream_health",
    "subscribers",
    "ticks",
]

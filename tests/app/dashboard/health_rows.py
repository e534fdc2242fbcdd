"""Rows of stream health and of heartbeats."""

from __future__ import annotations

from datetime import UTC, datetime

from coinwatch.records import Market
from warehouse.ops.health import ServiceRow, StreamRow, StreamState

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
KRAKEN = Market.canonical("kraken:BTC-USDT")


def stream(
    state: StreamState = StreamState.LIVE, *, age_s: float = 1.0, error: str | None = None
) -> StreamRow:
    return StreamRow(
        market=KRAKEN,
        state=state,
        last_price=1.0,
        last_trade_ts=NOW,
        last_received_at=NOW,
        lag_ms=5.0,
        trades=1,
        duplicates=0,
        recovered=0,
        reconnects=0,
        last_error=error,
        last_error_at=NOW if error else None,
        age_s=age_s,
    )


def service(age_s: float, name: str = "ingest", **detail: object) -> ServiceRow:
    return ServiceRow(service=name, instance=f"box:{age_s}", started_at=NOW, age_s=age_s, detail=detail)

"""What is told of Dagster every minute. A sensor, as a run for it would take longer than what it tells."""

from __future__ import annotations

import asyncio
import socket
from datetime import UTC, datetime

import dagster as dg

from pipelines.maintenance.health import SERVICE, SPAN, last_failure, oldest_gap, runs_by_status
from pipelines.resources import Coinwatch
from warehouse.health import beat

_STARTED = datetime.now(UTC)


@dg.sensor(minimum_interval_seconds=60, default_status=dg.DefaultSensorStatus.RUNNING)
def tell_health(context: dg.SensorEvaluationContext, coinwatch: Coinwatch) -> dg.SkipReason:
    """Write runs of the last 24 hours, the last failure and the oldest gap to service_heartbeats."""
    instance = context.instance
    runs = runs_by_status(instance, datetime.now(UTC) - SPAN)
    asyncio.run(_tell(coinwatch, {"runs_24h": runs, "last_failure": last_failure(instance)}))
    return dg.SkipReason(
        f"Told: in 24 hours {runs['success']} runs succeeded and {runs['failure']} failed; "
        f"{runs['under_way']} are under way."
    )


async def _tell(coinwatch: Coinwatch, detail: dict[str, object]) -> None:
    async with coinwatch.warehouse() as conn:
        detail["oldest_gap"] = await oldest_gap(conn)
        await beat(conn, SERVICE, socket.gethostname(), _STARTED, detail)

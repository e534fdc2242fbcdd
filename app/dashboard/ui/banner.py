"""The banner at the top of every page while its prices are not live: no database, or no daemon."""

from __future__ import annotations

from app.dashboard.data.read_results import Health
from app.dashboard.data.source import DashboardReads
from app.dashboard.ui import page
from coinwatch import formats
from coinwatch.liveness import STANDSTILL_S
from coinwatch.times import SECOND_US, now_us
from warehouse.ops.health import StreamState

EVERY_S = 3


@page.every(EVERY_S)
def watch(source: DashboardReads) -> None:
    """Show the reason why no price is live; nothing while prices are."""
    reading = source.health()
    at_us = now_us()
    if reading.problem:
        page.notice(page.stale_notice(reading, at_us))
    elif reading.value is not None:
        page.notice(standstill(reading.value, (at_us - reading.read_us) / SECOND_US))


def standstill(health: Health, since_s: float = 0.0) -> str:
    """Why no price is live, ``since_s`` after ``health`` was read.

    Empty while some are, and before the first stream has started.
    """
    if not health.streams:
        return ""
    daemons = [row.age_s for row in health.services if row.service == "ingest"]
    silent_s = min([*daemons, *(row.age_s for row in health.streams)]) + since_s
    if silent_s > STANDSTILL_S:
        silence = formats.duration(round(silent_s * SECOND_US))
        return (
            f"Stale: no heartbeat of the ingest daemon for {silence}. Prices are the last known ones. "
            "Start it with coinwatch up or coinwatch ingest; this page then updates automatically."
        )
    if not any(row.state is StreamState.LIVE for row in health.streams):
        return (
            "Stale: no exchange is connected, so prices are the last known ones. "
            "The daemon reconnects automatically; the reasons are listed under Data, Streams."
        )
    return ""

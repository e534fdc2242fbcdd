"""The banner at the top of every page while what it shows is not live: no database, or no daemon."""

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
    """Tell what is wrong with all numbers at once; nothing while nothing is."""
    reading = source.health()
    at_us = now_us()
    if reading.problem:
        page.notice(page.stale_notice(reading, at_us))
    elif reading.value is not None:
        page.notice(standstill(reading.value, (at_us - reading.read_us) / SECOND_US))


def standstill(health: Health, since_s: float = 0.0) -> str:
    """Why no price moves, ``since_s`` after ``health`` was read; empty while some do, or none ever has."""
    if not health.streams:
        return ""
    daemons = [row.age_s for row in health.services if row.service == "ingest"]
    silent_s = min([*daemons, *(row.age_s for row in health.streams)]) + since_s
    if silent_s > STANDSTILL_S:
        silence = formats.duration(round(silent_s * SECOND_US))
        return (
            f"Stale: the ingest daemon has not been heard for {silence}. Prices are the last known ones. "
            "Start it with coinwatch up or coinwatch ingest; this page goes on by itself."
        )
    if not any(row.state is StreamState.LIVE for row in health.streams):
        return (
            "Stale: no exchange is connected, so prices are the last known ones. "
            "The daemon tries again by itself; Data, Streams, has the reasons."
        )
    return ""

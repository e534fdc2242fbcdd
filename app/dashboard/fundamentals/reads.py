"""What the Fundamentals page reads from the warehouse."""

from __future__ import annotations

from sqlalchemy import Connection

from app.dashboard.data.reader import Reading
from app.dashboard.data.source import DashboardReads
from app.dashboard.fundamentals import view
from coinwatch.times import SECOND_US, now_us
from coinwatch.windows import Window
from warehouse.assets import reads

FRESH_S = 60


def assets(source: DashboardReads) -> Reading[tuple[view.Asset, ...]]:
    """Every listed or watched asset with its best numbers, by rank."""

    def ask(conn: Connection) -> tuple[view.Asset, ...]:
        at_us = now_us()
        return view.join(reads.assets(conn, at_us), reads.latest_metrics(conn, at_us))

    return source.read(("assets",), ask, FRESH_S)


def asset_detail(source: DashboardReads, asset_id: str) -> Reading[tuple[reads.AssetDetail, ...]]:
    """The description of an asset as a tuple of one; empty for an unknown asset."""
    return source.read(("asset", asset_id), lambda conn: reads.asset_detail(conn, asset_id), FRESH_S)


def metric_history(
    source: DashboardReads, asset_id: str, range_us: int
) -> Reading[tuple[reads.MetricPoint, ...]]:
    """The numbers of each source of an asset over the last ``range_us``."""

    def ask(conn: Connection) -> tuple[reads.MetricPoint, ...]:
        window = Window(now_us() - range_us, now_us() + SECOND_US)
        return reads.metric_history(conn, asset_id, window, view.step_us(range_us))

    return source.read(("metrics", asset_id, range_us), ask, FRESH_S)

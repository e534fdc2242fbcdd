"""Schedules of maintenance."""

from __future__ import annotations

import dagster as dg

from pipelines.maintenance.assets import (
    dagster_retention,
    history_retention,
    partitions_ahead,
    table_statistics,
    tick_retention,
)
from pipelines.market_data.partitions import PRINT_WARNINGS_ONLY

PARTITIONS_JOB = dg.define_asset_job(
    "make_partitions",
    selection=dg.AssetSelection.assets(partitions_ahead),
    description="Create the partitions of the coming days.",
)
RETENTION_JOB = dg.define_asset_job(
    "retain",
    selection=dg.AssetSelection.assets(
        tick_retention, history_retention, dagster_retention, table_statistics
    ),
    description="Delete old data from the warehouse and from Dagster's own database.",
)

partitions_every_hour = dg.ScheduleDefinition(
    name="partitions_every_hour",
    job=PARTITIONS_JOB,
    cron_schedule="41 * * * *",
    run_config=PRINT_WARNINGS_ONLY,
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
# After the nightly candle checks, which may still need yesterday's trades.
retention_every_day = dg.ScheduleDefinition(
    name="retention_every_day",
    job=RETENTION_JOB,
    cron_schedule="23 4 * * *",
    run_config=PRINT_WARNINGS_ONLY,
    default_status=dg.DefaultScheduleStatus.RUNNING,
)

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
from pipelines.run_tags import alone
from pipelines.schedules import every

PARTITIONS_JOB = dg.define_asset_job(
    "make_partitions",
    selection=dg.AssetSelection.assets(partitions_ahead),
    description="Create the partitions of the coming days.",
    tags=alone("make_partitions"),
)
RETENTION_JOB = dg.define_asset_job(
    "retain",
    selection=dg.AssetSelection.assets(
        tick_retention, history_retention, dagster_retention, table_statistics
    ),
    description="Delete old data from the warehouse and from Dagster's own database.",
    tags=alone("retain"),
)

partitions_every_hour = every("partitions_every_hour", PARTITIONS_JOB.name, "41 * * * *")
# After the nightly candle checks, which may still need yesterday's trades.
retention_every_day = every("retention_every_day", RETENTION_JOB.name, "23 4 * * *")

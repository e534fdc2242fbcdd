"""The Dagster definitions of the group ``maintenance``."""

import dagster as dg

from pipelines.maintenance.assets import (
    dagster_retention,
    history_retention,
    partitions_ahead,
    table_statistics,
    tick_retention,
)
from pipelines.maintenance.schedules import (
    PARTITIONS_JOB,
    RETENTION_JOB,
    partitions_every_hour,
    retention_every_day,
)
from pipelines.maintenance.sensors import report_failures, report_health

DEFINITIONS = dg.Definitions(
    assets=[partitions_ahead, tick_retention, history_retention, dagster_retention, table_statistics],
    jobs=[PARTITIONS_JOB, RETENTION_JOB],
    schedules=[partitions_every_hour, retention_every_day],
    sensors=[report_failures, report_health],
)

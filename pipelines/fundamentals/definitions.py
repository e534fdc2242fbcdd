"""The Dagster definitions of the group ``fundamentals``."""

import dagster as dg

from pipelines.fundamentals.assets import asset_metadata, asset_metrics
from pipelines.fundamentals.schedules import (
    METADATA_JOB,
    METRICS_JOB,
    asset_metadata_every_week,
    asset_metrics_every_hour,
    fundamentals_at_start,
)

DEFINITIONS = dg.Definitions(
    assets=[asset_metrics, asset_metadata],
    jobs=[METRICS_JOB, METADATA_JOB],
    schedules=[asset_metrics_every_hour, asset_metadata_every_week],
    sensors=[fundamentals_at_start],
)

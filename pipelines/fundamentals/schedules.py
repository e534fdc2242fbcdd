"""Schedules and sensors of fundamentals."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg

from pipelines.fundamentals.assets import asset_metadata, asset_metrics
from pipelines.market_data.jobs import ran_within, run_under_way
from pipelines.market_data.partitions import PRINT_WARNINGS_ONLY
from pipelines.run_tags import alone
from pipelines.schedules import every

METRICS_JOB = dg.define_asset_job(
    "collect_asset_metrics",
    selection=dg.AssetSelection.assets(asset_metrics),
    description="Collect this hour's metrics of all tracked assets.",
    tags=alone("collect_asset_metrics"),
)
METADATA_JOB = dg.define_asset_job(
    "collect_asset_metadata",
    selection=dg.AssetSelection.assets(asset_metadata),
    description="Refresh asset descriptions and the list of all coins.",
    tags=alone("collect_asset_metadata"),
)
_DESCRIBE_EVERY = timedelta(days=7)
_RETRY_AFTER = timedelta(minutes=30)

asset_metrics_every_hour = every("asset_metrics_every_hour", METRICS_JOB.name, "7 * * * *")


@dg.schedule(job=METADATA_JOB, cron_schedule="37 * * * *", default_status=dg.DefaultScheduleStatus.RUNNING)
def asset_metadata_every_week(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Run a week after the last success; checked hourly, so that a failed run is repeated within an hour."""
    if run_id := run_under_way(context.instance, METADATA_JOB.name):
        return dg.SkipReason(f"Run {run_id} is still in progress.")
    at = _materialized_at(context.instance, asset_metadata.key)
    if at is None and _materialized_at(context.instance, asset_metrics.key) is None:
        return dg.SkipReason("There are no metrics yet, which determine the tracked assets.")
    if at and datetime.now(UTC) - at < _DESCRIBE_EVERY:
        return dg.SkipReason(f"Last run at {at:%Y-%m-%d %H:%M} UTC; the next is due a week later.")
    return dg.RunRequest(run_config=PRINT_WARNINGS_ONLY)


@dg.sensor(
    jobs=[METRICS_JOB, METADATA_JOB],
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def fundamentals_at_start(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Collect the first metrics and descriptions as soon as there are candles, before the schedule is due."""
    if _materialized_at(context.instance, dg.AssetKey("candles_1m")) is None:
        return dg.SkipReason("There are no candles yet, whose prices identify the traded assets.")
    for asset, job in ((asset_metrics, METRICS_JOB), (asset_metadata, METADATA_JOB)):
        if _materialized_at(context.instance, asset.key) is not None:
            continue
        if run_id := run_under_way(context.instance, job.name):
            return dg.SkipReason(f"Run {run_id} is still in progress.")
        if ran_within(context.instance, job.name, _RETRY_AFTER):
            return dg.SkipReason(f"{job.name} was tried recently; its schedule will retry.")
        return dg.RunRequest(job_name=job.name, run_config=PRINT_WARNINGS_ONLY)
    return dg.SkipReason("Metrics and descriptions exist; their schedules keep them current.")


def _materialized_at(instance: dg.DagsterInstance, asset: dg.AssetKey) -> datetime | None:
    event = instance.get_latest_materialization_event(asset)
    return datetime.fromtimestamp(event.timestamp, UTC) if event else None

"""Routine collection of fundamentals."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg

from pipelines.fundamentals.assets import asset_metadata, asset_metrics
from pipelines.market_data.jobs import ran_within, run_under_way
from pipelines.market_data.partitions import PRINT_WARNINGS_ONLY

METRICS_JOB = dg.define_asset_job(
    "collect_asset_metrics",
    selection=dg.AssetSelection.assets(asset_metrics),
    description="This hour's metrics of all assets that matter.",
)
METADATA_JOB = dg.define_asset_job(
    "collect_asset_metadata",
    selection=dg.AssetSelection.assets(asset_metadata),
    description="What assets are, and the list of all coins.",
)
_DESCRIBED_EVERY = timedelta(days=7)
_A_MOMENT = timedelta(minutes=30)

asset_metrics_every_hour = dg.ScheduleDefinition(
    name="asset_metrics_every_hour",
    job=METRICS_JOB,
    cron_schedule="7 * * * *",
    run_config=PRINT_WARNINGS_ONLY,
    default_status=dg.DefaultScheduleStatus.RUNNING,
)


@dg.schedule(job=METADATA_JOB, cron_schedule="37 * * * *", default_status=dg.DefaultScheduleStatus.RUNNING)
def asset_metadata_every_week(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """A week after the last success; looked at every hour, so that a failure is repaired in one."""
    if run_id := run_under_way(context.instance, METADATA_JOB.name):
        return dg.SkipReason(f"Run {run_id} is still at it.")
    at = _materialized_at(context.instance, asset_metadata.key)
    if at is None and _materialized_at(context.instance, asset_metrics.key) is None:
        return dg.SkipReason("No metrics yet: they tell which assets matter.")
    if at and datetime.now(UTC) - at < _DESCRIBED_EVERY:
        return dg.SkipReason(f"Done at {at:%Y-%m-%d %H:%M} UTC, due again a week later.")
    return dg.RunRequest(run_config=PRINT_WARNINGS_ONLY)


@dg.sensor(
    jobs=[METRICS_JOB, METADATA_JOB],
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def fundamentals_at_start(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """The first metrics and descriptions, once there are candles, instead of at the schedule's next tick."""
    if _materialized_at(context.instance, dg.AssetKey("candles_1m")) is None:
        return dg.SkipReason("No candles yet: their prices tell which assets are traded.")
    for asset, job in ((asset_metrics, METRICS_JOB), (asset_metadata, METADATA_JOB)):
        if _materialized_at(context.instance, asset.key) is not None:
            continue
        if ran_within(context.instance, job.name, _A_MOMENT):
            return dg.SkipReason(f"{job.name} has just been tried; its schedule tries again.")
        return dg.RunRequest(job_name=job.name, run_config=PRINT_WARNINGS_ONLY)
    return dg.SkipReason("There are metrics and descriptions; their schedules go on.")


def _materialized_at(instance: dg.DagsterInstance, asset: dg.AssetKey) -> datetime | None:
    event = instance.get_latest_materialization_event(asset)
    return datetime.fromtimestamp(event.timestamp, UTC) if event else None

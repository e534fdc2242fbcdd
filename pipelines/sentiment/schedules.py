"""Schedules and sensors of sentiment."""

from __future__ import annotations

from datetime import timedelta

import dagster as dg

from coinwatch.settings import process_settings
from coinwatch.times import now_us, utc_day
from pipelines.market_data.jobs import ran_within, run_under_way
from pipelines.market_data.partitions import PRINT_WARNINGS_ONLY, run_for_days
from pipelines.run_tags import alone
from pipelines.schedules import every
from pipelines.sentiment.assets import news, sentiment
from pipelines.sentiment.collect import REPAIRED_DAYS
from sources.providers.gdelt import HISTORY_DAYS

NEWS_JOB = dg.define_asset_job(
    "collect_news",
    selection=dg.AssetSelection.assets(news),
    description="Collect new texts of news feeds, Reddit and Telegram.",
    tags=alone("collect_news"),
)
SENTIMENT_JOB = dg.define_asset_job(
    "collect_sentiment",
    selection=dg.AssetSelection.assets(sentiment),
    description="Collect scores of yesterday and today, by source and combined.",
    tags=alone("collect_sentiment"),
)
_RETRY_AFTER = timedelta(minutes=30)

news_every_15_minutes = every("news_every_15_minutes", NEWS_JOB.name, "3-59/15 * * * *")


@dg.schedule(job=SENTIMENT_JOB, cron_schedule="47 * * * *", default_status=dg.DefaultScheduleStatus.RUNNING)
def sentiment_every_hour(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Score today, and yesterday, whose last texts arrive late; every six hours the last week again."""
    if run_id := run_under_way(context.instance, SENTIMENT_JOB.name):
        return dg.SkipReason(f"Run {run_id} is still in progress.")
    return _run_since(REPAIRED_DAYS if context.scheduled_execution_time.hour % 6 == 0 else 1)


@dg.sensor(
    jobs=[NEWS_JOB, SENTIMENT_JOB],
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def sentiment_at_start(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Collect the first news and then the full history of scores, as soon as there are candles."""
    instance = context.instance
    if instance.get_latest_materialization_event(dg.AssetKey("candles_1m")) is None:
        return dg.SkipReason("There are no candles yet, which have priority.")
    for asset, job in ((news, NEWS_JOB), (sentiment, SENTIMENT_JOB)):
        if instance.get_latest_materialization_event(asset.key) is not None:
            continue
        if run_id := run_under_way(instance, job.name):
            return dg.SkipReason(f"Run {run_id} is still in progress.")
        if ran_within(instance, job.name, _RETRY_AFTER):
            return dg.SkipReason(f"{job.name} was tried recently; its schedule will retry.")
        if asset is sentiment:
            return _run_since(HISTORY_DAYS, job.name)
        return dg.RunRequest(job_name=job.name, run_config=PRINT_WARNINGS_ONLY)
    return dg.SkipReason("News and scores exist; their schedules keep them current.")


def _run_since(days_ago: int, job_name: str | None = None) -> dg.RunRequest:
    today = utc_day(now_us())
    first = max(today - timedelta(days=days_ago), min(today, process_settings().history_start))
    return run_for_days(first, today, job_name)

"""Sentiment run by Dagster: metadata by source, and the ticks of schedule and sensor."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
import psycopg
import pytest

from coinwatch.settings import Settings
from coinwatch.times import now_us, utc_day
from pipelines.sentiment.schedules import sentiment_at_start, sentiment_every_hour
from simulator.server import Simulator
from tests.pipelines.runs import checks_of, metadata_of, run
from tests.stored import rows

Conn = psycopg.AsyncConnection[Any]


@pytest.fixture
def at_simulator(configure: Callable[..., Settings], simulator: Simulator) -> Settings:
    return configure(markets="binance:BTC-USDT,binance:SOL-USDT", **simulator.settings_overrides())


def days(first: date, last: date) -> dict[str, str]:
    return {
        "dagster/asset_partition_range_start": first.isoformat(),
        "dagster/asset_partition_range_end": last.isoformat(),
    }


async def test_runs_without_any_key(
    instance: dg.DagsterInstance, conn: Conn, at_simulator: Settings, simulator: Simulator
) -> None:
    result = await run(instance, "collect_news")
    assert result.success
    assert checks_of(result) == {"feeds_are_read": True}
    done = metadata_of(instance, "news")
    assert (done["feeds"], done["feeds_failed"], done["requests"]) == (5, 0, 5)
    assert "reddit (set COINWATCH_REDDIT_CLIENT_ID" in done["not_configured"]
    assert "telegram (set COINWATCH_TELEGRAM_CHANNELS" in done["not_configured"]
    assert "](https://www." in done["newest"], "each score is linked to its article"

    today = utc_day(now_us())
    result = await run(instance, "collect_sentiment", tags=days(today - timedelta(days=9), today))
    assert result.success
    assert checks_of(result) == {
        "fear_greed_is_sane_and_fresh": True,
        "sources_answered": True,
        "combined_scores_follow_from_their_parts": True,
    }
    done = metadata_of(instance, "sentiment")
    assert done["sources_failed"] == 0
    assert "x (set COINWATCH_X_BEARER_TOKEN)" in done["not_configured"]
    assert "| BTC | " in done["combined_of_last_day"]
    assert len(instance.get_materialized_partitions(dg.AssetKey("sentiment"))) == 10
    assert await rows(
        conn, "select count(*) from v_sentiment where source = 'combined' and base = 'BTC'"
    ) == [(10,)]


async def test_a_failing_source_is_reported_and_the_others_are_stored(
    instance: dg.DagsterInstance, conn: Conn, at_simulator: Settings, simulator: Simulator
) -> None:
    simulator.fail_rest("alternative", 404, times=1_000)
    today = utc_day(now_us())
    result = await run(instance, "collect_sentiment", tags=days(today, today))
    assert result.success
    assert checks_of(result) == {
        "fear_greed_is_sane_and_fresh": False,
        "sources_answered": False,
        "combined_scores_follow_from_their_parts": True,
    }
    assert "alternative: /fng/: HTTP 404" in metadata_of(instance, "sentiment")["by_source"]


async def test_a_run_fails_when_all_sources_fail(
    instance: dg.DagsterInstance, conn: Conn, at_simulator: Settings, simulator: Simulator
) -> None:
    for name in ("alternative", "gdelt", "news"):
        simulator.fail_rest(name, 404, times=1_000)
    today = utc_day(now_us())
    assert not (await run(instance, "collect_sentiment", tags=days(today, today))).success
    assert not (await run(instance, "collect_news")).success


def test_hourly_runs_cover_two_days_and_some_a_week(instance: dg.DagsterInstance) -> None:
    today = utc_day(now_us())
    for hour, back in [(1, 1), (11, 1), (0, 7), (18, 7)]:
        at = datetime(2026, 11, 21, hour, 47, tzinfo=UTC)
        request = sentiment_every_hour(dg.build_schedule_context(instance, scheduled_execution_time=at))
        assert isinstance(request, dg.RunRequest)
        assert request.tags == days(today - timedelta(days=back), today)


def test_the_first_run_covers_the_history_after_candles(instance: dg.DagsterInstance) -> None:
    context = dg.build_sensor_context(instance)
    assert isinstance(sentiment_at_start(context), dg.SkipReason)
    instance.report_runless_asset_event(dg.AssetMaterialization("candles_1m"))
    first = sentiment_at_start(context)
    assert isinstance(first, dg.RunRequest)
    assert first.job_name == "collect_news"
    instance.report_runless_asset_event(dg.AssetMaterialization("news"))
    second = sentiment_at_start(context)
    assert isinstance(second, dg.RunRequest)
    assert second.job_name == "collect_sentiment"
    today = utc_day(now_us())
    assert second.tags == days(today - timedelta(days=89), today)
    instance.report_runless_asset_event(dg.AssetMaterialization("sentiment"))
    assert isinstance(sentiment_at_start(context), dg.SkipReason)

"""Maintenance in real runs: what it deletes, keeps and reports."""

# Annotations are not postponed in this file: Dagster compares that of `context` with the class itself.

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import psycopg
import pytest
from dagster._core.definitions.data_version import DATA_VERSION_TAG
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

from coinwatch.intervals import Interval
from coinwatch.records import Market
from coinwatch.settings import Settings
from coinwatch.times import DAY_US, MINUTE_US, day_start_us, now_us, to_datetime, utc_day
from coinwatch.windows import Window
from pipelines.instance.files import folder
from pipelines.maintenance.definitions import DEFINITIONS
from pipelines.maintenance.health import last_failure
from pipelines.maintenance.operations import DAYS_AHEAD, DagsterPruned, prune_dagster
from pipelines.maintenance.sensors import report_failures, report_health
from pipelines.resources import Coinwatch
from tests.pipelines.runs import metadata_of, run
from warehouse.alerts.job_failures import failures_after
from warehouse.candles.store import store
from warehouse.db.connect import connect, database_url
from warehouse.db.partitions import ensure_tick_days
from warehouse.markets import ensure_markets
from warehouse.ops.dagster import DAGSTER_DATABASE
from warehouse.ops.dagster_prune import CHATTER_DAYS, HISTORY_DAYS

Conn = psycopg.AsyncConnection[Any]
MAINTENANCE = dg.Definitions.merge(
    DEFINITIONS, dg.Definitions(resources={"coinwatch": Coinwatch()}, executor=dg.in_process_executor)
)
DAYS = dg.StaticPartitionsDefinition(["good", "bad", "later"])


class Luck(dg.Config):
    fails: bool = False


@dg.asset(partitions_def=DAYS, check_specs=[dg.AssetCheckSpec("sound", asset="daily")])
def daily(
    context: dg.AssetExecutionContext, config: Luck
) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    context.log.info("at work")
    if config.fails:
        raise dg.Failure("the exchange is on fire", allow_retries=False)
    yield dg.MaterializeResult(data_version=dg.DataVersion(context.run.run_id))
    yield dg.AssetCheckResult(passed=True, check_name="sound")


@dg.asset
def single(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    context.log_event(dg.AssetObservation("single", metadata={"seen": 1}))
    return dg.MaterializeResult(metadata={"run": context.run.run_id})


WORK = dg.Definitions(
    assets=[daily, single],
    jobs=[
        dg.define_asset_job("work_daily", selection="daily"),
        dg.define_asset_job("work_single", selection="single"),
    ],
    executor=dg.in_process_executor,
)


@pytest.fixture(autouse=True)
def _settings(configure: Callable[..., Settings]) -> None:
    configure(markets="binance:BTC-USDC")


async def work(instance: dg.DagsterInstance, day: str, *, fails: bool = False) -> str:
    config = {"ops": {"daily": {"config": {"fails": fails}}}}
    result = await run(instance, "work_daily", definitions=WORK, partition_key=day, run_config=config)
    assert result.success is not fails
    return result.run_id


@pytest.fixture
def url(instance: dg.DagsterInstance) -> Any:
    return database_url(Coinwatch().settings(), DAGSTER_DATABASE)


async def ago(conn: Conn, days: int, run_ids: list[str]) -> None:
    """Let the runs have been so long ago."""
    span = timedelta(days=days)
    await conn.execute(
        "update runs set end_time = end_time - %s, update_timestamp = update_timestamp - %s,"
        " create_timestamp = create_timestamp - %s where run_id = any(%s)",
        (span.total_seconds(), span, span, run_ids),
    )
    await conn.execute(
        "update event_logs set timestamp = timestamp - %s where run_id = any(%s)", (span, run_ids)
    )
    await conn.execute(
        "update asset_check_executions set evaluation_event_timestamp = evaluation_event_timestamp - %s"
        " where run_id = any(%s)",
        (span, run_ids),
    )


async def prune(url: Any, instance: dg.DagsterInstance) -> DagsterPruned:
    async with await connect(url, application_name="test") as conn:
        return await prune_dagster(conn, instance, folder(), datetime.now(UTC))


def state(instance: dg.DagsterInstance) -> dict[str, Any]:
    """The state of the assets by the events of Dagster alone, without its caches."""
    state_of: dict[str, Any] = {}
    storage = instance.event_log_storage
    storage.wipe_asset_cached_status(daily.key)
    status = get_and_update_asset_status_cache_value(instance, daily.key, DAYS)
    assert status is not None
    state_of["materialized"] = status.deserialize_materialized_partition_subsets(DAYS).get_partition_keys()
    state_of["failed"] = status.deserialize_failed_partition_subsets(DAYS).get_partition_keys()
    state_of["storage ids"] = {
        kind: storage.get_latest_storage_id_by_partition(daily.key, kind)
        for kind in (
            dg.DagsterEventType.ASSET_MATERIALIZATION,
            dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
        )
    }
    state_of["tags"] = storage.get_latest_tags_by_partition(
        daily.key, dg.DagsterEventType.ASSET_MATERIALIZATION, [DATA_VERSION_TAG]
    )
    state_of["latest"] = {
        key: instance.get_latest_materialization_event(key) for key in (daily.key, single.key)
    }
    state_of["observed"] = instance.fetch_observations(single.key, limit=1).records
    state_of["checks"] = storage.get_asset_check_summary_records([dg.AssetCheckKey(daily.key, "sound")])
    state_of["planned"] = storage.get_latest_planned_materialization_info(daily.key)
    state_of["records"] = [
        (
            record.asset_entry.asset_key,
            record.asset_entry.last_run_id,
            record.asset_entry.last_materialization_record,
        )
        for record in instance.get_asset_records([daily.key, single.key])
    ]
    return state_of


def page(instance: dg.DagsterInstance, run_id: str) -> Any:
    """What the page of a run shows."""
    return (
        instance.get_run_by_id(run_id),
        instance.get_run_stats(run_id),
        [
            (step.step_key, step.status, step.start_time, step.end_time, step.attempts)
            for step in instance.get_run_step_stats(run_id)
        ],
        [entry.message for entry in instance.all_logs(run_id)],
    )


async def test_pruning_does_not_change_the_state_of_assets(instance: dg.DagsterInstance, url: Any) -> None:
    replaced = [
        await work(instance, "good"),
        await work(instance, "bad"),
        await work(instance, "good", fails=True),
        (await run(instance, "work_single", definitions=WORK)).run_id,
    ]
    newest = [
        await work(instance, "good"),
        await work(instance, "bad", fails=True),
        (await run(instance, "work_single", definitions=WORK)).run_id,
    ]
    recent = await work(instance, "later")
    before = state(instance)
    assert set(before["materialized"]) == {"good", "bad", "later"}
    assert set(before["failed"]) == {"bad"}
    shown = page(instance, recent)
    async with await connect(url, application_name="test") as conn:
        await ago(conn, HISTORY_DAYS + 1, replaced + newest)
    before = state(instance)

    pruned = await prune(url, instance)
    assert state(instance) == before
    assert page(instance, recent) == shown
    # "bad" was last materialised by the second run, so that one stays as well.
    kept = {run.run_id for run in instance.get_runs()}
    assert kept == {replaced[1], *newest, recent}
    assert pruned.runs == 3
    assert pruned.chatter_events > 20
    assert pruned.superseded_events > 5
    events = {record.run_id for record in instance.fetch_materializations(daily.key, limit=100).records}
    assert events == {replaced[1], newest[0], recent}
    async with await connect(url, application_name="test") as conn:
        orphans = "select count(*) from {} where not exists (select from {} where {})"
        for left, right, joined in (
            ("asset_event_tags", "event_logs", "event_logs.id = event_id"),
            ("run_tags", "runs", "runs.run_id = run_tags.run_id"),
            ("event_logs", "runs", "runs.run_id = event_logs.run_id"),
        ):
            cursor = await conn.execute(orphans.format(left, right, joined))
            assert await cursor.fetchone() == (0,)

    again = await prune(url, instance)
    assert (again.chatter_events, again.superseded_events, again.runs, again.folders) == (0, 0, 0, 0)
    # And what is materialised next counts on.
    assert await work(instance, "bad")
    assert state(instance)["failed"] == set()


async def test_the_page_of_an_old_run_keeps_its_result(instance: dg.DagsterInstance, url: Any) -> None:
    failed, fresh = await work(instance, "bad", fails=True), await work(instance, "good")
    failure = last_failure(instance)
    async with await connect(url, application_name="test") as conn:
        await ago(conn, CHATTER_DAYS + 1, [failed])
        await ago(conn, CHATTER_DAYS - 1, [fresh])
    _, stats, steps, lines = page(instance, failed)
    assert "at work" in lines
    shown = page(instance, fresh)
    await prune(url, instance)
    assert page(instance, failed)[1:3] == (stats, steps)
    left = page(instance, failed)[3]
    assert 5 < len(left) < len(lines)
    assert "at work" not in left
    assert page(instance, fresh)[3] == shown[3]
    assert failure is not None
    again = last_failure(instance)
    assert again is not None
    assert again["text"] == failure["text"] == "the exchange is on fire"


async def test_running_runs_and_those_of_backfills_are_kept(instance: dg.DagsterInstance, url: Any) -> None:
    under_way, of_backfill = await work(instance, "good"), await work(instance, "good")
    await work(instance, "good")
    async with await connect(url, application_name="test") as conn:
        await ago(conn, 365, [under_way, of_backfill])
        await conn.execute("update runs set status = 'STARTED' where run_id = %s", (under_way,))
        await conn.execute("update runs set backfill_id = 'march' where run_id = %s", (of_backfill,))
        count = "select count(*) from event_logs where run_id = %s and asset_key is null"
        before = await (await conn.execute(count, (under_way,))).fetchone()
        await prune(url, instance)
        after = await (await conn.execute(count, (under_way,))).fetchone()
    assert instance.has_run(under_way)
    assert instance.has_run(of_backfill)
    assert before is not None
    assert after is not None
    assert 0 <= before[0] - after[0] <= 2  # what was replaced of its check


async def test_files_of_old_and_unknown_runs_are_deleted(instance: dg.DagsterInstance, url: Any) -> None:
    old, fresh = await work(instance, "good"), await work(instance, "bad")
    unknown = "0e6d8a9d-ccba-4275-a5a4-cab6e901b9bc"
    kept = [
        folder() / "logs" / fresh,
        folder() / "storage" / "not-a-run-at-all",
        folder() / "storage" / fresh,
    ]
    gone = [folder() / "logs" / old, folder() / "storage" / old, folder() / "logs" / unknown]
    assert kept[0].is_dir()
    assert gone[0].is_dir()
    for path in (*kept, *gone):
        (path / "deep").mkdir(parents=True, exist_ok=True)
    async with await connect(url, application_name="test") as conn:
        await ago(conn, CHATTER_DAYS + 1, [old])
    assert (await prune(url, instance)).folders == 2
    assert [path for path in kept if not path.is_dir()] == []
    assert [path for path in gone if path.exists()] == []


async def test_partitions_are_created_ahead_and_checked(instance: dg.DagsterInstance, database: Any) -> None:
    result = await run(instance, "make_partitions", definitions=MAINTENANCE)
    assert result.success
    assert [check.passed for check in result.get_asset_check_evaluations()] == [True]
    last = utc_day(now_us()) + timedelta(days=DAYS_AHEAD)
    assert metadata_of(instance, "partitions_ahead")["last_day"] == last.isoformat()
    async with await connect(database, application_name="test") as conn:
        for table in ("ticks", "price_averages"):
            cursor = await conn.execute("select to_regclass(%s)", (f"{table}_{last:%Y_%m_%d}",))
            assert await cursor.fetchone() != (None,)


async def test_retention_reports_dropped_and_kept_days(instance: dg.DagsterInstance, database: Any) -> None:
    market = Market.canonical("binance:BTC-USDC")
    today = utc_day(now_us())
    old = [today - timedelta(days=number) for number in (9, 8)]
    async with await connect(database, application_name="test") as conn:
        ids = await ensure_markets(conn, {market: "BTCUSDC"})
        await ensure_tick_days(conn, [*old, today])
        for day in old:
            await conn.execute(
                "insert into ticks (trade_id, ts, price, amount, market_id, day, taker_buys)"
                " values (1, %s, 1, 1, %s, %s, true)",
                (to_datetime(day_start_us(day)), ids[market], day),
            )
        start_us = day_start_us(old[0])
        await store(conn, ids[market], Interval.M1, [], [Window(start_us, start_us + 2 * DAY_US - MINUTE_US)])

        result = await run(instance, "retain", definitions=MAINTENANCE)
        assert result.success
        (check,) = result.get_asset_check_evaluations()
        assert not check.passed
        assert check.severity == dg.AssetCheckSeverity.WARN
        metadata = metadata_of(instance, "tick_retention")
        assert (metadata["days_dropped"], metadata["days_kept_beyond_limits"], metadata["days_lost"]) == (
            1,
            1,
            0,
        )
        assert metadata["bytes_dropped"] > 8_192
        assert metadata["limits"] == "7 days or 20 GB"
        assert f"| {old[0]} | 0.000 | dropped |  |" in metadata["by_day"]
        assert (
            f"| {old[1]} | 0.000 | kept, candles not verified | {market} {old[1]} 23:59 to"
            in metadata["by_day"]
        )
        assert f"| {today} | 0.000 | stored |  |" in metadata["by_day"]
        assert metadata_of(instance, "history_retention")["rows_deleted"] == 0
        assert metadata_of(instance, "dagster_retention")["database_bytes"] > 1_000_000

        await store(conn, ids[market], Interval.M1, [], [Window(start_us, start_us + 2 * DAY_US)])
    result = await run(instance, "retain", definitions=MAINTENANCE)
    assert [check.passed for check in result.get_asset_check_evaluations()] == [True]


async def test_health_is_reported(instance: dg.DagsterInstance, database: Any) -> None:
    def report() -> str:
        with dg.build_sensor_context(instance=instance) as context:
            answer = report_health(context, coinwatch=Coinwatch())
        assert isinstance(answer, dg.SkipReason)
        return str(answer.skip_message)

    async with await connect(database, application_name="test") as conn:
        assert await asyncio.to_thread(report) == (
            "Reported: 0 runs succeeded and 0 failed in the last 24 hours; 0 are in progress."
        )
        await work(instance, "good")
        failed = await work(instance, "bad", fails=True)
        market = Market.canonical("binance:BTC-USDC")
        ids = await ensure_markets(conn, {market: "BTCUSDC"})
        await conn.execute(
            "insert into candle_coverage (market_id, interval, wanted)"
            " values (%s, '1m', '{[2026-01-01 00:00Z, 2026-01-01 01:00Z)}')",
            (ids[market],),
        )
        answer = await asyncio.to_thread(report)
        assert answer == "Reported: 1 runs succeeded and 1 failed in the last 24 hours; 0 are in progress."
        cursor = await conn.execute("select detail from service_heartbeats where service = 'dagster'")
        ((detail,),) = await cursor.fetchall()
    assert detail["runs_24h"] == {"success": 1, "failure": 1, "canceled": 0, "under_way": 0}
    assert detail["last_failure"]["run_id"] == failed
    assert detail["last_failure"]["job"] == "work_daily"
    assert detail["last_failure"]["text"] == "the exchange is on fire"
    assert detail["oldest_gap"] == {
        "market": "binance:BTC-USDC",
        "from": "2026-01-01T00:00:00+00:00",
        "to": "2026-01-01T01:00:00+00:00",
        "markets_with_gaps": 1,
    }


async def test_a_run_that_failed_for_good_is_reported_once(
    instance: dg.DagsterInstance, database: Any
) -> None:
    def report(run_id: str, **tags: str) -> str:
        dagster_run = instance.get_run_by_id(run_id)
        assert dagster_run is not None
        (record,) = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.RUN_FAILURE).records
        event = record.event_log_entry.dagster_event
        assert event is not None
        context = dg.build_run_status_sensor_context(
            sensor_name="report_failures",
            dagster_event=event,
            dagster_instance=instance,
            dagster_run=dagster_run.with_tags({**dagster_run.tags, **tags}),
        ).for_run_failure()
        answer = report_failures(context, coinwatch=Coinwatch())
        assert isinstance(answer, dg.SkipReason)
        return str(answer.skip_message)

    failed = await work(instance, "bad", fails=True)
    answer = await asyncio.to_thread(lambda: report(failed, **{"dagster/will_retry": "true"}))
    assert answer == f"Run {failed} will be retried."
    for _ in range(2):
        assert await asyncio.to_thread(report, failed) == "Reported: work_daily failed."
    async with await connect(database, application_name="test") as conn:
        (failure,) = await failures_after(conn, 0)
    assert (failure.job, failure.why) == ("work_daily", "the exchange is on fire")

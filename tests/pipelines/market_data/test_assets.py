"""Real runs, in an instance on Postgres made from our dagster.yaml, against the simulator."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import dagster as dg
import psycopg
import pytest

from coinwatch.intervals import Interval
from coinwatch.records import Market
from coinwatch.settings import Settings
from coinwatch.times import DAY_US, MINUTE_US, day_start_us, now_us, to_datetime, utc_day
from coinwatch.windows import Window
from pipelines.market_data.partitions import run_for_days
from simulator.server import Simulator
from sources.exchanges import EXCHANGES
from tests.pipelines.runs import failure_of, metadata_of, run
from warehouse.candles.store import store
from warehouse.markets import ensure_markets

Conn = psycopg.AsyncConnection[Any]
CANDLES = dg.AssetKey("candles_1m")
MARKETS = "binance:BTC-USDC,coinbase:BTC-EUR"


@pytest.fixture
def at_simulator(configure: Callable[..., Settings], simulator: Simulator) -> Settings:
    return configure(markets=MARKETS, **simulator.settings_overrides())


def materializations(instance: dg.DagsterInstance) -> dict[str | None, dict[str, Any]]:
    """Metadata of the newest materialisation by partition."""
    by_partition = {}
    for record in instance.fetch_materializations(CANDLES, limit=100, ascending=True).records:
        assert record.asset_materialization is not None
        metadata = record.asset_materialization.metadata
        by_partition[record.partition_key] = {key: value.value for key, value in metadata.items()}
    return by_partition


def check_passed(result: dg.ExecuteInProcessResult) -> bool:
    (evaluation,) = result.get_asset_check_evaluations()
    return evaluation.passed


async def test_a_day_is_completed_once(
    instance: dg.DagsterInstance, conn: Conn, at_simulator: Settings, simulator: Simulator
) -> None:
    yesterday = utc_day(now_us()) - timedelta(days=1)
    result = await run(instance, "collect_candles", partition_key=yesterday.isoformat())
    assert result.success
    done = materializations(instance)[yesterday.isoformat()]
    count = await (await conn.execute("select count(*) from candles")).fetchone()
    assert count == (done["rows_inserted"],)
    assert done["candles_requested"] == 2 * 1_440
    assert done["minutes_without_trades"] == 2 * 1_440 - done["rows_inserted"]
    assert done["ranges_requested"] == done["markets"] == 2
    assert done["requests"] == sum(simulator.requests.values()) == 2 + 5
    assert "coinbase:BTC-EUR" in done["by_market"]

    result = await run(instance, "collect_candles", partition_key=yesterday.isoformat())
    assert result.success
    again = materializations(instance)[yesterday.isoformat()]
    assert (again["requests"], again["rows_inserted"], again["ranges_requested"]) == (0, 0, 0)
    assert again["reason"] == "Nothing to do: the window is covered for every market."


async def test_several_days_are_one_run_and_one_window(
    instance: dg.DagsterInstance, at_simulator: Settings
) -> None:
    today = utc_day(now_us())
    tags = run_for_days(today - timedelta(days=1), today).tags
    result = await run(instance, "collect_candles", tags=dict(tags))
    assert result.success
    assert check_passed(result)
    done = materializations(instance)
    assert list(done) == [(today - timedelta(days=1)).isoformat(), today.isoformat()]
    assert done[today.isoformat()]["ranges_requested"] == 2


async def test_a_failed_market_is_reported_and_the_others_are_stored(
    instance: dg.DagsterInstance, conn: Conn, at_simulator: Settings, simulator: Simulator
) -> None:
    """Yesterday was complete before: its partition is, and the day that lacks something is not."""
    today = utc_day(now_us())
    yesterday = today - timedelta(days=1)
    market = Market.canonical("coinbase:BTC-EUR")
    ids = await ensure_markets(conn, {market: "BTC-EUR"})
    whole = Window(day_start_us(yesterday), day_start_us(today))
    await store(conn, ids[market], Interval.M1, [], [whole])
    simulator.fail_rest("coinbase", 404, times=10**6)

    result = await run(instance, "collect_candles", tags=dict(run_for_days(yesterday, today).tags))
    assert not result.success
    problem = failure_of(result)
    assert problem.startswith("1 of 2 markets are incomplete:\ncoinbase:BTC-EUR, ")
    assert today.isoformat() in problem
    assert "HTTP 404" in problem
    assert not check_passed(result)
    assert list(materializations(instance)) == [yesterday.isoformat()]
    kept = await (
        await conn.execute("select distinct exchange from candles join markets on markets.id = market_id")
    ).fetchall()
    assert kept == [("binance",)]


async def test_the_check_detects_a_missing_range_in_the_last_hour(
    instance: dg.DagsterInstance, conn: Conn, at_simulator: Settings
) -> None:
    """A run for other days does not touch the last hour; the check covers it."""
    natives = {market: str(market.symbol) for market in at_simulator.markets}
    ids = await ensure_markets(conn, natives)
    now = Interval.M1.floor(now_us())
    for market_id in ids.values():
        await store(conn, market_id, Interval.M1, [], [Window(now - 2 * DAY_US, now)])
    long_ago = (utc_day(now) - timedelta(days=40)).isoformat()
    assert check_passed(await run(instance, "collect_candles", partition_key=long_ago))

    await conn.execute(
        "update candle_coverage set covered = covered - tstzmultirange(tstzrange(%s, %s))"
        " where market_id = %s",
        (to_datetime(now - 30 * MINUTE_US), to_datetime(now - 29 * MINUTE_US), min(ids.values())),
    )
    result = await run(instance, "collect_candles", partition_key=long_ago)
    assert result.success
    (evaluation,) = result.get_asset_check_evaluations()
    assert not evaluation.passed
    assert evaluation.metadata["markets_with_missing_ranges"].value == 1
    assert "binance:BTC-USDC" in str(evaluation.metadata["missing_ranges"].value)


async def test_lists_of_markets_survive_a_dead_exchange(
    instance: dg.DagsterInstance, conn: Conn, at_simulator: Settings, simulator: Simulator
) -> None:
    simulator.fail_rest("coinbase", 404, times=10**6)
    result = await run(instance, "refresh_markets")
    assert result.success
    metadata = metadata_of(instance, "markets")
    assert (metadata["exchanges"], metadata["exchanges_failed"]) == (10, 1)
    assert "and 4" in str(metadata["new"])
    assert (metadata["back"], metadata["delisted"]) == ("none", "none")
    assert "HTTP 404" in str(metadata["by_exchange"])
    count = await (await conn.execute("select count(*) from markets")).fetchone()
    assert count == (metadata["markets_listed"],)

    for exchange in EXCHANGES:
        simulator.fail_rest(exchange, 404, times=10**6)
    result = await run(instance, "refresh_markets")
    assert not result.success
    assert failure_of(result) == "No exchange returned its list of markets."

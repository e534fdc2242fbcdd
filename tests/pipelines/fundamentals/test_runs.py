"""Fundamentals run by Dagster: metadata by source, and the ticks of schedule and sensor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import dagster as dg
import psycopg
import pytest

from coinwatch.settings import Settings
from pipelines.fundamentals.schedules import asset_metadata_every_week, fundamentals_at_start
from simulator.providers.coingecko import ABANDONED
from simulator.server import Simulator
from tests.pipelines.market_data.candles import trade, trade_as_simulated
from tests.pipelines.runs import checks_of, failure_of, metadata_of, run

Conn = psycopg.AsyncConnection[Any]


@pytest.fixture
def at_simulator(configure: Callable[..., Settings], simulator: Simulator) -> Settings:
    return configure(markets="binance:BTC-USDT", **simulator.settings_overrides())


async def test_runs_show_the_budget_and_what_was_left_out(
    instance: dg.DagsterInstance, conn: Conn, at_simulator: Settings, simulator: Simulator
) -> None:
    await trade_as_simulated(conn)
    result = await run(instance, "collect_asset_metrics")
    assert result.success
    assert checks_of(result) == {
        "prices_agree_with_ours": True,
        "sources_agree": True,
        "bases_are_decided": True,
    }
    done = metadata_of(instance, "asset_metrics")
    assert done["coingecko_calls_left_this_month"] == 10_000 - 3
    assert (done["requests"], done["bases"], done["bases_undecided"]) == (7, 4, 0)
    assert f"ath: 1, market_cap: 1, total_supply: 1 of {ABANDONED}" in str(done["by_source"])

    assert (await run(instance, "collect_asset_metadata")).success
    done = metadata_of(instance, "asset_metadata")
    assert done["coingecko_calls_left_this_month"] == 10_000 - 4
    assert done["assets_described"] > 200


async def test_checks_detect_a_base_mapped_to_another_coin(
    instance: dg.DagsterInstance, conn: Conn, at_simulator: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await trade_as_simulated(conn)
    await trade(conn, {"NOPE-USDT": 5.0})
    monkeypatch.setenv("COINWATCH_ASSET_IDS", "sol=solbark")
    result = await run(instance, "collect_asset_metrics")
    assert checks_of(result) == {
        "prices_agree_with_ours": False,
        "sources_agree": True,
        "bases_are_decided": False,
    }
    by_name = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert "| solbark | 0.0" in str(by_name["prices_agree_with_ours"].metadata["prices"].value)
    assert "| NOPE | CoinGecko lists no coin" in str(by_name["bases_are_decided"].metadata["reasons"].value)


async def test_a_wrong_key_is_reported_and_not_retried(
    instance: dg.DagsterInstance,
    conn: Conn,
    at_simulator: Settings,
    simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COINWATCH_COINGECKO_API_KEY", "not-a-key")
    monkeypatch.setenv("COINWATCH_COINMARKETCAP_API_KEY", "not-a-key")
    result = await run(instance, "collect_asset_metrics")
    assert not result.success
    problem = failure_of(result)
    assert problem.startswith("No source returned metrics.")
    assert "coingecko: /coins/list: HTTP 401" in problem
    assert "API Key Invalid" in problem
    assert "1001" in problem
    assert "not-a-key" not in problem
    assert simulator.requests["coingecko/coins/list"] == 1


def schedule_answer(instance: dg.DagsterInstance) -> str | None:
    """Why the weekly schedule holds back; None when it asks for a run."""
    answer = asset_metadata_every_week(dg.build_schedule_context(instance=instance))
    return answer.skip_message if isinstance(answer, dg.SkipReason) else None


def sensor_answer(instance: dg.DagsterInstance) -> str | None:
    """The job it asks for, or why it holds back."""
    with dg.build_sensor_context(instance=instance) as context:
        answer = fundamentals_at_start(context)
    assert isinstance(answer, dg.RunRequest | dg.SkipReason)
    return answer.job_name if isinstance(answer, dg.RunRequest) else answer.skip_message


def materialize(instance: dg.DagsterInstance, *assets: str) -> None:
    """As if a run had made them."""
    for asset in assets:
        instance.report_runless_asset_event(dg.AssetMaterialization(asset))


def test_the_first_runs_start_as_soon_as_there_are_candles(instance: dg.DagsterInstance) -> None:
    assert sensor_answer(instance) == "There are no candles yet, whose prices identify the traded assets."
    materialize(instance, "candles_1m")
    assert sensor_answer(instance) == "collect_asset_metrics"
    assert schedule_answer(instance) == "There are no metrics yet, which determine the tracked assets."
    materialize(instance, "asset_metrics")
    assert sensor_answer(instance) == "collect_asset_metadata"
    assert schedule_answer(instance) is None
    materialize(instance, "asset_metadata")
    assert sensor_answer(instance) == "Metrics and descriptions exist; their schedules keep them current."
    assert "the next is due a week later" in str(schedule_answer(instance))


async def test_a_recent_failure_is_left_to_the_schedule(
    instance: dg.DagsterInstance, at_simulator: Settings, simulator: Simulator
) -> None:
    materialize(instance, "candles_1m")
    for provider in ("coingecko", "coinmarketcap"):
        simulator.fail_rest(provider, 404, times=100)
    assert not (await run(instance, "collect_asset_metrics")).success
    answer = await asyncio.to_thread(sensor_answer, instance)
    assert answer == "collect_asset_metrics was tried recently; its schedule will retry."

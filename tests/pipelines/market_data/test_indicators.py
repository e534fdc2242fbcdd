"""The asset of indicators, in a real run after rollups."""

from __future__ import annotations

from typing import Any

import dagster as dg
import psycopg
import pytest

from coinwatch.intervals import Interval
from coinwatch.records import Candle, Market
from coinwatch.times import DAY_US, MINUTE_US, now_us
from coinwatch.windows import Window
from pipelines.market_data.jobs import ROLLUPS_JOB
from tests.pipelines.runs import metadata_of, run
from warehouse.candles.store import store
from warehouse.markets import ensure_markets

Conn = psycopg.AsyncConnection[Any]
MARKET = Market.canonical("binance:BTC-USDT")


@pytest.mark.usefixtures("dagster_home")
async def test_indicators_follow_the_rollups(instance: dg.DagsterInstance, conn: Conn) -> None:
    ids = await ensure_markets(conn, {MARKET: "BTCUSDT"})
    start_us = Interval.H1.floor(now_us() - DAY_US)
    minutes = [
        Candle(
            market=MARKET,
            interval=Interval.M1,
            open_ts_us=start_us + number * MINUTE_US,
            open=100.0,
            high=101.0 + number % 7,
            low=99.0,
            close=100.0 + number % 2,
            volume=2.0,
        )
        for number in range(240)
    ]
    span = Window(start_us, start_us + 240 * MINUTE_US)
    await store(conn, ids[MARKET], Interval.M1, minutes, [span])
    result = await run(instance, ROLLUPS_JOB.name)
    assert [check.passed for check in result.get_asset_check_evaluations()] == [True]
    metadata = metadata_of(instance, "indicators")
    assert metadata["series"] >= 3
    assert metadata["rows_stored"] == metadata["candles_computed"] >= 48 + 16 + 4
    assert "| 5m | 1 | 48 | 48 | 0 |" in metadata["by_interval"]
    cursor = await conn.execute(
        "select count(*), count(sma_20), count(vwap) from v_indicators where interval = '5m'"
    )
    assert await cursor.fetchall() == [(48, 29, 48)]

    await run(instance, ROLLUPS_JOB.name)
    assert metadata_of(instance, "indicators")["series"] == 0
    await conn.execute("delete from indicators")
    result = await run(instance, ROLLUPS_JOB.name)
    assert [check.passed for check in result.get_asset_check_evaluations()] == [False]

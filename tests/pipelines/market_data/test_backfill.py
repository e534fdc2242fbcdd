"""Thirty days of every simulated market by Dagster itself, in bad weather; then holes, filled unasked."""

from __future__ import annotations

import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from psycopg import sql

from coinwatch.records import Market
from coinwatch.settings import Settings
from coinwatch.times import MINUTE_US, day_start_us, now_us, to_datetime, utc_day
from coinwatch.windows import Window, merge, subtract
from pipelines.definitions import defs
from pipelines.market_data.assets.candles import candles_1m
from pipelines.market_data.collection.collect import spans_to_fetch
from pipelines.market_data.partitions import run_for_days
from simulator.server import Simulator
from simulator.truth import minute_candles
from sources.exchanges import EXCHANGES
from sources.exchanges.base import Paging
from tests.conftest import PROJECT
from tests.pipelines.conftest import Conn
from tests.pipelines.runs import run
from tests.pipelines.test_daemon import daemon
from tests.waiting import eventually
from warehouse.candles.coverage import gaps
from warehouse.markets import markets_by_id

FAILING = 0.01
"""The share of all REST answers that fail during the backfill."""
HOLES_FILLED_WITHIN_S = 600


def exchange_requests(simulator: Simulator) -> Counter[str]:
    """Requests by exchange, but for lists of markets."""
    counts: Counter[str] = Counter()
    for path, count in simulator.requests.items():
        name = path.partition("/")[0]
        asks_market = any(word in path.lower() for word in ("kline", "candle", "ohlc", "trade"))
        if name in EXCHANGES and asks_market:
            counts[name] += count
    return counts


async def spans(conn: Conn, column: str) -> dict[Market, list[Window]]:
    """A column of candle_coverage."""
    known = await markets_by_id(conn)
    query = sql.SQL(
        "select market_id, (extract(epoch from lower(r)) * 1000000)::bigint,"
        " (extract(epoch from upper(r)) * 1000000)::bigint"
        " from candle_coverage, unnest({}) as r where interval = '1m' order by 1, 2"
    ).format(sql.Identifier(column))
    by_market: dict[Market, list[Window]] = {}
    for market_id, start_us, end_us in await (await conn.execute(query)).fetchall():
        by_market.setdefault(known[market_id], []).append(Window(start_us, end_us))
    return by_market


def served_us(market: Market, now_us: int) -> int:
    """From when on its exchange shows the market, as candles or as trades."""
    exchange = EXCHANGES[market.exchange]
    if exchange.candles_depth is None:
        return 0
    candles_us = now_us - exchange.candles_depth * MINUTE_US
    if exchange.trade_paging is not Paging.SINCE:
        return candles_us
    return 0 if exchange.trades_reach_us is None else min(candles_us, now_us - exchange.trades_reach_us)


async def wrong_minutes(conn: Conn, simulator: Simulator, window: Window) -> Mapping[Market, list[Any]]:
    """Every covered minute of ``window`` that is not as the trades were, by market."""
    ids = {market: market_id for market_id, market in (await markets_by_id(conn)).items()}
    covered = await spans(conn, "covered")
    wrong: dict[Market, list[Any]] = {}
    first, count = window.start_us // MINUTE_US, window.length_us // MINUTE_US
    for market, sim in ((market, simulator.markets[market]) for market in covered):
        cursor = await conn.execute(
            "select extract(epoch from open_ts)::bigint / 60 - %s, open, high, low, close, volume,"
            " quote_volume, trades from candles where market_id = %s and interval = '1m'"
            " and source = 'exchange' and open_ts >= %s and open_ts < %s",
            (first, ids[market], to_datetime(window.start_us), to_datetime(window.end_us)),
        )
        stored = await cursor.fetchall()
        true = minute_candles(sim, first, count)
        known = np.zeros(count, bool)
        for span in covered.get(market, []):
            part = span.intersect(window)
            if part:
                known[part.start_us // MINUTE_US - first : part.end_us // MINUTE_US - first] = True
        expected = set(np.flatnonzero(known & (true.trades > 0)).tolist())
        bad: list[Any] = [("absent", minute) for minute in expected - {row[0] for row in stored}]
        price, amount = 10.0**sim.price_decimals, 10.0**sim.amount_decimals
        for minute, *ohlc, volume, quote_volume, trades in stored:
            is_same = (
                minute in expected
                and ohlc == [int(getattr(true, n)[minute]) / price for n in ("open", "high", "low", "close")]
                and abs(volume * amount / int(true.volume[minute]) - 1) < 1e-9
                and trades in (None, int(true.trades[minute]))
                and (
                    quote_volume is None
                    or abs(quote_volume * price * amount / int(true.quote_volume[minute]) - 1) < 1e-6
                )
            )
            if not is_same:
                bad.append((minute, ohlc, volume, quote_volume, trades))
        if bad:
            wrong[market] = bad
    return wrong


async def punch(conn: Conn, holes: Mapping[int, list[Window]]) -> None:
    """Delete candles and their coverage."""
    for market_id, windows in holes.items():
        spans = "{" + ",".join(
            f"[{to_datetime(span.start_us)},{to_datetime(span.end_us)})" for span in merge(windows)
        )
        values = {"spans": spans + "}", "market": market_id}
        await conn.execute(
            "delete from candles where market_id = %(market)s and interval = '1m'"
            " and %(spans)s::tstzmultirange @> open_ts",
            values,
        )
        await conn.execute(
            "update candle_coverage set covered = covered - %(spans)s::tstzmultirange"
            " where market_id = %(market)s and interval = '1m'",
            values,
        )


async def backfill(instance: dg.DagsterInstance, first_day: str, days: int, timeout_s: float) -> int:
    """Ask for days of candles as the web UI does, wait for the end; returns how many runs it took."""
    keys = [key for key in candles_1m.partitions_def.get_partition_keys() if key >= first_day][:days]  # type: ignore[union-attr]
    asked = PartitionBackfill.from_asset_partitions(
        backfill_id=f"test{time.time_ns()}",
        asset_graph=defs.resolve_asset_graph(),
        partition_names=keys,
        asset_selection=[candles_1m.key],
        backfill_timestamp=time.time(),
        tags={},
        dynamic_partitions_store=instance,
        all_partitions=False,
        title=None,
        description=None,
        run_config=None,
    )
    instance.add_backfill(asked)
    over = (
        BulkActionStatus.COMPLETED_SUCCESS,
        BulkActionStatus.COMPLETED_FAILED,
        BulkActionStatus.FAILED,
        BulkActionStatus.COMPLETED,
    )

    def is_over() -> bool:
        current = instance.get_backfill(asked.backfill_id)
        return current is not None and current.status in over

    await eventually(is_over, timeout_s=timeout_s)
    return len(instance.get_runs(dg.RunsFilter.for_backfill(asked.backfill_id)))


async def scenario(
    home: Path,
    configure: Callable[..., Settings],
    simulator: Simulator,
    conn: Conn,
    *,
    markets: list[Market],
    days: int,
    holes: int,
) -> dict[str, float]:
    """Backfill in bad weather, compare, run again, punch holes, wait; returns figures."""
    shutil.copy(PROJECT / "workspace.yaml", home)
    today = utc_day(now_us())
    first = today - timedelta(days=days)
    configure(
        markets=",".join(map(str, markets)),
        history_start=(first - timedelta(days=1)).isoformat(),
        history_days="0",
        rate_limit_scale="20",
        **simulator.settings_overrides(),
    )
    window = Window(day_start_us(first), day_start_us(today))
    figures: dict[str, float] = {}
    with dg.DagsterInstance.get() as instance:
        simulator.disturb_rest(FAILING)
        with daemon(home):
            started_s = time.monotonic()
            figures["backfill runs"] = await backfill(instance, first.isoformat(), days, 1_800)
            figures["backfill s"] = time.monotonic() - started_s

            async def is_whole() -> bool:
                cursor = await conn.execute("select count(*) from v_gaps")
                return await cursor.fetchone() == (0,)

            await eventually(is_whole, timeout_s=1_800)
            figures["whole after s"] = time.monotonic() - started_s
        figures["requests"] = sum(exchange_requests(simulator).values())
        simulator.disturb_rest(0)
        covered, unavailable = await spans(conn, "covered"), await spans(conn, "unavailable")
        for market in markets:
            assert not subtract([window], covered[market] + unavailable.get(market, [])), market
            assert (market in unavailable) == (served_us(market, now_us()) > window.start_us), market
        assert await wrong_minutes(conn, simulator, window) == {}

        before = exchange_requests(simulator)
        tags = dict(run_for_days(first, today - timedelta(days=1)).tags)
        assert (await run(instance, "collect_candles", tags=tags)).success
        assert exchange_requests(simulator) == before, "nothing was missing, so nothing is asked"

        chance = random.Random(1)
        ids = {market: market_id for market_id, market in (await markets_by_id(conn)).items()}
        punched: dict[int, list[Window]] = {}
        expected = 0
        for market in markets:
            exchange = EXCHANGES[market.exchange]
            start_us = window.start_us
            if market in unavailable:  # what is near the edge may be gone before it is asked for
                start_us = max(start_us, served_us(market, now_us()) + 180 * MINUTE_US)
            minutes = range(start_us // MINUTE_US, window.end_us // MINUTE_US)
            chosen = chance.sample(minutes, min(len(minutes), holes // len(markets) + 1))
            punched[ids[market]] = merge(
                Window(minute * MINUTE_US, (minute + 1) * MINUTE_US) for minute in chosen
            )
            asked = spans_to_fetch(exchange, punched[ids[market]], now_us())
            with_trades = exchange.trade_paging is Paging.SINCE
            expected += len(asked) * (2 if with_trades else 1)
        await punch(conn, punched)
        assert await gaps(conn) == punched
        simulator.requests.clear()
        with daemon(home):
            started_s = time.monotonic()
            await eventually(is_whole, timeout_s=HOLES_FILLED_WITHIN_S)
            figures["holes filled s"] = time.monotonic() - started_s
        figures["holes"] = sum(map(len, punched.values()))
        figures["requests for holes"] = sum(exchange_requests(simulator).values())
        routine = len(markets) * (2 + figures["holes filled s"] // 300) * 3
        assert figures["requests for holes"] <= expected + routine
        assert await wrong_minutes(conn, simulator, window) == {}
    return figures


@pytest.mark.proof
@pytest.mark.filterwarnings("ignore:Function .AssetSelection.sources")  # Dagster's own use of it
@pytest.mark.usefixtures("without_dagster")
async def test_thirty_days_of_sixty_markets(
    dagster_home: Path, configure: Callable[..., Settings], conn: Conn
) -> None:
    async with Simulator(trades_per_s=4) as simulator:
        figures = await scenario(
            dagster_home, configure, simulator, conn, markets=sorted(simulator.markets), days=30, holes=10_000
        )
    print({name: round(value, 1) for name, value in figures.items()})  # noqa: T201


@pytest.mark.proof
@pytest.mark.filterwarnings("ignore:Function .AssetSelection.sources")  # Dagster's own use of it
@pytest.mark.usefixtures("without_dagster")
async def test_three_days_of_ten_markets(
    dagster_home: Path, configure: Callable[..., Settings], conn: Conn
) -> None:
    """The same, small."""
    async with Simulator(trades_per_s=4) as simulator:
        markets = [
            next(market for market in sorted(simulator.markets) if market.exchange == name)
            for name in EXCHANGES
        ]
        figures = await scenario(dagster_home, configure, simulator, conn, markets=markets, days=3, holes=300)
    print({name: round(value, 1) for name, value in figures.items()})  # noqa: T201

"""Candle checks: differences are detected, fetched again, and reported if they remain."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

import dagster as dg
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coinwatch.intervals import Interval
from coinwatch.records import Candle, Market
from coinwatch.settings import Settings
from coinwatch.times import DAY_US, MINUTE_US, day_start_us, now_us, to_datetime, utc_day
from coinwatch.windows import Window
from pipelines.market_data.collection.collect import collect_candles
from pipelines.market_data.collection.verify import differences, verify_days
from simulator.server import Simulator
from sources.budgets import LocalBudget
from sources.exchanges import EXCHANGES
from sources.exchanges.base import RestRequest
from sources.http import Answer, HttpSource, Patience, exchange_http
from tests.pipelines.conftest import Conn
from tests.pipelines.runs import metadata_of, run

PAIRS = {"bitstamp": "BTC-USD", "gemini": "BTC-USD"}
MARKETS = [
    Market.canonical(f"{name}:{PAIRS.get(name, 'BTC-USDT')}") for name in sorted(EXCHANGES) if name != "htx"
]
"""HTX shows so few minutes that by noon a part of yesterday is gone."""
YESTERDAY = utc_day(now_us()) - timedelta(days=1)
WHOLE = Window(day_start_us(YESTERDAY), day_start_us(YESTERDAY) + DAY_US)


class Inconsistent(HttpSource):
    """Binance, but its candles of a day have traded twice as much as their minutes."""

    async def get(self, request: RestRequest) -> Answer:
        answer = await super().get(request)
        if request.params.get("interval") != "1d":
            return answer
        rows = msgspec.json.decode(answer.body)
        for row in rows:
            row[5] = str(2 * float(row[5]))
        return Answer(msgspec.json.encode(rows), answer.date_us)


@asynccontextmanager
async def clients_of(simulator: Simulator) -> AsyncIterator[dict[str, HttpSource]]:
    async with AsyncExitStack() as stack:
        yield {
            name: await stack.enter_async_context(
                exchange_http(
                    exchange,
                    f"{simulator.rest_url}/{name}",
                    LocalBudget(),
                    scale=1_000,
                    patience=Patience(attempts=2, first_wait_s=0.01, read_s=60, total_s=90),
                )
            )
            for name, exchange in EXCHANGES.items()
        }


async def minute_rows(conn: Conn) -> list[tuple[Any, ...]]:
    cursor = await conn.execute(
        "select market_id, open_ts, open, high, low, close, volume, quote_volume, trades from candles"
        " where interval = '1m' order by market_id, open_ts"
    )
    return await cursor.fetchall()


@pytest.mark.parametrize(
    "markets",
    [
        [market for market in MARKETS if market.exchange in ("binance", "coinbase", "okx")],
        pytest.param(MARKETS, marks=pytest.mark.proof),
    ],
    ids=["three exchanges", "every exchange"],
)
async def test_corrupted_minutes_are_detected_and_repaired(
    conn: Conn, simulator: Simulator, markets: list[Market]
) -> None:
    """A volume and a price of each market are corrupted, and one minute is deleted; all are repaired."""
    async with clients_of(simulator) as clients:
        await collect_candles(conn, clients, markets, WHOLE)
        true = await minute_rows(conn)
        checks, errors = await verify_days(conn, clients, markets, [YESTERDAY])
        assert errors == []
        assert {key[0]: check.state for key, check in checks.items()} == dict.fromkeys(markets, "same")

        await conn.execute(
            "with numbered as ("
            " select market_id, open_ts, row_number() over (partition by market_id order by volume desc) as n"
            " from candles where interval = '1m')"
            " update candles c set volume = volume * case when n = 1 then 3 else 1 end,"
            " high = high * case when n = 2 then 1.5 else 1 end"
            " from numbered where (c.market_id, c.open_ts) = (numbered.market_id, numbered.open_ts)"
            " and interval = '1m' and n in (1, 2)"
        )
        corrupted = await minute_rows(conn)
        assert sum(before != after for before, after in zip(true, corrupted, strict=True)) == 2 * len(markets)
        checks, errors = await verify_days(conn, clients, markets, [YESTERDAY])
        assert errors == []
        assert {key[0]: (check.state, check.repaired) for key, check in checks.items()} == dict.fromkeys(
            markets, ("repaired", 2)
        )
        assert await minute_rows(conn) == true

        simulator.requests.clear()
        first = markets[0]
        busiest = max((row for row in true if row[0] == true[0][0]), key=lambda row: row[6])
        await conn.execute(
            "delete from candles where market_id = %s and interval = '1m' and open_ts = %s", busiest[:2]
        )
        checks, _ = await verify_days(conn, clients, [first], [YESTERDAY])
        assert checks[first, YESTERDAY].repaired == 1
        assert await minute_rows(conn) == true
        assert sum(simulator.requests.values()) <= 8, "a bisection, not a day of minutes"
    stored = await (await conn.execute("select state, count(*) from candle_checks group by 1")).fetchall()
    assert stored == [("repaired", len(markets))]


async def test_an_inconsistent_exchange_leaves_a_difference(conn: Conn, simulator: Simulator) -> None:
    market = Market.canonical("binance:BTC-USDT")
    exchange = EXCHANGES["binance"]
    limit = exchange.rest_limit.scaled(1_000)
    async with Inconsistent("binance", f"{simulator.rest_url}/binance", LocalBudget(), limit) as inconsistent:
        await collect_candles(conn, {"binance": inconsistent}, [market], WHOLE)
        checks, errors = await verify_days(conn, {"binance": inconsistent}, [market], [YESTERDAY])
    check = checks[market, YESTERDAY]
    assert (errors, check.state, check.repaired) == ([], "differs", 0)
    [left] = check.detail["after"]
    assert left["theirs"][4] == pytest.approx(2 * left["ours"][4])


async def test_an_incomplete_day_is_not_compared(conn: Conn, simulator: Simulator) -> None:
    market = Market.canonical("kraken:BTC-USD")
    async with clients_of(simulator) as clients:
        half = Window(WHOLE.start_us + DAY_US // 2, WHOLE.end_us)
        await collect_candles(conn, clients, [market], half)
        checks, _ = await verify_days(conn, clients, [market], [YESTERDAY])
    assert checks[market, YESTERDAY].state == "incomplete"


async def test_an_exchange_that_is_down_leaves_its_days_for_later(conn: Conn, simulator: Simulator) -> None:
    markets = [Market.canonical("binance:BTC-USDT"), Market.canonical("coinbase:BTC-USD")]
    async with clients_of(simulator) as clients:
        await collect_candles(conn, clients, markets, WHOLE)
        simulator.fail_rest("binance", 404, times=10**6)
        checks, errors = await verify_days(conn, clients, markets, [YESTERDAY])
    assert [market.exchange for market, _ in checks] == ["coinbase"]
    assert "binance:BTC-USDT" in errors[0]


async def test_the_asset_reports_corrected_minutes(
    instance: dg.DagsterInstance, configure: Callable[..., Settings], simulator: Simulator, conn: Conn
) -> None:
    configure(markets="binance:BTC-USDT", **simulator.settings_overrides())
    day = YESTERDAY.isoformat()
    assert (await run(instance, "collect_candles", partition_key=day)).success
    await conn.execute(
        "update candles set close = high, volume = volume + 1e6 where open_ts = %s and interval = '1m'",
        (to_datetime(WHOLE.start_us + 700 * MINUTE_US),),
    )
    result = await run(instance, "check_candles", partition_key=day)
    assert result.success
    [evaluation] = result.get_asset_check_evaluations()
    assert evaluation.passed
    metadata = metadata_of(instance, "candle_checks")
    assert (metadata["days_repaired"], metadata["minutes_corrected"]) == (1, 1)


def candle(minute: int, close: float, volume: float) -> Candle:
    return Candle(
        market=MARKETS[0],
        interval=Interval.M1,
        open_ts_us=minute * MINUTE_US,
        open=100.0,
        high=110.0,
        low=90.0,
        close=close,
        volume=volume,
    )


@given(
    close=st.floats(95, 105), moved=st.floats(-2, 2), volume=st.floats(1, 1e6), grown=st.floats(-0.01, 0.01)
)
def test_a_difference_is_more_than_a_step_or_a_thousandth(
    close: float, moved: float, volume: float, grown: float
) -> None:
    ours, theirs = candle(1, close, volume), candle(1, close + moved * 0.5, volume * (1 + grown))
    different = differences([ours], [theirs], 0.5)
    if abs(moved) < 0.999 and abs(grown) < 0.00099:
        assert different == []
    if abs(moved) > 1.001 or abs(grown) > 0.00102:
        assert len(different) == 1


def test_a_candle_that_only_one_has_is_a_difference() -> None:
    ours, theirs = candle(1, 100.0, 5.0), candle(2, 100.0, 5.0)
    [first, second] = differences([ours], [theirs], 0.5)
    assert (first.ours, first.theirs, second.ours, second.theirs) == (ours, None, None, theirs)

"""Averages read as updates on a grid of times."""

from __future__ import annotations

import psycopg

from coinwatch.records import Symbol
from coinwatch.times import SECOND_US
from tests.app.alerts.averaging import Averager, a_while_ago
from warehouse.averages.stream import (
    UPDATES_AT_ONCE,
    earliest_that_fits,
    latest_price,
    pairs_computed_now,
    pairs_known,
    prices_after,
    stored_updates,
)

BTC, ETH, NONE = Symbol("BTC", "USD"), Symbol("ETH", "EUR"), Symbol("BTC", "XXX")


async def test_the_first_of_each_interval_is_the_update(conn: psycopg.AsyncConnection) -> None:
    began, averager = a_while_ago(), Averager(conn)
    for second in (0, 1, 7, 8, 14, 15):
        await averager.store(began + second, BTC_USD=second + 1.0, ETH_EUR=second + 2.0)
    through_us = {BTC: (began + 14) * SECOND_US, ETH: (began + 7) * SECOND_US, NONE: began * SECOND_US}
    updates = await stored_updates(conn, through_us, since_us=began * SECOND_US, interval_us=5 * SECOND_US)
    assert [(pair, row.ts_us // SECOND_US - began, row.price) for pair, row in updates if pair == BTC] == [
        (BTC, 0, 1.0),
        (BTC, 7, 8.0),
        (BTC, 14, 15.0),
    ]
    assert [row.price for pair, row in updates if pair == ETH] == [2.0, 9.0]


async def test_pages_go_on_where_the_last_one_ended(conn: psycopg.AsyncConnection) -> None:
    began, averager = a_while_ago(3 * UPDATES_AT_ONCE), Averager(conn)
    for second in (0, UPDATES_AT_ONCE - 1, UPDATES_AT_ONCE, 2 * UPDATES_AT_ONCE + 5):
        await averager.store(began + second, BTC_USD=second + 1.0)

    async def page(since: int) -> list[float]:
        updates = await stored_updates(
            conn,
            {BTC: (began + 3 * UPDATES_AT_ONCE) * SECOND_US},
            since_us=(began + since) * SECOND_US,
            interval_us=SECOND_US,
        )
        return [row.price - 1 for _, row in updates]

    assert await page(0) == [0, UPDATES_AT_ONCE - 1]
    assert await page(UPDATES_AT_ONCE) == [UPDATES_AT_ONCE]
    assert await page(UPDATES_AT_ONCE + 1) == [2 * UPDATES_AT_ONCE + 5]
    assert await page(2 * UPDATES_AT_ONCE + 6) == []


async def test_what_fits(conn: psycopg.AsyncConnection) -> None:
    began, averager = a_while_ago(), Averager(conn)
    for second in range(20):
        await averager.store(began + second, BTC_USD=1.0, BTC_EUR=1.0)

    async def earliest(quotes: list[str], most: int) -> int | None:
        us = await earliest_that_fits(
            conn, "BTC", quotes, since_us=began * SECOND_US, interval_us=5 * SECOND_US, most=most
        )
        return None if us is None else us // SECOND_US - began

    assert await earliest(["USD"], 4) is None
    assert await earliest(["USD"], 3) == 5
    assert await earliest(["USD", "EUR"], 8) is None
    assert await earliest(["USD", "EUR"], 7) == 5
    assert await earliest(["USD", "USD"], 6) == 5


async def test_what_is_known_and_new(conn: psycopg.AsyncConnection) -> None:
    began, averager = a_while_ago(), Averager(conn)
    assert await pairs_computed_now(conn) == []
    assert await latest_price(conn, BTC) is None
    await averager.store(began - 2 * 86_400, ETH_EUR=1.0)
    await averager.store(began, BTC_USD=2.0, exchanges=("kraken", "okx"))
    await averager.store(a_while_ago(5, multiple_of=1), BTC_USD=3.0)
    known = await pairs_known(conn, [BTC, ETH, NONE])
    assert {pair: (state.is_recent, state.is_stored) for pair, state in known.items()} == {
        BTC: (True, True),
        ETH: (False, True),
        NONE: (False, False),
    }
    assert await pairs_computed_now(conn) == [BTC]
    newest = await latest_price(conn, BTC)
    assert newest is not None
    assert newest.price == 3.0
    after = await prices_after(conn, {BTC: began * SECOND_US - 1, ETH: began * SECOND_US, NONE: -1})
    assert [(pair, row.price, row.exchanges) for pair, row in after] == [
        (BTC, 2.0, ("kraken", "okx")),
        (BTC, 3.0, ("kraken",)),
    ]

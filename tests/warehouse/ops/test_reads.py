from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import URL

from coinwatch.times import DAY_US, now_us, to_datetime, utc_day
from tests.app.dashboard import operations_rows
from tests.app.dashboard.stock import Stock
from warehouse.ops import reads

PRICES = {"binance:BTC-USDT": 100.0, "kraken:BTC-USDT": 100.0}


@pytest.fixture
def stock(database: URL) -> Iterator[Stock]:
    stock = Stock.open(database, now_us())
    yield stock
    stock.close()


def test_checks_deliveries_and_sizes(stock: Stock) -> None:
    ids = stock.day(PRICES)
    operations_rows.everything(stock, ids["kraken:BTC-USDT"])
    week_ago = to_datetime(stock.now_us - 7 * DAY_US)
    with stock.engine.connect() as conn:
        (day,) = reads.days_checked(conn, list(ids.values()), week_ago.date())
        (differs,) = reads.checks(conn, list(ids.values()), week_ago.date())
        assert reads.checks(conn, [ids["binance:BTC-USDT"]], week_ago.date()) == ()
        assert reads.days_checked(conn, list(ids.values()), utc_day(stock.now_us)) == ()
        first, second, third = reads.outlets(conn, week_ago)
        failed = reads.failed_deliveries(conn, week_ago)
        assert reads.failed_deliveries(conn, to_datetime(stock.now_us + DAY_US)) == ()
        tables = reads.table_sizes(conn)
        ticks = reads.tick_days(conn)
        whole = reads.database_bytes(conn)
        assert reads.other_database_bytes(conn, "nowhere") is None
        assert reads.other_database_bytes(conn, stock.url.database or "") == whole
    assert (day.same, day.differs, day.repaired, day.incomplete) == (1, 1, 0, 0)
    assert (str(differs.market), differs.state) == ("kraken:BTC-USDT", "differs")
    assert (first.delivered, first.waiting, first.dead) == (1, 0, 1)
    assert (second.delivered, second.waiting, second.dead) == (0, 1, 0)
    assert third.disabled_why == "410 <gone>"
    assert [(row.event_id, row.state, row.error) for row in failed] == [
        (2, "dead", "it broke"),
        (1, "waiting", "no answer"),
    ]
    assert failed[0].message == "BTC-USDT rose above 9"
    by_name = {table.name: table for table in tables}
    assert by_name["candles"].partitions > 0
    assert by_name["markets"].partitions == 0
    assert sum(table.bytes for table in tables) < whole
    assert [day.day for day in ticks] == sorted(day.day for day in ticks)
    assert sum(day.bytes for day in ticks) == by_name["ticks"].bytes

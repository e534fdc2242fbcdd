from __future__ import annotations

from datetime import timedelta

import pytest

from coinwatch.times import to_datetime, utc_day
from tests.app.dashboard import pipeline_rows
from tests.app.dashboard.stock import Stock
from tests.warehouse.conftest import NOON_US
from warehouse.sentiment import reads

TODAY = utc_day(NOON_US)


@pytest.fixture
def stock(stock: Stock) -> Stock:
    pipeline_rows.sentiment(stock)
    return stock


def test_scores_of_an_asset_and_of_the_whole_market(stock: Stock) -> None:
    with stock.engine.connect() as conn:
        bitcoin = reads.day_scores(conn, "BTC", TODAY - timedelta(days=1))
        market = reads.day_scores(conn, None, TODAY)
        assert reads.day_scores(conn, "ETH", TODAY) == ()
    assert [(row.day, row.source) for row in bitcoin] == [
        (day, source) for day in (TODAY - timedelta(days=1), TODAY) for source in ("combined", "news", "x")
    ]
    assert [(row.source, row.value) for row in market] == [("fear_greed", 23)]


def test_the_newest_are_the_combined_and_fear_and_greed(stock: Stock) -> None:
    with stock.engine.connect() as conn:
        latest = reads.latest_scores(conn, TODAY - timedelta(days=7))
        assert reads.latest_scores(conn, TODAY + timedelta(days=1)) == ()
    assert {(row.base, row.source, row.day) for row in latest} == {
        ("BTC", "combined", TODAY),
        (None, "fear_greed", TODAY),
        (None, "fear_greed", TODAY - timedelta(days=1)),
    }


def test_news_are_of_an_asset_or_all(stock: Stock) -> None:
    now = to_datetime(NOON_US)
    with stock.engine.connect() as conn:
        (bitcoin,) = reads.news(conn, "BTC", now)
        assert len(reads.news(conn, None, now)) == 3
        assert len(reads.news(conn, None, now - timedelta(seconds=90))) == 1
    assert bitcoin.copies == {"Mirror": "https://m.example"}

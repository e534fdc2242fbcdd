from __future__ import annotations

import pytest

from coinwatch.times import DAY_US
from coinwatch.windows import Window
from tests.app.dashboard import pipeline_rows
from tests.app.dashboard.stock import Stock
from tests.warehouse.conftest import NOON_US
from warehouse.assets import reads

HOUR_US = DAY_US // 24


@pytest.fixture
def stock(stock: Stock) -> Stock:
    pipeline_rows.assets(stock)
    return stock


def test_assets_are_those_of_markets_and_those_with_metrics(stock: Stock) -> None:
    with stock.engine.connect() as conn:
        bitcoin, other = reads.assets(conn, NOON_US)
        later = reads.assets(conn, NOON_US + 30 * DAY_US)
    assert (bitcoin.id, bitcoin.bases, bitcoin.categories) == ("bitcoin", ["BTC"], ["Layer 1"])
    assert other.bases == []
    assert [asset.id for asset in later] == ["bitcoin"]


def test_each_source_has_its_last_word(stock: Stock) -> None:
    with stock.engine.connect() as conn:
        latest = {(asset.asset_id, asset.source): asset for asset in reads.latest_metrics(conn, NOON_US)}
        earlier = reads.latest_metrics(conn, NOON_US - HOUR_US)
    assert len(latest) == 4
    assert latest["bitcoin", "coingecko"].price_usd == 67_000
    assert latest["bitcoin", "defillama"].tvl_usd == 7e9
    assert [asset.price_usd for asset in earlier] == [66_999]


def test_history_is_the_last_of_each_step(stock: Stock) -> None:
    window = Window(NOON_US - DAY_US, NOON_US + 1)
    with stock.engine.connect() as conn:
        points = reads.metric_history(conn, "bitcoin", window, 6 * HOUR_US)
        assert reads.metric_history(conn, "nothing", window, HOUR_US) == ()
    gecko = [(point.ts_us - NOON_US) // HOUR_US for point in points if point.source == "coingecko"]
    assert gecko == [-19, -13, -7, -1, 0]


def test_an_asset_is_described_or_unknown(stock: Stock) -> None:
    with stock.engine.connect() as conn:
        (bitcoin,) = reads.asset_detail(conn, "bitcoin")
        assert reads.asset_detail(conn, "<b>") == ()
    assert bitcoin.links["website"] == ["https://bitcoin.org"]

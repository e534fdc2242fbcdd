from __future__ import annotations

from datetime import date

from app.dashboard import completeness, markup_data
from app.dashboard.completeness import Amounts
from app.dashboard.completeness_plot import height_px, options
from app.dashboard.style import LIGHT
from coinwatch.records import Market
from coinwatch.times import DAY_US, SECOND_US
from coinwatch.windows import Window
from warehouse.reads import WatchedMarket
from warehouse.reads_coverage import DayCoverage

MIDNIGHT_US = 1_795_176_000 * SECOND_US - DAY_US // 2
MARKETS = [
    WatchedMarket(n, Market.canonical(name))
    for n, name in enumerate(["binance:BTC-USDT", "kraken:BTC-USDT", "kraken:ETH-EUR"])
]
TODAY, YESTERDAY = date(2026, 11, 20), date(2026, 11, 19)


def view() -> completeness.Completeness:
    found = [
        DayCoverage(market_id=1, day=YESTERDAY, covered_s=43_200, unavailable_s=0, missing_s=43_200),
        DayCoverage(market_id=1, day=TODAY, covered_s=3_600, unavailable_s=0, missing_s=0),
        DayCoverage(market_id=0, day=TODAY, covered_s=0, unavailable_s=7_200, missing_s=0),
    ]
    return completeness.build(MARKETS, found, Window(MIDNIGHT_US - DAY_US, MIDNIGHT_US + DAY_US))


def test_the_market_that_lacks_most_comes_first() -> None:
    found = view()
    assert found.days == (YESTERDAY, TODAY)
    assert [str(row.market) for row in found.rows] == [
        "kraken:BTC-USDT",
        "binance:BTC-USDT",
        "kraken:ETH-EUR",
    ]
    assert found.rows[1].days[0] is None
    assert found.whole == Amounts(46_800, 7_200, 43_200)


def test_days_before_anything_was_asked_for_are_left_out() -> None:
    def days_of(day: date) -> int:
        told = [DayCoverage(market_id=1, day=day, covered_s=1, unavailable_s=0, missing_s=0)]
        month = Window(MIDNIGHT_US - 29 * DAY_US, MIDNIGHT_US + DAY_US)
        return len(completeness.build(MARKETS, told, month).days)

    assert days_of(YESTERDAY) == 7
    assert days_of(date(2026, 11, 8)) == 13
    assert days_of(date(2026, 10, 1)) == 30


def test_nothing_but_completeness_reads_a_hundred_percent() -> None:
    assert markup_data.complete(Amounts(100, 5, 0)) == "100 %"
    assert markup_data.complete(Amounts(10_000_000, 0, 1)) == "99.99 %"
    assert markup_data.complete(Amounts(0, 5, 0)) == "—"
    assert markup_data.complete(Amounts()) == "—"


def test_a_cell_for_each_day_that_was_asked_for() -> None:
    drawn = options(view(), LIGHT, str)
    assert drawn["series"][0]["data"] == [
        [0, 0, 0.5, 0.0, 0.5],
        [1, 0, 0.0417, 0.0, 0.0],
        [1, 1, 0.0, 0.0833, 0.0],
    ]
    assert height_px(view()) > height_px(completeness.build([], [], Window(0, DAY_US)))

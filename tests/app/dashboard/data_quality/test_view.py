from __future__ import annotations

from datetime import UTC, date

from app.dashboard.data_quality import completeness, completeness_day, html
from app.dashboard.data_quality.completeness import Amounts
from app.dashboard.data_quality.completeness_day import Minute, Run
from app.dashboard.data_quality.plot import height_px, options
from app.dashboard.ui.style import LIGHT
from coinwatch.records import Market
from coinwatch.times import DAY_US, MINUTE_US, SECOND_US
from coinwatch.windows import Window
from warehouse.candles.chart_reads import WatchedMarket
from warehouse.candles.coverage_reads import DayCoverage, DayMinutes, DayTraded, Hole

MIDNIGHT_US = 1_795_176_000 * SECOND_US - DAY_US // 2
MARKETS = [
    WatchedMarket(n, Market.canonical(name))
    for n, name in enumerate(["binance:BTC-USDT", "kraken:BTC-USDT", "kraken:ETH-EUR"])
]
TODAY, YESTERDAY = date(2026, 11, 20), date(2026, 11, 19)


def view(traded: list[DayTraded] | None = None) -> completeness.Completeness:
    found = [
        DayCoverage(market_id=1, day=YESTERDAY, covered_s=43_200, unavailable_s=0, missing_s=43_200),
        DayCoverage(market_id=1, day=TODAY, covered_s=3_600, unavailable_s=0, missing_s=0),
        DayCoverage(market_id=0, day=TODAY, covered_s=0, unavailable_s=7_200, missing_s=0),
    ]
    return completeness.build(MARKETS, found, Window(MIDNIGHT_US - DAY_US, MIDNIGHT_US + DAY_US), traded)


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
    assert html.complete(Amounts(100, 5, 0)) == "100 %"
    assert html.complete(Amounts(10_000_000, 0, 1)) == "99.99 %"
    assert html.complete(Amounts(0, 5, 0)) == "—"
    assert html.complete(Amounts()) == "—"


def test_a_cell_for_each_day_that_was_asked_for() -> None:
    drawn = options(view(), LIGHT, str)["baseOption"]
    assert drawn["series"][0]["data"] == [
        [0, 0, 0.5, 0.0, 0.5, 0.0],
        [1, 0, 0.0417, 0.0, 0.0, 0.0],
        [1, 1, 0.0, 0.0833, 0.0, 0.0],
    ]
    assert "1 of 3 markets lack candles" in drawn["aria"]["label"]["description"]
    assert height_px(view()) > height_px(completeness.build([], [], Window(0, DAY_US)))


def test_minutes_without_trades_are_told_apart_where_they_were_counted() -> None:
    assert not view().tells_quiet
    counted = view([DayTraded(1, YESTERDAY, 700), DayTraded(1, TODAY, 9_999)])
    assert counted.tells_quiet
    assert counted.rows[0].days[0] == Amounts(43_200, 0, 43_200, quiet_s=43_200 - 700 * 60)
    assert counted.rows[0].whole.quiet_s == 1_200  # never below nothing
    assert "nothing traded" in html.legend(counted)
    assert "Nothing traded" in html.by_market(counted)
    assert "Nothing traded" not in html.by_market(view())


def test_each_minute_of_a_day_is_known_or_said_not_to_be() -> None:
    def span(first: int, last: int) -> Window:
        return Window(MIDNIGHT_US + first * MINUTE_US, MIDNIGHT_US + last * MINUTE_US)

    day = span(0, 1_440)
    found = DayMinutes(
        (("unavailable", span(-60, 10)), ("covered", span(10, 70)), ("missing", span(70, 75))),
        tuple(MIDNIGHT_US + minute * MINUTE_US for minute in (10, 12, 80)),
    )
    known = completeness_day.kinds(day, found)
    assert len(known) == 1_440
    assert completeness_day.counts(known) == {
        Minute.TRADED: 2,
        Minute.QUIET: 58,
        Minute.UNVERIFIED: 1,
        Minute.UNAVAILABLE: 10,
        Minute.MISSING: 5,
        Minute.NONE: 1_364,
    }
    assert completeness_day.runs(known[:60])[:3] == [
        Run(Minute.UNAVAILABLE, 0, 10),
        Run(Minute.TRADED, 10, 1),
        Run(Minute.QUIET, 11, 1),
    ]
    drawn = completeness_day.day_map(day, known, UTC)
    assert drawn.count('class="track"') == 24
    assert 'title="01:10 to 01:15 UTC: missing"' in drawn


def test_a_span_that_several_markets_lack_is_told_once() -> None:
    window = Window(MIDNIGHT_US, MIDNIGHT_US + 3 * MINUTE_US)
    names = {number: Market.canonical(f"binance:A{number}-USDT") for number in range(5)}
    found = [Hole(number, "missing", window) for number in names]
    shown = html.holes(found, names, UTC)
    assert shown.count("<tr>") == 2
    assert "binance:A0-USDT and 4 more" in shown
    assert "binance:A4-USDT" in shown

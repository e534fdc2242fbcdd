from __future__ import annotations

from datetime import UTC, date, datetime

from app.dashboard.data_quality import day_view, html, operations_html, view
from app.dashboard.data_quality.day_view import Minute, Span
from app.dashboard.data_quality.plot import height_px, options
from app.dashboard.data_quality.reads import Checks, Outlets
from app.dashboard.data_quality.view import Amounts, Completeness
from app.dashboard.ui.problems import Problem
from app.dashboard.ui.style import LIGHT
from coinwatch.records import Market
from coinwatch.stream_gaps import GapState
from coinwatch.times import DAY_US, MINUTE_US, SECOND_US
from coinwatch.windows import Window
from warehouse.candles.chart_reads import WatchedMarket
from warehouse.candles.coverage_reads import DayCoverage, DayMinutes, DayTraded, Hole
from warehouse.ops.dagster import Run
from warehouse.ops.health import ServiceRow, StreamRow, StreamState
from warehouse.ops.reads import CheckRow, OutletRow
from warehouse.trades.gap_reads import GapRow

MIDNIGHT_US = 1_795_176_000 * SECOND_US - DAY_US // 2
MARKETS = [
    WatchedMarket(n, Market.canonical(name))
    for n, name in enumerate(["binance:BTC-USDT", "kraken:BTC-USDT", "kraken:ETH-EUR"])
]
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
TODAY, YESTERDAY = date(2026, 11, 20), date(2026, 11, 19)


def completeness(traded: list[DayTraded] | None = None) -> Completeness:
    coverage = [
        DayCoverage(market_id=1, day=YESTERDAY, covered_s=43_200, unavailable_s=0, missing_s=43_200),
        DayCoverage(market_id=1, day=TODAY, covered_s=3_600, unavailable_s=0, missing_s=0),
        DayCoverage(market_id=0, day=TODAY, covered_s=0, unavailable_s=7_200, missing_s=0),
    ]
    return view.build(MARKETS, coverage, Window(MIDNIGHT_US - DAY_US, MIDNIGHT_US + DAY_US), traded)


def test_the_market_with_the_most_missing_comes_first() -> None:
    heat_map = completeness()
    assert heat_map.days == (YESTERDAY, TODAY)
    assert [str(row.market) for row in heat_map.rows] == [
        "kraken:BTC-USDT",
        "binance:BTC-USDT",
        "kraken:ETH-EUR",
    ]
    assert heat_map.rows[1].days[0] is None
    assert heat_map.total == Amounts(46_800, 7_200, 43_200)


def test_days_before_the_first_coverage_are_left_out() -> None:
    def days_of(day: date) -> int:
        coverage = [DayCoverage(market_id=1, day=day, covered_s=1, unavailable_s=0, missing_s=0)]
        month = Window(MIDNIGHT_US - 29 * DAY_US, MIDNIGHT_US + DAY_US)
        return len(view.build(MARKETS, coverage, month).days)

    assert days_of(YESTERDAY) == 7
    assert days_of(date(2026, 11, 8)) == 13
    assert days_of(date(2026, 10, 1)) == 30


def test_only_complete_candles_read_100_percent() -> None:
    assert html.complete(Amounts(100, 5, 0)) == "100 %"
    assert html.complete(Amounts(10_000_000, 0, 1)) == "99.99 %"
    assert html.complete(Amounts(0, 5, 0)) == "—"
    assert html.complete(Amounts()) == "—"


def test_each_wanted_day_has_a_cell() -> None:
    drawn = options(completeness(), LIGHT, str)["baseOption"]
    assert drawn["series"][0]["data"] == [
        [0, 0, 0.5, 0.0, 0.5, 0.0],
        [1, 0, 0.0417, 0.0, 0.0, 0.0],
        [1, 1, 0.0, 0.0833, 0.0, 0.0],
    ]
    assert "1 of 3 markets have missing candles" in drawn["aria"]["label"]["description"]
    assert height_px(completeness()) > height_px(view.build([], [], Window(0, DAY_US)))


def test_minutes_without_trades_are_shown_where_they_were_counted() -> None:
    assert not completeness().has_quiet
    counted = completeness([DayTraded(1, YESTERDAY, 700), DayTraded(1, TODAY, 9_999)])
    assert counted.has_quiet
    assert counted.rows[0].days[0] == Amounts(43_200, 0, 43_200, quiet_s=43_200 - 700 * 60)
    assert counted.rows[0].total.quiet_s == 1_200  # never below 0
    assert "verified, without trades" in html.legend(counted)
    assert "Without trades" in html.by_market(counted)
    assert "Without trades" not in html.by_market(completeness())


def test_each_minute_of_a_day_has_a_kind() -> None:
    def span(first: int, last: int) -> Window:
        return Window(MIDNIGHT_US + first * MINUTE_US, MIDNIGHT_US + last * MINUTE_US)

    day = span(0, 1_440)
    minutes = DayMinutes(
        (("unavailable", span(-60, 10)), ("covered", span(10, 70)), ("missing", span(70, 75))),
        tuple(MIDNIGHT_US + minute * MINUTE_US for minute in (10, 12, 80)),
    )
    kinds = day_view.kinds(day, minutes)
    assert len(kinds) == 1_440
    assert day_view.counts(kinds) == {
        Minute.TRADED: 2,
        Minute.QUIET: 58,
        Minute.UNVERIFIED: 1,
        Minute.UNAVAILABLE: 10,
        Minute.MISSING: 5,
        Minute.NONE: 1_364,
    }
    assert day_view.spans(kinds[:60])[:3] == [
        Span(Minute.UNAVAILABLE, 0, 10),
        Span(Minute.TRADED, 10, 1),
        Span(Minute.QUIET, 11, 1),
    ]
    drawn = html.day(day, kinds, UTC)
    assert drawn.count('class="track"') == 24
    assert 'title="01:10 to 01:15 UTC: missing"' in drawn


def test_a_range_missing_in_several_markets_has_one_row() -> None:
    window = Window(MIDNIGHT_US, MIDNIGHT_US + 3 * MINUTE_US)
    names = {number: Market.canonical(f"binance:A{number}-USDT") for number in range(5)}
    ranges = [Hole(number, "missing", window) for number in names]
    shown = html.missing(ranges, names, UTC)
    assert shown.count("<tr>") == 2
    assert "binance:A0-USDT and 4 more" in shown
    assert "binance:A4-USDT" in shown


HOSTILE = "<script>alert('1')</script>\""


def test_hostile_values_are_escaped() -> None:
    stream = StreamRow(
        market=MARKETS[0].market,
        state=StreamState.DOWN,
        last_price=1.0,
        last_trade_ts=NOW,
        last_received_at=NOW,
        lag_ms=1.0,
        trades=1,
        duplicates=0,
        recovered=0,
        reconnects=0,
        last_error=HOSTILE,
        last_error_at=NOW,
        age_s=0.0,
    )
    gap = GapRow(
        market=MARKETS[0].market,
        cause=HOSTILE,
        state=GapState.OPEN,
        after_ts=NOW,
        before_ts=None,
        recovered=0,
        reason=HOSTILE,
        opened_at=NOW,
        closed_at=None,
        age_s=0.0,
    )
    run = Run(
        run_id=HOSTILE,
        job=HOSTILE,
        launched_by=HOSTILE,
        partition=HOSTILE,
        status=HOSTILE,
        created=NOW,
        started=NOW,
        ended=None,
        why=HOSTILE,
    )
    problem = Problem(is_current=True, where=HOSTILE, what=HOSTILE, run_id=HOSTILE)
    service = ServiceRow(
        service=HOSTILE,
        instance=HOSTILE,
        started_at=NOW,
        age_s=0.0,
        detail={
            "markets": {HOSTILE: 1},
            "last_failure": {"job": HOSTILE, "run_id": HOSTILE, "text": HOSTILE},
            "oldest_gap": {"market": HOSTILE, "from": NOW.isoformat()},
        },
    )
    check = CheckRow(
        market=MARKETS[0].market,
        day=TODAY,
        state=HOSTILE,
        repaired=0,
        detail={"why": HOSTILE},
        checked_at=NOW,
    )
    outlet = OutletRow(
        id=1,
        client=HOSTILE,
        kind=HOSTILE,
        disabled_at=NOW,
        disabled_why=HOSTILE,
        delivered=0,
        waiting=0,
        dead=0,
        delivered_at=None,
    )
    for shown in (
        html.streams([stream], UTC, 0),
        html.gaps([gap], UTC),
        html.runs([run], HOSTILE, UTC, 0),
        html.problems([problem], HOSTILE, UTC),
        operations_html.services([service], [], UTC),
        operations_html.dagster(service, HOSTILE, UTC),
        operations_html.checks(Checks((), (check,)), UTC),
        operations_html.outlets(Outlets((outlet,), ()), UTC, 0),
    ):
        assert "<script" not in shown
        assert "&lt;script&gt;" in shown

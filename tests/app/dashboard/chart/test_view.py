from __future__ import annotations

import json
from math import isnan
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.dashboard.chart import html, plot
from app.dashboard.chart import view as chart_view
from app.dashboard.ui.indicators import Indicator
from app.dashboard.ui.style import DARK, LIGHT
from coinwatch.intervals import Interval
from coinwatch.records import Candle, Market
from coinwatch.times import DAY_US, MINUTE_US, SECOND_US
from coinwatch.windows import Window
from warehouse.candles.chart_reads import LastTrade

NOW_US = 1_795_176_000 * SECOND_US + 20 * SECOND_US
NOON_US = NOW_US - 20 * SECOND_US
MARKET = Market.canonical("binance:BTC-USDT")


def candle(minute: int, close: float = 10.0, *, interval: Interval = Interval.M1) -> Candle:
    return Candle(
        market=MARKET,
        interval=interval,
        open_ts_us=NOON_US + minute * interval.us,
        open=10.0,
        high=max(10.0, close) + 1,
        low=min(10.0, close) - 1,
        close=close,
        volume=2.0,
    )


def view(
    candles: list[Candle],
    gaps: list[Window] | None = None,
    indicators: tuple[Indicator, ...] = (),
    minutes: int = 10,
) -> chart_view.ChartView:
    return chart_view.build(
        candles,
        gaps or [],
        interval=Interval.M1,
        range_us=minutes * MINUTE_US,
        indicators=indicators,
        now_us=NOW_US,
    )


@pytest.mark.parametrize(
    ("chosen", "range_name", "interval", "word"),
    [
        ("auto", "6h", "1m", False),
        ("auto", "1d", "5m", False),
        ("auto", "1w", "15m", False),
        ("auto", "1y", "1d", False),
        ("1m", "1d", "1m", False),
        ("1m", "3d", "1m", False),
        ("1m", "1w", "5m", True),
        ("5m", "1y", "4h", True),
        ("1d", "6h", "1d", False),
    ],
)
def test_never_too_many_candles(chosen: str, range_name: str, interval: str, word: bool) -> None:
    fitted, note = chart_view.fitting(chosen, chart_view.RANGES[range_name])
    assert (fitted, bool(note)) == (interval, word)
    assert chart_view.RANGES[range_name] / fitted.us <= chart_view.MOST_SHOWN


def test_an_average_warmed_up_is_right_from_its_first_bucket() -> None:
    indicator = Indicator("EMA", (10,))
    long = [candle(n, 10 + (n * 7 % 5)) for n in range(-500, 1)]
    short = long[-(indicator.warm_up(MINUTE_US) + 10) :]
    expected = view(long, indicators=(indicator,)).lines[0].values
    shown = view(short, indicators=(indicator,)).lines[0].values
    assert None not in shown
    assert shown == pytest.approx(expected, rel=1e-4)


HOUR_US = 60 * MINUTE_US


@pytest.mark.parametrize(
    ("shown_hours", "at_hour", "range_name", "expected", "until_hour"),
    [
        ((-24, 0), -12, "1d", "6h", -9),
        ((-24, 0), -1, "1d", "6h", None),
        ((-10, -8), -9.5, "1d", "6h", -6),
        ((-100, -99.5), -99, "1y", "1h", -99.25),
        ((-30, -29), -29.4, "1h", None, None),
    ],
)
def test_going_closer_shows_what_was_zoomed_to_or_the_place_clicked(
    shown_hours: tuple[float, float],
    at_hour: float,
    range_name: str,
    expected: str | None,
    until_hour: float | None,
) -> None:
    begin, end = (NOW_US + round(hour * HOUR_US) for hour in shown_hours)
    zoomed = chart_view.zoomed(Window(begin, end), NOW_US + round(at_hour * HOUR_US), range_name, NOW_US)
    if expected is None:
        assert zoomed is None
        return
    assert zoomed is not None
    name, until_us = zoomed
    assert name == expected
    assert chart_view.RANGES[name] < chart_view.RANGES[range_name]
    if until_hour is None:
        assert until_us is None
    else:
        assert until_us is not None
        assert until_us % MINUTE_US == 0
        assert 0 <= until_us - (NOW_US + until_hour * HOUR_US) < MINUTE_US


def test_a_chart_of_the_past_ends_where_it_is_asked_to() -> None:
    until_us = NOON_US - 5 * MINUTE_US
    shown = chart_view.build(
        [candle(-12), candle(-8), candle(-2)],
        [Window(NOON_US - 7 * MINUTE_US, NOON_US)],
        interval=Interval.M1,
        range_us=5 * MINUTE_US,
        now_us=NOW_US,
        until_us=until_us,
    )
    assert shown.opens_us == tuple(until_us + minute * MINUTE_US for minute in range(-6, 0))
    assert [place for place, candle in enumerate(shown.candles) if candle] == [3]
    assert shown.missing == ((4, 5),)
    assert plot.options(shown, DARK, str)["series"][0]["markLine"]["data"] == []
    empty = chart_view.build(
        [candle(-8)], [], interval=Interval.M1, range_us=3 * MINUTE_US, now_us=NOW_US, until_us=until_us
    )
    assert empty.quiet == ((2, 10.0), (3, 10.0))  # the last bucket too has ended


def test_too_few_candles_for_an_average_are_noted() -> None:
    shown = view([candle(-1), candle(0)], indicators=(Indicator("SMA", (20,)),))
    assert set(shown.lines[0].values) == {None}
    assert "SMA 20 needs 20 candles; 2 are stored." in shown.notes


def test_the_tail_replaces_the_end_of_history() -> None:
    history = [candle(-3), candle(-2), candle(-1)]
    tail = [candle(-1, 12.0), candle(0, 13.0)]
    assert [candle.close for candle in chart_view.splice(history, tail)] == [10.0, 10.0, 12.0, 13.0]
    assert chart_view.splice(history, []) == history
    assert chart_view.splice([], tail) == tail


@pytest.mark.parametrize(
    ("age_us", "price", "close", "high", "low"),
    [
        (0, 12.0, 12.0, 12.0, 9.0),
        (5 * SECOND_US, 8.0, 8.0, 11.0, 8.0),
        (30 * SECOND_US, 99.0, 10.0, 11.0, 9.0),  # of the minute before
        (-MINUTE_US, 99.0, 10.0, 11.0, 9.0),  # of the next
    ],
)
def test_the_last_candle_closes_at_the_headline(
    age_us: int, price: float, close: float, high: float, low: float
) -> None:
    *before, last = chart_view.close_at([candle(-1), candle(0)], LastTrade(1, NOW_US - age_us, price))
    assert before == [candle(-1)]
    assert (last.close, last.high, last.low) == (close, high, low)


def test_the_grid_has_no_holes_and_ends_now() -> None:
    shown = view([candle(-4), candle(-1)])
    assert shown.opens_us == tuple(NOON_US + minute * MINUTE_US for minute in range(-10, 1))
    assert [candle is None for candle in shown.candles].count(False) == 2
    assert shown.last is not None
    assert shown.last.open_ts_us == NOON_US - MINUTE_US


def test_gaps_become_spans_of_buckets() -> None:
    gaps = [
        Window(NOON_US - 8 * MINUTE_US, NOON_US - 6 * MINUTE_US),
        Window(NOON_US - 5 * MINUTE_US - 1, NOON_US - 5 * MINUTE_US + 1),
        Window(NOON_US - MINUTE_US, NOON_US + DAY_US),
    ]
    shown = view([candle(-10), candle(-1)], gaps)
    assert shown.missing == ((2, 5), (9, 10))


def test_a_chart_begins_where_history_does() -> None:
    gaps = [Window(NOON_US - DAY_US, NOON_US - 4 * MINUTE_US)]
    shown = view([candle(-4), candle(-3)], gaps)
    assert shown.opens_us[0] == NOON_US - 4 * MINUTE_US
    assert shown.missing == ()
    assert shown.begins_us == NOON_US - 4 * MINUTE_US
    notes = html.notes(shown, ZoneInfo("Europe/Berlin"))
    begins = "Stored history begins <time title='20 Nov 2026, 11:56:00 UTC'>20 Nov 2026, 12:56</time>."
    assert begins in str(notes).replace('"', "'")


def test_what_is_empty_and_what_is_missing_never_look_alike() -> None:
    gaps = [Window(NOON_US - 8 * MINUTE_US, NOON_US - 6 * MINUTE_US)]
    shown = view([candle(-10, 9.0), candle(-5, 11.0), candle(-2)], gaps)
    assert shown.missing == ((2, 3),)
    assert shown.quiet == ((1, 9.0), (4, 9.0), (6, 11.0), (7, 11.0), (9, 10.0))
    series = {line["id"]: line for line in plot.options(shown, DARK, str)["series"]}
    assert series["quiet"]["data"] == [list(bucket) for bucket in shown.quiet]


def test_an_indicator_with_a_pane_adds_one_below() -> None:
    minutes = [candle(n, 10 + n % 3) for n in range(-60, 1)]
    shown = view(
        minutes,
        indicators=(Indicator("MACD", (12, 26, 9)), Indicator("BB", (20, 2)), Indicator("RSI", (14,))),
    )
    assert plot.panes(shown) == ("MACD 12 26 9", "RSI 14")
    options = plot.options(shown, LIGHT, str)
    assert len(options["grid"]) == len(options["xAxis"]) == len(options["yAxis"]) == 4
    assert options["yAxis"][3]["max"] == 100
    named = {line["name"]: line for line in options["series"]}
    assert named["MACD 12 26 9 histogram"]["type"] == "bar"
    assert named["BB 20 2 upper"]["itemStyle"]["color"] == named["BB 20 2 lower"]["itemStyle"]["color"]
    assert plot.height_px(shown) > plot.height_px(view(minutes))


def test_alerts_are_levels_of_the_chart() -> None:
    options = plot.options(view([candle(0)]), DARK, str, levels=(plot.Level(12.5, "alert 12.50"),))
    line = options["series"][0]["markLine"]
    assert [mark["yAxis"] for mark in line["data"]] == [10.0, 12.5]
    assert line["precision"] < 0  # or 0.00001234 would be drawn at 0


def test_alerts_outside_the_visible_prices_are_listed() -> None:
    levels = (plot.Level(12.5, "alert 12.50"), plot.Level(10.5, "alert 10.50"))
    assert plot.outside(view([candle(0)]), levels) == levels[:1]
    assert plot.outside(view([]), levels) == levels


def test_a_chart_is_described_in_words() -> None:
    shown = view([candle(-1, 12.0), candle(0, 9.0)], indicators=(Indicator("SMA", (2,)),))
    aria = plot.options(shown, DARK, str, levels=(plot.Level(9.5, "alert 9.50"),))["aria"]
    assert aria["label"]["description"] == (
        "2 candles of 1m from 20 Nov 2026, 11:50:00 UTC to 20 Nov 2026, 12:01:00 UTC; between 8.0000 and "
        "13.0000, the last at 9.0000; SMA 2 at 10.5000; alert 9.50."
    )
    assert plot.describe(view([])) == "No candles of 1m."


@given(st.lists(st.tuples(st.integers(-15, 2), st.floats(1.5, 500)), unique_by=lambda pair: pair[0]))
def test_every_candle_of_the_range_is_drawn_with_its_high_and_low(closes: list[tuple[int, float]]) -> None:
    candles = [candle(minute, close) for minute, close in sorted(closes)]
    inside = [candle for candle in candles if NOON_US - 10 * MINUTE_US <= candle.open_ts_us <= NOON_US]
    shown = view(candles)
    assert [candle for candle in shown.candles if candle is not None] == inside
    assert shown.low == min((candle.low for candle in inside), default=None)
    assert shown.high == max((candle.high for candle in inside), default=None)


def test_a_running_sum_begins_at_the_first_candle_shown() -> None:
    indicator = Indicator("OBV", ())
    candles = [candle(n, 10 + n % 3) for n in range(-60, 1)]
    short, long = view(candles[-20:], indicators=(indicator,)), view(candles, indicators=(indicator,))
    assert short.lines == long.lines
    assert short.lines[0].values[0] == 0
    assert short.notes == ("OBV starts at the first candle shown.",)


def test_nothing_stored_is_an_empty_chart() -> None:
    shown = view([], [Window(NOON_US - DAY_US, NOW_US)])
    assert shown.last is None
    assert len(shown.opens_us) == 11


def test_options_are_aligned_and_carry_no_zoom() -> None:
    shown = view(
        [candle(-4, 9.0), candle(-1, 11.0)],
        [Window(NOON_US - 8 * MINUTE_US, NOON_US - 6 * MINUTE_US)],
        (Indicator("SMA", (2,)),),
    )
    options = plot.options(shown, DARK, str)
    series = {line["id"]: line for line in options["series"]}
    buckets = len(shown.opens_us)
    assert {len(axis["data"]) for axis in options["xAxis"]} == {buckets}
    assert options["xAxis"][0]["data"][-1] == str(NOON_US // 1_000)
    assert {len(series[key]["data"]) for key in ("price", "volume-up", "volume-down", "line-0")} == {buckets}
    assert series["price"]["data"][6] == [10.0, 9.0, 8.0, 11.0]
    assert series["price"]["data"][7] == "-"
    assert (series["volume-down"]["data"][6], series["volume-up"]["data"][9]) == (2.0, 2.0)
    assert series["missing"]["data"] == [[2, 3]]
    assert series["price"]["itemStyle"]["color"] == DARK.up != LIGHT.up
    for zoom in options["dataZoom"]:
        assert not {"start", "end", "startValue", "endValue"} & set(zoom)


def test_options_survive_json() -> None:
    indicator = Indicator("EMA", (2,))
    options = plot.options(view([candle(n) for n in range(-9, 1)], indicators=(indicator,)), LIGHT, str)
    assert "NaN" not in json.dumps(options)
    assert not any(isnan(value) for value in options["series"][3]["data"] if value != "-")

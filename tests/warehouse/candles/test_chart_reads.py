from __future__ import annotations

import pytest
from sqlalchemy import text

from coinwatch.intervals import Interval
from coinwatch.records import Market, Symbol
from coinwatch.times import DAY_US, MINUTE_US, SECOND_US, to_datetime
from coinwatch.windows import Window
from tests.app.dashboard.stock import Stock
from tests.warehouse.conftest import NOON_US
from warehouse.candles import chart_reads
from warehouse.candles.chart_reads import WatchedMarket

NAMES = ["binance:BTC-USDT", "coinbase:BTC-USDT", "kraken:ETH-EUR"]


def watched(name: str, market_id: int) -> WatchedMarket:
    return WatchedMarket(market_id, Market.canonical(name))


def test_watched_are_the_configured_and_the_streaming_of_all_listed(stock: Stock) -> None:
    ids = stock.markets(["binance:BTC-USDT", "binance:DOGE-USDT"], streaming=False)
    ids |= stock.markets(["kraken:ETH-EUR"])
    with stock.engine.connect() as conn:
        read = chart_reads.watched_markets(conn, [Market.canonical("binance:BTC-USDT")])
    assert read == (
        watched("binance:BTC-USDT", ids["binance:BTC-USDT"]),
        watched("kraken:ETH-EUR", ids["kraken:ETH-EUR"]),
    )


def test_latest_trade_is_the_newest_by_time_then_id(stock: Stock) -> None:
    first, second, silent = stock.markets(NAMES).values()
    stock.ticks(first, [(NOON_US - 5, 10.0, 1), (NOON_US - 1, 11.0, 1), (NOON_US - 1, 12.0, 1)])
    stock.ticks(first, [(NOON_US - 9, 13.0, 1)])
    stock.ticks(second, [(NOON_US - 2 * DAY_US, 1.0, 1)])
    with stock.engine.connect() as conn:
        latest = chart_reads.latest_trades(conn, [first, second, silent], NOON_US - DAY_US)
    assert latest == (chart_reads.LastTrade(first, NOON_US - 1, 12.0),)


def test_rates_count_the_last_hour_only(stock: Stock) -> None:
    first, second, _ = stock.markets(NAMES).values()
    old = [(NOON_US - 2 * 3_600 * SECOND_US, 1.0, 1.0)]
    stock.ticks(first, old + [(NOON_US - n * SECOND_US, 1.0, 1.0) for n in (30, 20, 10)])
    with stock.engine.connect() as conn:
        rates = chart_reads.trade_rates(conn, [first, second], NOON_US)
    assert rates == (chart_reads.TradeRate(first, 3, 20 * SECOND_US), chart_reads.TradeRate(second, 0, 0))


def test_candles_are_the_stored_ones_and_then_the_ticks(stock: Stock) -> None:
    (name, *_), (market_id, *_) = NAMES, stock.markets(NAMES[:1]).values()
    stored = Window(NOON_US - 8 * MINUTE_US, NOON_US - 3 * MINUTE_US)
    stock.candles(market_id, 100.0, stored)
    stock.ticks(
        market_id,
        [
            (stored.end_us - 1, 999.0, 9.0),  # within a stored minute: the candle is right
            (NOON_US - 3 * MINUTE_US, 101.0, 1.0),
            (NOON_US - 3 * MINUTE_US + 5, 104.0, 2.0),
            (NOON_US - 3 * MINUTE_US + 5, 103.0, 1.0),  # the same time: the id decides which is last
            (NOON_US - 3 * MINUTE_US + 4, 99.0, 1.0),
            (NOON_US - 10, 105.0, 0.5),
        ],
    )
    with stock.engine.connect() as conn:
        read = chart_reads.candles(
            conn,
            watched(name, market_id),
            Interval.M1,
            Window(NOON_US - 10 * MINUTE_US, NOON_US),
            NOON_US,
        )
    opens = [(candle.open_ts_us - NOON_US) // MINUTE_US for candle in read]
    assert opens == [-8, -7, -6, -5, -4, -3, -1]
    first_of_ticks = read[-2]
    assert (first_of_ticks.open, first_of_ticks.high, first_of_ticks.low) == (101.0, 104.0, 99.0)
    assert (first_of_ticks.close, first_of_ticks.volume) == (103.0, 5.0)
    assert read[-1].close == 105.0
    assert read[4].high < 999


@pytest.mark.parametrize("interval", list(Interval))
def test_coarser_candles_keep_every_high_low_and_volume(stock: Stock, interval: Interval) -> None:
    (name, *_), (market_id, *_) = NAMES, stock.markets(NAMES[:1]).values()
    window = Window(interval.floor(NOON_US - DAY_US), NOON_US)
    stock.candles(market_id, 100.0, Window(window.start_us, NOON_US - MINUTE_US))
    stock.ticks(market_id, [(NOON_US - 30 * SECOND_US, 250.0, 3.0)])
    with stock.engine.connect() as conn:
        fine = chart_reads.candles(conn, watched(name, market_id), Interval.M1, window, NOON_US)
        coarse = chart_reads.candles(conn, watched(name, market_id), interval, window, NOON_US)
    assert len(coarse) == len({interval.floor(candle.open_ts_us) for candle in fine})
    for candle in coarse:
        inside = [first for first in fine if interval.floor(first.open_ts_us) == candle.open_ts_us]
        assert candle.open == inside[0].open
        assert candle.close == inside[-1].close
        assert candle.high == max(first.high for first in inside)
        assert candle.low == min(first.low for first in inside)
        assert candle.volume == pytest.approx(sum(first.volume for first in inside))
    assert coarse[-1].high == 250.0


def test_stored_rollups_serve_but_where_their_minutes_changed(stock: Stock) -> None:
    (name, *_), (market_id, *_) = NAMES, stock.markets(NAMES[:1]).values()
    hour_us = 60 * MINUTE_US
    stock.candles(market_id, 100.0, Window(NOON_US - 6 * hour_us, NOON_US - 30 * MINUTE_US))
    with stock.engine.begin() as conn:
        conn.execute(
            text("""
                insert into candles (market_id, interval, open_ts, open, high, low, close, volume, source)
                select :id, '1h', ts, 7, 7, 7, 7, 7, 'rollup'
                from generate_series(cast(:since as timestamptz), :until, '1 hour') as ts"""),
            {
                "id": market_id,
                "since": to_datetime(NOON_US - 6 * hour_us),
                "until": to_datetime(NOON_US - hour_us),
            },
        )

    def closes() -> list[bool]:
        window = Window(NOON_US - 6 * hour_us, NOON_US + hour_us)
        with stock.engine.connect() as conn:
            read = chart_reads.candles(conn, watched(name, market_id), Interval.H1, window, NOON_US)
        return [candle.close == 7 for candle in read]

    assert closes() == [False] * 6  # no rollup is recorded
    with stock.engine.begin() as conn:
        conn.execute(
            text("""
                insert into candle_rollups (market_id, interval, due)
                values (:id, '1h', tstzmultirange(tstzrange(:since, :until)))"""),
            {
                "id": market_id,
                "since": to_datetime(NOON_US - 4 * hour_us + 5 * MINUTE_US),
                "until": to_datetime(NOON_US - 4 * hour_us + 6 * MINUTE_US),
            },
        )
    # The third has a changed minute, the last is not over for its minutes.
    assert closes() == [True, True, False, True, True, False]


def test_a_window_of_too_many_candles_is_refused(stock: Stock) -> None:
    with stock.engine.connect() as conn, pytest.raises(ValueError, match="more than 6500"):
        chart_reads.candles(
            conn, watched(NAMES[0], 1), Interval.M1, Window(NOON_US - 5 * DAY_US, NOON_US), NOON_US
        )


def test_ticks_are_asked_for_the_tail_only(stock: Stock) -> None:
    (market_id,) = stock.markets(NAMES[:1]).values()
    stock.ticks(
        market_id, [(NOON_US - chart_reads.TAIL_US - MINUTE_US, 1.0, 1.0), (NOON_US - MINUTE_US, 2.0, 1.0)]
    )
    with stock.engine.connect() as conn:
        read = chart_reads.candles(
            conn, watched(NAMES[0], market_id), Interval.M5, Window(NOON_US - DAY_US, NOON_US), NOON_US
        )
    assert [candle.close for candle in read] == [2.0]


def test_day_statistics_cover_what_is_stored(stock: Stock) -> None:
    first, second, third = stock.markets(NAMES).values()
    stock.candles(first, 100.0, Window(NOON_US - 2 * DAY_US, NOON_US - MINUTE_US))
    stock.ticks(first, [(NOON_US - SECOND_US, 130.0, 2.0)])
    stock.ticks(second, [(NOON_US - 90 * SECOND_US, 50.0, 1.0), (NOON_US - 80 * SECOND_US, 40.0, 1.0)])
    with stock.engine.connect() as conn:
        stats = {row.market_id: row for row in chart_reads.day_stats(conn, [first, second, third], NOON_US)}
    assert set(stats) == {first, second}
    assert stats[first].first_us == NOON_US - DAY_US
    assert stats[first].high == 130.0
    assert stats[first].volume == pytest.approx(2 * (24 * 60 - 1) + 2)
    assert stats[second] == chart_reads.DayStats(
        market_id=second,
        first_us=NOON_US - 2 * MINUTE_US,
        open=50.0,
        high=50.0,
        low=40.0,
        volume=2.0,
        quote_volume=90.0,
    )


def test_sparkline_is_the_median_of_markets_by_symbol(stock: Stock) -> None:
    ids = stock.markets(["binance:BTC-USDT", "coinbase:BTC-USDT", "kraken:BTC-USDT", "kraken:ETH-EUR"])
    for name, price in zip(ids, (100.0, 200.0, 900.0, 10.0), strict=True):
        stock.candles(ids[name], price, Window(NOON_US - DAY_US, NOON_US))
    with stock.engine.connect() as conn:
        lines = chart_reads.sparklines(conn, list(ids.values()), NOON_US, points=24)
    btc = lines[Symbol("BTC", "USDT")]
    assert set(lines) == {Symbol("BTC", "USDT"), Symbol("ETH", "EUR")}
    assert [ts_us for ts_us, _ in btc] == [NOON_US - DAY_US + hour * 60 * MINUTE_US for hour in range(24)]
    assert all(198 <= price <= 202 for _, price in btc)


@pytest.mark.parametrize(
    ("covered", "ticks_from_min", "missing_min"),
    [
        ([], None, [(-60, 0)]),
        ([], -4, [(-60, -4)]),
        ([(-60, -10)], None, [(-10, 0)]),
        ([(-60, -10)], -10, []),
        ([(-60, -10)], -6, [(-10, -6)]),
        ([(-60, -40), (-30, -10)], -10, [(-40, -30)]),
        ([(-90, -70)], -70, []),
    ],
)
def test_gaps_are_neither_verified_nor_streamed_since(
    stock: Stock,
    covered: list[tuple[int, int]],
    ticks_from_min: int | None,
    missing_min: list[tuple[int, int]],
) -> None:
    (market_id,) = stock.markets(NAMES[:1]).values()
    for start, end in covered:
        stock.candles(market_id, 1.0, Window(NOON_US + start * MINUTE_US, NOON_US + end * MINUTE_US))
    if ticks_from_min is not None:
        stock.ticks(market_id, [(NOON_US + ticks_from_min * MINUTE_US + 7 * SECOND_US, 1.0, 1.0)])
    with stock.engine.connect() as conn:
        gaps = chart_reads.candle_gaps(conn, market_id, Window(NOON_US - 60 * MINUTE_US, NOON_US), NOON_US)
    assert [
        ((gap.start_us - NOON_US) // MINUTE_US, (gap.end_us - NOON_US) // MINUTE_US) for gap in gaps
    ] == missing_min


def test_stream_states_are_what_the_daemon_wrote(stock: Stock) -> None:
    first, second = stock.markets(NAMES[:2]).values()
    with stock.engine.begin() as conn:
        conn.execute(
            text("update stream_health set state = 'down', last_error = 'refused' where market_id = :id"),
            {"id": second},
        )
        states = {state.market_id: state for state in chart_reads.stream_states(conn)}
    assert (states[first].state, states[first].last_error) == ("live", None)
    assert (states[second].state, states[second].last_error) == ("down", "refused")

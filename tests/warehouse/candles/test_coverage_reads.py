from __future__ import annotations

from sqlalchemy import text

from coinwatch.times import DAY_US, MINUTE_US, to_datetime, utc_day
from coinwatch.windows import Window
from tests.app.dashboard.stock import Stock
from tests.warehouse.conftest import NOON_US
from warehouse.candles import coverage_reads

MIDNIGHT_US = NOON_US - DAY_US // 2
HOUR_US = 60 * MINUTE_US
TWO_DAYS = Window(MIDNIGHT_US - DAY_US, MIDNIGHT_US + DAY_US)


def cover(stock: Stock, market_id: int, *, covered: Window, unavailable: Window, wanted_us: int) -> None:
    with stock.engine.begin() as conn:
        conn.execute(
            text("""
                insert into candle_coverage (market_id, interval, covered, unavailable, wanted)
                values (:id, '1m', tstzmultirange(tstzrange(:c1, :c2)), tstzmultirange(tstzrange(:u1, :u2)),
                    tstzmultirange(tstzrange(:wanted, null)))"""),
            {
                "id": market_id,
                "c1": to_datetime(covered.start_us),
                "c2": to_datetime(covered.end_us),
                "u1": to_datetime(unavailable.start_us),
                "u2": to_datetime(unavailable.end_us),
                "wanted": to_datetime(wanted_us),
            },
        )


def test_days_separate_covered_unavailable_and_missing(stock: Stock) -> None:
    first, second = stock.markets(["binance:BTC-USDT", "kraken:BTC-USDT"]).values()
    cover(
        stock,
        first,
        covered=Window(MIDNIGHT_US - 6 * HOUR_US, MIDNIGHT_US + 2 * HOUR_US),
        unavailable=Window(MIDNIGHT_US - 10 * HOUR_US, MIDNIGHT_US - 6 * HOUR_US),
        wanted_us=MIDNIGHT_US - 12 * HOUR_US,
    )
    with stock.engine.connect() as conn:
        before, today = coverage_reads.coverage_by_day(conn, [first, second], TWO_DAYS, NOON_US)
        missing, also, unavailable = coverage_reads.holes(conn, [first, second], TWO_DAYS, NOON_US)
    assert (before.market_id, before.day) == (first, utc_day(MIDNIGHT_US - 1))
    assert (before.covered_s, before.unavailable_s, before.missing_s) == (6 * 3600, 4 * 3600, 2 * 3600)
    # Until ten minutes ago; what is younger may be on its way.
    assert (today.covered_s, today.unavailable_s, today.missing_s) == (2 * 3600, 0, 10 * 3600 - 600)
    assert missing.window == Window(MIDNIGHT_US + 2 * HOUR_US, NOON_US - 10 * MINUTE_US)
    assert also.window == Window(MIDNIGHT_US - 12 * HOUR_US, MIDNIGHT_US - 10 * HOUR_US)
    assert unavailable.kind == "unavailable"
    assert unavailable.window.length_us == 4 * HOUR_US


def test_ranges_that_are_not_wanted_are_not_listed(stock: Stock) -> None:
    (first,) = stock.markets(["binance:BTC-USDT"]).values()
    with stock.engine.connect() as conn:
        assert coverage_reads.coverage_by_day(conn, [first], TWO_DAYS, NOON_US) == ()
        assert coverage_reads.holes(conn, [first], TWO_DAYS, NOON_US) == ()


def test_minutes_with_trades_are_counted_where_they_are_verified(stock: Stock) -> None:
    (first,) = stock.markets(["binance:BTC-USDT"]).values()
    verified = Window(MIDNIGHT_US - 30 * MINUTE_US, MIDNIGHT_US + 90 * MINUTE_US)
    stock.candles(first, 100.0, verified)
    stock.candles(first, 100.0, Window(NOON_US - HOUR_US, NOON_US), covered=False)
    with stock.engine.begin() as conn:
        conn.execute(
            text("delete from candles where open_ts >= :since and open_ts < :until"),
            {"since": to_datetime(MIDNIGHT_US), "until": to_datetime(MIDNIGHT_US + 5 * MINUTE_US)},
        )
    with stock.engine.connect() as conn:
        before, today = coverage_reads.traded_by_day(conn, [first], TWO_DAYS)
        minutes = coverage_reads.day_minutes(conn, first, Window(MIDNIGHT_US, MIDNIGHT_US + DAY_US), NOON_US)
    assert (before.minutes, today.minutes, today.day) == (30, 85, utc_day(MIDNIGHT_US))
    assert minutes.spans == (("covered", Window(MIDNIGHT_US, verified.end_us)),)
    assert len(minutes.opened_us) == 85 + 60

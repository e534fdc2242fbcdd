from __future__ import annotations

import pytest

from coinwatch.records import Symbol
from coinwatch.times import MINUTE_US, SECOND_US
from coinwatch.windows import Window
from tests.app.dashboard.stock import Stock
from tests.warehouse.conftest import NOON_US
from warehouse.averages import reads

BTC = Symbol("BTC", "USDT")
PRICES = {"binance": 100.0, "kraken": 101.0, "okx": 102.0}


def test_samples_are_the_last_of_each_step(stock: Stock) -> None:
    stock.averages("BTC-USDT", PRICES, Window(NOON_US - MINUTE_US, NOON_US))
    stock.averages("ETH-USDT", PRICES, Window(NOON_US - MINUTE_US, NOON_US))
    window = Window(NOON_US - 2 * MINUTE_US, NOON_US)
    with stock.engine.connect() as conn:
        samples = reads.average_samples(conn, BTC, window, 20 * SECOND_US)
        assert reads.average_samples(conn, Symbol("X", "Y"), window, 20 * SECOND_US) == ()
    assert [(NOON_US - sample.ts_us) // SECOND_US for sample in samples] == [41, 21, 1]
    assert samples[0].average.inputs["okx"].why == "its last trade is 75 s old"
    assert samples[0].average.exchanges == ("binance", "kraken")


def test_too_many_samples_are_refused(stock: Stock) -> None:
    window = Window(NOON_US - 60 * MINUTE_US, NOON_US)
    with stock.engine.connect() as conn, pytest.raises(ValueError, match="more than 2000 steps"):
        reads.average_samples(conn, BTC, window, SECOND_US)


def test_a_moment_has_the_average_before_it_unless_that_is_too_old(stock: Stock) -> None:
    stock.averages("BTC-USDT", PRICES, Window(NOON_US - MINUTE_US, NOON_US))
    with stock.engine.connect() as conn:
        (held,) = reads.average_at(conn, BTC, NOON_US - 30 * SECOND_US + 7)
        assert held.ts_us == NOON_US - 30 * SECOND_US
        (last,) = reads.average_at(conn, BTC, NOON_US + MINUTE_US)
        assert last.ts_us == NOON_US - SECOND_US
        assert reads.average_at(conn, BTC, NOON_US + 2 * MINUTE_US) == ()
        assert reads.average_at(conn, BTC, NOON_US - 2 * MINUTE_US) == ()

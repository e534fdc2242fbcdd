"""From trades of markets to the averages of their pairs."""

from __future__ import annotations

import pytest

from coinwatch.averaging.average import Method, State, recompute
from coinwatch.averaging.quarantine import QUARANTINE_AFTER_US
from coinwatch.records import Market, Symbol
from coinwatch.times import DAY_US, SECOND_US
from ingest_daemon.averages.pairs import FORGET_US, Now, Pairs
from warehouse.averages.store import LiveTrade, PairAverage
from warehouse.candles.chart_reads import DayStats, TradeRate
from warehouse.db.notifications import MarketMove

START = Now(1_795_176_000 * SECOND_US, 5 * SECOND_US)
BTC = Symbol("BTC", "USDT")
NAMES = ("binance", "coinbase", "kraken", "okx")


def later(seconds: float, since: Now = START) -> Now:
    return Now(since.wall_us + round(seconds * SECOND_US), since.steady_us + round(seconds * SECOND_US))


def move(market_id: int, price: float, now: Now, *, ts_us: int | None = None) -> MarketMove:
    at_us = now.wall_us if ts_us is None else ts_us
    return MarketMove(market_id, 1, 1, price, price, price, price, 1.0, 1, at_us)


def stats(market_id: int, *, hours: float = 24, open_: float = 80.0, volume: float = 1.0) -> DayStats:
    first_us = START.wall_us - round(hours * 3_600 * SECOND_US)
    return DayStats(market_id, first_us, open_, 110.0, 70.0, volume, volume)


def known(*names: str, method: Method = Method.MEDIAN, fold: bool = False) -> Pairs:
    pairs = Pairs(method, fold_stablecoins=fold)
    pairs.add_markets({place: Market.canonical(name) for place, name in enumerate(names, 1)})
    return pairs


def of_btc() -> Pairs:
    return known(*(f"{name}:BTC-USDT" for name in NAMES))


def at(pairs: Pairs, now: Now) -> dict[Symbol, PairAverage]:
    return {pair.symbol: pair for pair in pairs.averages(now.wall_us, now)}


def test_the_average_is_of_the_last_live_trades() -> None:
    pairs = of_btc()
    for market_id, price in enumerate((100.0, 100.1, 100.2), 1):
        pairs.add_move(move(market_id, price, START), START)
    pairs.add_move(move(2, 100.15, later(1)), later(1))
    (pair,) = pairs.averages(7, later(2))
    assert (pair.symbol, pair.ts_us, pair.average.price) == (BTC, 7, 100.15)
    assert pair.average.state is State.OK
    assert pair.average.inputs["coinbase"].age_s == 1.0
    assert pair.change_24h is None


def test_a_late_trade_does_not_replace_a_newer_price() -> None:
    pairs = of_btc()
    pairs.add_move(move(1, 100.0, START), START)
    pairs.add_move(move(1, 50.0, later(1), ts_us=START.wall_us - 1), later(1))
    assert at(pairs, later(1))[BTC].average.price == 100.0
    pairs.add_move(move(1, 101.0, later(2), ts_us=START.wall_us), later(2))
    assert at(pairs, later(2))[BTC].average.price == 101.0


def test_a_trade_from_the_future_does_not_shut_out_later_ones() -> None:
    pairs = of_btc()
    pairs.add_move(move(1, 100.0, later(3_600)), START)
    pairs.add_move(move(1, 101.0, later(1)), later(1))
    assert at(pairs, later(1))[BTC].average.price == 101.0


@pytest.mark.parametrize(
    "now",
    [
        later(11),
        Now(START.wall_us + 11 * SECOND_US, START.steady_us + 1),  # the machine slept
        Now(START.wall_us - 3_600 * SECOND_US, START.steady_us + 11 * SECOND_US),  # the clock was set back
    ],
)
def test_no_clock_change_makes_an_old_price_fresh(now: Now) -> None:
    pairs = of_btc()
    pairs.add_move(move(1, 100.0, START), START)
    assert at(pairs, later(1)).keys() == {BTC}
    assert at(pairs, now) == {}


def test_stored_trades_keep_their_age() -> None:
    pairs = of_btc()
    now = START
    pairs.add_stored(LiveTrade(1, 100.0, now.wall_us - 9 * SECOND_US, now.wall_us - 9 * SECOND_US), now)
    pairs.add_stored(LiveTrade(2, 100.0, now.wall_us - 30 * SECOND_US, now.wall_us - 30 * SECOND_US), now)
    pairs.add_stored(LiveTrade(3, 100.0, now.wall_us, now.wall_us + DAY_US), now)
    inputs = at(pairs, now)[BTC].average.inputs
    assert {name: given.age_s for name, given in inputs.items()} == {
        "binance": 9.0,
        "coinbase": 30.0,
        "kraken": 0.0,
    }
    assert [name for name, given in inputs.items() if given.used] == ["binance", "kraken"]
    pairs.add_move(move(1, 101.0, later(1)), later(1))
    pairs.add_stored(LiveTrade(1, 100.0, now.wall_us, now.wall_us), later(2))
    assert at(pairs, later(2))[BTC].average.inputs["binance"].price == 101.0


def test_the_trade_rate_decides_how_long_a_price_counts() -> None:
    pairs = of_btc()
    for market_id in (1, 2, 3):
        pairs.add_move(move(market_id, 100.0, START), START)
    pairs.set_statistics([], [TradeRate(1, 11, 100 * SECOND_US), TradeRate(2, 1, 0)])
    assert at(pairs, later(49))[BTC].average.exchanges == ("binance",)
    assert at(pairs, later(51)) == {}


def test_a_market_silent_for_an_hour_is_no_input() -> None:
    pairs = of_btc()
    pairs.add_move(move(1, 100.0, START), START)
    now = later(FORGET_US / SECOND_US)
    pairs.add_move(move(2, 100.0, now), now)
    assert at(pairs, now)[BTC].average.inputs.keys() == {"coinbase"}
    assert pairs.traded == [2]


def test_volumes_are_weights_and_unused_exchanges_do_not_count() -> None:
    pairs = of_btc()
    for market_id, price in enumerate((100.0, 101.0, 101.5, 150.0), 1):
        pairs.add_move(move(market_id, price, START), START)
    pairs.set_statistics(
        [
            stats(1, volume=9.0),
            stats(2, open_=81.0),
            stats(3, open_=82.0, hours=23.6),
            stats(4, open_=1.0, volume=99.0),
        ],
        [],
    )
    pair = at(pairs, later(1))[BTC]
    assert pair.average.inputs["binance"].weight == 0.4
    assert pair.average.inputs["okx"].why == "49% from the others"
    assert pair.average.price == 101.0
    assert pair.change_24h == pytest.approx(101 / 81 - 1)
    assert (pair.high_24h, pair.low_24h) == (110.0, 70.0)


def test_less_than_a_day_gives_no_24_h_statistics() -> None:
    pairs = of_btc()
    pairs.add_move(move(1, 100.0, START), START)
    pairs.set_statistics([stats(1, hours=23)], [])
    assert at(pairs, START)[BTC].change_24h is None
    pairs.set_statistics([stats(1)], [])
    pairs.add_move(move(1, 120.0, START), START)
    assert at(pairs, START)[BTC].high_24h == 120.0


def test_quotes_are_kept_apart() -> None:
    pairs = known("kraken:BTC-USD", "kraken:BTC-EUR", "kraken:BTC-USDT")
    for market_id, price in enumerate((100.0, 90.0, 101.0), 1):
        pairs.add_move(move(market_id, price, START), START)
    averages = at(pairs, START)
    assert {str(symbol): pair.average.price for symbol, pair in averages.items()} == {
        "BTC-USD": 100.0,
        "BTC-EUR": 90.0,
        "BTC-USDT": 101.0,
    }


def test_a_trade_of_an_unknown_market_is_noticed() -> None:
    pairs = of_btc()
    pairs.add_move(move(9, 5.0, START), START)
    assert pairs.has_unknown_markets
    assert at(pairs, START) == {}
    pairs.add_markets({9: Market.canonical("kraken:ETH-EUR")})
    assert not pairs.has_unknown_markets
    assert [str(symbol) for symbol in at(pairs, START)] == ["ETH-EUR"]


def trade_for(pairs: Pairs, prices: dict[int, float], seconds: int, step_s: int = 60) -> Now:
    now = START
    for second in range(0, seconds + 1, step_s):
        now = later(second)
        for market_id, price in prices.items():
            pairs.add_move(move(market_id, price, now), now)
        at(pairs, now)
    return now


def test_a_deviating_market_is_quarantined_and_released() -> None:
    pairs = of_btc()
    hour_s = QUARANTINE_AFTER_US // SECOND_US
    trade_for(pairs, {1: 100.0, 2: 100.1, 3: 31.0}, hour_s - 60)
    assert pairs.take_changes() == []
    now = trade_for(pairs, {1: 100.0, 2: 100.1, 3: 31.0}, hour_s)
    (began,) = pairs.take_changes()
    assert (began.market_id, str(began.market), began.is_released) == (3, "kraken:BTC-USDT", False)
    assert began.since_us == START.wall_us
    assert pairs.take_disputes() == []

    # Another process reads the quarantine from the warehouse, and does not trust the market alone either.
    heir = Pairs(Method.MEDIAN, quarantined={3: began.since_us})
    heir.add_markets({place: Market(name, BTC) for place, name in enumerate(NAMES, 1)})
    heir.add_move(move(3, 31.0, now), now)
    assert at(heir, now) == {}
    for market_id in (1, 2, 3):
        heir.add_move(move(market_id, 100.0, now), now)
    assert at(heir, now)[BTC].average.exchanges == ("binance", "coinbase", "kraken")
    (released,) = heir.take_changes()
    assert (released.market_id, released.is_released) == (3, True)


def test_a_pair_without_two_agreeing_exchanges_has_no_average() -> None:
    pairs = of_btc()
    pairs.add_move(move(1, 100.0, START), START)
    pairs.add_move(move(2, 31.0, START), START)
    assert at(pairs, START) == at(pairs, later(1)) == {}
    assert pairs.take_disputes() == [(BTC, True)]
    pairs.add_move(move(2, 101.0, later(2)), later(2))
    assert at(pairs, later(2)).keys() == {BTC}
    assert pairs.take_disputes() == [(BTC, False)]


def test_an_outlier_is_excluded_until_it_is_close() -> None:
    pairs = of_btc()

    def is_used(price: float) -> bool:
        for market_id in (1, 2, 3):
            pairs.add_move(move(market_id, 100.0, START), START)
        pairs.add_move(move(4, price, START), START)
        return at(pairs, START)[BTC].average.inputs["okx"].used

    assert [is_used(price) for price in (100.4, 100.6, 100.4, 100.2, 100.4)] == [
        True,
        False,
        False,
        True,
        True,
    ]


FOLDING = ("kraken:BTC-USD", "binance:BTC-USDT", "okx:BTC-USDT", "okx:BTC-USDC", "htx:SOL-USDT")


def folding(*more: str, fold: bool = True) -> Pairs:
    pairs = known(*FOLDING, *more, fold=fold)
    for market_id, price in enumerate((100.0, 101.0, 101.2, 99.0, 50.5), 1):
        pairs.add_move(move(market_id, price, START), START)
    return pairs


def test_stablecoins_are_converted_at_their_own_market() -> None:
    pairs = folding("kraken:USDT-USD", "coinbase:USDT-USD", "bitstamp:USDT-USD")
    for market_id, price in enumerate((0.99, 0.99, 0.5), 6):
        pairs.add_move(move(market_id, price, START), START)
    averages = at(pairs, START)
    pair = averages[Symbol("BTC", "USD")].average
    assert pair.inputs.keys() == {"kraken", "binance:USDT", "okx:USDT"}
    assert pair.exchanges == ("binance", "kraken", "okx")
    assert pair.inputs["binance:USDT"].price == pytest.approx(101.0 * 0.99)
    assert pair.inputs["binance:USDT"].rate == 0.99
    assert pair.inputs["kraken"].rate is None
    assert recompute(pair.inputs, Method.MEDIAN) == pair.price
    assert averages[Symbol("SOL", "USD")].average.price == pytest.approx(50.5 * 0.99)
    assert averages[Symbol("SOL", "USDT")].average.price == 50.5
    assert averages[Symbol("USDT", "USD")].average.price == 0.99


def test_btc_prices_imply_the_rate_of_a_stablecoin() -> None:
    averages = at(folding(), START)
    rate = 100.0 / 101.1
    assert averages[Symbol("SOL", "USD")].average.inputs["htx:USDT"].rate == pytest.approx(rate)
    assert averages[Symbol("BTC", "USD")].average.inputs.keys() == {"kraken"}
    assert at(folding(fold=False), START).keys() == {
        Symbol("BTC", "USD"),
        Symbol("BTC", "USDT"),
        Symbol("BTC", "USDC"),
        Symbol("SOL", "USDT"),
    }


def test_prices_without_a_rate_are_not_converted() -> None:
    pairs = known("htx:SOL-USDT", "kraken:SOL-USD", fold=True)
    pairs.add_move(move(1, 50.0, START), START)
    pairs.add_move(move(2, 51.0, START), START)
    averages = at(pairs, START)
    assert averages[Symbol("SOL", "USD")].average.inputs.keys() == {"kraken"}
    assert averages[Symbol("SOL", "USD")].average.price == 51.0

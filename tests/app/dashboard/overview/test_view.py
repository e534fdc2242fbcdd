from __future__ import annotations

import msgspec
import pytest

from app.dashboard.overview import html
from app.dashboard.overview import view as overview_view
from app.dashboard.overview.view import Card, CardState, Overview
from app.dashboard.ui.problems import Problem
from app.dashboard.ui.trend import Seen, Trend
from coinwatch.averaging.average import Average, Input, Method, State
from coinwatch.records import Market, Symbol
from coinwatch.times import DAY_US, MINUTE_US, SECOND_US
from warehouse.averages.store import PairAverage
from warehouse.candles.chart_reads import DayStats, LastTrade, StreamState, TradeRate, WatchedMarket

NOW_US = 1_795_176_000 * SECOND_US
BTC = Symbol("BTC", "USDT")
BTC_MARKETS = [
    WatchedMarket(number, Market(exchange, BTC))
    for number, exchange in enumerate(("binance", "coinbase", "kraken"), 1)
]


def trades(**prices_and_ages: tuple[float, float]) -> list[LastTrade]:
    ids = {watched.market.exchange: watched.market_id for watched in BTC_MARKETS}
    return [
        LastTrade(ids[exchange], NOW_US - round(age_s * SECOND_US), price)
        for exchange, (price, age_s) in prices_and_ages.items()
    ]


def stats(
    market_id: int, *, open_: float = 95, high: float = 110, low: float = 90, hours: float = 24
) -> DayStats:
    return DayStats(market_id, NOW_US - round(hours * 3_600 * SECOND_US), open_, high, low, 1.0, 100.0)


def only(view: Overview) -> Card:
    (card,) = view.cards
    return card


def test_without_a_stored_average_the_price_is_computed() -> None:
    latest = trades(binance=(100.0, 0.4), coinbase=(104.0, 2), kraken=(101.0, 5))
    day = [stats(1, high=105), stats(2, high=111), stats(3, high=107, open_=96)]
    card = only(overview_view.build(BTC_MARKETS, latest, day=day, now_us=NOW_US))
    assert (card.state, card.message, card.price) == (CardState.OK, "", 101.0)
    assert card.as_of_us == NOW_US - 400_000
    assert card.change == pytest.approx(101 / 95 - 1)
    assert (card.high, card.low, card.quote_volume, card.span_us) == (107, 90, 300.0, DAY_US)
    assert card.used == ("binance", "coinbase", "kraken")


def stored_average(*, age_s: float = 1, price: float = 102.0) -> PairAverage:
    inputs = {
        "binance": Input(100.0, "", 1.0, 0.5, True, None),
        "coinbase": Input(104.0, "", 1.0, 0.5, True, None),
        "kraken": Input(150.0, "", 1.0, 0.0, False, "48% from the others"),
    }
    made = Average(price, 2.0, Method.MEDIAN, State.DEGRADED, ("binance", "coinbase"), inputs)
    return PairAverage(symbol=BTC, ts_us=NOW_US - round(age_s * SECOND_US), average=made)


def test_a_stored_average_is_the_price_and_names_its_exchanges() -> None:
    latest = trades(binance=(100.0, 0.4), coinbase=(104.5, 40), kraken=(150.0, 5))
    day = [stats(1, high=105), stats(2, high=111), stats(3, high=207)]
    view = overview_view.build(BTC_MARKETS, latest, averages=[stored_average()], day=day, now_us=NOW_US)
    card = only(view)
    assert (card.price, card.state, card.high) == (102.0, CardState.DEGRADED, 108)
    assert card.used == ("binance", "coinbase")
    assert card.message == "2 of 3 exchanges. Excluded: kraken, 48% from the others"


def test_the_day_of_a_stored_average_is_the_cards() -> None:
    latest = trades(binance=(100.0, 0.4), coinbase=(104.5, 40), kraken=(150.0, 5))
    average = msgspec.structs.replace(stored_average(), change_24h=0.02, high_24h=108.0, low_24h=99.0)
    short = [stats(1, hours=2)]
    card = only(overview_view.build(BTC_MARKETS, latest, averages=[average], day=short, now_us=NOW_US))
    assert (card.change, card.high, card.low, card.span_us) == (0.02, 108.0, 99.0, DAY_US)


def test_what_began_later_does_not_shorten_the_day() -> None:
    latest = trades(binance=(100.0, 0.4), coinbase=(100.0, 1), kraken=(100.0, 1))
    day = [stats(1, open_=80), stats(2, open_=99, high=200, hours=2), stats(3, open_=80, hours=23.8)]
    card = only(overview_view.build(BTC_MARKETS, latest, day=day, now_us=NOW_US))
    assert card.change == pytest.approx(0.25)
    assert (card.high, card.span_us, card.quote_volume) == (110, DAY_US, 300.0)


def test_the_strip_counts_the_problems() -> None:
    problem = Problem(True, "dagster", "has not reported for 5 min")
    assert "Problems · " in html.strip((), (), [problem])
    assert "all 1</a>" in html.strip((), (), [problem])
    assert "No problems" in html.strip((), (), ())
    assert "Unknown" in html.strip((), (), None)


def test_an_old_average_is_not_shown() -> None:
    latest = trades(binance=(100.0, 0.4), coinbase=(104.0, 2), kraken=(101.0, 5))
    card = only(overview_view.build(BTC_MARKETS, latest, averages=[stored_average(age_s=10)], now_us=NOW_US))
    assert (card.price, card.state) == (101.0, CardState.OK)


def test_a_silent_exchange_is_excluded_by_name() -> None:
    latest = trades(binance=(100.0, 0.4), coinbase=(104.0, 180), kraken=(101.0, 5))
    card = only(overview_view.build(BTC_MARKETS, latest, now_us=NOW_US))
    assert card.state is CardState.DEGRADED
    assert card.message == "2 of 3 exchanges. Excluded: coinbase, silent for 180 s, more than 10 s"
    assert card.price == 100.5
    assert card.used == ("binance", "kraken")


def test_a_broken_stream_has_its_reason() -> None:
    latest = trades(binance=(100.0, 0.4), coinbase=(104.0, 180))
    streams = [StreamState(2, "down", "refused", NOW_US), StreamState(3, "connecting", None, NOW_US)]
    card = only(overview_view.build(BTC_MARKETS, latest, streams=streams, now_us=NOW_US))
    assert card.message == (
        "1 of 3 exchanges. Excluded: coinbase, silent for 180 s, more than 10 s, stream down (refused); "
        "kraken, no trade in 24 h, stream connecting"
    )


def test_the_reason_for_no_trades_is_given_by_exchange() -> None:
    streams = [
        StreamState(1, "down", "connection refused", NOW_US - SECOND_US),
        StreamState(2, "connecting", None, NOW_US),
        StreamState(3, "live", None, NOW_US - 60 * SECOND_US),
    ]
    assert overview_view.why_quiet(BTC_MARKETS, streams, NOW_US) == (
        "binance is down: connection refused",
        "coinbase is connecting",
    )
    assert overview_view.why_quiet(BTC_MARKETS, streams, NOW_US + 60 * SECOND_US) == ()


def test_few_exchanges_are_degraded_even_when_all_are_live() -> None:
    latest = trades(binance=(100.0, 0.4), coinbase=(104.0, 1))
    card = only(overview_view.build(BTC_MARKETS[:2], latest, now_us=NOW_US))
    assert card.state is CardState.DEGRADED
    assert card.message == "Only binance and coinbase: a reliable average needs 3 exchanges"


def test_with_nothing_fresh_the_last_known_price_is_stale() -> None:
    latest = trades(binance=(100.0, 700), coinbase=(104.0, 600))
    card = only(overview_view.build(BTC_MARKETS, latest, day=[stats(1), stats(2)], now_us=NOW_US))
    assert (card.state, card.price, card.used) == (CardState.STALE, 104.0, ())
    assert card.as_of_us == NOW_US - 600 * SECOND_US


def test_without_trades_a_card_is_empty() -> None:
    card = only(overview_view.build(BTC_MARKETS, [], now_us=NOW_US))
    assert (card.state, card.price, card.as_of_us) == (CardState.EMPTY, None, None)
    assert [part.reason for part in card.constituents] == ["no trade in 24 h"] * 3


def test_a_price_newer_than_the_statistics_widens_them() -> None:
    latest = trades(binance=(120.0, 0.1), coinbase=(120.0, 0.1), kraken=(121.0, 0.1))
    card = only(overview_view.build(BTC_MARKETS, latest, day=[stats(n) for n in (1, 2, 3)], now_us=NOW_US))
    assert (card.high, card.low) == (120.0, 90)


@pytest.mark.parametrize(("hours", "span_us"), [(24, DAY_US), (23.6, DAY_US), (2, 120 * MINUTE_US)])
def test_a_short_history_shows_its_span(hours: float, span_us: int) -> None:
    latest = trades(binance=(100.0, 0.4))
    card = only(overview_view.build(BTC_MARKETS, latest, day=[stats(1, hours=hours)], now_us=NOW_US))
    assert card.span_us == span_us


@pytest.mark.parametrize(
    ("shown", "trend", "moved"),
    [
        (None, Trend.FLAT, False),
        (Seen(99.0, Trend.FLAT), Trend.UP, True),
        (Seen(101.0, Trend.UP), Trend.DOWN, True),
        (Seen(100.0, Trend.DOWN), Trend.DOWN, False),
    ],
)
def test_the_arrow_points_where_the_price_went(shown: Seen | None, trend: Trend, moved: bool) -> None:
    latest = trades(binance=(100.0, 0.4))
    seen = {} if shown is None else {BTC: shown}
    view = overview_view.build(BTC_MARKETS, latest, seen=seen, now_us=NOW_US)
    assert (only(view).trend, only(view).moved) == (trend, moved)
    assert overview_view.remember(view, seen) == {BTC: Seen(100.0, trend)}


def test_a_quiet_market_stays_fresh_at_its_own_rate() -> None:
    latest = trades(binance=(100.0, 90))
    rates = [TradeRate(1, 61, 600 * SECOND_US)]
    assert only(overview_view.build(BTC_MARKETS, latest, rates=rates, now_us=NOW_US)).used == ("binance",)
    assert only(overview_view.build(BTC_MARKETS, latest, now_us=NOW_US)).used == ()


def test_wanted_limits_the_cards_but_not_the_facts() -> None:
    eth = WatchedMarket(9, Market.canonical("kraken:ETH-EUR"))
    latest = [*trades(binance=(100.0, 1)), LastTrade(9, NOW_US - 3, 5.0)]
    rates = [TradeRate(1, 11, SECOND_US), TradeRate(9, 101, 100 * SECOND_US)]
    view = overview_view.build(
        [*BTC_MARKETS, eth], latest, rates=rates, wanted={eth.market.symbol}, now_us=NOW_US
    )
    assert [card.symbol for card in view.cards] == [eth.market.symbol]
    assert (view.markets, view.live_markets, view.newest_us) == (4, 2, NOW_US - 3)
    assert view.trades_per_s == pytest.approx(10 / 2 + 1, rel=1e-3)


def test_symbols_on_most_exchanges_come_first() -> None:
    eth = WatchedMarket(9, Market.canonical("kraken:AAVE-EUR"))
    view = overview_view.build([eth, *BTC_MARKETS], [], now_us=NOW_US)
    assert [str(card.symbol) for card in view.cards] == ["BTC-USDT", "AAVE-EUR"]
    chosen = overview_view.build([eth, *BTC_MARKETS], [], wanted=(eth.market.symbol, BTC), now_us=NOW_US)
    assert [str(card.symbol) for card in chosen.cards] == ["AAVE-EUR", "BTC-USDT"]

from __future__ import annotations

from app.dashboard.overview import market_table
from app.dashboard.overview.view import Card, CardState, Overview, movers
from app.dashboard.ui.style import DARK
from coinwatch.records import Market, Symbol
from coinwatch.times import MINUTE_US, SECOND_US
from warehouse.candles.chart_reads import DayStats, LastTrade, StreamState, TradeRate, WatchedMarket

NOW_US = 1_795_176_000 * SECOND_US
MARKETS = [
    WatchedMarket(n, Market.canonical(name))
    for n, name in enumerate(["binance:BTC-USDT", "kraken:BTC-USDT", "okx:PEPE-USDT", "okx:XYZ-USDT"])
]


def test_a_row_for_each_market_by_volume_with_what_is_known() -> None:
    frame = market_table.build(
        MARKETS,
        [LastTrade(0, NOW_US - SECOND_US, 110.0), LastTrade(1, NOW_US - 20 * MINUTE_US, 0.00001234)],
        [DayStats(0, NOW_US, 100.0, 109.0, 90.0, 5.0, 500.0), DayStats(1, NOW_US, 1.0, 1.0, 1.0, 1.0, 9e9)],
        [TradeRate(0, 10, SECOND_US)],
        [StreamState(2, "down", "gone", NOW_US)],
        {0: (1.0, 2.0)},
        NOW_US,
    )
    assert list(frame["Exchange"]) == ["kraken", "binance", "okx", "okx"]
    assert list(frame[market_table.STATE]) == ["silent", "live", "down", "no trade"]
    assert frame[market_table.HIGH][1] == 110.0  # a trade newer than the statistics
    assert frame[market_table.LINE][1] == [1.0, 2.0]
    shown = market_table.styled(frame, DARK).to_html()
    for words in ("0.00001234", "+10.00 %", "9.0 B", "20 min", "—", DARK.up):
        assert words in shown


def test_what_is_not_known_is_a_dash() -> None:
    frame = market_table.build(MARKETS[:1], [], [], [], [], {}, NOW_US)
    assert "—" in market_table.styled(frame, DARK).to_html()


def test_movers_are_fresh_and_moved() -> None:
    def card(base: str, change: float | None, state: CardState = CardState.OK) -> Card:
        return Card(Symbol(base, "USDT"), state, "", change=change)

    cards = (
        *(card("A", 0.1), card("B", -0.2), card("C", 0.3), card("D", None), card("E", 0.0)),
        card("F", 0.9, CardState.STALE),
    )
    gainers, losers = movers(Overview(cards, 6, 6, 0.0, None))
    assert [card.symbol.base for card in gainers] == ["C", "A"]
    assert [card.symbol.base for card in losers] == ["B"]

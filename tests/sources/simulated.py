"""The simulated exchanges as their clients meet them, and what truly happened there."""

from __future__ import annotations

import pytest

from coinwatch.records import Market, Trade
from coinwatch.times import MINUTE_US
from coinwatch.windows import Window
from simulator.server import Simulator
from simulator.truth import trades_in_minute
from sources.exchanges import EXCHANGES
from sources.exchanges.base import Exchange
from sources.http import HttpSource, LocalBudget, Patience, exchange_http

EACH = pytest.mark.parametrize("exchange", EXCHANGES.values(), ids=EXCHANGES.keys())


def http_of(exchange: Exchange, simulator: Simulator, attempts: int = 3) -> HttpSource:
    root = simulator.settings_overrides()[f"{exchange.name}_rest_url"]
    patience = Patience(attempts=attempts, first_wait_s=0.01, longest_wait_s=0.02)
    return exchange_http(exchange, root, LocalBudget(), scale=1_000, patience=patience)


def true_trades(simulator: Simulator, market: Market, window: Window) -> list[Trade]:
    made: list[Trade] = []
    for minute in range(window.start_us // MINUTE_US, -(-window.end_us // MINUTE_US)):
        columns = trades_in_minute(simulator.markets[market], minute)
        arrays = (columns.trade_id, columns.ts_us, columns.price, columns.amount, columns.taker_buys)
        made += [Trade(market, *row) for row in zip(*(array.tolist() for array in arrays), strict=True)]
    return [trade for trade in made if window.start_us <= trade.ts_us < window.end_us]

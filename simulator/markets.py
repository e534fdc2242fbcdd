"""The simulated markets, their activity, and the precision of their numbers."""

from __future__ import annotations

from functools import cached_property
from typing import Final, NamedTuple

import msgspec

from coinwatch.errors import CoinwatchError
from coinwatch.records import Market, Symbol
from simulator.hashing import seed_of

EXCHANGES: Final = (
    *("binance", "coinbase", "kraken", "bybit", "okx", "htx", "mexc", "gateio", "bitstamp", "gemini"),
)


class Base(NamedTuple):
    """A traded asset. Tuples hold one value for each of the first three EXCHANGES; the rest do as Binance."""

    usd: float
    """Centre of its price band."""
    volatility: float
    """Over a year."""
    price_decimals: tuple[int, int, int]
    amount_decimals: tuple[int, int, int]


BASES: Final = {
    "BTC": Base(100_000.0, 0.55, (2, 2, 1), (5, 8, 8)),
    "ETH": Base(3_500.0, 0.70, (2, 2, 2), (4, 8, 8)),
    "SOL": Base(180.0, 0.85, (2, 2, 2), (3, 6, 7)),
    "XRP": Base(2.2, 0.85, (4, 4, 5), (1, 6, 5)),
    "BNB": Base(650.0, 0.60, (2, 2, 2), (3, 3, 3)),
    "DOGE": Base(0.25, 1.00, (5, 5, 7), (1, 1, 4)),
    "ADA": Base(0.80, 0.95, (4, 4, 6), (1, 6, 5)),
    "AVAX": Base(25.0, 0.95, (2, 2, 2), (2, 4, 4)),
    "LINK": Base(16.0, 0.90, (2, 2, 2), (2, 4, 4)),
    "LTC": Base(95.0, 0.75, (2, 2, 2), (3, 8, 8)),
    "DOT": Base(5.0, 0.90, (3, 3, 4), (2, 4, 4)),
    "TRX": Base(0.28, 0.60, (4, 4, 6), (1, 1, 4)),
}

QUOTES: Final = {"USD": 1.0, "USDT": 1.0, "USDC": 1.0, "EUR": 1.10}
"""Price in USD, around which each quote asset moves slowly."""

_SHARES: Final[dict[str, dict[str, float]]] = {
    "binance": {
        "BTC-USDT": 22.0,
        "ETH-USDT": 14.0,
        "SOL-USDT": 8.0,
        "XRP-USDT": 6.0,
        "BTC-USDC": 4.0,
        "BNB-USDT": 1.4,
        "DOGE-USDT": 1.4,
        "ADA-USDT": 0.7,
        "AVAX-USDT": 0.5,
        "LINK-USDT": 0.5,
        "LTC-USDT": 0.4,
        "DOT-USDT": 0.3,
        "TRX-USDT": 0.3,
    },
    "coinbase": {
        "BTC-USDT": 3.0,
        "ETH-USDT": 2.0,
        "SOL-USDT": 0.8,
        "XRP-USDT": 0.5,
        "BTC-USD": 12.0,
        "ETH-USD": 7.0,
        "BTC-EUR": 1.0,
        "ADA-USD": 0.2,
        "LTC-EUR": 0.02,
    },
    "kraken": {
        "BTC-USDT": 2.0,
        "ETH-USDT": 1.2,
        "SOL-USDT": 0.5,
        "XRP-USDT": 0.4,
        "BTC-USD": 4.0,
        "ETH-USD": 2.4,
        "BTC-USDC": 0.12,
        "BTC-EUR": 2.5,
        "DOGE-USD": 0.15,
        "ADA-EUR": 0.03,
    },
    "bybit": {"BTC-USDT": 6.0, "ETH-USDT": 4.0, "SOL-USDT": 1.5, "XRP-USDT": 1.0, "LTC-USDT": 0.04},
    "okx": {"BTC-USDT": 6.0, "ETH-USDT": 4.0, "SOL-USDT": 1.5, "XRP-USDT": 1.0, "LTC-USDT": 0.04},
    "htx": {"BTC-USDT": 3.0, "ETH-USDT": 2.0, "TRX-USDT": 0.5, "LTC-USDT": 0.04},
    "mexc": {"BTC-USDT": 3.0, "ETH-USDT": 2.0, "SOL-USDT": 0.5, "LTC-USDT": 0.04},
    "gateio": {"BTC-USDT": 3.0, "ETH-USDT": 2.0, "SOL-USDT": 0.5, "LTC-USDT": 0.04},
    "bitstamp": {"BTC-USD": 2.0, "ETH-USD": 1.0, "BTC-EUR": 0.8, "LTC-USD": 0.03},
    "gemini": {"BTC-USD": 2.0, "ETH-USD": 1.0, "BTC-EUR": 0.3, "LTC-USD": 0.03},
}
"""Each market's share of all trades, by exchange. Small ones have many empty minutes."""

_MILLISECONDS: Final = {"binance", "bybit", "okx", "htx", "mexc", "gemini"}
"""Exchanges with a coarser resolution of trade times."""


class SimMarket(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """One simulated market. Equal values make equal trades, on any machine."""

    market: Market
    start_price: float
    """Centre of its price band, in the quote asset."""
    price_step: float
    amount_step: float
    trades_per_s: float
    """The average of a day; hours differ."""
    time_step_us: int
    """The resolution of the exchange's trade times."""

    @cached_property
    def seed(self) -> int:
        return seed_of("market", self.market)

    @cached_property
    def price_decimals(self) -> int:
        return decimals(self.price_step)

    @cached_property
    def amount_decimals(self) -> int:
        return decimals(self.amount_step)


def decimals(step: float) -> int:
    """The number of decimals of a power of ten such as 0.001."""
    return len(f"{step:.10f}".rstrip("0").partition(".")[2])


def sim_markets(trades_per_s: float = 20.0) -> dict[Market, SimMarket]:
    """Every simulated market; together they make ``trades_per_s`` over a day."""
    if not 0 < trades_per_s <= 1_000_000:
        raise CoinwatchError(f"the simulator cannot make {trades_per_s} trades a second")
    whole = sum(sum(shares.values()) for shares in _SHARES.values())
    made = [
        _market(Market(exchange, Symbol.canonical(symbol)), trades_per_s * share / whole)
        for exchange, shares in _SHARES.items()
        for symbol, share in shares.items()
    ]
    return {sim.market: sim for sim in made}


def _market(market: Market, trades_per_s: float) -> SimMarket:
    base = BASES[market.symbol.base]
    column = EXCHANGES.index(market.exchange) if market.exchange in EXCHANGES[:3] else 0
    return SimMarket(
        market=market,
        start_price=base.usd / QUOTES[market.symbol.quote],
        price_step=float(f"1e-{base.price_decimals[column]}"),
        amount_step=float(f"1e-{base.amount_decimals[column]}"),
        trades_per_s=trades_per_s,
        time_step_us=1_000 if market.exchange in _MILLISECONDS else 1,
    )

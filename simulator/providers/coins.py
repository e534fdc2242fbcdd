"""The simulated coins: those that the simulated markets trade, others with their tickers, and many more."""

from __future__ import annotations

from datetime import datetime
from functools import cache, lru_cache
from threading import Lock
from typing import Any, Final

import msgspec
import numpy as np

from coinwatch.times import MINUTE_US, to_datetime
from simulator.hashing import seed_of
from simulator.markets import BASES
from simulator.prices import log_price

LISTED_BY_RANK: Final = 320
SINCE: Final = (60, 720, 1_440, 7 * 1_440, 30 * 1_440)
"""The periods of price changes, in minutes."""


class SimCoin(msgspec.Struct, frozen=True, kw_only=True):
    """One coin. Equal values make equal numbers, on any machine."""

    id: str
    symbol: str
    name: str
    usd: float
    """Centre of its price band."""
    volatility: float
    circulating: float
    max_supply: float | None = None
    cmc_id: int | None = None
    platform: tuple[str, str] | None = None
    """Platform and contract address."""
    copy_of: str | None = None
    """The base whose price it follows, as a token wrapped on another chain."""
    is_ranked: bool = True
    launched: str = "2017-06-26"

    @property
    def is_traded(self) -> bool:
        """Whether the simulated markets with its ticker trade this coin."""
        return _IDS.get(self.symbol) == self.id

    def price(self, now_us: int) -> float:
        """In USD, equal to the price on the simulated markets."""
        return self.usd * self._heights(now_us)[0]

    def change(self, now_us: int, minutes: int) -> float:
        """In per cent, since one of ``SINCE`` minutes ago."""
        heights = self._heights(now_us)
        return (heights[0] / heights[1 + SINCE.index(minutes)] - 1) * 100

    def chance(self, what: str) -> float:
        """A constant pseudo-random number from 0 to 1."""
        return seed_of("coin", self.id, what) / 2**64

    def _heights(self, now_us: int) -> tuple[float, ...]:
        """The price now and ``SINCE`` minutes ago, relative to its centre."""
        path = self.copy_of or (self.symbol if self.is_traded else self.id)
        return _heights(path, self.volatility, now_us // MINUTE_US)


@lru_cache(maxsize=2 * LISTED_BY_RANK)
def _heights(path: str, volatility: float, minute: int) -> tuple[float, ...]:
    minutes = minute - np.array([0, *SINCE])
    return tuple(np.exp(log_price(path, volatility, minutes)).tolist())


_IDS: Final = {
    "BTC": "bitcoin",
    "ETH": "ethereum",
    "SOL": "solana",
    "XRP": "ripple",
    "BNB": "binancecoin",
    "DOGE": "dogecoin",
    "ADA": "cardano",
    "AVAX": "avalanche-2",
    "LINK": "chainlink",
    "LTC": "litecoin",
    "DOT": "polkadot",
    "TRX": "tron",
}
_NAMES: Final = {"XRP": "XRP", "AVAX": "Avalanche", "BNB": "BNB", "TRX": "TRON"}
_CMC_IDS: Final = dict(zip(_IDS, (1, 1027, 5426, 52, 1839, 74, 2010, 5805, 1975, 2, 6636, 1958), strict=True))
_CIRCULATING: Final = dict(
    zip(
        _IDS,
        (19.9e6, 120.5e6, 540e6, 59e9, 139e6, 150e9, 35.8e9, 422e6, 678e6, 76e6, 1.6e9, 94.7e9),
        strict=True,
    )
)
_MAX: Final = {"BTC": 21e6, "XRP": 100e9, "ADA": 45e9, "LTC": 84e6, "LINK": 1e9}
_CHAINLINK: Final = "0x514910771af9ca656af840dff83e8264ecf986ca"


@cache
def sim_coins() -> dict[str, SimCoin]:
    """Every simulated coin by its CoinGecko id, those of the markets first."""
    made = [_traded(base) for base in BASES]
    made += [
        # Ambiguous tickers: a copy at the same price on another chain, and a coin at another price.
        _other("wrapped-solana", "SOL", "Wrapped SOL", copy_of="SOL", is_ranked=False),
        _other("bridged-ether", "ETH", "Bridged Ether", copy_of="ETH", circulating=90_000.0),
        _other("solbark", "SOL", "Solbark", usd=0.0213),
        _other("doge-of-mars", "DOGE", "Doge of Mars", usd=3.7),
        _other("unchained-link", "LINK", "Unchained Link", usd=0.41),
        _other("tether", "USDT", "Tether", usd=1.0, circulating=140e9, cmc_id=825),
        _other("usd-coin", "USDC", "USDC", usd=1.0, circulating=60e9, cmc_id=3408),
    ]
    made += [_filler(number) for number in range(1, LISTED_BY_RANK + 1 - len(made))]
    return {coin.id: coin for coin in made}


def _traded(base: str) -> SimCoin:
    return SimCoin(
        id=_IDS[base],
        symbol=base,
        name=_NAMES.get(base, _IDS[base].title()),
        usd=BASES[base].usd,
        volatility=BASES[base].volatility,
        circulating=_CIRCULATING[base],
        max_supply=_MAX.get(base),
        cmc_id=_CMC_IDS[base],
        platform=("ethereum", _CHAINLINK) if base == "LINK" else None,
        launched="2009-01-03" if base == "BTC" else "2017-06-26",
    )


def _other(
    coin_id: str,
    symbol: str,
    name: str,
    *,
    usd: float = 0.0,
    copy_of: str | None = None,
    circulating: float = 4e6,
    cmc_id: int | None = None,
    is_ranked: bool = True,
) -> SimCoin:
    return SimCoin(
        id=coin_id,
        symbol=symbol,
        name=name,
        usd=BASES[copy_of].usd if copy_of else usd,
        volatility=BASES[copy_of].volatility if copy_of else 0.002 if usd == 1.0 else 1.1,
        circulating=circulating,
        copy_of=copy_of,
        cmc_id=cmc_id,
        platform=None if cmc_id is None and usd else ("ethereum", _address(coin_id)),
        is_ranked=is_ranked,
    )


def _filler(number: int) -> SimCoin:
    name = f"Sample Coin {number}"
    return SimCoin(
        id=f"sample-coin-{number}",
        symbol=f"SMP{number}",
        name=name,
        usd=round(0.01 * 1.05**number, 6),
        volatility=1.0,
        circulating=2e10 / 1.08**number,
        cmc_id=20_000 + number,
        platform=("ethereum", _address(name)),
    )


def _address(text: str) -> str:
    return f"0x{seed_of('address', text) % 2**63:040x}"


def ranked(now_us: int) -> list[SimCoin]:
    """The coins with a rank, the largest first."""
    coins = [coin for coin in sim_coins().values() if coin.is_ranked]
    return sorted(coins, key=lambda coin: (-coin.price(now_us) * coin.circulating, coin.id))


def iso_ms(ts_us: int) -> str:
    """``2026-11-20T10:00:00.123Z``"""
    moment: datetime = to_datetime(ts_us)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1_000:03d}Z"


class Meter:
    """A rate limit of ``calls`` in any ``seconds`` per client."""

    def __init__(self, calls: int, seconds: float) -> None:
        self._calls, self._span_us = calls, round(seconds * 1e6)
        self._times_us: dict[str, list[int]] = {}
        self._lock = Lock()

    def lets(self, who: str, now_us: int) -> bool:
        """Whether ``who`` may send a request now; refused requests do not count."""
        with self._lock:
            recent = [at for at in self._times_us.get(who, []) if at > now_us - self._span_us]
            allowed = len(recent) < self._calls
            self._times_us[who] = [*recent, now_us] if allowed else recent
            return allowed


def clean(row: dict[str, Any]) -> dict[str, Any]:
    """Numbers as an API writes them: no more than 12 digits."""
    return {
        name: float(f"{value:.12g}") if isinstance(value, float) else value for name, value in row.items()
    }

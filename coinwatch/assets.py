"""What Coinwatch knows of assets beside their price: coins, their metrics, what they are. All frozen."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from enum import StrEnum

import msgspec


class MetricsSource(StrEnum):
    """Who said it."""

    COINGECKO = "coingecko"
    COINMARKETCAP = "coinmarketcap"
    DEFILLAMA = "defillama"


class Coin(msgspec.Struct, frozen=True):
    """An entry of CoinGecko's list of all coins."""

    id: str
    """``bitcoin``. Unique, unlike the ticker."""
    symbol: str
    """The ticker in capitals, BTC."""
    name: str
    platforms: Mapping[str, str] = {}
    """Contract address by platform, ``{"ethereum": "0x…"}``; empty for a coin of its own chain."""


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """What a source says of an asset at one time. None: it did not say, or nothing sensible."""

    observed_us: int | None = None
    """As old as its source says it is."""
    price_usd: float | None = None
    market_cap_usd: float | None = None
    rank: int | None = None
    """By market cap, 1 is the largest."""
    fdv_usd: float | None = None
    """Fully diluted valuation."""
    volume_24h_usd: float | None = None
    circulating_supply: float | None = None
    """In the asset itself, like the other supplies."""
    total_supply: float | None = None
    max_supply: float | None = None
    ath_usd: float | None = None
    """All-time high."""
    ath_us: int | None = None
    atl_usd: float | None = None
    """All-time low."""
    atl_us: int | None = None
    change_1h: float | None = None
    """0.01 is 1 %, like the other changes."""
    change_24h: float | None = None
    change_7d: float | None = None
    change_30d: float | None = None
    tvl_usd: float | None = None
    """Value locked."""


class CoinMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """A coin as a provider lists it, with its metrics."""

    id: str
    """The provider's own: ``bitcoin`` at CoinGecko, ``1`` at CoinMarketCap."""
    symbol: str
    """The ticker in capitals."""
    name: str
    metrics: Metrics
    contract: str | None = None
    """Where the provider tells it; see ``same_contract``."""
    image: str | None = None
    dropped: tuple[str, ...] = ()
    """Fields whose value no coin can have, by the provider's names."""


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """What an asset is, in words and links, as CoinMarketCap tells it."""

    cmc_id: int
    description: str | None
    categories: tuple[str, ...]
    links: Mapping[str, tuple[str, ...]]
    """URLs by kind: website, source_code, technical_doc, …"""
    launched_on: date | None
    logo: str | None


def plain_contract(address: str) -> str:
    """A contract address as it can be compared: those of Ethereum's kind know no capitals."""
    address = address.strip()
    return address.lower() if address[:2].lower() == "0x" else address

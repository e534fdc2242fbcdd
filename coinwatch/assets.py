"""Records of fundamentals: coins, their metrics and descriptions. All are immutable."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from enum import StrEnum

import msgspec


class MetricsSource(StrEnum):
    """A provider of metrics."""

    COINGECKO = "coingecko"
    COINMARKETCAP = "coinmarketcap"
    DEFILLAMA = "defillama"


class Coin(msgspec.Struct, frozen=True):
    """An entry of CoinGecko's list of coins."""

    id: str
    """CoinGecko's id, such as ``bitcoin``; unique, unlike the ticker."""
    symbol: str
    """The ticker in capitals, such as BTC."""
    name: str
    platforms: Mapping[str, str] = {}
    """Contract address by platform, ``{"ethereum": "0x…"}``; empty for a coin with its own chain."""


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """The metrics of an asset from one provider at one time. None: not reported, or not plausible."""

    observed_us: int | None = None
    """When the provider last updated them."""
    price_usd: float | None = None
    market_cap_usd: float | None = None
    rank: int | None = None
    """By market cap; 1 is the largest."""
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
    """Total value locked."""


class CoinMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """A coin as a provider lists it, with its metrics."""

    id: str
    """The provider's own id: ``bitcoin`` at CoinGecko, ``1`` at CoinMarketCap."""
    symbol: str
    """The ticker in capitals."""
    name: str
    metrics: Metrics
    contract: str | None = None
    """The contract address where the provider reports it, as ``plain_contract`` spells it."""
    image: str | None = None
    dropped: tuple[str, ...] = ()
    """Fields with implausible values, by the provider's names."""


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """CoinMarketCap's description of an asset."""

    cmc_id: int
    description: str | None
    categories: tuple[str, ...]
    links: Mapping[str, tuple[str, ...]]
    """URLs by kind: website, source_code, technical_doc, …"""
    launched_on: date | None
    logo: str | None


def plain_contract(address: str) -> str:
    """Normalise a contract address for comparison: Ethereum-style ones are case-insensitive."""
    address = address.strip()
    return address.lower() if address[:2].lower() == "0x" else address

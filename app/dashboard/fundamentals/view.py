"""What the Fundamentals page shows, built from rows. Pure: no I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import inf
from urllib.parse import urlsplit

import msgspec

from coinwatch.outside.markup import plain_text
from coinwatch.times import DAY_US
from warehouse.assets.reads import AssetRow, Metrics

PREFERRED = ("coingecko", "coinmarketcap", "defillama")
"""Sources in order of preference: the first that has a number is used."""

SOURCES = {"coingecko": "CoinGecko", "coinmarketcap": "CoinMarketCap", "defillama": "DefiLlama"}
"""Display names."""

RANGES = {"1w": 7 * DAY_US, "1mo": 30 * DAY_US, "3mo": 90 * DAY_US, "1y": 365 * DAY_US}
"""Ranges of a history, in microseconds."""

POINTS = 500

MEASURES = {
    "Market cap": "market_cap_usd",
    "Price": "price_usd",
    "Volume": "volume_24h_usd",
    "Value locked": "tvl_usd",
    "Rank": "rank",
}
"""Numbers with a history, and their fields."""

_NOT_NUMBERS = ("asset_id", "source", "ts", "observed_at")


@dataclass(frozen=True)
class Asset:
    """An asset and the best number of each kind among its sources."""

    row: AssetRow
    best: Metrics | None
    """Each number from the first source that has it; None when no source has any."""
    by_source: tuple[Metrics, ...]
    source_of: Mapping[str, Metrics]
    """The metrics that each known number of ``best`` comes from, by field."""


def join(rows: Iterable[AssetRow], metrics: Iterable[Metrics]) -> tuple[Asset, ...]:
    """Each asset with its metrics, by rank; assets without a rank follow by name."""
    by_asset: dict[str, list[Metrics]] = {}
    for source_metrics in metrics:
        by_asset.setdefault(source_metrics.asset_id, []).append(source_metrics)
    assets = []
    for row in rows:
        by_source = sorted(by_asset.get(row.id, ()), key=_preference)
        source_of = _source_of(by_source)
        assets.append(Asset(row, _best(by_source, source_of), tuple(by_source), source_of))
    return tuple(sorted(assets, key=_rank))


def categories(assets: Iterable[Asset]) -> list[str]:
    """Every category, those with the most assets first."""
    counts: dict[str, int] = {}
    for asset in assets:
        for name in asset.row.categories:
            counts[name] = counts.get(name, 0) + 1
    return sorted(counts, key=lambda name: (-counts[name], name))


SIZES = {
    "over $10 B": (1e10, inf),
    "$1 B to $10 B": (1e9, 1e10),
    "$100 M to $1 B": (1e8, 1e9),
    "under $100 M": (0.0, 1e8),
    "not known": None,
}
"""Market caps in USD: from (inclusive), to (exclusive)."""


def matching(
    assets: Iterable[Asset], category: str | None, *, ours: bool, search: str = "", size: str | None = None
) -> tuple[Asset, ...]:
    """The assets that match every filter.

    Args:
        assets: The assets to filter.
        category: A category, or None for all.
        ours: Whether to keep only assets of the watched markets.
        search: Part of a name, ticker or id, in any case.
        size: A key of ``SIZES``, or None for all.
    """
    words = search.strip().lower()
    return tuple(
        asset
        for asset in assets
        if (category is None or category in asset.row.categories)
        and (not ours or asset.row.bases)
        and (size is None or _has_size(asset, SIZES[size]))
        and words in f"{asset.row.name} {asset.row.symbol} {asset.row.id}".lower()
    )


def _has_size(asset: Asset, size: tuple[float, float] | None) -> bool:
    cap = asset.best.market_cap_usd if asset.best else None
    if cap is None or size is None:
        return cap is None and size is None
    return size[0] <= cap < size[1]


SORTS: dict[str, tuple[str, bool]] = {
    "Rank": ("rank", False),
    "Market cap": ("market_cap_usd", True),
    "Volume 24 h": ("volume_24h_usd", True),
    "Rising 24 h": ("change_24h", True),
    "Falling 24 h": ("change_24h", False),
    "Rising 7 d": ("change_7d", True),
    "Falling 7 d": ("change_7d", False),
    "Nearest to ATH": ("from_ath", True),
    "Furthest from ATH": ("from_ath", False),
    "Value locked": ("tvl_usd", True),
}
"""Sort orders as they stand in addresses: the field, and whether the largest comes first."""

SORT_LABELS = {
    "Rising 24 h": "Top gainers (24 h)",
    "Falling 24 h": "Top losers (24 h)",
    "Rising 7 d": "Top gainers (7 d)",
    "Falling 7 d": "Top losers (7 d)",
    "Nearest to ATH": "Closest to ATH",
}
"""Labels of the orders that are not shown by their name in ``SORTS``."""


def ordered(assets: Iterable[Asset], sort: str) -> tuple[Asset, ...]:
    """``assets`` in one of ``SORTS``; those without that number come last, by rank."""
    field, largest_first = SORTS[sort]

    def number(asset: Asset) -> float | None:
        if field == "from_ath":
            return from_ath(asset.best)
        return getattr(asset.best, field) if asset.best else None

    by_rank = sorted(assets, key=_rank)
    known = [(value, asset) for asset in by_rank if (value := number(asset)) is not None]
    known.sort(key=lambda pair: -pair[0] if largest_first else pair[0])
    return (*(asset for _, asset in known), *(asset for asset in by_rank if number(asset) is None))


def from_ath(best: Metrics | None) -> float | None:
    """The distance of the price from its all-time high as a share, 0 or below; None when unknown."""
    if best is None or not best.price_usd or not best.ath_usd:
        return None
    return min(0.0, best.price_usd / best.ath_usd - 1)


def from_atl(best: Metrics | None) -> float | None:
    """The distance of the price from its all-time low as a share, 0 or above; None when unknown."""
    if best is None or not best.price_usd or not best.atl_usd:
        return None
    return max(0.0, best.price_usd / best.atl_usd - 1)


def newest(assets: Iterable[Asset]) -> datetime | None:
    """The time of the newest numbers; None without any."""
    return max((at for asset in assets if (at := updated_at(asset.best)) is not None), default=None)


def updated_at(metrics: Metrics | None) -> datetime | None:
    """The time of a source's numbers: its own timestamp, else the hour in which it was polled."""
    return (metrics.observed_at or metrics.ts) if metrics else None


def plain(description: str) -> str:
    """A provider's description as plain text, without tags, Markdown headings and wide gaps.

    Newer ones are stored as text already; that of others is drawn as safely.
    """
    lines = (re.sub(r"^#{1,6}\s+", "", line).strip() for line in plain_text(description).split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def image(images: Mapping[str, str]) -> str | None:
    """The address of a picture of the asset, https only, by order of preference; None without any."""
    for source in (*PREFERRED, *images):
        address = images.get(source, "")
        try:
            parts = urlsplit(address)
        except ValueError:
            continue
        if parts.scheme == "https" and parts.hostname:
            return address
    return None


def links(addresses_by_kind: Mapping[str, Sequence[str]]) -> tuple[tuple[str, str], ...]:
    """Kind and address of each safe link: http and https only, at most two of a kind."""
    safe = []
    for kind, addresses in addresses_by_kind.items():
        for address in list(addresses)[:2]:
            try:
                parts = urlsplit(address)
            except ValueError:
                continue
            if parts.scheme in ("http", "https") and parts.hostname:
                safe.append((kind.replace("_", " "), address))
    return tuple(safe)


def step_us(range_us: int) -> int:
    """The step of a history, in whole hours: about ``POINTS`` steps at most. Metrics are stored hourly."""
    hour_us = DAY_US // 24
    return max(1, -(-range_us // (POINTS * hour_us))) * hour_us


def _source_of(by_source: Sequence[Metrics]) -> dict[str, Metrics]:
    """The first source that has each number."""
    numbers = [name for name in Metrics.__struct_fields__ if name not in _NOT_NUMBERS]
    first = {
        name: next((metrics for metrics in by_source if getattr(metrics, name) is not None), None)
        for name in numbers
    }
    return {name: metrics for name, metrics in first.items() if metrics is not None}


def _best(by_source: Sequence[Metrics], source_of: Mapping[str, Metrics]) -> Metrics | None:
    """The numbers of the preferred source, completed from the others."""
    if not by_source:
        return None
    known = {name: getattr(metrics, name) for name, metrics in source_of.items()}
    return msgspec.structs.replace(by_source[0], **known)


def _preference(metrics: Metrics) -> int:
    return PREFERRED.index(metrics.source) if metrics.source in PREFERRED else len(PREFERRED)


def _rank(asset: Asset) -> tuple[int, str]:
    rank = asset.best.rank if asset.best else None
    return (rank if rank is not None else 1_000_000, asset.row.name.lower())

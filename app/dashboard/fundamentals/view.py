"""What the Fundamentals page shows, built from rows. Pure: no Streamlit, no clock, no database."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html.parser import HTMLParser
from math import inf
from urllib.parse import urlsplit

import msgspec

from coinwatch.times import DAY_US
from warehouse.assets.reads import AssetRow, Metrics

PREFERRED = ("coingecko", "coinmarketcap", "defillama")
"""Whose word counts where several tell the same."""

SOURCES = {"coingecko": "CoinGecko", "coinmarketcap": "CoinMarketCap", "defillama": "DefiLlama"}
"""As they call themselves."""

RANGES = {"1w": 7 * DAY_US, "1mo": 30 * DAY_US, "3mo": 90 * DAY_US, "1y": 365 * DAY_US}
POINTS = 500

MEASURES = {
    "Market cap": "market_cap_usd",
    "Price": "price_usd",
    "Volume": "volume_24h_usd",
    "Value locked": "tvl_usd",
    "Rank": "rank",
}
"""What a history can be drawn of, and its field."""

_TOLD = ("asset_id", "source", "ts", "observed_at")


@dataclass(frozen=True)
class Asset:
    """An asset and the best of what sources say of it."""

    row: AssetRow
    best: Metrics | None
    """Each number from the first source that tells it; None: nobody tells anything."""
    by_source: tuple[Metrics, ...]
    told_by: Mapping[str, Metrics]
    """Who told each number of ``best`` that is known, by its field."""


def join(rows: Iterable[AssetRow], metrics: Iterable[Metrics]) -> tuple[Asset, ...]:
    """Each asset with its metrics, by rank; those without one by name at the end."""
    told: dict[str, list[Metrics]] = {}
    for one in metrics:
        told.setdefault(one.asset_id, []).append(one)
    found = []
    for row in rows:
        several = sorted(told.get(row.id, ()), key=_preference)
        told_by = _told_by(several)
        found.append(Asset(row, _best(several, told_by), tuple(several), told_by))
    return tuple(sorted(found, key=_rank))


def categories(found: Iterable[Asset]) -> list[str]:
    """Every category there is, those of most assets first."""
    counts: dict[str, int] = {}
    for asset in found:
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
"""Market caps in USD, from and below."""


def chosen(
    found: Iterable[Asset], category: str | None, *, ours: bool, search: str = "", size: str | None = None
) -> tuple[Asset, ...]:
    """Those of a category and size, of our markets only, whose name or ticker has ``search`` in it."""
    words = search.strip().lower()
    return tuple(
        asset
        for asset in found
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
"""An order, the field it is by, and whether the greatest comes first."""


def ordered(found: Iterable[Asset], sort: str) -> tuple[Asset, ...]:
    """``found`` in one of ``SORTS``; those of which the number is not known at the end, by rank."""
    field, greatest_first = SORTS[sort]

    def number(asset: Asset) -> float | None:
        if field == "from_ath":
            return from_ath(asset.best)
        return getattr(asset.best, field) if asset.best else None

    by_rank = sorted(found, key=_rank)
    known = [(value, asset) for asset in by_rank if (value := number(asset)) is not None]
    known.sort(key=lambda one: -one[0] if greatest_first else one[0])
    return (*(asset for _, asset in known), *(asset for asset in by_rank if number(asset) is None))


def from_ath(best: Metrics | None) -> float | None:
    """How far the price is from its all-time high, 0 or below; None where one is not known."""
    if best is None or not best.price_usd or not best.ath_usd:
        return None
    return min(0.0, best.price_usd / best.ath_usd - 1)


def from_atl(best: Metrics | None) -> float | None:
    """How far the price is above its all-time low, 0 or more; None where one is not known."""
    if best is None or not best.price_usd or not best.atl_usd:
        return None
    return max(0.0, best.price_usd / best.atl_usd - 1)


def newest(found: Iterable[Asset]) -> datetime | None:
    """When the newest of all numbers was told."""
    return max((at for asset in found if (at := told_at(asset.best)) is not None), default=None)


def told_at(metrics: Metrics | None) -> datetime | None:
    """When a source told its numbers: as it says itself, else the hour it was asked in."""
    return (metrics.observed_at or metrics.ts) if metrics else None


class _Words(HTMLParser):
    """The text of HTML, without tags, scripts and styles."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.words: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._hidden += tag in ("script", "style")
        if tag in ("br", "p", "li", "h1", "h2", "h3", "div"):
            self.words.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= bool(self._hidden) and tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.words.append(data)


def plain(description: str) -> str:
    """A provider's description as plain text: no tags, no marks of Markdown's headings, no wide gaps."""
    parser = _Words()
    parser.feed(description.replace("\r", ""))
    parser.close()
    lines = (re.sub(r"^#{1,6}\s+", "", line).strip() for line in "".join(parser.words).split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def image(images: Mapping[str, str]) -> str | None:
    """Where a picture of the asset is: https only, the preferred source's first."""
    for source in (*PREFERRED, *images):
        address = images.get(source, "")
        try:
            parts = urlsplit(address)
        except ValueError:
            continue
        if parts.scheme == "https" and parts.hostname:
            return address
    return None


def links(told: Mapping[str, Sequence[str]]) -> tuple[tuple[str, str], ...]:
    """Kind and address of what may be linked: only http and https, the first two of a kind."""
    found = []
    for kind, addresses in told.items():
        for address in list(addresses)[:2]:
            try:
                parts = urlsplit(address)
            except ValueError:
                continue
            if parts.scheme in ("http", "https") and parts.hostname:
                found.append((kind.replace("_", " "), address))
    return tuple(found)


def step_us(range_us: int) -> int:
    """Of a history, for at most about ``POINTS`` steps; never under the hour metrics are told in."""
    hour_us = DAY_US // 24
    return max(1, -(-range_us // (POINTS * hour_us))) * hour_us


def _told_by(several: Sequence[Metrics]) -> dict[str, Metrics]:
    """The first source that tells each number."""
    numbers = [name for name in Metrics.__struct_fields__ if name not in _TOLD]
    tellers = {
        name: next((one for one in several if getattr(one, name) is not None), None) for name in numbers
    }
    return {name: one for name, one in tellers.items() if one is not None}


def _best(several: Sequence[Metrics], told_by: Mapping[str, Metrics]) -> Metrics | None:
    """The first source's words, completed by the others'."""
    if not several:
        return None
    known = {name: getattr(one, name) for name, one in told_by.items()}
    return msgspec.structs.replace(several[0], **known)


def _preference(metrics: Metrics) -> int:
    return PREFERRED.index(metrics.source) if metrics.source in PREFERRED else len(PREFERRED)


def _rank(asset: Asset) -> tuple[int, str]:
    rank = asset.best.rank if asset.best else None
    return (rank if rank is not None else 1_000_000, asset.row.name.lower())

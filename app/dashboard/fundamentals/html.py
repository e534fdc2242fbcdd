"""The HTML of one asset."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, tzinfo
from typing import NamedTuple
from urllib.parse import quote as quote_url
from urllib.parse import urlsplit

from markupsafe import Markup

from app.dashboard.fundamentals.view import (
    SOURCES,
    Asset,
    from_ath,
    from_atl,
    image,
    links,
    plain,
    updated_at,
)
from app.dashboard.ui.templates import render
from coinwatch import formats
from coinwatch.times import from_datetime
from warehouse.assets.reads import AssetDetail, Metrics

_LONGEST = 1_200
"""Characters of a description that are shown."""
_MOST_CATEGORIES, _MOST_CONTRACTS = 24, 12
# Characters that end an address within CSS or HTML are not among them.
_SAFE_IN_CSS = ":/?&=%@+,;~-._"


class _Origin(NamedTuple):
    """Where a number comes from."""

    source: str
    updated_us: int


class _Tile(NamedTuple):
    name: str
    value: str
    remark: str
    origin: _Origin | None


def headline(detail: AssetDetail, asset: Asset, now_us: int, *, pictures: bool) -> Markup:
    """Mark, name, rank and price, with the source and age of the price.

    The mark is the ticker; with ``pictures``, it is the coin's picture, which the browser fetches from
    another host.
    """
    address = image(detail.images) if pictures else None
    return render(
        "fundamentals/headline.html.j2",
        detail=detail,
        picture=None if address is None else quote_url(address, safe=_SAFE_IN_CSS),
        best=asset.best,
        origin=_origin(asset, "price_usd"),
        now_us=now_us,
    )


def facts(asset: Asset, zone: tzinfo, now_us: int) -> Markup:
    """The known numbers in tiles, each with its source and age."""
    best = asset.best
    if best is None:
        return Markup()
    high, low = formats.percent(from_ath(best)), formats.percent(from_atl(best))
    tiles = (
        ("Market cap", "market_cap_usd", _usd(best.market_cap_usd), _diluted(best)),
        ("Volume, 24 h", "volume_24h_usd", _usd(best.volume_24h_usd), _turnover(best)),
        ("Circulating", "circulating_supply", formats.compact(best.circulating_supply), _supply(best)),
        ("All-time high", "ath_usd", _price(best.ath_usd), f"{high}{_since(best.ath_at, zone)}"),
        ("All-time low", "atl_usd", _price(best.atl_usd), f"{low}{_since(best.atl_at, zone)}"),
        (
            "7 days",
            "change_7d",
            formats.percent(best.change_7d),
            f"30 days {formats.percent(best.change_30d)}",
        ),
        ("Value locked", "tvl_usd", _usd(best.tvl_usd), "in its contracts"),
    )
    share = None
    if best.circulating_supply and best.max_supply:
        share = min(1.0, best.circulating_supply / best.max_supply)
    return render(
        "fundamentals/facts.html.j2",
        tiles=[
            _Tile(name, value, remark, _origin(asset, field))
            for name, field, value, remark in tiles
            if value != formats.UNKNOWN
        ],
        share=share,
        now_us=now_us,
    )


def sources(by_source: Sequence[Metrics], zone: tzinfo, now_us: int) -> Markup:
    """The numbers of each source side by side; a number that no source has is left out."""
    rows = [(name, [show(metrics) for metrics in by_source]) for name, show in _rows(zone)]
    return render(
        "fundamentals/sources.html.j2",
        columns=[("", "name", ""), *((_source(metrics.source), "number", "") for metrics in by_source)],
        rows=[(name, cells) for name, cells in rows if set(cells) != {formats.UNKNOWN}],
        updated_us=[_updated_us(metrics) for metrics in by_source],
        now_us=now_us,
    )


def about(detail: AssetDetail, zone: tzinfo) -> Markup:
    """Categories, description, links and contracts."""
    description = plain(detail.description or "")
    if len(description) > _LONGEST:
        description = description[:_LONGEST].rsplit(" ", 1)[0] + " …"
    return render(
        "fundamentals/about.html.j2",
        categories=detail.categories[:_MOST_CATEGORIES],
        description=description,
        links=[(f"{kind}: {_host(address)}", address) for kind, address in links(detail.links)],
        contracts=list(detail.platforms.items())[:_MOST_CONTRACTS],
        launched=f"{detail.launched_on:%-d %b %Y}" if detail.launched_on else None,
        detail=detail,
        zone=zone,
    )


def _rows(zone: tzinfo) -> tuple[tuple[str, Callable[[Metrics], str]], ...]:
    return (
        ("Price", lambda metrics: _price(metrics.price_usd)),
        ("Market cap", lambda metrics: _usd(metrics.market_cap_usd)),
        ("Rank", lambda metrics: formats.UNKNOWN if metrics.rank is None else str(metrics.rank)),
        ("Fully diluted", lambda metrics: _usd(metrics.fdv_usd)),
        ("Volume, 24 h", lambda metrics: _usd(metrics.volume_24h_usd)),
        ("1 hour", lambda metrics: formats.percent(metrics.change_1h)),
        ("24 hours", lambda metrics: formats.percent(metrics.change_24h)),
        ("7 days", lambda metrics: formats.percent(metrics.change_7d)),
        ("30 days", lambda metrics: formats.percent(metrics.change_30d)),
        ("Circulating", lambda metrics: formats.compact(metrics.circulating_supply)),
        ("Total supply", lambda metrics: formats.compact(metrics.total_supply)),
        ("Max supply", lambda metrics: formats.compact(metrics.max_supply)),
        ("All-time high", lambda metrics: _dated(_price(metrics.ath_usd), metrics.ath_at, zone)),
        ("All-time low", lambda metrics: _dated(_price(metrics.atl_usd), metrics.atl_at, zone)),
        ("Value locked", lambda metrics: _usd(metrics.tvl_usd)),
    )


def _origin(asset: Asset, field: str) -> _Origin | None:
    metrics = asset.source_of.get(field)
    return None if metrics is None else _Origin(_source(metrics.source), _updated_us(metrics))


def _updated_us(metrics: Metrics) -> int:
    return from_datetime(updated_at(metrics) or metrics.ts)


def _source(name: str) -> str:
    return SOURCES.get(name, name)


def _host(address: str) -> str:
    return (urlsplit(address).hostname or "").removeprefix("www.")


def _diluted(best: Metrics) -> str:
    return "" if best.fdv_usd is None else f"fully diluted {_usd(best.fdv_usd)}"


def _dated(value: str, moment: datetime | None, zone: tzinfo) -> str:
    return value if moment is None else f"{value}, {moment.astimezone(zone):%-d %b %Y}"


def _usd(value: float | None) -> str:
    return formats.UNKNOWN if value is None else f"${formats.compact(value)}"


def _price(value: float | None) -> str:
    return formats.UNKNOWN if value is None else f"${formats.price(value)}"


def _turnover(best: Metrics) -> str:
    if not best.volume_24h_usd or not best.market_cap_usd:
        return ""
    return f"{best.volume_24h_usd / best.market_cap_usd * 100:.1f} % of market cap"


def _supply(best: Metrics) -> str:
    if best.max_supply:
        return f"of at most {formats.compact(best.max_supply)}"
    return f"of {formats.compact(best.total_supply)}" if best.total_supply else "no known limit"


def _since(moment: datetime | None, zone: tzinfo) -> str:
    return f" since {moment.astimezone(zone):%-d %b %Y}" if moment else ""

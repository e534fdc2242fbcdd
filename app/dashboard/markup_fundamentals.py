"""The HTML of one asset. Pure; every value from outside is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, tzinfo
from html import escape

from app.dashboard import formats, markup
from app.dashboard.fundamentals import from_ath, links
from app.dashboard.overview import Trend
from coinwatch.times import DAY_US, from_datetime
from warehouse.reads_assets import AssetDetail, Metrics

_LONGEST = 1_200


def headline(detail: AssetDetail, best: Metrics | None, now_us: int) -> str:
    """Name, rank, price and age."""
    parts = [f'<h1 class="cw-title">{escape(detail.name)}<small>{escape(detail.symbol.upper())}</small></h1>']
    if best is not None and best.rank is not None:
        parts.append(f'<span class="cw-badge rank">rank {best.rank}</span>')
    if best is not None and best.price_usd is not None:
        parts.append(markup.price(best.price_usd, Trend.FLAT))
        parts.append(markup.change(best.change_24h, DAY_US))
        told_us = from_datetime(best.observed_at or best.ts)
        age = formats.age(told_us, now_us)
        parts.append(f'<span class="cw-fact"><span class="muted">USD, told</span> {age}</span>')
    if detail.gone_at is not None:
        parts.append('<span class="cw-badge stale">no longer listed</span>')
    return f'<div class="cw-quote">{"".join(parts)}</div>'


def facts(best: Metrics, zone: tzinfo) -> str:
    """The numbers, in tiles."""
    away = from_ath(best)
    low = best.price_usd / best.atl_usd - 1 if best.price_usd and best.atl_usd else None
    tiles = (
        ("Market cap", _usd(best.market_cap_usd), f"fully diluted {_usd(best.fdv_usd)}"),
        ("Volume, 24 h", _usd(best.volume_24h_usd), _turnover(best)),
        ("Circulating", formats.compact(best.circulating_supply), _supply(best)),
        ("All-time high", _price(best.ath_usd), f"{formats.percent(away)}{_on(best.ath_at, zone)}"),
        ("All-time low", _price(best.atl_usd), f"{formats.percent(low)}{_on(best.atl_at, zone)}"),
        ("7 days", formats.percent(best.change_7d), f"30 days {formats.percent(best.change_30d)}"),
        ("Value locked", _usd(best.tvl_usd), "by DefiLlama"),
    )
    body = "".join(
        f'<div class="cw-tile"><span class="muted">{escape(name)}</span><b>{escape(value)}</b>'
        f'<span class="muted">{escape(under)}</span></div>'
        for name, value, under in tiles
        if value != formats.UNKNOWN
    )
    bar = ""
    if best.circulating_supply and best.max_supply:
        share = min(1.0, best.circulating_supply / best.max_supply)
        bar = (
            f'<div class="cw-supply" role="img" aria-label="{share:.0%} of the supply circulates">'
            f'<i style="width:{share * 100:.1f}%"></i></div>'
        )
    return f'<div class="cw-tiles">{body}</div>{bar}'


def sources(several: Sequence[Metrics], now_us: int) -> str:
    """What each source says, side by side."""
    columns = [
        ("Source", ""),
        ("Price", "number"),
        ("Market cap", "number"),
        ("Volume", "number"),
        ("Circulating", "number"),
        ("Rank", "number"),
        ("Told", "time"),
    ]
    rows = [
        [
            one.source,
            formats.price(one.price_usd),
            formats.compact(one.market_cap_usd),
            formats.compact(one.volume_24h_usd),
            formats.compact(one.circulating_supply),
            formats.UNKNOWN if one.rank is None else str(one.rank),
            formats.age(from_datetime(one.observed_at or one.ts), now_us),
        ]
        for one in several
    ]
    return markup.table(columns, rows)


def about(detail: AssetDetail) -> str:
    """Categories, words, links and contracts."""
    parts = []
    if detail.categories:
        chips = "".join(f'<span class="cw-ex">{escape(name)}</span>' for name in detail.categories[:24])
        parts.append(f'<div class="cw-exchanges">{chips}</div>')
    if detail.description:
        words = detail.description
        cut = words if len(words) <= _LONGEST else words[:_LONGEST].rsplit(" ", 1)[0] + " …"
        parts.append(f'<p class="cw-words">{escape(cut)}</p>')
    if known := links(detail.links):
        anchors = "".join(
            f'<a href="{escape(address)}" target="_blank" rel="noopener noreferrer">{escape(kind)}</a>'
            for kind, address in known
        )
        parts.append(f'<p class="cw-links">{anchors}</p>')
    if detail.platforms:
        rows = [[platform, address] for platform, address in list(detail.platforms.items())[:12]]
        parts.append(markup.table([("Platform", "name"), ("Contract", "text")], rows))
    return "".join(parts)


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
    return f"of {formats.compact(best.total_supply)}" if best.total_supply else "no limit known"


def _on(moment: datetime | None, zone: tzinfo) -> str:
    return f" since {moment.astimezone(zone):%-d %b %Y}" if moment else ""

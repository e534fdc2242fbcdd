"""The HTML of one asset. Pure; every value from outside is escaped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, tzinfo
from html import escape
from urllib.parse import quote as quote_url
from urllib.parse import urlsplit

from app.dashboard.fundamentals.view import SOURCES, Asset, from_ath, from_atl, image, links, plain, told_at
from app.dashboard.ui import html
from app.dashboard.ui.tables import Column, table
from app.dashboard.ui.trend import Trend
from coinwatch import formats
from coinwatch.times import DAY_US, from_datetime
from warehouse.assets.reads import AssetDetail, Metrics

_LONGEST = 1_200


def headline(detail: AssetDetail, asset: Asset, now_us: int) -> str:
    """Picture, name, rank, price, and who told that when."""
    best = asset.best
    parts = [
        f'<h1 class="cw-title">{_picture(detail)}{escape(detail.name)}'
        f"<small>{escape(detail.symbol.upper())}</small></h1>"
    ]
    if best is not None and best.rank is not None:
        parts.append(f'<span class="cw-badge rank">rank {best.rank}</span>')
    if best is not None and best.price_usd is not None:
        parts.append(html.price(best.price_usd, Trend.FLAT))
        parts.append(html.change(best.change_24h, DAY_US))
        told = _told(asset, "price_usd", now_us)
        parts.append(f'<span class="cw-fact"><span class="muted">USD, by</span> {told}</span>')
    if detail.gone_at is not None:
        parts.append('<span class="cw-badge stale">no longer listed</span>')
    return f'<div class="cw-quote">{"".join(parts)}</div>'


def facts(asset: Asset, zone: tzinfo, now_us: int) -> str:
    """The numbers that are known, in tiles, each with who told it and when."""
    best = asset.best
    if best is None:
        return ""
    high, low = formats.percent(from_ath(best)), formats.percent(from_atl(best))
    shown = (
        ("Market cap", "market_cap_usd", _usd(best.market_cap_usd), _diluted(best)),
        ("Volume, 24 h", "volume_24h_usd", _usd(best.volume_24h_usd), _turnover(best)),
        ("Circulating", "circulating_supply", formats.compact(best.circulating_supply), _supply(best)),
        ("All-time high", "ath_usd", _price(best.ath_usd), f"{high}{_on(best.ath_at, zone)}"),
        ("All-time low", "atl_usd", _price(best.atl_usd), f"{low}{_on(best.atl_at, zone)}"),
        ("7 days", "change_7d", formats.percent(best.change_7d), _longer(best)),
        ("Value locked", "tvl_usd", _usd(best.tvl_usd), "in its contracts"),
    )
    body = "".join(
        f'<div class="cw-tile"><span class="muted">{escape(name)}</span><b>{escape(value)}</b>'
        f'<span class="muted">{escape(under)}</span>'
        f'<span class="muted by">{_told(asset, field, now_us)}</span></div>'
        for name, field, value, under in shown
        if value != formats.UNKNOWN
    )
    bar = ""
    if best.circulating_supply and best.max_supply:
        share = min(1.0, best.circulating_supply / best.max_supply)
        bar = (
            f'<div class="cw-supply" role="img" aria-label="{share:.0%} of the supply circulates">'
            f'<i style="width:{share * 100:.1f}%"></i></div>'
            f'<p class="cw-notes">{share * 100:.1f} % of the units there can ever be circulate.</p>'
        )
    return f'<div class="cw-tiles">{body}</div>{bar}'


def sources(several: Sequence[Metrics], zone: tzinfo, now_us: int) -> str:
    """What each source says, side by side: a row for each number that somebody tells."""
    columns: list[Column] = [("", "name", ""), *((_source(one.source), "number", "") for one in several)]
    rows = [
        [escape(name), *(escape(show(one)) for one in several)]
        for name, show in _rows(zone)
        if any(show(one) != formats.UNKNOWN for one in several)
    ]
    rows.append(["Told", *(_age(one, now_us) for one in several)])
    return table("What each source says", columns, rows)


def about(detail: AssetDetail, zone: tzinfo) -> str:
    """Categories, words, links and contracts."""
    parts = []
    if detail.categories:
        chips = "".join(
            f'<a class="cw-ex" href="fundamentals?category={quote_url(name)}" target="_self">'
            f"{escape(name)}</a>"
            for name in detail.categories[:24]
        )
        parts.append(f'<div class="cw-exchanges">{chips}</div>')
    if words := plain(detail.description or ""):
        cut = words if len(words) <= _LONGEST else words[:_LONGEST].rsplit(" ", 1)[0] + " …"
        parts.append(f'<p class="cw-words">{escape(cut)}</p>')
    if known := links(detail.links):
        anchors = "".join(
            f'<a href="{escape(address)}" target="_blank" rel="noopener noreferrer">'
            f"{escape(kind)}: {escape(_host(address))}</a>"
            for kind, address in known
        )
        parts.append(f'<p class="cw-links">{anchors}</p>')
    if detail.platforms:
        columns: list[Column] = [("Platform", "name", ""), ("Contract", "text", "")]
        contracts = [
            [escape(platform), f"<code>{escape(address)}</code>" if address else formats.UNKNOWN]
            for platform, address in list(detail.platforms.items())[:12]
        ]
        parts.append(table("Contracts", columns, contracts))
    told = []
    if detail.launched_on is not None:
        told.append(f"Launched on {detail.launched_on:%-d %b %Y}.")
    if detail.described_at is not None:
        told.append(f"Described {html.time(from_datetime(detail.described_at), zone, seconds=False)}.")
    if told:
        parts.append(f'<p class="cw-notes">{" ".join(told)}</p>')
    return "".join(parts)


def _rows(zone: tzinfo) -> tuple[tuple[str, Callable[[Metrics], str]], ...]:
    return (
        ("Price", lambda one: _price(one.price_usd)),
        ("Market cap", lambda one: _usd(one.market_cap_usd)),
        ("Rank", lambda one: formats.UNKNOWN if one.rank is None else str(one.rank)),
        ("Fully diluted", lambda one: _usd(one.fdv_usd)),
        ("Volume, 24 h", lambda one: _usd(one.volume_24h_usd)),
        ("1 hour", lambda one: formats.percent(one.change_1h)),
        ("24 hours", lambda one: formats.percent(one.change_24h)),
        ("7 days", lambda one: formats.percent(one.change_7d)),
        ("30 days", lambda one: formats.percent(one.change_30d)),
        ("Circulating", lambda one: formats.compact(one.circulating_supply)),
        ("Total supply", lambda one: formats.compact(one.total_supply)),
        ("Max supply", lambda one: formats.compact(one.max_supply)),
        ("All-time high", lambda one: _dated(_price(one.ath_usd), one.ath_at, zone)),
        ("All-time low", lambda one: _dated(_price(one.atl_usd), one.atl_at, zone)),
        ("Value locked", lambda one: _usd(one.tvl_usd)),
    )


def _picture(detail: AssetDetail) -> str:
    """The picture over the first letters, which stay where it cannot be had."""
    letters = f"<span>{escape(detail.symbol[:3].upper())}</span>"
    address = image(detail.images)
    if address is None:
        return f'<span class="cw-coin" aria-hidden="true">{letters}</span>'
    # As a background it leaves no mark where it cannot be had.
    url = quote_url(address, safe=":/?&=%@+,;~-._")
    return (
        f'<span class="cw-coin" aria-hidden="true">{letters}'
        f'<i style="background-image:url(&quot;{escape(url)}&quot;)"></i></span>'
    )


def _told(asset: Asset, field: str, now_us: int) -> str:
    """Who told a number, and how old they say it is; the moment when pointed at."""
    one = asset.told_by.get(field)
    return "" if one is None else f"{escape(_source(one.source))}, {_age(one, now_us)}"


def _age(one: Metrics, now_us: int) -> str:
    at_us = from_datetime(told_at(one) or one.ts)
    return f'<time title="{escape(formats.moment(at_us))}">{formats.age(at_us, now_us)}</time>'


def _source(name: str) -> str:
    return SOURCES.get(name, name)


def _host(address: str) -> str:
    return (urlsplit(address).hostname or "").removeprefix("www.")


def _diluted(best: Metrics) -> str:
    return "" if best.fdv_usd is None else f"fully diluted {_usd(best.fdv_usd)}"


def _longer(best: Metrics) -> str:
    return f"30 days {formats.percent(best.change_30d)}"


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
    return f"of {formats.compact(best.total_supply)}" if best.total_supply else "no limit known"


def _on(moment: datetime | None, zone: tzinfo) -> str:
    return f" since {moment.astimezone(zone):%-d %b %Y}" if moment else ""

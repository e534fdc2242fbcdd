"""The HTML of sentiment: the gauge, scores with their parts, news. Pure; what is from outside is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from urllib.parse import quote as quote_url
from urllib.parse import urlsplit

from app.dashboard import formats
from app.dashboard.moods import Gauge, name_of, parts
from coinwatch.times import from_datetime
from warehouse.reads_sentiment import Article, DayOfSource

GOOD, BAD = 0.15, -0.15
"""Scores between are neither."""


def gauge(found: Gauge, *, link: str = "") -> str:
    """Fear & Greed as a half circle with a needle."""
    turn = found.value * 1.8 - 90
    moved = ""
    if found.change is not None:
        moved = (
            f", {_signed(found.change, 0)} since the day before" if found.change else ", as the day before"
        )
    words = f"Fear and Greed is {found.value:.0f} of 100: {found.mood}"
    body = (
        f'<span class="cw-dial" role="img" aria-label="{escape(words)}">'
        f'<i style="transform:rotate({turn:.1f}deg)"></i></span>'
        f"<span><b>{found.value:.0f}</b> {escape(found.mood)}<br>"
        f'<span class="muted">Fear &amp; Greed, {found.day:%-d %b}{escape(moved)}</span></span>'
    )
    if link:
        return f'<a class="cw-box cw-gauge" href="{escape(link)}">{body}</a>'
    return f'<div class="cw-box cw-gauge">{body}</div>'


def assets(latest: Sequence[DayOfSource]) -> str:
    """The newest score of each asset, with what it is made of."""
    rows = "".join(
        f'<tr><td class="name">{_base(one.base or "")}</td>'
        f'<td class="number">{pill(one.score or 0.0)}</td><td class="wide">{_bar(one.score or 0.0)}</td>'
        f'<td class="number">{_count(one.items)}</td><td class="text">{_parts(one)}</td>'
        f'<td class="time">{one.day:%-d %b}</td></tr>'
        for one in latest
    )
    heads = (
        ("Asset", "name", ""),
        ("Score", "number", "From -1, bad, to 1, good: the mean of its parts by their weights"),
        ("", "wide", ""),
        ("Texts", "number", "How many articles and posts it is made of"),
        ("Parts", "text", "Each source's score, and its weight"),
        ("Day", "time", "UTC"),
    )
    return _table("Scores of assets", heads, rows)


def news(articles: Sequence[Article], now_us: int) -> str:
    """Texts with their scores, each linking to where it can be read."""
    rows = []
    for one in articles:
        published_us = from_datetime(one.published_at)
        named = "".join(f'<span class="cw-ex">{escape(base)}</span>' for base in one.bases[:6])
        copies = f" <small>and {len(one.copies)} more</small>" if one.copies else ""
        rows.append(
            f'<li>{pill(one.score)}<span class="what">{_linked(one)}'
            f'<span class="muted">{escape(one.outlet)}{copies} · '
            f'<time title="{escape(formats.moment(published_us))}">{formats.age(published_us, now_us)}</time>'
            f'</span></span><span class="cw-exchanges">{named}</span></li>'
        )
    return f'<ul class="cw-news">{"".join(rows)}</ul>'


def pill(score: float) -> str:
    """A score with its sign and colour."""
    kind = "ok" if score >= GOOD else "bad" if score <= BAD else "off"
    return f'<span class="cw-pill {kind}">{_signed(score, 2)}</span>'


def _base(base: str) -> str:
    return f'<a href="sentiment?base={quote_url(base)}">{escape(base)}</a>'


def _parts(one: DayOfSource) -> str:
    told = "".join(
        f'<span class="cw-part" title="{_whose(part.of_market)}">{escape(name_of(part.source))} '
        f"<b>{_signed(part.score, 2)}</b> <small>weighs {part.weight:.1f}</small></span>"
        for part in parts(one)
    )
    return told or formats.UNKNOWN


def _whose(of_market: bool) -> str:
    return "Said of the whole market" if of_market else "Said of this asset"


def _bar(score: float) -> str:
    width = abs(max(-1.0, min(1.0, score))) * 50
    left = 50 - width if score < 0 else 50
    kind = "up" if score >= 0 else "down"
    return (
        f'<span class="cw-apart {kind}"><i style="left:{left:.1f}%;width:{width:.1f}%;'
        'background:currentColor"></i></span>'
    )


def _linked(one: Article) -> str:
    try:
        parts_of_url = urlsplit(one.url)
        is_web = parts_of_url.scheme in ("http", "https") and bool(parts_of_url.hostname)
    except ValueError:
        is_web = False
    title = escape(one.title)
    if not is_web:
        return f"<b>{title}</b>"
    return f'<a href="{escape(one.url)}" target="_blank" rel="noopener noreferrer">{title}</a>'


def _count(value: int | None) -> str:
    return formats.UNKNOWN if value is None else f"{value:,}"


def _signed(value: float, decimals: int) -> str:
    rounded = round(value, decimals)
    sign = "+" if rounded > 0 else formats.MINUS if rounded < 0 else ""
    return f"{sign}{abs(rounded):.{decimals}f}"


def _table(label: str, heads: Sequence[tuple[str, str, str]], rows: str) -> str:
    head = "".join(
        f'<th class="{kind}" scope="col" title="{escape(tip)}">{escape(title)}</th>'
        for title, kind, tip in heads
    )
    return (
        f'<div class="cw-scroll" tabindex="0" role="group" aria-label="{escape(label)}">'
        f'<table class="cw-table"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    )

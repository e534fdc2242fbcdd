"""The HTML of sentiment: the gauge, scores with their parts, news. Pure; what is from outside is escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from html import escape
from urllib.parse import quote as quote_url
from urllib.parse import urlsplit

from app.dashboard.sentiment.view import BAD, GOOD, Gauge, SourceState, name_of, parts
from app.dashboard.ui import html
from app.dashboard.ui.tables import Column, table
from app.dashboard.ui.tables import pill as state_pill
from coinwatch import formats
from coinwatch.sentiment.scoring import WEIGHTS, Source
from coinwatch.times import from_datetime
from warehouse.sentiment.reads import Article, DayOfSource, OutletRead

_STATES = {
    "on": ("ok", "on"),
    "off": ("off", "not configured"),
    "waiting": ("warn", "waits"),
    "silent": ("bad", "silent"),
}
_TELLS = {
    Source.FEAR_GREED: "One number a day for the whole market, by alternative.me",
    Source.GDELT: "The tone of the world's news that names an asset",
    Source.NEWS: "Headlines that name an asset, scored by VADER",
    Source.REDDIT: "Posts that name an asset, scored by VADER",
    Source.TELEGRAM: "Messages of public channels that name an asset, scored by VADER",
    Source.VOTES: "How many of CoinGecko's visitors vote for an asset to rise",
    Source.X: "How many posts name an asset; a count, no score",
}


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
    columns: list[Column] = [
        ("Asset", "name", ""),
        ("Score", "number", "From -1, bad, to 1, good: the mean of its parts by their weights"),
        ("", "wide", ""),
        ("Texts", "number", "How many articles and posts it is made of"),
        ("Parts", "text", "Each source's score, and its weight"),
        ("Day", "time", "UTC"),
    ]
    rows = [
        [
            _base(one.base or ""),
            pill(one.score or 0.0),
            _bar(one.score or 0.0),
            _count(one.items),
            _parts(one),
            f"{one.day:%-d %b}",
        ]
        for one in latest
    ]
    return table("Scores of assets", columns, rows)


def combined(one: DayOfSource, zone: tzinfo) -> str:
    """How an asset's score of a day comes about: what each part says, weighs and adds."""
    columns: list[Column] = [
        ("Source", "name", ""),
        ("Score", "number", "From -1, bad, to 1, good"),
        ("", "wide", ""),
        ("Weight", "number", "A source of few texts weighs less; what is said of the whole market, half"),
        ("Share", "number", "Its weight, of all of them"),
        ("Adds", "number", "Score times share; together they are the combined score"),
        ("Texts", "number", "How many articles, posts or votes it is made of, where that is known"),
        ("Of", "text", ""),
    ]
    found = parts(one)
    computed = html.time(from_datetime(one.told_at), zone, seconds=False)
    whole = sum(part.weight for part in found) or 1.0
    rows = [
        [
            escape(name_of(part.source)),
            pill(part.score),
            _bar(part.score),
            f"{part.weight:.1f}",
            f"{part.weight / whole:.0%}",
            _signed(part.score * part.weight / whole, 2),
            _count(part.items),
            "the whole market" if part.of_market else escape(one.base or ""),
        ]
        for part in found
    ]
    rows.append(
        [
            "<b>Combined</b>",
            pill(one.score or 0.0),
            _bar(one.score or 0.0),
            f"{whole:.1f}",
            "100%",
            _signed(one.score or 0.0, 2),
            _count(one.items),
            f"{one.day:%-d %b %Y} (UTC), computed {computed}",
        ]
    )
    return table("Parts of the combined score", columns, rows)


def sources(found: Sequence[SourceState], outlets: Sequence[OutletRead], zone: tzinfo, now_us: int) -> str:
    """Who is asked and when; of those that are off, how to turn them on."""
    columns: list[Column] = [
        ("Source", "name", ""),
        ("State", "", ""),
        ("Tells", "text", ""),
        ("Weight", "number", "In the combined score of an asset, before it is lessened"),
        ("Assets", "number", "It told of within a month"),
        ("Newest day", "time", "UTC"),
        ("Asked", "time", ""),
    ]
    rows = [
        [
            escape(name_of(one.source)),
            state_pill(*_STATES[one.kind]),
            _tells(one),
            f"{WEIGHTS[one.source]:.1f}" if one.source in WEIGHTS else formats.UNKNOWN,
            f"{one.asked.bases:,}" if one.asked and one.asked.bases else formats.UNKNOWN,
            f"{one.asked.told_day:%-d %b %Y}" if one.asked and one.asked.told_day else formats.UNKNOWN,
            _ago(one.asked.asked_at, now_us) if one.asked else formats.UNKNOWN,
        ]
        for one in found
    ]
    told = table("Sources of sentiment", columns, rows)
    if not outlets:
        return told
    feeds: list[Column] = [
        ("News feed", "name", ""),
        ("Articles in 24 h", "number", "Copies of others left out"),
        ("Read", "time", "The last answer"),
        ("Anything new", "time", "The last answer that had any"),
    ]
    read = [
        [
            escape(one.outlet),
            f"{one.articles:,}",
            _ago(one.asked_at, now_us),
            html.time(from_datetime(one.changed_at), zone, seconds=False),
        ]
        for one in outlets
    ]
    return told + table("News feeds", feeds, read)


def news(articles: Sequence[Article], now_us: int) -> str:
    """Texts with their scores, each linking to where it can be read."""
    rows = []
    for one in articles:
        published_us = from_datetime(one.published_at)
        named = "".join(f'<span class="cw-ex">{escape(base)}</span>' for base in one.bases[:6])
        copies = _copies(one.copies)
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


def _copies(copies: Mapping[str, str]) -> str:
    """Where else the same text appeared."""
    if not copies:
        return ""
    return f' <small title="{escape(", ".join(copies))}">and {len(copies)} more</small>'


def _tells(one: SourceState) -> str:
    words = escape(_TELLS[one.source])
    if one.kind == "off":
        names = " and ".join(f"<code>{escape(name)}</code>" for name in one.turn_on.split(" and "))
        return f"{words}. Off: set {names} and start anew to turn it on."
    if one.kind == "waiting":
        return f"{words}. Nothing told yet: it is asked every hour."
    if one.kind == "silent":
        return (
            f'{words}. It tells nothing; <a href="data?view=runs" target="_self">its last runs</a> say why.'
        )
    return words


def _ago(moment: datetime, now_us: int) -> str:
    at_us = from_datetime(moment)
    return f'<time title="{escape(formats.moment(at_us))}">{formats.age(at_us, now_us)}</time>'


def _count(value: int | None) -> str:
    return formats.UNKNOWN if value is None else f"{value:,}"


def _signed(value: float, decimals: int) -> str:
    rounded = round(value, decimals)
    sign = "+" if rounded > 0 else formats.MINUS if rounded < 0 else ""
    return f"{sign}{abs(rounded):.{decimals}f}"

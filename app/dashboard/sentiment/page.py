"""Sentiment: Fear & Greed, what sources say of each asset beside its price, and the news."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import streamlit as st

from app.dashboard.data.source import DashboardReads
from app.dashboard.sentiment import html as sentiment_html
from app.dashboard.sentiment import plot, reads, view
from app.dashboard.ui import html as ui_html
from app.dashboard.ui import page, query
from app.dashboard.ui.style import palette
from app.dashboard.ui.tables import note, section
from app.dashboard.ui.url import PageUrl
from coinwatch.intervals import Interval
from coinwatch.sentiment.scoring import Source as Teller
from coinwatch.times import DAY_US, now_us, utc_day
from sources.providers.sentiment_credentials import not_configured
from warehouse.candles.chart_reads import WatchedMarket
from warehouse.sentiment.reads import DayOfSource

DEFAULT_RANGE = "3mo"
MOST_PRICE_DAYS = 2_000
MOST_NEWS = 40
_NONE_YET = (
    "From its first candles on Dagster reads news feeds every 15 minutes and asks for Fear & Greed, the tone "
    "of the news and votes every hour; none of them needs a key.",
    "`coinwatch status` says whether it runs, the Data page what its last runs did.",
)


class _Choice(NamedTuple):
    base: str | None
    """None: the whole market."""
    length: str
    tone: str
    notes: list[str]


def show(source: DashboardReads) -> None:
    """Draw the page."""
    st.title("Sentiment", anchor=False)
    reading = source.moods()
    if not reading.value:
        _wait(source)
        _sources(source)
        return
    page.trouble([reading])
    chosen = _choose(view.bases(reading.value))
    page.notice(" ".join(note for note in chosen.notes if note))
    st.set_page_config(page_title=f"{chosen.base or 'market'} · Sentiment · Coinwatch")
    if chosen.base is None:
        _market(source, chosen.length)
    else:
        _asset(source, chosen.base, chosen.length)
    _latest(source)
    _news(source, chosen.base, chosen.tone)
    _sources(source)


@page.every(5)
def _wait(source: DashboardReads) -> None:
    reading = source.moods()
    if reading.value:
        st.rerun(scope="app")
    page.trouble([reading])
    title = "The warehouse cannot be read" if reading.problem else "Nothing is known of sentiment yet"
    st.html(ui_html.wrap(ui_html.empty(title, *_NONE_YET)))


def _choose(scored: Sequence[DayOfSource]) -> _Choice:
    url = PageUrl("sentiment")
    notes: list[str] = []
    options = [view.MARKET, *sorted(one.base for one in scored if one.base)]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        page.take(url, "sentiment_base", query.one_of("asset", url.one("base"), options, view.MARKET), notes)
        if st.session_state["sentiment_base"] not in options:
            st.session_state["sentiment_base"] = view.MARKET
        base = st.selectbox("Of", options, key="sentiment_base", width=190)
        ranges = tuple(view.RANGES)
        page.take(
            url, "sentiment_range", query.one_of("range", url.one("range"), ranges, DEFAULT_RANGE), notes
        )
        length = st.segmented_control("Range", ranges, key="sentiment_range", required=True) or DEFAULT_RANGE
        any_tone = view.TONES[0]
        page.take(url, "sentiment_news", query.one_of("news", url.one("news"), view.TONES, any_tone), notes)
        tone = st.segmented_control(
            "News",
            view.TONES,
            key="sentiment_news",
            required=True,
            help=f"Good: a score of {view.GOOD:g} or more; bad: {view.BAD:g} or less.",
        )
    tone = tone or any_tone
    url.write(
        {
            "base": [base] if base != view.MARKET else [],
            "range": [length],
            "news": [tone] if tone != any_tone else [],
        }
    )
    return _Choice(None if base == view.MARKET else base, length, tone, notes)


@page.every(60)
def _market(source: DashboardReads, length: str) -> None:
    """Fear & Greed now, and over time."""
    latest = source.moods()
    days = source.day_scores(None, view.RANGES[length])
    page.trouble([days])
    _gauge(latest.value or ())
    if not any(one.source == Teller.FEAR_GREED for one in days.value or ()):
        words = "alternative.me is asked for it every hour; the first answer has all days it ever told."
        st.html(ui_html.wrap(ui_html.empty("No Fear & Greed in this range", words)))
        return
    # Can be imported only where Streamlit runs.
    from streamlit_echarts import JsCode, st_echarts

    colours = palette(st.context.theme.type)
    drawn = plot.fear_options(days.value or (), colours, JsCode)
    st_echarts(drawn, height="320px", key=f"fear {length}")
    words = "0 is extreme fear, 100 extreme greed; one number a UTC day, by alternative.me."
    st.html(ui_html.wrap(note(words)))


def _gauge(latest: Sequence[DayOfSource]) -> None:
    if found := view.gauge(latest):
        st.html(ui_html.wrap(f'<div class="cw-strip">{sentiment_html.gauge(found)}</div>'))


@page.every(60)
def _asset(source: DashboardReads, base: str, length: str) -> None:
    """What sources say of one asset beside its price, and how the newest score comes about."""
    latest = source.moods()
    days = source.day_scores(base, view.RANGES[length])
    market = source.day_scores(None, view.RANGES[length])
    page.trouble([days, market])
    _gauge(latest.value or ())
    _scores(source, base, days.value or (), market.value or (), length)
    newest = next((one for one in view.bases(latest.value or ()) if one.base == base), None)
    if newest is not None and view.parts(newest):
        told = sentiment_html.combined(newest, page.zone())
        st.html(ui_html.wrap(section(f"How the score of {base} comes about", told)))


@page.every(60)
def _latest(source: DashboardReads) -> None:
    """The newest score of each asset."""
    if scored := view.bases(source.moods().value or ()):
        st.html(ui_html.wrap(section("Assets, newest scores", sentiment_html.assets(scored))))


@page.every(30)
def _sources(source: DashboardReads) -> None:
    """Who is asked, and how the others are turned on."""
    reading = reads.asked(source)
    if reading.value is None:
        return
    at_us = now_us()
    found = view.states(reading.value.sources, not_configured(source.settings), utc_day(at_us))
    told = sentiment_html.sources(found, reading.value.outlets, page.zone(), at_us)
    st.html(ui_html.wrap(section("Sources", told)))


def _scores(
    source: DashboardReads,
    base: str,
    days: Sequence[DayOfSource],
    market_days: Sequence[DayOfSource],
    length: str,
) -> None:
    if not days:
        words = "No source told anything of it in this range."
        st.html(ui_html.wrap(ui_html.empty(f"No scores of {base}", words)))
        return
    # Can be imported only where Streamlit runs.
    from streamlit_echarts import JsCode, st_echarts

    market = _market_of(source, base)
    prices = None
    if market is not None:
        range_us = min(view.RANGES[length], MOST_PRICE_DAYS) * DAY_US
        prices = source.history(market, Interval.D1, range_us).value
    candles = prices.candles if prices else ()
    st_echarts(
        plot.score_options(days, market_days, candles, base, palette(st.context.theme.type), JsCode),
        height="480px",
        replace_merge=["series"],
        key=f"scores {base} {length}",
    )
    told = f"Price: daily closes of {market.market}. " if market is not None else ""
    counts = [one for one in days if one.score is None and one.day == days[-1].day]
    seen = "".join(f" {view.name_of(one.source)}: {one.value:,.0f} {one.scale}." for one in counts)
    st.html(ui_html.wrap(f'<p class="cw-notes">{told}Scores are of UTC days.{seen}</p>'))


def _market_of(source: DashboardReads, base: str) -> WatchedMarket | None:
    """The market of the asset with the most volume in a day."""
    markets = source.markets().value or ()
    members = [one for one in markets if one.market.symbol.base == base]
    statistics = source.statistics([one.market_id for one in markets]).value
    volumes = {day.market_id: day.quote_volume for day in statistics.day} if statistics else {}
    return max(members, key=lambda one: volumes.get(one.market_id, 0.0), default=None)


@page.every(30)
def _news(source: DashboardReads, base: str | None, tone: str) -> None:
    """The newest texts with their scores."""
    reading = source.news(base)
    title = f"News of {base}" if base else "News"
    if reading.value is None:
        return
    shown = view.of_tone(reading.value, tone)
    if shown:
        told = sentiment_html.news(shown[:MOST_NEWS], now_us())
        more = note(f"The newest {MOST_NEWS} of {len(shown)}.") if len(shown) > MOST_NEWS else ""
        st.html(ui_html.wrap(section(title, told, more), frozen=bool(reading.problem)))
    elif reading.value:
        words = f"None of the newest {len(reading.value)} is {tone}; choose another tone."
        st.html(ui_html.wrap(section(title, ui_html.empty("No such news", words))))
    else:
        words = "Feeds are read every 15 minutes; what names the asset appears here."
        st.html(ui_html.wrap(section(title, ui_html.empty("No news yet", words))))

"""The Sentiment page: Fear & Greed, scores of each asset below its price, and news."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import streamlit as st

from app.dashboard.data.source import DashboardReads
from app.dashboard.sentiment import html as sentiment_html
from app.dashboard.sentiment import plot, reads, view
from app.dashboard.ui import fear_greed, page, query, viewer
from app.dashboard.ui import html as ui_html
from app.dashboard.ui.html import note, section
from app.dashboard.ui.templates import render
from app.dashboard.ui.url import PageUrl
from coinwatch.intervals import Interval
from coinwatch.sentiment.scoring import SentimentSource
from coinwatch.times import DAY_US, now_us, utc_day
from sources.providers.credentials import not_configured
from warehouse.candles.chart_reads import WatchedMarket
from warehouse.sentiment.reads import DayOfSource

DEFAULT_RANGE = "3mo"
ANY_TONE = "any"
MOST_PRICE_DAYS = 2_000
MOST_NEWS = 40
_NO_DATA_HINTS = (
    "Once it has candles, Dagster reads news feeds every 15 minutes and polls Fear & Greed, the tone of news "
    "and votes every hour; none of them needs an API key.",
    "`coinwatch status` shows whether Dagster runs; the Data page shows its last runs.",
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
    reading = source.latest_sentiment()
    if not reading.value:
        _wait(source)
        _sources(source)
        return
    page.show_problem([reading])
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
    reading = source.latest_sentiment()
    if reading.value:
        st.rerun(scope="app")
    page.show_problem([reading])
    title = "The warehouse cannot be read" if reading.problem else "No sentiment data yet"
    st.html(ui_html.wrap(ui_html.empty(title, *_NO_DATA_HINTS)))


def _choose(scored: Sequence[DayOfSource]) -> _Choice:
    url = PageUrl("sentiment")
    notes: list[str] = []
    options = [view.MARKET, *sorted(row.base for row in scored if row.base)]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        page.preset(
            url, "sentiment_base", query.option("asset", url.get("base"), options, view.MARKET), notes
        )
        if st.session_state["sentiment_base"] not in options:
            st.session_state["sentiment_base"] = view.MARKET
        base = st.selectbox("Asset", options, key="sentiment_base", width=190)
        ranges = tuple(view.RANGES)
        page.preset(
            url, "sentiment_range", query.option("range", url.get("range"), ranges, DEFAULT_RANGE), notes
        )
        length = st.segmented_control("Range", ranges, key="sentiment_range", required=True) or DEFAULT_RANGE
        tones = tuple(view.TONES)
        page.preset(url, "sentiment_news", query.option("news", url.get("news"), tones, ANY_TONE), notes)
        tone = st.segmented_control(
            "News",
            tones,
            format_func=lambda name: view.TONES[name],
            key="sentiment_news",
            required=True,
            help=f"Positive: a score of {view.GOOD:g} or more; negative: {view.BAD:g} or less.",
        )
    tone = tone or ANY_TONE
    url.write(
        {
            "base": [base] if base != view.MARKET else [],
            "range": [length],
            "news": [tone] if tone != ANY_TONE else [],
        }
    )
    return _Choice(None if base == view.MARKET else base, length, tone, notes)


@page.every(60)
def _market(source: DashboardReads, length: str) -> None:
    """The Fear & Greed index today and over time."""
    latest = source.latest_sentiment()
    days = reads.day_scores(source, None, view.RANGES[length])
    page.show_problem([days])
    _gauge(latest.value or ())
    if not any(row.source == SentimentSource.FEAR_GREED for row in days.value or ()):
        hint = "alternative.me is polled every hour; the first answer contains its whole history."
        st.html(ui_html.wrap(ui_html.empty("No Fear & Greed index in this range", hint)))
        return
    # Can be imported only where Streamlit runs.
    from streamlit_echarts import JsCode, st_echarts

    colours = viewer.palette()
    drawn = plot.fear_options(days.value or (), colours, JsCode)
    st_echarts(drawn, height="320px", key=f"fear {length}")
    st.html(ui_html.wrap(note("0 is extreme fear, 100 is extreme greed. Daily (UTC), by alternative.me.")))


def _gauge(latest: Sequence[DayOfSource]) -> None:
    if gauge := fear_greed.newest(latest):
        st.html(ui_html.wrap(render("sentiment/gauge.html.j2", gauge=fear_greed.draw(gauge))))


@page.every(60)
def _asset(source: DashboardReads, base: str, length: str) -> None:
    """The scores of one asset below its price, and how the newest score is calculated."""
    latest = source.latest_sentiment()
    days = reads.day_scores(source, base, view.RANGES[length])
    market = reads.day_scores(source, None, view.RANGES[length])
    page.show_problem([days, market])
    _gauge(latest.value or ())
    _scores(source, base, days.value or (), market.value or (), length)
    newest = next((row for row in view.bases(latest.value or ()) if row.base == base), None)
    if newest is not None and view.parts(newest):
        combined = sentiment_html.combined(newest, viewer.zone())
        st.html(ui_html.wrap(section(f"How the score of {base} is calculated", combined)))


@page.every(60)
def _latest(source: DashboardReads) -> None:
    """The newest score of each asset."""
    if scored := view.bases(source.latest_sentiment().value or ()):
        st.html(ui_html.wrap(section("Newest scores by asset", sentiment_html.scores(scored))))


@page.every(30)
def _sources(source: DashboardReads) -> None:
    """The sources with their last polls, and how to turn on the others."""
    reading = reads.polls(source)
    if reading.value is None:
        return
    at_us = now_us()
    states = view.source_states(reading.value.sources, not_configured(source.settings), utc_day(at_us))
    table = sentiment_html.sources(states, reading.value.feeds, viewer.zone(), at_us)
    st.html(ui_html.wrap(section("Sources", table)))


def _scores(
    source: DashboardReads,
    base: str,
    days: Sequence[DayOfSource],
    market_days: Sequence[DayOfSource],
    length: str,
) -> None:
    if not days:
        st.html(ui_html.wrap(ui_html.empty(f"No scores of {base}", "No source has data in this range.")))
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
        plot.score_options(days, market_days, candles, base, viewer.palette(), JsCode),
        height="480px",
        replace_merge=["series"],
        key=f"scores {base} {length}",
    )
    price = f"Price: daily closes of {market.market}. " if market is not None else ""
    counts = [row for row in days if row.score is None and row.day == days[-1].day]
    counted = "".join(f" {view.name_of(row.source)}: {row.value:,.0f} {row.scale}." for row in counts)
    st.html(ui_html.wrap(note(f"{price}Scores are for UTC days.{counted}")))


def _market_of(source: DashboardReads, base: str) -> WatchedMarket | None:
    """The market of the asset with the largest volume of the last day; None without any."""
    markets = source.markets().value or ()
    members = [watched for watched in markets if watched.market.symbol.base == base]
    statistics = source.statistics([watched.market_id for watched in markets]).value
    volumes = {day.market_id: day.quote_volume for day in statistics.day} if statistics else {}
    return max(members, key=lambda watched: volumes.get(watched.market_id, 0.0), default=None)


@page.every(30)
def _news(source: DashboardReads, base: str | None, tone: str) -> None:
    """The newest articles with their scores."""
    reading = reads.news(source, base)
    title = f"News of {base}" if base else "News"
    if reading.value is None:
        return
    shown = view.of_tone(reading.value, tone)
    if shown:
        articles = sentiment_html.news(shown[:MOST_NEWS], now_us())
        more = note(f"The newest {MOST_NEWS} of {len(shown)}.") if len(shown) > MOST_NEWS else ""
        st.html(ui_html.wrap(section(title, articles, more), frozen=bool(reading.problem)))
    elif reading.value:
        hint = f"None of the newest {len(reading.value)} is {view.TONES[tone].lower()}; choose another tone."
        st.html(ui_html.wrap(section(title, ui_html.empty("No matching news", hint))))
    else:
        hint = "Feeds are read every 15 minutes; articles that name the asset appear here."
        st.html(ui_html.wrap(section(title, ui_html.empty("No news yet", hint))))
